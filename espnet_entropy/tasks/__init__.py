"""Adapters to ESPnet's tasks; the only package that imports espnet2."""
