"""An existing ESPnet YAML with two lines changed: what its other keys mean to our classes.

``encoder_conf`` of a Conformer and ``frontend_conf`` of the log-mel frontend stay in such a file.
Sizes keep their meaning under our names, what has none is dropped, and both are said.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

SAME = {
    "output_size": "width",
    "attention_heads": "heads",
    "num_blocks": "layers",
    "dropout_rate": "dropout",
}
# E-Branchformer's and Branchformer's own, beside those of the Conformer and the Transformer
FURTHER = (
    "use_attn",
    "attention_layer_type",
    "use_cgmlp",
    "cgmlp_linear_units",
    "cgmlp_conv_kernel",
    "use_linear_after_conv",
    "gate_activation",
    "merge_method",
    "merge_conv_kernel",
    "use_ffn",
    "ffn_activation_type",
)


def translate_encoder(
    conf: Mapping[str, Any], own: tuple[str, ...]
) -> tuple[dict[str, Any], list[str]]:
    """ESPnet's ``encoder_conf`` under our names.

    Args:
        conf: as the user wrote it.
        own: keys that our encoder knows.

    Returns:
        The keys that our encoder knows, or that nobody knows (its own check names them), and a
        line per change.

    Raises:
        ValueError: if a size is given under both names.
    """
    from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
    from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

    theirs = {*_parameters(ConformerEncoder), *_parameters(TransformerEncoder), *FURTHER}
    made: dict[str, Any] = {}
    said = []
    for key, value in conf.items():
        name = SAME.get(key)
        if key in own or key not in theirs:
            made[key] = value
        elif name in own and name in conf:
            raise ValueError(f"encoder_conf: {key} and {name} mean the same; remove one.")
        elif name in own:
            assert name is not None
            made[name] = value
            said.append(f"encoder_conf: {key} {value} is {name} of this encoder")
        else:
            said.append(f"encoder_conf: {key} {value} has no meaning for this encoder: dropped")
    return made, said


def translate_frontend(conf: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``frontend_conf`` without the keys of ESPnet's log-mel frontend, and a line for each."""
    from espnet2.asr.frontend.default import DefaultFrontend

    theirs = _parameters(DefaultFrontend)
    said = [
        f"frontend_conf: {key} {value} has no meaning for units: dropped"
        for key, value in conf.items()
        if key in theirs
    ]
    return {key: value for key, value in conf.items() if key not in theirs}, said


def _parameters(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls).parameters if name != "input_size"]
