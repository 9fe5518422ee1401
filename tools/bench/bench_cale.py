#!/usr/bin/env python
"""Segment attention beside dense masked and flex attention; a CALE layer beside its products.

python tools/bench/bench_cale.py [--seconds 10 40 120] [--width 256 --heads 4] [--device cpu]

Part 1, each case in a process of its own (peak memory), one utterance of so many seconds:
  segment    espnet_entropy.cale.attention
  dense      scaled_dot_product_attention with an (M, N) mask
  flex       flex_attention with the same mask as a block mask, compiled (as compiling takes
             a minute or two a case, --no-flex leaves it out); no backward on CPU in torch 2.11
Part 2, in one process: forward of one CALE layer and training step of it, beside the time of
the matrix products in it alone (same shapes, attention's own included).

Process CPU time on a CPU, least of several repetitions: other processes do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from espnet_entropy.utils.cli import Parser, run_main

if TYPE_CHECKING:
    import torch

UNIT_RATE = 50  # Hz
GROUP_RATE = 15  # Hz
MOST_SECONDS = 15.0  # of repetitions, where one takes long
CASES = ("segment", "dense", "flex")


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 40, 120])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--num_units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--no-flex", action="store_true", help="leave compiled flex attention out")
    parser.add_argument("--device", default="", help="cpu or cuda; default: all that exist")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    return parser


def least_times(runs: list[Callable[[], object]], repeats: int, cuda: bool) -> list[float]:
    """Milliseconds of the fastest repetition of each; in turn, so that all meet the same load."""
    import torch

    clock = time.perf_counter if cuda else time.process_time
    least = [math.inf] * len(runs)
    stop = time.monotonic() + MOST_SECONDS
    for repeat in range(repeats + 1):
        for i, run in enumerate(runs):
            if cuda:
                torch.cuda.synchronize()
            begin = clock()
            run()
            if cuda:
                torch.cuda.synchronize()
            if repeat:  # the first one allocates and compiles
                least[i] = min(least[i], clock() - begin)
        if repeat > 2 and time.monotonic() > stop:
            break
    return [1e3 * x for x in least]


def make_groups(seconds: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Owner (T,) and offsets (G + 1,) of random groups at the usual rate."""
    import torch

    torch.manual_seed(0)
    T = seconds * UNIT_RATE
    starts = torch.rand(T) < GROUP_RATE / UNIT_RATE
    starts[0] = True
    owner = starts.long().cumsum(0) - 1
    offsets = torch.cat([starts.nonzero()[:, 0], torch.tensor([T])])
    return owner.to(device), offsets.to(device)


def attention(case: str, args: argparse.Namespace, seconds: int) -> Callable[[], torch.Tensor]:
    """One forward pass of ``case``; returns its output, whose inputs have gradients."""
    import torch
    import torch.nn.functional as F

    from espnet_entropy.cale.attention import segment_attention

    H, d = args.heads, args.width // args.heads
    owner, offsets = make_groups(seconds, args.device)
    G, T = len(offsets) - 1, len(owner)
    q, k, v = (
        torch.randn(n, H, d, device=args.device).requires_grad_(case != "flex") for n in (G, T, T)
    )
    if case == "segment":
        return lambda: segment_attention(q, k, v, owner, offsets)
    # (n, H, d) -> (1, H, n, d)
    heads_first = [x.transpose(0, 1)[None] for x in (q, k, v)]
    if case == "dense":
        mask = torch.arange(G, device=args.device)[:, None] == owner
        return lambda: F.scaled_dot_product_attention(*heads_first, attn_mask=mask)
    return flex(heads_first, owner, G, T, args.device)


