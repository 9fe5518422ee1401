"""H(u_i | u_<i) in nats: one utterance, many, or a stream; the same numbers from each.

Unit i sees everything before it while i is below the context C. Beyond, it sees the
window that starts at unit C/2 * (floor(i / (C/2)) - 1), preceded by ``<sos/eos>`` as any
document is in training (NOTES 9). So windows overlap by half and every unit is scored
with at least C/2 units before it; a stream rebuilds its cache at each multiple of C/2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.units import check_units, run_starts, spread
from espnet_entropy.utils.device import to_device, to_host

# Units per forward pass. On a CPU small batches stay in its caches (one core, 2 x 128, quiet
# machine: 54 k units/s at 1024, 41 k at 16384, 27 k at 65536); a GPU wants to be filled.
BATCH_UNITS = {"cpu": 2048, "cuda": 65536}
# Batches that a GPU has been given and not yet answered, while the next one is put together.
AHEAD = {"cpu": 0, "cuda": 1}


@dataclass(frozen=True)
class Window:
    """One document to be scored: units ``start .. end-1``, kept from ``keep`` on."""

    utterance: int
    start: int
    keep: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def windows(length: int, context: int, utterance: int = 0) -> Iterator[Window]:
    """Windows of an utterance; each unit is kept in exactly one.

    Example:
        >>> [(w.start, w.keep, w.end) for w in windows(9, 4)]
        [(0, 0, 4), (2, 4, 6), (4, 6, 8), (6, 8, 9)]
    """
    half = context // 2
    yield Window(utterance, 0, 0, min(length, context))
    for start in range(half, length - half, half):
        yield Window(utterance, start, start + half, min(length, start + context))


class EntropyScorer:
    """Scores units with an entropy LM.

    Where the LM was trained on de-duplicated units (NOTES 7), a run's first unit gets the
    entropy among the de-duplicated ones and its repetitions get 0 nats.

    Of an LM whose products are bfloat16 (``EntropyLM.cast``) they differ from float32's by 0.0025
    nats in the mean and 0.05 at most (the shipped 2 x 128, 400 utterances of speechocean762).

    Args:
        model: the LM, in evaluation mode.
        batch_units: most units per forward pass; bounds memory. ``None``: by device.
        compile: see ``Llama.compile_layers``; for a GPU and bfloat16, where it pays after a
            minute or so.

    Example:
        >>> from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
        >>> lm = EntropyLM(EntropyLMConfig(10, width=8, layers=1, heads=2, ffn=8, context=4))
        >>> EntropyScorer(lm).score(np.array([1, 2, 3])).shape
        (3,)
    """

    def __init__(
        self, model: EntropyLM, batch_units: int | None = None, compile: bool = False
    ) -> None:
        if batch_units is not None and batch_units < 1:
            raise ValueError(f"batch_units: expected at least 1, got {batch_units}.")
        self.model = model
        self.batch_units = batch_units or BATCH_UNITS[model.device.type]
        if compile:
            model.backbone.compile_layers()

    def score(self, units: np.ndarray | Sequence[int]) -> np.ndarray:
        """Entropies of one utterance, (N,) int units -> (N,) float32 nats."""
        return self.score_batch([units])[0]

    def score_batch(self, utterances: Sequence[np.ndarray | Sequence[int]]) -> list[np.ndarray]:
        """Entropies of many utterances.

        The batches depend on this list alone, so the same list gives the same bytes on the
        same machine; other lists differ by rounding (about 1e-6 nats in float32).

        Args:
            utterances: (N,) int each.

        Returns:
            (N,) float32 nats each, in the same order.

        Raises:
            ValueError: for units that the LM does not know, or an empty utterance.
        """
        config = self.model.config
        given = [check_units(units, config.num_clusters) for units in utterances]
        if not config.dedup:
            return self._score(given)
        firsts = [run_starts(units) for units in given]
        kept = self._score([units[first] for units, first in zip(given, firsts, strict=True)])
        return [spread(scores, first) for scores, first in zip(kept, firsts, strict=True)]

    def _score(self, utterances: list[np.ndarray]) -> list[np.ndarray]:
        entropies = [np.empty(len(units), dtype=np.float32) for units in utterances]
        plan = [
            window
            for index, units in enumerate(utterances)
            for window in windows(len(units), self.model.config.context, index)
        ]
        plan.sort(key=len, reverse=True)  # stable: equal lengths stay in order
        ahead = AHEAD[self.model.device.type]
        queue: deque[tuple[list[Window], Callable[[], np.ndarray]]] = deque()
        for batch in _batches(plan, self.batch_units):
            queue.append((batch, self._forward(utterances, batch)))
            if len(queue) > ahead:
                _store(entropies, *queue.popleft())
        for done in queue:
            _store(entropies, *done)
        return entropies

    @torch.inference_mode()
    def _forward(
        self, utterances: list[np.ndarray], batch: list[Window]
    ) -> Callable[[], np.ndarray]:
        """Entropies of what each window keeps, one after the other, float32, when called."""
        model = self.model
        sos = np.array([model.config.sos])
        # the last unit of a window is predicted from the ones before: it is not an input
        tokens = [
            part for w in batch for part in (sos, utterances[w.utterance][w.start : w.end - 1])
        ]
        keep = np.concatenate([np.arange(w.start, w.end) >= w.keep for w in batch])
        ids = to_device(np.concatenate(tokens), model.device)
        hidden = model.hidden(ids, [len(w) for w in batch])
        if not keep.all():
            hidden = hidden[to_device(np.flatnonzero(keep), model.device)]
        return to_host(model.entropy(hidden))

    def stream(self) -> EntropyStream | DedupStream:
        """A new stream; its ``push`` takes any number of units at a time."""
        stream = EntropyStream(self.model)
        return DedupStream(stream) if self.model.config.dedup else stream


def _store(
    entropies: list[np.ndarray], batch: list[Window], scores: Callable[[], np.ndarray]
) -> None:
    """Put the scores of a batch where they belong; waits for the device."""
    begin, found = 0, scores()
    for w in batch:
        count = w.end - w.keep
        entropies[w.utterance][w.keep : w.end] = found[begin : begin + count]
        begin += count


def _batches(plan: Sequence[Window], most: int) -> Iterator[list[Window]]:
    """Consecutive windows, ``most`` units at a time (a longer window goes alone)."""
    batch: list[Window] = []
    filled = 0
    for window in plan:
        if batch and filled + len(window) > most:
            yield batch
            batch, filled = [], 0
        batch.append(window)
        filled += len(window)
    if batch:
        yield batch


class EntropyStream:
    """Entropies of one utterance that arrives piece by piece (KV cache).

    H(u_i) needs only what precedes u_i, so it is known before u_i arrives.

    Args:
        model: the LM.

    Attributes:
        count: units pushed so far.
    """

    def __init__(self, model: EntropyLM) -> None:
        self.model = model
        self.count = 0
        self._recent = np.empty(0, dtype=np.int64)  # the last C/2 units, for the next window
        self._cache = model.new_cache()
        self._next = self._feed(np.array([model.config.sos]))

    @property
    def next_entropy(self) -> float:
        """Entropy of the unit that has not arrived yet, nats."""
        return float(self._next[-1])

    @torch.inference_mode()
    def _feed(self, ids: np.ndarray) -> np.ndarray:
        """Append tokens; returns the entropy of what follows each, (n,) float32."""
        hidden = self.model.step(torch.from_numpy(ids).to(self.model.device), self._cache)
        scores: np.ndarray = self.model.entropy(hidden).cpu().numpy()
        return scores

    def push(self, units: np.ndarray | Sequence[int]) -> np.ndarray:
        """Append units (n,) int; returns their entropies (n,) float32 nats.

        Raises:
            ValueError: for units that the LM does not know.
        """
        if not len(units):
            return np.empty(0, dtype=np.float32)
        rest = check_units(units, self.model.config.num_clusters)
        context, half = self.model.config.context, self.model.config.context // 2
        out = []
        while len(rest):
            # the next unit index that another window must predict
            turn = max(context, (self.count // half + 1) * half)
            piece, rest = rest[: turn - self.count], rest[turn - self.count :]
            self.count += len(piece)
            self._recent = np.concatenate([self._recent, piece])[-half:]
            known = self._next[-1:]  # of the piece's first unit
            if self.count == turn:
                inside = self._feed(piece[:-1]) if len(piece) > 1 else known[:0]
                self._cache.length = 0
                self._next = self._feed(np.concatenate([[self.model.config.sos], self._recent]))
            else:
                self._next = self._feed(piece)
                inside = self._next[:-1]
            out += [known, inside]
        return np.concatenate(out)


class DedupStream:
    """An :class:`EntropyStream` of the units that differ from the one before."""

    def __init__(self, inner: EntropyStream) -> None:
        self._inner = inner
        self._last = -1

    def push(self, units: np.ndarray | Sequence[int]) -> np.ndarray:
        """Append units (n,) int; entropies (n,) float32 nats, 0 where a unit repeats."""
        if not len(units):
            return np.empty(0, dtype=np.float32)
        given = check_units(units, self._inner.model.config.num_clusters)
        first = run_starts(given, self._last)
        self._last = int(given[-1])
        return spread(self._inner.push(given[first]), first)
