"""Batches of utterances of similar length, the same in every run, gathered on the device.

Legend: B batch, N units, J = 2 N - 1 level frames, U utterances, P labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from espnet_entropy.ssl.packed import NO_PHONE, PackedSet


@dataclass(frozen=True)
class Batch:
    """Padded utterances on a device.

    Attributes:
        index: (B,) of the utterances in their set.
        levels: (B, J, 40) float32.
        lengths: (B,) int64 units.
        targets: (B, N) int64 cluster of each unit; -1 beyond a length or without targets.
        labels: (Σ P,) int64 phones from 1 (0 is CTC's blank), of one utterance after the other.
        label_lengths: (B,) int64; 0 for an utterance without labels.
        aligned: (B, N) int64 aligned phone of each unit; -1 beyond a length or if not known.
    """

    index: np.ndarray
    levels: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor
    label_lengths: torch.Tensor
    aligned: torch.Tensor


def plan_batches(units: np.ndarray, max_units: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: a function of its arguments alone.

    Utterances of similar length share a batch; who meets whom, and the order of batches, changes
    with every epoch.

    Args:
        units: (U,) N of each utterance.
        max_units: of a batch, padding counted; a longer utterance is a batch of its own.
        seed: of the training.
        epoch: from 0.
    """
    random = np.random.default_rng([seed, epoch])
    order = np.argsort(units * random.uniform(0.9, 1.1, len(units)), kind="stable")
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, int(units[index]))
        if not batches or longest * (len(batches[-1]) + 1) > max_units:
            batches.append([])
            longest = int(units[index])
        batches[-1].append(int(index))
    return [np.array(batches[i]) for i in random.permutation(len(batches))]


class DeviceSet:
    """A packed set on a device.

    Args:
        packed: the set.
        device: where it lies.
        targets: (Σ N,) cluster of each unit, utterance after utterance; ``None`` for none.
        phone_names: what ``Batch.aligned`` counts; the set's own aligned phones, if not given.
    """

    def __init__(
        self,
        packed: PackedSet,
        device: str | torch.device = "cpu",
        targets: np.ndarray | None = None,
        phone_names: Sequence[str] | None = None,
    ) -> None:
        assert targets is None or len(targets) == packed.units.sum(), (targets, packed.units.sum())
        self.packed, self.device = packed, torch.device(device)
        self._levels = torch.from_numpy(packed.levels).to(self.device)
        clusters = np.full(packed.units.sum(), -1) if targets is None else targets
        self._targets = torch.from_numpy(clusters.astype(np.int64)).to(self.device)
        phones = aligned_phones(
            packed, packed.aligned_names if phone_names is None else phone_names
        )
        self.is_aligned = np.maximum.reduceat(phones, np.cumsum(packed.units) - packed.units) >= 0
        self._aligned = torch.from_numpy(phones).to(self.device)
        self._labels = torch.from_numpy(packed.labels.astype(np.int64) + 1).to(self.device)
        self._units = torch.from_numpy(packed.units).to(self.device)
        self._label_lengths = torch.from_numpy(packed.label_lengths).to(self.device)
        ends = np.cumsum(packed.label_lengths)  # here, so that a GPU is not waited for
        self._spans = np.stack([ends - packed.label_lengths, ends], axis=1)

    def batch(self, index: np.ndarray) -> Batch:
        """The utterances with these indices."""
        chosen = torch.from_numpy(index).to(self.device)
        lengths = self._units[chosen]
        begins = self._units.cumsum(0)[chosen] - lengths
        units = _ranges(begins, int(self.packed.units[index].max()), len(self._targets))
        frames = _ranges(2 * begins - chosen, 2 * units.shape[1] - 1, len(self._levels))
        beyond = torch.arange(units.shape[1], device=self.device) >= lengths[:, None]
        return Batch(
            index=index,
            levels=self._levels[frames].float(),
            lengths=lengths,
            targets=self._targets[units].masked_fill(beyond, -1),
            labels=torch.cat([self._labels[begin:end] for begin, end in self._spans[index]]),
            label_lengths=self._label_lengths[chosen],
            aligned=self._aligned[units].masked_fill(beyond, -1),
        )


def aligned_phones(packed: PackedSet, names: Sequence[str]) -> np.ndarray:
    """(Σ N,) int64 place in ``names`` of each unit's phone; -1 if it is not known or not there."""
    index = {name: i for i, name in enumerate(names)}
    table = np.full(NO_PHONE + 1, -1, np.int64)
    for i, name in enumerate(packed.aligned_names):
        table[i] = index.get(name, -1)
    return np.asarray(table[packed.aligned])


def _ranges(begins: torch.Tensor, count: int, limit: int) -> torch.Tensor:
    """(B, count) indices from each beginning on, none beyond the limit."""
    return (begins[:, None] + torch.arange(count, device=begins.device)).clamp(max=limit - 1)
