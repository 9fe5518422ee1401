"""A raw corpus becomes a data directory; one module per corpus."""
