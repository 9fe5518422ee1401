"""An entropy LM on disk: ``model.safetensors`` and ``config.yaml``, checked against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from espnet_entropy.entropy_lm.config import EntropyLMConfig, ModelCard, read_card
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.utils.config import to_dict, write_yaml
from espnet_entropy.utils.files import atomic_write, fingerprint


def _fingerprint(config: EntropyLMConfig, tokenizer: str, weights: dict[str, torch.Tensor]) -> str:
    arrays: dict[str, np.ndarray] = {name: w.numpy() for name, w in weights.items()}
    return fingerprint({"model": to_dict(config), "tokenizer": tokenizer}, arrays)


def save(
    model: EntropyLM, directory: str | Path, tokenizer: str, training: dict[str, Any]
) -> ModelCard:
    """Write the model; each file is whole or absent, ``config.yaml`` comes last.

    Args:
        model: the model; its ``tokenizer`` and ``fingerprint`` are set.
        directory: made if it is missing.
        tokenizer: fingerprint of the units' tokenizer.
        training: plain values for ``config.yaml``.

    Returns:
        What ``config.yaml`` holds.
    """
    assert model.head.weight.dtype == torch.float32, "rounded weights would be stored as exact"
    weights = {
        name: w.detach().to("cpu", torch.float32).contiguous()
        for name, w in model.state_dict().items()
    }
    card = ModelCard(
        model.config, tokenizer, _fingerprint(model.config, tokenizer, weights), training
    )
    with atomic_write(Path(directory) / "model.safetensors", "wb") as stream:
        stream.write(safetensors.torch.save(weights))
    write_yaml(Path(directory) / "config.yaml", card)
    model.tokenizer, model.fingerprint = tokenizer, card.fingerprint
    return card


def load(directory: str | Path) -> EntropyLM:
    """Read what :func:`save` wrote, on the CPU, ready to score.

    Raises:
        ValueError: naming the file that is missing, damaged or of another model.
    """
    directory = Path(directory)
    card = read_card(directory)
    path = directory / "model.safetensors"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; export the entropy LM again.")
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged safetensors file: {error}; export it again.") from error
    model = EntropyLM(card.model)
    load_weights(model, weights, str(path))
    if _fingerprint(card.model, card.tokenizer, weights) != card.fingerprint:
        raise ValueError(
            f"{directory}: fingerprint {card.fingerprint} of config.yaml is not that of the "
            "weights; the files are damaged or of different models. Export them again."
        )
    model.tokenizer, model.fingerprint = card.tokenizer, card.fingerprint
    return model.eval().requires_grad_(False)


def load_weights(
    model: torch.nn.Module, weights: dict[str, torch.Tensor], where: str, what: str = "entropy LM"
) -> None:
    """Copy weights into a model that must have exactly these.

    Args:
        model: the model.
        weights: by name.
        where: the file, for messages.
        what: the kind of model, for messages.

    Raises:
        ValueError: for missing, unexpected or misshapen weights, naming the first ones.
    """
    own = model.state_dict()
    missing, unexpected = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unexpected:
        raise ValueError(
            f"{where}: not the weights of this {what}: {len(missing)} missing "
            f"({', '.join(missing[:3])}), {len(unexpected)} unexpected "
            f"({', '.join(unexpected[:3])})."
        )
    for name, weight in weights.items():
        if weight.shape != own[name].shape:
            raise ValueError(
                f"{where}: {name} has shape {tuple(weight.shape)}, the configuration asks for "
                f"{tuple(own[name].shape)}; weights and configuration are of different models."
            )
        if not torch.isfinite(weight).all():
            raise ValueError(f"{where}: {name} holds values that are not finite.")
    model.load_state_dict(weights)
