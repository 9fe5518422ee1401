"""A corpus out of nothing: text from a grammar of our own, speech and boundaries from espeak-ng."""
