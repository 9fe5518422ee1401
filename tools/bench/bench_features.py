"""Throughput and peak memory of features, beside the obvious alternatives, in one run.

MFCC beside torchaudio's Kaldi MFCC; HuBERT base (random weights: speed does not depend on
them), layer 9, beside plain transformers at batch 1. Each in a process of its own.

    python tools/bench/bench_features.py [--device cuda] [--seconds 5] [--utterances 8]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CASES = {
    "mfcc": "MFCC, ours",
    "mfcc_kaldi": "MFCC, torchaudio.compliance.kaldi",
    "hubert": "HuBERT base layer 9, ours",
    "hubert_plain": "HuBERT base layer 9, transformers, batch 1",
}


def main() -> None:
    """Run every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of an utterance")
    parser.add_argument("--utterances", type=int, default=8, help="for HuBERT; MFCC takes 100 x")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        print(f"device {args.device}, utterances of {args.seconds:g} s")
        print(f"{'':45} {'x real time':>12} {'peak MB':>8} {'GPU MB':>7}  checksum")
        for case, title in CASES.items():
            command = [sys.executable, __file__, "--case", case, "--model", folder]
            command += ["--device", args.device, "--seconds", str(args.seconds)]
            command += ["--utterances", str(args.utterances)]
            result = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
            print("{0:45} {rate:12.1f} {peak:8.0f} {gpu:7.0f}  {sum:.4f}".format(title, **result))


def make_model(folder: Path) -> None:
    """HuBERT base with random weights."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    HubertModel(HubertConfig()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Time one case: all utterances after a warm-up on two."""
    import torch

    samples = int(args.seconds * 16_000)
    count = args.utterances * (100 if args.case.startswith("mfcc") else 1)
    random = np.random.default_rng(0)
    wavs = [(0.1 * random.normal(size=samples)).astype(np.float32) for _ in range(count)]
    run = build(args)
    run(wavs[:2])
    cuda = args.device.startswith("cuda")
    # CPU seconds: what else the machine does shall not count. Keep OMP_NUM_THREADS=1.
    clock = time.perf_counter if cuda else time.process_time
    start = clock()
    frames = run(wavs)
    seconds = clock() - start
    return {
        "rate": count * args.seconds / seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gpu": torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0,
        "sum": float(np.abs(frames[0]).mean()),
    }


def build(args: argparse.Namespace) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """The function of one case: waveforms to frames."""
    import torch

    from espnet_entropy.tokenizer.features import build_features

    if args.case == "mfcc":
        return build_features("mfcc", {"normalize": "none"}).extract_batch
    if args.case == "hubert":
        return build_features("hubert", {"model": args.model}, args.device).extract_batch
    if args.case == "mfcc_kaldi":
        import torchaudio

        def kaldi(wav: np.ndarray) -> np.ndarray:
            static = torchaudio.compliance.kaldi.mfcc(
                torch.from_numpy(wav)[None], frame_shift=20.0, use_energy=False
            ).T[None]
            first = torchaudio.functional.compute_deltas(static)
            second = torchaudio.functional.compute_deltas(first)
            return torch.cat([static, first, second], 1)[0].T.numpy()

        return lambda wavs: [kaldi(wav) for wav in wavs]

    from transformers import HubertModel, Wav2Vec2FeatureExtractor

    model = HubertModel.from_pretrained(args.model).eval().to(args.device)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(args.model)

    def plain(wav: np.ndarray) -> np.ndarray:
        values = extractor(wav, sampling_rate=16_000, return_tensors="pt").input_values
        with torch.inference_mode():
            states = model(values.to(args.device), output_hidden_states=True).hidden_states
        return states[9][0].cpu().numpy()

    return lambda wavs: [plain(wav) for wav in wavs]


if __name__ == "__main__":
    main()
