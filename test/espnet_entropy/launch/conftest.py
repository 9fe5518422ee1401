"""A real Slurm for the tests that ask for it; one per process that runs tests."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / "tools" / "virtual_slurm.py"


@pytest.fixture(scope="session")
def slurm():
    """Folder of a Slurm with two nodes; ``SLURM_CONF`` and ``PATH`` are set."""
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))  # short: it holds sockets
    command = [sys.executable, str(TOOL)]
    found = subprocess.run([*command, "start", str(folder)], capture_output=True, text=True)
    if "apt-get install" in found.stderr:
        shutil.rmtree(folder)
        pytest.skip("no Slurm here (apt-get install slurm-wlm munge)")
    assert found.returncode == 0, found.stderr
    before = dict(os.environ)
    for word in shlex.split(found.stdout)[1:]:
        name, _, value = word.partition("=")
        os.environ[name] = value
    yield folder
    subprocess.run([*command, "stop", str(folder)], check=False)
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(folder, ignore_errors=True)
