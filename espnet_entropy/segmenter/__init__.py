"""Entropy to groups: criteria, baselines, calibration to a target rate."""
