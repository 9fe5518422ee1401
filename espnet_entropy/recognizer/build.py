"""An ``ESPnetASRModel`` from ``config.yaml``, without ``espnet2.tasks.asr``.

Importing ESPnet's task takes some 20 s of CPU; the model itself and our parts 0.3 s. So only what
our recipes train is built here, which also keeps a foreign ``config.yaml`` from naming classes
that download or unpickle. ``bin/asr_train`` builds the same model through the task.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from espnet_entropy.utils.config import check_choice

# What a units model has none of; ESPnet's names in config.yaml
ABSENT = ("normalize", "preencoder", "postencoder", "input_size")
SAFE: dict[str, tuple[str, ...]] = {
    "frontend": ("units",),
    "encoder": ("cale", "unit_pooling"),
    "decoder": ("transformer",),
    "model": ("espnet",),
}


def build_model(config: Mapping[str, Any], tokens: list[str], where: str) -> Any:
    """The untrained model, in evaluation mode.

    Args:
        config: ``config.yaml`` of a training, with paths that can be read.
        tokens: the vocabulary.
        where: the file, for messages.

    Returns:
        ``ESPnetASRModel``.

    Raises:
        ValueError: for parts that are not ours, or a configuration that makes no model.
    """
    for key, known in SAFE.items():
        check_choice(str(config.get(key) or known[0]), known, key, where)
    for key in ABSENT:
        if config.get(key) is not None:
            raise ValueError(
                f"{where}: {key}: expected none, got {config[key]!r}; it would change units, which "
                "are numbers of clusters. Train again without it."
            )
    conf = {key: config.get(f"{key}_conf") or {} for key in SAFE}
    for key, value in conf.items():
        if not isinstance(value, dict):
            raise ValueError(f"{where}: {key}_conf: expected a mapping, got {value!r}.")
    try:
        with _quiet():
            return _build(str(config.get("encoder")), conf, tokens)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:  # ESPnet's constructors raise whatever they like
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{where}: makes no model ({type(error).__name__}: {reason}); check frontend_conf, "
            "encoder_conf, decoder_conf and model_conf."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ESPnet prints that it lacks flash_attn, and logs defaults as news."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _build(encoder_name: str, conf: Mapping[str, dict[str, Any]], tokens: list[str]) -> Any:
    from espnet2.asr.ctc import CTC
    from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
    from espnet2.asr.espnet_model import ESPnetASRModel

    from espnet_entropy.tasks.encoders import CALEEncoder, UnitPoolingEncoder
    from espnet_entropy.tasks.frontend import UnitFrontend

    frontend = UnitFrontend(**conf["frontend"])
    encoder_class = CALEEncoder if encoder_name == "cale" else UnitPoolingEncoder
    encoder = encoder_class(frontend.output_size(), **conf["encoder"])
    decoder = TransformerDecoder(len(tokens), encoder.output_size(), **conf["decoder"])
    # error rates are for training; counting them needs a word separator in the vocabulary
    options = conf["model"] | {"report_cer": False, "report_wer": False}
    model = ESPnetASRModel(
        vocab_size=len(tokens),
        token_list=tokens,
        frontend=frontend,
        specaug=None,  # training only
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        decoder=decoder,
        ctc=CTC(len(tokens), encoder.output_size()),
        joint_network=None,
        **options,
    )
    return model.eval().requires_grad_(False)


def read_tokens(path: str | Path) -> list[str]:
    """The vocabulary, one token per line.

    Raises:
        ValueError: if the file is missing, not UTF-8, or lists a token twice.
    """
    try:
        # not splitlines: a token may be a character that it takes for the end of a line
        tokens = Path(path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}); expected one token per line."
        ) from error
    if len(set(tokens)) != len(tokens) or len(tokens) < 2 or "" in tokens:
        raise ValueError(f"{path}: expected two or more different tokens, one per line.")
    return tokens


def count_parameters(model: Any) -> dict[str, int]:
    """Parameters of encoder, decoder, the rest (``ctc``) and in total."""

    def size(module: torch.nn.Module | None) -> int:
        return 0 if module is None else sum(p.numel() for p in module.parameters())

    total, encoder, decoder = size(model), size(model.encoder), size(model.decoder)
    rest = total - encoder - decoder
    return {"encoder": encoder, "decoder": decoder, "ctc": rest, "total": total}
