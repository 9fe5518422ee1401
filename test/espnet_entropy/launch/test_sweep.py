"""A whole sweep with a stand-in for ``asr.sh`` that trains nothing."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from espnet_entropy.launch import lock, sweep_budget
from espnet_entropy.launch.sweep import OWN, Settings, run_sweep
from espnet_entropy.launch.sweep_budget import Cost
from espnet_entropy.launch.sweep_job import without_options
from espnet_entropy.utils.config import read_yaml

ROOT = Path(__file__).resolve().parents[3]
LAUNCHER = (sys.executable, str(ROOT / "utils/run.pl"))
# Notes its arguments and stamps its stages as asr.sh does; `fail` and `wait` name rows.
DRIVER = """
import json, os, sys, time
from pathlib import Path
from espnet_entropy.launch.stamp import describe, write

words = sys.argv[1:]
options = dict(zip([w.removeprefix("--") for w in words[::2]], words[1::2]))
with open("calls.jsonl", "a") as calls:
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    calls.write(json.dumps(options | {"cuda": cuda}) + "\\n")
if options["stage"] == "data":
    sys.exit(options.get("units_args") == "broken")
exp = Path(options["asr_exp"])
row = exp.parent.name
print("training", row)
if Path("alone").exists():
    os.mkdir("running")  # fails if another row is here
    time.sleep(0.2)
    os.rmdir("running")
stamps = Path("exp/stamps") / exp.relative_to("exp")
config = Path(options["asr_config"])
if options["stage"] == "train":
    write(stamps / "train.json", describe("train", "", [config]), finished=False)
for name in Path("wait").read_text().split() if Path("wait").exists() else []:
    while row == name and Path("wait").exists():
        time.sleep(0.01)
if Path("fail").exists() and row in Path("fail").read_text().split():
    print("out of luck")
    sys.exit(3)
decoded = exp / "decode/test"
decoded.mkdir(parents=True, exist_ok=True)
(decoded / "text").write_text("u1 a b\\n")
(decoded / "score.json").write_text(json.dumps({"wer": 1.0}))
order = ["train", "average", "infer", "score"]
for stage in order[order.index(options["stage"]) : order.index(options["stop_stage"]) + 1]:
    inputs = [decoded / "text"] if stage == "score" else [config]
    write(stamps / f"{stage}.json", describe(stage, "", inputs), finished=True)
