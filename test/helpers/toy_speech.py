"""Packed sets in which every phone has its own spectrum: learnable in a minute, by anything."""

import numpy as np

from espnet_entropy.ssl.packed import NO_PHONE, join

PHONES = ["SIL", "a", "b", "c"]
UNITS_PER_PHONE = 6


def toy_set(count, seed, aligned=True, labelled=True):
    """``count`` utterances of 3 to 6 phones, no phone twice in a row."""
    random = np.random.default_rng(seed)
    utterances, labels, alignments = [], [], []
    for i in range(count):
        phones = [int(random.integers(0, 4))]
        for _ in range(int(random.integers(2, 6))):
            phones.append(int((phones[-1] + random.integers(1, 4)) % 4))
        units = np.repeat(phones, UNITS_PER_PHONE)
        frames = np.repeat(units, 2)[:-1, None]
        clean = 60 + 40 * np.sin(np.arange(40) * (frames + 1) / 8)
        levels = (clean + random.normal(0, 3, clean.shape)).clip(0, 255).astype(np.uint8)
        utterances.append((f"u{seed}-{i}", levels))
        labels.append(phones if labelled else [])
        alignments.append(units if aligned else np.full(len(units), NO_PHONE))
    return join(utterances, labels, alignments, PHONES, PHONES)
