"""FLOPs of a training step, counted on the row's own model and batches.

Multiplications and additions of matrix products, convolutions and attention, forward and
backward; norms, activations and sums are left out, as usual. Counted on the CPU: what is counted
does not depend on the device.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from espnet_entropy.cale.encoder import CALE
from espnet_entropy.cale.pooling import GroupPooling
from espnet_entropy.launch.sweep_budget import Cost

SAMPLED = 8  # batches, at equal distances in ESPnet's order, which is that of their length


def conv_backward_flops(
    grad_out: Sequence[int], x: Sequence[int], w: Sequence[int], *args: Any, **_: Any
) -> int:
    """Of the gradients of a convolution's input and weight: each costs a forward pass.

    torch's own formula takes the gradient of a grouped convolution's weight for that of a dense
    one: 64 times too much for the depthwise convolution of a Conformer 64 wide (torch 2.11).
    """
    transposed, output_mask = args[4], args[7]
    per_gradient = conv_flop_count(list(x), list(w), list(grad_out), transposed=transposed)
    return int(sum(map(bool, output_mask[:2])) * per_gradient)


def count_flops(step: Callable[[], torch.Tensor]) -> int:
    """FLOPs of computing a loss and its gradients.

    Args:
        step: returns the loss (a scalar).
    """
    mapping = {torch.ops.aten.convolution_backward: conv_backward_flops}
    # the fused attention of the CPU is not known to the counter, its matrix products are
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=mapping) as c:
        step().backward()  # type: ignore[no-untyped-call]
    return int(c.get_total_flops())


def segment_attention_flops(model: torch.nn.Module, units: int) -> int:
    """Of CALE's and attention pooling's sums over groups, which the counter takes for no products.

    Per unit, layer and dimension: two products and their additions forward (scores, weighted sum),
    and twice that backward.

    Args:
        model: holds a ``CALE`` or a ``GroupPooling``, or not.
        units: in the batch, without padding.
    """
    width = 0
    for module in model.modules():
        if isinstance(module, CALE):
            width += module.config.layers * module.config.width
        elif isinstance(module, GroupPooling) and module.config.mode == "attention":
            width += module.config.width
    return 12 * units * width


def measure(config: Path, arguments: Sequence[str]) -> Cost:
    """The cost of a training as it is configured.

    Args:
        config: ESPnet's training configuration.
        arguments: further arguments of ESPnet's training: data, tokens.

    Raises:
        ValueError: for an iterator that makes no batches beforehand, or a wrong configuration.
    """
    # here, for it takes 15 s of CPU, and counting needs nothing of it
    from espnet_entropy.tasks.asr import UnitASRTask

    with tempfile.TemporaryDirectory() as folder:
        words = ["--config", str(config), *arguments, "--output_dir", folder, "--ngpu", "0"]
        args = UnitASRTask.get_parser().parse_args([*words, "--num_workers", "0"])
        if args.iterator_type != "sequence":
            raise ValueError(
                f"{config}: iterator_type {args.iterator_type}: expected sequence; others have no "
                "fixed number of batches. Use --budgets epochs."
            )
        return _measure(args)


def _measure(args: argparse.Namespace) -> Cost:
    from espnet2.train.distributed_utils import DistributedOption

    from espnet_entropy.tasks.asr import UnitASRTask

    torch.manual_seed(0)
    model = UnitASRTask.build_model(args).train()
    factory = UnitASRTask.build_iter_factory(
        args=args, distributed_option=DistributedOption(), mode="train"
    )
    batches = list(factory.sampler)
    count = min(SAMPLED, len(batches))
    chosen = [batches[int((i + 0.5) * len(batches) / count)] for i in range(count)]
    flops = sum(_batch_flops(model, factory, batch) for batch in chosen)
    return Cost(
        flops=flops / count,
        batches=len(batches),
        iterations=args.num_iters_per_epoch or len(batches),
        epochs=args.max_epoch,
        accum_grad=args.accum_grad,
        parameters=sum(p.numel() for p in model.parameters()),
    )


def _batch_flops(model: Any, factory: Any, batch: Sequence[str]) -> int:
    _, tensors = factory.collate_fn([factory.dataset[utt] for utt in batch])
    counted = count_flops(lambda: model(**tensors)[0])
    model.zero_grad()
    return counted + segment_attention_flops(model, int(tensors["speech_lengths"].sum()))


def measure_all(configs: Sequence[Path], arguments: Sequence[str]) -> dict[str, Cost]:
    """:func:`measure` of several, by path."""
    costs = {}
    for config in configs:
        costs[str(config)] = cost = measure(config, arguments)
        logging.info("%s: %.3g FLOPs a batch, %d batches", config, cost.flops, cost.batches)
    return costs
