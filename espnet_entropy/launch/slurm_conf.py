"""``conf/slurm.conf`` in Kaldi's manner: what the launcher's options become for ``sbatch``.

Lines of three kinds; ``#`` begins a comment. A site's file is laid over :data:`DEFAULTS`::

    command sbatch --account=speech --partition=cpu    # the program, and what it always gets
    default time=1-00:00:00                            # if the caller does not say
    option gpu=0                                       # for this very value, nothing
    option gpu=* --partition=gpu --gres=gpu:$0         # for any other; $0 is the value

The options are ``gpu``, ``num_threads``, ``num_nodes``, ``mem`` and ``time``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.launch.grammar import Resources

DEFAULTS = """\
command sbatch
option gpu=0
option gpu=* --gres=gpu:$0
option num_threads=* --cpus-per-task=$0
option num_nodes=1
option num_nodes=* --nodes=$0 --ntasks=$0 --ntasks-per-node=1
option mem=0
option mem=* --mem=$0
option time=* --time=$0
"""
NAMES = ("gpu", "num_threads", "num_nodes", "mem", "time")
ALWAYS = {"gpu": "0", "num_threads": "1", "num_nodes": "1"}  # the launcher's own defaults
NO_MEANING = ("max_jobs_run",)  # in files made for Kaldi: the launcher does it with %N


@dataclass(frozen=True)
class SlurmConfig:
    """What a configuration file says.

    Attributes:
        command: ``sbatch`` and what it always gets.
        defaults: option to its value if the caller gives none.
        options: (option, value or ``*``) to arguments of ``sbatch``, with ``$0`` in them.
    """

    command: tuple[str, ...]
    defaults: Mapping[str, str]
    options: Mapping[tuple[str, str], tuple[str, ...]]

    @classmethod
    def read(cls, path: str | None) -> SlurmConfig:
        """The defaults, and over them the file, if there is one.

        Raises:
            ValueError: naming file and line that cannot be understood.
        """
        command: tuple[str, ...] = ()
        defaults: dict[str, str] = {}
        options: dict[tuple[str, str], tuple[str, ...]] = {}
        text = Path(path).read_text(encoding="utf-8") if path else ""
        places = [("defaults", DEFAULTS), (path or "", text)]
        for place, lines in places:
            for number, line in enumerate(lines.splitlines(), 1):
                try:
                    words = shlex.split(line, comments=True)
                except ValueError as error:
                    raise ValueError(f"{place}:{number}: {error}: '{line}'.") from None
                if not words:
                    continue
                kind, *rest = words
                if kind == "command" and rest:
                    command = tuple(rest)
                    continue
                name, equals, value = rest[0].partition("=") if rest else ("", "", "")
                if kind not in ("default", "option") or not equals or not value:
                    raise ValueError(
                        f"{place}:{number}: expected 'command PROGRAM ...', 'default NAME=VALUE' "
                        f"or 'option NAME=VALUE ...', got '{line.strip()}'."
                    )
                if name not in (*NAMES, *NO_MEANING):
                    raise ValueError(
                        f"{place}:{number}: unknown option '{name}'; known: {', '.join(NAMES)}. "
                        "What every job needs goes to the line 'command sbatch ...'."
                    )
                if kind == "default" and value != ALWAYS.get(name, value):
                    raise ValueError(
                        f"{place}:{number}: 'default {name}={value}' has no effect: the launcher "
                        f"asks for {name}={ALWAYS[name]} if its caller does not say; "
                        f"see 'option {name}={ALWAYS[name]} ...'."
                    )
                if kind == "default":
                    defaults[name] = value
                else:
                    options[name, value] = tuple(rest[1:])
        return cls(command, defaults, options)

    def arguments(self, resources: Resources) -> list[str]:
        """Program and arguments for what a task needs.

        Example:
            >>> SlurmConfig.read(None).arguments(Resources(gpu=2, threads=4, time="1:00:00"))
            ['sbatch', '--gres=gpu:2', '--cpus-per-task=4', '--time=1:00:00']
        """
        given = {
            "gpu": str(resources.gpu),
            "num_threads": str(resources.threads),
            "num_nodes": str(resources.nodes),
            "mem": resources.mem,
            "time": resources.time,
        }
        found = list(self.command)
        for name in NAMES:
            value = given[name] if given[name] is not None else self.defaults.get(name)
            if value is not None:
                template = self.options.get((name, value), self.options.get((name, "*"), ()))
                found += [word.replace("$0", value) for word in template]
        return found
