"""The entropy LM as an ESPnet LM, registered with ESPnet's LM task by importing this module.

ESPnet keeps only the names in its ``config.yaml``; whoever loads such a configuration
imports this module first. ``bin/lm_train`` does so at top level, where spawned workers
find it too.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import torch
from espnet2.lm.abs_model import AbsLM
from espnet2.tasks.lm import LMTask, lm_choices, model_choices

from espnet_entropy.entropy_lm.config import lm_config
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.packing import check_packed
from espnet_entropy.tasks.batches import LeanBatches
from espnet_entropy.tasks.check_call import CheckedCall
from espnet_entropy.tasks.checkpoints import atomic_checkpoints, mend_links
from espnet_entropy.tasks.data_types import register_data_types
from espnet_entropy.tasks.distilled_lm import DistilledLM, check_teacher
from espnet_entropy.tasks.schedulers import register_scheduler
from espnet_entropy.utils.config import naming


class ESPnetEntropyLM(AbsLM):  # type: ignore[misc]  # espnet2 has no types
    """``lm: entropy_lm``; ``lm_conf`` holds the keys of :class:`EntropyLMConfig`.

    ``compile: true`` besides them: on a GPU with ``use_amp``, see ``Llama.compile_layers``.

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
        if conf.get("compile"):
            self.lm.backbone.compile_layers()

    def forward(self, input: torch.Tensor, hidden: None) -> tuple[torch.Tensor, None]:
        """Logits (B, L, K + 1) of packed rows (B, L) int; see :class:`EntropyLM`."""
        return self.lm(input), None


class EntropyLMTask(CheckedCall, LeanBatches, LMTask):  # type: ignore[misc]
    """ESPnet's LM task; what it saves is whole or absent, even after SIGKILL."""

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train in this process; ESPnet calls it in each one.

        Raises:
            ValueError: for lines that were packed for another ``lm_conf`` or teacher.
        """
        if args.lm == "entropy_lm":
            with naming(args.config):
                config = lm_config(args.lm_conf, 1, "lm_conf")
            paths = [args.train_data_path_and_name_and_type, args.valid_data_path_and_name_and_type]
            for path, _, _ in itertools.chain(*paths):
                packed = check_packed(path, config, "lm_conf")
                if args.model == "distilled_lm" and args.model_conf.get("teacher"):
                    check_teacher(args.model_conf, packed, config, Path(args.output_dir))
        with atomic_checkpoints():
            super().main_worker(args)
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            mend_links(args.output_dir, args.best_model_criterion)


def register() -> None:
    """Make ``entropy_lm``, ``distilled_lm``, ``warmupcosinelr`` and the type ``units`` known."""
    lm_choices.classes["entropy_lm"] = ESPnetEntropyLM
    model_choices.classes["distilled_lm"] = DistilledLM
    register_scheduler()
    register_data_types()


register()
