"""An ESPnet experiment -> a recognizer directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.entropy_lm.export import get_key
from espnet_entropy.entropy_lm.storage import load_weights
from espnet_entropy.models import resolve
from espnet_entropy.recognizer.average import ChosenWeights, average, choose_best
from espnet_entropy.recognizer.build import build_model, count_parameters
from espnet_entropy.recognizer.card import recognizer_card
from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.model_dir import (
    BPE,
    COMPRESSOR,
    CONFIG,
    FORMAT,
    MANIFEST,
    TOKENS,
    UNIT_BPE,
    WEIGHTS,
    RecognizerDirectory,
    RecognizerManifest,
    files_fingerprint,
)
from espnet_entropy.recognizer.record import data_record, training_record
from espnet_entropy.recognizer.text import text_joiner
from espnet_entropy.tasks.frontend_conf import FrontendConfig
from espnet_entropy.utils.config import from_dict, read_yaml, write_yaml
from espnet_entropy.utils.files import atomic_write

# Keys of ESPnet's config.yaml that name files, hosts or runs of the machine that trained
LOCAL = (
    "config",
    "output_dir",
    "resume",
    "init_param",
    "pretrain_path",
    "non_linguistic_symbols",
    "train_data_path_and_name_and_type",
    "valid_data_path_and_name_and_type",
    "train_shape_file",
    "valid_shape_file",
)
LOCAL_PREFIXES = ("dist_", "wandb_", "local_rank", "ngpu", "num_workers", "log_")


@dataclass(frozen=True)
class Experiment:
    """A finished training, read and checked; paths are as the training saw them.

    Attributes:
        config: ESPnet's ``config.yaml``.
        frontend: its ``frontend_conf``.
        tokens: vocabulary.
        compressor: the model directory.
        choice: which weights.
        weights: of the recognizer.
        parameters: of encoder, decoder, ``ctc`` and in total.
    """

    config: dict[str, Any]
    frontend: FrontendConfig
    tokens: list[str]
    compressor: ModelDirectory
    choice: ChosenWeights
    weights: dict[str, torch.Tensor]
    parameters: dict[str, int]


def read_experiment(
    exp: Path, n_average: int, checkpoint: str | None, compressor: str | Path | None
) -> Experiment:
    """Read a training and try its weights.

    Args:
        exp: ESPnet's output directory.
        n_average: best epochs to average.
        checkpoint: file in ``exp`` to take instead.
        compressor: model directory, instead of the one in ``frontend_conf``.

    Raises:
        ValueError: for parts that are missing, damaged, or do not belong together.
    """
    source = exp / "config.yaml"
    if not source.is_file():
        raise ValueError(
            f"{source}: no such file; expected the output directory of bin/asr_train. Run stage "
            "'train' first."
        )
    config = read_yaml(source)
    tokens = [str(token) for token in get_key(config, source, list, "token_list")]
    conf = get_key(config, source, dict, "frontend_conf")
    frontend = from_dict(FrontendConfig, conf, f"{source}: frontend_conf")
    if not frontend.resolved:
        raise ValueError(
            f"{source}: frontend_conf is not resolved; expected segmenter, tokenizer and "
            "num_clusters. Train with espnet_entropy.bin.asr_train."
        )
    model_dir = ModelDirectory.open(_compressor(frontend, compressor, source))
    check_compressor(frontend, model_dir, source)
    text_joiner(config, str(source))
    model = build_model(config, tokens, str(source))
    if checkpoint is None:
        choice = choose_best(exp, config, n_average)
    else:
        choice = ChosenWeights([exp / checkpoint], {"checkpoint": checkpoint})
    weights = average(choice.files)
    load_weights(model, weights, ", ".join(map(str, choice.files)), "recognizer")
    return Experiment(config, frontend, tokens, model_dir, choice, weights, count_parameters(model))


def _compressor(frontend: FrontendConfig, given: str | Path | None, source: Path) -> str | Path:
    if given is None and frontend.model is None:
        raise ValueError(
            f"{source}: frontend_conf names no model directory, without which no waveform can be "
            "recognized; give --compressor ../units1/exp/compressor."
        )
    if given is None and not resolve(frontend.model).is_dir():
        raise ValueError(
            f"{source}: frontend_conf: model: {frontend.model}: no such directory; run this where "
            "the training ran, or give the model directory: --compressor DIR."
        )
    return given or str(frontend.model)


def check_compressor(frontend: FrontendConfig, model: ModelDirectory, source: Path) -> None:
    """Refuse a model directory that makes other units than those that were trained on.

    Raises:
        ValueError: naming both.
    """
    for name in ("tokenizer", "entropy_lm", "num_clusters"):
        expected, found = getattr(frontend, name), getattr(model.manifest, name)
        if expected is not None and expected != found:
            raise ValueError(
                f"{model.path}: {name} is {found}, but {source} was trained on {expected}; give "
                "the model directory that scored the training set: --compressor DIR."
            )


def pack(
    exp: str | Path,
    out: str | Path,
    n_average: int = 5,
    checkpoint: str | None = None,
    decoding: DecodingConfig | None = None,
    compressor: str | Path | None = None,
) -> RecognizerDirectory:
    """Write a recognizer directory; ``recognizer.yaml`` comes last.

    Args:
        exp: ESPnet's output directory.
        out: the new directory.
        n_average: best epochs whose weights are averaged; fewer if there are fewer.
        checkpoint: file in ``exp`` to take instead.
        decoding: how to decode if nothing else is said.
        compressor: model directory, instead of the one in ``frontend_conf``.

    Raises:
        ValueError: for parts that are missing, damaged, or do not belong together.
    """
    exp, out = Path(exp), Path(out)
    read = read_experiment(exp, n_average, checkpoint, compressor)
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)  # not whole from here until the last line
    frontend = _copy_parts(read, out)
    write_yaml(out / CONFIG, _portable(read.config, frontend))
    with atomic_write(out / TOKENS) as stream:
        stream.writelines(f"{token}\n" for token in read.tokens)
    with atomic_write(out / WEIGHTS, "wb") as stream:
        stream.write(safetensors.torch.save(read.weights))
    asked = read.frontend.asked
    assert asked is not None, "resolved"
    manifest = RecognizerManifest(
        format=FORMAT,
        fingerprint=files_fingerprint(out),
        tokenizer=str(read.frontend.tokenizer),
        entropy_lm=read.frontend.entropy_lm,
        num_clusters=int(read.frontend.num_clusters or 0),
        criterion=asked.criterion,
        rate=asked.rate,
        token_type=str(read.config["token_type"]),
        vocabulary=len(read.tokens),
        parameters=read.parameters,
        decoding=decoding or DecodingConfig(),
        training=training_record(exp, read.config) | read.choice.record,
        data=data_record(read.config),
    )
    with atomic_write(out / "README.md") as stream:
        stream.write(recognizer_card(manifest, exp, read.compressor.path))
    write_yaml(out / MANIFEST, manifest)
    return RecognizerDirectory.open(out)


def _copy_parts(read: Experiment, out: Path) -> dict[str, Any]:
    """Copy what the configuration names; returns ``frontend_conf`` with paths inside ``out``."""
    for name in (BPE, UNIT_BPE, Path(UNIT_BPE).with_suffix(".yaml")):
        (out / name).unlink(missing_ok=True)
    frontend = dict(read.config["frontend_conf"]) | {"model": COMPRESSOR}
    if read.config.get("token_type") == "bpe":
        _copy(Path(read.config["bpemodel"]), out / BPE)
    if read.frontend.unit_bpe is not None:
        source = Path(read.frontend.unit_bpe)
        source = source / UNIT_BPE if source.is_dir() else source
        _copy(source, out / UNIT_BPE)
        _copy(source.with_suffix(".yaml"), (out / UNIT_BPE).with_suffix(".yaml"))
        frontend["unit_bpe"] = UNIT_BPE
    shutil.rmtree(out / COMPRESSOR, ignore_errors=True)
    hidden = shutil.ignore_patterns(".*")  # temporary files of a run that was killed
    shutil.copytree(read.compressor.path, out / COMPRESSOR, ignore=hidden)
    return frontend


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as stream, atomic_write(target, "wb") as out:
        shutil.copyfileobj(stream, out)


def _portable(config: Mapping[str, Any], frontend: dict[str, Any]) -> dict[str, Any]:
    """``config.yaml`` without what only the machine that trained has."""
    kept = {
        key: value
        for key, value in config.items()
        if key not in LOCAL and not key.startswith(LOCAL_PREFIXES)
    }
    bpe = BPE if config.get("token_type") == "bpe" else None
    return kept | {"token_list": TOKENS, "bpemodel": bpe, "frontend_conf": frontend}
