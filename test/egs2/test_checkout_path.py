"""A checkout in a folder whose name a shell would take apart."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["a b", "a'b", "a[b"])
def test_scripts_say_that_they_cannot_work_there(tmp_path, name):
    ignored = shutil.ignore_patterns("data", "dump", "exp", "*.local.*")
    for part in ("egs2/TEMPLATE", "egs2/mini_synth/units1", "utils", "tools"):
        shutil.copytree(ROOT / part, tmp_path / name / part, ignore=ignored)
    run = tmp_path / name / "egs2/mini_synth/units1/run.sh"

    def call(*options):
        return subprocess.run([run, *options], capture_output=True, text=True, check=False)

    asked = call("--help")
    assert (asked.returncode, "--lm_config" in asked.stdout) == (0, True), asked.stderr
    begun = call("--stop_stage", "data")
    assert begun.returncode == 2
    assert begun.stderr.startswith(f"error: {tmp_path / name}: scripts cannot work where the path")
    assert not (run.parent / "exp").exists()
