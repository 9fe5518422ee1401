"""Fitting and applying k-means, beside scikit-learn, in one run; each in its own process.

    python tools/bench/bench_quantizer.py [--device cuda] [--frames frames.npy] [--clusters 200]

Without ``--frames``: 250,000 x 39 numbers that are correlated, as MFCC are.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES = {
    "ours": "espnet_entropy",
    "minibatch": "MiniBatchKMeans (default)",
    "minibatch_large": "MiniBatchKMeans (batch 16384, n_init 3)",
}


def main() -> None:
    """Run every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", help="(N, D) float32 .npy")
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.frames is None:
            args.frames = str(Path(folder) / "frames.npy")
            np.save(args.frames, correlated())
        shape = np.load(args.frames, mmap_mode="r").shape
        print(f"device {args.device}, frames {shape}, K = {args.clusters}")
        print(f"{'':40} {'fit s':>7} {'inertia':>9} {'frames/s assigned':>18} {'peak MB':>8}")
        for case, title in CASES.items():
            command = [sys.executable, __file__, "--case", case, "--frames", args.frames]
            command += ["--device", args.device, "--clusters", str(args.clusters)]
            result = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
            row = "{0:40} {fit:7.2f} {inertia:9.4f} {rate:18,.0f} {peak:8.0f}"
            print(row.format(title, **result))


def correlated() -> np.ndarray:
    """(250000, 39) float32 from a mixture with a random covariance and slow drift."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(39, 39)) * np.linspace(1.5, 0.1, 39)[:, None]
    means = 1.5 * random.normal(size=(300, 39))
    chosen = np.repeat(random.integers(0, 300, 50_000), 5)
    frames = (means[chosen] + random.normal(size=(len(chosen), 39))) @ mixing / 6
    return frames.astype(np.float32)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Fit, assign, and judge the centroids in float64 by one rule for all."""
    frames = np.load(args.frames, mmap_mode="r")
    # CPU seconds: what else the machine does shall not count. Keep OMP_NUM_THREADS=1.
    clock = time.perf_counter if args.device.startswith("cuda") else time.process_time
    if args.case == "ours":
        from espnet_entropy.tokenizer.config import KMeansConfig
        from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
        from espnet_entropy.tokenizer.lloyd import fit_kmeans

        start = clock()
        centroids = fit_kmeans(frames, KMeansConfig(args.clusters), device=args.device).centroids
        fit = clock() - start
        assign = KMeansQuantizer(centroids, args.device).assign
    else:
        from sklearn.cluster import MiniBatchKMeans

        large = {"batch_size": 16_384, "n_init": 3} if args.case == "minibatch_large" else {}
        estimator = MiniBatchKMeans(args.clusters, random_state=0, **large)
        start = clock()
        estimator.fit(frames)
        fit = clock() - start
        centroids, assign = estimator.cluster_centers_, estimator.predict
    pieces = [np.array(frames[i : i + 1000]) for i in range(0, len(frames), 1000)]  # utterances
    assign(pieces[0])
    start = clock()
    units = np.concatenate([assign(piece) for piece in pieces])
    seconds = clock() - start
    total = sum(
        float(np.sum((piece.astype(np.float64) - centroids[units[i * 1000 :][: len(piece)]]) ** 2))
        for i, piece in enumerate(pieces)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = len(frames) / seconds
    return {"fit": fit, "inertia": total / len(frames), "rate": rate, "peak": peak}


if __name__ == "__main__":
    main()
