"""What a sweep file says: ``conf/sweep/*.yaml``, the rows of a table and the paper's figures.

The standard library and YAML only: whoever makes the table reads the same file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from espnet_entropy.utils.config import check_choice, load_config, nearest
from espnet_entropy.utils.files import atomic_write

Budget = Literal["epochs", "flops"]
BUDGETS: tuple[Budget, ...] = ("epochs", "flops")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
COPY = "sweep.yaml"
_FLOPS = "_flops"  # added to the directory of a row that trains for equal FLOPs


@dataclass(frozen=True)
class SweepRow:
    """One system.

    Attributes:
        name: of its directory.
        label: in the table; the name if empty.
        paper: the paper's figures by test set: ``wer`` and ``cer`` in percent, ``rate`` in Hz where
            it is not what the row asks for; ``{}``: not in the paper.
        train: keys merged into the recipe's ``asr_config``.
        options: options of ``asr.sh`` for this row.
    """

    name: str
    label: str = ""
    paper: dict[str, dict[str, float]] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name: expected letters, digits and '_.-' (it names a directory), got "
                f"'{self.name}'."
            )

    @property
    def shown(self) -> str:
        """The label, or the name where there is none."""
        return self.label or self.name


@dataclass(frozen=True)
class Sweep:
    """A table's rows.

    Attributes:
        title: of the table.
        rows: at least one, names unique.
        reference: name of the row that others are compared with, and whose training FLOPs the
            budget ``flops`` gives to all; the first row if empty.
        paper_table: the table's number in the paper; ``None``: it has none.
        note: shown under the table.
        calibrate: find the thresholds of exactly the rates that rows ask for on the valid set,
            instead of taking those of the units' model directory.
    """

    title: str
    rows: list[SweepRow]
    reference: str = ""
    paper_table: int | None = None
    note: str = ""
    calibrate: bool = False

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("rows: expected at least one.")
        names = [row.name for row in self.rows]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"rows: '{name}' is listed twice; rename or remove one.")
            if name.endswith(_FLOPS) and name.removesuffix(_FLOPS) in names:
                raise ValueError(
                    f"rows: '{name}' is the directory of '{name.removesuffix(_FLOPS)}' at equal "
                    "FLOPs; rename one."
                )
        if self.reference and self.reference not in names:
            raise ValueError(
                f"reference: '{self.reference}' is none of the rows: {', '.join(names)}."
                f"{nearest(self.reference, names)}"
            )

    @property
    def reference_row(self) -> SweepRow:
        """The row whose FLOPs count, and that others are compared with."""
        name = self.reference or self.rows[0].name
        return next(row for row in self.rows if row.name == name)


def load_sweep(path: str | Path) -> Sweep:
    """Read a sweep file.

    Raises:
        ValueError: naming the file and the key.
    """
    return load_config(Sweep, path)


def find_sweep(name: str, places: Sequence[Path]) -> Path:
    """The sweep file that ``name`` means: a path, or a name with or without folder and suffix.

    Args:
        name: ``conf/sweep/methods.yaml`` or ``methods``.
        places: folders that have a ``conf/sweep``: the recipe, then the template.

    Raises:
        ValueError: if there is none; names the nearest.
    """
    if Path(name).is_file():
        return Path(name)
    for place in places:
        for path in (place / name, place / "conf/sweep" / f"{name}.yaml"):
            if path.is_file():
                return path
    known = sorted(
        {path.stem for place in places for path in (place / "conf/sweep").glob("*.yaml")}
    )
    if not known:
        folders = ", ".join(str(place / "conf/sweep") for place in places)
        raise ValueError(
            f"--sweep {name}: no such file, and no sweep in {folders}; check the path."
        )
    check_choice(Path(name).stem, known, "sweep", "--sweep")
    raise ValueError(f"--sweep {name}: no such file; '{Path(name).stem}' is known by that name.")


def keep_copy(path: Path, root: Path) -> None:
    """Put the sweep file beside its results; what makes the table looks there first."""
    with atomic_write(root / COPY, "wb") as stream:
        stream.write(path.read_bytes())


def load_copy(root: Path, places: Sequence[Path]) -> Sweep:
    """The sweep that ``root`` holds the results of.

    Args:
        root: ``exp/sweep/<name>``.
        places: of :func:`find_sweep`, where there is no copy.

    Raises:
        ValueError: if there is no such sweep.
    """
    copy = root / COPY
    return load_sweep(copy if copy.is_file() else find_sweep(root.name, places))


def experiment_dir(root: Path, row: str, budget: str, seed: int | None = None) -> Path:
    """Where a row is trained: ``<root>/<row>[_flops][/seed<k>]``.

    Args:
        root: ``exp/sweep/<name of the sweep file>``.
        row: name of the row.
        budget: ``epochs`` or ``flops``.
        seed: of training; ``None`` for the folder above, which holds what all seeds share:
            ``train.yaml`` and ``budget.json``.
    """
    check_choice(budget, BUDGETS, "budget")
    directory = root / (row + (_FLOPS if budget == "flops" else ""))
    return directory if seed is None else directory / f"seed{seed}"


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``change`` laid over it: mappings key by key, anything else replaced.

    Example:
        >>> merge({"a": {"x": 1, "y": [1, 2]}, "b": 3}, {"a": {"y": [4]}})
        {'a': {'x': 1, 'y': [4]}, 'b': 3}
    """
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result
