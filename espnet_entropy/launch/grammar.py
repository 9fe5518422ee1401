"""The command line of Kaldi's ``run.pl`` and ``slurm.pl`` into a typed request."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

USAGE = "[options] [JOB=1:N] LOG COMMAND..."
HELP = """usage: {program} [options] [JOB=1:N] LOG COMMAND...

Runs a command {where}, or one per task number with JOB replaced by it in LOG and COMMAND.

  --max-jobs-run N   tasks at a time; as many as there is room for if not given
  --gpu N            GPUs per task (and node)
  --num-threads N    CPU threads per task; the largest, if given more than once
  --resume           run only tasks that have not succeeded yet
{more}"""
HELP_LOCAL = """\
  --mem, --time, --config
                     for a scheduler (slurm.pl): accepted so that one call serves both, but
                     without effect here"""
HELP_SLURM = """\
  --num-nodes N      nodes per task; the command is then `srun ...`
  --mem X            memory per node, 4G; the cluster's default if not given
  --time X           time limit, 1-12:00:00; the cluster's default if not given
  --config FILE      conf/slurm.conf in Kaldi's manner: what the options above become for sbatch
  --max-restarts N   how often a task starts again that exceeded its time or got SIGTERM (10)"""

# Arguments that reach the shell as they are, so that `cmd \| gzip \> out` works as in Kaldi;
# every other argument reaches the program unchanged, whatever characters it holds.
OPERATORS = frozenset(
    ["|", "||", "|&", "&&", ";", "<", ">", ">>", "2>", "2>>", "&>", "2>&1", ">&2"]
)
_RANGE = re.compile(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?")


@dataclass(frozen=True)
class Resources:
    """What a task needs; a backend takes what it understands.

    Attributes:
        max_jobs: tasks at a time (``None``: as many as the backend has room for).
        gpu: GPUs per task; per node of it if it has several.
        threads: CPU threads per task.
        nodes: nodes per task; ``LocalBackend`` has one.
        mem: memory per task as Slurm writes it (``4G``); ``LocalBackend`` ignores it.
        time: time limit as Slurm writes it (``1:00:00``); ``LocalBackend`` ignores it.
        config: a scheduler's own configuration file; ``LocalBackend`` ignores it.
        max_restarts: how often a scheduler may start a task again that it ended itself;
            ``LocalBackend`` ignores it.
    """

    max_jobs: int | None = None
    gpu: int = 0
    threads: int = 1
    nodes: int = 1
    mem: str | None = None
    time: str | None = None
    config: str | None = None
    max_restarts: int = 10


@dataclass(frozen=True)
class Request:
    """One call of a launcher.

    Attributes:
        log: path of the log, with :attr:`name` in it if there are several tasks.
        command: program and arguments; :attr:`name` is replaced in each.
        name: what stands for the task's number (``JOB``), or ``None`` for a single task.
        first, last: the range of task numbers, both included.
        resources: options for the backend.
        resume: run only what has not succeeded yet.
        program: the launcher's name, for messages.
    """

    log: str
    command: tuple[str, ...]
    name: str | None = None
    first: int = 1
    last: int = 1
    resources: Resources = field(default_factory=Resources)
    resume: bool = False
    program: str = "run.pl"

    def fill(self, text: str, task: int) -> str:
        """``text`` with the task's number in the place of its name.

        Example:
            >>> Request("l.JOB", ("true",), "JOB", 1, 4).fill("x.JOB.JOB", 3)
            'x.3.3'
        """
        return text if self.name is None else text.replace(self.name, str(task))

    def shell_command(self, task: int) -> str:
        """The task's command as one line of bash.

        Example:
            >>> Request("l", ("echo", "a b", "|", "wc")).shell_command(1)
            "echo 'a b' | wc"
        """
        filled = (self.fill(word, task) for word in self.command)
        return " ".join(word if word in OPERATORS else shlex.quote(word) for word in filled)


def parse(arguments: Sequence[str], resume: bool = False, program: str = "run.pl") -> Request:
    """Read a launcher's arguments.

    Args:
        arguments: without the program's name.
        resume: the default of ``--resume``.
        program: the launcher's name, for messages.

    Raises:
        ValueError: for an unknown or incomplete option, a bad range, a missing log or command,
            or a log path that several tasks would share.
    """
    words = list(arguments)
    values = Resources()
    name, first, last = None, 1, 1
    while words:  # options and the range come in any order, as in Kaldi
        word = words[0]
        if match := _RANGE.fullmatch(word):
            if name is not None:
                raise ValueError(f"two task ranges, {name}={first}:{last} and {word}; give one.")
            name, first, last = _range(match)
            words.pop(0)
        elif word == "--resume":
            resume = True
            words.pop(0)
        elif word.startswith("-"):
            values = _option(values, words, program)
        else:
            break
    if len(words) < 2:
        raise ValueError(
            f"{'no command' if words else 'no log file'} given; usage: {program} {USAGE}"
        )
    log, *command = words
    if name is not None and first != last and name not in log:
        raise ValueError(
            f"log '{log}' lacks '{name}': tasks {first} to {last} would all write this file; "
            f"name it like '{_suggest_log(log, name)}'."
        )
    return Request(log, tuple(command), name, first, last, values, resume, program)


def _range(match: re.Match[str]) -> tuple[str, int, int]:
    first = int(match[2])
    last = int(match[3] or first)
    if first < 1 or last < first:
        raise ValueError(f"bad range '{match[0]}'; expected {match[1]}=FIRST:LAST, 1 or more.")
    return match[1], first, last


def _suggest_log(log: str, name: str) -> str:
    stem, suffix = os.path.splitext(log)
    return f"{stem}.{name}{suffix}"


def _option(values: Resources, words: list[str], program: str) -> Resources:
    """Take one option and its value off ``words``."""
    option, equals, value = words.pop(0).partition("=")
    key = option.removeprefix("--").replace("-", "_")
    keys = {
        "max_jobs_run": "max_jobs",
        "gpu": "gpu",
        "num_threads": "threads",
        "num_nodes": "nodes",
        "mem": "mem",
        "time": "time",
        "config": "config",
        "max_restarts": "max_restarts",
    }
    if not option.startswith("--") or key not in keys:
        raise ValueError(
            f"unknown option '{option}'.{_nearest(option, keys)} Usage: {program} {USAGE}"
        )
    if not equals:
        if not words:
            raise ValueError(f"option {option} needs a value; usage: {program} {USAGE}")
        value = words.pop(0)
    change: dict[str, Any] = {keys[key]: value}
    if key in ("max_jobs_run", "gpu", "num_threads", "num_nodes", "max_restarts"):
        least = 0 if key in ("gpu", "max_restarts") else 1
        if not value.isascii() or not value.isdigit() or int(value) < least:
            raise ValueError(f"{option}: expected a whole number from {least} on, got '{value}'.")
        change = {keys[key]: int(value)}
    if key == "num_threads":  # espnet2.bin.launch adds one of its own to what it was given
        change = {"threads": max(int(value), values.threads)}
    if key == "config" and not os.path.isfile(value):
        raise ValueError(f"--config {value}: no such file.")
    return replace(values, **change)


def _nearest(option: str, known: Sequence[str] | dict[str, str]) -> str:
    import difflib  # only a mistake pays for it

    names = ["--" + key.replace("_", "-") for key in [*known, "resume"]]
    found = difflib.get_close_matches(option.replace("_", "-"), names, n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""
