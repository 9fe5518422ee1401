"""A trained encoder as tokenizers that can be moved: the chosen layer, a codebook of each size.

Everything is computed from packed sets, so that the audio need not be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_entropy import __version__
from espnet_entropy.ssl.packed import PackedSet
from espnet_entropy.ssl.targets import cluster_frames, layer_frames, layer_targets, pnmi
from espnet_entropy.tokenizer.config import KMeansConfig
from espnet_entropy.tokenizer.mel_features import MelEncoderFeatures, MelEncoderOptions
from espnet_entropy.tokenizer.mel_model_dir import (
    WEIGHTS,
    load_encoder,
    read_description,
    save_encoder,
)
from espnet_entropy.tokenizer.tokenizer import Tokenizer

CARD = """{about}

## Figures

Made with espnet_entropy {version}. {parameters:.2f} M parameters up to layer {layer}, \
{megabytes:.1f} MB in 16 bits; 50 units per second.
Training: {training}.

| K | PNMI on the valid set's aligned units |
|---|---|
{rows}

PNMI of the candidate layers, K = {num_clusters}: {layers}.
"""


def export_units(
    train: PackedSet,
    valid: PackedSet,
    model: str | Path,
    out: str | Path,
    num_clusters: Sequence[int] = (500, 100),
    layers: Sequence[int] | None = None,
    about: str = "# Mel encoder",
    max_frames: int = 300_000,
    device: str = "cpu",
) -> dict[str, Any]:
    """Write ``out/model`` with its card, and ``out/tokenizer_<K>`` for each K.

    Args:
        train: where k-means is fitted.
        valid: where the layer is chosen, with the last K, and PNMI counted.
        model: directory of the trained encoder.
        out: where to write.
        num_clusters: each K.
        layers: candidates, as for ``targets.layer_targets``.
        about: what the card begins with: data, licences, limits.
        max_frames: to fit k-means on.
        device: where to compute.

    Returns:
        The layer, and PNMI of each K and layer.
    """
    out = Path(out)
    config = KMeansConfig(num_clusters=num_clusters[-1], max_frames=max_frames)
    chosen = layer_targets(train, valid, model, config, layers, device).about
    layer = int(chosen["layer"])
    encoder, _ = load_encoder(model, layer)
    training = dict(read_description(model)["training"])
    save_encoder(encoder, out / "model", layer, training)
    frames = [layer_frames(packed, encoder, layer, device) for packed in (train, valid)]
    features = MelEncoderFeatures(MelEncoderOptions(str(out / "model")))
    table = {}
    for K in num_clusters:
        config = KMeansConfig(num_clusters=K, max_frames=max_frames)
        quantizer, found = cluster_frames(frames, config, device)
        table[K] = pnmi(found[1], valid, K)
        Tokenizer(features, quantizer).save(out / f"tokenizer_{K}", with_model=True)
    card = CARD.format(
        about=about.strip(),
        version=__version__,
        parameters=sum(p.numel() for p in encoder.parameters()) / 1e6,
        megabytes=(out / "model" / WEIGHTS).stat().st_size / 1e6,
        layer=layer,
        training=", ".join(f"{key} {value}" for key, value in training.items()) or "unknown",
        rows="\n".join(f"| {K} | {value:.3f} |" for K, value in table.items()),
        num_clusters=num_clusters[-1],
        layers=", ".join(f"{name}: {value:.3f}" for name, value in chosen["layers"].items()),
    )
    save_encoder(encoder, out / "model", layer, training, card)
    return {"layer": layer, "pnmi": table, "layers": chosen["layers"]}
