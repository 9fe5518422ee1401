"""``utils/run.pl`` with real processes."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = str(Path(__file__).resolve().parents[3] / "utils" / "run.pl")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def reset_signals():
    """The suite itself may run under nohup or as a background job, which ignore some."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def start(cwd, *words, env=None, **options):
    return subprocess.Popen(
        # -S: no site-packages, so anything but the standard library would fail here
        [sys.executable, "-S", RUN, *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stderr=options.pop("stderr", subprocess.PIPE),
        preexec_fn=reset_signals,
        **options,
    )


def run(cwd, *words, env=None):
    process = start(cwd, *words, env=env)
    stderr = process.communicate()[1]
    return process.returncode, stderr


def test_help_says_what_has_no_effect(tmp_path):
    process = start(tmp_path, "--help", stdout=subprocess.PIPE)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert re.search(r"--mem, --time, --config\s+for a scheduler.*without effect", out, re.DOTALL)


def statuses(folder):
    """The status of each task's latest attempt."""
    found = sorted(folder.glob(".launch/*/status/*.json"), key=lambda p: int(p.name.split(".")[1]))
    return {s["task"]: s for s in (json.loads(path.read_text()) for path in found)}


def wait_until(condition):
    """Wait for what must come soon; a minute is a hang."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pids(folder):
    found = [int(pid) for path in folder.glob("pid.*") for pid in path.read_text().split()]
    return [pid for pid in found if pid]


COUNT = "echo x >> count.JOB; test -e mended || test $((JOB % 6)) != 0"


def counts(folder):
    return {n: len((folder / f"count.{n}").read_text().split()) for n in range(1, 21)}


def test_only_failed_tasks_run_again_with_resume(tmp_path):
    words = ("JOB=1:20", "log/x.JOB.log", "bash", "-c", COUNT)
    code, stderr = run(tmp_path, *words)
    assert code == 1
    assert "run.pl: 3 / 20 failed, log is in log/x.*.log" in stderr
    assert "failed: 6, 12, 18\n" in stderr
    assert "x.6.log ended with code 1" in stderr
    assert counts(tmp_path) == dict.fromkeys(range(1, 21), 1)

    (tmp_path / "mended").touch()
    code, stderr = run(tmp_path, "--resume", *words)
    assert code == 0
    assert "17 of 20 done already" in stderr
    assert counts(tmp_path) == {n: 1 + (n % 6 == 0) for n in range(1, 21)}
    assert [statuses(tmp_path / "log")[n]["restarts"] for n in (5, 6)] == [0, 1]

    code, stderr = run(tmp_path, *words, env={"ESPNET_ENTROPY_RESUME": "1"})
    assert code == 0
    assert counts(tmp_path) == {n: 1 + (n % 6 == 0) for n in range(1, 21)}

    assert run(tmp_path, *words)[0] == 0  # Kaldi's semantics: everything
    assert counts(tmp_path) == {n: 2 + (n % 6 == 0) for n in range(1, 21)}


def test_resume_runs_a_task_whose_command_changed(tmp_path):
    words = ("JOB=1:3", "x.JOB.log", "bash", "-c")
    assert run(tmp_path, *words, "echo a >> count.JOB") == (0, "")
    assert run(tmp_path, "--resume", *words, "echo a  >> count.JOB")[0] == 0
    assert (tmp_path / "count.2").read_text() == "a\na\n"
    # one task alone leaves what is known about the others
    assert run(tmp_path, "JOB=2", *words[1:], "echo a  >> count.JOB")[0] == 0
    assert run(tmp_path, "--resume", *words, "echo a  >> count.JOB")[0] == 0
    assert (tmp_path / "count.1").read_text() == "a\na\n"
    assert (tmp_path / "count.2").read_text() == "a\na\na\n"


def test_log_header_footer_and_status(tmp_path):
    script = "echo out; echo err >&2; exit 3"
    log = "my logs/a$b '音.log"
    code, stderr = run(tmp_path, "--num-threads", "2", log, "bash", "-c", script)
    lines = (tmp_path / log).read_text().splitlines()
    assert code == 1
    assert "run.pl: job failed, log is in my logs/a$b '音.log" in stderr
    assert "    err" in stderr
    assert lines[0] == "# bash -c 'echo out; echo err >&2; exit 3'"
    assert lines[1] == f"# Running on {os.uname().nodename}"
    assert lines[2].startswith("# Started at 20")
    assert lines[4:6] == ["out", "err"]
    assert lines[6].startswith("# Accounting: time=")
    assert lines[6].endswith(" threads=2")
    assert lines[7].startswith("# Ended (code 3) at 20")
    status = statuses(tmp_path / "my logs")[1]
    assert (status["state"], status["code"], status["host"]) == ("failed", 3, os.uname().nodename)
    assert status["start"] <= status["end"]


def test_a_failure_inside_a_pipe_counts(tmp_path):
    assert run(tmp_path, "x.log", "false", "|", "cat")[0] == 1
    assert run(tmp_path, "x.log", "echo", "hello", "|", "wc", "-c", ">", "out")[0] == 0
    assert (tmp_path / "out").read_text().strip() == "6"


def test_job_in_folders_ranges_and_missing_programs(tmp_path):
    assert run(tmp_path, "N=3:5", "d/N/l.N", "echo", "task", "N")[0] == 0
    assert "task 4" in (tmp_path / "d/4/l.4").read_text()
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [".launch", "3", "4", "5"]
    code, stderr = run(tmp_path, "x.log", "no-such-program")
    assert code == 1
    assert "code 127" in stderr
    assert "no-such-program" in stderr


def test_usage_errors_exit_with_2(tmp_path):
    code, stderr = run(tmp_path, "--max-job 3", "l", "true")
    assert (code, stderr.count("\n")) == (2, 1)
    assert stderr.startswith("run.pl: error: unknown option")
    (tmp_path / "file").touch()
    code, stderr = run(tmp_path, "file/x.log", "true")
    assert code == 2
    assert "cannot write the log" in stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_at_most_max_jobs_run_at_a_time(tmp_path):
    script = "mkdir running.JOB; ls -d running.* | wc -l > seen.JOB; sleep 0.2; rmdir running.JOB"
    run(tmp_path, "--max-jobs-run", "3", "JOB=1:9", "x.JOB.log", "bash", "-c", script)
    seen = [int(path.read_text()) for path in tmp_path.glob("seen.*")]
    assert len(seen) == 9
    assert 1 < max(seen) <= 3


def test_gpus_are_shared_out_in_slots(tmp_path):
    env = {"CUDA_VISIBLE_DEVICES": "4,5,GPU-a,7,9"}
    script = "mkdir running.JOB; ls -d running.* | wc -l; echo $CUDA_VISIBLE_DEVICES; "
    script += "sleep 0.2; rmdir running.JOB"
    words = ("--gpu", "2", "JOB=1:4", "x.JOB.log", "bash", "-c", script)
    assert run(tmp_path, *words, env=env)[0] == 0
    seen = [(tmp_path / f"x.{n}.log").read_text().splitlines()[4:6] for n in range(1, 5)]
    assert {devices for _, devices in seen} == {"4,5", "GPU-a,7"}
    assert max(int(count) for count, _ in seen) <= 2
    code, stderr = run(tmp_path, "--gpu", "2", "l", "true", env={"CUDA_VISIBLE_DEVICES": "0"})
    assert code == 2
    assert "--gpu 2: this machine shows 1 GPU(s); use --gpu 0" in stderr


def test_gpus_are_those_that_nvidia_smi_lists(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\nprintf 'GPU 0: H200 (UUID: a)\\n  MIG x\\nGPU 1: H200 (UUID: b)\\n'\n"
    )
    tool.chmod(0o755)
    env = {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
    words = ("--gpu", "2", "x.log", "bash", "-c", "echo $CUDA_VISIBLE_DEVICES")
    assert run(tmp_path, *words, env=env) == (0, "")
    assert "\n0,1\n" in (tmp_path / "x.log").read_text()


# a child in the group, one in a session of its own, and one that does not listen to SIGTERM
STUBBORN = (
    "sleep 1000 & setsid sleep 1000 & bash -c 'trap \"\" TERM; while :; do sleep 1; done' & "
    "echo $$ $(jobs -p) > .pid.JOB; mv .pid.JOB pid.JOB; wait"
)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_nothing_behind(tmp_path, number):
    process = start(tmp_path, "--max-jobs-run", "2", "JOB=1:3", "x.JOB.log", "bash", "-c", STUBBORN)
    wait_until(lambda: len(list(tmp_path.glob("pid.*"))) == 2)
    started = pids(tmp_path)
    assert len(started) == 8
    assert all(map(alive, started))
    process.send_signal(number)
    stderr = process.communicate()[1]
    assert process.returncode == -number
    assert "cancelled; no task is left running" in stderr
    assert not any(map(alive, started))
    assert {n: s["state"] for n, s in statuses(tmp_path).items()} == dict.fromkeys(
        (1, 2), "cancelled"
    )
    assert "# Ended (code 143)" in (tmp_path / "x.1.log").read_text()
    assert not (tmp_path / "pid.3").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_no_orphans_after_sigkill_of_the_launcher(tmp_path):
    words = ("--max-jobs-run", "2", "JOB=1:3", "x.JOB.log", "bash", "-c")
    script = f"test -e mended || test JOB = 1 || {{ {STUBBORN}; }}; echo x >> count.JOB"
    process = start(tmp_path, *words, script)
    wait_until(lambda: len(list(tmp_path.glob("pid.*"))) == 2)
    started = pids(tmp_path)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(alive, started)))
    wait_until(lambda: len(statuses(tmp_path)) == 3)
    (tmp_path / "mended").touch()
    assert run(tmp_path, "--resume", *words, script)[0] == 0
    assert {n: s["state"] for n, s in statuses(tmp_path).items()} == dict.fromkeys(
        (1, 2, 3), "done"
    )
    assert (tmp_path / "count.1").read_text() == "x\n"


def test_sigkill_of_a_command_is_reported(tmp_path):
    words = ("JOB=1:3", "x.JOB.log", "bash", "-c", "test JOB != 2 || kill -9 $$")
    code, stderr = run(tmp_path, *words)
    assert code == 1
    assert "1 / 3 failed" in stderr
    assert "code 137, killed by SIGKILL (out of memory?)" in stderr
    assert statuses(tmp_path)[2]["code"] == 137


def test_sigkill_of_a_supervisor_is_reported(tmp_path):
    in_group = STUBBORN.replace("setsid ", "")
    # $PPID is the supervisor: bash runs the script in its own place
    script = f"test JOB = 2 || exit 0; (sleep 0.2; kill -9 $PPID) & {in_group}"
    code, stderr = run(tmp_path, "JOB=1:3", "x.JOB.log", "exec", "bash", "-c", script)
    assert code == 1
    assert "failed: 2\n" in stderr
    assert "its supervisor ended without a status" in stderr
    assert statuses(tmp_path)[2]["state"] == "failed"
    assert "# Ended (code 137)" in (tmp_path / "x.2.log").read_text()
    assert len(pids(tmp_path)) == 5
    wait_until(lambda: not any(map(alive, pids(tmp_path))))


def test_two_launchers_never_share_logs(tmp_path):
    first = start(
        tmp_path, "x.log", "bash", "-c", "touch started; while test ! -e go; do sleep 0.05; done"
    )
    wait_until((tmp_path / "started").exists)
    code, stderr = run(tmp_path, "x.log", "true")
    (tmp_path / "go").touch()
    first.communicate()
    assert first.returncode == 0
    assert code == 2
    assert "another run.pl is at work on x.log" in stderr


def test_progress_on_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    script = "sleep 0.0JOB; test JOB != 2"
    process = start(tmp_path, "JOB=1:4", "x.JOB.log", "bash", "-c", script, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert process.wait() == 1
    assert b" left" in shown
    assert b"3/4 done, 1 failed" in shown


@pytest.mark.slow
def test_espnet_launch_accepts_it(tmp_path):
    pytest.importorskip("espnet2")
    launch = [sys.executable, "-m", "espnet2.bin.launch", "--ngpu", "0", "--log", "exp/train.log"]
    subprocess.run(
        [*launch, "--cmd", f"{RUN} --mem 2G", "--", "echo", "a b"], cwd=tmp_path, check=True
    )
    log = (tmp_path / "exp/train.log").read_text()
    assert "\na b --ngpu 0 --multiprocessing_distributed True\n" in log


def test_what_an_earlier_attempt_writes_late_is_not_this_one(tmp_path):
    assert run(tmp_path, "x.log", "true") == (0, "")
    status = next(tmp_path.glob(".launch/x.log/status/*.json"))
    late = status.read_text()
    assert run(tmp_path, "x.log", "false")[0] == 1
    status.write_text(late)  # a node that was out of reach comes back
    assert run(tmp_path, "--resume", "x.log", "false")[0] == 1


def test_more_nodes_than_this_one(tmp_path):
    code, stderr = run(tmp_path, "--num-nodes", "2", "x.log", "true")
    assert code == 2
    assert "this is one machine; use slurm.pl for several" in stderr


def test_one_task_of_a_range_names_its_own_log(tmp_path):
    script = "yes | head -n 100000; seq 20; exit 1"
    code, stderr = run(tmp_path, "JOB=1:1", "x.JOB.log", "bash", "-c", script)
    assert code == 1
    assert "job failed, log is in x.1.log\n" in stderr
    assert "    19\n    20\n" in stderr
    assert len(stderr.splitlines()) == 12


def test_options_of_srun_that_cannot_be_told_from_the_program(tmp_path):
    for options in ("-n 2", "--label"):
        code, stderr = run(tmp_path, "x.log", "srun", *options.split(), "prog")
        assert code == 2
        assert f"{options.split()[0]}? Write values as in --ntasks=2" in stderr


@pytest.mark.parametrize("name", ["run.pl", "slurm.pl"])
def test_called_by_name_it_takes_the_python_of_path_sh(tmp_path, name):
    python = tmp_path / "py thon"
    python.write_text('#!/bin/sh\necho "$2"\n')
    python.chmod(0o755)
    program = str(Path(RUN).with_name(name))
    environment = {**os.environ, "python": str(python)}
    found = subprocess.run([program, "a b"], env=environment, capture_output=True, text=True)
    assert found.stdout == "a b\n"
    without = {key: value for key, value in os.environ.items() if key != "python"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = subprocess.run([program, "--help"], env={**without, "PATH": path}, capture_output=True)
    assert found.stdout.startswith(f"usage: {name}".encode())
