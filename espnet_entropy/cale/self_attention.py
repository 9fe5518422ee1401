"""Attention among the units of an utterance: all of them, or a window about each.

T units end to end, H heads, d width of a head. Each maker below is called once per batch and
returns a function of query, key and value, (T, H, d) each, that all layers share.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from espnet_entropy.cale.ragged import Ragged

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# Queries that share their keys in windowed attention. Larger blocks waste keys less often
# (block + 2 windows of them serve a block), smaller ones mask fewer.
BLOCK = 64


def full_attention(ragged: Ragged) -> Attend:
    """Every unit attends to its whole utterance.

    On a CPU one call per utterance is faster than any padding (120 to 250 units: 12 ms for 16
    utterances, 21 with padding), and what lies beside an utterance cannot touch it. On a GPU, and
    within ``torch.compile``, which would compile each list of sizes anew, the utterances are
    padded and masked.
    """
    if torch.compiler.is_compiling() or ragged.index.device.type != "cpu":
        return _padded_attention(ragged)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        sizes, outs = list(ragged.sizes), []
        for qkv in zip(*(torch.split(x, sizes) for x in (query, key, value)), strict=True):
            q, k, v = (x.transpose(0, 1)[None] for x in qkv)  # (n, H, d) -> (1, H, n, d)
            outs.append(F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1))
        return torch.cat(outs)

    return attend


def _padded_attention(ragged: Ragged) -> Attend:
    B, N = ragged.batch, ragged.units
    places = ragged.utterance * N + ragged.position
    valid = torch.zeros(B * N, dtype=torch.bool, device=places.device)
    valid = valid.index_fill(0, places, True).view(B, 1, 1, N)  # True where a key may be seen

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        H, d = query.shape[1:]
        q, k, v = (
            # (T, H, d) -> (B, H, N, d)
            x.new_zeros(B * N, H, d).index_copy(0, places, x).view(B, N, H, d).transpose(1, 2)
            for x in (query, key, value)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=valid)
        return out.transpose(1, 2).reshape(B * N, H, d).index_select(0, places)

    return attend


def window_attention(ragged: Ragged, window: int) -> Attend:
    """Every unit attends to those at most ``window`` away in its utterance; linear in T.

    The flat axis is cut into blocks of queries, each with the keys of the block and of a window
    on either side. What lies in another utterance or too far is masked, so that the place of an
    utterance among the blocks, and hence the batch, changes nothing.
    """
    block = max(BLOCK, window)
    T = len(ragged.utterance)
    blocks = -(-T // block)
    after = blocks * block - T + window
    # (blocks, block, block + 2 window): same utterance; -1 in the margins is none, though
    # queries there see the margin, for a row without any key would be NaN
    utterance = F.pad(ragged.utterance, (window, after), value=-1)
    keys_of = utterance.unfold(0, block + 2 * window, block)
    queries_of = utterance[window : window + blocks * block].view(blocks, block)
    distance = (
        torch.arange(block + 2 * window, device=utterance.device)
        - torch.arange(block, device=utterance.device)[:, None]
        - window
    )
    mask = (queries_of[:, :, None] == keys_of[:, None]) & (distance.abs() <= window)
    mask = mask[:, None]  # (blocks, 1, block, block + 2 window)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        H, d = query.shape[1:]
        q = F.pad(query, (0, 0, 0, 0, 0, after - window)).view(blocks, block, H, d).transpose(1, 2)
        k, v = (
            # (T, H, d) -> (blocks, H, block + 2 window, d)
            F.pad(x, (0, 0, 0, 0, window, after))
            .unfold(0, block + 2 * window, block)
            .transpose(2, 3)
            for x in (key, value)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out.transpose(1, 2).reshape(blocks * block, H, d)[:T]

    return attend


def rotations(positions: torch.Tensor, size: int, theta: float = 10000.0) -> torch.Tensor:
    """(T, 1, size / 2, 2) float32: cosine and sine of rotary embedding (Su et al., 2023).

    Args:
        positions: (T,) int64, index of each unit in its utterance.
        size: d, width of a head; even.
        theta: base of the wavelengths.
    """
    powers = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
    angles = positions[:, None].float() * theta**-powers
    return torch.stack([angles.cos(), angles.sin()], -1)[:, None]


def rotate(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn neighbouring pairs of (T, H, d) by :func:`rotations`."""
    pairs = x.view(*x.shape[:2], -1, 2)
    if x.dtype == torch.float32 and not torch.compiler.is_compiling():
        # one pass instead of six: 0.2 instead of 1.6 ms for 2000 units of 512
        return torch.view_as_real(
            torch.view_as_complex(pairs) * torch.view_as_complex(turns)
        ).flatten(-2)
    cos, sin = turns.to(x.dtype).unbind(-1)
    a, b = pairs.unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
