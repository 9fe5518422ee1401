"""ABX discrimination: is X nearer to another token of its phone than to one of another phone?

A, B and X are stretches of speech in the same context; A and X are the same phone, B another.
The error is how often X is nearer to B, a tie counting one half. Within speakers all three are
of one speaker; across speakers A and B are of one, X of another.

Averaged as the ZeroSpeech challenge does (Schatz 2016; as fastabx's ``zerospeech_abx``): over the
triplets of a cell (phones of A and B, context, speaker, speaker of X), over the cells of the
same phones and speaker (contexts and speakers of X at once: fastabx forgets who says X before it
averages), over speakers, and over ordered pairs of phones.

Legend: I items, P pairs of items, S speakers, Q ordered pairs of phones, R resamples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from espnet_entropy.evaluation.abx_items import Item


class Cell(NamedTuple):
    """Triplets that share everything that is averaged over.

    Attributes:
        speaker: of A and B, an index.
        phones: ordered pair of A's and B's phone, an index.
        to_a: (X, A) index into the task's pairs.
        to_b: (X, B) index into the task's pairs.
        symmetric: A and X are the same items; none is compared with itself.
    """

    speaker: int
    phones: int
    to_a: np.ndarray
    to_b: np.ndarray
    symmetric: bool


@dataclass(frozen=True)
class AbxTask:
    """What is compared with what; the same for every representation of the items.

    Attributes:
        items: those the pairs index.
        pairs: (P, 2) int64 items whose distance is needed; the first is X.
        cells: the triplets.
        speakers: S names.
        num_phone_pairs: Q.
    """

    items: list[Item]
    pairs: np.ndarray
    cells: list[Cell]
    speakers: list[str]
    num_phone_pairs: int

    @property
    def num_triplets(self) -> int:
        """How many times X is compared."""
        return sum(
            (cell.to_a.size - len(cell.to_a) * cell.symmetric) * cell.to_b.shape[1]
            for cell in self.cells
        )


class _Draft(NamedTuple):
    """A cell as lists of items."""

    speaker: str
    phones: tuple[str, str]
    a: list[int]
    b: list[int]
    x: list[int]


def within_speaker(items: Sequence[Item]) -> AbxTask:
    """The task whose A, B and X are of one speaker."""
    drafts = []
    for context in _by_context(items).values():
        for (speaker, phone), a in context.items():
            others = [(p, b) for (s, p), b in context.items() if s == speaker and p != phone]
            if len(a) > 1:
                drafts += [_Draft(speaker, (phone, other), a, b, a) for other, b in others]
    return _task(items, drafts, symmetric=True)


def across_speakers(items: Sequence[Item], max_x_speakers: int, seed: int = 0) -> AbxTask:
    """The task whose X is of another speaker than A and B.

    Args:
        items: those to tell apart.
        max_x_speakers: at most so many speakers of X for each A and B.
        seed: of the choice of these speakers.
    """
    random = np.random.default_rng(seed)
    drafts = []
    for context in _by_context(items).values():
        for (speaker, phone), a in context.items():
            others = [(p, b) for (s, p), b in context.items() if s == speaker and p != phone]
            xs = [x for (s, p), x in context.items() if s != speaker and p == phone]
            for other, b in others:
                for i in random.permutation(len(xs))[:max_x_speakers]:
                    drafts.append(_Draft(speaker, (phone, other), a, b, xs[i]))
    return _task(items, drafts, symmetric=False)


def _by_context(
    items: Sequence[Item],
) -> dict[tuple[str, str], dict[tuple[str, str], list[int]]]:
    """Indices of items by context, then by speaker and phone."""
    found: dict[tuple[str, str], dict[tuple[str, str], list[int]]] = defaultdict(dict)
    for index, item in enumerate(items):
        found[item.context].setdefault((item.speaker, item.phone), []).append(index)
    return found


def _task(items: Sequence[Item], drafts: Sequence[_Draft], symmetric: bool) -> AbxTask:
    speakers = {name: i for i, name in enumerate(sorted({draft.speaker for draft in drafts}))}
    phones = {pair: i for i, pair in enumerate(sorted({draft.phones for draft in drafts}))}
    size = max(1, len(items))
    cells = []
    for draft in drafts:
        x, a, b = (np.array(side, dtype=np.int64) for side in (draft.x, draft.a, draft.b))
        to_a = x[:, None] * size + a
        place = (speakers[draft.speaker], phones[draft.phones])
        cells.append(Cell(*place, to_a, x[:, None] * size + b, symmetric))
    codes = [code.ravel() for cell in cells for code in (cell.to_a, cell.to_b)]
    unique = np.unique(np.concatenate(codes)) if codes else np.zeros(0, dtype=np.int64)
    cells = [
        cell._replace(
            to_a=np.searchsorted(unique, cell.to_a), to_b=np.searchsorted(unique, cell.to_b)
        )
        for cell in cells
    ]
    pairs = np.stack(np.divmod(unique, size), axis=1)
    return AbxTask(list(items), pairs, cells, list(speakers), len(phones))


class AbxErrors:
    """Errors of each phone pair and speaker, as ``evaluation.bootstrap.Counts`` over speakers.

    Args:
        task: what was compared.
        distances: (P,) of its pairs.
    """

    def __init__(self, task: AbxTask, distances: np.ndarray) -> None:
        shape = (len(task.speakers), task.num_phone_pairs)
        errors, self._cells = np.zeros(shape), np.zeros(shape)
        for cell in task.cells:
            errors[cell.speaker, cell.phones] += cell_error(cell, distances)
            self._cells[cell.speaker, cell.phones] += 1
        self._errors = errors / np.maximum(self._cells, 1)

    def pooled(self) -> float:
        """The error, 0..1; NaN without cells."""
        return float(self.weighted(np.ones((1, len(self._errors))))[0])

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """(R,) errors of resampled speakers.

        Args:
            weights: (R, S), how often resample r holds speaker s.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            by_phones = (weights @ self._errors) / (weights @ (self._cells > 0))  # (R, Q)
            known = np.isfinite(by_phones)
            return np.asarray(np.where(known, by_phones, 0).sum(axis=1) / known.sum(axis=1))


def cell_error(cell: Cell, distances: np.ndarray) -> float:
    """Share of a cell's triplets whose X is nearer to B; a tie is one half."""
    to_a, to_b = distances[cell.to_a], distances[cell.to_b]
    error = (np.sign(to_a[:, :, None] - to_b[:, None, :]) + 1) / 2  # (X, A, B)
    if not cell.symmetric:
        return float(error.mean())
    every = np.arange(len(to_a))
    error[every, every] = 0  # X itself is no A
    return float(error.sum() / (len(to_a) * (len(to_a) - 1) * to_b.shape[1]))
