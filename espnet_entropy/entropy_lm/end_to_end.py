"""Documents of different lengths end to end, in one fused call of attention (CUDA, 16 bit).

Flash attention takes the places where documents begin: no padding, no mask, no loop, so that
every batch runs the same kernels and one compiled graph serves all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from espnet_entropy.utils.device import to_device

# The kernel is launched for the longest document in tiles of this many queries.
TILE = 128


class EndToEnd:
    """Documents on a flat axis without padding; takes the place of ``Layout``.

    Args:
        lengths: tokens of each document, in the order of the flat input; all positive.
        device: where the index tensors live.

    Attributes:
        starts: (N + 1,) int32, where each document begins, and the end.
        longest: length of the longest document, rounded up to whole tiles.
        positions: (T,) int64, position of each token within its document.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, device: torch.device | str) -> None:
        sizes = np.asarray(lengths, dtype=np.int64)
        ends = np.cumsum(sizes)
        self.starts = to_device(np.concatenate([[0], ends]).astype(np.int32), device)
        self.longest = -(-int(sizes.max()) // TILE) * TILE
        self.positions = to_device(np.arange(ends[-1]) - np.repeat(ends - sizes, sizes), device)

    @staticmethod
    def fits(device: torch.device, dtype: torch.dtype, size: int) -> bool:
        """Whether the fused kernel exists there.

        Args:
            device: of the products.
            dtype: of the products.
            size: d, width of a head.
        """
        return (
            device.type == "cuda"
            and dtype in (torch.bfloat16, torch.float16)
            and size % 8 == 0
            and size <= 256
            and torch.backends.cuda.is_flash_attention_available()
            and torch.cuda.get_device_capability(device) >= (8, 0)
        )

    def spread(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids (T,) as they are."""
        return ids

    def gather(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (T, D) as they are."""
        return hidden

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Causal attention within documents.

        Args:
            query: (1, H, T, d), 16 bit.
            key: like ``query``.
            value: like ``query``.
            scaling: factor of the scores.

        Returns:
            (1, T, H, d).
        """
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (T, H, d)
        bounds = (self.starts, self.starts, self.longest, self.longest)
        # a window that ends at the query itself: causal
        out = varlen_attn(q, k, v, *bounds, scale=scaling, window_size=(-1, 0))
        assert isinstance(out, torch.Tensor), out
        return out[None]
