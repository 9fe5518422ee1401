"""What ASR and ST on units share: settings that belong together, checked before training."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from espnet_entropy.cale.config import CaleConfig, PoolingConfig
from espnet_entropy.entropy_lm.export import load_checkpoint
from espnet_entropy.tasks.batches import LeanBatches
from espnet_entropy.tasks.check_call import CheckedCall
from espnet_entropy.tasks.checkpoints import atomic_checkpoints, mend_links
from espnet_entropy.tasks.ctc import check_feasible, ctc_modules, guard_ctc
from espnet_entropy.tasks.data_types import ScoredReader, register_data_types
from espnet_entropy.tasks.encoders import CALEEncoder, UnitPoolingEncoder
from espnet_entropy.tasks.espnet_keys import translate_encoder, translate_frontend
from espnet_entropy.tasks.frontend import UnitFrontend
from espnet_entropy.tasks.frontend_conf import Source, dump_source, resolve_frontend
from espnet_entropy.tasks.masking import MaskingConfig
from espnet_entropy.tasks.schedulers import register_scheduler
from espnet_entropy.utils.config import naming
from espnet_entropy.utils.scp import read_table

FRONTEND = "units"
ENCODERS: dict[str, tuple[type, type]] = {
    "cale": (CALEEncoder, CaleConfig),
    "unit_pooling": (UnitPoolingEncoder, PoolingConfig),
}
# What ESPnet does to waveforms or features, and would do to units
HARMFUL = ("rir_scp", "noise_scp", "speech_volume_normalize", "preencoder", "input_size")


def register(frontend_choices: Any, encoder_choices: Any) -> None:
    """Make frontend and encoders known to one of ESPnet's tasks; may be called again."""
    frontend_choices.classes[FRONTEND] = UnitFrontend
    for name, (encoder, _) in ENCODERS.items():
        encoder_choices.classes[name] = encoder
    register_data_types()
    register_scheduler()


class UnitTask(CheckedCall, LeanBatches):
    """Mixed in before ESPnet's ``ASRTask`` or ``STTask``.

    What it saves is whole or absent, even after SIGKILL.
    """

    said: ClassVar[list[str]] = []

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train in this process; ESPnet calls it in each one.

        Raises:
            ValueError: for settings, dumps or models that do not belong together.
        """
        with naming(args.config):
            cls.said = settle(args, dump_sources(args) if args.frontend == FRONTEND else ())
            if args.frontend == FRONTEND:
                cls.check_ctc(args)
        for path in args.init_param:  # ESPnet would run what a foreign pickle says
            load_checkpoint(Path(path.split(":")[0]))
        with atomic_checkpoints():
            super().main_worker(args)  # type: ignore[misc]
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            mend_links(args.output_dir, args.best_model_criterion)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> Any:
        """ESPnet's model, with its CTC guarded; called for training and for inference."""
        for line in cls.said + settle(args):  # here: in main_worker logging was not set up yet
            logging.warning(line)
        cls.said = []
        with naming(getattr(args, "config", None)):
            model = super().build_model(args)  # type: ignore[misc]
            for ctc in ctc_modules(model) if args.frontend == FRONTEND else ():
                guard_ctc(ctc)
        return model

    @classmethod
    def uses_ctc(cls, args: argparse.Namespace) -> bool:
        """Whether a CTC of ``text`` is trained."""
        raise NotImplementedError

    @classmethod
    def check_ctc(cls, args: argparse.Namespace) -> None:
        """Refuse CTC where most texts are longer than their groups.

        Raises:
            ValueError: naming how many, and an utterance.
        """
        kinds = ("scored", "kaldi_ark", "text")
        paths = {name: path for path, name, kind in data_of(args, "train") if kind in kinds}
        if not cls.uses_ctc(args) or not {"speech", "text"} <= paths.keys():
            return
        frontend = UnitFrontend(**args.frontend_conf)
        process = cls.build_preprocess_fn(args, train=False)  # type: ignore[attr-defined]

        def num_groups(matrix: np.ndarray) -> int:
            length = torch.tensor([len(matrix)])
            feats, _ = frontend(torch.from_numpy(np.array(matrix))[None], length)
            return int(feats[..., 1].max()) + 1

        def tokens(utt: str, text: str) -> np.ndarray:
            return np.asarray(process(utt, {"text": text})["text"])

        if process is not None:
            text = read_table(paths["text"], allow_empty=True)
            warning = check_feasible(ScoredReader(paths["speech"]), text, num_groups, tokens)
            if warning:
                # not logging.warning: that would set logging up before ESPnet does
                logging.getLogger(__name__).warning(warning)


def data_of(args: argparse.Namespace, mode: str) -> list[tuple[str, str, str]]:
    """(path, name, type) of ``train`` or ``valid`` data."""
    return [tuple(item) for item in getattr(args, f"{mode}_data_path_and_name_and_type")]


def dump_sources(args: argparse.Namespace) -> list[Source]:
    """What the sets that are trained on say of themselves."""
    items = [item for mode in ("train", "valid") for item in data_of(args, mode)]
    return [dump_source(path) for path, name, kind in items if name == "speech" and kind != "sound"]


def settle(args: argparse.Namespace, dumps: Sequence[Source] = ()) -> list[str]:
    """Settle what ``frontend: units`` and our encoders ask for; in place, and once.

    Args:
        args: ESPnet's, of a training or of a ``config.yaml``.
        dumps: the sets that are trained on; none when a ``config.yaml`` is loaded.

    Returns:
        A line for each setting that was changed.

    Raises:
        ValueError: for settings that cannot work, an unknown key, or a dump that the model does
            not fit.
    """
    own = args.encoder in ENCODERS
    if own != (args.frontend == FRONTEND):
        raise ValueError(
            f"frontend {args.frontend} with encoder {args.encoder}: 'frontend: {FRONTEND}' and "
            f"'encoder: {' | '.join(ENCODERS)}' go together."
        )
    if not own:
        return []
    said: list[str] = []
    _refuse_harmful(args)
    for name in ("normalize", "specaug"):
        if getattr(args, name) is not None:
            said.append(
                f"{name}: {getattr(args, name)} is set to null: it would change the units"
                + (" (mask_units in encoder_conf masks them)" if name == "specaug" else "")
            )
            setattr(args, name, None)
            setattr(args, f"{name}_conf", {})
    config = ENCODERS[args.encoder][1]
    known = tuple(f.name for f in (*dataclasses.fields(config), *dataclasses.fields(MaskingConfig)))
    args.encoder_conf, lines = translate_encoder(args.encoder_conf, known)
    said += lines
    conf, lines = translate_frontend(args.frontend_conf)
    said += lines
    args.frontend_conf = resolve_frontend(conf, dumps)
    return said


def _refuse_harmful(args: argparse.Namespace) -> None:
    for name in HARMFUL:
        if getattr(args, name, None) is not None:
            raise ValueError(
                f"{name}: {getattr(args, name)} with frontend {FRONTEND}: it would change the "
                "units or never reach them; remove it."
            )
    if getattr(args, "train_dtype", None) in ("float16", "bfloat16"):
        raise ValueError(
            f"train_dtype: {args.train_dtype} cannot hold units above 2048; use float32 with "
            "use_amp: true."
        )
