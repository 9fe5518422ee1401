"""Figures of every layer and K on a set of held-out speakers: ``score.json``.

Legend: K codebook size.
"""

from __future__ import annotations

import dataclasses
import operator
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.evaluation.abx import AbxErrors, AbxTask, across_speakers, within_speaker
from espnet_entropy.evaluation.bigram import group_boundaries, score_units
from espnet_entropy.evaluation.bootstrap import (
    Counts,
    Estimate,
    Resampled,
    interval,
    resampling_weights,
)
from espnet_entropy.evaluation.dtw import Frames, Units, centroid_table, pair_distances
from espnet_entropy.evaluation.record import provenance, read_score, write_score
from espnet_entropy.evaluation.unit_counts import (
    FIGURES,
    count_units,
    joint_counts,
    pnmi_bias,
    usage,
)
from espnet_entropy.evaluation.unit_pass import UnitSet, pass_over
from espnet_entropy.evaluation.unit_systems import (
    LayeredFeatures,
    UnitQualityConfig,
    UnitSystem,
    describe,
)
from espnet_entropy.segmenter.scored import ScoredSet, read_scored
from espnet_entropy.segmenter.search import UnreachableRateError
from espnet_entropy.utils.files import fingerprint, sha256_file
from espnet_entropy.utils.progress import progress

TASK = "unit_quality"
# what a set's figures are made from
DATA_FILES = ("wav.scp", "utt2num_samples", "utt2spk", "ctm.phones", "alignment.yaml")
R_VALUE = operator.attrgetter("r_value")


def evaluate_units(
    data_dir: str | Path,
    out: str | Path,
    config: UnitQualityConfig,
    layered: LayeredFeatures,
    systems: Sequence[UnitSystem],
    scored: str | Path | None = None,
    max_failed: float = 0.05,
    device: str = "cpu",
) -> dict[str, Any]:
    """Evaluate a set; a result of the same data and units that is there already is kept.

    Args:
        data_dir: formatted data directory with ``ctm.phones``, its speakers held out.
        out: directory for ``score.json``.
        config: rate and ABX items.
        layered: features of all layers.
        systems: their units.
        scored: scored dump of the set, for the boundaries of one ready system's entropy LM
            instead of a bigram's.
        max_failed: the largest tolerated share of failed utterances (0..1).
        device: of the ABX distances.

    Returns:
        What ``score.json`` holds.

    Raises:
        ValueError: without alignment, or if too many utterances failed.
    """
    path = Path(out) / "score.json"
    about, files = describe(layered, systems), [Path(data_dir, name) for name in DATA_FILES]
    if scored is not None:
        files.append(Path(scored, "scored.sha256"))
    decides = {
        **about,
        "files": {file.name: sha256_file(file) for file in files if file.is_file()},
        "scored": scored is not None,
        "rate": config.rate,
        "abx": dataclasses.asdict(config.abx),
    }
    key = fingerprint(decides)
    if path.is_file() and read_score(path).get("key") == key:
        return read_score(path)
    Path(out).mkdir(parents=True, exist_ok=True)
    dump = None if scored is None else read_scored(scored)
    with tempfile.TemporaryDirectory(dir=out) as work:
        found = pass_over(data_dir, layered, systems, config.abx, Path(work), max_failed)
        score = _Set(found, layered, systems, config, device).score(dump)
    write_score(path, {"task": TASK, "key": key, **about, **score, **provenance()})
    return read_score(path)


