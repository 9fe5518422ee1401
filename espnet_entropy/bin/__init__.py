"""Thin command-line modules; the logic is in the packages."""
