"""A sweep: every row of a table trained and scored with one command.

Plan, then run: training configurations are written before the first row trains, so that a mistake
in the last row shows at once. Killed at any time, the same command goes on.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet_entropy.launch.lock import only_run
from espnet_entropy.launch.sweep_budget import (
    describe_budget,
    measure_costs,
    same_flops,
    warn_if_missed,
    with_iterations,
)
from espnet_entropy.launch.sweep_calibration import calibrate_rows
from espnet_entropy.launch.sweep_file import (
    BUDGETS,
    Sweep,
    SweepRow,
    experiment_dir,
    find_sweep,
    keep_copy,
    load_sweep,
)
from espnet_entropy.launch.sweep_job import STAGES, Job, as_options, without_options
from espnet_entropy.launch.sweep_rows import (
    asked_rates,
    kind_of,
    resolve_groups,
    row_training,
)
from espnet_entropy.launch.sweep_run import failures, run_jobs
from espnet_entropy.utils.config import check_choice, naming, read_yaml, write_yaml
from espnet_entropy.utils.files import atomic_write

# What a sweep sets itself in the command of a row
OWN = (
    *("sweep", "seeds", "budgets", "sweep_jobs", "stage", "stop_stage"),
    *("asr_config", "asr_exp", "asr_tag", "seed", "remake"),
)
# stages of asr.sh that rows share; the last ones belong to each: STAGES
PREPARATION = ("data", "prepare", "token_list", "unit_bpe")


@dataclass(frozen=True)
class Settings:
    """How a sweep is run; the present directory is the recipe's.

    Attributes:
        base: the recipe's training configuration.
        command: ``asr.sh`` and the options of the call.
        seeds: of training.
        budgets: ``epochs``: as long as the recipe says; ``flops``: as many FLOPs as the reference.
        units: recipe of the units.
        calibrate_on: scored dump for sweeps that calibrate.
        segmenter: ``segmenter.yaml`` with the criteria that may be calibrated.
        train_arguments: of ESPnet's training beside configuration and seed.
        measured_from: files that decide a row's FLOPs beside its configuration.
        launcher: a command with the interface of ``run.pl``.
        at_a_time: rows at the same time.
        remake: train rows anew whose configuration has changed.
        stages: of ``asr.sh``, those of :data:`PREPARATION` and of each row that are asked for.
    """

    base: Path
    command: Sequence[str]
    seeds: Sequence[int] = (1,)
    budgets: Sequence[str] = ("epochs",)
    units: str = "../units1"
    calibrate_on: Path = Path("dump/asr/valid")
    segmenter: Path = Path("../../TEMPLATE/units1/conf/segmenter.yaml")
    train_arguments: Sequence[str] = ()
    measured_from: Sequence[Path] = ()
    launcher: Sequence[str] = ("run.pl",)
    at_a_time: int = 1
    remake: bool = False
    stages: Sequence[str] = (*PREPARATION, *STAGES)

    def __post_init__(self) -> None:
        for name in ("seeds", "budgets"):
            values = list(getattr(self, name))
            if not values or len(set(values)) < len(values):
                raise ValueError(
                    f"--{name}: expected one or more, each once, got "
                    f"'{' '.join(map(str, values))}'."
                )
        for budget in self.budgets:
            check_choice(budget, BUDGETS, "budget", "--budgets")
        if self.at_a_time < 1:
            raise ValueError(f"--sweep_jobs: expected at least 1, got {self.at_a_time}.")
        for name in ("seed", "asr_exp", "asr_tag"):
            if without_options(list(self.command), (name,)) != list(self.command):
                raise ValueError(
                    f"--{name}: a sweep trains many experiments and sets that itself; remove it"
                    f"{' and use --seeds' if name == 'seed' else ''}."
                )
        if any(word.partition("=")[0] == "--seed" for word in self.train_arguments):
            raise ValueError(
                "--asr_args: a --seed there would be that of every row, whatever --seeds says; "
                "remove it and use --seeds."
            )

    def chosen(self, among: Sequence[str]) -> list[str]:
        """Those of some stages that are asked for."""
        return [stage for stage in among if stage in self.stages]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep comes down to.

    Attributes:
        jobs: every training, in the order of the file; budgets and seeds within a row.
        trainings: content of each ``train.yaml``.
        described: content of each ``budget.json``; where FLOPs were never measured it says the
            budget alone.
    """

    jobs: list[Job]
    trainings: dict[Path, dict[str, Any]] = field(default_factory=dict)
    described: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def add(self, folder: Path, training: dict[str, Any], described: dict[str, Any]) -> None:
        """Note the two files of a row and budget."""
        self.trainings[folder / "train.yaml"] = training
        self.described[folder / "budget.json"] = described


