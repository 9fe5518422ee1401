"""A mel encoder on disk: ``model.safetensors`` in 16 bits, ``config.yaml`` and a card.

Weights are rounded to float16 before they are used, so that what is shipped is what was measured.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.utils.config import from_dict, read_yaml, write_yaml
from espnet_entropy.utils.files import atomic_write, fingerprint

KIND = "mel_encoder"
WEIGHTS = "model.safetensors"
DESCRIPTION = "config.yaml"
CARD = "README.md"


def save_encoder(
    encoder: MelEncoder,
    directory: str | Path,
    layer: int | None = None,
    training: dict[str, Any] | None = None,
    card: str | None = None,
) -> None:
    """Write the encoder; ``config.yaml`` comes last.

    Args:
        encoder: what to write; its parameters are not changed.
        directory: made if it is missing.
        layer: write the first blocks up to this one only; all, if not given.
        training: plain values that say where it comes from.
        card: text of the model card.
    """
    layers = encoder.config.layers if layer is None else layer
    if not 0 <= layers <= encoder.config.layers:
        raise ValueError(f"layer {layers}: expected 0..{encoder.config.layers}, the model's.")
    config = replace(encoder.config, layers=layers)
    weights = {
        name: weight.detach().to("cpu", torch.float16).contiguous()
        for name, weight in encoder.state_dict().items()
        if _block(name) < config.layers
    }
    huge = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if huge:
        raise ValueError(f"{directory}: {huge[0]} has weights beyond 16 bits; train again.")
    directory = Path(directory)
    if card is not None:
        with atomic_write(directory / CARD) as stream:
            stream.write(card)
    with atomic_write(directory / WEIGHTS, "wb") as stream:
        stream.write(safetensors.torch.save(weights))
    write_yaml(
        directory / DESCRIPTION,
        {
            "model": KIND,
            "encoder": asdict(config),
            "layer": layers,
            "fingerprint": _fingerprint(config, weights),
            "training": training or {},
        },
    )


def load_encoder(directory: str | Path, layer: int | None = None) -> tuple[MelEncoder, int]:
    """Read what :func:`save_encoder` wrote: float32, on the CPU, without blocks beyond ``layer``.

    Args:
        directory: of the model.
        layer: the last layer wanted; the one that the model names, if not given.

    Returns:
        The encoder, and the layer.

    Raises:
        ValueError: if a file is missing or damaged, files do not belong together, or the model
            lacks the layer.
    """
    directory = Path(directory)
    path = directory / DESCRIPTION
    info = read_description(directory)
    config = from_dict(MelEncoderConfig, info["encoder"], f"{path}: encoder")
    weights = _read_weights(directory / WEIGHTS)
    if _fingerprint(config, weights) != info["fingerprint"]:
        raise ValueError(
            f"{directory / WEIGHTS}: not the weights that {DESCRIPTION} describes; copy both again."
        )
    layer = info["layer"] if layer is None else layer
    if not isinstance(layer, int) or not 0 <= layer <= config.layers:
        raise ValueError(f"{directory}: layer {layer}; expected 0..{config.layers}.")
    encoder = MelEncoder(config)
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{directory / WEIGHTS}: {reason}; expected the sizes in {path}."
        ) from None
    encoder.config, encoder.blocks = replace(config, layers=layer), encoder.blocks[:layer]
    return encoder.eval().requires_grad_(False), layer


def read_description(directory: str | Path) -> dict[str, Any]:
    """What ``config.yaml`` says.

    Raises:
        ValueError: if it is missing, incomplete or of another kind of model.
    """
    path = Path(directory) / DESCRIPTION
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; expected a mel encoder, as egs2/mini_hubert/ssl1 makes it."
        )
    info = read_yaml(path)
    if info.get("model") != KIND:
        raise ValueError(f"{path}: expected 'model: {KIND}', got {info.get('model')!r}.")
    for key in ("encoder", "layer", "fingerprint"):
        if key not in info:
            raise ValueError(f"{path}: missing key '{key}'; copy the model again.")
    return info


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; copy the model again.")
    try:
        return safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a readable safetensors file ({error}); copy it again."
        ) from error


def _fingerprint(config: MelEncoderConfig, weights: dict[str, torch.Tensor]) -> str:
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    return fingerprint({"model": KIND, "version": 1, "encoder": asdict(config)}, arrays)


def _block(name: str) -> int:
    """Index of the block that a weight belongs to; -1 before the blocks."""
    return int(name.split(".")[1]) if name.startswith("blocks.") else -1
