"""The recipe driver, killed with SIGKILL at random moments: it ends with the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ROOT = Path(__file__).resolve().parents[2]
MARK = "ESPNET_ENTROPY_TEST_RUN"  # in the environment of every process of a run

RUN = f"""#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "${{BASH_SOURCE[0]}}")"
{ROOT}/egs2/TEMPLATE/units1/units.sh --test_sets "" "$@"
"""
DATA = """#!/usr/bin/env bash
mkdir -p data && cp -r "$1"/train "$1"/valid data
"""
CONF = {
    "tokenizer.yaml": "features: mfcc\nquantizer_conf: {num_clusters: 20}\n",
    "segmenter.yaml": (
        "criteria: [{criterion: global}, {criterion: planned}]\n"
        "rates: [15, 7]\ndefault: {criterion: planned, rate: 15}\n"
    ),
    # the second epoch is the better one: the link to the best epoch has to move
    "train_entropy_lm.yaml": (
        "lm: entropy_lm\n"
        "lm_conf: {width: 16, layers: 1, heads: 2, ffn: 32, context: 128}\n"
        "use_preprocessor: false\nbatch_type: sorted\nbatch_size: 16\nmax_epoch: 2\n"
        "num_workers: 0\nseed: 1\noptim: adamw\noptim_conf: {lr: 1.0e-2}\n"
        "scheduler: warmupcosinelr\nscheduler_conf: {warmup_steps: 5, total_steps: 100}\n"
        "best_model_criterion: [[valid, loss, min]]\nkeep_nbest_models: 1\n"
        "use_tensorboard: false\nuse_matplotlib: false\n"
    ),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noise of changing colour: 21 minutes (three shards) to train, 24 s of 8 kHz for valid."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for name, count, rate in (("train", 420, 16000), ("valid", 8, 8000)):
        lines = []
        for number in range(count):
            pieces = []
            while sum(map(len, pieces)) < 3 * rate:
                noise = rng.normal(size=rng.integers(rate // 16, rate // 4))
                piece = lfilter(rng.normal(size=rng.integers(2, 12)), 1.0, noise)
                pieces.append(0.1 * piece / np.abs(piece).max())
            utt = f"{name}-{number:03d}"
            soundfile.write(root / f"{utt}.wav", np.concatenate(pieces)[: 3 * rate], rate)
            lines.append(utt)
        (root / name).mkdir()
        (root / name / "wav.scp").write_text("".join(f"{u} {root}/{u}.wav\n" for u in lines))
        (root / name / "utt2spk").write_text("".join(f"{u} {name}\n" for u in lines))
        (root / name / "spk2utt").write_text(f"{name} {' '.join(lines)}\n")
    return root


class Recipe:
    """A recipe directory of its own and the runs in it."""

    def __init__(self, path, corpus):
        self.path, self.corpus, self.earlier = path, corpus, None
        for name, text in CONF.items():
            (path / "conf").mkdir(parents=True, exist_ok=True)
            (path / "conf" / name).write_text(text)
        (path / "local").mkdir()
        for name, text in (("run.sh", RUN), ("local/data.sh", DATA)):
            (path / name).write_text(text)
            (path / name).chmod(0o755)

    @property
    def log(self):
        return (self.path / "log").read_text()

    def start(self, *options):
        """A run in a session of its own; its log begins anew."""
        with open(self.path / "log", "wb") as log:
            return subprocess.Popen(
                [self.path / "run.sh", "--data_opts", str(self.corpus), *options],
                stdout=log,
                stderr=log,
                env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, MARK: str(self.path)},
                start_new_session=True,
            )

    def run(self, *options):
        return self.start(*options).wait()

    def wait_for(self, process, condition):
        while not condition():
            assert process.poll() is None, self.log[-3000:]
            time.sleep(0.001)

    def processes(self):
        """Every living process of a run here, whatever session or parent it has."""
        mark, found = f"{MARK}={self.path}".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # it ended, or is not ours
                continue
        return found

    def kill(self, process, everything):
        """SIGKILL to all processes of the run, or to those of its group: the launcher's tasks,
        in sessions of their own, then see that the launcher is gone and end."""
        others = self.processes() if everything else []
        os.killpg(process.pid, signal.SIGKILL)
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, self.log[-3000:]
        while self.processes():  # nothing is left behind
            time.sleep(0.01)

    def last_epoch_is_recorded(self):
        """The most delicate moment of the training: the links to the epoch are not made yet."""
        exp = self.path / "exp/entropy_lm"
        record = exp / "checkpoint.pth"
        inode = record.stat().st_ino if record.exists() else None
        if not (exp / "2epoch.pth").exists():
            self.earlier = inode
        return inode != self.earlier

    def made(self):
        """Content of what the stages made, by path; not what only says how they went."""
        folders = ("dump", "exp/tokenizer", "exp/entropy_lm/export", "exp/calibration")
        files = [
            file.relative_to(self.path)
            for folder in (*folders, "exp/compressor")
            for file in sorted((self.path / folder).rglob("*"))
            if file.is_file() and not file.match(".*.tmp")
        ]
        return {str(file): (self.path / file).read_bytes() for file in files}


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A recipe that ran without a break, and the seconds that each stage took."""
    recipe = Recipe(tmp_path_factory.mktemp("whole") / "egs2/babble/units1", corpus)
    process = recipe.start()
    recipe.begun = {}
    while process.poll() is None:
        for line in recipe.log.splitlines():
            words = line.split()
            if words[1:2] == ["stage"] and "->" in line:
                recipe.begun.setdefault(words[3].rstrip(":"), time.monotonic())
        time.sleep(0.02)
    assert process.returncode == 0, recipe.log[-3000:]
    times = [*recipe.begun.values(), time.monotonic()]
    recipe.seconds = {s: b - a for s, a, b in zip(recipe.begun, times, times[1:], strict=False)}
    return recipe


