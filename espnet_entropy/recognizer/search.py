"""The best text for encoded speech: beam search with decoder, CTC or both, many utterances at once.

It finds the hypothesis that ESPnet's ``BatchBeamSearch`` finds with ``maxlenratio=-max_length``,
but for two things. It stops as soon as no running hypothesis can win any more: scores are sums of
log-probabilities, so that a hypothesis only loses by growing (but for ``length_bonus``); ESPnet's
goes on to the limit. And what CTC makes impossible is dead: ESPnet's gives it e^-1e10, takes that
back with the next token, and so lets blank into a text where the beam is about the vocabulary.

Legend: B utterances, R hypotheses of each (the beam), K candidates of each, V vocabulary, L tokens
so far, M groups, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from espnet_entropy.recognizer.cached_decoder import CachedDecoder, cached_decoder
from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.ctc_prefix import CTCPrefixes

DEAD = float("-inf")
PRE_BEAM = 1.5  # candidates per hypothesis of the beam that CTC looks at: ESPnet's


@dataclass(frozen=True)
class Hypothesis:
    """The best text of one utterance.

    Attributes:
        tokens: vocabulary indices without ``<sos/eos>``.
        score: weighted sum of log-probabilities, the end included.
        truncated: whether ``max_length`` cut it.
    """

    tokens: list[int]
    score: float
    truncated: bool


@torch.no_grad()
def search(
    model: Any, memory: torch.Tensor, lengths: torch.Tensor, config: DecodingConfig
) -> list[Hypothesis]:
    """The best hypothesis of each utterance.

    Args:
        model: an ``ESPnetASRModel`` in evaluation mode.
        memory: (B, M, D) float, the encoder's output; padding may hold anything finite.
        lengths: (B,) int, groups of each, at least 1.
        config: with ``ctc_weight`` decided.

    Returns:
        B hypotheses, of each what it would have alone.
    """
    assert config.ctc_weight is not None, config
    lengths = lengths.to(memory.device)
    ctc = None
    if config.ctc_weight > 0:
        logp = model.ctc.log_softmax(memory)
        ctc = CTCPrefixes(logp, lengths, config.beam_size, model.eos)
    if config.ctc_weight == 1:
        return _search(model, None, ctc, lengths, config)
    with cached_decoder(model.decoder, memory, lengths, config.beam_size) as decoder:
        return _search(model, decoder, ctc, lengths, config)


def _search(
    model: Any,
    decoder: CachedDecoder | None,
    ctc: CTCPrefixes | None,
    lengths: torch.Tensor,
    config: DecodingConfig,
) -> list[Hypothesis]:
    B, R, device = len(lengths), config.beam_size, lengths.device
    best = [Hypothesis([], DEAD, False)] * B
    found = torch.full((B,), DEAD, device=device)  # its score
    rows = torch.arange(B, device=device)  # the utterances that are still searched
    tokens = torch.full((B, R, 1), model.sos, device=device)  # (B, R, L), the start included
    text = torch.full((B, R), DEAD, device=device)  # what decoder and bonus give
    text[:, 0] = 0.0  # one hypothesis to start from; what is dead keeps its place in the beam
    limit = torch.full_like(lengths, config.max_length)  # of tokens, the end included
    if ctc is not None:
        limit = limit.minimum(lengths + 1)
    for length in range(1, config.max_length + 1):
        score, parent, token, text = _continue(text, tokens, decoder, ctc, config, model.eos)
        tokens = torch.cat([_pick(tokens, parent), token[:, :, None]], 2)
        cut = length == config.max_length
        found = _keep_best(best, found, rows, tokens, score, model.eos, cut)
        ended = token == model.eos
        score, text = score.masked_fill(ended, DEAD), text.masked_fill(ended, DEAD)
        # whether a running hypothesis, at its very best, beats the best that ended
        more = max(0.0, config.length_bonus) * (limit - length)
        going = score.amax(1) + more > found
        if cut or not going.any():
            break
        if decoder is not None:
            decoder.reorder(parent)
        if ctc is not None:
            ctc.extend(parent, token)
        if not going.all():
            rows, tokens, text, found, limit = (
                state[going] for state in (rows, tokens, text, found, limit)
            )
            for scorer in (decoder, ctc):
                if scorer is not None:
                    scorer.keep(going)
    return best


def _pick(states: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """states (B, K, ...) of the chosen (B, R)."""
    return states[torch.arange(len(chosen), device=chosen.device)[:, None], chosen]


def _continue(
    text: torch.Tensor,
    tokens: torch.Tensor,
    decoder: CachedDecoder | None,
    ctc: CTCPrefixes | None,
    config: DecodingConfig,
    eos: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Score, parent, newest token and ``text`` of the best continuations, (B, R) each."""
    R, weight = config.beam_size, config.ctc_weight
    assert weight is not None, config
    total = text[:, :, None] + config.length_bonus
    if decoder is not None:
        total = total + (1 - weight) * decoder.step(tokens[:, :, -1])  # (B, R, V)
    if ctc is None:
        score, picked = total.flatten(1).topk(R)
        V = total.shape[2]
        return score, picked // V, picked % V, score
    candidates = None
    if decoder is not None and int(PRE_BEAM * R) < total.shape[2]:
        total, candidates = _pre_beam(total, R, eos)  # (B, R, K)
    joint = total + weight * ctc.score(candidates)
    K = joint.shape[2]
    score, picked = joint.flatten(1).topk(R)
    token = picked % K if candidates is None else _pick(candidates.flatten(1), picked)
    return score, picked // K, token, _pick(total.expand_as(joint).flatten(1), picked)


def _pre_beam(total: torch.Tensor, beam: int, eos: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and candidates (B, R, K) for CTC to look at: the decoder's best, and the end."""
    found, candidates = total.topk(int(PRE_BEAM * beam), dim=2)
    end = torch.full_like(candidates[:, :, :1], eos)
    found = found.masked_fill(candidates == eos, DEAD)  # not twice
    return torch.cat([found, total.gather(2, end)], 2), torch.cat([candidates, end], 2)


def _keep_best(
    best: list[Hypothesis],
    found: torch.Tensor,
    rows: torch.Tensor,
    tokens: torch.Tensor,
    score: torch.Tensor,
    eos: int,
    cut: bool,
) -> torch.Tensor:
    """Note those of tokens (B, R, L) that ended, or are cut, and beat what ``best`` has.

    Returns:
        (B,) float, the scores of the best so far.
    """
    ended = tokens[:, :, -1] == eos
    value, slot = score.masked_fill(~(ended | cut), DEAD).max(1)
    for b in (value > found).nonzero()[:, 0].tolist():
        r = int(slot[b])
        whole = bool(ended[b, r])
        said = tokens[b, r, 1:-1] if whole else tokens[b, r, 1:]
        best[int(rows[b])] = Hypothesis(said.tolist(), float(value[b]), truncated=not whole)
    return torch.maximum(found, value)
