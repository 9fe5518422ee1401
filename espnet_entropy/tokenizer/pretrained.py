"""Finding, checking and loading speech models of transformers.

Weights come as safetensors, or as PyTorch files that are read with ``weights_only``; no code
of a model repository ever runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE

CLASSES = {"hubert": "HubertModel", "wavlm": "WavLMModel", "wav2vec2": "Wav2Vec2Model"}
EXAMPLES = {
    "hubert": "facebook/hubert-base-ls960",
    "wavlm": "microsoft/wavlm-base",
    "wav2vec2": "facebook/wav2vec2-base",
}
# Used in training only; checkpoints of finished models may lack it.
UNUSED = "masked_spec_embed"


def resolve(name: str, model: str, directory: Path | None = None) -> str:
    """The place transformers shall load ``model`` from, known to be of kind ``name``.

    Args:
        name: ``hubert``, ``wavlm`` or ``wav2vec2``.
        model: local directory (one that begins with ``./`` is tried below ``directory``
            first), or name on the hub.
        directory: of the tokenizer.

    Returns:
        A local directory; for a name on the hub, that of its snapshot in the cache.

    Raises:
        ValueError: saying what to download and where to put it, if there is no such model.
    """
    places = [Path(directory) / model] if directory is not None and model.startswith("./") else []
    for place in [*places, Path(model)]:
        if (place / "config.json").is_file():
            return str(place)
        if place.is_dir():
            raise ValueError(
                f"{place}: no config.json; expected a {name} model of transformers. {_advice(name)}"
            )
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ValueError(
            f"{model}: no such directory; expected a {name} model of transformers. {_advice(name)}"
        )
    return _snapshot(name, model)


def _snapshot(name: str, model: str) -> str:
    """The hub's ``model`` in the local cache, downloaded if it is not there yet."""
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "preprocessor_config.json", "*.safetensors", "pytorch_model*.bin"]
    try:  # without asking the network, so that a cached model works offline and at once
        place = snapshot_download(model, allow_patterns=wanted, local_files_only=True)
        if _weights(Path(place)):
            return place
    except Exception as error:
        logging.info("%s is not in the local cache (%s)", model, type(error).__name__)
    try:
        return snapshot_download(model, allow_patterns=wanted)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ValueError(
            f"features_conf: {name} model '{model}' is neither a local directory nor in the cache, "
            f"and the hub did not give it ({type(error).__name__}: {reason}). "
            + _advice(name, model)
        ) from error


def _advice(name: str, model: str | None = None) -> str:
    """How to get a model, for the end of a message."""
    return (
        f"On a machine with network: 'hf download {model or EXAMPLES[name]} --local-dir DIR' "
        "(config.json, preprocessor_config.json, model.safetensors or pytorch_model.bin); copy DIR "
        "here and set 'model: DIR'."
    )


def _weights(place: Path) -> list[Path]:
    return [*place.glob("*.safetensors"), *place.glob("pytorch_model*.bin")]


def preprocessing(source: str, model: str, override: bool | None) -> bool:
    """Whether the model wants its input normalized.

    Raises:
        ValueError: if its preprocessor asks for another sampling rate, or there is none and
            ``override`` does not say it.
    """
    if override is not None:
        return override
    from transformers import Wav2Vec2FeatureExtractor

    if not (Path(source) / "preprocessor_config.json").is_file():
        raise ValueError(
            f"{model}: no preprocessor_config.json to say how audio is prepared; add the file, or "
            "set features_conf 'do_normalize' (true for most models, false for WavLM base)."
        )
    with _quiet():
        extractor = Wav2Vec2FeatureExtractor.from_pretrained(source)
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ValueError(
            f"{model}: made for {extractor.sampling_rate} Hz; expected {SAMPLE_RATE} Hz. "
            "Choose another model."
        )
    return bool(extractor.do_normalize)


