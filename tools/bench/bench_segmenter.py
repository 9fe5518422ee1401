"""Throughput and peak memory of the segmenter beside a Python loop over units.

    python tools/bench/bench_segmenter.py [--units 100000] [--device cuda]

Entropies are random (gamma, continuous), utterances have 500 units (10 s). Each line is the
median of the runs that fit into 0.6 s (at least three), on one thread: with more, torch's threads
wait for each other on a busy machine and the figure says nothing. Peak memory is what Python and
numpy allocate during one more run (torch's own is not seen, hence "-"). The loop is the plain
reading of the rules, one unit after the other, on lists.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.search import calibrate
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.segmenter.streaming import StreamingSegmenter

LENGTH = 500  # units per utterance


def loop_threshold(units: list[int], entropy: list[float], config: SegmenterConfig) -> list[bool]:
    """M1 with limits, unit by unit."""
    assert config.threshold is not None
    starts = []
    length = 0
    for value in entropy:
        begin = not starts or (value > config.threshold and length >= config.smallest_group)
        length = 1 if begin else length + 1
        starts.append(begin)
    return starts


def loop_planned(units: list[int], entropy: list[float], config: SegmenterConfig) -> list[bool]:
    """``planned`` with groups of at least two and a look-ahead of two, unit by unit."""
    assert config.threshold is not None
    last = len(units) - 1
    gain = []
    for i, value in enumerate(entropy):
        before, after = entropy[max(0, i - 1)], entropy[min(last, i + 1)]
        bonus = 1.0 if i == 0 or units[i] != units[i - 1] else 0.0
        gain.append(value + (before - after) / 4 + bonus - config.threshold)
    gain += [0.0, 0.0]
    starts = []
    length = 0
    for i in range(len(units)):
        with_it = gain[i] + max(0.0, gain[i + 2])
        picked = with_it > max(0.0, gain[i + 1], gain[i + 2])
        begin = i == 0 or (picked and length >= 2)
        length = 1 if begin else length + 1
        starts.append(begin)
    return starts


def measure(run: Callable[[], object], units: int, torch_memory: bool) -> str:
    """``M units/s, MiB`` of a callable."""
    run()  # the first call loads and allocates what later ones find
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < 0.6:
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    rate = f"{units / np.median(seconds) / 1e6:>10.2f}"
    if torch_memory:
        return f"{rate}{'-':>12}"
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return f"{rate}{peak / 2**20:>12.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=100_000, help="in all")
    parser.add_argument("--device", default="cpu", help="of torch, for the batched lines")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    rows = max(1, args.units // LENGTH)
    rng = np.random.default_rng(0)
    units = rng.integers(0, 500, (rows, LENGTH))
    entropy = rng.gamma(2.0, 1.0, (rows, LENGTH)).astype(np.float32)
    scored = [np.stack([u, e], 1).astype(np.float32) for u, e in zip(units, entropy, strict=True)]
    seconds = units.size * 0.02
    lists = [(u.tolist(), e.tolist()) for u, e in zip(units, entropy, strict=True)]
    tensors = [torch.tensor(x, device=args.device) for x in (units, entropy)]

    def on_device(config: SegmenterConfig) -> object:
        return segment(tensors[0], tensors[1], config).sum().item()  # waits for the device

    def stream(config: SegmenterConfig) -> None:
        segmenter = StreamingSegmenter(config)
        for i in range(LENGTH):
            segmenter.push(units[0, i : i + 1], entropy[0, i : i + 1])
        segmenter.flush()

    print(f"{units.size} units, {rows} utterances, torch on {args.device}")
    print(f"{'':<44}{'M units/s':>10}{'peak MiB':>12}")
    for base, loop in (
        (SegmenterConfig("global"), loop_threshold),
        (SegmenterConfig("global", min_group=2), loop_threshold),
        (SegmenterConfig("planned"), loop_planned),
    ):
        config = calibrate(scored, seconds, base, 15.0).config
        for u, e in lists[:20]:  # the loop really is the same segmenter
            mine = segment(np.array(u), np.array(e, np.float32), config).tolist()
            agree = np.mean(np.array(mine) == np.array(loop(u, e, config)))
            assert agree > 0.99, agree  # float32 against float64: a tie may fall otherwise
        runs: dict[str, tuple[Callable[[], object], int]] = {
            "Python loop": (lambda f=loop, c=config: [f(*x, c) for x in lists], units.size),
            "numpy, one utterance at a time": (
                lambda c=config: [segment(u, e, c) for u, e in zip(units, entropy, strict=True)],
                units.size,
            ),
            "numpy, one batch": (lambda c=config: segment(units, entropy, c), units.size),
            "torch, one batch": (lambda c=config: on_device(c), units.size),
            "stream, one unit at a time": (lambda c=config: stream(c), LENGTH),
            "calibration, whole search": (
                lambda c=base: calibrate(scored, seconds, c, 15.0),
                units.size,
            ),
        }
        for name, (run, size) in runs.items():
            print(
                f"{config.label + ', ' + name:<44}{measure(run, size, 'torch' in name)}", flush=True
            )


if __name__ == "__main__":
    main()
