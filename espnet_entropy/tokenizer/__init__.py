"""Waveform to units: features on one frame grid, then a quantizer."""
