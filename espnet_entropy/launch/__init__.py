"""Run a command in pieces, here or on a cluster."""
