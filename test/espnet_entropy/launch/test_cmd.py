"""``egs2/TEMPLATE/cmd.sh`` and ``pieces.sh``: what the backend and the options make of a call."""

import os
import shutil
import subprocess
import sys
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


TRAIN = (
    'option_error() { echo "error: $*" >&2; exit 2; }; log_dir=logs; '
    '. "$root/egs2/TEMPLATE/cmd.sh"; . "$root/egs2/TEMPLATE/pieces.sh"; '
    "espnet_train train $python -m asr_train --resume true"
)


@pytest.fixture
def train(tmp_path):
    """The command and its number of threads, or the error, of a training with such options."""
    folder = tmp_path / "egs2" / "TEMPLATE"
    folder.mkdir(parents=True)
    (tmp_path / "utils").mkdir()
    for name in ("cmd.sh", "pieces.sh"):
        shutil.copy(TEMPLATE / name, folder)
    for name in ("python", "utils/slurm.pl"):
        (tmp_path / name).write_text('#!/bin/sh\necho "${0##*/} $*; $OMP_NUM_THREADS"\n')
        (tmp_path / name).chmod(0o755)

    def run(backend, **options):
        values = {"ngpu": 0, "num_nodes": 1, "train_threads": 2, **options}
        env = {name: str(value) for name, value in values.items()} | {"cmd_backend": backend}
        found = subprocess.run(
            ["bash", "-euc", TRAIN],
            env={**os.environ, "root": str(tmp_path), "python": str(tmp_path / "python"), **env},
            capture_output=True,
            text=True,
        )
        return (found.stdout or found.stderr).replace(f"{tmp_path}/", "").rstrip()

    return run


COMMAND = "python -m asr_train --resume true"


@pytest.mark.parametrize("launcher", ["python utils/run.pl", "slurm.pl"])
def test_a_training_on_one_gpu_or_none(train, launcher):
    backend = "local" if "run" in launcher else "slurm"
    for ngpu in (0, 1):
        asked = f"--gpu {ngpu} --num_threads 2 logs/train.log {COMMAND} --ngpu {ngpu}; 2"
        assert train(backend, ngpu=ngpu) == f"{launcher} {asked}"


def test_several_gpus_of_this_machine(train):
    asked = f"--gpu 4 --num_threads 8 logs/train.log {COMMAND} --ngpu 4"  # each process its threads
    expected = f"python utils/run.pl {asked} --multiprocessing_distributed true; 2"
    assert train("local", ngpu=4) == expected


@pytest.mark.parametrize(("ngpu", "nodes", "threads"), [(4, 1, 8), (0, 2, 2), (1, 2, 2), (4, 8, 8)])
def test_several_gpus_or_nodes_of_a_cluster(train, ngpu, nodes, threads):
    asked = f"--num_nodes {nodes} --ngpu {ngpu} --log logs/train.log"
    init = "--init_file_prefix logs/.launch/train.log/rendezvous."
    assert train("slurm", ngpu=ngpu, num_nodes=nodes) == (
        f"python -m espnet2.bin.launch --cmd utils/slurm.pl  --num_threads {threads} "
        f"{asked} {init} -- {COMMAND}; 2"
    )


def test_several_nodes_without_a_cluster(train):
    said = train("local", num_nodes=2)
    assert said.startswith("error: --num_nodes 2: training would run on one machine (cmd_backend=l")
    assert "use cmd_backend=slurm" in said
    assert train("slurm", num_nodes=0) == "error: --num_nodes: expected 1 or more, got 0."


@pytest.mark.parametrize("call", ["units1/units.sh", "asr1/asr.sh", "asr1/asr.sh --sweep methods"])
def test_several_nodes_without_a_cluster_are_refused_before_anything_is_done(tmp_path, call):
    driver, *more = call.split()
    (tmp_path / "conf").mkdir()
    found = subprocess.run(
        [TEMPLATE / driver, "--num_nodes", "2", *more],
        cwd=tmp_path,
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, "cmd_backend": "local"},
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("./run.sh: error: --num_nodes 2: training would run on one mach")
    assert [path.name for path in tmp_path.rglob("*")] == ["conf"]


def test_a_row_of_a_sweep_on_slurm_has_one_node(tmp_path):
    options = ["--num_nodes", "2", "--sweep", "methods"]
    found = subprocess.run(
        [TEMPLATE / "asr1/asr.sh", *options],
        cwd=tmp_path,
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, "cmd_backend": "slurm"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    assert "a row would be a job of one node; see sweep_cmd" in found.stderr