def load_model(name: str, source: str, layer: int) -> Any:
    """The model with its first ``layer`` blocks only, float32, on the CPU.

    Its ``last_hidden_state`` is the output of the last block left, before any final norm:
    ``hidden_states[layer]`` of the whole model.

    Raises:
        ValueError: if it cannot be loaded, is of another kind, has too few layers or another
            frame grid, or lacks weights.
    """
    model = _load(name, source)
    config, encoder = model.config, model.encoder
    if layer > config.num_hidden_layers:
        raise ValueError(f"{source}: layer {layer}; expected 0..{config.num_hidden_layers}.")
    shift, length = _grid(config)
    if (shift, length) != (FRAME_SHIFT, FRAME_LENGTH):
        raise ValueError(
            f"{source}: one frame per {shift} samples, {length} long; expected {FRAME_SHIFT} and "
            f"{FRAME_LENGTH} (HuBERT's grid). Choose another model."
        )
    encoder.layers = encoder.layers[:layer]
    if config.do_stable_layer_norm:  # these normalize after the last block, the others before all
        encoder.layer_norm = torch.nn.Identity()
    if getattr(model, "adapter", None) is not None:
        model.adapter = None
    # The weight norm would be computed again in each call; the product is the same.
    convolution = encoder.pos_conv_embed.conv
    if torch.nn.utils.parametrize.is_parametrized(convolution):
        torch.nn.utils.parametrize.remove_parametrizations(convolution, "weight")
    if hasattr(model, UNUSED):
        delattr(model, UNUSED)
    return model.eval().requires_grad_(False)


def save_blocks(name: str, source: str, layer: int, directory: Path) -> None:
    """Write the model with its first ``layer`` blocks (at least one), and its preprocessor."""
    model = _load(name, source)
    keep = max(1, layer)
    model.encoder.layers = model.encoder.layers[:keep]
    model.config.num_hidden_layers = keep
    with _quiet():
        model.save_pretrained(directory, safe_serialization=True)


def _load(name: str, source: str) -> Any:
    import transformers

    config = _config(source)
    if config.model_type != name:
        known = f"'features: {config.model_type}'" if config.model_type in CLASSES else "another"
        raise ValueError(
            f"{source}: a model of type '{config.model_type}', expected '{name}'; use {known}."
        )
    if not _weights(Path(source)):
        raise ValueError(f"{source}: no model.safetensors or pytorch_model.bin; copy the weights.")
    try:
        with _quiet():
            model, info = _from_pretrained(getattr(transformers, CLASSES[name]), source, config)
    except Exception as error:  # torch, safetensors and pickle each raise their own
        reason = " ".join(str(error).split())[:300]
        if "weights_only" in reason:  # torch recommends to read it nevertheless: that would run it
            reason = "a pickle of more than tensors, nothing of it was run"
        raise ValueError(
            f"{source}: the weights cannot be loaded safely ({reason}); copy them again, or take "
            "model.safetensors."
        ) from error
    missing = [key for key in info["missing_keys"] if UNUSED not in key]
    if missing or info["mismatched_keys"]:
        wrong = sorted(map(str, missing or info["mismatched_keys"]))
        raise ValueError(
            f"{source}: {len(wrong)} weights are missing or of another shape, {wrong[0]} first; "
            "config.json and weights do not belong together."
        )
    return model


def _from_pretrained(cls: Any, source: str, config: Any) -> Any:
    """Model and loading report; nothing that the files hold is executed."""
    return cls.from_pretrained(
        source,
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        weights_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own progress bars and reports; what is wrong we say ourselves."""
    from transformers.utils import logging as transformers_logging

    chatter: Any = transformers_logging  # its functions have no types
    level, bar = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        if bar:
            chatter.enable_progress_bar()


def _config(source: str) -> Any:
    from transformers import AutoConfig

    try:
        with _quiet():
            return AutoConfig.from_pretrained(
                source, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{source}/config.json: not a known configuration ({reason}).") from error


def _grid(config: Any) -> tuple[int, int]:
    """Samples between frames, and samples that one frame sees."""
    shift, length = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        length += (kernel - 1) * shift
        shift *= stride
    return shift, length
