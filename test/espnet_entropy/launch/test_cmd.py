"""``egs2/TEMPLATE/cmd.sh``: one variable chooses the backend of every recipe."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[3] / "egs2" / "TEMPLATE"
SHOW = '. "$root/egs2/TEMPLATE/cmd.sh"; echo $long_cmd; echo $train_cmd; echo $sweep_cmd'


@pytest.fixture
def commands(tmp_path):
    """The three commands, for a site's file and an environment."""
    folder = tmp_path / "egs2" / "TEMPLATE"
    folder.mkdir(parents=True)
    shutil.copy(TEMPLATE / "cmd.sh", folder)

    def run(site="", **env):
        (folder / "cmd.local.sh").write_text(site)
        clean = {k: v for k, v in os.environ.items() if k != "cmd_backend"}
        found = subprocess.run(
            ["bash", "-euc", SHOW],
            env={**clean, "root": str(tmp_path), "python": "py", **env},
            capture_output=True,
            text=True,
        )
        lines = [line.replace(f"{tmp_path}/utils/", "") for line in found.stdout.splitlines()]
        return lines or found.stderr

    return run


def test_local_is_the_default(commands):
    assert commands() == ["py run.pl"] * 3
    assert commands(train_cmd="that of an outer recipe") == ["py run.pl"] * 3


def test_a_site_sends_every_recipe_to_slurm(commands):
    site = 'cmd_backend=slurm slurm_config=s.conf long_options="--mem 2G" train_options="--time 9"'
    found = commands(site)
    begin = "slurm.pl --config s.conf"  # first the name that ESPnet's launcher asks for
    assert found == [f"{begin} --mem 2G", f"{begin} --time 9", f"{begin} --time 9"]


def test_the_environment_wins_as_inside_a_job(commands):
    site = "cmd_backend=slurm\n"
    assert commands(site, cmd_backend="local") == ["py run.pl"] * 3
    site += 'long_options="--mem 4G --max-jobs-run 64" sweep_options="--mem 9G"\n'
    assert commands(site, cmd_backend="local") == ["py run.pl"] * 3
    assert commands(cmd_backend="slurm") == ["slurm.pl"] * 3


def test_a_command_of_the_site_stays(commands):
    assert commands("train_cmd='ssh.pl x'\n") == ["py run.pl", "ssh.pl x", "py run.pl"]


def test_a_backend_that_there_is_not(commands):
    assert "cmd_backend: expected local or slurm, got 'sge'" in commands("cmd_backend=sge\n")
