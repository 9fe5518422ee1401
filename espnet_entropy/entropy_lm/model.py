"""The entropy LM: a small LLaMA over units (paper section 3.1 and C.1; NOTES 9).

B batch, L length of a packed row, T tokens on the flat axis, D width, K codebook size.
Ids 0 .. K-1 are units; id K is ``<sos/eos>``, and every K in a row begins a new document:
positions restart and nothing is seen across it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from espnet_entropy.entropy_lm.config import DTYPES, EntropyLMConfig
from espnet_entropy.entropy_lm.layout import KeyValueCache, arrange
from espnet_entropy.entropy_lm.llama import INITIAL_STD, Llama
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.device import check_device

# Rows of logits that are held at once while entropies are computed: at K = 500, 4 MB stay in a
# CPU's caches; 131 MB are little to a GPU, and few large kernels.
ENTROPY_ROWS = {"cpu": 2048, "cuda": 65536}


class EntropyLM(nn.Module):
    """LLaMA blocks over units, with attention inside documents only.

    Args:
        config: sizes.

    Attributes:
        tokenizer: fingerprint of the tokenizer whose units it was trained on ("" if unknown).
        fingerprint: of configuration, tokenizer and weights, once saved or loaded.
    """

    def __init__(self, config: EntropyLMConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = ""
        self.fingerprint = ""
        self.backbone = Llama(config)
        self.head = nn.Linear(config.width, config.num_clusters + 1, bias=False)
        nn.init.normal_(self.head.weight, std=INITIAL_STD)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix products: the weights', or autocast's where that is on."""
        kind = self.device.type
        if torch.is_autocast_enabled(kind):
            return torch.get_autocast_dtype(kind)
        return self.head.weight.dtype

    def cast(self, dtype: str) -> EntropyLM:
        """Hold the weights of all matrix products in another type, in place.

        Embedding, norms, what the layers pass on, softmax and entropy stay float32.

        Args:
            dtype: ``float32`` or ``bfloat16``.

        Raises:
            ValueError: for another type.
        """
        wanted = getattr(torch, check_choice(dtype, DTYPES, "dtype", "entropy LM"))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.to(wanted)
        return self

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits of the token that follows each token of packed rows.

        Args:
            ids: (B, L) int, 0 .. K; a new document begins with each row and at each K.
                Negative ids are padding at the end of a row: what precedes is untouched.

        Returns:
            (B, L, K + 1) float logits.

        Raises:
            ValueError: if a document is longer than the context.
        """
        B, L = ids.shape
        ids = ids.clamp_min(0)
        begins = ids == self.config.sos
        begins[:, 0] = True
        starts = begins.flatten().nonzero()[:, 0].cpu().numpy()
        hidden = self.hidden(ids.flatten(), np.diff(starts, append=B * L))
        logits: torch.Tensor = self.head(hidden.to(self.head.weight.dtype)).view(B, L, -1)
        return logits

    def hidden(self, ids: torch.Tensor, lengths: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Last hidden states of documents that lie one after the other.

        Args:
            ids: (T,) int, 0 .. K.
            lengths: tokens of each document; sums to T.

        Returns:
            (T, D) float, in the order of ``ids``.
        """
        if max(lengths) > self.config.context:
            raise ValueError(
                f"entropy LM: a document of {max(lengths)} tokens exceeds the context of "
                f"{self.config.context}; pack with '--context {self.config.context}'."
            )
        size = self.config.width // self.config.heads
        layout = arrange(lengths, ids.device, self.dtype, size)
        hidden = self.backbone(layout.spread(ids), layout.positions, layout=layout)
        return layout.gather(hidden)

    def step(self, ids: torch.Tensor, cache: KeyValueCache) -> torch.Tensor:
        """Hidden states (n, D) of the next n tokens (n,) of the cache's document."""
        begin = cache.length
        positions = torch.arange(begin, begin + len(ids), device=ids.device)
        hidden: torch.Tensor = self.backbone(ids, positions, cache=cache)
        cache.length += len(ids)
        return hidden

    def new_cache(self) -> KeyValueCache:
        """An empty cache for one document of at most ``context`` tokens."""
        c = self.config
        size, dtype = c.width // c.heads, self.head.weight.dtype
        return KeyValueCache(c.layers, c.heads, c.context, size, self.device, dtype)

    def entropy(self, hidden: torch.Tensor) -> torch.Tensor:
        """Entropy of the next unit, over the K units alone (NOTES 9).

        Args:
            hidden: (n, D) float, n > 0.

        Returns:
            (n,) float32 nats, between 0 and ln K.
        """
        weight = self.head.weight[: self.config.num_clusters]
        entropies = []
        step = ENTROPY_ROWS[hidden.device.type]
        for begin in range(0, len(hidden), step):
            rows = hidden[begin : begin + step].to(weight.dtype)
            log_p = wide_product(rows, weight.T).log_softmax(-1)  # (n, K)
            # clamp: rounding may leave -1e-9 where one unit is certain
            entropies.append(-(log_p.exp() * log_p).sum(-1).clamp_max(0.0))
        return torch.cat(entropies)

    def num_parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())

    def save(self, directory: str | Path, tokenizer: str, training: dict[str, object]) -> None:
        """Write ``model.safetensors`` and ``config.yaml``; see :mod:`.storage`."""
        from espnet_entropy.entropy_lm.storage import save

        save(self, directory, tokenizer, training)

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: torch.device | str = "cpu", dtype: str = "float32"
    ) -> EntropyLM:
        """Read a directory that :meth:`save` wrote; in evaluation mode, without gradients.

        Args:
            directory: the directory.
            device: where to.
            dtype: of the matrix products, see :meth:`cast`.

        Raises:
            ValueError: if a file is missing, damaged, or does not fit the others.
        """
        from espnet_entropy.entropy_lm.storage import load

        place = check_device(device)
        return load(directory).cast(dtype).to(place)


def wide_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Matrix product that is float32 whatever its factors are.

    Logits rounded to bfloat16 were two thirds of all that bfloat16 does to entropies.
    """
    if left.device.type == "cuda" and left.dtype == torch.bfloat16:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()


__all__ = ["EntropyLM", "EntropyLMConfig"]
