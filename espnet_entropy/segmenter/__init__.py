"""Entropy to groups: criteria, baselines, calibration to a target rate.

``config`` says what is wanted, ``segment`` makes the mask of starts, ``groups`` numbers and
measures groups, ``streaming`` does the same on a stream, ``calibrate`` finds thresholds.
"""