"""
ROWS = [
    {"name": "raw", "train": {"model_conf": {"ctc_weight": 0.0}}},
    {"name": "coarse", "train": {"max_epoch": 7}, "options": {"unit_bpe_size": 30}},
]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    folder = tmp_path / "asr1"
    (folder / "conf/sweep").mkdir(parents=True)
    (tmp_path / "units1").mkdir()
    (tmp_path / "units1/run.sh").touch()
    (folder / "driver.py").write_text(DRIVER)
    base = {"max_epoch": 4, "patience": 2, "scheduler_conf": {"warmup_steps": 10}}
    (folder / "conf/train_asr.yaml").write_text(yaml.safe_dump(base))
    write_rows(folder, ROWS)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def write_rows(folder, rows):
    content = {"title": "two rows", "rows": rows}
    (folder / "conf/sweep/two.yaml").write_text(yaml.safe_dump(content))


def settings(*options, **changes):
    command = (sys.executable, "driver.py", "--nj", "1", "--sweep", "two", *options)
    given = {"base": Path("conf/train_asr.yaml"), "command": command, "launcher": LAUNCHER}
    return Settings(**given | changes)


def run(*options, **changes):
    return run_sweep("two", [Path()], settings(*options, **changes))


def calls():
    lines = Path("calls.jsonl").read_text().splitlines()
    Path("calls.jsonl").unlink()
    made = [json.loads(line) for line in lines]
    return [c for c in made if c["stage"] == "data"], [c for c in made if c["stage"] != "data"]


def test_every_row_and_seed_is_trained_once(recipe):
    assert run("--seeds", "1 2", seeds=[1, 2]) == []
    prepared, trained = calls()
    assert [call.get("unit_bpe_size") for call in prepared] == [None, "30"]
    assert all(call["stop_stage"] == "unit_bpe" and call["nj"] == "1" for call in prepared)
    folders = [call["asr_exp"] for call in trained]
    assert folders == [f"exp/sweep/two/{r}/seed{s}" for r in ("raw", "coarse") for s in (1, 2)]
    for call in trained:
        assert (call["stage"], call["stop_stage"], call["sweep"]) == ("train", "score", "")
        assert "seeds" not in call
        assert call["asr_exp"].endswith(f"seed{call['seed']}")
    assert trained[-1]["unit_bpe_size"] == "30"
    assert "unit_bpe_size" not in trained[0]
    base = read_yaml(recipe / "conf/train_asr.yaml")
    assert read_yaml("exp/sweep/two/raw/train.yaml") == base | {"model_conf": {"ctc_weight": 0.0}}
    assert read_yaml("exp/sweep/two/coarse/train.yaml") == base | {"max_epoch": 7}
    assert json.loads(Path("exp/sweep/two/raw/budget.json").read_text()) == {"budget": "epochs"}

    assert run(seeds=[1, 2]) == []
    assert calls()[1] == []
    os.unlink("exp/sweep/two/raw/seed2/decode/test/score.json")
    assert run(seeds=[1, 2, 3]) == []
    again = [call["asr_exp"] for call in calls()[1]]
    assert again == [f"exp/sweep/two/{name}" for name in ("raw/seed2", "raw/seed3", "coarse/seed3")]


def test_two_sweeps_at_once_in_one_folder(recipe, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    refused = pytest.raises(ValueError, match=rf"exp/sweep/two/.lock: .* pid {os.getpid()} on ")
    with lock.only_run(Path("exp/sweep/two")), refused:
        run()
    assert not Path("calls.jsonl").exists()
    assert run() == []


def test_a_row_that_fails_is_named_and_the_others_go_on(recipe):
    (recipe / "fail").write_text("raw")
    (failed,) = run()
    assert failed.startswith("raw, seed 1: exit status 3; exp/sweep/two/raw/seed1.log:")
    assert "out of luck" in failed
    assert len(calls()[1]) == 2
    (recipe / "fail").unlink()
    assert run() == []
    assert [call["asr_exp"] for call in calls()[1]] == ["exp/sweep/two/raw/seed1"]


def test_a_row_whose_configuration_changed_stops_unless_remade(recipe):
    assert run() == []
    changed = [ROWS[0], ROWS[1] | {"train": {"max_epoch": 9}}, {"name": "new"}]
    write_rows(recipe, changed)
    calls()
    (refused,) = run()
    assert "coarse: was trained with another" in refused
    assert "max_epoch was 7 and is now 9" in refused
    assert "--remake true" in refused
    assert [call["asr_exp"] for call in calls()[1]] == ["exp/sweep/two/new/seed1"]
    assert read_yaml("exp/sweep/two/coarse/train.yaml")["max_epoch"] == 7
    assert read_yaml("exp/sweep/two/sweep.yaml")["rows"] == ROWS  # the table says what was trained
    assert run("--remake", "true", remake=True) == []
    (call,) = calls()[1]
    assert (call["asr_exp"], call["remake"]) == ("exp/sweep/two/coarse/seed1", "true")
    assert read_yaml("exp/sweep/two/coarse/train.yaml")["max_epoch"] == 9


def test_seeds_of_one_row_share_its_configuration(recipe):
    """The table takes their mean."""
    assert run(seeds=[1, 2]) == []
    write_rows(recipe, [ROWS[0], ROWS[1] | {"train": {"max_epoch": 9}}])
    for remake in (False, True):
        (refused,) = run(seeds=[3], remake=remake)
        assert "--seeds that include those of seed1, seed2" in refused
        assert read_yaml("exp/sweep/two/coarse/train.yaml")["max_epoch"] == 7
    assert run(seeds=[1, 2, 3], remake=True) == []


def test_rows_run_in_parallel(recipe):
    (recipe / "wait").write_text("raw")
    # `raw` waits for a file that only `coarse` could outlive: one at a time would hang
    watcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, time\n"
            "while not os.path.exists('exp/sweep/two/coarse/seed1/decode/test/score.json'):\n"
            "    time.sleep(0.01)\n"
            "os.unlink('wait')",
        ]
    )
    try:
        assert run(at_a_time=2) == []
    finally:
        watcher.kill()
        watcher.wait()


COMMAND = f"""
import sys
from pathlib import Path
from espnet_entropy.launch.sweep import Settings, run_sweep
print(run_sweep("two", [Path()], Settings(base=Path("conf/train_asr.yaml"),
    command=(sys.executable, "driver.py", "--nj", "1"), launcher={LAUNCHER!r})))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_in_the_second_row_it_goes_on_there(recipe, number):
    (recipe / "wait").write_text("coarse")
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        stderr=subprocess.DEVNULL,
        # tests started by `&` in a script ignore it, and so would this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    stamp = Path("exp/stamps/sweep/two/coarse/seed1/train.json")
    deadline = time.monotonic() + 60
    while not stamp.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(60) != 0
    while processes_in(recipe) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_in(recipe) == []  # launcher and row went with the sweep
    (recipe / "wait").unlink()
    calls()
    assert run() == []
    assert [call["asr_exp"] for call in calls()[1]] == ["exp/sweep/two/coarse/seed1"]


