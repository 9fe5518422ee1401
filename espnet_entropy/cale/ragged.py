"""Units of a batch end to end, without padding, and where each group begins.

B batch, N units, M groups, D width; T units and G groups of all utterances end to end.
Everything that CALE computes lies on these axes, so that padding costs nothing and cannot
leak, and a group's vector cannot depend on its neighbours in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Ragged:
    """Layout of one batch.

    Attributes:
        batch: B.
        units: N, length of the longest utterance.
        groups: M, most groups of an utterance.
        sizes: units of each utterance.
        index: (T,) int64, place of each unit on the flattened (B, N) axis.
        utterance: (T,) int64, utterance of each unit.
        position: (T,) int64, index of each unit in its utterance.
        owner: (T,) int64, group of each unit, 0 .. G - 1, not decreasing.
        offsets: (G + 1,) int64: group g holds units ``offsets[g]`` to ``offsets[g + 1]``.
        places: (G,) int64, place of each group on the flattened (B, M) axis; B * M for an
            empty group, which leaves no vector behind.
        num_groups: (B,) int64.
    """

    batch: int
    units: int
    groups: int
    sizes: tuple[int, ...]
    index: torch.Tensor
    utterance: torch.Tensor
    position: torch.Tensor
    owner: torch.Tensor
    offsets: torch.Tensor
    places: torch.Tensor
    num_groups: torch.Tensor

    @classmethod
    def of(cls, group_ids: torch.Tensor, lengths: torch.Tensor) -> Ragged:
        """The layout of a padded batch. Costs one transfer from the device to the CPU.

        Args:
            group_ids: (B, N) int64, ids that never decrease along an utterance, 0 or more;
                anything beyond its length. An id that no unit has is an empty group.
            lengths: (B,) int64, 1 .. N.
        """
        device, B = group_ids.device, len(lengths)
        lengths = lengths.to(device=device, dtype=torch.int64)
        last = group_ids.gather(1, lengths.clamp(1, group_ids.shape[1])[:, None] - 1)[:, 0]
        num_groups = last.long() + 1
        sizes, counts = torch.stack([lengths, num_groups]).tolist()  # the one transfer
        T, G, M = sum(sizes), sum(counts), max(counts)
        utterance, position = _count_off(lengths, T)
        group_utterance, group_number = _count_off(num_groups, G)
        index = utterance * group_ids.shape[1] + position
        first_group = num_groups.cumsum(0) - num_groups
        owner = group_ids.flatten()[index].long() + first_group[utterance]
        offsets = torch.searchsorted(owner, torch.arange(G + 1, device=device))
        places = group_utterance * M + group_number
        places = torch.where(offsets.diff() > 0, places, B * M)
        return cls(
            B, max(sizes), M, tuple(sizes),
            index, utterance, position, owner, offsets, places, num_groups,
        )  # fmt: skip

    def flatten(self, values: torch.Tensor) -> torch.Tensor:
        """(B, N) -> (T,): what padding holds is left behind."""
        return values.flatten()[self.index]

    def pad(self, vectors: torch.Tensor) -> torch.Tensor:
        """(G, D) -> (B, M, D), zeros beyond the last group and in empty groups."""
        B, M, D = self.batch, self.groups, vectors.shape[1]
        padded = vectors.new_zeros(B * M + 1, D)  # the last row takes the empty groups
        return padded.index_copy(0, self.places, vectors)[:-1].view(B, M, D)


def _count_off(lengths: torch.Tensor, total: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs of the given lengths: for each of ``total`` places, the run and the index in it."""
    device = lengths.device
    runs = torch.arange(len(lengths), device=device)
    run = runs.repeat_interleave(lengths, output_size=total)
    begins = lengths.cumsum(0) - lengths
    return run, torch.arange(total, device=device) - begins[run]


def check_batch(
    units: torch.Tensor, group_ids: torch.Tensor, lengths: torch.Tensor, num_units: int
) -> None:
    """Refuse what no segmenter makes, at the price of a few passes over (B, N).

    The encoders call this for tensors on the CPU; on a GPU each check would wait for the device,
    so there only shapes are looked at, and a caller who doubts a source calls this himself.

    Raises:
        ValueError: for units outside 0 .. K - 1, group ids that are negative or decrease, and
            lengths outside 1 .. N; the message names the utterance and the place.
    """
    check_shapes(units, group_ids, lengths)
    N = units.shape[1]
    wrong = (lengths < 1) | (lengths > N)
    if wrong.any():
        b = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"lengths[{b}]: expected 1 to {N} units, got {int(lengths[b])}; leave empty utterances "
            "out of the batch."
        )
    valid = torch.arange(N, device=units.device) < lengths[:, None]
    _refuse(valid & ((units < 0) | (units >= num_units)), "units", units, f"0 to {num_units - 1}")
    _refuse(valid & (group_ids < 0), "group_ids", group_ids, "0 or more")
    falls = torch.zeros_like(valid)
    falls[:, 1:] = group_ids[:, 1:] < group_ids[:, :-1]
    _refuse(valid & falls, "group_ids", group_ids, "ids that never decrease")


def check_shapes(units: torch.Tensor, group_ids: torch.Tensor, lengths: torch.Tensor) -> None:
    """Raise ``ValueError`` unless the three are (B, N), (B, N) and (B,) whole numbers, B > 0."""
    for name, tensor in (("units", units), ("group_ids", group_ids), ("lengths", lengths)):
        if tensor.is_floating_point() or tensor.dtype == torch.bool:
            raise ValueError(f"{name}: expected whole numbers (int64), got {tensor.dtype}.")
    shape = tuple(units.shape)
    if len(shape) != 2 or 0 in shape or group_ids.shape != shape or lengths.shape != shape[:1]:
        raise ValueError(
            "units, group_ids, lengths: expected shapes (B, N), (B, N) and (B,), not empty, got "
            f"{shape}, {tuple(group_ids.shape)} and {tuple(lengths.shape)}."
        )


def _refuse(wrong: torch.Tensor, name: str, values: torch.Tensor, expected: str) -> None:
    """Raise ``ValueError`` for the first place (b, i) that is marked."""
    if wrong.any():
        b, i = (int(x) for x in wrong.nonzero()[0])
        raise ValueError(
            f"{name}[{b}, {i}]: expected {expected}, got {int(values[b, i])}; check that units and "
            "groups come from the tokenizer and segmenter that this model was made for."
        )
