"""What a stream loses against full context, and how long it makes one wait.

Each utterance is compressed twice: whole, and pushed window by window into a stream. Units are
compared one by one, group starts by one-to-one matching; waits are audio time (what has been
heard when a group is handed out, minus where it ends), so computing comes on top of them.

Shapes: N units, U utterances.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.compressor.compressor import Compressor
from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.corpora.alignment import read_alignments
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.bootstrap import (
    RESAMPLES,
    Resampled,
    interval,
    paired_difference,
    resampling_weights,
)
from espnet_entropy.evaluation.boundaries import (
    count_boundaries,
    hypothesis_boundaries,
    reference_boundaries,
)
from espnet_entropy.evaluation.chance import chance_counts
from espnet_entropy.evaluation.record import provenance, read_score, write_score
from espnet_entropy.evaluation.streaming_report import stream_line, stream_report
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.segmenter.segment import lookahead, segment
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.config import to_dict
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE, UNIT_RATE
from espnet_entropy.utils.progress import progress

TASK = "streaming"
# How far apart two starts may be to be one, seconds: less than a unit, and a unit.
DISTANCES = {"same_unit": 0.5 / UNIT_RATE, "one_unit": 1 / UNIT_RATE}
TOLERANCE = 0.02  # seconds, to phone boundaries
AGES = {"first second": (0.0, 1.0), "1 to 3 s": (1.0, 3.0), "after 3 s": (3.0, np.inf)}
CHANCE = "random_change"


@dataclass(frozen=True)
class Pair:
    """One utterance, whole and streamed.

    Attributes:
        seconds: of audio.
        units: (N,) int, of the whole utterance and of the stream.
        entropy: (N,) float, nats, of both.
        starts: (N,) bool, True where a group starts, of both.
        waits: (W,) float64, seconds, of the groups that closed before the audio ended.
    """

    seconds: float
    units: tuple[np.ndarray, np.ndarray]
    entropy: tuple[np.ndarray, np.ndarray]
    starts: tuple[np.ndarray, np.ndarray]
    waits: np.ndarray


@dataclass(frozen=True)
class Sums:
    """Named counts, (U,) each, that add up over utterances (``bootstrap.Counts``)."""

    values: Mapping[str, Any]

    def pooled(self) -> Sums:
        """Sums over the utterances."""
        return Sums({name: np.sum(value) for name, value in self.values.items()})

    def weighted(self, weights: np.ndarray) -> Sums:
        """Sums over the utterances weighted with each row of ``weights`` (R, U)."""
        return Sums({name: weights @ value for name, value in self.values.items()})

    def ratio(self, above: str, below: str) -> Any:
        """One sum over another, NaN where the other is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.divide(self.values[above], self.values[below], dtype=np.float64)


def evaluate_streaming(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    criterion: str | None = None,
    rate: float | None = None,
    device: str = "cpu",
    max_failed: float = 0.05,
    seed: int = 0,
) -> str:
    """Compare a model's stream with its full-context run on one set.

    Args:
        model: model directory.
        data: formatted data directory; with ``ctm.phones`` both are scored against the phones.
        out: directory for ``score.json``, ``README.md`` and ``failed.txt``.
        criterion: the model's default if ``None``.
        rate: groups per second (Hz); the model's default if ``None``.
        device: where to compute.
        max_failed: the largest tolerated share of failed utterances (0..1).
        seed: of the bootstrap.

    Returns:
        The result in one line.

    Raises:
        ValueError: for a model that cannot stream, an unusable data directory, or if too many
            utterances failed.
    """
    out = Path(out)
    directory = ModelDirectory.open(model)
    criterion = criterion or directory.manifest.criterion
    if rate is None:
        table = CalibrationTable.load(directory.calibration)
        rate = table.usual_rate(criterion, directory.manifest.rate)
    compressor = Compressor.from_pretrained(model, rate, criterion, device)
    streaming = compressor.tokenizer.streaming()
    full_context = compressor.tokenizer.full_context()
    corpus = DataDir.read(data)
    failures = FailureLog(TASK, out / "failed.txt", max_failed)
    pairs: dict[str, Pair] = {}
    for utt in progress(corpus.wavs, TASK):
        try:
            pairs[utt] = listen(compressor, full_context, corpus.load_audio(utt))
        except ValueError as error:
            failures.add(utt, error)
    failures.close(len(corpus.wavs))
    spans = read_alignments(data, pairs).get("phones", {})
    phones = {utt: reference_boundaries(spans[utt], pairs[utt].seconds) for utt in spans}
    score = {
        "task": TASK,
        "test_set": out.name,
        "model": {
            "tokenizer": compressor.tokenizer.fingerprint,
            "features": streaming.features.name,
            "full_context": full_context.features.conf,
            "stream": streaming.features.conf,
            "entropy_lm": compressor.lm.fingerprint,
            "num_clusters": compressor.tokenizer.num_clusters,
        },
        "criterion": criterion,
        "target_rate": rate,
        "settings": to_dict(compressor.segmenter),
        "failed": failures.failed,
        **figures(pairs, phones, seed),
        "latency_seconds": {
            "features": streaming.features.latency,
            "segmenter": lookahead(compressor.segmenter) / UNIT_RATE,
        },
        "bootstrap": {"resamples": RESAMPLES, "seed": seed, "by_speaker": False},
        **provenance(),
    }
    write_score(out / "score.json", score)
    score = read_score(out / "score.json")
    with atomic_write(out / "README.md") as stream:
        stream.write(stream_report(score))
    return stream_line(score)


