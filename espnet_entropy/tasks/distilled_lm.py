"""``model: distilled_lm``: an entropy LM that learns from a larger one (ESPnet's LM task).

The boundaries of groups come from the whole distribution over the next unit, of which a corpus
shows one unit at a time; the larger LM shows all of it. What the segmenter reads of it is the
entropy alone, so that can be asked for besides. Legend: B lines, L tokens, T of them real, K units.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from espnet2.lm.abs_model import AbsLM
from espnet2.lm.espnet_model import ESPnetLanguageModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_entropy.entropy_lm.config import EntropyLMConfig, read_card
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.utils.config import read_yaml, write_yaml

NOTE = "teacher.yaml"
WEIGHT = 1.0
ENTROPY_WEIGHT = 0.0


class DistilledLM(ESPnetLanguageModel):  # type: ignore[misc]  # espnet2 has no types
    """Loss: ``weight`` · KL(teacher ‖ student) + (1 - ``weight``) · cross-entropy, nats per token,
    + ``entropy_weight`` · |H(student) - H(teacher)|, nats per unit.

    H is what the scorer computes: over the K units alone, wherever a unit follows. The difference
    is not squared: it begins at several nats, and its square would outweigh all else for epochs.

    The teacher is in no checkpoint: it is read from its directory wherever training goes on.

    Args:
        lm: the student, ``lm: entropy_lm``.
        vocab_size: K + 1.
        ignore_id: as in ESPnet's model.
        teacher: directory of an exported entropy LM on the same units.
        weight: of the teacher, 0..1.
        entropy_weight: of the difference of the entropies, 0 or more.

    Raises:
        ValueError: if the teacher is missing, or a weight is out of range.
    """

    def __init__(
        self,
        lm: AbsLM,
        vocab_size: int,
        ignore_id: int = 0,
        teacher: str = "",
        weight: float = WEIGHT,
        entropy_weight: float = ENTROPY_WEIGHT,
    ) -> None:
        super().__init__(lm, vocab_size, ignore_id)
        if not 0 <= weight <= 1:
            raise ValueError(f"model_conf: weight: expected 0 to 1, got {weight}.")
        if not 0 <= entropy_weight < float("inf"):
            raise ValueError(
                f"model_conf: entropy_weight: expected 0 or more, got {entropy_weight}."
            )
        if not teacher:
            raise ValueError(
                "model_conf: teacher: name the directory of an exported entropy LM "
                "(exp/entropy_lm/export of the larger one)."
            )
        self.weight, self.entropy_weight = weight, entropy_weight
        # in a list: not a submodule, so neither trained nor saved
        self._teacher = [EntropyLM.from_pretrained(teacher).requires_grad_(False).eval()]

    @property
    def teacher(self) -> EntropyLM:
        """The larger LM."""
        return self._teacher[0]

    def forward(
        self, text: torch.Tensor, text_lengths: torch.Tensor, **kwargs: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss of packed lines.

        Args:
            text: (B, L) int units and ``<sos/eos>``, padded with any id.
            text_lengths: (B,) int.
            kwargs: what ESPnet passes besides; not used.

        Returns:
            Loss (scalar, nats per token), statistics ``loss``, ``nll``, ``kl`` and
            ``entropy_gap`` (mean, nats), and the number of tokens.
        """
        text = text[:, : int(text_lengths.max())]
        inputs = torch.nn.functional.pad(text, [1, 0], value=self.sos)
        targets = torch.nn.functional.pad(text, [0, 1], value=self.ignore_id)
        targets.scatter_(1, text_lengths[:, None], self.sos)
        positions = torch.arange(inputs.shape[1], device=text.device)
        real = positions <= text_lengths[:, None]  # (B, L + 1)
        log_p = self.lm(inputs, None)[0][real].float().log_softmax(-1)  # (T, K + 1)
        log_q = self._teach(inputs)[real].float().log_softmax(-1)
        nll = -log_p.gather(1, targets[real][:, None]).mean()
        kl = (log_q.exp() * (log_q - log_p)).sum(-1).mean()
        gap = (unit_entropy(log_p) - unit_entropy(log_q))[targets[real] != self.sos]
        gap = gap.abs().mean()
        loss = self.weight * kl + (1 - self.weight) * nll + self.entropy_weight * gap
        stats = {"loss": loss, "nll": nll, "kl": kl, "entropy_gap": gap}
        found: tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor] = force_gatherable(
            (loss, {name: value.detach() for name, value in stats.items()}, real.sum()), loss.device
        )
        return found

    @torch.no_grad()
    def _teach(self, inputs: torch.Tensor) -> torch.Tensor:
        """The teacher's logits (B, L + 1, K + 1)."""
        teacher = self._teacher[0] = self.teacher.to(inputs.device)
        logits: torch.Tensor = teacher(inputs)
        return logits


def unit_entropy(log_p: torch.Tensor) -> torch.Tensor:
    """Entropy over the K units alone, as :meth:`EntropyLM.entropy`: (T, K + 1) -> (T,) nats."""
    log_units = log_p[:, :-1].log_softmax(-1)
    return -(log_units.exp() * log_units).sum(-1)


def check_teacher(
    conf: Mapping[str, Any], packed: Mapping[str, Any], config: EntropyLMConfig, out: Path
) -> None:
    """Refuse a teacher of other units, one that sees too little, or another than before.

    Args:
        conf: ``model_conf``.
        packed: ``meta.yaml`` of packed lines.
        config: of the student.
        out: directory of the training, where ``teacher.yaml`` notes who teaches.

    Raises:
        ValueError: naming what differs.
    """
    teacher = conf["teacher"]
    card = read_card(teacher)
    if card.tokenizer != packed["tokenizer"]:
        raise ValueError(
            f"model_conf: teacher: {teacher} knows the units of tokenizer {card.tokenizer}, the "
            f"lines are of {packed['tokenizer']}; take one that was trained on these units."
        )
    if card.model.context < config.context or card.model.dedup != config.dedup:
        raise ValueError(
            f"model_conf: teacher: {teacher} has context {card.model.context} and dedup "
            f"{card.model.dedup}, the student {config.context} and {config.dedup}; expected at "
            "least the student's context, and the same dedup."
        )
    now = {
        "teacher": card.fingerprint,
        "weight": conf.get("weight", WEIGHT),
        "entropy_weight": conf.get("entropy_weight", ENTROPY_WEIGHT),
    }
    before = read_yaml(out / NOTE) if (out / NOTE).is_file() else now
    # older notes do not name the entropies, which were not asked for
    if {"entropy_weight": ENTROPY_WEIGHT, **before} != now:
        raise ValueError(
            f"{out}: was begun with another teacher or other weights ({before}, now {now}); train "
            "in another directory, or remove this one."
        )
    write_yaml(out / NOTE, now)
