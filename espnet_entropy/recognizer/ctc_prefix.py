"""Log-probability, by CTC, of all texts that begin with a hypothesis: of many hypotheses at once.

What Watanabe et al. 2017 (hybrid CTC/attention, algorithm 2) compute frame by frame. A prefix has
two forward variables: after t groups all of it is said and the last group was its last token
(``nonblank``), or was blank (``blank``). Both are linear recurrences over the groups, which have a
closed form: with step_u the probability of the token (or of blank) at group u,

    path_t = sum over s < t of begin_s · step_{s+1} · … · step_t

so that cumulative sums of logarithms take the place of a loop. In float64, as they grow to minus
some thousands over a long utterance. Only the hypotheses that the search keeps need them; a
candidate for the next token needs one sum over the groups.

Legend: B utterances, R hypotheses of each (the beam), K candidates of each, V vocabulary, M groups.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

BLANK = 0  # ESPnet's, in its CTC loss and its search
DEAD = float("-inf")
LOWEST = torch.finfo(torch.float64).min


class CTCPrefixes:
    """The hypotheses of a search, empty at first.

    Args:
        logp: (B, M, V) float, log-probabilities of CTC; padding may hold anything.
        lengths: (B,) int, groups of each, at least 1.
        beam: R.
        eos: index of the end of a text: no token of CTC, but the probability of the text as it is.
    """

    def __init__(self, logp: torch.Tensor, lengths: torch.Tensor, beam: int, eos: int) -> None:
        B, M, _ = logp.shape
        lengths = lengths.to(logp.device)
        outside = torch.arange(M, device=logp.device) >= lengths[:, None]
        self.eos, self.lengths, self.outside = eos, lengths, outside[:, None]  # (B, 1, M)
        # a row per token: candidates read theirs; of padding only that it is a number counts
        self.logp = logp.masked_fill(outside[:, :, None], 0.0).transpose(1, 2).contiguous()
        self._probability: torch.Tensor | None = None  # (B, M, V) float64, made when asked for
        self.last = torch.full((B, beam), -1, device=logp.device)  # token; -1: none yet
        # log-probabilities after 0 .. M groups, (B, R, M + 1) each
        self.blank = _accumulate(self.logp[:, BLANK].double())[:, None].expand(B, beam, M + 1)
        self.either = self.blank

    def score(self, candidates: torch.Tensor | None = None) -> torch.Tensor:
        """Log-probability of the texts that begin with a hypothesis and a candidate.

        Args:
            candidates: (B, R, K) int, next tokens; ``None`` for the whole vocabulary.

        Returns:
            (B, R, K) or (B, R, V) float64: for ``eos`` of the text that is the hypothesis itself,
            for blank ``-inf``.
        """
        begin = self.either[..., :-1].masked_fill(self.outside, DEAD)  # (B, R, M)
        if candidates is None:
            found = self._all_tokens(begin)
            candidates = torch.arange(found.shape[-1], device=found.device).expand_as(found)
        else:
            found = (begin[:, :, None] + self._rows(candidates)).logsumexp(-1)
        # a token said twice needs a blank between
        apart = self.blank[..., :-1].masked_fill(self.outside, DEAD)
        again = (apart + self._rows(self.last.clamp(min=0))).logsumexp(-1)  # (B, R)
        found = torch.where(candidates == self.last[..., None], again[..., None], found)
        ends = self.lengths[:, None, None].expand(*again.shape, 1)
        found = torch.where(candidates == self.eos, self.either.gather(2, ends), found)
        return found.masked_fill(candidates == BLANK, DEAD)

    def _rows(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, ..., M) float: the log-probabilities of tokens (B, ...) over the groups."""
        utterances = torch.arange(len(tokens), device=tokens.device)
        return self.logp[utterances.view(-1, *[1] * (tokens.dim() - 1)), tokens]

    def _all_tokens(self, begin: torch.Tensor) -> torch.Tensor:
        """(B, R, V): a matrix product; what is lost is below e^-700 of the likeliest."""
        if self._probability is None:
            self._probability = self.logp.transpose(1, 2).double().exp()
        peak = begin.amax(-1, keepdim=True).clamp(min=LOWEST)  # a dead hypothesis has no peak
        total = (begin - peak).exp() @ self._probability
        return total.log() + peak

    def extend(self, parent: torch.Tensor, token: torch.Tensor) -> None:
        """Replace the hypotheses.

        Args:
            parent: (B, R) int in 0 .. R - 1, the hypothesis that each continues.
            token: (B, R) int, by which token; after ``eos`` or blank the scores mean nothing.
        """
        rows = torch.arange(len(parent), device=parent.device)[:, None]
        again = (token == self.last[rows, parent])[..., None]
        begin = torch.where(again, self.blank[rows, parent], self.either[rows, parent])
        nonblank = _paths(begin, self._rows(token).double())
        self.blank = _paths(nonblank, self.logp[:, None, BLANK].double())
        self.either, self.last = torch.logaddexp(nonblank, self.blank), token

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        for name in ("logp", "lengths", "outside", "last", "blank", "either"):
            setattr(self, name, getattr(self, name)[rows])
        if self._probability is not None:
            self._probability = self._probability[rows]


def _accumulate(logp: torch.Tensor) -> torch.Tensor:
    """(..., M) to (..., M + 1): the sums of the first 0 .. M."""
    return F.pad(logp.cumsum(-1), (1, 0))


def _paths(begin: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """The module's ``path``, in logarithms.

    Args:
        begin: (..., M + 1) float64; what begins after the last group goes nowhere.
        step: (..., M) float64, finite.

    Returns:
        (..., M + 1) float64; ``-inf`` after 0 groups.
    """
    passed = _accumulate(step)
    summed = (begin - passed)[..., :-1].logcumsumexp(-1)
    return F.pad(summed + passed[..., 1:], (1, 0), value=DEAD)