def listen(compressor: Compressor, full_context: Tokenizer, wav: np.ndarray) -> Pair:
    """Compress one utterance whole, and as a stream that hears one window more at a time.

    Args:
        compressor: the model.
        full_context: of its tokenizer.
        wav: (T,) float samples in [-1, 1], 16 kHz.

    Raises:
        ValueError: as calling the tokenizer does.
    """
    units = full_context(wav)
    entropy = compressor.scorer.score(units)
    full_starts = np.asarray(segment(units, entropy, compressor.segmenter))
    stream = compressor.stream()
    groups, waits = [], []
    # each piece completes exactly one window, so that no wait is longer than it has to be
    for begin, end in pairwise([0, *range(FRAME_LENGTH, len(wav), FRAME_SHIFT), len(wav)]):
        closed = stream.push(wav[begin:end])
        groups += closed
        waits += [end / SAMPLE_RATE - group.end for group in closed]
    groups += stream.flush()  # these did not have to wait: no more audio was to come
    starts = np.zeros_like(full_starts)
    starts[[group.first for group in groups]] = True
    return Pair(
        seconds=len(wav) / SAMPLE_RATE,
        units=(units, np.concatenate([group.units for group in groups])),
        entropy=(entropy, np.concatenate([group.entropy for group in groups])),
        starts=(full_starts, starts),
        waits=np.array(waits, dtype=np.float64),
    )


def figures(
    pairs: Mapping[str, Pair], phones: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, Any]:
    """Agreement, rates, entropies, phone figures and waits, with 95 % intervals.

    Args:
        pairs: by utterance.
        phones: reference boundaries (R,) in seconds, of those utterances that have any.
        seed: of the bootstrap, which draws utterances.

    Returns:
        A part of ``score.json``.
    """
    utts = sorted(pairs)
    chosen = [pairs[utt] for utt in utts]
    weights = resampling_weights(len(chosen), seed=seed)
    sums = Resampled(Sums(_sums(chosen)), weights)

    def ratio(above: str, below: str) -> dict[str, float]:
        return dataclasses.asdict(interval(sums, lambda s: s.ratio(above, below)))

    def change(above: str, below: str, relative: bool) -> dict[str, float]:
        def figure(s: Sums) -> Any:
            stream, full = s.ratio(f"stream_{above}", below), s.ratio(above, below)
            return stream / full - 1 if relative else stream - full

        return dataclasses.asdict(interval(sums, figure))

    waits = np.concatenate([pair.waits for pair in chosen])
    aligned = [index for index, utt in enumerate(utts) if utt in phones]
    return {
        "utterances": len(utts),
        "seconds": float(sums.pooled.values["seconds"]),
        "equal_units": {
            "all": ratio("equal", "units"),
            **{age: ratio(f"equal {age}", f"units {age}") for age in AGES},
        },
        "starts": _agreement(chosen, weights),
        "rate": {
            "full": ratio("groups", "seconds"),
            "stream": ratio("stream_groups", "seconds"),
            "drift": change("groups", "seconds", relative=True),
        },
        "entropy": {
            "full": ratio("entropy", "units"),
            "stream": ratio("stream_entropy", "units"),
            "difference": change("entropy", "units", relative=False),
        },
        "phones": _phones(
            [chosen[index] for index in aligned], [phones[utts[index]] for index in aligned], seed
        ),
        "wait_seconds": {
            "groups": len(waits),
            "mean": ratio("waits", "closed"),
            "max": float(waits.max()) if len(waits) else None,
        },
    }


def _sums(pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
    """What every ratio is made of, (U,) float64 each."""
    rows = []
    for pair in pairs:
        equal = pair.units[0] == pair.units[1]
        age = np.arange(len(equal)) / UNIT_RATE
        row = {
            "seconds": pair.seconds,
            "units": len(equal),
            "equal": equal.sum(),
            "groups": pair.starts[0].sum(),
            "stream_groups": pair.starts[1].sum(),
            "entropy": pair.entropy[0].sum(),
            "stream_entropy": pair.entropy[1].sum(),
            "waits": pair.waits.sum(),
            "closed": len(pair.waits),
        }
        for name, (low, high) in AGES.items():
            within = (low <= age) & (age < high)
            row |= {f"units {name}": within.sum(), f"equal {name}": equal[within].sum()}
        rows.append(row)
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}


def _agreement(pairs: Sequence[Pair], weights: np.ndarray) -> dict[str, Any]:
    """F1 of the stream's starts against the full-context ones, and what chance would reach."""
    full, stream = ([hypothesis_boundaries(p.starts[side]) for p in pairs] for side in (0, 1))
    units = [pair.units[1] for pair in pairs]
    found = {}
    for name, distance in DISTANCES.items():
        counts = Resampled(count_boundaries(full, stream, distance), weights)
        chance = chance_counts(CHANCE, full, units, [len(times) for times in stream], distance)
        found[name] = {
            "f1": dataclasses.asdict(interval(counts, operator.attrgetter("f1"))),
            "chance_f1": float(chance.pooled().f1),
        }
    return found


def _phones(
    pairs: Sequence[Pair], references: Sequence[np.ndarray], seed: int
) -> dict[str, Any] | None:
    """R-values of both against the phones; ``None`` where no utterance has a reference."""
    if not pairs:
        return None
    weights = resampling_weights(len(pairs), seed=seed)
    full, stream = (
        Resampled(
            count_boundaries(
                references, [hypothesis_boundaries(p.starts[side]) for p in pairs], TOLERANCE
            ),
            weights,
        )
        for side in (0, 1)
    )
    r_value = operator.attrgetter("r_value")
    return {
        "utterances": len(pairs),
        "boundaries": sum(map(len, references)),
        "tolerance_seconds": TOLERANCE,
        "full": dataclasses.asdict(interval(full, r_value)),
        "stream": dataclasses.asdict(interval(stream, r_value)),
        "difference": dataclasses.asdict(paired_difference(stream, full, r_value)),
    }