def flex(
    inputs: list[torch.Tensor], owner: torch.Tensor, G: int, T: int, device: str
) -> Callable[[], torch.Tensor]:
    """Compiled flex attention; its block mask is made once, outside of what is timed."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def own(_b: object, _h: object, group: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        return owner[unit] == group

    blocks = create_block_mask(own, None, None, G, T, device=device)
    compiled = torch.compile(flex_attention, dynamic=False)
    if device != "cpu":
        inputs = [x.detach().requires_grad_() for x in inputs]
    return lambda: compiled(*inputs, block_mask=blocks)


def measure_case(args: argparse.Namespace) -> dict[str, float | None]:
    """Milliseconds forward, and forward with backward; MB that the run added."""
    import torch

    cuda = args.device != "cpu"
    seconds = args.seconds[0]
    run = attention(args.case, args, seconds)
    backward_too = cuda or args.case != "flex"

    def forward() -> None:
        with torch.no_grad():
            run()

    def both() -> None:
        run().sum().backward()

    warm = attention(args.case, args, 2) if args.case != "flex" else run
    (warm().sum().backward() if backward_too else warm())  # libraries allocate once
    base = peak_mb(cuda)
    (both if backward_too else forward)()
    added = peak_mb(cuda) - base
    return {
        "forward": least_times([forward], args.repeats, cuda)[0],
        "both": least_times([both], args.repeats, cuda)[0] if backward_too else None,
        "added_mb": added if args.case != "flex" else None,
    }


def peak_mb(cuda: bool) -> float:
    """Most memory so far."""
    import torch

    if cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare_attention(args: argparse.Namespace, given: list[str]) -> None:
    """Part 1: a table."""
    print(f"{'':8}{'seconds':>8}{'attention':>12}{'forward ms':>12}{'+ back ms':>12}{'MB':>8}")
    cases = CASES[:2] if args.no_flex else CASES
    for seconds in args.seconds:
        for case in cases:
            command = [sys.executable, __file__, *given, "--device", args.device]
            command += ["--case", case, "--seconds", str(seconds)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                why = (done.stderr.strip().splitlines() or ["?"])[-1][:60]
                print(f"{args.device:8}{seconds:8d}{case:>12}  failed: {why}", flush=True)
                continue
            r = json.loads(done.stdout.splitlines()[-1])
            both, added = ("-" if r[x] is None else f"{r[x]:.2f}" for x in ("both", "added_mb"))
            row = f"{args.device:8}{seconds:8d}{case:>12}{r['forward']:12.2f}{both:>12}{added:>8}"
            print(row, flush=True)


def compare_layer(args: argparse.Namespace) -> None:
    """Part 2: a CALE of one layer, without its embedding, beside its matrix products."""
    import torch

    cuda = args.device != "cpu"
    print(f"{'':8}{'seconds':>8}{'layer':>14}{'pass':>10}{'ms':>9}{'products ms':>13}{'ratio':>7}")
    variants = {"full": {}, "window": {}, "none": {}, "paper_exact": {"paper_exact": True}}
    for seconds in args.seconds:
        for name in variants:
            layer, products = one_layer(name, args, seconds)
            for kind in ("forward", "training"):
                with torch.set_grad_enabled(kind == "training"):
                    runs: list[Callable[[], object]] = [partial(x, kind) for x in (layer, products)]
                    times = least_times(runs, args.repeats, cuda)
                print(
                    f"{args.device:8}{seconds:8d}{name:>14}{kind:>10}{times[0]:9.2f}"
                    f"{times[1]:13.2f}{times[0] / times[1]:7.2f}",
                    flush=True,
                )


Step = Callable[[str], None]


def one_layer(name: str, args: argparse.Namespace, seconds: int) -> tuple[Step, Step]:
    """The layer, and the matrix products in it, as functions of forward or training."""
    import torch

    from espnet_entropy.cale import CALE, CaleConfig
    from espnet_entropy.cale.ragged import Ragged

    exact = name == "paper_exact"
    config = CaleConfig(
        width=args.width, heads=args.heads, layers=1, paper_exact=exact, dropout=0.0,
        token_update="full" if exact else name,  # type: ignore[arg-type]
    )  # fmt: skip
    cale = CALE(config, args.num_units).to(args.device)
    owner, _ = make_groups(seconds, args.device)
    ragged = Ragged.of(owner[None], torch.tensor([len(owner)], device=args.device))
    T, G, D = len(owner), int(owner[-1]) + 1, config.width
    states = torch.randn(T, D, device=args.device, requires_grad=True)
    groups = torch.randn(G, D, device=args.device, requires_grad=True)
    attend, turns = cale._attention(ragged) if config.updates else (None, None)

    def layer(kind: str) -> None:
        tokens = states
        if attend is not None:
            tokens = cale.blocks[0](tokens, attend, turns)
        out = cale.cross[0](groups, tokens, None, ragged)
        if kind == "training":
            out.backward(torch.ones_like(out))

    shapes = [(G, D, D), (G, D, D), (T, D, D), (T, D, D)] if exact else [(G, D, D), (G, D, D)]
    shapes += [] if exact else [(T, D, 2 * D)]
    if config.updates:
        shapes += [(T, D, 3 * D), (T, D, D), (T, D, 2 * config.inner), (T, config.inner, D)]
    pairs = [
        (torch.randn(a, b, device=args.device), torch.randn(b, c, device=args.device))
        for a, b, c in shapes
    ]
    scores = attention_products(config, T, args.device) if config.updates else []

    def products(kind: str) -> None:
        for a, b in pairs + scores:
            c = a @ b
            if kind == "training":  # both gradients, of the same cost
                c @ b.transpose(-1, -2), a.transpose(-1, -2) @ c

    return layer, products


def attention_products(
    config: object, T: int, device: str
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Operands of self-attention's two products, in pieces of 512 queries to stay in the cache."""
    import torch

    from espnet_entropy.cale.config import CaleConfig
    from espnet_entropy.cale.self_attention import BLOCK

    assert isinstance(config, CaleConfig)
    H, d = config.heads, config.width // config.heads
    rows, keys = (512, T) if config.token_update == "full" else (BLOCK, BLOCK + 2 * config.window)
    pairs = []
    for begin in range(0, T, rows):
        n = min(rows, T - begin)
        pairs.append([(H, n, d), (H, d, keys)])
        pairs.append([(H, n, keys), (H, keys, d)])
    return [(torch.randn(a, device=device), torch.randn(b, device=device)) for a, b in pairs]


def main(argv: list[str] | None = None) -> None:
    """Print the tables, one device after the other."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = get_parser().parse_args(given)
    if args.case:
        print(json.dumps(measure_case(args)))
        return
    import torch

    devices = [args.device] if args.device else ["cpu"] + ["cuda"] * torch.cuda.is_available()
    print(f"torch threads: {torch.get_num_threads()}; {UNIT_RATE} units, {GROUP_RATE} groups a s")
    for args.device in devices:
        compare_attention(args, given)
        compare_layer(args)


if __name__ == "__main__":
    run_main(main)  # type: ignore[arg-type]