def processes_in(folder):
    """Other processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if os.readlink(entry / "cwd") == str(folder):
                    found.append((entry / "cmdline").read_text())
            except OSError:
                continue
    return [command for command in found if command]  # a zombie has none


def test_mistakes_stop_it_before_anything_runs(recipe):
    with pytest.raises(ValueError, match="preparing the sweep failed with exit status 1"):
        run("--units_args", "broken")
    calls()
    for changes, message in (
        ({"seeds": [1, 1]}, "--seeds: expected one or more, each once, got '1 1'"),
        ({"budgets": ["flop"]}, "Did you mean 'flops'"),
        ({"at_a_time": 0}, "--sweep_jobs"),
        ({"units": "../units2"}, "units ../units2: no run.sh there"),
        ({"train_arguments": ["--seed=3"]}, "--asr_args: a --seed there"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**changes)
    with pytest.raises(ValueError, match=r"--seed: a sweep trains many .* use --seeds"):
        run("--seed", "7")
    for options in ({"seed": 3}, {"asr_args": "--seed 3"}):
        write_rows(recipe, [ROWS[0] | {"options": options}])
        with pytest.raises(ValueError, match=r"row '.*': options: "):
            run()
    write_rows(recipe, ROWS)
    assert not Path("calls.jsonl").exists()
    with pytest.raises(ValueError, match=r"no row was run; .* unknown option '--gpus'"):
        run(launcher=(*LAUNCHER, "--gpus", "1"))


def test_equal_flops(recipe, monkeypatch):
    costs = {
        "raw": Cost(flops=8e9, batches=50, iterations=50, epochs=4, accum_grad=1, parameters=9),
        "coarse": Cost(flops=2e9, batches=50, iterations=50, epochs=4, accum_grad=1, parameters=9),
    }
    made = {name: dataclasses.asdict(cost) for name, cost in costs.items()}
    monkeypatch.setattr(sweep_budget, "_measure", lambda *_: made)
    assert run(budgets=["flops", "epochs"]) == []
    assert {c["asr_exp"].split("/")[3] for c in calls()[1]} == {
        *("raw", "raw_flops", "coarse", "coarse_flops")
    }
    flops = read_yaml("exp/sweep/two/coarse_flops/train.yaml")
    assert (flops["num_iters_per_epoch"], flops["patience"]) == (200, None)
    assert flops["scheduler_conf"] == {"warmup_steps": 40}
    assert "num_iters_per_epoch" not in read_yaml("exp/sweep/two/coarse/train.yaml")
    said = json.loads(Path("exp/sweep/two/coarse_flops/budget.json").read_text())
    assert (said["steps"], said["passes_over_corpus"], said["flops"]) == (800, 16.0, 1.6e12)
    assert said["flops_over_reference"] == 1.0
    path = Path("exp/sweep/two/coarse/budget.json")
    said = json.loads(path.read_text())
    assert (said["budget"], said["steps"], said["flops_over_reference"]) == ("epochs", 200, 0.25)
    assert run(budgets=["epochs"]) == []  # asks for less, and takes nothing away
    assert json.loads(path.read_text()) == said


def test_options_are_taken_out_in_both_forms():
    words = ["a.sh", "--seed=3", "--asr_args", "--max_epoch 2", "--seed", "4", "--stop-stage", "5"]
    kept = ["a.sh", "--asr_args", "--max_epoch 2"]
    assert without_options(words, ("seed", "stop_stage")) == kept


@pytest.mark.parametrize("value", ["--seed=3", "--seed", "--sweep", "--stage=2", "-1", "a=b"])
def test_a_value_that_looks_like_an_option_is_a_value(value):
    """As for ``utils/options.sh``, which reads what is left."""
    words = ["a.sh", "--asr_args", value, "--sweep", value, f"--data_opts={value}", "--nj", "2"]
    kept = ["a.sh", "--asr_args", value, f"--data_opts={value}", "--nj", "2"]
    assert without_options(words, OWN) == kept


def test_values_of_the_call_reach_the_rows(recipe):
    assert run("--asr_args", "--stage=3", "--sweep_jobs", "1") == []
    prepared, trained = calls()
    assert [call["asr_args"] for call in prepared + trained] == ["--stage=3"] * 4


def test_stages_are_those_asked_for(recipe):
    assert run(stages=["data", "prepare"]) == []
    prepared, trained = calls()
    assert [(c["stage"], c["stop_stage"]) for c in prepared] == [("data", "prepare")] * 2
    assert trained == []
    assert run(stages=["train"]) == []
    assert [(c["stage"], c["stop_stage"]) for c in calls()[1]] == [("train", "train")] * 2
    assert run(stages=["average", "infer", "score", "report"]) == []
    assert [(c["stage"], c["stop_stage"]) for c in calls()[1]] == [("average", "score")] * 2
    assert run() == []
    prepared, trained = calls()
    assert (len(prepared), trained) == (2, [])  # the parts were the whole


def test_a_launcher_that_says_much_does_not_hang(recipe):
    talk = f"import os, sys; os.write(2, b'word ' * 40000); os.execv({LAUNCHER[0]!r}, "
    talk += f"{[*LAUNCHER]!r} + sys.argv[1:])"
    (recipe / "talk.py").write_text(talk)
    (recipe / "fail").write_text("raw coarse")
    assert len(run(launcher=(sys.executable, "talk.py"))) == 2
    assert Path("exp/sweep/two/logs/launcher.log").stat().st_size > 200_000


def test_each_row_has_gpus_of_its_own(recipe, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    assert run(at_a_time=2, launcher=(*LAUNCHER, "--gpu", "1")) == []
    given = [call["cuda"] for call in calls()[1]]
    assert sorted(given) == ["4", "7"]
    # fewer GPUs than rows at a time: one after the other, never two on one GPU
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    (recipe / "alone").touch()
    write_rows(recipe, [{"name": "new"}, {"name": "newer"}])
    assert run(at_a_time=2, launcher=(*LAUNCHER, "--gpu", "1")) == []
    assert [call["cuda"] for call in calls()[1]] == ["4", "4"]
