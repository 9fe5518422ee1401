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


def stamp(place, stage):
    return json.loads((place / f"exp/stamps/{stage}.json").read_text())


def of_folder(inputs, folder):
    return sorted(Path(file).name for file in inputs if Path(file).parent == folder)


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
    options += ["--exported", "train1", "--exported_clusters", "4"]
    # iterations 2 and 3 are as the first; the rival needs no targets
    first = run(place, *options, "--stop_stage", "targets2")
    assert first.returncode == 0, first.stderr
    lines = (place / "exp/train1/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    read = stamp(place, "pack")["inputs"]
    tables = ["utt2num_samples", "utt2spk", "wav.scp"]
    assert of_folder(read, corpora[0] / "dump/raw/train") == ["text.phones", *tables]
    assert of_folder(read, corpora[1] / "dump/raw/valid") == ["ctm.phones", *tables]
    (place / "exp/targets3.safetensors").touch()  # none of the rival's business
    cut = run(place, *options, "--stage", "train_ctc", "--max_minutes", "0")
    assert (cut.returncode, "the same call goes on" in cut.stderr) == (3, True), cut.stderr
    assert "targets3" not in str(stamp(place, "train_ctc")["inputs"])
    other = corpus(tmp_path / "other/aligned")  # a set of the same name
    tests = ("--test_sets", f"{corpora[1]}:valid {other}:valid")
    last = run(place, *options, *tests, "--stage", "export")
    assert last.returncode == 0, last.stderr
    labels = [str(path)[1:].replace("/", "_") + "_valid" for path in (corpora[1], other)]
    for label in labels:
        score = json.loads((place / f"exp/unit_quality/K4/{label}/valid/score.json").read_text())
        assert score["units"][0]["num_clusters"] == 4
    assert of_folder(stamp(place, "evaluate")["inputs"], other / "dump/raw/valid") == [
        *("ctm.phones", "utt2num_samples", "utt2spk", "wav.scp")
    ]
    again = run(place, *options, *tests, "--stage", "export")
    assert again.stderr.count("done before, nothing changed") == 3
    (other / "dump/raw/valid/ctm.phones").write_text("a 0 0.5 m\n")
    changed = run(place, *options, *tests, "--stage", "export")
    assert changed.returncode == 2
    assert f"{other}/dump/raw/valid/ctm.phones has changed" in changed.stderr
    tokenizer = Tokenizer.from_pretrained(place / "exp/units/tokenizer_4")
    assert tokenizer.num_clusters == 4
    assert np.unique(tokenizer(babble(0))).size > 1
    card = (place / "exp/units/model/README.md").read_text()
    assert card.startswith("# Toy\n")
    assert "| 4 | 0." in card
    own, others = card.split("## Other sets\n")
    assert not any(label in own for label in labels)
    lines = [line for line in others.splitlines() if "_valid " in line]
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in lines]
    assert rows == [[label, "1", "0.0", "4"] for label in labels]