class _Set:
    """The figures of one set."""

    def __init__(
        self,
        found: UnitSet,
        layered: LayeredFeatures,
        systems: Sequence[UnitSystem],
        config: UnitQualityConfig,
        device: str,
    ) -> None:
        self.found, self.layered, self.systems = found, layered, systems
        self.config, self.device = config, device
        by_speaker = len(set(found.speakers)) > 1
        self.drawn = "speakers" if by_speaker else "utterances"
        speakers = found.speakers if by_speaker else None
        self.weights = resampling_weights(len(found.utts), speakers)
        items, abx = found.items, config.abx
        self.tasks = {
            "within": within_speaker(items),
            "across": across_speakers(items, abx.max_x_speakers, abx.seed),
        }
        lengths = [item.end - item.start for item in items]
        self.lengths = np.array(lengths, dtype=np.int64)
        self.starts = np.cumsum([0, *lengths])[:-1]

    def score(self, dump: ScoredSet | None) -> dict[str, Any]:
        """Everything but provenance."""
        found = self.found
        return {
            "test_set": found.name,
            "utterances": len(found.utts),
            "failed": found.failed,
            "unaligned": found.unaligned,
            "speakers": len(set(found.speakers)),
            "seconds": sum(found.seconds),
            "alignment": dataclasses.asdict(found.info),
            "phones": len(found.names) - 1,
            "silence": float(np.mean(np.concatenate(found.phones) == 0)),
            "bootstrap": {"resamples": len(self.weights), "drawn": self.drawn},
            "rate": self.config.rate,
            "entropy": "bigram" if dump is None else "entropy_lm",
            "abx": {**dataclasses.asdict(self.config.abx), **self._sizes()},
            "features_abx": [
                {"layer": name, **self._features_abx(i)}
                for i, name in enumerate(progress(self.layered.names, "ABX", unit="layer"))
            ],
            "units": [
                self._system(i, dump)
                for i in progress(range(len(self.systems)), "units", unit="system")
            ],
        }

    def _sizes(self) -> dict[str, Any]:
        """How much the ABX tasks compare."""
        sizes: dict[str, Any] = {
            "items": len(self.found.items),
            "items_found": self.found.items_found,
        }
        for kind, task in self.tasks.items():
            sizes[kind] = {
                "triplets": task.num_triplets,
                "cells": len(task.cells),
                "phone_pairs": task.num_phone_pairs,
                "speakers": len(task.speakers),
            }
        return sizes

    def _system(self, index: int, dump: ScoredSet | None) -> dict[str, Any]:
        system, units = self.systems[index], self.found.units[index]
        K = system.quantizer.num_clusters
        phones = self.found.phones
        joint = joint_counts(units, phones, K, len(self.found.names))
        counts = Resampled(count_units(units, phones, self.found.seconds, joint), self.weights)
        abx = self._unit_abx(system, units)
        return {
            "layer": self.layered.names[system.layer],
            "num_clusters": K,
            **{
                name: dataclasses.asdict(interval(counts, operator.attrgetter(name)))
                for name in FIGURES
            },
            "usage": usage(joint),
            "pnmi_bias": pnmi_bias(joint),
            **abx,
            **self._r_value(system, units, dump),
        }

    def _features_abx(self, layer: int) -> dict[str, Any]:
        frames = np.fromfile(self.found.item_frames[layer], "<f4")
        return self._abx(Frames(frames.reshape(-1, self.layered.width), self.device), "abx")

    def _unit_abx(self, system: UnitSystem, units: Sequence[np.ndarray]) -> dict[str, Any]:
        if not self.found.items:
            return {}
        by_utt = dict(zip(self.found.utts, units, strict=True))
        of_items = np.concatenate([by_utt[i.utt][i.start : i.end] for i in self.found.items])
        table = centroid_table(system.quantizer.centroids)
        return {
            **self._abx(Units(of_items, device=self.device), "abx"),
            **self._abx(Units(of_items, table, self.device), "abx_centroids"),
        }

    def _abx(self, local: Frames | Units, name: str) -> dict[str, Any]:
        """Errors within and across speakers; none where the set offers no such triplets."""
        return {
            f"{name}_{kind}": dataclasses.asdict(self._error(task, local))
            for kind, task in self.tasks.items()
            if task.cells
        }

    def _error(self, task: AbxTask, local: Frames | Units) -> Estimate:
        distances = pair_distances(local, self.starts, self.lengths, task.pairs)
        errors = AbxErrors(task, distances)
        if len(task.speakers) < 2:
            return Estimate(errors.pooled(), float("nan"), float("nan"))
        return _interval(errors, resampling_weights(len(task.speakers)), _same)

    def _r_value(
        self, system: UnitSystem, units: Sequence[np.ndarray], dump: ScoredSet | None
    ) -> dict[str, Any]:
        """R-value, the rate (Hz) that it was had at, and why there is none."""
        found = self.found
        if dump is not None:
            lacking = [utt for utt in found.utts if utt not in dump.utterances]
            if lacking:
                raise ValueError(
                    f"{dump.name}: the scored dump lacks {len(lacking)} utterance(s), "
                    f"{lacking[0]} first; expected the dump of this set. Score it again."
                )
            matrices = [dump.utterances[utt] for utt in found.utts]
        elif system.entropy is not None:
            entropy = system.entropy
            matrices = [score_units(one, entropy) for one in units]
        else:
            return _no_r_value("neither train units nor an entropy LM.")
        seconds = sum(found.seconds)
        try:
            counts, rate = group_boundaries(matrices, found.boundaries, seconds, self.config.rate)
        except UnreachableRateError as error:  # of these units; the other figures are good
            return _no_r_value(str(error))
        r_value = dataclasses.asdict(_interval(counts, self.weights, R_VALUE))
        return {"r_value": r_value, "group_rate": rate, "no_r_value": None}


def _no_r_value(reason: str) -> dict[str, Any]:
    return {"r_value": None, "group_rate": None, "no_r_value": reason}


def _interval(counts: Counts, weights: np.ndarray, figure: Callable[[Any], Any]) -> Estimate:
    return interval(Resampled(counts, weights), figure)


def _same(value: Any) -> Any:
    return value
