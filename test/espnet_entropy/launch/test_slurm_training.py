"""Training on several nodes: ESPnet's own launcher through ``utils/slurm.pl``, on a real Slurm."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_training
from toy_training import losses

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]  # importing espnet2 takes 12-17 s


def launch(folder, exp, *more):
    """``espnet2.bin.launch`` with ``slurm.pl``, on two nodes without GPUs."""
    exp.mkdir()
    words = [sys.executable, "-m", "espnet2.bin.launch", "--cmd", f"{ROOT}/utils/slurm.pl --mem 2G"]
    words += ["--num_nodes", "2", "--ngpu", "0", "--log", str(exp / "train.log")]
    words += ["--init_file_prefix", str(exp / ".init"), "--"]
    words += [sys.executable, "-m", "espnet_entropy.bin.asr_train"]
    words += toy_training.options(folder, exp, *more)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def train_here(folder, exp, *more):
    """The same with two processes of this machine."""
    more = [*more, "--dist_backend", "gloo", "--dist_world_size", "2", "--dist_rank"]
    init = ["--dist_init_method", f"file://{folder / 'rendezvous'}"]
    words = [toy_training.options(folder, exp, *more, str(rank), *init) for rank in (0, 1)]
    return [toy_training.start("asr_train", exp, each) for each in words]


def test_two_nodes_train_as_two_processes_and_go_on_after_a_requeue(tmp_path):
    toy_training.make_corpus(tmp_path)
    toy_training.write_config(tmp_path, max_epoch=30)
    here, there = tmp_path / "here", tmp_path / "there"
    local = train_here(tmp_path, here)
    process = launch(tmp_path, there)
    while not (there / "3epoch.pth").exists():
        assert process.poll() is None, (there / "train.log").read_text()[-3000:]
        time.sleep(0.02)
    queue = subprocess.run(["squeue", "-h", "-r", "-o", "%A"], capture_output=True, text=True)
    subprocess.run(["scontrol", "requeue", queue.stdout.strip()], check=True)  # as preemption does
    assert process.wait() == 0, process.stderr.read() + (there / "train.log").read_text()[-3000:]
    assert [each.wait() for each in local] == [0, 0]
    log = (there / "train.log").read_text()
    assert "The training was resumed" in log
    assert losses(there).keys() == losses(here).keys() == set(range(1, 31))
    for epoch, values in losses(here).items():
        assert losses(there)[epoch] == pytest.approx(values, rel=1e-5)
