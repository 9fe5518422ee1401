"""ESPnet's transformer decoder, one token at a time, that projects nothing twice.

Its own ``forward_one_step`` projects the encoder's output for each hypothesis and each token again,
and all that was said so far for each token again. Here keys and values are kept: those of the
encoder's output once per utterance, those of a token once, when it is said.

What was said is kept as a tree. Hypotheses that continue one and the same share its tokens, so
that nothing is copied when the beam is reordered: each attends to the tokens of all hypotheses of
its utterance, masked to its own line of ancestors.

The model's own layers are patched while a search runs: one search at a time per model, as neither
threads nor nested searches may share it.

Legend: B utterances, R hypotheses of each (the beam), V vocabulary, L tokens said, M groups,
D width, H heads, d = D / H.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

FIRST_ROOM = 16  # tokens for which there is room at first; it doubles


def _heads(attention: Any, x: torch.Tensor) -> torch.Tensor:
    """(B, L, D) to (B, H, L, d)."""
    return x.view(*x.shape[:2], attention.h, -1).transpose(1, 2)


def _attend(
    attention: Any,
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Attention of query (B·R, 1, D) to keys and values (B, H, L, d) where mask is true.

    The hypotheses of one utterance stand side by side as if they were times.
    """
    B, D = len(keys), query.shape[-1]
    heads = attention.q_norm(_heads(attention, attention.linear_q(query).view(B, -1, D)))
    out = F.scaled_dot_product_attention(heads, keys, values, mask)  # (B, H, R, d)
    merged: torch.Tensor = attention.linear_out(out.transpose(1, 2).reshape(-1, 1, D))
    return merged


class MemoryAttention:
    """Stands for ``src_attn`` of one decoder layer: attention to the encoder's output.

    Args:
        attention: ESPnet's ``MultiHeadedAttention``.
        memory: (B, M, D) float.
        mask: (B, 1, 1, M) bool, true where there is a group.
    """

    def __init__(self, attention: Any, memory: torch.Tensor, mask: torch.Tensor) -> None:
        self.attention, self.mask = attention, mask
        self.keys = attention.k_norm(_heads(attention, attention.linear_k(memory)))
        self.values = _heads(attention, attention.linear_v(memory))

    def __call__(self, query: torch.Tensor, *_: object) -> torch.Tensor:
        """Attention of query (B·R, 1, D) to the memory of its utterance."""
        return _attend(self.attention, query, self.keys, self.values, self.mask)

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        self.keys, self.values, self.mask = self.keys[rows], self.values[rows], self.mask[rows]


class Ancestors:
    """Which of the tokens that were said each hypothesis consists of.

    Attributes:
        mask: (B, 1, R, L·R) bool; the L-th R columns are the tokens that were said L-th.
    """

    def __init__(self, utterances: int, beam: int, device: torch.device) -> None:
        self._own = torch.eye(beam, dtype=torch.bool, device=device)[None, None]
        self.mask = self._own.new_zeros(utterances, 1, beam, 0)

    def say(self) -> None:
        """Each hypothesis says one more token."""
        self.mask = torch.cat([self.mask, self._own.expand(len(self.mask), -1, -1, -1)], -1)

    def reorder(self, parent: torch.Tensor) -> None:
        """Let each hypothesis continue parent (B, R), in 0 .. R - 1."""
        utterances = torch.arange(len(parent), device=parent.device)[:, None]
        self.mask = self.mask[utterances, 0, parent][:, None]

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        self.mask = self.mask[rows]


