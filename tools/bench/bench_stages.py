"""Speed of every stage at the paper's sizes, in times real time, as a file for estimate_cost.py.

HuBERT base to layer 9, K = 500, the entropy LM of 103.8 M parameters and a recipe's recognizer, all
with random weights, on noise and random units. On a CPU one thread is timed, by its own clock.

    OMP_NUM_THREADS=1 python tools/bench/bench_stages.py --out tools/bench/stages_cpu.yaml
    python tools/bench/bench_stages.py --device cuda --out tools/bench/stages_cuda.yaml
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.utils.cli import Parser, run_main
from espnet_entropy.utils.grid import SAMPLE_RATE, num_units

ROOT = Path(__file__).resolve().parents[2]
K = 500
LINES = 32  # of an update of the entropy LM on a GPU; a CPU gets one utterance
# name, seconds of speech, what to time
Case = tuple[str, float, Callable[[], object]]


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=14.9, help="of an utterance (MLS: 14.9)")
    parser.add_argument("--repeats", type=int, default=1, help="the fastest counts")
    parser.add_argument(
        "--config", type=Path, default=ROOT / "egs2/mls_en/asr1/conf/train_asr.yaml"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Time the stages one by one and write the file."""
    args = get_parser().parse_args(argv)
    import torch

    from espnet_entropy.evaluation.latency import Stopwatch
    from espnet_entropy.evaluation.latency_report import describe_device
    from espnet_entropy.evaluation.record import provenance
    from espnet_entropy.utils.config import write_yaml
    from espnet_entropy.utils.device import check_device

    torch.manual_seed(0)
    device = check_device(args.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    clock = "cpu" if device.type == "cpu" else "wall"
    watch = Stopwatch(device, clock)
    speeds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds, run in cases(args, device, Path(folder)):
            if device.type == "cuda":
                run()  # chooses kernels
            best = min(watch(run)[1] for _ in range(args.repeats))
            speeds[name] = float(f"{seconds / best:.4g}")
            print(f"{name:18} {speeds[name]:12,.2f} x real time", flush=True)
    found = {"device": describe_device(device), "clock": clock, "seconds": args.seconds}
    write_yaml(args.out, {**found, "x_real_time": speeds, **provenance()})


def cases(args: argparse.Namespace, device: Any, folder: Path) -> Iterator[Case]:
    """Each stage; what it needs is made just before."""
    yield from audio_cases(args, device, folder)
    yield from unit_cases(args, folder)
    yield from lm_training_case(args, device)
    yield from recognizer_cases(args, device)


def audio_cases(args: argparse.Namespace, device: Any, folder: Path) -> Iterator[Case]:
    """Formatting 16 kHz FLAC files, tokenizing them, scoring units."""
    import soundfile

    from espnet_entropy.corpora.audio import load_audio
    from espnet_entropy.corpora.data_dir import Utterance, write_data_dir
    from espnet_entropy.corpora.format_audio import format_audio
    from espnet_entropy.evaluation.latency_systems import paper_parts

    rng, samples = np.random.default_rng(0), round(args.seconds * SAMPLE_RATE)
    count = 50
    for i in range(count):
        soundfile.write(folder / f"{i}.flac", 0.1 * rng.standard_normal(samples), SAMPLE_RATE)
    utts = [Utterance(f"s-{i:02}", str(folder / f"{i}.flac"), "s") for i in range(count)]
    write_data_dir(folder / "data", utts)

    def format_all() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            format_audio(folder / "data", out)

    yield "format", count * args.seconds, format_all
    parts = paper_parts(str(device), K)
    few, many = (2, 4) if device.type == "cpu" else (20, 400)
    wavs = [load_audio(utt.wav) for utt in utts[:few]]
    # without decoding, which is the other stage's
    yield "tokenize", few * args.seconds, lambda: parts.tokenizer.batch(wavs)
    units = [rng.integers(0, K, num_units(samples)) for _ in range(many)]
    yield "score_entropy", many * args.seconds, lambda: parts.scorer.score_batch(units)


def unit_cases(args: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Packing and calibrating, which need a CPU only."""
    from espnet_entropy.entropy_lm.packing import pack_units
    from espnet_entropy.segmenter.calibrate import calibrate_plan
    from espnet_entropy.segmenter.config import load_plan
    from espnet_entropy.segmenter.scored import ScoredSet
    from espnet_entropy.utils.config import write_yaml
    from espnet_entropy.utils.shards import ShardedArk

    rng, length, count = np.random.default_rng(0), round(args.seconds * 50), 40
    made = {f"u{i:03}": rng.integers(0, K, length).astype(np.int32) for i in range(count)}
    dump = ShardedArk(folder / "units", "units", [list(made)], "key")
    dump.write(0, made.items())
    dump.merge()
    write_yaml(folder / "units/meta.yaml", {"tokenizer": "none", "num_clusters": K})
    pack = (folder / "units", folder / "packed")
    yield "pack", count * args.seconds, lambda: pack_units(*pack)
    scored = {
        utt: np.stack([units, rng.gamma(2.0, 1.0, length)], 1).astype(np.float32)
        for utt, units in made.items()
    }
    valid = ScoredSet("valid", scored, count * args.seconds, "none", "none", K)
    plan = load_plan(ROOT / "egs2/TEMPLATE/units1/conf/segmenter.yaml")
    yield "calibrate", valid.seconds, lambda: calibrate_plan(valid, plan)


def lm_training_case(args: argparse.Namespace, device: Any) -> Iterator[Case]:
    """An update of the entropy LM."""
    import torch
    from torch.nn.functional import cross_entropy

    from espnet_entropy.entropy_lm.config import EntropyLMConfig
    from espnet_entropy.entropy_lm.model import EntropyLM

    lm = EntropyLM(EntropyLMConfig(K)).to(device)
    length = round(args.seconds * 50)
    shape = (LINES, lm.config.context) if device.type == "cuda" else (1, length)
    ids = torch.randint(K, shape, device=device)
    ids[:, ::length] = lm.config.sos  # utterances
    optimizer = torch.optim.AdamW(lm.parameters(), lr=1e-4)

    def update() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = lm(ids[:, :-1])
            loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    yield "train_entropy_lm", ids.numel() / 50, update


def recognizer_cases(args: argparse.Namespace, device: Any) -> Iterator[Case]:
    """An update of the recognizer, and recognizing an utterance with beam 5."""
    import torch

    from espnet_entropy.evaluation.corpus_models import BEAM
    from espnet_entropy.evaluation.latency import decode
    from espnet_entropy.evaluation.training_estimate import Corpus, make_batch, training_model
    from espnet_entropy.utils.config import read_yaml

    conf = read_yaml(args.config)
    corpus = Corpus(1.0, args.seconds, tokens_per_second=3.4, vocabulary=5000, num_clusters=K)
    model = training_model(conf, corpus, str(args.config)).to(device)
    count = 1
    if device.type == "cuda":
        count = conf["batch_bins"] // (2 * round(args.seconds * 50))
    batch = {name: value.to(device) for name, value in make_batch(count, corpus).items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def update() -> None:
        amp = device.type == "cuda" and bool(conf.get("use_amp"))
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            loss = model(**batch)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    yield "train_asr", count * args.seconds, update
    one = {name: value.to(device) for name, value in make_batch(1, corpus).items()}

    @torch.inference_mode()
    def recognize() -> None:
        feats, lengths = model.frontend(one["speech"], one["speech_lengths"])
        memory, counts, _ = model.encoder(feats, lengths)
        decode(model, memory, counts, one["text"].shape[1], BEAM)

    model.eval()
    yield "infer", args.seconds, recognize


if __name__ == "__main__":
    run_main(main)
