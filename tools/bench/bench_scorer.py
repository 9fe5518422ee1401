#!/usr/bin/env python
"""Entropy LM: scoring and training beside the obvious alternative and the machine's ceiling.

python tools/bench/bench_scorer.py [--model exp/entropy_lm/export] [--width 1024 --layers 8 ...]

On a GPU the paper's 103.8 M, on a CPU 2 x 128, unless sizes are given. Cases, each in a process
of its own (peak memory), on the same random units:
  ceiling     a large square matrix product
  plain       transformers' LlamaForCausalLM, one utterance at a time, no windows
  padded      the same, 64 utterances in the order given, padded, with attention_mask
  score       EntropyScorer.score_batch
  stream      EntropyScorer.stream, pieces of --push units
  train       a step on packed rows: forward, loss, backward, clipping, AdamW; bfloat16 by autocast
  train_plain the same step by transformers on 64 padded utterances at a time
FLOPs are those that the model asks for: its matrix products and the pairs that a causal attention
sees, without padding, windows' overlap included; three times as many for training.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from espnet_entropy.utils.cli import Parser, run_main

UNIT_RATE = 50.0  # Hz
SIZES = {
    "cpu": {"num_clusters": 200, "width": 128, "layers": 2, "heads": 4, "ffn": 384, "context": 512},
    "cuda": {"num_clusters": 500},  # EntropyLMConfig's defaults are the paper's
}
MINUTES = {"cpu": 20.0, "cuda": 400.0}
SQUARE = {"cpu": 1024, "cuda": 16384}  # of the ceiling's product
ROWS = {"cpu": 2, "cuda": 32}  # of a training batch, each a context long
STEPS = {"cpu": 3, "cuda": 10}
PADDED = 64
CASES = {  # name, dtype, compiled; the first dtype is the ceiling's
    "cpu": [
        ("ceiling", "float32", False),
        ("plain", "float32", False),
        ("padded", "float32", False),
        ("score", "float32", False),
        ("score", "bfloat16", False),
        ("stream", "float32", False),
        ("train", "float32", False),
    ],
    "cuda": [
        ("ceiling", "bfloat16", False),
        ("plain", "bfloat16", False),
        ("padded", "bfloat16", False),
        ("score", "float32", False),
        ("score", "bfloat16", False),
        ("score", "bfloat16", True),
        ("stream", "bfloat16", False),
        ("train", "bfloat16", False),
        ("train", "bfloat16", True),
        ("train_plain", "bfloat16", False),
    ],
}
COLUMNS = (
    f"{'units/s':>10}{'x real time':>13}{'GFLOP/s':>11}{'ceiling':>9}{'peak MB':>9}{'+ MB':>8}"
)
PARTS = {  # of kernels' and operators' names
    "products": ("gemm", "cutlass", "nvjet", "xmma", "aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("flash", "fmha", "scaled_dot_product"),
    "copies": ("memcpy", "memset", "copy_"),
}

Documents = list[np.ndarray]
Run = Callable[[Documents], object]


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="exported entropy LM; else random weights of these sizes:")
    for name in SIZES["cpu"]:
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--minutes", type=float, help="units to score")
    parser.add_argument("--stream_minutes", type=float, default=1.0, help="units to stream")
    parser.add_argument("--push", type=int, default=5, help="units per push (5 are 0.1 s)")
    parser.add_argument("--device", default="", help="cpu or cuda; default: all that exist")
    parser.add_argument("--parts", action="store_true", help="what the time of each case goes to")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser


def make_lm(args: argparse.Namespace) -> Any:
    """The exported LM, or one with random weights; float32 on the CPU."""
    import torch

    from espnet_entropy.entropy_lm.config import EntropyLMConfig
    from espnet_entropy.entropy_lm.model import EntropyLM

    if args.model:
        return EntropyLM.from_pretrained(args.model)
    torch.manual_seed(0)
    given = {name: getattr(args, name) for name in SIZES["cpu"] if getattr(args, name) is not None}
    return EntropyLM(EntropyLMConfig(**(SIZES[kind(args.device)] | given))).eval()


def kind(device: str) -> str:
    """``cpu`` or ``cuda``."""
    return "cuda" if device.startswith("cuda") else "cpu"


def make_utterances(num_clusters: int, minutes: float) -> Documents:
    """Random units; lengths log-normal about 4 s, as read sentences have."""
    rng, left, utterances = np.random.default_rng(0), int(minutes * 60 * UNIT_RATE), []
    while left > 0:
        length = int(np.clip(200 * math.exp(rng.normal(0, 0.6)), 20, 1500))
        utterances.append(rng.integers(0, num_clusters, min(length, left)))
        left -= length
    return utterances


def model_flops(config: Any, lengths: Sequence[int]) -> int:
    """Of a forward pass over documents of so many tokens."""
    from espnet_entropy.evaluation.cost import attention, linear

    D, total = config.width, 0
    for n in lengths:
        # causal: half of all pairs, and the diagonal
        layer = linear(n, D, 4 * D + 3 * config.ffn) + attention(n, n + 1, D) // 2
        total += config.layers * layer + linear(n, D, config.num_clusters)
    return total


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One case: units and FLOPs per second, peak memory in MB, seconds by part if asked for."""
    import torch

    name, dtype, _ = args.case
    where = kind(args.device)
    if name == "ceiling":
        return {"flops": ceiling(SQUARE[where], args.device, dtype)}
    lm = make_lm(args)
    if name.startswith("train"):
        work, run, units, flops = training(args, lm)
    else:
        minutes = args.stream_minutes if name == "stream" else args.minutes or MINUTES[where]
        work = make_utterances(lm.config.num_clusters, minutes)
        units, flops = sum(map(len, work)), scoring_flops(lm.config, work)
        run = scoring(args, lm)
    few = work[: 5 if where == "cpu" or name == "stream" else 1000]
    run(few)  # first calls allocate, choose kernels, compile
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = timed(lambda: run(work), args.device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if where == "cuda":
        peak, before = torch.cuda.max_memory_allocated() / 2**20, 0.0
    found = {"units": units / seconds, "flops": flops / seconds, "peak": peak}
    found["added"] = peak - before
    return found | (parts(lambda: run(few), args.device) if args.parts else {})


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds until the device is done."""
    import torch

    if kind(device) == "cpu":  # what else the machine does shall not count; OMP_NUM_THREADS=1
        begin = time.process_time()
        run()
        return time.process_time() - begin
    torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def ceiling(size: int, device: str, dtype: str) -> float:
    """FLOP/s of a square product, the best of five rounds."""
    import torch

    left, right = torch.randn(2, size, size, device=device).to(getattr(torch, dtype))

    def product() -> None:
        for _ in range(5):
            left @ right

    product()
    return 5 * 2 * size**3 / min(timed(product, device) for _ in range(5))


def scoring_flops(config: Any, utterances: Documents) -> int:
    """Of all windows; where they overlap the head is counted twice, half a percent of it all."""
    from espnet_entropy.entropy_lm.scorer import windows

    lengths = [len(w) for units in utterances for w in windows(len(units), config.context)]
    return model_flops(config, lengths)


def scoring(args: argparse.Namespace, lm: Any) -> Run:
    """The function that scores utterances in this case."""
    from espnet_entropy.entropy_lm.scorer import EntropyScorer

    name, dtype, compiled = args.case
    lm.requires_grad_(False)
    if name in ("plain", "padded"):
        return plain_scorer(lm, args.device, dtype, PADDED if name == "padded" else 1)
    scorer = EntropyScorer(lm.cast(dtype).to(args.device), compile=compiled)
    if name == "score":
        return scorer.score_batch

    def stream(utterances: Documents) -> None:
        for units in utterances:
            pushed = scorer.stream()
            for begin in range(0, len(units), args.push):
                pushed.push(units[begin : begin + args.push])

    return stream


def transformers_model(lm: Any) -> Any:
    """transformers' own causal LM with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    c = lm.config
    config = LlamaConfig(
        vocab_size=c.num_clusters + 1,
        hidden_size=c.width,
        intermediate_size=c.ffn,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        max_position_embeddings=c.context,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
        attn_implementation="sdpa",
        use_cache=False,
    )
    model = LlamaForCausalLM(config).train(False)
    model.get_submodule("model").load_state_dict(lm.backbone.state_dict())
    model.get_submodule("lm_head").load_state_dict(lm.head.state_dict())
    return model


def padded(documents: Documents, sos: int, device: str) -> tuple[Any, Any]:
    """Inputs that begin with sos, and their mask, (B, L) each; one document has no mask."""
    import torch

    inputs = [torch.from_numpy(np.concatenate([[sos], d[:-1]])) for d in documents]
    ids = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True).to(device)
    if len(documents) == 1:
        return ids, None
    lengths = torch.tensor([len(d) for d in documents], device=device)
    return ids, (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()


def plain_scorer(lm: Any, device: str, dtype: str, batch: int) -> Run:
    """transformers, ``batch`` utterances at a time in the order given."""
    import torch

    model = transformers_model(lm).to(device, getattr(torch, dtype))
    sos, K = lm.config.sos, lm.config.num_clusters

    @torch.inference_mode()
    def run(utterances: Documents) -> None:
        for begin in range(0, len(utterances), batch):
            ids, mask = padded(utterances[begin : begin + batch], sos, device)
            log_p = model(ids, attention_mask=mask).logits[..., :K].float().log_softmax(-1)
            _ = -(log_p.exp() * log_p).sum(-1).cpu()

    return run


def training(args: argparse.Namespace, lm: Any) -> tuple[Documents, Run, int, int]:
    """Batches as one array a step, the function that takes them, their units and FLOPs."""
    import torch
    import torch.nn.functional as F

    name, dtype, compiled = args.case
    where, c = kind(args.device), lm.config
    size = ROWS[where] * c.context
    documents = make_utterances(c.num_clusters, size * STEPS[where] / UNIT_RATE / 60)
    if name == "train_plain":
        batches: list[Any] = [documents[i : i + PADDED] for i in range(0, len(documents), PADDED)]
        lengths = [len(d) for batch in batches for d in batch]
    else:
        flat = np.concatenate([np.append(c.sos, d) for d in documents])
        batches = list(flat[: len(flat) // size * size].reshape(-1, ROWS[where], c.context))
        begins = np.stack(batches).reshape(-1, c.context) == c.sos
        begins[:, 0] = True
        lengths = np.diff(np.flatnonzero(begins.ravel()), append=begins.size).tolist()
    model = transformers_model(lm) if name == "train_plain" else lm
    model = model.to(args.device).train().requires_grad_(True)
    if compiled:
        lm.backbone.compile_layers()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)

    def logits_of(batch: Any) -> tuple[Any, Any]:
        if name == "train_plain":
            ids, mask = padded(batch, c.sos, args.device)
            return model(ids, attention_mask=mask).logits, ids
        ids = torch.from_numpy(batch).to(args.device)
        return model(ids), ids

    def run(batches: list[Any]) -> None:
        for batch in batches:
            with torch.autocast(where, torch.bfloat16, enabled=dtype == "bfloat16"):
                logits, ids = logits_of(batch)
                loss = F.cross_entropy(logits.flatten(0, 1), torch.roll(ids, -1, 1).flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return batches, run, sum(lengths), 3 * model_flops(c, lengths)


def parts(run: Callable[[], object], device: str) -> dict[str, float]:
    """Shares of the time by kind of work, in percent, of one call under the profiler."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    cuda = kind(device) == "cuda"
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda) as profiler:
        total = timed(run, device) * 1e6
    shares = dict.fromkeys([*PARTS, "rest"], 0.0)
    for row in profiler.key_averages():
        if (row.device_type == DeviceType.CUDA) != cuda or row.is_user_annotation:
            continue
        name = row.key.lower()
        known = (part for part, words in PARTS.items() if any(word in name for word in words))
        spent = row.self_device_time_total if cuda else row.self_cpu_time_total
        shares[next(known, "rest")] += 100 * spent / total
    shares["idle"] = 100 - sum(shares.values())
    return shares


def line(case: Sequence[Any], found: dict[str, float], most: float) -> str:
    """A row of the table."""
    name, dtype, compiled = case
    title = f"{name:12}{dtype:9}{' compiled' if compiled else '':10}"
    speed = f"{found['flops'] / 1e9:11.1f}{100 * found['flops'] / most:8.1f}%"
    if "units" not in found:
        return f"{title}{'':23}{speed}"
    spent = "".join(
        f"  {part} {found[part]:.0f}%" for part in (*PARTS, "rest", "idle") if part in found
    )
    units = f"{found['units']:10.0f}{found['units'] / UNIT_RATE:13.0f}"
    return f"{title}{units}{speed}{found['peak']:9.0f}{found['added']:8.0f}{spent}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per device and case."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = get_parser().parse_args(given)
    if args.case:
        print(json.dumps(measure(args)))
        return
    import torch

    devices = [args.device] if args.device else ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for device in devices:
        args.device = device
        what = torch.cuda.get_device_name(device) if kind(device) == "cuda" else "cpu"
        millions = make_lm(args).num_parameters() / 1e6
        print(
            f"{what}, {torch.get_num_threads()} CPU thread(s), torch {torch.__version__}; ", end=""
        )
        print(f"{millions:.1f} M parameters; units at {UNIT_RATE:g} Hz")
        print(f"{'':31}{COLUMNS}", flush=True)
        most = math.nan
        for case in CASES[kind(device)]:
            command = [sys.executable, __file__, *given, "--device", device]
            command += ["--case", json.dumps(case)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:  # the other cases are worth having
                print(
                    f"{case}: {(done.stderr.strip() or str(done.returncode)).splitlines()[-1]}",
                    flush=True,
                )
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            most = found["flops"] if case[0] == "ceiling" else most
            print(line(case, found, most), flush=True)


if __name__ == "__main__":
    run_main(main)  # type: ignore[arg-type]
