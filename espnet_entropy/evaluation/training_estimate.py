"""How long a training takes and how much memory it needs, before anybody has the GPU.

A model as configured makes training steps on the CPU with one and with two utterances of usual
length; FLOPs and what is kept for the backward pass are linear in their number from there. What
turns FLOPs into hours is the throughput that the user assumes, or the launching of operations where
that takes longer: the result says so.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from espnet_entropy.recognizer.build import build_model
from espnet_entropy.utils.config import read_yaml
from espnet_entropy.utils.grid import UNIT_RATE

COLUMNS = 2  # of a scored dump: batch_bins counts unit and entropy
# Bytes per weight: float32 weight and gradient, and the two moments of Adam and its kin.
STATE_BYTES = 4 + 4 + 8
# Temporary results, the allocator's slack and CUDA itself; an assumption, not a measurement.
SLACK = 1.25
CUDA_BYTES = 1e9
# Seconds until torch has launched an operation; an assumption. Small models wait for it.
LAUNCH = 10e-6


@dataclass(frozen=True)
class Corpus:
    """What the estimate takes the training set to be.

    Attributes:
        hours: of audio.
        seconds: of a usual utterance; attention costs a little more where lengths differ.
        tokens_per_second: text tokens.
        vocabulary: text tokens that exist.
        rate: groups per second.
        num_clusters: codebook size K.
    """

    hours: float
    seconds: float = 12.7  # train-clean-100: 100.6 h in 28 539 utterances
    tokens_per_second: float = 5.0
    vocabulary: int = 500
    rate: float = 15.0
    num_clusters: int = 500

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: expected above 0, got {value}.")


@dataclass(frozen=True)
class Estimate:
    """What comes out.

    Attributes:
        parameters: of the model.
        utterances: in a batch.
        batches: of an epoch.
        epochs: of the training.
        flops: of a batch, forward and backward.
        operations: launched for a batch, forward and backward.
        saved_bytes: kept for the backward pass of a batch.
        hours: of training, at the assumed throughput.
        gigabytes: of memory at the peak.
    """

    parameters: int
    utterances: int
    batches: int
    epochs: int
    flops: float
    operations: int
    saved_bytes: float
    hours: float
    gigabytes: float


def estimate_training(config: Path, corpus: Corpus, tflops: float) -> Estimate:
    """Predict time and memory of a training on one GPU.

    Args:
        config: ESPnet's training configuration with ``batch_type: numel``.
        corpus: what it trains on.
        tflops: throughput that the GPU is assumed to keep up, in 10^12 FLOPs per second.

    Raises:
        ValueError: for another kind of batches, or a configuration that makes no model.
    """
    from espnet_entropy.tasks.training_flops import count_flops, segment_attention_flops

    if not 0 < tflops < math.inf:
        raise ValueError(f"tflops: expected above 0, got {tflops}.")
    conf = read_yaml(config)
    if conf.get("batch_type") != "numel" or not conf.get("batch_bins"):
        raise ValueError(
            f"{config}: expected 'batch_type: numel' with 'batch_bins', got batch_type "
            f"{conf.get('batch_type')}, batch_bins {conf.get('batch_bins')}; the estimate needs "
            "the size of a batch: set both."
        )
    model = training_model(conf, corpus, str(config))
    units = round(corpus.seconds * UNIT_RATE)
    utterances = max(1, conf["batch_bins"] // (COLUMNS * units))
    amp, flops, saved = bool(conf.get("use_amp")), [], []
    for count in (1, 2):
        batch = make_batch(count, corpus)
        counted = count_flops(lambda b=batch: model(**b)[0])  # type: ignore[misc]
        flops.append(counted + segment_attention_flops(model, count * units))
        saved.append(saved_bytes(lambda b=batch: model(**b)[0], model, amp))  # type: ignore[misc]
        model.zero_grad()
    batch_flops, batch_bytes = (
        first + (utterances - 1) * (second - first) for first, second in (flops, saved)
    )
    # of one utterance: a GPU attends to all utterances of a batch in one operation
    operations = count_operations(lambda: model(**make_batch(1, corpus))[0].backward())
    step_seconds = max(batch_flops / (tflops * 1e12), LAUNCH * operations)
    whole = math.ceil(corpus.hours * 3600 / (utterances * corpus.seconds))
    batches = int(conf.get("num_iters_per_epoch") or whole)
    epochs = int(conf.get("max_epoch", 40))
    parameters = sum(p.numel() for p in model.parameters())
    return Estimate(
        parameters=parameters,
        utterances=utterances,
        batches=batches,
        epochs=epochs,
        flops=batch_flops,
        operations=operations,
        saved_bytes=batch_bytes,
        hours=step_seconds * batches * epochs / 3600,
        gigabytes=(STATE_BYTES * parameters + SLACK * batch_bytes + CUDA_BYTES) / 1e9,
    )


def training_model(conf: dict[str, Any], corpus: Corpus, where: str) -> Any:
    """The model in training mode; its groups are ``rate`` a second, whatever makes them later."""
    frontend = {
        "segmenter": {"criterion": "uniform", "rate": corpus.rate},
        "num_clusters": corpus.num_clusters,
    }
    tokens = ["<blank>", "<unk>", *map(str, range(corpus.vocabulary - 3)), "<sos/eos>"]
    model = build_model({**conf, "frontend_conf": frontend}, tokens, where)
    return model.train().requires_grad_(True)


def make_batch(utterances: int, corpus: Corpus) -> dict[str, torch.Tensor]:
    """Arguments of ``ESPnetASRModel.forward``: utterances of one length, of random units."""
    torch.manual_seed(0)
    units = round(corpus.seconds * UNIT_RATE)
    tokens = max(1, round(corpus.seconds * corpus.tokens_per_second))
    drawn = torch.randint(corpus.num_clusters, (utterances, units)).float()
    return {
        "speech": torch.stack([drawn, torch.rand(utterances, units)], -1),  # (B, N, 2)
        "speech_lengths": torch.full((utterances,), units),
        "text": torch.randint(2, max(3, corpus.vocabulary - 1), (utterances, tokens)),
        "text_lengths": torch.full((utterances,), tokens),
    }


def saved_bytes(step: Callable[[], torch.Tensor], model: torch.nn.Module, amp: bool = False) -> int:
    """Bytes that autograd keeps for the backward pass, weights not counted.

    Args:
        step: returns the loss.
        model: whose weights are not counted.
        amp: under automatic mixed precision: bfloat16 on the CPU, which takes as much memory as
            float16 and is used for the same operations, nearly.
    """
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor  # kept alive by the graph, so that no address comes twice

    precision = torch.autocast("cpu", torch.bfloat16) if amp else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), precision:
        loss = step()
    assert loss.requires_grad
    return sum(found.values())


class _Operations(TorchDispatchMode):
    """Counts the operations of torch that run under it; views launch nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 0 if func.is_view else 1
        return func(*args, **(kwargs or {}))


