"""One training of a sweep: a row, a budget, a seed; its script, its state."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.launch.stamp import changes, describe
from espnet_entropy.launch.sweep_file import SweepRow, experiment_dir
from espnet_entropy.utils.files import atomic_write

STAGES = ("train", "average", "infer", "score")  # of asr.sh; `score` is the last


@dataclass(frozen=True)
class Job:
    """One call of ``asr.sh``.

    Attributes:
        row: what is trained.
        budget: ``epochs`` or ``flops``.
        seed: of training.
        root: ``exp/sweep/<name of the sweep file>``.
        base_command: ``asr.sh`` with the options of the whole sweep.
    """

    row: SweepRow
    budget: str
    seed: int
    root: Path
    base_command: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people: ``entropy_15, equal FLOPs, seed 2``."""
        equal = ", equal FLOPs" if self.budget == "flops" else ""
        return f"{self.row.name}{equal}, seed {self.seed}"

    @property
    def directory(self) -> Path:
        """The experiment."""
        return experiment_dir(self.root, self.row.name, self.budget, self.seed)

    @property
    def config(self) -> Path:
        """The training configuration, one for all seeds, outside of what ``--remake`` removes."""
        return self.directory.parent / "train.yaml"

    @property
    def script(self) -> Path:
        """Runs this job alone, from the recipe's directory."""
        return self.directory.with_name(f"{self.directory.name}.sh")

    @property
    def log(self) -> Path:
        """Everything that ``asr.sh`` says."""
        return self.directory.with_name(f"{self.directory.name}.log")

    @property
    def status(self) -> Path:
        """Exit status of the last run; absent while it runs."""
        return self.directory.with_name(f"{self.directory.name}.status")

    @property
    def command(self) -> list[str]:
        """``asr.sh`` from training to scoring."""
        given = {
            "sweep": "",
            "stage": STAGES[0],
            "stop_stage": STAGES[-1],
            "asr_config": str(self.config),
            "asr_exp": str(self.directory),
            "seed": str(self.seed),
        }
        return [*self.base_command, *as_options(given), *as_options(self.row.options)]

    @property
    def script_text(self) -> str:
        """Content of :attr:`script`."""
        status, log = shlex.quote(str(self.status)), shlex.quote(str(self.log))
        return (
            "#!/usr/bin/env bash\n"
            f"# {self.name}; made by a sweep, runs alone too, from the recipe's directory;\n"
            "# further options (--remake true) after it.\n"
            f"rm -f {status}\n"
            "code=0\n"
            f'{shlex.join(self.command)} "$@" > {log} 2>&1 || code=$?\n'
            f'echo "${{code}}" > {status}.tmp && mv {status}.tmp {status}\n'
            'exit "${code}"\n'
        )

    def write_script(self) -> None:
        """Write :attr:`script`, and forget how the last run ended."""
        self.status.unlink(missing_ok=True)
        with atomic_write(self.script) as stream:
            stream.write(self.script_text)

    def exit_status(self) -> int | None:
        """Of the last run that ended, ``None`` if none did."""
        with suppress(FileNotFoundError, ValueError):
            return int(self.status.read_text())
        return None

    @property
    def stamp_folder(self) -> Path:
        """Where ``asr.sh`` stamps this experiment's stages."""
        return Path("exp/stamps") / self.directory.relative_to("exp")

    def seeds_begun(self) -> list[str]:
        """Directories (``seed1`` …) in which anything was trained from this configuration."""
        stamps = self.stamp_folder.parent.glob(f"seed*/{STAGES[0]}.json")
        return sorted(stamp.parent.name for stamp in stamps)

    def done(self) -> bool:
        """Whether the same command ran to its end and all that it read is as it was.

        ``asr.sh`` would find the same and do nothing; but it takes seconds for it.
        """
        if self.exit_status() != 0 or not self.script.is_file():
            return False
        if self.script.read_text(encoding="utf-8") != self.script_text:
            return False
        return all(self._stage_done(stage) for stage in STAGES)

    def _stage_done(self, stage: str) -> bool:
        try:
            old = json.loads((self.stamp_folder / f"{stage}.json").read_text(encoding="utf-8"))
            now = describe(stage, old["settings"], [Path(path) for path in old["inputs"]])
        except (OSError, ValueError, KeyError):
            return False
        if not old["finished"] or changes(old, now):
            return False
        if stage != STAGES[-1]:
            return True
        decoded = self.directory / "decode"
        texts = [path for path in map(Path, old["inputs"]) if path.parent.parent == decoded]
        return all((path.parent / "score.json").is_file() for path in texts)


def last_lines(log: Path, count: int = 10) -> list[str]:
    """The end of a log; nothing if it is not there."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def as_options(options: Mapping[str, object]) -> list[str]:
    """``--name value`` words of the recipe's driver.

    Example:
        >>> as_options({"unit_bpe_size": 400, "remake": True})
        ['--unit_bpe_size', '400', '--remake', 'true']
    """
    words = []
    for name, value in options.items():
        words += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return words


def without_options(words: list[str], names: tuple[str, ...]) -> list[str]:
    """A command's words without some options, in both forms, ``--x 1`` and ``--x=1``.

    Options and values are told apart as ``utils/options.sh`` does: what follows ``--x`` is its
    value, dashes or not.

    Example:
        >>> without_options(["asr.sh", "--asr_args", "--seed 3", "--seed=1"], ("seed",))
        ['asr.sh', '--asr_args', '--seed 3']
    """
    kept, at = [], 0
    while at < len(words):
        option, equals, _ = words[at].partition("=")
        width = 2 if option.startswith("--") and not equals else 1
        if not (option.startswith("--") and option[2:].replace("-", "_") in names):
            kept += words[at : at + width]
        at += width
    return kept
