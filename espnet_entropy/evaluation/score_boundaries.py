"""Stage ``boundaries`` of one set: ``score.json``, tables and a picture of one utterance."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.corpora.alignment import read_alignments
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.evaluate import System, evaluate
from espnet_entropy.evaluation.plots import plot_utterance
from espnet_entropy.evaluation.record import provenance, read_score, write_score
from espnet_entropy.evaluation.reference import Reference, load_reference
from espnet_entropy.evaluation.systems import Calibrated, build_systems
from espnet_entropy.evaluation.tables import boundary_report
from espnet_entropy.segmenter.calibrate import CalibrationTable, calibrate
from espnet_entropy.segmenter.config import ENTROPY_CRITERIA, SegmenterConfig
from espnet_entropy.segmenter.scored import ScoredSet, read_scored
from espnet_entropy.utils.config import from_dict
from espnet_entropy.utils.files import atomic_write

TASK = "boundaries"
EXAMPLE_SECONDS = 3.0  # long enough for some words, short enough to see single units
EXAMPLE_RATE = 15.0  # Hz: the paper's middle rate


@dataclass(frozen=True)
class _Example:
    """What a picture needs of an utterance."""

    units: np.ndarray
    entropy: np.ndarray
    starts: np.ndarray
    segmenter: SegmenterConfig


def score_boundaries(
    scored: str | Path,
    data_dir: str | Path,
    table: CalibrationTable,
    out: str | Path,
    by_speaker: bool = False,
    seed: int = 0,
    equal_rates: bool = False,
) -> None:
    """Score every calibrated segmentation of a set against its alignment.

    Args:
        scored: scored dump of the set.
        data_dir: its data directory, with audio and CTM files.
        table: calibrated criteria.
        out: directory for ``score.json``, ``README.md`` and ``example.png``.
        by_speaker: draw whole speakers in the bootstrap.
        seed: of the bootstrap.
        equal_rates: find the thresholds anew on this very set, for each convention, so that all
            criteria make the same number of groups: which one is better, not what a user gets.

    Raises:
        ValueError: if the set is not scored, not aligned, or nothing is both, or if it was scored
            by another model than the calibrated one.
    """
    out = Path(out)
    dump = read_scored(scored)
    table.check_made_for(dump, str(scored))
    reference = load_reference(dump, data_dir)
    calibrated: list[Calibrated] = [(e.config, e.target_rate) for e in table.entries]
    if equal_rates:
        calibrated = _at_equal_rates(calibrated, dump)
    systems = build_systems(calibrated, reference)
    score = {
        "task": TASK,
        "test_set": out.name,
        "model": {
            "tokenizer": table.tokenizer,
            "entropy_lm": table.entropy_lm,
            "num_clusters": table.num_clusters,
            "calibrated_on": out.name if equal_rates else table.calibrated_on,
        },
        **evaluate(reference, systems, by_speaker, seed),
        **provenance(),
    }
    _draw_example(reference, systems, Path(data_dir), out / "example.png")
    write_score(out / "score.json", score)
    with atomic_write(out / "README.md") as stream:
        stream.write(boundary_report(read_score(out / "score.json")))


def _at_equal_rates(calibrated: list[Calibrated], dump: ScoredSet) -> list[Calibrated]:
    """Each configuration in both conventions, with the thresholds that make its rate on ``dump``.

    A rate that a criterion cannot make on this set is left out.
    """
    found: list[Calibrated] = []
    for config, rate in calibrated:
        if rate is None or not config.knobs:
            found.append((config, rate))
            continue
        for boundary in ("start", "end") if config.criterion in ENTROPY_CRITERIA else ("start",):
            free: dict[str, Any] = {"boundary": boundary, **dict.fromkeys(config.knobs)}
            blank = dataclasses.replace(config, **free)
            try:
                entry = calibrate(list(dump.utterances.values()), dump.seconds, blank, rate)
            except ValueError as error:
                logging.warning("%s: left out at equal rates: %s", dump.name, error)
                continue
            found.append((entry.config, rate))
    return found


def _draw_example(reference: Reference, systems: list[System], data_dir: Path, path: Path) -> None:
    """The utterance nearest to ``EXAMPLE_SECONDS``, by M1, whose threshold can be seen."""
    system = min(systems, key=_example_order)
    index = int(np.argmin(np.abs(np.array(reference.seconds) - EXAMPLE_SECONDS)))
    utt = reference.utts[index]
    alignments = read_alignments(data_dir, [utt])
    speech = _Example(
        reference.units[index],
        reference.entropy[index],
        system.masks[index],
        from_dict(SegmenterConfig, system.settings),
    )
    plot_utterance(
        path,
        utt,
        DataDir.read(data_dir).load_audio(utt),
        speech,
        words=alignments.get("words", {}).get(utt, []),
        phones=alignments.get("phones", {}).get(utt, []),
    )


def _example_order(system: System) -> tuple[bool, bool, float]:
    return (
        system.name != "global",
        system.boundary == "end",
        abs((system.target_rate or 0.0) - EXAMPLE_RATE),
    )
