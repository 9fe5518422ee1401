"""What every step shares: configuration, atomic files, shards, failures, progress."""
