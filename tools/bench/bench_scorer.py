#!/usr/bin/env python
"""Throughput and memory of the entropy scorer beside the obvious alternative.

python tools/bench/bench_scorer.py [--model exp/entropy_lm/export] [--width 1024 --layers 8 ...]

Modes, each in a process of its own (peak memory), on the same random units:
  plain    transformers' LlamaForCausalLM, one utterance at a time, no windows
  batched  EntropyScorer.score_batch
  stream   EntropyScorer.stream, pieces of --push units
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

import numpy as np

from espnet_entropy.utils.cli import Parser, run_main

UNIT_RATE = 50.0  # Hz


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="exported entropy LM; else random weights of these sizes:")
    parser.add_argument("--num_clusters", type=int, default=200)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=384)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--minutes", type=float, default=20.0, help="units to score")
    parser.add_argument("--stream_minutes", type=float, default=1.0, help="units to stream")
    parser.add_argument("--push", type=int, default=5, help="units per push (5 are 0.1 s)")
    parser.add_argument("--device", default="", help="cpu or cuda; default: all that exist")
    parser.add_argument("--mode", choices=["plain", "batched", "stream"], help=argparse.SUPPRESS)
    return parser


def make_utterances(args: argparse.Namespace, minutes: float) -> list[np.ndarray]:
    """Random units; lengths log-normal about 4 s, as read sentences have."""
    rng, left, utterances = np.random.default_rng(0), int(minutes * 60 * UNIT_RATE), []
    while left > 0:
        length = int(np.clip(200 * math.exp(rng.normal(0, 0.6)), 20, 1500))
        utterances.append(rng.integers(0, args.num_clusters, min(length, left)))
        left -= length
    return utterances


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One mode on one device: units per second, times real time, peak memory in MB."""
    import torch

    from espnet_entropy.entropy_lm.config import EntropyLMConfig
    from espnet_entropy.entropy_lm.model import EntropyLM
    from espnet_entropy.entropy_lm.scorer import EntropyScorer

    torch.manual_seed(0)
    if args.model:
        lm = EntropyLM.from_pretrained(args.model, args.device)
        args.num_clusters = lm.config.num_clusters
    else:
        names = ("num_clusters", "width", "layers", "heads", "ffn", "context")
        config = EntropyLMConfig(**{name: getattr(args, name) for name in names})
        lm = EntropyLM(config).eval().to(args.device)
    scorer = EntropyScorer(lm)

    def stream(utterances: list[np.ndarray]) -> None:
        for units in utterances:
            pushed = scorer.stream()
            for begin in range(0, len(units), args.push):
                pushed.push(units[begin : begin + args.push])

    runs: dict[str, Callable[[list[np.ndarray]], object]] = {
        "plain": plain_scorer(lm) if args.mode == "plain" else stream,
        "batched": scorer.score_batch,
        "stream": stream,
    }
    run = runs[args.mode]
    utterances = make_utterances(
        args, args.stream_minutes if args.mode == "stream" else args.minutes
    )
    run(utterances[:3])  # first calls allocate and choose kernels
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begin = time.perf_counter()
    run(utterances)
    seconds = time.perf_counter() - begin
    units = sum(map(len, utterances))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if args.device.startswith("cuda"):
        peak, base = torch.cuda.max_memory_allocated() / 2**20, 0.0
    return {
        "units_per_s": units / seconds,
        "x_real_time": units / UNIT_RATE / seconds,
        "peak_mb": peak,
        "added_mb": peak - base,
    }


def plain_scorer(lm: object) -> Callable[[list[np.ndarray]], None]:
    """transformers' own causal LM with the same weights, batch 1."""
    import torch
    from transformers import LlamaForCausalLM

    from espnet_entropy.entropy_lm.model import EntropyLM

    assert isinstance(lm, EntropyLM)
    config = type(lm.backbone.config).from_dict(lm.backbone.config.to_dict())
    config._attn_implementation = "sdpa"
    model: torch.nn.Module = LlamaForCausalLM(config)
    model.train(False).to(lm.device)
    model.get_submodule("model").load_state_dict(lm.backbone.state_dict())
    model.get_submodule("lm_head").load_state_dict(lm.head.state_dict())
    sos, K = lm.config.sos, lm.config.num_clusters

    @torch.inference_mode()
    def run(utterances: list[np.ndarray]) -> None:
        for units in utterances:
            ids = torch.from_numpy(np.concatenate([[sos], units[:-1]]))[None].to(lm.device)
            log_p = model(ids).logits[0, :, :K].float().log_softmax(-1)
            _ = -(log_p.exp() * log_p).sum(-1).cpu()

    return run


def main(argv: list[str] | None = None) -> None:
    """Print one line per device and mode."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = get_parser().parse_args(given)
    if args.mode:
        print(json.dumps(measure(args)))
        return
    import torch

    devices = [args.device] if args.device else ["cpu"] + ["cuda"] * torch.cuda.is_available()
    print(f"torch threads: {torch.get_num_threads()}; units at {UNIT_RATE:g} Hz")
    print(
        f"{'device':8}{'mode':10}{'units/s':>12}{'x real time':>14}{'peak MB':>10}{'added MB':>10}"
    )
    for device in devices:
        for mode in ("plain", "batched", "stream"):
            command = [sys.executable, __file__, *given, "--device", device, "--mode", mode]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            r = json.loads(done.stdout.splitlines()[-1])
            numbers = "".join(f"{r[key]:13.0f}" for key in r)
            print(f"{device:8}{mode:10}{numbers}", flush=True)


if __name__ == "__main__":
    run_main(main)  # type: ignore[arg-type]