def run_sweep(file: str, places: Sequence[Path], settings: Settings) -> list[str]:
    """Train and score every row that is not done.

    Args:
        file: name or path of the sweep file.
        places: where it may be, see :func:`find_sweep`.
        settings: how.

    Returns:
        What went wrong, a text per row; empty if all is done.

    Raises:
        ValueError: for a mistake in a file or an option, before anything is trained, or if another
            process runs the same sweep.
    """
    path = find_sweep(file, places)
    sweep = load_sweep(path)
    base = read_yaml(settings.base)
    with naming(path):
        for row in sweep.rows:  # mistakes in any row show before the data are made
            _refuse_own_options(row)
            row_training(base, row, _units(row, settings))
    root = Path("exp/sweep") / path.stem
    if not settings.chosen((*PREPARATION, *STAGES)):  # the table alone, perhaps of a sweep at work
        return []
    with only_run(root):
        return _run(sweep, path, root, base, settings)


def _run(
    sweep: Sweep, path: Path, root: Path, base: Mapping[str, Any], settings: Settings
) -> list[str]:
    _prepare(sweep, settings)
    stages = settings.chosen(STAGES)
    if not stages:
        return []
    with naming(path):
        plan = plan_sweep(sweep, root, base, settings)
    refused = _write_plan(plan, settings.remake)
    if not refused:  # the table goes by the copy: what it says of a row must be what was trained
        keep_copy(path, root)
    fit = [job for job in plan.jobs if job.config not in refused]
    todo = [job for job in fit if not job.done()]
    if len(todo) < len(plan.jobs):
        done = len(fit) - len(todo)
        logging.info("%s: %d of %d trainings done before", path.stem, done, len(plan.jobs))
    further = _remake(settings)
    if len(stages) < len(STAGES):  # options of this call: the row's own script stays whole
        further += as_options({"stage": stages[0], "stop_stage": stages[-1]})
    run_jobs(todo, root, settings.launcher, settings.at_a_time, further)
    return [*refused.values(), *failures(todo)]


def _refuse_own_options(row: SweepRow) -> None:
    for name in sorted(row.options.keys() & set(OWN)):
        raise ValueError(f"row '{row.name}': options: {name} is what the sweep sets; remove it.")
    if "--seed" in str(row.options.get("asr_args", "")):
        raise ValueError(
            f"row '{row.name}': options: asr_args: a --seed would be that of all its trainings; "
            "remove it and use --seeds."
        )


def _units(row: SweepRow, settings: Settings) -> str:
    return str(row.options.get("units", settings.units))


def _base_command(settings: Settings) -> list[str]:
    return without_options(list(settings.command), OWN)


def _remake(settings: Settings) -> list[str]:
    return as_options({"remake": True}) if settings.remake else []


def _prepare(sweep: Sweep, settings: Settings) -> None:
    """Data, dumps, token lists and unit BPEs of all rows, once for each set of options."""
    for row in sweep.rows:
        units = _units(row, settings)
        if not (Path(units) / "run.sh").is_file():
            raise ValueError(
                f"row '{row.name}': units {units}: no run.sh there; make that recipe (the sweep "
                "file's first lines say how), or give another --units."
            )
    chosen = settings.chosen(PREPARATION)
    if not chosen:
        return
    stages = {"sweep": "", "stage": chosen[0], "stop_stage": chosen[-1]}
    commands = dict.fromkeys(tuple(as_options(row.options)) for row in sweep.rows)
    for options in commands:
        command = [*_base_command(settings), *as_options(stages), *options, *_remake(settings)]
        result = subprocess.run(command, check=False)
        if result.returncode:
            raise ValueError(
                f"preparing the sweep failed with exit status {result.returncode}, see above."
            )


