#!/usr/bin/env python
"""Audio files to units: speed, share of units as in float32 alone, and the machine's ceiling.

    python tools/bench/bench_features.py [--tokenizer exp/tokenizer --data dump/audio/dev]

Without options HuBERT base with random weights, layer 9, and frames of its own as centroids (speed
does not depend on them; agreement does: give a fitted tokenizer of a speech model and formatted
data to learn what a number type would change). FLAC files of 2 to 17 s. Cases, each in a process of
its own, all with decoding of the files:
  ceiling     a large square matrix product
  decode      the files alone, by as many readers as the device gets
  plain       transformers, one utterance at a time, then torch.cdist
  padded      the same, 16 utterances in the order given, padded, with attention_mask
  alone       our tokenizer on one utterance at a time; in float32 what the others are held against
  ours        as stage 'tokenize' runs: read, padded batches, units, archives written
On a CPU also MFCC, beside torchaudio's Kaldi MFCC, of 20 times the audio and without decoding.
FLOPs are those the model asks for, without padding. 'equal' is the share of units that 'alone' in
float32 has too, 'moved' the largest distance of a frame from there over its length (the bound that
the tokenizer assumes is BATCH_NOISE), 'again' the share of utterances with a near tie, computed
again alone.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench_scorer import ceiling, kind, timed
from features_corpus import Wavs, make_data, make_tokenizer, repeat, take_data

from espnet_entropy.utils.cli import Parser, run_main

SQUARE = {"cpu": 1024, "cuda": 16384}  # of the ceiling's product
MINUTES = {"cpu": 1.0, "cuda": 30.0}
TIMES = {"cpu": 1, "cuda": 40}  # a GPU is through with half an hour in seconds
PADDED = 16
COMPARED = 40  # utterances whose frames are held against each alone
CASES = {  # name, dtype, compiled; the first dtype is the ceiling's
    "cpu": [
        ("ceiling", "float32", False),
        ("decode", "float32", False),
        ("mfcc_kaldi", "float32", False),
        ("mfcc", "float32", False),
        ("alone", "float32", False),
        ("plain", "float32", False),
        ("padded", "float32", False),
        ("ours", "float32", False),
    ],
    "cuda": [
        ("ceiling", "bfloat16", False),
        ("decode", "float32", False),
        ("alone", "float32", False),
        ("plain", "float32", False),
        ("padded", "float32", False),
        ("plain", "bfloat16", False),
        ("padded", "bfloat16", False),
        ("ours", "float32", False),
        ("ours", "float32", True),
        ("ours", "bfloat16", False),
        ("ours", "bfloat16", True),
        ("ours", "float16", False),
        ("ours", "float16", True),
    ],
}
COLUMNS = {  # of what is measured: title, scale, format
    "rate": ("x real time", 1.0, "12.1f"),
    "flops": ("TFLOP/s", 1e-12, "9.2f"),
    "share": ("ceiling %", 100.0, "10.1f"),
    "equal": ("equal %", 100.0, "9.3f"),
    "moved": ("moved", 1.0, "9.1e"),
    "again": ("again %", 100.0, "8.1f"),
    "peak": ("peak MB", 1.0, "9.0f"),
}

Units = Mapping[str, np.ndarray]


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="a fitted tokenizer of a speech model")
    parser.add_argument("--data", help="a formatted data directory")
    parser.add_argument("--device", default="", help="cpu or cuda; default: all that exist")
    parser.add_argument("--minutes", type=float, help="audio that is made, or taken from --data")
    parser.add_argument("--times", type=int, help="how often 'ours' and 'decode' get all of it")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Fill the folder that all cases read."""
    minutes = args.minutes or MINUTES[kind(args.device)]
    wavs: Wavs = []
    if args.data:
        take_data(args.data, args.folder / "data", minutes)
    else:
        wavs = make_data(args.folder / "data", minutes)
    if not args.tokenizer:
        make_tokenizer(args.folder, args.device, wavs or make_data(args.folder / "noise", 0.5))
        args.tokenizer = str(args.folder / "tokenizer")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One case: what :data:`COLUMNS` names, as far as it has it."""
    name, dtype, compiled = args.case
    where = kind(args.device)
    if name == "ceiling":
        return {"flops": ceiling(SQUARE[where], args.device, dtype)}
    from espnet_entropy.corpora.data_dir import DataDir
    from espnet_entropy.tokenizer.tokenizer import Tokenizer, read_description
    from espnet_entropy.utils.scp import read_num_samples

    data = args.folder / "data"
    if name in ("ours", "decode"):
        data = repeat(data, args.times or TIMES[where])
    corpus, samples = DataDir.read(data), dict(read_num_samples(data))
    seconds = sum(samples.values()) / 16_000
    if name.startswith("mfcc"):
        return mfcc(name, [corpus.load_audio(utt) for utt in samples])
    reference = Tokenizer.from_pretrained(args.tokenizer, args.device)
    tokenizer = reference
    if (dtype, compiled) != ("float32", False):
        from espnet_entropy.tokenizer.features import build_features

        info = read_description(args.tokenizer)
        conf = info["features_conf"] | {"dtype": dtype, "compile": compiled}
        features = build_features(info["features"], conf, args.device, Path(args.tokenizer))
        tokenizer = Tokenizer(features, reference.quantizer)
    run = {"ours": ours, "decode": decode}.get(name, one_by_one)
    work = partial(run, args, corpus, samples, tokenizer)
    work(few=True)  # first calls allocate, choose kernels, compile
    units: list[Units] = []
    spent = timed(lambda: units.append(work()), args.device)
    found = {"rate": seconds / spent, "peak": peak(args.device)}
    if name == "decode":
        return found
    from espnet_entropy.evaluation.cost import features_flops

    found["flops"] = sum(features_flops(reference.features, n) for n in samples.values()) / spent
    found["equal"] = agreement(args.folder / "alone.npz", args.case, units[0])
    return found | (doubts(corpus, list(samples), tokenizer, reference) if name == "ours" else {})


def peak(device: str) -> float:
    """Most memory so far in MB, of the GPU where there is one."""
    import torch

    if kind(device) == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def agreement(path: Path, case: Sequence[Any], units: Units) -> float:
    """Share of units that ``alone`` in float32, the first case with units, has too."""
    if tuple(case[:2]) == ("alone", "float32"):
        np.savez(path, **units)
    same = total = 0
    with np.load(path) as file:
        expected = dict(file)
    for utt, found in units.items():
        known = expected[utt if utt in expected else utt.rpartition("-")[0]]
        same += int((found == known).sum())
        total += len(known)
    return same / total


def doubts(corpus: Any, utts: Sequence[str], tokenizer: Any, reference: Any) -> dict[str, float]:
    """How far batches move frames, and how many utterances they leave in doubt."""
    wavs = [corpus.load_audio(utt) for utt in utts[:: max(1, len(utts) // COMPARED)][:COMPARED]]
    moved = 0.0
    for wav, frames in zip(wavs, tokenizer.features.extract_batch(wavs), strict=True):
        own = reference.features.extract(wav)
        error, size = (np.linalg.norm(x, axis=1) for x in (frames - own, own))
        moved = max(moved, float((error / size).max()))
    return {"moved": moved, "again": float(np.mean([d for _, d in tokenizer._together(wavs)]))}


def first_parts(samples: dict[str, int], few: bool) -> Iterator[list[str]]:
    """The utterances in parts as the stage has them; one part to warm up."""
    from espnet_entropy.tokenizer.corpus import SHARD_SAMPLES, parts_of

    utts = list(samples)
    chosen = utts[: 50 if len(utts) > 500 else 3] if few else utts
    yield from parts_of([chosen], samples, SHARD_SAMPLES)


def ours(
    args: argparse.Namespace, corpus: Any, samples: Any, tokenizer: Any, few: bool = False
) -> Units:
    """As ``tokenize_corpus``, model and data being loaded."""
    import kaldiio

    from espnet_entropy.tokenizer.corpus import on_audio, readers_for, write_beside
    from espnet_entropy.utils.shards import ShardedArk

    parts = list(first_parts(samples, few))
    out = tempfile.mkdtemp(dir=args.folder)  # goes with the folder
    ark = ShardedArk(out, "units", parts, "bench")
    results = on_audio(corpus, parts, tokenizer.batch, readers_for(args.device))
    write_beside(ark, ark.pending(), results)
    ark.merge()
    units: Units = kaldiio.load_scp(f"{out}/units.scp")  # read when they are looked at
    return units


def decode(
    args: argparse.Namespace, corpus: Any, samples: Any, tokenizer: Any, few: bool = False
) -> Units:
    """The audio alone."""
    from espnet_entropy.tokenizer.corpus import on_audio, readers_for

    parts = first_parts(samples, few)
    for _ in on_audio(corpus, parts, lambda wavs: [0] * len(wavs), readers_for(args.device)):
        pass
    return {}


def one_by_one(
    args: argparse.Namespace, corpus: Any, samples: Any, tokenizer: Any, few: bool = False
) -> Units:
    """``alone``, ``plain`` and ``padded``: read, compute and go on."""
    utts = list(samples)[: 3 if few else None]
    if args.case[0] == "alone":
        return {utt: tokenizer(corpus.load_audio(utt)) for utt in utts}
    run, size = plain(args, tokenizer), PADDED if args.case[0] == "padded" else 1
    units: dict[str, np.ndarray] = {}
    for begin in range(0, len(utts), size):
        some = utts[begin : begin + size]
        units |= zip(some, run([corpus.load_audio(utt) for utt in some]), strict=True)
    return units


def plain(args: argparse.Namespace, tokenizer: Any) -> Callable[[Wavs], Wavs]:
    """transformers' own way from waveforms to units."""
    import torch
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    from espnet_entropy.utils.grid import num_units

    layer, source = tokenizer.features.config.layer, tokenizer.features._source
    dtype = getattr(torch, args.case[1])
    model = AutoModel.from_pretrained(source, dtype=dtype).eval().to(args.device)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(source)
    centroids = torch.from_numpy(tokenizer.quantizer.centroids).to(args.device)

    @torch.inference_mode()
    def run(wavs: Wavs) -> Wavs:
        given = extractor(
            wavs,
            sampling_rate=16_000,
            padding=True,
            return_attention_mask=len(wavs) > 1,
            return_tensors="pt",
        ).to(args.device)
        given["input_values"] = given["input_values"].to(dtype)
        states = model(**given, output_hidden_states=True).hidden_states[layer].float()
        units = torch.cdist(states, centroids[None]).argmin(-1).int().cpu().numpy()
        return [row[: num_units(len(wav))] for row, wav in zip(units, wavs, strict=True)]

    return run


