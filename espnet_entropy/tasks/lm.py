"""The entropy LM as an ESPnet LM, registered with ESPnet's LM task by importing this module.

ESPnet keeps only the names in its ``config.yaml``; whoever loads such a configuration
imports this module first. ``bin/lm_train`` does so at top level, where spawned workers
find it too.
"""

from __future__ import annotations

import argparse
import itertools
import math
from typing import Any

import torch
from espnet2.lm.abs_model import AbsLM
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.tasks.abs_task import scheduler_classes
from espnet2.tasks.lm import LMTask, lm_choices

from espnet_entropy.entropy_lm.config import lm_config
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.packing import check_packed
from espnet_entropy.tasks.checkpoints import atomic_checkpoints, mend_links


class ESPnetEntropyLM(AbsLM):  # type: ignore[misc]  # espnet2 has no types
    """``lm: entropy_lm``; ``lm_conf`` holds the keys of :class:`EntropyLMConfig`.

    ESPnet's model puts ``<sos/eos>`` in front of each packed line and as its last target.

    Args:
        vocab_size: K + 1, from the token list.
        conf: ``lm_conf``.
    """

    def __init__(self, vocab_size: int, **conf: Any) -> None:
        super().__init__()
        config = lm_config(conf, vocab_size - 1, "lm_conf")
        if config.num_clusters != vocab_size - 1:
            raise ValueError(
                f"lm_conf: num_clusters: got {config.num_clusters}, but the token list has "
                f"{vocab_size - 1} units; leave the key out."
            )
        self.lm = EntropyLM(config)

    def forward(self, input: torch.Tensor, hidden: None) -> tuple[torch.Tensor, None]:
        """Logits (B, L, K + 1) of packed rows (B, L) int; see :class:`EntropyLM`."""
        return self.lm(input), None


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


class EntropyLMTask(LMTask):  # type: ignore[misc]
    """ESPnet's LM task; what it saves is whole or absent, even after SIGKILL."""

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train in this process; ESPnet calls it in each one.

        Raises:
            ValueError: for lines that were packed for another ``lm_conf``.
        """
        if args.lm == "entropy_lm":
            config = lm_config(args.lm_conf, 1, "lm_conf")
            paths = [args.train_data_path_and_name_and_type, args.valid_data_path_and_name_and_type]
            for path, _, _ in itertools.chain(*paths):
                check_packed(path, config, "lm_conf")
        with atomic_checkpoints():
            super().main_worker(args)
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            mend_links(args.output_dir, args.best_model_criterion)


def register() -> None:
    """Make ``entropy_lm`` and ``warmupcosinelr`` known to ESPnet; may be called again."""
    lm_choices.classes["entropy_lm"] = ESPnetEntropyLM
    scheduler_classes["warmupcosinelr"] = WarmupCosineLR


register()
