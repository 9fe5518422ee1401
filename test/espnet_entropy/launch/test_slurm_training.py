"""Training on several nodes: a recipe's driver, ESPnet's launcher and slurm.pl, on a real Slurm."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_lm_training
from toy_training import losses

ROOT = Path(__file__).resolve().parents[3]
STAGE = "train_entropy_lm"
RUN = f"""#!/usr/bin/env bash
cd "$(dirname "${{BASH_SOURCE[0]}}")"
{ROOT}/egs2/TEMPLATE/units1/units.sh --stage {STAGE} --stop_stage {STAGE} "$@"
"""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]  # importing espnet2 takes 12-30 s


@pytest.fixture
def recipe(tmp_path):
    """A recipe whose units are there."""
    recipe = tmp_path / "recipe"
    toy_lm_training.make_units(recipe / "dump/units")
    for name in ("train", "valid"):
        (recipe / "dump/units" / name / "units.sha256").write_text(f"{name}\n")
    (recipe / "conf").mkdir()
    config = toy_lm_training.CONFIG.replace("max_epoch: 12", "max_epoch: 60")
    (recipe / "conf/train_entropy_lm.yaml").write_text(config)
    (recipe / "run.sh").write_text(RUN)
    (recipe / "run.sh").chmod(0o755)
    return recipe


def test_two_nodes_train_as_two_processes_and_go_on_after_a_requeue(recipe, monkeypatch):
    exp, log = recipe / "exp/entropy_lm", recipe / "exp/logs/train_entropy_lm.log"
    more = {"ESPNET_ENTROPY_PYTHON": sys.executable, "cmd_backend": "slurm"}
    process = subprocess.Popen(
        [recipe / "run.sh", "--num_nodes", "2"],
        env=os.environ | more | {"GLOO_SOCKET_IFNAME": "lo"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(exp.glob("[3-9]epoch.pth")):
        assert process.poll() is None, process.stderr.read() + log.read_text()[-3000:]
        time.sleep(0.02)
    queue = subprocess.run(["squeue", "-h", "-r", "-o", "%A"], capture_output=True, text=True)
    subprocess.run(["scontrol", "requeue", queue.stdout.strip()], check=True)  # as preemption does
    stderr = process.communicate()[1]
    assert process.returncode == 0, stderr + log.read_text()[-3000:]
    text = log.read_text()
    assert "The training was resumed" in text
    assert ":0/2]" in text  # rank 0 of 2 in ESPnet's log lines
    assert set(re.findall(r"rendezvous\.[\w-]+\.([.\d]+)", text)) == {"0.0", "0.1"}  # never again
    assert (exp / "export/config.yaml").is_file()  # the stage has ended

    monkeypatch.chdir(recipe)  # packed.scp has paths from here
    here = recipe / "here"
    config, packed = recipe / "conf/train_entropy_lm.yaml", recipe / "dump/packed"
    processes = toy_lm_training.fork(2, here, toy_lm_training.options(config, packed, here))
    for rank in processes:
        rank.join()
    assert [rank.exitcode for rank in processes] == [0, 0], (here / "log.0").read_text()[-3000:]
    assert losses(exp).keys() == losses(here).keys() == set(range(1, 61))
    for epoch, values in losses(here).items():
        assert losses(exp)[epoch] == pytest.approx(values, rel=1e-5)
