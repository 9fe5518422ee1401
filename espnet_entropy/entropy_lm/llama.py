"""The blocks of LLaMA, with the weights' names and the arithmetic of transformers' ``LlamaModel``.

They are few lines; importing transformers' takes 8 s of CPU (its loader wants torch.distributed,
scipy, sympy), which every command that scores units would pay at its start. A test holds them to
transformers' weights, initial values and outputs.

P positions on the flat axis of documents, D width, H heads, d = D / H width of a head.
What the layers pass on is float32 also where the weights of their products are bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.end_to_end import EndToEnd
from espnet_entropy.entropy_lm.layout import KeyValueCache, Layout, attend_cached

EPSILON = 1e-6  # of the norms; transformers' default for LLaMA, as is the next one
INITIAL_STD = 0.02


class RMSNorm(nn.Module):
    """Root-mean-square norm, in float32 whatever comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, D) -> (…, D)."""
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPSILON)
        return self.weight * normed.to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention with rotary positions inside documents."""

    def __init__(self, config: EntropyLMConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.size = layer, config.width // config.heads
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width, bias=False)
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self,
        x: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        layout: Layout | EndToEnd | None,
        cache: KeyValueCache | None,
    ) -> torch.Tensor:
        """(1, P, D) -> (1, P, D); see :class:`Llama`."""
        x = x.to(self.q_proj.weight.dtype)
        projections = (self.q_proj, self.k_proj, self.v_proj)
        # (1, P, D) -> (1, H, P, d)
        q, k, v = (p(x).unflatten(-1, (-1, self.size)).transpose(1, 2) for p in projections)
        q, k = rotate(q, rotation).to(v.dtype), rotate(k, rotation).to(v.dtype)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        attend = attend_cached if layout is None else layout.attend
        out = attend(q, k, v, self.size**-0.5)  # (1, P, H, d)
        mixed: torch.Tensor = self.o_proj(out.flatten(2))
        return mixed


def rotate(x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Turn the pairs (i, i + d/2) of (1, H, P, d) by the angles of their positions."""
    cos, sin = rotation
    first, second = x.chunk(2, -1)
    return (x * cos) + (torch.cat((-second, first), -1) * sin)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: EntropyLMConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.ffn, bias=False)
        self.up_proj = nn.Linear(config.width, config.ffn, bias=False)
        self.down_proj = nn.Linear(config.ffn, config.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, D) -> (…, D)."""
        x = x.to(self.gate_proj.weight.dtype)
        out: torch.Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual."""

    def __init__(self, config: EntropyLMConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(config.width)
        self.post_attention_layernorm = RMSNorm(config.width)

    def forward(
        self,
        x: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        layout: Layout | EndToEnd | None,
        cache: KeyValueCache | None,
    ) -> torch.Tensor:
        """(1, P, D) -> (1, P, D)."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, layout, cache)
        out: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Llama(nn.Module):
    """Embedding, layers, last norm; without the output layer.

    Args:
        config: sizes.
    """

    frequencies: torch.Tensor

    def __init__(self, config: EntropyLMConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.num_clusters + 1, config.width)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.layers))
        self.norm = RMSNorm(config.width)
        size = config.width // config.heads
        exponents = torch.arange(0, size, 2, dtype=torch.float) / size
        frequencies = 1.0 / (config.rope_theta**exponents)  # (d/2,) radians per position
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.apply(_initialize)
        self._compiled: Run | None = None

    def compile_layers(self, backend: Any = "inductor") -> None:
        """From now on run documents that lie end to end through one compiled graph.

        It serves all layers and all sizes; norms, rotation and activation become few kernels.
        Names of weights stay. Elsewhere (CPU, float32, streams) nothing changes: sizes of
        rectangles differ from batch to batch, each would be compiled anew.

        Args:
            backend: of ``torch.compile``.
        """
        self._compiled = torch.compile(_run, dynamic=True, backend=backend)

    def forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        layout: Layout | EndToEnd | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """Hidden states.

        Args:
            ids: (P,) int, 0 .. K.
            positions: (P,) int, within their document.
            layout: where the documents lie; ``None``: one document, continued from ``cache``.
            cache: keys and values of what came before.

        Returns:
            (P, D) float.
        """
        hidden = self.embed_tokens(ids[None])  # (1, P, D); no view, which would compile anew
        angles = positions[:, None].float() * self.frequencies
        angles = torch.cat((angles, angles), -1)  # (P, d)
        rotation = angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)
        run = self._compiled if self._compiled and isinstance(layout, EndToEnd) else _run
        for layer in self.layers:
            hidden = run(layer, hidden, rotation, layout, cache)
        normed: torch.Tensor = self.norm(hidden)[0]
        return normed


def _run(
    layer: nn.Module,
    x: torch.Tensor,
    rotation: tuple[torch.Tensor, torch.Tensor],
    layout: Layout | EndToEnd | None,
    cache: KeyValueCache | None,
) -> torch.Tensor:
    """A function, so that what is compiled is no module and no weight changes its name."""
    out: torch.Tensor = layer(x, rotation, layout, cache)
    return out


Run = Callable[..., torch.Tensor]


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
