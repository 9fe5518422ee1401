"""Two runs at once: the second is refused, what a kill left behind is not in the way."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from espnet_entropy.launch import lock
from espnet_entropy.launch.lock import only_run

ROOT = Path(__file__).resolve().parents[3]
# A driver with two stages; the first lasts as long as `wait` is there, in a process of its own.
DRIVER = f"""
set -euo pipefail
export PYTHONPATH={ROOT} python={sys.executable}
. {ROOT}/utils/stages.sh
stages=(data train)
stage=1 stop_stage="" remake=${{1:-false}}
select_stages
data() {{ touch data; }}
train() {{ bash -c 'echo $$ > child; while [ -e wait ]; do sleep 0.05; done'; touch model; }}
run_stage data "" data "" data
stamp_dir=exp/stamps/${{2:-one}}
run_stage train data model "" train
"""


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.2)


def start(folder, *args):
    return subprocess.Popen(
        ["bash", "-c", DRIVER, "run.sh", *args], cwd=folder, stderr=subprocess.PIPE, text=True
    )


def wait_for(path):
    until = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until, path
        time.sleep(0.02)


def end(process):
    said = process.communicate(timeout=20)[1]
    return process.returncode, said


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path, impatient):
    with only_run(tmp_path / "exp"):
        mine = f"pid {os.getpid()} on {socket.gethostname()}"
        refused = pytest.raises(
            ValueError, match=rf"exp/.lock: another run is at work here, {mine}\."
        )
        with refused, only_run(tmp_path / "exp"):
            pass
    with only_run(tmp_path / "exp"):
        pass


def test_who_ends_within_a_moment_is_waited_for(tmp_path):
    with open(tmp_path / ".lock", "a") as stream:
        lock.hold(stream.fileno(), tmp_path / ".lock", 1)
        timer = threading.Timer(0.3, stream.close)
        timer.start()
        with only_run(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
        timer.join()


def test_what_it_starts_does_not_hold_the_lock(tmp_path, impatient):
    with only_run(tmp_path):
        child = subprocess.Popen(["sleep", "20"])
    with only_run(tmp_path):  # while the child lives
        assert child.poll() is None
    child.kill()
    child.wait()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, caplog):
    def lockless(*args):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", lockless)
    with only_run(tmp_path):
        assert "cannot be locked" in caplog.text


def test_two_runs_of_one_recipe(tmp_path):
    (tmp_path / "wait").touch()
    first = start(tmp_path)
    wait_for(tmp_path / "child")
    code, said = end(start(tmp_path, "true"))  # the first stage is done, the second is at work
    assert code == 2
    assert "stage 1 data: done before" in said
    assert f"exp/stamps/one/.lock: another run is at work here, pid {first.pid} on" in said
    other = start(tmp_path, "false", "two")  # another experiment of the recipe
    (tmp_path / "wait").unlink()
    assert end(other)[0] == 0
    assert end(first)[0] == 0
    assert end(start(tmp_path))[0] == 0


def test_a_killed_run_leaves_no_lock(tmp_path):
    (tmp_path / "wait").touch()
    first = start(tmp_path)
    wait_for(tmp_path / "child")
    first.kill()  # its child lives on
    os.kill(int((tmp_path / "child").read_text()), 0)
    (tmp_path / "child").unlink()
    second = start(tmp_path)
    wait_for(tmp_path / "child")  # it is at work
    (tmp_path / "wait").unlink()
    assert end(second)[0] == 0
    first.communicate()


def test_a_recipe_of_another_user_that_is_done_can_be_read(tmp_path):
    assert end(start(tmp_path))[0] == 0
    for folder in ("exp/stamps", "exp/stamps/one"):
        (tmp_path / folder / ".lock").unlink()
        (tmp_path / folder / ".lock").mkdir()  # root may write everywhere else
    assert end(start(tmp_path))[0] == 0
