"""HuBERT, WavLM and wav2vec 2.0 on utterances of different lengths: padding that nothing sees.

Three things mix frames in these models, and would let padding in:

* the group norm after the first convolution, over time: here over the valid frames alone;
* the convolution that tells positions: padded frames are zero before it, as the outside is;
* attention: padded frames are no keys. WavLM's position bias depends on the distance alone.

The other convolutions pad nothing, so the windows of an utterance lie inside its own samples, and
all else is done frame by frame. The blocks are called one by one rather than through the model's
``forward``, which waits for the GPU to look at the mask and cannot be compiled as one graph.

Legend: B batch, T samples, N frames, J frames of the first convolution, C channels, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE

BATCH_SAMPLES = 320 * SAMPLE_RATE  # in one padded batch: 5 GB with HuBERT base, by count
# A batch ends where its padding would cost more than starting another one does: about that much
# audio goes by at 10 000 times real time while 200 kernels are launched (2 ms).
PADDING = 20 * SAMPLE_RATE
# N is a multiple of this: rows of half precision then lie on 16 bytes, as fast kernels want them.
FRAMES_AT_ONCE = 8


def plan_batches(lengths: Sequence[int]) -> list[list[int]]:
    """Utterances of similar length that share a batch, at most :data:`BATCH_SAMPLES` padded.

    It depends on the lengths alone, and ties keep their order.

    Args:
        lengths: samples of each utterance.

    Returns:
        Indices, batch by batch; the shortest utterances first, so that a GPU soon has work, and
        the other batches are made ready beside it.
    """
    batches: list[list[int]] = []
    longest = padding = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        padding += longest - lengths[index]
        if not batches or (len(batches[-1]) + 1) * longest > BATCH_SAMPLES or padding > PADDING:
            batches.append([])
            longest, padding = padded_length(lengths[index]), 0
        batches[-1].append(index)
    return batches[::-1]


def padded_length(samples: int) -> int:
    """A length of a multiple of :data:`FRAMES_AT_ONCE` frames that holds ``samples``, even."""
    beyond = FRAME_LENGTH - FRAMES_AT_ONCE  # nearly all that fits behind the last frame's shift
    step = FRAME_SHIFT * FRAMES_AT_ONCE
    return max(1, -(-(samples - beyond) // step)) * step + beyond


def pad(wavs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(T,) waveforms to (B, T) float32, zero beyond each end, and their (B,) int64 lengths."""
    lengths = np.array([len(wav) for wav in wavs])
    batch = np.zeros((len(wavs), padded_length(int(lengths.max()))), np.float32)
    for row, wav in zip(batch, wavs, strict=True):
        row[: len(wav)] = wav
    return batch, lengths


def hidden_states(
    model: Any, batch: torch.Tensor, lengths: torch.Tensor, layers: Sequence[int]
) -> torch.Tensor:
    """Layers of a model for each utterance of a padded batch.

    Args:
        model: as ``tokenizer.pretrained.load_model`` gives it.
        batch: (B, T) waveforms, of the model's number type; zero beyond each end.
        lengths: (B,) int64 samples of each, at least one frame.
        layers: rising; 0 is what enters the first block.

    Returns:
        (B, N, D · layers). Row b is valid up to ``num_units(lengths[b])``, and finite beyond.
    """
    x = _front(model, batch, lengths)  # (B, N, C)
    frames = (lengths - FRAME_LENGTH) // FRAME_SHIFT + 1
    valid = torch.arange(x.shape[1], device=x.device) < frames[:, None]  # (B, N)
    x = model.feature_projection(x)
    x = x[0] if isinstance(x, tuple) else x  # beside the normalized input, but for HuBERT
    return _blocks(model, x, valid, layers)


def _front(model: Any, batch: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, T) waveforms through the convolutions: (B, N, C)."""
    x = batch[:, None]
    for layer in model.feature_extractor.conv_layers:
        norm = getattr(layer, "layer_norm", None)
        if isinstance(norm, torch.nn.GroupNorm):
            kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
            counts = (lengths - kernel) // stride + 1  # it is the first: samples come in
            x = layer.activation(masked_group_norm(layer.conv(x), counts, norm))
        else:
            x = layer(x)
    return x.transpose(1, 2)


def masked_group_norm(
    x: torch.Tensor, counts: torch.Tensor, norm: torch.nn.GroupNorm
) -> torch.Tensor:
    """``norm`` of the first ``counts`` frames of each row, every channel being a group.

    Args:
        x: (B, C, J), which is overwritten.
        counts: (B,) int64.
        norm: weight, bias and epsilon.

    Returns:
        (B, C, J), computed in float32 at least; the bias beyond the count.
    """
    assert norm.num_groups == norm.num_channels, norm
    beyond = torch.arange(x.shape[2], device=x.device) >= counts[:, None, None]  # (B, 1, J)
    wide = x.to(torch.promote_types(x.dtype, torch.float32)).masked_fill_(beyond, 0.0)
    count = counts[:, None, None]
    wide = wide.sub_(wide.sum(dim=2, keepdim=True) / count).masked_fill_(beyond, 0.0)
    variance = torch.linalg.vector_norm(wide, dim=2, keepdim=True).square() / count
    weight, bias = (p.to(wide.dtype)[:, None] for p in (norm.weight, norm.bias))  # (C, 1)
    return wide.mul_(weight * torch.rsqrt(variance + norm.eps)).add_(bias).to(x.dtype)


def _blocks(
    model: Any, x: torch.Tensor, valid: torch.Tensor, layers: Sequence[int]
) -> torch.Tensor:
    """(B, N, D) projected frames through the blocks; ``layers`` side by side."""
    encoder, relative = model.encoder, model.config.model_type == "wavlm"
    x = x + _positions(encoder.pos_conv_embed, x, valid)
    if not model.config.do_stable_layer_norm:
        x = encoder.layer_norm(x)
    states, bias = [x], None
    hidden = torch.zeros_like(valid, dtype=x.dtype).masked_fill(~valid, -torch.inf)
    for block in encoder.layers:
        if relative:
            x, bias = block(x, attention_mask=valid, position_bias=bias)
        else:
            x = block(x, attention_mask=hidden[:, None, None])  # added to (B, heads, N, N)
        states.append(x)
    return torch.cat([states[layer] for layer in layers], dim=2)


def _positions(embed: Any, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The convolution that tells positions, (B, N, D) to the same."""
    x = x.transpose(1, 2)
    if getattr(embed, "batch_norm", None) is not None:  # it would make something of nothing
        x = embed.batch_norm(x)
    x = embed.conv(x.masked_fill(~valid[:, None], 0.0))
    positions: torch.Tensor = embed.activation(embed.padding(x)).transpose(1, 2)
    return positions
