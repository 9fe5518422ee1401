"""ESPnet's ASR task with ``frontend: units``, ``encoder: cale`` and ``encoder: unit_pooling``.

ESPnet keeps only the names in its ``config.yaml``; whoever loads such a configuration imports this
module first, which registers them. ``bin/asr_train`` does so at top level, where spawned workers
find it too.
"""

from __future__ import annotations

import argparse

from espnet2.tasks.asr import ASRTask, encoder_choices, frontend_choices

from espnet_entropy.tasks.unit_task import UnitTask, register

DEFAULT_CTC_WEIGHT = 0.5  # ESPnet's, where model_conf is silent


class UnitASRTask(UnitTask, ASRTask):  # type: ignore[misc]  # espnet2 has no types
    """Speech units to text."""

    @classmethod
    def uses_ctc(cls, args: argparse.Namespace) -> bool:
        """Whether a CTC of ``text`` is trained."""
        return bool(float(args.model_conf.get("ctc_weight", DEFAULT_CTC_WEIGHT)) > 0)


register(frontend_choices, encoder_choices)
