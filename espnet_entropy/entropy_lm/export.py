"""A checkpoint of ESPnet's LM task -> a directory of safetensors and YAML.

Reads ESPnet's files without importing espnet2 and without unpickling objects.
"""

from __future__ import annotations

import datetime
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from espnet_entropy.entropy_lm.config import EntropyLMConfig, ModelCard, lm_config
from espnet_entropy.entropy_lm.dump import read_meta
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.packing import check_packed
from espnet_entropy.entropy_lm.storage import load_weights, save
from espnet_entropy.utils.config import read_yaml

T = TypeVar("T")

# What ESPnet's record of losses holds besides tensors: numpy numbers and durations.
PLAIN_VALUES = [
    np.float64(0).__reduce__()[0],  # numpy's maker of scalars, wherever this version keeps it
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")),
    datetime.timedelta,
]
PREFIX = "lm.lm."  # ESPnetLanguageModel.lm is our adapter, whose .lm is the EntropyLM


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A torch file that holds tensors, numbers and plain containers only.

    Raises:
        ValueError: if it is missing, damaged, or holds objects that would run code.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint; has the training finished an epoch?")
    try:
        with torch.serialization.safe_globals(PLAIN_VALUES):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        # not torch's own words: they recommend to read it nevertheless, which would run it
        raise ValueError(
            f"{path}: not a checkpoint of plain tensors ({type(error).__name__}); it is damaged "
            "or would run code when read: nothing of it was run. Train again or take another file."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a state dictionary, got {type(content).__name__}.")
    return content


def get_key(content: Any, path: Path, kind: type[T], *keys: str | int) -> T:
    """``content[key][key]…`` of a file that ESPnet wrote.

    Args:
        content: what the file holds.
        path: the file, for the message.
        kind: what the value must be.
        keys: names, or positions in lists.

    Raises:
        ValueError: naming file and key, if one is missing or the value is of another kind.
    """
    for key in keys:
        known = isinstance(content, dict if isinstance(key, str) else list | tuple)
        try:
            content = content[key] if known else None
        except (KeyError, IndexError):
            content = None
    if not isinstance(content, kind):
        name = ".".join(map(str, keys))
        raise ValueError(
            f"{path}: expected '{name}' ({kind.__name__}), got {_short(content)}; take the output "
            "directory of bin/lm_train, or train again."
        )
    return content


def _short(value: Any) -> str:
    return "none" if value is None else type(value).__name__


def _config(args: dict[str, Any], where: Path) -> EntropyLMConfig:
    """Sizes from ESPnet's ``config.yaml``."""
    if args.get("lm") != "entropy_lm":
        raise ValueError(f"{where}: expected 'lm: entropy_lm', got {args.get('lm')!r}.")
    num_clusters = len(get_key(args, where, list, "token_list")) - 1
    return lm_config(args.get("lm_conf"), num_clusters, f"{where}: lm_conf")


def read_stats(exp: Path) -> dict[int, dict[str, Any]]:
    """ESPnet's record: epoch to phase to value; empty without ``checkpoint.pth``.

    Raises:
        ValueError: if the file is damaged or of another kind.
    """
    path = exp / "checkpoint.pth"
    if not path.is_file():  # users delete it to save space; the weights do not need it
        return {}
    stats: dict[int, dict[str, Any]] = get_key(
        load_checkpoint(path), path, dict, "reporter", "stats"
    )
    return stats


def rank_epochs(
    stats: Mapping[int, Mapping[str, Any]], phase: str, name: str, mode: str
) -> dict[int, float]:
    """Values by epoch, the best first and of equal ones the earlier, as in ESPnet's own record.

    Args:
        stats: of :func:`read_stats`; epochs without the value are left out.
        phase: ``train`` or ``valid``.
        name: ``loss``, ``acc`` …
        mode: ``min`` or ``max``: which is best.
    """
    sign = 1 if mode == "min" else -1
    values = {e: float(s[phase][name]) for e, s in stats.items() if name in s.get(phase, {})}
    return dict(sorted(values.items(), key=lambda item: (sign * item[1], item[0])))


def _training(exp: Path) -> dict[str, Any]:
    """Epoch and validation nll of the best epoch, as ESPnet recorded them."""
    stats = read_stats(exp)
    losses = rank_epochs(stats, "valid", "loss", "min")
    if not losses:
        return {}
    best, loss = next(iter(losses.items()))
    nll = float(stats[best]["valid"].get("nll", loss))  # a distilled LM's loss is another
    return {
        "epochs": max(losses),
        "best_epoch": best,
        "valid_nll": round(nll, 4),  # nats per token, the documents' ends included
        "valid_perplexity": round(math.exp(nll), 3),
    }


def export(
    exp: str | Path,
    out: str | Path,
    units_meta: str | Path | None = None,
    checkpoint: str = "valid.loss.best.pth",
) -> ModelCard:
    """Write ``model.safetensors`` and ``config.yaml`` of a trained entropy LM.

    Args:
        exp: ESPnet's output directory.
        out: directory to write.
        units_meta: ``meta.yaml`` of the units that the LM is meant for; must name the
            tokenizer of the training lines.
        checkpoint: file in ``exp``.

    Raises:
        ValueError: if the parts are missing, damaged, or do not belong together, as a
            ``lm_conf`` and lines packed for another context or dedup.
    """
    exp = Path(exp)
    source = exp / "config.yaml"
    args = read_yaml(source)
    lines = Path(get_key(args, source, str, "train_data_path_and_name_and_type", 0, 0))
    config = _config(args, source)
    packed = check_packed(lines, config, f"{source}: lm_conf")
    metas = [(lines.parent / "meta.yaml", packed)]
    if units_meta is not None:
        metas.append((Path(units_meta), read_meta(units_meta)))
    for path, meta in metas:
        if meta["tokenizer"] != packed["tokenizer"] or meta["num_clusters"] != config.num_clusters:
            raise ValueError(
                f"{path}: tokenizer {meta['tokenizer']} with {meta['num_clusters']} units, but "
                f"{exp} was trained on {packed['tokenizer']} with {config.num_clusters}."
            )
    model = EntropyLM(config)
    state = load_checkpoint(exp / checkpoint)
    # what does not begin with the prefix stays as it is, and is refused as unexpected
    weights = {name.removeprefix(PREFIX): weight for name, weight in state.items()}
    load_weights(model, weights, str(exp / checkpoint))
    note = exp / "teacher.yaml"  # of tasks.distilled_lm
    taught = {"distilled": read_yaml(note)} if note.is_file() else {}
    training = (
        _training(exp)
        | taught
        | {
            "parameters": model.num_parameters(),
            "units": packed.get("units"),
            "checkpoint": checkpoint,
        }
    )
    return save(model, out, str(packed["tokenizer"]), training)
