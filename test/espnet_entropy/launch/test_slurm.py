"""``utils/slurm.pl`` on a real Slurm of two virtual nodes; mostly waiting."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SLURM, LOCAL = (str(ROOT / "utils" / name) for name in ("slurm.pl", "run.pl"))

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]


def start(cwd, *words, program=SLURM, env=None):
    return subprocess.Popen(
        [sys.executable, "-S", program, *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(cwd, *words, **options):
    process = start(cwd, *words, **options)
    stderr = process.communicate()[1]
    return process.returncode, stderr


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def queue(form="%F"):
    """What has not ended, a line per task."""
    words = ["squeue", "-h", "-r", "-o", form]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def statuses(folder):
    """The statuses of each task, oldest first."""
    found = {}
    for path in sorted(folder.glob(".launch/*/status/*.json")):
        status = json.loads(path.read_text())
        found.setdefault(status["task"], []).append(status)
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def control(*words):
    subprocess.run(["scontrol", *words], check=True)


def test_array_makes_what_the_local_run_makes(tmp_path):
    """Quoting, pipes, folders, task numbers: the same job script, so the same files."""
    script = 'mkdir -p out; printf \'%s\\n\' "$0" "$@" JOB | tee out/JOB | wc -c; pwd'
    words = ["JOB=3:7", "my logs/JOB/a$b '音%a.log", "bash", "-c", script, "a  b", "$HOME", "", "*"]
    made = {}
    for program in (LOCAL, SLURM):
        folder = tmp_path / "x"
        folder.mkdir()
        assert run(folder, *words, program=program) == (0, "")
        files = [
            path for path in folder.rglob("*") if path.is_file() and ".launch" not in str(path)
        ]
        made[program] = {
            str(path.relative_to(folder)): re.sub(
                r"(?m)^# (Started at|Running on|Ended .* at|Accounting:) .*$",
                r"\1",
                path.read_text(),
            )
            for path in files
        }
        folder.rename(tmp_path / Path(program).name)
    assert len(made[SLURM]) == 10
    assert made[SLURM] == made[LOCAL]
    assert queue() == []


def test_what_failed_is_reported_and_runs_again(tmp_path):
    """One fails, one is killed, one's supervisor is killed; only these run again."""
    script = (
        "echo x >> count.JOB; test -e mended || case JOB in "
        "2) echo so sorry >&2; exit 3;; 3) kill -9 $$;; 4) kill -9 $PPID; sleep 60;; esac"
    )
    words = ["--max-jobs-run", "6", "JOB=1:6", "log/x.JOB.log", "exec", "bash", "-c", script]
    impatient = tmp_path / "slurm.pl"  # a status that comes late is not to be waited for here
    impatient.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom espnet_entropy.launch import slurm\n"
        "slurm.PATIENCE = 1.0\nsys.exit(slurm.main())\n"
    )
    code, stderr = run(tmp_path, *words, program=str(impatient))
    assert code == 1
    assert "slurm.pl: 3 / 6 failed, log is in log/x.*.log\nslurm.pl: failed: 2, 3, 4\n" in stderr
    assert "x.2.log ended with code 3; its last lines" in stderr
    assert "    so sorry" in stderr
    found = {task: states[-1] for task, states in statuses(tmp_path / "log").items()}
    assert [found[task]["state"] for task in range(1, 7)] == [
        "done",
        *["failed"] * 3,
        *["done"] * 2,
    ]
    assert (found[2]["code"], found[3]["code"]) == (3, 137)
    assert found[3]["reason"] == "killed by SIGKILL (out of memory?)"
    assert "without a status" in found[4]["reason"]
    assert {found[task]["host"] for task in (1, 2, 5)} <= {"127.0.0.1", "127.0.0.2"}

    (tmp_path / "mended").touch()
    code, stderr = run(tmp_path, "--resume", *words)
    assert (code, stderr) == (0, "slurm.pl: 3 of 6 done already\n")
    counts = [len((tmp_path / f"count.{task}").read_text().split()) for task in range(1, 7)]
    assert counts == [1, 2, 2, 2, 1, 1]


def test_time_limit_ends_in_the_queue_again_and_the_task_goes_on(tmp_path):
    """Every start does one more piece; with no restarts left the reason is told."""
    script = "echo JOB >> pieces; n=$(grep -c JOB pieces); touch started.JOB.$n; "
    script += "test $n = 2 || sleep 100"
    launchers = {}
    for name, options in {"a": (), "b": ("--max-restarts", "0")}.items():
        (tmp_path / name).mkdir()
        words = [*options, "--time", "10", "JOB=1:2", "x.JOB.log", "exec", "bash", "-c", script]
        launchers[name] = start(tmp_path / name, *words)
    wait_until(lambda: len(list(tmp_path.glob("*/started.*"))) == 4)
    for job in queue("%A"):
        control("update", f"JobId={job}", "EndTime=now+1")
    said = {name: process.communicate()[1] for name, process in launchers.items()}
    code = {name: process.returncode for name, process in launchers.items()}
    assert code == {"a": 0, "b": 1}
    for task in (1, 2):
        assert f"task {task}: it exceeded its time limit; in the queue again (1 of 10)" in said["a"]
        first, last = statuses(tmp_path / "a")[task]
        assert (first["state"], first["requeues"]) == ("cancelled", 0)
        assert (last["state"], last["requeues"]) == ("done", 1)
        log = (tmp_path / "a" / f"x.{task}.log").read_text()
        assert log.count("# Started at") == 2  # what the first attempt said is still there
        assert "DUE TO TIME LIMIT" in log
    assert sorted((tmp_path / "a/pieces").read_text().split()) == ["1", "1", "2", "2"]
    assert "failed: 1, 2" in said["b"]
    assert "it exceeded its time limit (TIMEOUT), 0 of --max-restarts 0 used" in said["b"]


