"""How long each part of recognition takes, one utterance at a time (paper table 6; NOTES 13).

The text has the same length in every row: the search is not allowed to end earlier, since how long
a text is depends on how good a model is. Rows take turns utterance by utterance, so that what else
runs on the machine hits them alike; of several repetitions the fastest counts.

Legend: N units, T samples, U utterances, L text tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch

from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.search import search
from espnet_entropy.segmenter.config import ENTROPY_CRITERIA
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.progress import progress

CLOCKS = ("wall", "cpu")
WARM_UP = 2  # utterances that pass through everything before the clock counts
NO_TOKEN = -1  # stands for <eos>: no hypothesis ever ends
T = TypeVar("T")


@dataclass(frozen=True)
class Utterance:
    """One utterance to be timed.

    Attributes:
        name: its id.
        scored: (N, 2) float32, unit and entropy in nats.
        wav: (T,) float32 at 16 kHz.
        tokens: L, length of its text.
        seconds: of audio.
    """

    name: str
    scored: np.ndarray
    wav: np.ndarray
    tokens: int
    seconds: float


@dataclass(frozen=True)
class WaveformParts:
    """What makes units and entropies of a waveform: the same for every row.

    Attributes:
        name: for the table.
        tokenizer: features and quantizer.
        scorer: ``EntropyScorer``.
    """

    name: str
    tokenizer: Any
    scorer: Any


@dataclass(frozen=True)
class Row:
    """A system.

    Attributes:
        name: short, unique.
        label: in the table.
        model: ``ESPnetASRModel`` on the device, in evaluation mode.
        paper: ms in the paper's table 6; ``None``: not there.
    """

    name: str
    label: str
    model: Any
    paper: float | None = None

    @property
    def scores(self) -> bool:
        """Whether its groups need the entropy LM; the others go without, as the frontend does."""
        segmenter = self.model.frontend.config.segmenter
        return segmenter is not None and segmenter.criterion in ENTROPY_CRITERIA


@dataclass
class Times:
    """Seconds of each utterance by row and part, the least so far; (U,) float64 each.

    Attributes:
        waveform: ``features``, ``quantizer``, ``entropy_lm``; empty without waveform parts.
        rows: by row: ``segmenter``, ``encoder``, ``decoder_<beam>``.
        groups: by row: number of groups (U,) int64.
    """

    size: int
    waveform: dict[str, np.ndarray] = field(default_factory=dict)
    rows: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    groups: dict[str, np.ndarray] = field(default_factory=dict)

    def note(self, table: dict[str, np.ndarray], part: str, index: int, seconds: float) -> None:
        """Keep the least."""
        times = table.setdefault(part, np.full(self.size, np.inf))
        times[index] = min(times[index], seconds)


class Stopwatch:
    """Times a function on a device.

    Args:
        device: where it computes; a GPU has finished when the clock is read.
        clock: ``wall``, or ``cpu`` for CPU time of this process, which other processes do not
            lengthen and which is the same as wall time on an idle machine with one thread.

    Raises:
        ValueError: for another clock, or ``cpu`` on a GPU or with several threads.
    """

    def __init__(self, device: torch.device, clock: str = "wall") -> None:
        check_choice(clock, CLOCKS, "clock")
        if clock == "cpu" and (device.type != "cpu" or torch.get_num_threads() > 1):
            raise ValueError(
                f"clock: cpu with device {device.type} and {torch.get_num_threads()} threads: "
                "expected the CPU and one thread (OMP_NUM_THREADS=1); use --clock wall."
            )
        self._now = time.perf_counter if clock == "wall" else time.process_time
        self._wait: Callable[[], Any] = (
            torch.cuda.synchronize if device.type == "cuda" else lambda: None
        )

    def __call__(self, run: Callable[[], T]) -> tuple[T, float]:
        """What ``run`` returns, and the seconds that it took."""
        self._wait()
        begin = self._now()
        result = run()
        self._wait()
        return result, self._now() - begin


@torch.inference_mode()
def measure(
    rows: Sequence[Row],
    utterances: Sequence[Utterance],
    waveform: WaveformParts | None,
    beams: Sequence[int],
    repeats: int,
    device: torch.device,
    clock: str = "wall",
) -> Times:
    """Time every part of every row on every utterance.

    Args:
        rows: the systems, all on ``device``.
        utterances: to recognize.
        waveform: parts before the units; ``None``: not timed.
        beams: beam sizes of the decoder; 1 is greedy.
        repeats: of the whole; the least time of each utterance counts.
        device: where all compute.
        clock: see :class:`Stopwatch`.

    Raises:
        ValueError: for fewer than one utterance, repetition or beam, or a wrong clock.
    """
    if not utterances or not rows or not beams or repeats < 1 or min(beams) < 1:
        raise ValueError(
            "latency: expected at least one row, utterance, beam and repetition, got "
            f"{len(rows)} rows, {len(utterances)} utterances, beams {list(beams)}, {repeats} "
            "repetitions."
        )
    watch = Stopwatch(device, clock)
    for utterance in utterances[:WARM_UP]:
        _round(Times(1), 0, utterance, rows, waveform, beams, watch, device)
    found = Times(len(utterances))
    plan = [(repeat, index) for repeat in range(repeats) for index in range(len(utterances))]
    for repeat, index in progress(plan, "latency"):
        # no row always follows the same other one
        turn = (repeat + index) % len(rows)
        order = [*rows[turn:], *rows[:turn]]
        _round(found, index, utterances[index], order, waveform, beams, watch, device)
    return found


def _round(
    times: Times,
    index: int,
    utterance: Utterance,
    rows: Sequence[Row],
    waveform: WaveformParts | None,
    beams: Sequence[int],
    watch: Stopwatch,
    device: torch.device,
) -> None:
    if waveform is not None:
        for part, seconds in _time_waveform(utterance, waveform, watch):
            times.note(times.waveform, part, index, seconds)
    scored = torch.from_numpy(utterance.scored)[None].to(device)
    for row in rows:
        table = times.rows.setdefault(row.name, {})
        took, groups = _time_row(row, scored, utterance.tokens, beams, watch)
        for part, seconds in took.items():
            times.note(table, part, index, seconds)
        counts = times.groups.setdefault(row.name, np.zeros(times.size, dtype=np.int64))
        counts[index] = groups


def _time_waveform(
    utterance: Utterance, parts: WaveformParts, watch: Stopwatch
) -> Iterator[tuple[str, float]]:
    tokenizer = parts.tokenizer
    frames, seconds = watch(lambda: tokenizer.features.extract(utterance.wav))
    yield "features", seconds
    yield "quantizer", watch(lambda: tokenizer.quantizer.assign(frames))[1]
    # of the dump's units: those of noise, or of random weights, would repeat too much or too little
    units = utterance.scored[:, 0].astype(np.int64)
    yield "entropy_lm", watch(lambda: parts.scorer.score(units))[1]


def _time_row(
    row: Row, scored: torch.Tensor, tokens: int, beams: Sequence[int], watch: Stopwatch
) -> tuple[dict[str, float], int]:
    """Seconds by part, and the number of groups; ``scored`` is (1, N, 2)."""
    took: dict[str, float] = {}
    lengths = torch.tensor([scored.shape[1]], device=scored.device)
    (feats, lengths), took["segmenter"] = watch(lambda: row.model.frontend(scored, lengths))
    groups = int(feats[0, :, 1].max()) + 1
    (memory, counts, _), took["encoder"] = watch(lambda: row.model.encoder(feats, lengths))
    memory = memory[0] if isinstance(memory, tuple) else memory
    for beam in beams:
        run = partial(decode, row.model, memory, counts, tokens, beam)
        _, took[f"decoder_{beam}"] = watch(run)
    return took, groups


def decode(
    model: Any, memory: torch.Tensor, lengths: torch.Tensor, tokens: int, beam: int
) -> list[int]:
    """The recognizer's own search through exactly ``tokens`` steps.

    Args:
        model: ``ESPnetASRModel``; its CTC, if it has one, is not used.
        memory: (1, M, D) float.
        lengths: (1,) int.
        tokens: L.
        beam: hypotheses that are kept.

    Returns:
        L token indices.
    """
    endless = SimpleNamespace(decoder=model.decoder, sos=model.sos, eos=NO_TOKEN)
    config = DecodingConfig(beam_size=beam, max_length=tokens, ctc_weight=0.0)
    return search(endless, memory, lengths, config)[0].tokens
