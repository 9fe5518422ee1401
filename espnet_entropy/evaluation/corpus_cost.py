"""What a corpus costs, stage by stage: GPU hours, hours of CPU cores, disk and files.

Speech passes through every stage at some speed, in times real time: measured
(``tools/bench/bench_stages.py``), or by the FLOPs of a second of speech and an assumed throughput.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation import corpus_disk as disk
from espnet_entropy.evaluation.corpus_disk import Disk, Names
from espnet_entropy.evaluation.training_estimate import LAUNCH, Corpus
from espnet_entropy.utils.config import load_config
from espnet_entropy.utils.grid import UNIT_RATE

# What bench_stages measures and a stage below waits for
SPEEDS = (
    "format",
    "tokenize",
    "pack",
    "train_entropy_lm",
    "score_entropy",
    "calibrate",
    "train_asr",
    "infer",
)


@dataclass(frozen=True)
class Measured:
    """A file of ``tools/bench/bench_stages.py``.

    Attributes:
        device: ``type`` (cpu or cuda), ``name`` and state.
        clock: wall, or cpu time.
        seconds: of the utterances.
        x_real_time: speed by name: seconds of speech a second. On a CPU: of one core.
        command: that wrote the file.
        git: revision.
        versions: of the packages.
    """

    device: dict[str, Any]
    clock: str
    seconds: float
    x_real_time: dict[str, float]
    command: str
    git: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device.get("type") not in ("cpu", "cuda") or "name" not in self.device:
            raise ValueError(f"device: expected type cpu or cuda and a name, got {self.device}.")
        for name, speed in self.x_real_time.items():
            if name not in SPEEDS or not speed > 0:
                raise ValueError(
                    f"x_real_time: {name}: {speed}: expected a number above 0 for one of "
                    f"{', '.join(SPEEDS)}. Write the file anew with tools/bench/bench_stages.py."
                )


@dataclass(frozen=True)
class Assumed:
    """Throughput of a GPU where none was measured, in 10^12 FLOPs a second.

    Attributes:
        training: in half precision (``use_amp``), large batches.
        inference: in single precision, an utterance or a few at a time.
    """

    training: float
    inference: float

    def __post_init__(self) -> None:
        if not (self.training > 0 and self.inference > 0):
            raise ValueError(f"tflops: expected numbers above 0, got {self}.")


@dataclass(frozen=True)
class Stage:
    """What passes through a stage.

    Attributes:
        name: of the recipe's stage.
        hours: of speech that pass through it, every pass counted.
        disk: what it writes.
        speed: of the measured ones; "": not measured, it takes minutes.
        flops: of a second of speech, on a GPU; 0: it needs none.
        trains: whether the FLOPs are those of a training.
        launches: operations that a GPU is given one by one, a second of speech.
        decodes: whether the GPU waits for the audio to be decoded.
        note: what else the line takes for granted.
    """

    name: str
    hours: float
    disk: Disk
    speed: str = ""
    flops: float = 0.0
    trains: bool = False
    launches: float = 0.0
    decodes: bool = False
    note: str = ""


@dataclass(frozen=True)
class Cost:
    """A line of the table; ``None`` is unknown, 0 none.

    Attributes:
        stage: its stage.
        gpu_hours: on one GPU.
        core_hours: on one CPU core; for a stage that computes on a GPU, without one.
        basis: where the times come from.
    """

    stage: Stage
    gpu_hours: float | None
    core_hours: float | None
    basis: str


def read_measured(paths: Sequence[str | Path]) -> dict[str, Measured]:
    """Measured files by device type.

    Raises:
        ValueError: for a bad file, or two of a type.
    """
    found: dict[str, Measured] = {}
    for path in paths:
        measured = load_config(Measured, path)
        kind = str(measured.device["type"])
        if kind in found:
            raise ValueError(f"{path}: a second file of a {kind}; give one for each kind.")
        found[kind] = measured
    return found


def cost(stage: Stage, measured: Mapping[str, Measured], assumed: Assumed) -> Cost:
    """Time of a stage: as measured where it was, by assumed FLOPs a second elsewhere."""
    speeds = {kind: file.x_real_time.get(stage.speed) for kind, file in measured.items()}
    cpu, cuda = speeds.get("cpu"), speeds.get("cuda")
    basis = []
    gpu_hours: float | None = 0.0
    if stage.flops and cuda:
        gpu_hours = stage.hours / cuda
        basis.append(f"GPU: {cuda:,.0f} x real time, measured")
    elif stage.flops:
        seconds, said = _assume(stage, measured, assumed)
        gpu_hours = stage.hours * seconds
        basis.append(said)
    if cpu:
        where = "core" if not stage.flops else "core instead"
        basis.append(f"{where}: {cpu:,.{0 if cpu >= 100 else 2}f} x real time, measured")
    if not stage.speed:
        basis.append("reads and writes tables: not measured")
    core_hours = stage.hours / cpu if cpu else None
    if stage.note:
        basis.append(stage.note)
    return Cost(stage, gpu_hours, core_hours, "; ".join(basis))


def _assume(stage: Stage, measured: Mapping[str, Measured], assumed: Assumed) -> tuple[float, str]:
    """Seconds of a GPU for a second of speech, and what was assumed."""
    tflops = assumed.training if stage.trains else assumed.inference
    seconds = stage.flops / (tflops * 1e12)
    said = f"GPU: {stage.flops / 1e9:.3g} GFLOPs a second of speech at {tflops:g} TFLOP/s, assumed"
    if LAUNCH * stage.launches > seconds:
        seconds = LAUNCH * stage.launches
        said = (
            f"GPU: {stage.launches:,.0f} operations a second of speech, {1e6 * LAUNCH:g} "
            "microseconds each, assumed"
        )
    decoding = measured["cpu"].x_real_time.get("format") if "cpu" in measured else None
    if stage.decodes and decoding:
        seconds += 1 / decoding
        said += ", and waits for the decoding of audio"
    return seconds, said


@dataclass(frozen=True)
class Models:
    """Counted on the models themselves (:mod:`espnet_entropy.evaluation.corpus_models`).

    Attributes:
        lm_conf: the entropy LM's training configuration.
        lm_parameters: of the entropy LM.
        asr_conf: the recognizer's training configuration.
        asr_parameters: of the recognizer.
        asr_batch_seconds: speech in a batch of its training.
        asr_updates: of its training.
        fit_hours: of speech that the quantizer is fitted on.
        flops: of a second of speech, by stage.
        launches: operations a second of speech, by stage.
    """

    lm_conf: dict[str, Any]
    lm_parameters: int
    asr_conf: dict[str, Any]
    asr_parameters: int
    asr_batch_seconds: float
    asr_updates: int
    fit_hours: float
    flops: dict[str, float]
    launches: dict[str, float]


def plan_stages(
    corpus: Corpus, models: Models, valid_hours: float, test_hours: float, names: Names
) -> list[Stage]:
    """The stages of a recipe in their order; valid and test are too small to count on disk."""
    flops, launches = models.flops, models.launches
    lm, asr = models.lm_conf, models.asr_conf
    context = int(lm["lm_conf"].get("context", 2048))
    lm_updates = int(lm["num_iters_per_epoch"]) * int(lm["max_epoch"])
    lm_seconds = int(lm["batch_size"]) * context / UNIT_RATE
    hours = corpus.hours
    return [
        Stage("data", 0.0, disk.tables(corpus, names), note="the corpus stays where it is"),
        Stage(
            "format",
            hours,
            disk.formatted(corpus, names),
            "format",
            note="16 kHz mono files stay where they are, others become FLAC: 54 MB and "
            f"{3600 / corpus.seconds:.0f} files an hour more",
        ),
        Stage(
            "fit_tokenizer",
            models.fit_hours,
            Disk(2e6, 3),
            "tokenize",
            flops["tokenize"],
            decodes=True,
            note="features alone, k-means adds minutes; its 3 GB of frames are removed",
        ),
        Stage(
            "tokenize",
            hours,
            disk.units(corpus, names),
            "tokenize",
            flops["tokenize"],
            decodes=True,
            note="an utterance at a time",
        ),
        Stage("pack", hours, disk.packed(corpus, context), "pack"),
        Stage(
            "train_entropy_lm",
            lm_updates * lm_seconds / 3600,
            disk.models(models.lm_parameters, int(lm["keep_nbest_models"]), copies=2),
            "train_entropy_lm",
            flops["train_entropy_lm"],
            trains=True,
            note=f"{lm_updates:,} updates of {lm_seconds * UNIT_RATE:,.0f} units",
        ),
        Stage(
            "score_entropy",
            hours,
            disk.scored(corpus, names),
            "score_entropy",
            flops["score_entropy"],
        ),
        Stage("calibrate", valid_hours, Disk(1e5, 3), "calibrate", note="valid alone"),
        Stage("prepare", 0.0, disk.prepared(corpus, names)),
        Stage(
            "train_asr",
            models.asr_updates * models.asr_batch_seconds / 3600,
            disk.models(models.asr_parameters, int(asr["keep_nbest_models"]), copies=1),
            "train_asr",
            flops["train_asr"],
            trains=True,
            note=f"{models.asr_updates:,} updates of {models.asr_batch_seconds:,.0f} s",
        ),
        Stage(
            "infer",
            test_hours,
            Disk(1e6, 10),
            "infer",
            flops["infer"],
            launches=launches["infer"],
            note="test alone, beam 5, an utterance at a time",
        ),
    ]
