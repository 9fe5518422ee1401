"""What a recognition result is a result of: method, rate, sizes, seed.

From flat YAML or JSON files (``--meta``), the scored dump, the ``decode.yaml`` beside the
hypotheses and the recognizer directory; the first of these that says something is believed.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.scored import read_scored
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.utils.config import from_dict, nearest, read_yaml

Meta = dict[str, Any]
_NUMBER, _TEXT = (int, float), (str,)
# Keys that stand at the top of score.json, null where nobody knows; others go to "more".
KNOWN: dict[str, tuple[type, ...]] = {
    "method": _TEXT,  # the system's name in tables
    "criterion": _TEXT,
    "threshold": _NUMBER,  # nats
    "threshold_relative": _NUMBER,  # nats
    "target_rate": _NUMBER,  # Hz
    "achieved_rate": _NUMBER,  # Hz, on the test set
    "seed": (int,),  # of training
    "parameters": (int,),
    "sizes": (dict,),  # parameters by part
    "epochs": (int,),
    "train_minutes": _NUMBER,
    "decoding": (dict,),
    "truncated": (int,),  # hypotheses that the length limit cut
    "failed": (int,),  # utterances that could not be decoded
    "latency_seconds": (dict,),
    "model": _TEXT,  # fingerprint
}


def read_meta(paths: Sequence[str | Path]) -> Meta:
    """Merge flat YAML or JSON files.

    Raises:
        ValueError: if a file is unreadable, two files contradict each other, or a known key has a
            value of the wrong type.
    """
    merged: Meta = {}
    origin: dict[str, str | Path] = {}
    for path in paths:
        for key, value in _read(path).items():
            if key in merged and merged[key] != value:
                raise ValueError(
                    f"{path}: {key} is {value!r}, but {origin[key]} says {merged[key]!r}; "
                    "remove one."
                )
            _check(key, value, path)
            merged[key], origin[key] = value, path
    return merged


def _read(path: str | Path) -> Meta:
    if Path(path).suffix != ".json":
        return read_yaml(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); check the file.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object of keys, got {type(content).__name__}.")
    return content


def _check(key: str, value: Any, where: str | Path) -> None:
    if key not in KNOWN:
        if hint := nearest(key, KNOWN):
            logging.warning("%s: '%s' is no known key and goes to 'more'.%s", where, key, hint)
    elif value is not None and (not isinstance(value, KNOWN[key]) or isinstance(value, bool)):
        names = " or ".join(kind.__name__ for kind in KNOWN[key])
        raise ValueError(f"{where}: {key}: expected {names}, got {value!r}.")


def read_recognizer(directory: str | Path) -> Meta:
    """What a recognizer directory says of itself.

    Returns:
        Known keys, and the frontend's ``segmenter`` or ``unit_bpe``.

    Raises:
        ValueError: if it is none.
    """
    from espnet_entropy.recognizer.model_dir import RecognizerDirectory

    recognizer = RecognizerDirectory.open(directory)
    manifest, frontend = recognizer.manifest, recognizer.training_config()["frontend_conf"]
    found: Meta = {
        "method": manifest.training.get("experiment"),
        "criterion": manifest.criterion,
        "target_rate": manifest.rate,
        "seed": manifest.training.get("seed"),
        "parameters": manifest.parameters.get("total"),
        "sizes": manifest.parameters,
        "epochs": manifest.training.get("epochs"),
        "train_minutes": manifest.training.get("minutes"),
        "model": manifest.fingerprint,
        "segmenter": frontend.get("segmenter"),
        "unit_bpe": frontend.get("unit_bpe"),
    }
    return {key: value for key, value in found.items() if value is not None}


def read_decode_record(hypothesis: str | Path) -> Meta:
    """What ``decode.yaml`` beside a decoded ``text`` says; nothing where there is none."""
    path = Path(hypothesis).parent / "decode.yaml"
    content = read_yaml(path) if path.is_file() else {}
    names = {
        "decoding": "decoding",
        "truncated": "truncated",
        "failed": "failed",
        "rate": "achieved_rate",
        "fingerprint": "model",
    }
    return {new: content[old] for old, new in names.items() if content.get(old) is not None}


def find_segmenter(path: str | Path) -> SegmenterConfig:
    """The segmenter in a YAML file: its own keys, ``segmenter:``, or ESPnet's ``frontend_conf``.

    Raises:
        ValueError: if it holds none.
    """
    content = read_yaml(path)
    inner = content.get("frontend_conf") or content
    inner = inner.get("segmenter") or inner
    if not isinstance(inner, Mapping) or "criterion" not in inner:
        raise ValueError(
            f"{path}: holds no segmenter; expected its keys (criterion, threshold …), 'segmenter:' "
            "or an ESPnet config.yaml with 'frontend: units'."
        )
    return from_dict(SegmenterConfig, inner, str(path))


def segmenter_meta(segmenter: SegmenterConfig) -> Meta:
    """Criterion and thresholds (nats)."""
    config = segmenter.in_nats()
    found: Meta = {
        "criterion": config.label,
        "threshold": config.threshold,
        "threshold_relative": config.threshold_relative,
        "target_rate": config.rate,
    }
    return {key: value for key, value in found.items() if value is not None}


Starts = Callable[[np.ndarray, np.ndarray], np.ndarray]  # units, entropy -> mask (N,) bool


def achieved_rate(scored: str | Path, starts: Starts) -> float:
    """Groups per second of audio of a scored dump, all utterances pooled.

    Args:
        scored: dump of the test set.
        starts: marks the units where a group starts.

    Raises:
        ValueError: if the dump cannot be read or the segmenter has no threshold.
    """
    dump = read_scored(scored)
    matrices = dump.utterances.values()
    groups = sum(int(starts(m[:, 0].astype(np.int64), m[:, 1].copy()).sum()) for m in matrices)
    return groups / dump.seconds


def _unit_bpe(path: str) -> Starts:
    from espnet_entropy.segmenter.unit_bpe import UnitBPE

    bpe = UnitBPE.from_pretrained(path)
    return lambda units, entropy: bpe.encode(units)[1]


def complete(
    given: Meta,
    recognizer: str | Path | None = None,
    segmenter: str | Path | None = None,
    scored: str | Path | None = None,
    hypothesis: str | Path | None = None,
) -> Meta:
    """Everything known, as ``score.json`` has it.

    Args:
        given: of :func:`read_meta`; believed before all else.
        recognizer: directory.
        segmenter: YAML file; the recognizer's if ``None``.
        scored: dump of the test set, to count its groups.
        hypothesis: decoded ``text``; ``decode.yaml`` beside it is read.

    Returns:
        Every key of ``KNOWN``, ``None`` where unknown, and ``more``.

    Raises:
        ValueError: if a file cannot be read, a dump is given but nothing that makes groups, or
            the hypotheses are of another model than ``recognizer``.
    """
    from_model = {} if recognizer is None else read_recognizer(recognizer)
    decoded = {} if hypothesis is None else read_decode_record(hypothesis)
    models = [said["model"] for said in (decoded, from_model) if "model" in said]
    if len(set(models)) > 1:
        raise ValueError(
            f"{hypothesis}: decoded by model {models[0]}, but {recognizer} is {models[1]}; decode "
            "again."
        )
    own, bpe = from_model.pop("segmenter", None), from_model.pop("unit_bpe", None)
    config = find_segmenter(segmenter) if segmenter is not None else None
    if config is None and own is not None:
        config = from_dict(SegmenterConfig, own, f"{recognizer}/config.yaml: segmenter")
    found = {**({} if config is None else segmenter_meta(config)), **from_model, **decoded}
    if scored is not None and given.get("achieved_rate") is None:
        starts: Starts
        if config is not None:
            starts = functools.partial(segment, config=config)
        elif bpe is not None:
            starts = _unit_bpe(bpe)
        else:
            raise ValueError(
                f"{scored}: the rate needs a segmenter; give --segmenter FILE, --recognizer DIR, "
                "or the rate itself as achieved_rate in --meta."
            )
        found["achieved_rate"] = achieved_rate(scored, starts)
    found |= given
    known = {key: found.pop(key, None) for key in KNOWN}
    return {**known, "more": found}
