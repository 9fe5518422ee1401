"""The recipes' long stages as arrays on a real Slurm make, file by file, what they make here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import babble
from toy_compressor import assemble, make_parts
from toy_recognizer import make_experiment, write_dump

from espnet_entropy.recognizer.pack import pack
from espnet_entropy.utils.scp import read_scp, write_scp

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]
ROOT = Path(__file__).resolve().parents[3]
RUN = f"""#!/usr/bin/env bash
cd "$(dirname "${{BASH_SOURCE[0]}}")"
{ROOT}/egs2/TEMPLATE/%s --nj 3 "$@"
"""
# utterances and seconds of each: a shard is closed after ten minutes
SETS = {"train": (9, 150), "valid": (3, 5), "test": (2, 7)}
# utterances and units of each: in decoding a shard is closed after 50 000 units
SCORED = {"long": (150, 700), "short": (5, 60)}


@pytest.fixture
def recipe(tmp_path):
    """A recipe as it is before a stage; its tokenizer and entropy LM are of toy size."""
    recipe = tmp_path / "recipe"
    for name, (count, seconds) in SETS.items():
        folder = recipe / "dump/raw" / name
        folder.mkdir(parents=True)
        files = {f"{name}-{i}": folder / f"{i}.wav" for i in range(count)}
        for number, file in enumerate(files.values()):
            soundfile.write(file, babble(number, seconds), 16000, subtype="PCM_16")
        tables = {"wav.scp": "{f}", "utt2spk": name, "utt2num_samples": str(16000 * seconds)}
        for table, value in tables.items():
            lines = [f"{utt} {value.format(f=file)}\n" for utt, file in files.items()]
            (folder / table).write_text("".join(lines))
        (folder / "spk2utt").write_text(f"{name} {' '.join(files)}\n")
    make_parts(tmp_path)
    (recipe / "exp/entropy_lm").mkdir(parents=True)
    (tmp_path / "tokenizer").rename(recipe / "exp/tokenizer")
    (tmp_path / "entropy_lm").rename(recipe / "exp/entropy_lm/export")
    write_run(recipe, "units1/units.sh")
    return recipe


@pytest.fixture
def trained(tmp_path):
    """``asr1`` as it is before it decodes; its recognizer is of toy size."""
    recipe = tmp_path / "asr1"
    make_parts(tmp_path)
    model_dir = assemble(tmp_path)
    rng = np.random.default_rng(0)
    for name, (count, units) in SCORED.items():
        scored = {
            f"{name}-{i}": np.stack([rng.integers(0, 20, units), 3 * rng.random(units)], 1)
            for i in range(count)
        }
        scored = {utt: matrix.astype(np.float32) for utt, matrix in scored.items()}
        folder = write_dump(recipe / "dump/asr" / name, scored, model_dir)
        write_scp(folder / "text", dict.fromkeys(scored, "A"))
        (tmp_path / "units1/dump/scored" / name).mkdir(parents=True)
        (tmp_path / "units1/dump/scored" / name / "scored.sha256").write_text(f"{name}\n")
    exp = make_experiment(recipe / "exp/asr_train_asr", model_dir, {1: 0.5})
    pack(exp, exp / "recognizer", 1)
    (recipe / "conf").mkdir()
    (recipe / "conf/train_asr.yaml").write_text("seed: 7\n")
    (recipe / "conf/inference_asr.yaml").write_text(
        "beam_size: 2\nmax_length: 12\nlength_bonus: 2\n"
    )
    write_run(recipe, f"asr1/asr.sh --test_sets '{' '.join(SCORED)}'")
    return recipe


def write_run(recipe, driver):
    (recipe / "run.sh").write_text(RUN % driver)
    (recipe / "run.sh").chmod(0o755)


def run(recipe, backend, stage):
    done = subprocess.run(
        [recipe / "run.sh", "--stage", stage, "--stop_stage", stage],
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, "cmd_backend": backend},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def read_logs(folder, stage):
    return [(folder / f"{stage}.{piece}.log").read_text() for piece in (1, 2, 3)]


def take(folder, place):
    """Move away what was made; its contents by name."""
    folder.rename(place)
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def made(recipe, backend, stage, folder):
    """Run a stage and take what it has made away: contents, and the nodes of its pieces."""
    code, said = run(recipe, backend, stage)
    assert code == 0, said
    (recipe / f"exp/stamps/{stage}.json").unlink()
    logs = read_logs(recipe / "exp/logs", stage)
    return take(recipe / folder, recipe.parent / backend), logs


def test_units_and_entropies_are_those_of_the_local_run(recipe):
    for stage, folder, arks in (("tokenize", "units", 5), ("score_entropy", "scored", 4)):
        here, _ = made(recipe, "local", stage, f"dump/{folder}")
        there, logs = made(recipe, "slurm", stage, f"dump/{folder}")
        assert here.keys() == there.keys()
        assert [name for name in here if here[name] != there[name]] == []
        assert len([name for name in here if name.endswith(".ark")]) == arks
        assert all("# Running on 127.0.0." in log for log in logs)
        (recipe.parent / "local").rename(recipe / "dump" / folder)  # for the next stage
        (recipe.parent / "slurm").rename(recipe.parent / folder)


def test_texts_are_those_of_the_local_run_and_a_task_that_failed_is_made_up_for(trained):
    exp = trained / "exp/asr_train_asr"
    code, said = run(trained, "local", "infer")
    assert code == 0, said
    here = take(exp / "decode", trained.parent / "local")
    (trained / "exp/stamps/asr_train_asr/infer.json").unlink()

    shards = exp / "decode/long/shards"
    (shards / "text.2.json").mkdir(parents=True)  # in the way of the second task
    code, said = run(trained, "slurm", "infer")
    assert code == 1
    assert "slurm.pl: 1 / 3 failed, log is in exp/asr_train_asr/logs/infer.*.log\n" in said
    assert "slurm.pl: failed: 2\n" in said
    assert "infer.2.log ended with code 1; its last lines" in said
    assert "text.2.json" in said
    assert not (exp / "decode/long/text").exists()

    (shards / "text.2.json").rmdir()
    finished = {path: path.stat().st_mtime_ns for path in exp.glob("decode/*/shards/text.*.json")}
    code, said = run(trained, "slurm", "infer")
    assert code == 0, said
    assert all("# Running on 127.0.0." in log for log in read_logs(exp / "logs", "infer"))
    assert len([path for path in finished if "key" not in path.name]) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items())
    there = take(exp / "decode", trained.parent / "slurm")
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
    texts = read_scp(trained.parent / "slurm/long/text", allow_empty=True)
    assert len(texts) == SCORED["long"][0]
    assert len(set(texts.values())) > 1
