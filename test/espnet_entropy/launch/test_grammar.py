import shlex
import subprocess

import pytest

from espnet_entropy.launch.grammar import Resources, parse


def test_all_options_in_both_spellings_and_any_order():
    expected = Resources(max_jobs=3, gpu=2, threads=4, mem="4G", time="1:00:00")
    dashes = "--max-jobs-run 3 --gpu 2 JOB=1:8 --num-threads 4 --mem 4G --time 1:00:00"
    underscores = "JOB=1:8 --num_threads 4 --max_jobs_run=3 --gpu=2 --time 1:00:00 --mem 4G"
    for options in (dashes, underscores):
        request = parse([*options.split(), "x.JOB.log", "prog", "--gpu", "7"])
        assert request.resources == expected
        assert (request.name, request.first, request.last) == ("JOB", 1, 8)
        assert request.log == "x.JOB.log"
        assert request.command == ("prog", "--gpu", "7")


def test_the_most_threads_count_and_the_last_of_all_else():
    words = "--num_threads 4 --gpu 2 --num_threads 1 --gpu 1 l c"  # as espnet2.bin.launch adds them
    assert parse(words.split()).resources == Resources(gpu=1, threads=4)


@pytest.mark.parametrize(
    ("words", "task_range"),
    [
        ("JOB=5 l.JOB c", ("JOB", 5, 5)),
        ("JOB=5 same.log c", ("JOB", 5, 5)),
        ("n=3:7 l.n c", ("n", 3, 7)),
        ("_k9=1:1 l c", ("_k9", 1, 1)),
        ("l c JOB=1:2", (None, 1, 1)),
    ],
)
def test_ranges(words, task_range):
    request = parse(words.split())
    assert (request.name, request.first, request.last) == task_range


def test_resume_from_option_or_default():
    assert parse(["--resume", "l", "c"]).resume
    assert parse(["l", "c"], resume=True).resume
    assert not parse(["l", "c"]).resume


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--max-job-run 3 l c", r"unknown option '--max-job-run'. Did you mean '--max-jobs-run'"),
        ("--num_thread 3 l c", r"unknown option '--num_thread'. Did you mean '--num-threads'"),
        ("--resum l c", r"Did you mean '--resume'"),
        ("-tc 3 l c", r"unknown option '-tc'"),
        ("--gpu x l c", r"--gpu: expected a whole number from 0 on, got 'x'"),
        ("--max-jobs-run 0 l c", r"--max-jobs-run: expected a whole number from 1 on, got '0'"),
        ("--num-threads -1 l c", r"expected a whole number from 1 on, got '-1'"),
        ("--mem", r"option --mem needs a value"),
        ("--config /no/such.conf l c", r"--config /no/such.conf: no such file"),
        ("JOB=0:3 l.JOB c", r"bad range 'JOB=0:3'"),
        ("JOB=4:3 l.JOB c", r"bad range 'JOB=4:3'"),
        ("JOB=1:2 K=1:3 l.JOB c", r"two task ranges, JOB=1:2 and K=1:3"),
        ("JOB=1:2 exp/x.log c", r"log 'exp/x.log' lacks 'JOB'.*name it like 'exp/x.JOB.log'"),
        ("", r"no log file given; usage: run.pl"),
        ("JOB=1:2", r"no log file given"),
        ("x.log", r"no command given"),
    ],
)
def test_errors(words, message):
    with pytest.raises(ValueError, match=message):
        parse(words.split())


ODD = [
    "a b",
    "'",
    '"',
    "$HOME",
    "`ls`",
    "\\",
    "*",
    "",
    "größe 音",
    "<sos/eos>",
    "a|b",
    "#x",
    "~",
    "\n",
]


def test_arguments_survive_the_shell():
    command = parse(["l", "printf", r"%s\0", *ODD]).shell_command(1)
    output = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    assert output.decode().split("\0")[:-1] == ODD


def test_operators_reach_the_shell():
    words = ["printf", "b\na\n", "|", "sort", "&&", "echo", "|x"]
    command = parse(["l", *words]).shell_command(1)
    output = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    assert output == b"a\nb\n|x\n"


def test_the_name_is_replaced_everywhere():
    request = parse(["SPLIT=2:3", "log/SPLIT/x.SPLIT", "cat", "in.SPLIT", "--out=SPLIT/SPLIT JOB"])
    assert request.fill(request.log, 3) == "log/3/x.3"
    assert shlex.split(request.shell_command(2)) == ["cat", "in.2", "--out=2/2 JOB"]