def plan_sweep(sweep: Sweep, root: Path, base: Mapping[str, Any], settings: Settings) -> SweepPlan:
    """Every training with its configuration.

    Raises:
        ValueError: for groups that cannot be made, or FLOPs that cannot be measured.
    """
    rows = {}
    tables = _calibrate(sweep, root, base, settings) if sweep.calibrate else {}
    for row in sweep.rows:
        training = row_training(base, row, _units(row, settings))
        conf = training.get("frontend_conf") or {}
        if sweep.calibrate and conf.get("criterion") and conf.get("rate"):
            training["frontend_conf"] = {**conf, "calibration": str(tables[_units(row, settings)])}
        rows[row.name] = resolve_groups(training, f"row '{row.name}'")
    command = tuple(_base_command(settings))
    jobs = [
        Job(row, budget, seed, root, command)
        for row in sweep.rows
        for budget in settings.budgets
        for seed in settings.seeds
    ]
    plan = SweepPlan(jobs)
    _set_budgets(plan, sweep, rows, root, settings)
    return plan


def _calibrate(
    sweep: Sweep, root: Path, base: Mapping[str, Any], settings: Settings
) -> dict[str, Path]:
    """Calibrate the rates that rows ask for, for each kind of units; its table by units."""
    tables = {}
    for units in dict.fromkeys(_units(row, settings) for row in sweep.rows):
        rates = asked_rates([row for row in sweep.rows if _units(row, settings) == units], base)
        valid = settings.calibrate_on
        if units != settings.units:  # asr.sh: dump/asr_km2000 beside dump/asr
            valid = valid.parent.with_name(f"asr{kind_of(units)}") / valid.name
        if rates:
            tables[units] = root / f"calibration{kind_of(units)}.yaml"
            calibrate_rows(rates, valid, settings.segmenter, tables[units])
    if not tables:
        raise ValueError("calibrate: no row asks for a criterion at a rate; remove 'calibrate'.")
    return tables


def _set_budgets(
    plan: SweepPlan,
    sweep: Sweep,
    rows: Mapping[str, dict[str, Any]],
    root: Path,
    settings: Settings,
) -> None:
    equal = "flops" in settings.budgets
    for row in sweep.rows if equal else ():
        units = _units(row, settings)
        if units != settings.units:
            raise ValueError(
                f"row '{row.name}': units {units} with budget flops: all rows have to read the "
                f"same batches, but the others' are {settings.units}; use --budgets epochs."
            )
    # what an earlier call measured still holds for a call that asks for epochs alone
    arguments, files = settings.train_arguments, settings.measured_from
    costs = measure_costs(rows, arguments, files, root / "flops", known_only=not equal)
    standard = sweep.reference_row.name
    for name, training in rows.items():
        if "epochs" in settings.budgets:
            described: dict[str, Any] = {"budget": "epochs"}
            if {name, standard} <= costs.keys():
                cost, reference = costs[name], costs[standard]
                described = describe_budget("epochs", cost.iterations, cost, reference)
            plan.add(experiment_dir(root, name, "epochs"), training, described)
        if equal:
            cost, reference = costs[name], costs[standard]
            iterations = same_flops(cost, reference)
            described = describe_budget("flops", iterations, cost, reference)
            warn_if_missed(name, described)
            fixed = with_iterations(training, iterations, cost)
            plan.add(experiment_dir(root, name, "flops"), fixed, described)


def _write_plan(plan: SweepPlan, remake: bool) -> dict[Path, str]:
    """Write the configurations, but none under a row that was trained with another.

    Returns:
        Why a row was refused, by its configuration.
    """
    refused = {}
    mine: dict[Path, set[str]] = {}
    for job in plan.jobs:
        mine.setdefault(job.config, set()).add(job.directory.name)
    for job in plan.jobs:
        path, new = job.config, plan.trainings[job.config]
        old = read_yaml(path) if path.is_file() else new
        begun = job.seeds_begun()
        # the table takes the mean over all seeds of a row: they must share its configuration
        others = [seed for seed in begun if seed not in mine[path]]
        if old != new and begun and (others or not remake):
            remedy = "To train it anew: --remake true"
            if others:
                remedy += f", with --seeds that include those of {', '.join(others)}"
            refused[path] = (
                f"{job.row.name}: was trained with another {path}: {_differences(old, new)}. "
                f"{remedy}"
            )
    for path, training in plan.trainings.items():
        if path not in refused and not (path.is_file() and read_yaml(path) == training):
            write_yaml(path, training)
    for path, described in plan.described.items():
        if path.parent / "train.yaml" not in refused:
            with atomic_write(path) as stream:
                json.dump(described, stream, indent=1)
    return refused


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 3) -> str:
    before, after = _flat(old), _flat(new)
    keys = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    shown = [f"{k} was {before.get(k)} and is now {after.get(k)}" for k in keys[:most]]
    return "; ".join(shown) + (f"; {len(keys) - most} more" if len(keys) > most else "")


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat
