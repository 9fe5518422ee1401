"""The stages of egs2/TEMPLATE/ssl1 on a miniature: from packed data to tokenizers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from sounds import babble
from wrong_inputs import write_data

from espnet_entropy.tokenizer.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
ENCODER = {"width": 16, "layers": 2, "heads": 2, "ffn": 32, "kernel": 5}
SHORT = {"encoder": ENCODER, "max_units": 200, "steps": 4, "eval_every": 2, "projection": 8}


def corpus(path):
    for name in ("train", "valid"):
        data = write_data(path / "dump/raw" / name)
        (data / "utt2num_samples").write_text("a 8000\nb 8000\nc 8000\n")
        if path.name == "labelled":
            (data / "text.phones").write_text("a A0 B\nb C | A1\nc B\n")
            for table in ("wav.scp", "utt2spk", "utt2num_samples", "text.phones"):
                lines = (data / table).read_text().splitlines()
                (data / table).write_text("".join(f"x{line}\n" for line in lines))
            (data / "spk2utt").write_text("s xa xb xc\n")
        else:
            spans = "".join(f"{u} 0 0.25 SIL\n{u} 0.25 0.25 m\n" for u in "abc")
            (data / "ctm.phones").write_text(spans)
    return path


def run(place, *options):
    command = [ROOT / "egs2/TEMPLATE/ssl1/ssl.sh", *options]
    env = {**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, "cmd_backend": "local"}
    return subprocess.run(
        list(map(str, command)), cwd=place, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_from_packed_data_to_tokenizers(tmp_path):
    place = tmp_path / "recipe"
    (place / "conf").mkdir(parents=True)
    (place / "conf/about.md").write_text("# Toy\n")
    for name, more in (("masked", {}), ("ctc", {"masked_weight": 0.0, "ctc_weight": 1.0})):
        (place / f"conf/train_{name}.yaml").write_text(yaml.safe_dump(SHORT | more))
    corpora = [corpus(tmp_path / name) for name in ("labelled", "aligned")]
    options = ["--corpora", " ".join(map(str, corpora)), "--clusters", "6 5 4"]
    options += ["--exported", "train1", "--exported_clusters", "8 4"]
    # iterations 2 and 3 are as the first; the rival needs no targets
    first = run(place, *options, "--stop_stage", "targets2")
    assert first.returncode == 0, first.stderr
    lines = (place / "exp/train1/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    cut = run(place, *options, "--stage", "train_ctc", "--max_minutes", "0")
    assert (cut.returncode, "the same call goes on" in cut.stderr) == (3, True), cut.stderr
    last = run(place, *options, "--stage", "export")
    assert last.returncode == 0, last.stderr
    for k in (8, 4):
        tokenizer = Tokenizer.from_pretrained(place / f"exp/units/tokenizer_{k}")
        assert tokenizer.num_clusters == k
        assert np.unique(tokenizer(babble(0))).size > 1
    card = (place / "exp/units/model/README.md").read_text()
    assert card.startswith("# Toy\n")
    assert "| 8 | 0." in card
