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

from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.layout import KeyValueCache, Layout
from espnet_entropy.entropy_lm.llama import INITIAL_STD, Llama
from espnet_entropy.utils.device import check_device

# Rows of logits that are held at once while entropies are computed: 4 MB at K = 500.
ENTROPY_ROWS = 2048


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
        logits: torch.Tensor = self.head(hidden).view(B, L, -1)
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
        layout = Layout(lengths, ids.device)
        padded = ids.new_zeros(len(layout.positions))
        padded[layout.index] = ids
        hidden: torch.Tensor = self.backbone(padded, layout.positions, layout=layout)
        return hidden[layout.index]

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
        return KeyValueCache(c.layers, c.heads, c.context, c.width // c.heads, self.device)

    def entropy(self, hidden: torch.Tensor) -> torch.Tensor:
        """Entropy of the next unit, over the K units alone (NOTES 9).

        Args:
            hidden: (n, D) float, n > 0.

        Returns:
            (n,) float32 nats, between 0 and ln K.
        """
        weight = self.head.weight[: self.config.num_clusters]
        entropies = []
        for begin in range(0, len(hidden), ENTROPY_ROWS):
            rows = hidden[begin : begin + ENTROPY_ROWS]
            log_p = (rows @ weight.T).float().log_softmax(-1)  # (n, K)
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
        cls, directory: str | Path, device: torch.device | str = "cpu"
    ) -> EntropyLM:
        """Read a directory that :meth:`save` wrote; in evaluation mode, without gradients.

        Raises:
            ValueError: if a file is missing, damaged, or does not fit the others.
        """
        from espnet_entropy.entropy_lm.storage import load

        place = check_device(device)
        return load(directory).to(place)


__all__ = ["EntropyLM", "EntropyLMConfig"]