class TextAttention:
    """Stands for ``self_attn`` of one decoder layer: attention to what was said.

    Args:
        attention: ESPnet's ``MultiHeadedAttention``.
        ancestors: of the hypotheses; has the token that is being said.
    """

    def __init__(self, attention: Any, ancestors: Ancestors) -> None:
        self.attention, self.ancestors = attention, ancestors
        self._said: torch.Tensor | None = None  # (2, B, H, room, d), keys and values

    def __call__(self, query: torch.Tensor, *_: object) -> torch.Tensor:
        """Attention of the newest tokens (B·R, 1, D) to their ancestors and themselves."""
        mask = self.ancestors.mask
        B, R, total = len(mask), mask.shape[2], mask.shape[3]
        x = query.view(B, R, -1)
        keys = self.attention.k_norm(_heads(self.attention, self.attention.linear_k(x)))
        said = self._room(total, keys)
        said[0, :, :, total - R : total] = keys
        said[1, :, :, total - R : total] = _heads(self.attention, self.attention.linear_v(x))
        return _attend(self.attention, query, said[0, :, :, :total], said[1, :, :, :total], mask)

    def _room(self, total: int, like: torch.Tensor) -> torch.Tensor:
        """``_said`` with room for so many tokens; ``like`` is (B, H, R, d)."""
        if self._said is None:
            B, H, R, d = like.shape
            self._said = like.new_empty(2, B, H, FIRST_ROOM * R, d)
        while self._said.shape[3] < total:
            self._said = torch.cat([self._said, torch.empty_like(self._said)], 3)
        return self._said

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        if self._said is not None:
            self._said = self._said[:, rows]


class CachedDecoder:
    """The decoder over the hypotheses of a search; made by :func:`cached_decoder`."""

    def __init__(
        self, decoder: Any, memory: torch.Tensor, lengths: torch.Tensor, beam: int
    ) -> None:
        groups = torch.arange(memory.shape[1], device=memory.device)
        mask = (groups < lengths.to(memory.device)[:, None])[:, None, None, :]
        self.decoder, self.length = decoder, 0
        self.ancestors = Ancestors(len(memory), beam, memory.device)
        self.memory = [MemoryAttention(layer.src_attn, memory, mask) for layer in decoder.decoders]
        self.text = [TextAttention(layer.self_attn, self.ancestors) for layer in decoder.decoders]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Say a token in each hypothesis.

        Args:
            tokens: (B, R) int; first the start.

        Returns:
            (B, R, V) float, log-probabilities of the next token.
        """
        self.ancestors.say()
        self.length += 1
        x = self._embed(tokens.reshape(-1, 1))  # (B·R, 1, D)
        for layer in self.decoder.decoders:
            x, *_ = layer(x, None, None, None)
        if self.decoder.normalize_before:
            x = self.decoder.after_norm(x)
        logp: torch.Tensor = self.decoder.output_layer(x).log_softmax(-1)
        return logp.view(*tokens.shape, -1)

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """ESPnet's sinusoids, but of the position at hand: its module begins with the first."""
        embedding, position = self.decoder.embed
        x = embedding(tokens)
        position.extend_pe(x.expand(-1, self.length, -1))
        found: torch.Tensor = x * position.xscale + position.pe[:, self.length - 1 : self.length]
        return found

    def reorder(self, parent: torch.Tensor) -> None:
        """Let each hypothesis continue parent (B, R), in 0 .. R - 1."""
        self.ancestors.reorder(parent)

    def keep(self, rows: torch.Tensor) -> None:
        """Drop the utterances that are not in rows (B,) bool."""
        self.ancestors.keep(rows)
        for memory, text in zip(self.memory, self.text, strict=True):
            memory.keep(rows)
            text.keep(rows)


@contextmanager
def cached_decoder(
    decoder: Any, memory: torch.Tensor, lengths: torch.Tensor, beam: int
) -> Iterator[CachedDecoder]:
    """Within the context the decoder's layers attend to one search's memory and texts alone.

    Args:
        decoder: ESPnet's ``TransformerDecoder`` in evaluation mode.
        memory: (B, M, D) float; padding may hold anything finite.
        lengths: (B,) int, at least 1.
        beam: R.
    """
    cached = CachedDecoder(decoder, memory, lengths, beam)
    for layer, text, source in zip(decoder.decoders, cached.text, cached.memory, strict=True):
        # an attribute of the instance hides the method
        layer.self_attn.forward, layer.src_attn.forward = text, source
    try:
        yield cached
    finally:
        for layer in decoder.decoders:
            del layer.self_attn.forward, layer.src_attn.forward