def test_killed_at_random_moments_it_ends_with_the_same_bytes(corpus, whole, tmp_path):
    recipe = Recipe(tmp_path / "egs2/babble/units1", corpus)
    rng = random.Random(os.environ.get("KILL_SEED", "0"))  # another seed, other moments

    def ended(stage):
        return any(f" {stage}: {how}" in recipe.log for how in ("finished", "done before"))

    def kill_in(stage, times, too_late=ended):
        for number in range(times):
            process = recipe.start("--nj", str(rng.randint(1, 2)))  # the bytes do not depend on it
            recipe.wait_for(process, lambda: f" {stage}: " in recipe.log)
            # the machine may be quicker now than it was: then at the end of the stage
            until = time.monotonic() + (number + rng.random()) / times * whole.seconds[stage]
            while time.monotonic() < until and not too_late(stage):
                time.sleep(0.005)
            recipe.kill(process, everything=rng.random() < 0.5)

    for stage, times in (("format", 1), ("fit_tokenizer", 2), ("tokenize", 2)):
        kill_in(stage, times)
    first_epoch = recipe.path / "exp/entropy_lm/1epoch.pth"
    kill_in("train_entropy_lm", 1, lambda _: first_epoch.exists())  # the training's end: now
    process = recipe.start()
    recipe.wait_for(process, recipe.last_epoch_is_recorded)
    recipe.kill(process, everything=True)
    kill_in("score_entropy", 2)

    assert recipe.run() == 0, recipe.log[-3000:]
    made, expected = recipe.made(), whole.made()
    assert made.keys() == expected.keys()
    assert [name for name in expected if made[name] != expected[name]] == []
    assert len([name for name in expected if name.endswith(".ark")]) >= 3 + 1 + 2 + 1 + 2


def test_a_second_run_does_nothing(whole):
    before = {file: file.stat().st_mtime_ns for file in whole.path.rglob("*.*")}
    assert whole.run() == 0
    stages = [line for line in whole.log.splitlines() if " stage " in line]
    assert len(stages) == len(whole.seconds)
    assert all(line.endswith(": done before, nothing changed") for line in stages)
    assert {file: file.stat().st_mtime_ns for file in whole.path.rglob("*.*")} == before


def test_a_changed_configuration_stops_the_run_until_it_is_made_anew(corpus, whole, tmp_path):
    recipe = Recipe(tmp_path / "egs2/babble/units1", corpus)
    shutil.copytree(whole.path, recipe.path, symlinks=True, dirs_exist_ok=True)
    config = recipe.path / "conf/tokenizer.yaml"
    config.write_text(config.read_text().replace("20", "21"))
    assert recipe.run() == 2
    message = recipe.log.splitlines()[-1]
    assert message.startswith("error: stage fit_tokenizer was made from something else: ")
    assert "conf/tokenizer.yaml has changed" in message
    assert message.endswith("--stage fit_tokenizer --remake true")
    options = ("--stage", "fit_tokenizer", "--stop_stage", "tokenize", "--remake", "true")
    assert recipe.run(*options) == 0, recipe.log[-3000:]
    for name in ("train", "valid"):
        units = recipe.path / "dump/units" / name
        assert "num_clusters: 21" in (units / "meta.yaml").read_text()
        assert (
            len((units / "units.scp").read_text().splitlines()) == {"train": 420, "valid": 8}[name]
        )
