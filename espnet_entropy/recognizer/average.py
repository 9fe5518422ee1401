"""The mean of the weights of a training's best epochs.

ESPnet's own ``*.ave_5best.pth`` exists only after a training that ended by itself, is written in
place and adds up integers; here any finished epochs will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet_entropy.entropy_lm.export import get_key, load_checkpoint, rank_epochs, read_stats


@dataclass(frozen=True)
class ChosenWeights:
    """Weights that make a recognizer.

    Attributes:
        files: in the training's directory, the best first.
        record: plain values for the manifest: epochs, criterion and its values.
    """

    files: list[Path]
    record: dict[str, Any]


def choose_best(exp: Path, config: Mapping[str, Any], count: int) -> ChosenWeights:
    """The ``count`` best finished epochs by the first of ``best_model_criterion``.

    Args:
        exp: ESPnet's output directory.
        config: its ``config.yaml``.
        count: how many; fewer if the training had fewer epochs.

    Raises:
        ValueError: if the record or an epoch's weights are missing.
    """
    if count < 1:
        raise ValueError(f"n_average: expected at least 1, got {count}.")
    where = exp / "config.yaml"
    words = get_key(dict(config), where, list, "best_model_criterion", 0)
    phase, name, mode = (str(word).strip() for word in words)
    values = rank_epochs(read_stats(exp), phase, name, mode)
    if not values:
        raise ValueError(
            f"{exp / 'checkpoint.pth'}: no record of {phase}.{name}; finish an epoch of the "
            "training, or name weights: --checkpoint valid.acc.best.pth."
        )
    best = list(values)[:count]
    files = [exp / f"{epoch}epoch.pth" for epoch in best]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise ValueError(
            f"{exp}: lacks {', '.join(missing)}, among the {len(best)} best epochs; train with "
            f"keep_nbest_models: {count} or more, or average fewer: --n_average 1."
        )
    return ChosenWeights(
        files,
        {
            "averaged_epochs": best,
            "selected_by": f"{phase}.{name} ({mode})",
            "values": [round(values[epoch], 5) for epoch in best],
        },
    )


def average(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Mean of checkpoints: floats in float64, then float32; integers are those of the first.

    Args:
        files: state dictionaries, the best first; read without unpickling objects.

    Raises:
        ValueError: if one is damaged, or has other names or shapes than the first.
    """
    first: dict[str, torch.Tensor] = {}
    total: dict[str, torch.Tensor] = {}
    for path in files:
        state = load_checkpoint(path)
        first = first or state
        _check_same(first, state, files[0], path)
        for name, weight in state.items():
            if weight.is_floating_point():
                total[name] = total.get(name, 0) + weight.double()
    return {
        # a copy each: safetensors refuses weights that share memory
        name: (total[name] / len(files)).float() if name in total else weight.clone().contiguous()
        for name, weight in first.items()
    }


def _check_same(
    expected: Mapping[str, Any], found: Mapping[str, Any], first: Path, path: Path
) -> None:
    odd = [name for name, weight in found.items() if not isinstance(weight, torch.Tensor)]
    if odd:
        raise ValueError(
            f"{path}: {odd[0]} is no tensor; expected the weights of one epoch, as 5epoch.pth."
        )
    differing = sorted(expected.keys() ^ found.keys()) or [
        name for name, weight in found.items() if weight.shape != expected[name].shape
    ]
    if differing:
        raise ValueError(
            f"{path}: {differing[0]} is not as in {first.name}; these are epochs of different "
            "models. Remove those of the older training, or name weights with --checkpoint."
        )
