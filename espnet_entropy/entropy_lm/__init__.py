"""Units to the entropy of the next unit, in nats."""