def mfcc(name: str, wavs: Wavs) -> dict[str, float]:
    """MFCC of 20 times the audio: ours, or torchaudio's after Kaldi."""
    import torch
    import torchaudio

    from espnet_entropy.tokenizer.features import build_features

    def kaldi(wav: np.ndarray) -> np.ndarray:
        waveform = torch.from_numpy(wav)[None]
        static = torchaudio.compliance.kaldi.mfcc(waveform, frame_shift=20.0, use_energy=False)
        first = torchaudio.functional.compute_deltas(static.T[None])
        second = torchaudio.functional.compute_deltas(first)
        return torch.cat([static.T[None], first, second], 1)[0].T.numpy()

    extract = (
        kaldi if name == "mfcc_kaldi" else build_features("mfcc", {"normalize": "none"}).extract
    )
    extract(wavs[0])
    spent = timed(lambda: [extract(wav) for wav in 20 * wavs], "cpu")
    return {"rate": 20 * sum(map(len, wavs)) / 16_000 / spent, "peak": peak("cpu")}


def line(case: Sequence[Any], found: dict[str, float], most: float) -> str:
    """A row of the table."""
    name, dtype, compiled = case
    if "flops" in found:
        found = found | {"share": found["flops"] / most}
    cells = [
        f"{found[key] * scale:{form}}" if key in found else " " * int(form.split(".")[0])
        for key, (_, scale, form) in COLUMNS.items()
    ]
    return f"{name:12}{dtype:9}{' compiled' if compiled else '':10}" + "".join(cells)