def test_a_node_that_goes_away(tmp_path, slurm):
    """Its tasks start again on the other one, and the launcher waits for them."""
    script = "echo $$ > pid.JOB.$SLURMD_NODENAME; test -e lost || sleep 100; echo done > out.JOB"
    words = ["--num-threads", "3", "JOB=1:2", "x.JOB.log", "exec", "bash", "-c", script]
    process = start(tmp_path, *words)  # three of four CPUs: one task per node
    try:
        wait_until(lambda: len(list(tmp_path.glob("pid.*"))) == 2)
        (tmp_path / "lost").touch()
        for path in (slurm / "run").glob("slurmd.127.0.0.2.pid"):
            os.kill(int(path.read_text()), signal.SIGKILL)
        kill_everything_of("127.0.0.2")
        control("update", "NodeName=127.0.0.2", "State=DOWN", "Reason=pulled the plug")
        os.kill(int(next(tmp_path.glob("pid.*.127.0.0.1")).read_text()), signal.SIGKILL)
        stderr = process.communicate()[1]
    finally:
        tool = str(ROOT / "tools/virtual_slurm.py")
        subprocess.run([sys.executable, tool, "repair", str(slurm)], check=True)
    lost = int(next(tmp_path.glob("pid.*.127.0.0.2")).name.split(".")[1])
    assert process.returncode == 1
    assert f"failed: {3 - lost}\n" in stderr  # the one that was killed on the node that stayed
    last = statuses(tmp_path)[lost][-1]
    assert (last["state"], last["requeues"], last["host"]) == ("done", 1, "127.0.0.1")
    assert (tmp_path / f"out.{lost}").exists()


def kill_everything_of(node):
    """The tasks of a node, whose environment names it, and the daemons that would mourn them."""
    tasks = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SLURMD_NODENAME={node}\0".encode() in (entry / "environ").read_bytes():
                tasks.append(int(entry.name))
    for pid in tasks:
        with contextlib.suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if "slurmstepd" in Path(f"/proc/{parent}/comm").read_text():
                os.kill(parent, signal.SIGKILL)
    for pid in tasks:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_run_leaves_no_job(tmp_path, number):
    script = "sleep 1000 & setsid sleep 1000 & echo $$ $(jobs -p) > .p.JOB; mv .p.JOB pid.JOB; wait"
    words = ["--max-jobs-run", "2", "JOB=1:5", "x.JOB.log", "bash", "-c", script]
    process = start(tmp_path, *words)
    wait_until(lambda: len(list(tmp_path.glob("pid.*"))) == 2)
    pids = [int(pid) for path in tmp_path.glob("pid.*") for pid in path.read_text().split()]
    assert len(pids) == 6
    assert all(map(alive, pids))
    assert len(queue()) == 5
    process.send_signal(number)
    stderr = process.communicate()[1]
    assert process.returncode == -number
    assert "slurm.pl: cancelled; no task is left running" in stderr
    assert queue() == []
    assert not any(map(alive, pids))
    found = statuses(tmp_path)
    assert {task: states[-1]["state"] for task, states in found.items()} == dict.fromkeys(
        (int(path.name.split(".")[1]) for path in tmp_path.glob("pid.*")), "cancelled"
    )


def test_jobs_of_a_launcher_that_was_killed_are_ended_first(tmp_path):
    script = "test -e go || { echo $$ > pid.JOB; sleep 1000; }; echo x >> count.JOB"
    words = ["JOB=1:2", "x.JOB.log", "exec", "bash", "-c", script]
    process = start(tmp_path, *words)
    wait_until(lambda: len(list(tmp_path.glob("pid.*"))) == 2)
    process.kill()
    process.communicate()
    pids = [int(path.read_text()) for path in tmp_path.glob("pid.*")]
    assert all(map(alive, pids))  # Slurm does not know that nobody waits for them
    (tmp_path / "go").touch()
    code, stderr = run(tmp_path, *words)
    assert code == 0
    assert re.search(r"job \d+ of a launcher that was killed is still there: cancelled", stderr)
    assert not any(map(alive, pids))
    assert [(tmp_path / f"count.{task}").read_text() for task in (1, 2)] == ["x\n", "x\n"]


