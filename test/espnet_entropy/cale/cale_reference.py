"""CALE written from the equations of section 3.4 and NOTES 4: dense masks, loops, no tricks.

One utterance at a time, N units and M groups; weights are read from the module under test.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from espnet_entropy.cale import CALE


def encode(cale: CALE, units: Tensor, groups: Tensor) -> Tensor:
    """(N,) units and group ids of one utterance -> (M, D)."""
    if cale.config.paper_exact:
        return printed(cale, units, groups)
    return default(cale, units, groups)


def printed(cale: CALE, units: Tensor, groups: Tensor) -> Tensor:
    """Word by word; a loop over groups."""
    e = cale.embedding.weight[units]
    vectors = []
    for j in range(int(groups[-1]) + 1):
        g_j = (groups == j).nonzero()[:, 0]
        if len(g_j) == 0:
            vectors.append(torch.zeros_like(e[0]))
            continue
        p = e[g_j].amax(0) + group_time(cale, g_j)
        for layer in cale.cross:
            q = layer_norm(layer.query_norm, layer.query.weight @ p)
            k = [layer_norm(layer.key_norm, layer.key.weight @ e[i]) for i in g_j]
            v = [layer_norm(layer.value_norm, layer.value.weight @ e[i]) for i in g_j]
            powers = [torch.exp(q @ k_i / math.sqrt(len(p))) for k_i in k]
            z = sum(x / sum(powers) * v_i for x, v_i in zip(powers, v, strict=True))
            p = p + layer.out.weight @ z
        vectors.append(p)
    return torch.stack(vectors)


def convolved(cale: CALE, e: Tensor) -> Tensor:
    """torch's own convolution over one utterance; its weights are (out, in, kernel)."""
    assert cale.convolution is not None
    weight = cale.convolution.weight.permute(2, 1, 0)
    y = nn.functional.conv1d(e.T[None], weight, cale.convolution.bias, padding="same")
    return torch.relu(y[0].T)


def default(cale: CALE, units: Tensor, groups: Tensor) -> Tensor:
    """Token blocks and multi-head cross-attention with (N, N) and (M, N) masks."""
    config, N = cale.config, len(units)
    M = int(groups[-1]) + 1
    own = groups[None] == torch.arange(M)[:, None]  # (M, N)
    h = cale.embedding.weight[units]
    if config.conv:
        h = h + convolved(cale, h)
    p = torch.stack(
        [
            h[row].amax(0) + group_time(cale, row.nonzero()[:, 0]) if row.any() else 0 * h[0]
            for row in own
        ]
    )
    distance = (torch.arange(N)[:, None] - torch.arange(N)).abs()
    seen = distance <= (config.window if config.token_update == "window" else N)
    for number, cross in enumerate(cale.cross):
        if config.token_update != "none":
            h = token_block(cale.blocks[number], h, seen, config.rope)
        q = layer_norm(cross.group_norm, p) @ cross.query.weight.T
        k, v = (layer_norm(cross.unit_norm, h) @ cross.key_value.weight.T).chunk(2, -1)
        p = p + attention(q, k, v, own, config.heads) @ cross.out.weight.T
    return layer_norm(cale.final_norm, p) * own.any(1, keepdim=True)


def token_block(block: nn.Module, h: Tensor, seen: Tensor, rope: bool) -> Tensor:
    q, k, v = (layer_norm(block.attention_norm, h) @ block.qkv.weight.T).chunk(3, -1)
    if rope:
        q, k = rotate(q, block.heads), rotate(k, block.heads)
    h = h + attention(q, k, v, seen, block.heads) @ block.out.weight.T
    gate, up = (layer_norm(block.ffn_norm, h) @ block.gate_up.weight.T).chunk(2, -1)
    return h + (gate * torch.sigmoid(gate) * up) @ block.down.weight.T


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, heads: int) -> Tensor:
    """(M, D), (N, D), (N, D), (M, N) bool -> (M, D); rows that see nothing give zeros."""
    d, outs = q.shape[1] // heads, []
    for head in range(heads):
        part = slice(head * d, (head + 1) * d)
        scores = (q[:, part] @ k[:, part].T / math.sqrt(d)).masked_fill(~seen, -math.inf)
        outs.append(scores.softmax(-1).nan_to_num(0.0) @ v[:, part])
    return torch.cat(outs, -1)


def rotate(x: Tensor, heads: int) -> Tensor:
    """Pair m of each head of unit n turns by n theta^(-2m/d)."""
    N, D = x.shape
    d = D // heads
    turned = x.clone()
    for head in range(heads):
        for m in range(d // 2):
            angle = torch.arange(N) * 10000.0 ** (-2 * m / d)
            a, b = head * d + 2 * m, head * d + 2 * m + 1
            turned[:, a] = x[:, a] * angle.cos() - x[:, b] * angle.sin()
            turned[:, b] = x[:, a] * angle.sin() + x[:, b] * angle.cos()
    return turned


def group_time(cale: CALE, members: Tensor) -> Tensor | float:
    """Start: sin and cos of wavelengths 4 to 512 units; duration: between powers of two."""
    if cale.time is None:
        return 0.0
    wavelengths = [4.0 * 128.0 ** (i / 15) for i in range(16)]
    angles = [2 * math.pi * float(members[0]) / w for w in wavelengths]
    features = [math.sin(x) for x in angles] + [math.cos(x) for x in angles]
    weight = cale.time.start.weight
    vector = weight @ torch.tensor(features, dtype=weight.dtype)
    if cale.time.duration is not None:
        octave = math.log2(min(len(members), 64))
        low = int(octave)
        table = cale.time.duration.weight.T
        high = table[min(low + 1, 6)]
        vector = vector + table[low] * (1 - (octave - low)) + high * (octave - low)
    return vector


def layer_norm(norm: nn.Module, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight + norm.bias