def main(argv: Sequence[str] | None = None) -> None:
    """Print one table per device."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = get_parser().parse_args(given)
    if args.case:
        print(json.dumps(measure(args)))
        return
    import torch

    devices = [args.device] if args.device else ["cpu"] + ["cuda"] * torch.cuda.is_available()
    widths = (int(form.split(".")[0]) for _, _, form in COLUMNS.values())
    titles = zip((title for title, _, _ in COLUMNS.values()), widths, strict=True)
    head = " " * 31 + "".join(f"{title:>{width}}" for title, width in titles)
    for device in devices:
        what = torch.cuda.get_device_name(device) if kind(device) == "cuda" else "cpu"
        print(f"{what}, {torch.get_num_threads()} CPU thread(s), torch {torch.__version__}\n{head}")
        with tempfile.TemporaryDirectory() as folder:
            table(device, Path(folder), given)


def table(device: str, folder: Path, given: Sequence[str]) -> None:
    """Run every case of a device; print a line each."""
    args = get_parser().parse_args(given)
    args.device, args.folder, most = device, folder, math.nan
    prepare(args)
    for case in CASES[kind(device)]:
        command = [sys.executable, __file__, *given, "--device", device, "--folder", str(folder)]
        command += ["--tokenizer", args.tokenizer, "--case", json.dumps(case)]
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
