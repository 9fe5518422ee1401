"""Equal FLOPs for every row of a sweep, as a fixed number of optimizer steps."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espnet_entropy.utils.config import from_dict, write_yaml
from espnet_entropy.utils.files import atomic_write, sha256_file

# Learning-rate schedules in optimizer steps; they stretch with the training.
SCHEDULED = ("warmup_steps", "total_steps", "num_warmup_steps", "num_training_steps")
NOTICEABLE = 0.02  # share by which a whole number of iterations may miss the budget unsaid


@dataclass(frozen=True)
class Cost:
    """What a row's training costs as the recipe configures it.

    Attributes:
        flops: forward and backward, of a mean batch.
        batches: of one pass over the training set.
        iterations: batches of what ESPnet counts as an epoch.
        epochs: of those.
        accum_grad: batches of an optimizer step.
        parameters: of the model.
    """

    flops: float
    batches: int
    iterations: int
    epochs: int
    accum_grad: int
    parameters: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"{name}: expected above 0, got {value}.")


def same_flops(cost: Cost, reference: Cost) -> int:
    """Iterations per epoch with which a row costs as much as the reference, in as many epochs."""
    total = reference.flops * reference.iterations * reference.epochs
    return max(1, round(total / (cost.flops * cost.epochs)))


def with_iterations(training: Mapping[str, Any], iterations: int, cost: Cost) -> dict[str, Any]:
    """A training configuration of a fixed length.

    ESPnet's epoch becomes so many iterations, wherever in the corpus that is: the number of
    epochs, and of checkpoints to average, stays. Stopping early would undo the budget.

    Args:
        training: the row's.
        iterations: per epoch.
        cost: of the row as configured: the schedule stretches by the ratio to it.
    """
    ratio = iterations / cost.iterations
    schedule = dict(training.get("scheduler_conf") or {})
    for key in SCHEDULED:
        if schedule.get(key):
            schedule[key] = max(1, round(schedule[key] * ratio))
    fixed = {**training, "num_iters_per_epoch": iterations, "patience": None}
    return {**fixed, "scheduler_conf": schedule} if schedule else fixed


def describe_budget(budget: str, iterations: int, cost: Cost, reference: Cost) -> dict[str, Any]:
    """Content of ``budget.json``: what tables say of a training's length."""
    steps = iterations * cost.epochs // cost.accum_grad
    total = cost.flops * iterations * cost.epochs
    given = reference.flops * reference.iterations * reference.epochs
    return {
        "budget": budget,
        "flops_per_step": cost.flops * cost.accum_grad,
        "steps": steps,
        "epochs": cost.epochs,
        "iterations_per_epoch": iterations,
        "passes_over_corpus": iterations * cost.epochs / cost.batches,
        "flops": total,
        "flops_over_reference": total / given,
        "parameters": cost.parameters,
    }


def warn_if_missed(name: str, described: Mapping[str, Any]) -> None:
    """Say so where whole iterations cannot meet the budget."""
    ratio = described["flops_over_reference"]
    if abs(ratio - 1) > NOTICEABLE:
        logging.warning(
            "%s: %d iterations per epoch make %.1f %% of the reference's FLOPs, the nearest there "
            "is; smaller batches come nearer.",
            name,
            described["iterations_per_epoch"],
            100 * ratio,
        )


def measure_costs(
    trainings: Mapping[str, Mapping[str, Any]],
    arguments: Sequence[str],
    depends_on: Sequence[Path],
    folder: Path,
    known_only: bool = False,
) -> dict[str, Cost]:
    """The cost of every row, measured once: in one process, since importing ESPnet takes long.

    Args:
        trainings: training configuration by row.
        arguments: what ESPnet's training gets besides.
        depends_on: files that decide it too: shapes of the utterances, tokens.
        folder: ``<row>.yaml`` and ``<row>.json`` are kept there.
        known_only: measure nothing, and leave out the rows that were not measured before.

    Raises:
        ValueError: if measuring fails, or a file of ``depends_on`` is missing.
    """
    if known_only and not folder.is_dir():
        return {}
    state = [*arguments, *map(_digest, depends_on)]
    missing, costs = {}, {}
    for name, training in trainings.items():
        text = json.dumps([training, state], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            known = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            known = {}
        if known.get("of") == digest:
            costs[name] = from_dict(Cost, known["cost"], str(folder / f"{name}.json"))
        else:
            missing[name] = digest
    if missing and not known_only:
        for name in missing:
            write_yaml(folder / f"{name}.yaml", trainings[name])
        for name, cost in _measure(folder, list(missing), arguments).items():
            costs[name] = from_dict(Cost, cost, f"FLOPs of row '{name}'")
            with atomic_write(folder / f"{name}.json") as stream:
                json.dump({"of": missing[name], "cost": cost}, stream, indent=1)
    return {name: costs[name] for name in trainings if name in costs}


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except FileNotFoundError:
        raise ValueError(
            f"{path}: missing, and it decides a row's FLOPs; run the stages before 'train' first."
        ) from None


def _measure(folder: Path, names: Sequence[str], arguments: Sequence[str]) -> dict[str, Any]:
    out, log = folder / "measured.json", folder / "measure.log"
    logging.info("measuring the FLOPs of %d rows; log: %s", len(names), log)
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "espnet_entropy.bin.measure_flops", "--out", str(out)]
    command += ["--configs", *(str(folder / f"{name}.yaml") for name in names), "--", *arguments]
    with open(log, "w", encoding="utf-8") as stream:
        code = subprocess.run(command, stdout=stream, stderr=stream, check=False).returncode
    if code or not out.is_file():
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        raise ValueError(
            f"budget flops: measuring FLOPs failed (exit status {code}), see {log}, or use "
            f"--budgets epochs; its last lines:\n" + "\n".join(end)
        )
    measured = json.loads(out.read_text(encoding="utf-8"))
    return {name: measured[str(folder / f"{name}.yaml")] for name in names}
