"""A study: one factor at a time, the same few systems at each of its levels.

``conf/study.yaml`` says what is varied; it becomes the rows of a sweep, a row for each level and
system, and recipes of units for those levels that need other units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from espnet_entropy.launch.sweep_file import Sweep, SweepRow, merge
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.files import fingerprint


@dataclass(frozen=True)
class Level:
    """What a factor is set to; what is not said is as in the study's ``base``.

    Attributes:
        name: of directories.
        label: in tables and pictures; the name if empty.
        x: where it stands on the picture's axis; all levels of a factor have one, or none has.
        units: name of the units.
        rate: groups per second.
        train: keys merged into the recipe's ``asr_config``.
        options: of ``asr.sh``.
        systems: those compared here; empty: all that the factor has.
    """

    name: str
    label: str = ""
    x: float | None = None
    units: str = ""
    rate: float | None = None
    train: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    systems: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The label, or the name where there is none."""
        return self.label or self.name


@dataclass(frozen=True)
class Factor:
    """What is varied, and how.

    Attributes:
        name: of directories.
        label: of the axis; the name if empty.
        levels: at least one.
        systems: those compared; empty: all that the study names as ``compared``.
    """

    name: str
    levels: list[Level]
    label: str = ""
    systems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError(f"factor {self.name}: levels: expected at least one.")
        names = [level.name for level in self.levels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"factor {self.name}: level '{twice[0]}' is listed twice; rename one.")
        if len({level.x is None for level in self.levels}) > 1:
            raise ValueError(f"factor {self.name}: give x for all levels or for none.")


@dataclass(frozen=True)
class Units:
    """A recipe of units that a study makes.

    Attributes:
        tokenizer: content of its ``conf/tokenizer.yaml``.
        options: of ``units.sh``.
    """

    tokenizer: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """The content of ``conf/study.yaml``.

    Attributes:
        title: of the report.
        systems: name to ``frontend_conf`` without a rate; ``label`` is for people.
        compared: systems at every level where nothing else is said.
        against: the one that the others are compared with; always among them.
        base: what levels do not say; its name, label and x do nothing.
        units: recipes of units by name.
        factors: at least one.
    """

    title: str
    systems: dict[str, dict[str, Any]]
    compared: list[str]
    against: str
    base: Level
    units: dict[str, Units]
    factors: list[Factor]

    def __post_init__(self) -> None:
        check_choice(self.against, self.systems, "against")
        if not self.factors:
            raise ValueError("factors: expected at least one.")
        names = [factor.name for factor in self.factors]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"factors: '{twice[0]}' is listed twice; rename or remove one.")
        for name in self.compared:
            check_choice(name, self.systems, "compared")
        for factor, level in self.settings():
            where = f"factor {factor.name}, level {level.name}"
            check_choice(level.units, self.units, "units", where)
            for system in (*factor.systems, *level.systems):
                check_choice(system, self.systems, "systems", where)
            if level.rate is None or not level.rate > 0:
                raise ValueError(f"{where}: rate: expected groups per second, got {level.rate}.")

    def settings(self) -> Iterator[tuple[Factor, Level]]:
        """Every level with all that it does not say taken from the base."""
        base = self.base
        for factor in self.factors:
            for level in factor.levels:
                yield (
                    factor,
                    Level(
                        level.name,
                        level.label,
                        level.x,
                        level.units or base.units,
                        base.rate if level.rate is None else level.rate,
                        merge(base.train, level.train),
                        {**base.options, **level.options},
                        level.systems or factor.systems or base.systems or self.compared,
                    ),
                )

    def label(self, system: str) -> str:
        """For people."""
        return str(self.systems[system].get("label", system))


def units_dir(name: str) -> str:
    """Where the recipe of some units is, from the study's directory."""
    return f"exp/units1_{name}"


def study_rows(study: Study) -> tuple[Sweep, dict[tuple[str, str, str], str]]:
    """The study as a sweep, and where each of its cells is found there.

    Levels that come to the same, the base above all, are one row. Its name tells its content, so
    that results outlive changes of the study and are never shown as those of something else.

    Returns:
        The sweep, and (factor, level, system) to the name of a row.
    """
    rows: dict[str, SweepRow] = {}
    cells: dict[tuple[str, str, str], str] = {}
    for factor, level in study.settings():
        for system in dict.fromkeys([study.against, *level.systems]):
            row = _row(study, factor, level, system)
            rows.setdefault(row.name, row)
            cells[factor.name, level.name, system] = row.name
    return Sweep(study.title, list(rows.values()), calibrate=True), cells


def _row(study: Study, factor: Factor, level: Level, system: str) -> SweepRow:
    groups = {key: value for key, value in study.systems[system].items() if key != "label"}
    train = merge(level.train, {"frontend_conf": {**groups, "rate": level.rate}})
    options = {"units": units_dir(level.units), **level.options}
    content = fingerprint({"train": train, "options": options})[:8]
    return SweepRow(
        f"{level.units}-{system}-{level.rate:g}-{content}",
        f"{factor.label or factor.name} {level.shown}: {study.label(system)}",
        train=train,
        options=options,
    )
