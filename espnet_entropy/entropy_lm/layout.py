"""Documents of different lengths as a few rectangles along one flat axis.

Rows of a packed batch, windows of long utterances and whole utterances are all
*documents*: sequences that attend to themselves alone. Sorted by length and cut into
blocks of similar length they need little padding, which is harmless behind a causal
mask, and every block is a plain causal attention without any mask: the fused kernels
of CPU and GPU (flash) apply, and nothing quadratic is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from espnet_entropy.entropy_lm.end_to_end import EndToEnd
from espnet_entropy.utils.device import to_device

# A document joins a block if it fills at least this share of the block's length. Scoring 75
# minutes of units with 2 x 128 on one core took 4.2, 4.0, 3.9 and 3.9 s at 0.5, 0.8, 0.9 and
# 0.97; training batches hold fewer documents, which speaks for the lower end.
MIN_FILL = 0.8


class Layout:
    """Where the tokens of each document lie on the padded flat axis.

    Args:
        lengths: tokens of each document, in the order of the flat input; all positive.
        device: where the index tensors live.

    Attributes:
        blocks: ``(offset, documents, length)`` of each rectangle.
        index: (T,) int64, place of each input token on the padded axis.
        positions: (P,) int64, position of each place within its document.

    Example:
        >>> layout = Layout([2, 5, 5])
        >>> layout.blocks
        [(0, 2, 5), (10, 1, 2)]
        >>> layout.index.tolist()
        [10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, device: torch.device | str = "cpu"
    ) -> None:
        sizes = np.asarray(lengths, dtype=np.int64)
        assert sizes.ndim == 1, sizes
        assert sizes.min(initial=1) > 0, sizes
        order = np.argsort(-sizes, kind="stable")
        self.blocks: list[tuple[int, int, int]] = []
        places = np.empty(len(sizes), dtype=np.int64)  # first place of each document
        positions: list[np.ndarray] = []
        begin = offset = 0
        while begin < len(order):
            length = int(sizes[order[begin]])
            # sizes fall along `order`: the block ends at the first document that is too short
            count = int(np.searchsorted(-sizes[order[begin:]], -MIN_FILL * length, side="right"))
            places[order[begin : begin + count]] = offset + length * np.arange(count)
            positions.append(np.tile(np.arange(length), count))
            self.blocks.append((offset, count, length))
            begin += count
            offset += count * length
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.index = to_device(np.repeat(places, sizes) + within, device)
        self.positions = to_device(np.concatenate(positions), device)

    def spread(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids (T,) at their places: (P,), 0 at padding."""
        padded = ids.new_zeros(len(self.positions))
        padded[self.index] = ids
        return padded

    def gather(self, hidden: torch.Tensor) -> torch.Tensor:
        """What belongs to the input's tokens: (P, D) -> (T, D)."""
        return hidden[self.index]

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Causal attention within documents.

        Args:
            query: (1, H, P, d).
            key: like ``query``.
            value: like ``query``.
            scaling: factor of the scores.

        Returns:
            (1, P, H, d).
        """
        outs = []
        for offset, count, length in self.blocks:
            # (1, H, count * length, d) -> (count, H, length, d)
            shape = (query.shape[1], count, length, query.shape[3])
            end = offset + count * length
            q, k, v = (
                x[0, :, offset:end].reshape(shape).transpose(0, 1) for x in (query, key, value)
            )
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
            outs.append(out.transpose(1, 2).flatten(0, 1))  # (count * length, H, d)
        return torch.cat(outs)[None]


def arrange(
    lengths: Sequence[int] | np.ndarray, device: torch.device, dtype: torch.dtype, size: int
) -> Layout | EndToEnd:
    """The layout whose attention is fastest there.

    Args:
        lengths: tokens of each document.
        device: of the products.
        dtype: of the products.
        size: d, width of a head.
    """
    kind = EndToEnd if EndToEnd.fits(device, dtype, size) else Layout
    return kind(lengths, device)


def attend_cached(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Causal attention of a document's last positions to all of it (streaming).

    Args:
        query: (1, H, n, d).
        key: (1, H, m, d) with m >= n.
        value: like ``key``.
        scaling: factor of the scores.

    Returns:
        (1, n, H, d).
    """
    n, m = query.shape[2], key.shape[2]
    mask = torch.ones(n, m, dtype=torch.bool, device=query.device).tril(m - n)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return out.transpose(1, 2)


class KeyValueCache:
    """Keys and values of one document, allocated once for the whole context.

    Args:
        layers: number of layers.
        heads: H.
        context: the most positions that it holds.
        size: d, width of a head.
        device: device.
        dtype: of keys and values.
    """

    def __init__(
        self,
        layers: int,
        heads: int,
        context: int,
        size: int,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.length = 0
        self._keys = torch.zeros(layers, 1, heads, context, size, device=device, dtype=dtype)
        self._values = torch.zeros_like(self._keys)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (1, H, n, d) to a layer; returns all (1, H, length + n, d) so far.

        The caller adds n to ``length`` once all layers have been updated.
        """
        end = self.length + key.shape[2]
        assert end <= self._keys.shape[3], (end, self._keys.shape)
        self._keys[layer, :, :, self.length : end] = key
        self._values[layer, :, :, self.length : end] = value
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]