def count_operations(run: Callable[[], object]) -> int:
    """Operations that ``run`` launches."""
    operations = _Operations()
    with operations:
        run()
    return operations.count


def describe_estimate(found: Estimate, corpus: Corpus, tflops: float, config: Path) -> str:
    """The estimate with everything that it assumes."""
    return (
        f"{config}: {found.parameters / 1e6:.1f} M parameters; {found.batches} batches of "
        f"{found.utterances} utterances an epoch, {found.epochs} epochs.\n"
        f"Counted: {found.flops / 1e12:.3g} TFLOPs, {found.operations} operations and "
        f"{found.saved_bytes / 1e9:.3g} GB kept for the backward pass, of a batch.\n"
        f"Predicted: {found.hours:.2g} hours of training, {found.gigabytes:.2g} GB of GPU memory.\n"
        f"Assumed: {tflops:g} TFLOP/s kept up (peaks of data sheets are several times what small "
        f"models reach), but {1e6 * LAUNCH:g} microseconds an operation at least; "
        f"{corpus.hours:g} hours in utterances of {corpus.seconds:g} s with "
        f"{corpus.tokens_per_second:g} text tokens and {corpus.rate:g} groups a second; memory: "
        f"{STATE_BYTES} bytes a weight (float32, Adam), {SLACK:g} times what is kept, "
        f"{CUDA_BYTES / 1e9:g} GB for CUDA. Not counted: reading data, validation, the loss of CTC "
        "and saving."
    )
