"""CTC over groups: of a coarse rate there may be fewer of them than text tokens.

Then no alignment exists and the loss is infinite. ESPnet's CTC makes it zero in silence: such an
utterance would teach nothing, unseen. Here it is counted and said, and refused where it is the
rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from espnet2.asr.ctc import CTC

MOST_INFEASIBLE = 0.5  # share of the utterances looked at before training
LOOKED_AT = 200  # utterances


def needed(tokens: np.ndarray) -> int:
    """Groups that CTC needs for tokens (L,): one each, and one between two equal ones.

    Example:
        >>> needed(np.array([5, 5, 7]))
        4
    """
    return len(tokens) + int((tokens[1:] == tokens[:-1]).sum())


class InfeasibleCounter:
    """Counts utterances without an alignment; a hook before the CTC's ``forward``.

    Attributes:
        infeasible: so far.
        total: utterances so far.
    """

    def __init__(self) -> None:
        self.infeasible = self.total = 0
        self._next = 1

    def __call__(self, ctc: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Inputs: (B, M, D), (B,), tokens (B, L), (B,)."""
        _, groups, tokens, lengths = inputs
        inside = torch.arange(tokens.size(1), device=tokens.device) < lengths[:, None]
        repeats = ((tokens[:, 1:] == tokens[:, :-1]) & inside[:, 1:]).sum(1)
        short = groups.to(tokens.device) < lengths + repeats
        self.total += len(short)
        self.infeasible += int(short.sum())
        if self.infeasible >= self._next:  # at 1, 2, 4, 8, …
            self._next = 2 * self.infeasible
            logging.warning(
                "CTC: %d of %d utterances so far have fewer groups than their text needs; their "
                "CTC loss counts as 0. Use ctc_weight: 0.0, longer text tokens or a higher rate.",
                self.infeasible,
                self.total,
            )


def guard_ctc(ctc: CTC) -> InfeasibleCounter:
    """Count what has no alignment, in training and validation.

    Raises:
        ValueError: for a CTC whose loss would be infinite there.
    """
    if ctc.ctc_type != "builtin" or not ctc.ctc_loss.zero_infinity:
        raise ValueError(
            f"ctc_conf: ctc_type {ctc.ctc_type} with zero_infinity "
            f"{getattr(ctc.ctc_loss, 'zero_infinity', False)}: an utterance with fewer groups than "
            "tokens would make the loss infinite; expected ctc_type: builtin, zero_infinity: true."
        )
    counter = InfeasibleCounter()
    ctc.register_forward_pre_hook(counter)
    return counter


def check_feasible(
    speech: Mapping[str, np.ndarray],
    text: Mapping[str, str],
    num_groups: Callable[[np.ndarray], int],
    tokens: Callable[[str, str], np.ndarray],
) -> str:
    """Look at some utterances before training.

    Args:
        speech: scored units (N, 2) of the training set.
        text: its transcripts.
        num_groups: groups of an utterance.
        tokens: token ids (L,) of an utterance, from id and transcript.

    Returns:
        A warning, or ``""`` if every utterance has an alignment.

    Raises:
        ValueError: if most have none.
    """
    names = [utt for utt in speech if utt in text]
    step = max(1, len(names) // LOOKED_AT)
    seen = list(islice(names, 0, None, step))
    short = [u for u in seen if num_groups(speech[u]) < needed(tokens(u, text[u]))]
    if not short:
        return ""
    found = (
        f"CTC: {len(short)} of {len(seen)} utterances looked at ({short[0]}, say) have fewer "
        "groups than their text needs"
    )
    remedy = "use model_conf: {ctc_weight: 0.0}, longer text tokens (BPE) or a higher rate."
    if len(short) > MOST_INFEASIBLE * len(seen):
        raise ValueError(f"{found}: CTC would learn from the rest alone; {remedy}")
    return f"{found}; their CTC loss will count as 0. To avoid it, {remedy}"


def ctc_modules(model: Any) -> list[CTC]:
    """The CTC modules of ESPnet's ASR or ST model that are in use."""
    found = [getattr(model, name, None) for name in ("ctc", "st_ctc")]
    return [module for module in found if isinstance(module, CTC)]
