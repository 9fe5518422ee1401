"""What ``slurm.pl`` makes of Slurm's answers; the commands are stand-ins, so this runs anywhere."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from espnet_entropy.launch import slurm, slurm_queue
from espnet_entropy.launch.grammar import Resources, parse
from espnet_entropy.launch.slurm import SlurmBackend, log_pattern
from espnet_entropy.launch.slurm_conf import SlurmConfig
from espnet_entropy.launch.slurm_queue import TaskState

UTILS = Path(__file__).resolve().parents[3] / "utils"
SLURM, LOCAL = str(UTILS / "slurm.pl"), str(UTILS / "run.pl")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make a command that notes its arguments in ``calls`` and then runs a script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name, script):
        path = folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{script}\n')
        path.chmod(0o755)

    for name in ("sbatch", "squeue", "scancel", "scontrol", "sacct"):
        make(name, "true")
    return make


def run(cwd, *words, program=SLURM):
    found = subprocess.run(
        [sys.executable, "-S", program, *words], cwd=cwd, capture_output=True, text=True
    )
    return found.returncode, found.stderr


def calls(folder, name):
    lines = (folder / "calls").read_text().splitlines()
    return [line for line in lines if line.startswith(f"{name} ")]


RUN_IT = "script=${@: -1}; SLURM_ARRAY_TASK_ID=1 bash $script"


def test_a_submission_that_was_not_answered_is_not_repeated(tmp_path, stand_in):
    stand_in("sbatch", f"({RUN_IT}) & touch submitted; echo 'Socket timed out' >&2; exit 1")
    stand_in("squeue", '[[ "$*" != *" -n "* || ! -e submitted ]] || echo 77')
    code, stderr = run(tmp_path, "x.log", "true")
    assert (code, stderr) == (0, "")
    assert len(calls(tmp_path, "sbatch")) == 1
    assert any("-j 77" in call for call in calls(tmp_path, "squeue"))


def test_a_submission_that_did_not_arrive_is_repeated(tmp_path, stand_in):
    stand_in(
        "sbatch",
        f"[ -e once ] || {{ touch once; echo 'Unable to contact' >&2; exit 1; }}; echo 5; {RUN_IT}",
    )
    assert run(tmp_path, "x.log", "true") == (0, "")
    assert len(calls(tmp_path, "sbatch")) == 2


@pytest.mark.parametrize("accepted", [True, False])
def test_a_controller_that_is_away_for_a_while(tmp_path, stand_in, monkeypatch, accepted):
    """Until the queue answers nothing is submitted again; it may be there already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_queue, "time", SimpleNamespace(sleep=lambda seconds: None))
    stand_in("sbatch", "[ ! -e back ] || { echo 6; exit; }; echo 'Unable to contact' >&2; exit 1")
    known = "echo 5" if accepted else "true"
    stand_in("squeue", f"echo >> n; (( $(wc -l < n) < 4 )) && exit 1; touch back; {known}")
    assert slurm_queue.submit(["sbatch"], "name") == ("5" if accepted else "6")
    assert len(calls(tmp_path, "sbatch")) == (1 if accepted else 2)
    assert all(" -t PENDING,RUNNING," in call for call in calls(tmp_path, "squeue"))


@pytest.mark.parametrize("queue", ["true", "echo down >&2; exit 1"])
def test_a_submission_that_is_given_up_leaves_nothing(tmp_path, stand_in, monkeypatch, queue):
    monkeypatch.setattr(slurm_queue, "time", SimpleNamespace(sleep=lambda seconds: None))
    stand_in("sbatch", "echo 'Socket timed out' >&2; exit 1")
    stand_in("squeue", queue)
    with pytest.raises(ValueError, match="Socket timed out" if queue == "true" else "down"):
        slurm_queue.submit(["sbatch"], "name")
    assert len(calls(tmp_path, "sbatch")) == (slurm_queue.RETRIES if queue == "true" else 1)
    assert len(calls(tmp_path, "squeue")) == slurm_queue.RETRIES  # after the last one too
    assert calls(tmp_path, "scancel")[-1].endswith("--name=name")


def test_what_is_left_behind_ends_before_the_plan_changes(tmp_path, stand_in):
    """Its tasks read the plan; and run.pl with the same logs looks for it too."""
    stand_in("sbatch", "kill -9 $PPID")
    assert run(tmp_path, "x.log", "echo", "old")[0] < 0
    plan = tmp_path / ".launch/x.log/plan.json"
    stand_in("squeue", '[[ "$*" != *" -n x-"* || -e gone ]] || echo 9')
    stand_in("scancel", f"grep -c old {plan} > gone")
    said = "job 9 of a launcher that was killed is still there: cancelled\n"
    assert run(tmp_path, "x.log", "true", program=LOCAL) == (0, f"run.pl: {said}")
    assert (tmp_path / "gone").read_text() == "1\n"
    count = len(calls(tmp_path, "squeue"))
    assert run(tmp_path, "x.log", "true", program=LOCAL) == (0, "")
    assert len(calls(tmp_path, "squeue")) == count  # asked only if there is reason to