def test_what_was_asked_for_reaches_the_task(tmp_path):
    config = tmp_path / "slurm.conf"
    config.write_text("command sbatch --partition=cpu\noption gpu=* -p gpu --gres=gpu:$0\n")
    show = "echo $SLURM_JOB_PARTITION $SLURM_CPUS_PER_TASK $SRUN_CPUS_PER_TASK $SLURM_MEM_PER_NODE"
    show += " $CUDA_VISIBLE_DEVICES $cmd_backend; squeue -h -j $SLURM_JOB_ID -o %l"
    words = ["--config", "slurm.conf", "--num_threads=2", "--mem", "300M", "--time", "7"]
    assert run(tmp_path, *words, "--gpu", "2", "x.log", "bash", "-c", show) == (0, "")
    assert "\ngpu 2 2 300 0,1 local\n7:00\n" in (tmp_path / "x.log").read_text()


def test_a_job_can_submit_jobs_that_are_not_shaped_like_it(tmp_path):
    show = "echo in ${SLURM_CPUS_PER_TASK:-1} $SLURM_ARRAY_TASK_ID"
    inner = f"{sys.executable} {SLURM} inner.log bash -c '{show}'"
    words = ["--num_threads", "3", "JOB=7", "outer.log", "bash", "-c", inner]
    assert run(tmp_path, *words) == (0, "")
    assert "\nin 1 1\n" in (tmp_path / "inner.log").read_text()


def test_refused_jobs_say_why(tmp_path):
    config = tmp_path / "slurm.conf"
    config.write_text("command sbatch --partition=nowhere\n")
    code, stderr = run(tmp_path, "--config", "slurm.conf", "x.log", "true")
    assert code == 2
    assert "slurm.pl: error: sbatch refused the job" in stderr
    assert "invalid partition" in stderr
    code, stderr = run(tmp_path, "JOB=1:1001", "x.JOB.log", "true")
    assert code == 2
    assert "fewer tasks (--nj)" in stderr


def test_a_rank_that_fails_is_named_though_srun_gives_the_code_of_those_it_ended(tmp_path):
    script = "[ $SLURM_PROCID = 1 ] && { touch failed; exit 3; }; sleep 100"
    code, stderr = run(tmp_path, "--num_nodes", "2", "x.log", "srun", "bash", "-c", script)
    assert code == 1
    assert "x.log ended with code 3, rank 1 ended with code 3; its last lines" in stderr
    assert "task 0: Terminated" in (tmp_path / "x.log").read_text()
    assert len(statuses(tmp_path)[1]) == 1  # a mistake of its own: not started again


@pytest.mark.parametrize("who", ["time limit", "the ranks alone", "the second rank alone"])
def test_ranks_that_slurm_ends_first_go_on_later(tmp_path, who):
    """As before preemption, with sbatch's --signal, or when their node shuts down."""
    script = "test -e second && exit; cd pids; echo $$ > .$SLURM_PROCID; mv .$SLURM_PROCID "
    script += "$SLURM_PROCID; exec sleep 100"
    (tmp_path / "pids").mkdir()
    words = ["--num_nodes", "2", "--time", "10", "x.log", "srun", "bash", "-c", script]
    process = start(tmp_path, *words)
    wait_until(lambda: all((tmp_path / f"pids/{rank}").exists() for rank in (0, 1)))
    (tmp_path / "second").touch()
    (job,) = queue("%A")
    if who == "time limit":
        control("update", f"JobId={job}", "EndTime=now+1")
    elif who == "the ranks alone":
        subprocess.run(["scancel", "--signal=TERM", job], check=True)
    else:
        os.kill(int((tmp_path / "pids/1").read_text()), signal.SIGTERM)
    stderr = process.communicate()[1]
    assert process.returncode == 0, stderr
    why = "exceeded its time limit" if who == "time limit" else "was ended by SIGTERM"
    assert f"task 1: it {why}; in the queue again (1 of 10)" in stderr
    first, last = statuses(tmp_path)[1]
    assert (first["state"], first["code"], first["requeues"]) == ("cancelled", 143, 0)
    assert (last["state"], last["requeues"]) == ("done", 1)


RANKS = "echo rank $SLURM_PROCID of $SLURM_NTASKS on $SLURMD_NODENAME $*; test $SLURM_PROCID != $1"


def test_srun_runs_one_rank_per_node_and_all_must_end_well(tmp_path):
    srun = ["--num_nodes", "2", "x.log", "srun", "--export=ALL", "bash", "-c", RANKS, "x"]
    init = ["--dist_init_method", "file:///a b/init"]
    assert run(tmp_path, *srun, "none", *init) == (0, "")
    log = (tmp_path / "x.log").read_text()
    for rank, node in enumerate(("127.0.0.1", "127.0.0.2")):
        # the file's name has the attempt's number: a later one never finds it
        line = f"rank {rank} of 2 on {node} none --dist_init_method file:///a b/init.0.0"
        assert line in log
    assert run(tmp_path, *srun, "1", *init)[0] == 1
    assert "init.1.0" in (tmp_path / "x.log").read_text()
