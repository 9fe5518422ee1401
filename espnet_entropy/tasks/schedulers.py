"""A learning-rate schedule that ESPnet lacks, known to all of its tasks."""

from __future__ import annotations

import math

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.tasks.abs_task import scheduler_classes


class WarmupCosineLR(torch.optim.lr_scheduler.LRScheduler, AbsBatchStepScheduler):  # type: ignore[misc]
    """Linear warm-up to the optimizer's rate, half a cosine down to a share of it, then flat.

    The paper's schedule (section C.1). ESPnet's own cosines either do not warm up or
    restart at the full rate when training goes on.

    Args:
        optimizer: optimizer.
        warmup_steps: updates until the full rate.
        total_steps: updates until the floor.
        floor_ratio: share of the full rate that remains.
        last_epoch: as in torch.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int = 2000,
        total_steps: int = 750000,
        floor_ratio: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"scheduler_conf: expected 0 <= warmup_steps < total_steps, got {warmup_steps} "
                f"and {total_steps}."
            )
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.floor_ratio = float(floor_ratio)
        super().__init__(optimizer, last_epoch)

    def ratio(self, step: int) -> float:
        """Share of the full rate at an update, counted from 1."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.floor_ratio + (1.0 - self.floor_ratio) * 0.5 * (1 + math.cos(math.pi * done))

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Rates of the parameter groups for the next update."""
        return [float(rate) * self.ratio(self.last_epoch + 1) for rate in self.base_lrs]


def register_scheduler() -> None:
    """Make ``scheduler: warmupcosinelr`` known to ESPnet; may be called again."""
    scheduler_classes["warmupcosinelr"] = WarmupCosineLR