def test_what_is_left_behind_and_cannot_be_ended(tmp_path, stand_in):
    stand_in("sbatch", "kill -9 $PPID")
    run(tmp_path, "x.log", "true")
    stand_in("squeue", "exit 1")
    code, stderr = run(tmp_path, "x.log", "true", program=LOCAL)
    assert code == 2
    assert f"remove {tmp_path}/.launch/x.log/array" in stderr


def test_the_array_is_forgotten_when_it_has_ended(tmp_path, stand_in):
    stand_in("sbatch", f"[ -e .launch/x.log/array ] || exit 1; echo 5; {RUN_IT}")
    assert run(tmp_path, "x.log", "true") == (0, "")
    assert not (tmp_path / ".launch/x.log/array").exists()


def test_a_queue_that_does_not_answer_is_no_end(tmp_path, stand_in):
    stand_in("sbatch", f"(sleep 4; touch up; {RUN_IT}) > /dev/null 2>&1 & echo 5")
    stand_in(
        "squeue", '[[ "$*" == *" -n "* || -e up ]] || { echo "Unable to contact" >&2; exit 1; }'
    )
    code, stderr = run(tmp_path, "x.log", "true")
    assert code == 0
    assert (
        stderr == "slurm.pl: squeue does not answer; the jobs go on, and it will be asked again\n"
    )


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, stderr = run(tmp_path, "x.log", "true")
    assert code == 2
    assert "no program 'squeue' here" in stderr
    assert "cmd_backend=local" in stderr


def test_nothing_of_the_surrounding_job_reaches_the_commands(tmp_path, stand_in, monkeypatch):
    for name in (
        "SLURM_JOB_ID",
        "SLURM_CPUS_PER_TASK",
        "SQUEUE_STATES",
        "SBATCH_ACCOUNT",
        "SLURM_CONF",
    ):
        monkeypatch.setenv(name, "7")
    stand_in("squeue", f"env | grep -oE '^(SLURM|SQUEUE|SBATCH)_[A-Z_]*' | sort > {tmp_path}/env")
    assert slurm_queue.look("1") == {}
    assert (tmp_path / "env").read_text().split() == ["SBATCH_ACCOUNT", "SLURM_CONF"]


