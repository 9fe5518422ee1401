"""The recipes' long stages as arrays on a real Slurm make, file by file, what they make here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from sounds import babble
from toy_compressor import make_parts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]
ROOT = Path(__file__).resolve().parents[3]
RUN = f"""#!/usr/bin/env bash
cd "$(dirname "${{BASH_SOURCE[0]}}")"
{ROOT}/egs2/TEMPLATE/units1/units.sh --nj 3 "$@"
"""
# utterances and seconds of each: a shard is closed after ten minutes
SETS = {"train": (9, 150), "valid": (3, 5), "test": (2, 7)}


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
    (recipe / "run.sh").write_text(RUN)
    (recipe / "run.sh").chmod(0o755)
    return recipe


def made(recipe, backend, stage, folder):
    """Run a stage and take what it has made away: contents, and the nodes of its pieces."""
    done = subprocess.run(
        [recipe / "run.sh", "--stage", stage, "--stop_stage", stage],
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, "cmd_backend": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    logs = [(recipe / f"exp/logs/{stage}.{piece}.log").read_text() for piece in (1, 2, 3)]
    (recipe / folder).rename(recipe.parent / backend)
    (recipe / f"exp/stamps/{stage}.json").unlink()
    root = recipe.parent / backend
    files = {path.relative_to(root): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items()}, logs


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
