"""ESPnet's speech translation task with ``frontend: units`` and our encoders.

As :mod:`espnet_entropy.tasks.asr`; importing this module registers them with the ST task.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from espnet2.tasks.st import STTask, encoder_choices, frontend_choices

from espnet_entropy.tasks.unit_task import UnitTask, register

# ESPnet's ST model wants a list of source tokens even where it has no use for one
NO_SOURCE = ["<blank>", "<unk>", "<sos/eos>"]
SOURCE_WEIGHTS = ("asr_weight", "mt_weight")


class UnitSTTask(UnitTask, STTask):  # type: ignore[misc]  # espnet2 has no types
    """Speech units to text of another language; without source texts unless asked for."""

    @classmethod
    def uses_ctc(cls, args: argparse.Namespace) -> bool:
        """Whether a CTC of ``text`` is trained."""
        return bool(float(args.model_conf.get("st_mtlalpha", 0.0)) > 0)

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train in this process; see :class:`UnitTask`."""
        fill_source(args)
        super().main_worker(args)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> Any:
        """ESPnet's model; see :class:`UnitTask`."""
        if args.src_token_list == NO_SOURCE:
            logging.info("no source texts: src_token_list is a dummy, which nothing reads")
        return super().build_model(args)


def fill_source(args: argparse.Namespace) -> None:
    """A dummy source token list where source texts are neither given nor needed.

    Raises:
        ValueError: if a task on source texts is asked for without their tokens.
    """
    if args.src_token_list is not None:
        return
    for name in SOURCE_WEIGHTS:
        if float(args.model_conf.get(name, 0.0)) > 0:
            raise ValueError(
                f"model_conf: {name} {args.model_conf[name]} needs source texts: give "
                "--src_token_list (and src_text in the data), or set it to 0.0."
            )
    args.src_token_list = list(NO_SOURCE)
    args.src_token_type, args.src_bpemodel = "char", None


register(frontend_choices, encoder_choices)
