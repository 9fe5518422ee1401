"""What a recognizer's manifest says of its training."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_entropy.entropy_lm.export import read_stats
from espnet_entropy.utils.files import fingerprint, sha256_file

SETTINGS = (
    "seed",
    "max_epoch",
    "batch_type",
    "accum_grad",
    "optim",
    "optim_conf",
    "scheduler",
    "scheduler_conf",
    "version",
)
BY_COUNT = ("unsorted", "sorted", "folded")  # batch types for which batch_size counts


def training_record(exp: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs and time from ESPnet's record, settings from its configuration; plain values.

    Raises:
        ValueError: if the record is damaged.
    """
    record: dict[str, Any] = {"experiment": exp.resolve().name}
    stats = read_stats(exp)
    if stats:
        record["epochs"] = max(stats)
        times = [phase.get("time") for phases in stats.values() for phase in phases.values()]
        seconds = sum(t.total_seconds() for t in times if isinstance(t, datetime.timedelta))
        record["minutes"] = round(seconds / 60, 1)
    settings = {key: config[key] for key in SETTINGS if config.get(key) is not None}
    if config.get("batch_type") in BY_COUNT:
        settings["batch_size"] = config.get("batch_size")
    else:
        settings["batch_bins"] = config.get("batch_bins")
    return record | settings


def data_record(config: Mapping[str, Any]) -> dict[str, Any]:
    """Name, size and fingerprint of the sets; what is gone by now is left out."""
    found = {}
    for part in ("train", "valid"):
        sources = config.get(f"{part}_data_path_and_name_and_type") or []
        paths = {str(source[1]): Path(str(source[0])) for source in sources if len(source) == 3}
        speech, text = paths.get("speech"), paths.get("text")
        if speech is None or text is None or not (speech.is_file() and text.is_file()):
            continue
        found[part] = {
            "set": speech.parent.name,
            "utterances": len(text.read_bytes().splitlines()),
            "fingerprint": fingerprint({"units": _units(speech), "text": sha256_file(text)}),
        }
    return found


def _units(scp: Path) -> dict[str, str]:
    """Digests of what says which units a set has: ids and lengths, and who made them.

    Not of scp and archives: the one holds paths, the others are large and their fingerprints
    stand in ``meta.yaml``.
    """
    names = ("utt2num_samples", "meta.yaml")
    return {name: sha256_file(scp.parent / name) for name in names if (scp.parent / name).is_file()}