def test_accounting_is_asked_for_what_the_queue_has_forgotten(stand_in):
    stand_in("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    stand_in("sacct", "echo '9_3|CANCELLED by 1000'; echo '9_4|TIMEOUT'; echo '9_5|RUNNING'")
    assert slurm_queue.look("9") == {}
    # 5 ended unseen: accounting would call it running for ever, and the launcher wait as long
    assert slurm_queue.remember("9") == {3: ("CANCELLED", ""), 4: ("TIMEOUT", "")}


@pytest.mark.parametrize(
    ("state", "reason", "verdict"),
    [
        ("PENDING", "Resources", None),
        ("RUNNING", "None", None),
        ("COMPLETING", "None", None),
        ("PENDING", "launch failed requeued held", "Slurm could not start it"),
        ("TIMEOUT", "TimeLimit", None),  # in the queue again
        ("NODE_FAIL", "NodeDown", None),
        ("OUT_OF_MEMORY", "OutOfMemory", "out of memory; ask for more with --mem"),
        ("CANCELLED", "None", "cancelled in the queue before it ran"),
        ("FAILED", "JobLaunchFailure", "its supervisor ended without a status"),
        ("COMPLETED", "None", "no status came"),
        ("FAILED", "NonZeroExitCode", "no status came"),
    ],
)
def test_tasks_without_a_status(tmp_path, stand_in, monkeypatch, state, reason, verdict):
    backend = SlurmBackend()
    backend._job, backend._request = "8", parse(["x.log", "true"])
    known = TaskState(state, reason)
    late = state in ("OUT_OF_MEMORY", "CANCELLED", "COMPLETED", "FAILED", "DEADLINE")
    if late:
        assert backend._judge(3, known, None) is None  # its status may be on its way
        monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    found = backend._judge(3, known, None)
    assert found is None if verdict is None else verdict in found
    requeued = (tmp_path / "calls").exists() and calls(tmp_path, "scontrol")
    assert bool(requeued) == (state in ("TIMEOUT", "NODE_FAIL"))


def status(state, code, requeues=0):
    return {"state": state, "code": code, "reason": "", "requeues": requeues}


@pytest.mark.parametrize(
    ("known", "again"),
    [
        (TaskState("TIMEOUT", "TimeLimit"), True),
        (TaskState("FAILED", "NonZeroExitCode"), True),  # of itself a SIGTERM does not come
        (TaskState("CANCELLED", "None"), False),
        (TaskState("FAILED", "JobLaunchFailure"), False),
    ],
)
def test_tasks_that_somebody_ended_start_again_unless_it_was_the_user(
    tmp_path, stand_in, known, again
):
    backend = SlurmBackend()
    backend._job, backend._request = "8", parse(["--max-restarts", "1", "x.log", "true"])
    assert backend._judge(3, known, status("cancelled", 143)) == (None if again else "")
    made = (tmp_path / "calls").exists() and calls(tmp_path, "scontrol")
    assert bool(made) == again
    assert backend._judge(3, TaskState("RUNNING", "None"), status("cancelled", 143)) is None
    if again:
        last = status("cancelled", 143, requeues=1)
        assert "1 of --max-restarts 1 used" in backend._judge(3, known, last)


def test_a_status_of_an_earlier_start_says_nothing_of_the_present_one(stand_in, monkeypatch):
    backend, clock = SlurmBackend(), [1000.0]
    monkeypatch.setattr(slurm, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    backend._job, backend._request = "8", parse(["x.log", "true"])
    known, old = TaskState("FAILED", "NonZeroExitCode"), status("cancelled", 143)
    assert backend._judge(3, known, old) is None
    assert backend._restarts == {3: 1}
    assert backend._judge(3, known, old) is None  # its own status may be on its way
    clock[0] += 100
    assert "no status came" in backend._judge(3, known, old)
    assert backend._restarts == {3: 1}


@pytest.mark.parametrize("found", [None, status("cancelled", 143)])
def test_a_job_that_never_completes_or_is_forgotten_is_not_waited_for(stand_in, monkeypatch, found):
    for known, seconds in ((TaskState("COMPLETING", "None"), 600), (None, 60)):
        backend, clock = SlurmBackend(), [1000.0]
        backend._job, backend._request = "8", parse(["x.log", "true"])
        monkeypatch.setattr(slurm, "time", SimpleNamespace(monotonic=lambda c=clock: c[0]))
        assert backend._judge(3, known, found) is None
        clock[0] += seconds - 1
        assert backend._judge(3, known, found) is None
        clock[0] += 2
        said = backend._judge(3, known, found)
        assert said == "" if found else "no status came" in said


def test_restarts_are_counted(stand_in):
    backend = SlurmBackend()
    backend._job, backend._request = "8", parse(["--max-restarts", "2", "x.log", "true"])
    late = TaskState("TIMEOUT", "TimeLimit")
    assert [backend._judge(1, late, None) for _ in range(2)] == [None, None]
    assert "2 of --max-restarts 2 used" in backend._judge(1, late, None)
    assert backend._judge(2, late, None) is None
    stand_in("scontrol", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert [backend._judge(2, late, None) for _ in range(3)] == [None] * 3
    assert backend._restarts[2] == 1  # those do not count
    stand_in("scontrol", "exit 1")
    assert "this cluster does not requeue" in backend._judge(2, late, None)


def test_a_site_file_lies_over_the_defaults(tmp_path):
    path = tmp_path / "slurm.conf"
    path.write_text(
        "# a site\ncommand sbatch -A 'our group'  # what all jobs get\ndefault time=1-0\n"
        "default gpu=0\n"
        "option gpu=0 -p cpu\noption gpu=* -p gpu --gres=gpu:a100:$0\noption max_jobs_run=*\n"
    )
    config = SlurmConfig.read(str(path))
    common = ["sbatch", "-A", "our group"]
    assert config.arguments(Resources()) == [
        *common,
        "-p",
        "cpu",
        "--cpus-per-task=1",
        "--time=1-0",
    ]
    asked = Resources(gpu=2, nodes=3, mem="8G", time="10")
    nodes = ["--nodes=3", "--ntasks=3", "--ntasks-per-node=1"]
    assert config.arguments(asked) == [
        *(*common, "-p", "gpu", "--gres=gpu:a100:2", "--cpus-per-task=1", *nodes),
        *("--mem=8G", "--time=10"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("option gpus=* -p x", "2: unknown option 'gpus'; known: gpu, num_threads"),
        ("partition gpu", "2: expected 'command PROGRAM ...'"),
        ("option gpu", "2: expected"),
        ("default gpu=1", "2: 'default gpu=1' has no effect"),
        ("command", "2: expected"),
        ("command 'sbatch", "2: No closing quotation"),
    ],
)
def test_mistakes_in_a_site_file(tmp_path, line, message):
    path = tmp_path / "slurm.conf"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(ValueError, match=f"slurm.conf:{message}"):
        SlurmConfig.read(str(path))


def test_log_paths_as_slurm_reads_them(tmp_path, monkeypatch):
    folder = tmp_path / "N1" / "5%"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert log_pattern(parse(["N=1:4", "x.N.log", "c"])) == f"{tmp_path}/N1/5%%/x.%a.log"
    assert log_pattern(parse(["JOB=1:2", "/a/JOB/50%.JOB.log", "c"])) == "/a/%a/50%%.%a.log"
    assert log_pattern(parse(["/a/x.log", "c"])) == "/a/x.log"


def test_help(tmp_path):
    found = subprocess.run([sys.executable, "-S", SLURM, "--help"], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    for option in ("gpu", "num-threads", "num-nodes", "mem", "time", "max-jobs-run", "config"):
        assert f"--{option} " in found.stdout
