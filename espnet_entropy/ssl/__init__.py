"""Training of small encoders of speech: masked prediction of clusters, and phones."""
