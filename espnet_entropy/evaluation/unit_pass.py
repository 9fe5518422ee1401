"""One pass over a set: the units of every system, and the frames of the ABX items.

Legend: N frames, D width, U utterances.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_entropy.corpora.alignment import AlignmentInfo, read_alignment_info, read_alignments
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.abx_items import AbxConfig, Item, choose_items, find_items
from espnet_entropy.evaluation.boundaries import reference_boundaries
from espnet_entropy.evaluation.phone_frames import frame_phones, phone_names
from espnet_entropy.evaluation.unit_systems import LayeredFeatures, UnitSystem
from espnet_entropy.tokenizer.corpus import on_audio
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.grid import SAMPLE_RATE, num_units
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples
from espnet_entropy.utils.shards import plan_shards

SAMPLES_AT_ONCE = 60 * SAMPLE_RATE  # of all layers: 120 MB with HuBERT base's 13


@dataclass(frozen=True)
class UnitSet:
    """What is known of a set after the pass.

    Attributes:
        name: of the set.
        utts: U ids.
        speakers: of each.
        seconds: of each.
        names: phone classes, silence first.
        phones: (N,) int32 of each utterance, indices into ``names``.
        boundaries: rising times of each utterance's phone boundaries, seconds.
        units: for each system, (N,) int32 of each utterance.
        items: of the ABX tasks.
        items_found: how many there were to choose from.
        item_frames: for each layer, the items' frames end to end: a file of (·, D) float32.
        info: where the alignment is from.
        failed: reason of each utterance that was skipped.
        unaligned: number of utterances without phones, left out.
    """

    name: str
    utts: list[str]
    speakers: list[str]
    seconds: list[float]
    names: list[str]
    phones: list[np.ndarray]
    boundaries: list[np.ndarray]
    units: list[list[np.ndarray]]
    items: list[Item]
    items_found: int
    item_frames: list[Path]
    info: AlignmentInfo
    failed: dict[str, str]
    unaligned: int


def pass_over(
    data_dir: str | Path,
    layered: LayeredFeatures,
    systems: Sequence[UnitSystem],
    abx: AbxConfig,
    work: Path,
    max_failed: float = 0.05,
) -> UnitSet:
    """Compute features once, and keep of them what the figures need.

    Args:
        data_dir: formatted data directory with ``ctm.phones``.
        layered: features of all layers.
        systems: their units.
        abx: which items to keep frames of.
        work: existing directory for these frames, bounded by ``max_items``.
        max_failed: the largest tolerated share of failed utterances (0..1).

    Raises:
        ValueError: without alignment, or if too many utterances failed.
    """
    data = DataDir.read(data_dir)
    lengths = read_num_samples(data_dir)
    tiers = read_alignments(data_dir, lengths)
    if not tiers.get("phones"):
        raise ValueError(
            f"{data_dir}: lacks ctm.phones, or it has none of the utterances; give a set with "
            f"aligned phones, or make them: python -m espnet_entropy.bin.align --data {data_dir}"
        )
    phones = tiers["phones"]
    utts = sorted(utt for utt in phones if utt in data.wavs)
    if len(utts) < len(lengths):
        logging.warning("%s: %d utterances have no phones", data_dir, len(lengths) - len(utts))
    counts = {utt: num_units(lengths[utt]) for utt in utts}
    every = find_items(phones, data.utt2spk, counts, abx.item)
    items = choose_items(every, abx)
    names = phone_names(phones[utt] for utt in utts)
    paths = [work / f"{name}.f32" for name in layered.names]
    failures = FailureLog("evaluate_units", None, max_failed)
    units = _compute(data, utts, layered, systems, _by_utterance(items), paths, failures)
    failures.close(len(utts))
    good = [utt for utt in utts if utt not in failures.failed]
    seconds = {utt: lengths[utt] / SAMPLE_RATE for utt in good}
    return UnitSet(
        name=Path(data_dir).name,
        utts=good,
        speakers=[data.utt2spk[utt] for utt in good],
        seconds=list(seconds.values()),
        names=names,
        phones=[frame_phones(phones[utt], counts[utt], names) for utt in good],
        boundaries=[reference_boundaries(phones[utt], seconds[utt]) for utt in good],
        units=units,
        items=[item for item in items if item.utt in seconds],
        items_found=len(every),
        item_frames=paths,
        info=read_alignment_info(data_dir),
        failed=failures.failed,
        unaligned=len(lengths) - len(utts),
    )


def _by_utterance(items: Sequence[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.utt, []).append(item)
    return found


def _compute(
    data: DataDir,
    utts: list[str],
    layered: LayeredFeatures,
    systems: Sequence[UnitSystem],
    items: dict[str, list[Item]],
    paths: Sequence[Path],
    failures: FailureLog,
) -> list[list[np.ndarray]]:
    """Units of every system, utterance by utterance; item frames go to ``paths``."""
    units: list[list[np.ndarray]] = [[] for _ in systems]
    lengths = read_num_samples(data.path)
    batches = plan_shards({utt: lengths[utt] for utt in utts}, SAMPLES_AT_ONCE, most=None)
    with ExitStack() as stack, progress((), "evaluate", total=len(utts)) as bar:
        streams = [stack.enter_context(open(path, "wb")) for path in paths]
        parts = stack.enter_context(
            closing(on_audio(data, batches, layered.features.extract_batch))
        )
        for part in parts:
            for utt, frames in part:
                if isinstance(frames, Exception) or len(frames) != num_units(lengths[utt]):
                    failures.add(utt, _reason(frames, lengths[utt]))
                    continue
                by_layer = [frames[:, layered.columns(i)] for i in range(len(streams))]
                for system, found in zip(systems, units, strict=True):
                    found.append(system.quantizer.assign(by_layer[system.layer]))
                for columns, stream in zip(by_layer, streams, strict=True):
                    for item in items.get(utt, ()):
                        stream.write(columns[item.start : item.end].astype("<f4").tobytes())
            bar.update(len(part))
    return units


def _reason(result: np.ndarray | Exception, samples: int) -> str:
    if isinstance(result, Exception):
        return str(result)
    return (
        f"{len(result)} frames, but utt2num_samples says {samples} samples; format the set again."
    )
