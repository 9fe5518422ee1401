"""A tiny scored corpus with texts, and a model directory, for the tests of the tasks."""

import os
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import yaml

from espnet_entropy.entropy_lm.export import load_checkpoint
from espnet_entropy.segmenter.calibrate import calibrate_plan
from espnet_entropy.segmenter.config import CalibrationPlan, Default, SegmenterConfig
from espnet_entropy.segmenter.scored import read_scored

K = 20
ROOT = Path(__file__).resolve().parents[2]
CRITERIA = ("global", "planned", "uniform", "dedup")


def write_matrices(directory, matrices, meta):
    """``scored.scp`` with what goes beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    target = f"ark,scp:{directory / 'scored.ark'},{directory / 'scored.scp'}"
    with kaldiio.WriteHelper(target) as writer:
        for utt, matrix in matrices.items():
            writer(utt, matrix.astype(np.float32))
    lines = {utt: len(matrix) for utt, matrix in matrices.items()}
    (directory / "speech_shape").write_text("".join(f"{u} {n},2\n" for u, n in lines.items()))
    (directory / "utt2num_samples").write_text(
        "".join(f"{u} {320 * n + 80}\n" for u, n in lines.items())
    )
    (directory / "meta.yaml").write_text(yaml.safe_dump(meta))


def random_matrices(prefix, count, seed, low=20, high=40):
    """(N, 2) each: runs of units, with an entropy that is high where the unit changes."""
    rng = np.random.default_rng(seed)
    made = {}
    for i in range(count):
        runs = rng.integers(1, 5, size=high)
        units = np.repeat(rng.integers(0, K, size=high), runs)[: rng.integers(low, high)]
        change = np.diff(units, prepend=-1) != 0
        entropy = rng.gamma(2.0, 0.5, len(units)) + 1.5 * change
        made[f"{prefix}{i}"] = np.stack([units, entropy], 1)
    return made


def random_texts(names, seed, words=3):
    """Words of the letters a to d."""
    rng = np.random.default_rng(seed)
    return {
        name: " ".join(
            "".join(rng.choice(list("abcd"), size=rng.integers(1, 4))) for _ in range(words)
        )
        for name in names
    }


TOKENS = ["<blank>", "<unk>", "<space>", "a", "b", "c", "d", "<sos/eos>"]
META = {"tokenizer": "tok", "entropy_lm": "lm", "num_clusters": K}
CONFIG = {
    "frontend": "units",
    "frontend_conf": {"segmenter": {"criterion": "fixed", "window": 2}},
    "encoder": "cale",
    "encoder_conf": {"width": 32, "layers": 1, "heads": 2, "dropout": 0.0},
    "decoder": "transformer",
    "decoder_conf": {
        "attention_heads": 2,
        "linear_units": 32,
        "num_blocks": 1,
        "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0,
    },
    "model_conf": {"ctc_weight": 0.0, "lsm_weight": 0.0, "length_normalized_loss": True},
    "token_type": "char",
    "batch_type": "sorted",
    "batch_size": 4,
    "num_workers": 0,
    "max_epoch": 2,
    "optim": "adam",
    "optim_conf": {"lr": 5.0e-3},
    "keep_nbest_models": 1,
    "best_model_criterion": [["valid", "loss", "min"]],
    "use_tensorboard": False,
    "use_matplotlib": False,
    "log_interval": 1,
    "seed": 1,
}


def make_corpus(root, train=8, valid=4, meta=META):
    """``dump/<set>``, ``text/<set>``, ``tokens.txt`` and ``train.yaml`` below ``root``."""
    for seed, (name, count) in enumerate((("train", train), ("valid", valid))):
        matrices = random_matrices(name, count, seed)
        write_matrices(root / "dump" / name, matrices, meta)
        (root / "text").mkdir(exist_ok=True)
        texts = random_texts(matrices, seed)
        (root / "text" / name).write_text("".join(f"{u} {t}\n" for u, t in texts.items()))
    (root / "tokens.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    write_config(root)
    return root


def write_config(root, **changes):
    """``train.yaml``: :data:`CONFIG` with some keys changed."""
    (root / "train.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))


def calibrate(root):
    """``calibration.yaml`` of the training set."""
    plan = CalibrationPlan(
        Default("planned", 15.0), [SegmenterConfig(c) for c in CRITERIA], [15.0, 10.0]
    )
    calibrate_plan(read_scored(root / "dump/train"), plan).save(root / "calibration.yaml")
    return root / "calibration.yaml"


def options(root, exp, *more, valid="valid"):
    """The command line of ``bin/asr_train`` (or ``st_train``)."""
    made = ["--config", root / "train.yaml", "--output_dir", exp, "--ngpu", 0, "--resume", "true"]
    made += ["--token_list", root / "tokens.txt"]
    for mode, name in (("train", "train"), ("valid", valid)):
        dump = root / "dump" / name
        made += [f"--{mode}_data_path_and_name_and_type", f"{dump}/scored.scp,speech,scored"]
        made += [f"--{mode}_data_path_and_name_and_type", f"{root}/text/{name},text,text"]
        made += [f"--{mode}_shape_file", dump / "speech_shape"]
    return [*map(str, made), *more]


def start(module, exp, words):
    """A training command in a process of its own, its words in ``<exp>/log``."""
    exp.mkdir(exist_ok=True)
    with open(exp / "log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"espnet_entropy.bin.{module}", *words],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def losses(exp, name="loss"):
    """Training and validation values by epoch, from ESPnet's own record."""
    stats = load_checkpoint(exp / "checkpoint.pth")["reporter"]["stats"]
    return {e: (float(s["train"][name]), float(s["valid"][name])) for e, s in stats.items()}
