"""FLOPs of every part of recognition, in closed form.

Multiplications and additions of matrix products, convolutions and attention, as everywhere in the
field; norms, activations and sums are left out, and so is the segmenter, which only compares.
Forward pass of one utterance without padding. Attention counts all pairs, also where a causal
kernel computes half of them. The tests hold each form against ``torch.utils.flop_counter``.

Legend: N units, M groups, L text tokens, D width, F inner width, K codebook size, R beam.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from espnet_entropy.cale.config import CaleConfig
from espnet_entropy.cale.encoder import CALE
from espnet_entropy.cale.pooling import GroupPooling
from espnet_entropy.cale.self_attention import BLOCK
from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.scorer import windows
from espnet_entropy.utils.grid import num_units

# A real FFT of 512 (2.5 n log2 n), 23 triangular bands over 257 bins that overlap once, 13
# cosines of 23 bands: MFCC of one frame, which have no matrix products.
MFCC_FRAME = int(2.5 * 512 * 9) + 2 * 2 * 257 + 2 * 13 * 23


def linear(rows: int, *sizes: int) -> int:
    """FLOPs of (rows, in) by (in, out) for in and out in ``sizes``."""
    product = 2 * rows
    for size in sizes:
        product *= size
    return product


def features_flops(features: Any, samples: int) -> int:
    """Of a tokenizer's features for so many samples at 16 kHz.

    Args:
        features: MFCC, or a speech model (HuBERT, wav2vec 2.0; of WavLM the gates of its
            positions are left out).
        samples: T, the whole utterance at once.
    """
    N = num_units(samples)
    if features.name == "mfcc":
        return N * MFCC_FRAME
    model = features._model
    c, length, width, total = model.config, samples, 1, 0
    for size, kernel, stride in zip(c.conv_dim, c.conv_kernel, c.conv_stride, strict=True):
        length = (length - kernel) // stride + 1
        total += linear(length, width, size, kernel)
        width = size
    D, F = c.hidden_size, c.intermediate_size
    kernel, groups = c.num_conv_pos_embeddings, c.num_conv_pos_embedding_groups
    # an even kernel makes one frame more, which is dropped afterwards
    positions = linear(N + 1 - kernel % 2, D, D // groups, kernel)
    layer = linear(N, D, 4 * D + 2 * F) + attention(N, N, D)
    return total + linear(N, width, D) + positions + len(model.encoder.layers) * layer


def attention(queries: int, keys: int, width: int) -> int:
    """Scores and weighted sums."""
    return 4 * queries * keys * width


def quantizer_flops(units: int, num_clusters: int, width: int) -> int:
    """Of the distances to all centroids."""
    return linear(units, num_clusters, width)


def entropy_lm_flops(config: EntropyLMConfig, units: int) -> int:
    """Of the entropies of one utterance; beyond the context windows overlap by half."""
    total, D = 0, config.width
    for window in windows(units, config.context):
        n = len(window)
        layer = linear(n, D, 4 * D + 3 * config.ffn) + attention(n, n, D)
        total += config.layers * layer + linear(window.end - window.keep, D, config.num_clusters)
    return total


def encoder_flops(encoder: Any, units: int, groups: int) -> int:
    """Of units and group ids to what the decoder attends to.

    Args:
        encoder: ``espnet_entropy.tasks``' ``ESPnetGroupEncoder``: CALE or pooling, and its context.
        units: N.
        groups: M.

    Raises:
        ValueError: for a context with layers that are not counted here.
    """
    core = encoder.core
    total = _time_flops(core, groups)
    if isinstance(core, CALE):
        total += cale_flops(core.config, core.num_units, units, groups)
    elif isinstance(core, GroupPooling) and core.config.mode == "attention":
        D = core.config.width
        total += linear(min(units, core.num_units), D, 2 * D) + attention(units, 1, D)
    return total + (0 if encoder.context is None else conformer_flops(encoder.context, groups))


def _time_flops(core: Any, groups: int) -> int:
    if core.time is None:
        return 0
    parts = [part for part in core.time.modules() if isinstance(part, nn.Linear)]
    return sum(linear(groups, part.in_features, part.out_features) for part in parts)


def cale_flops(config: CaleConfig, num_units: int, units: int, groups: int) -> int:
    """Of CALE alone.

    Args:
        config: size and variant.
        num_units: K; the codebook is projected instead of units, by the convolution always and
            by cross-attention that reads pure embeddings where it is shorter.
        units: N.
        groups: M.
    """
    D, N = config.width, units
    keys = N if config.updates or config.conv else min(N, num_units)
    # a group's query reads its own units: one score and one sum per unit, not per pair
    layer = linear(groups, D, 2 * D) + linear(keys, D, 2 * D) + attention(N, 1, D)
    if config.updates:
        layer += linear(N, D, 4 * D + 3 * config.inner)
        if config.token_update == "full":
            layer += attention(N, N, D)
        else:
            block = max(BLOCK, config.window)
            layer += attention(-(-N // block) * block, block + 2 * config.window, D)
    return config.layers * layer + config.conv * linear(num_units, D, D)


def conformer_flops(context: Any, groups: int) -> int:
    """Of ESPnet's Conformer encoder over groups.

    Args:
        context: with relative positions (2 M - 1 of them) and linear feed-forward parts, as
            ``espnet_entropy.tasks.encoders.build_context`` makes it by default.
        groups: M.

    Raises:
        ValueError: for other layers.
    """
    total, M, D = 0, groups, context.output_size()
    for part in context.embed:
        if isinstance(part, nn.Linear):
            total += linear(M, part.in_features, part.out_features)
    for layer in context.encoders:
        kinds = (type(layer.self_attn).__name__, type(layer.feed_forward).__name__)
        if kinds != ("RelPositionMultiHeadedAttention", "PositionwiseFeedForward"):
            raise ValueError(
                f"context_conf: layers of {' and '.join(kinds)} are not counted; expected relative "
                "positions (rel_pos_type: latest) and positionwise_layer_type: linear."
            )
        halves = 2 if layer.feed_forward_macaron is not None else 1
        total += halves * linear(M, D, 2 * layer.feed_forward.w_1.out_features)
        total += linear(M, D, 4 * D) + linear(2 * M - 1, D, D) + attention(M, M, D)
        total += linear(M, 2 * M - 1, D)  # scores of the positions
        if layer.conv_module is not None:
            kernel = layer.conv_module.depthwise_conv.kernel_size[0]
            total += linear(M, D, 3 * D + kernel)
    return total


def decoder_flops(decoder: Any, groups: int, tokens: int, beam: int) -> int:
    """Of ``recognizer.search`` through so many steps, with every hypothesis alive, without CTC.

    Keys and values of the memory are projected once, those of a token when it is said. Each
    hypothesis attends to the tokens of all, of which those of the others are masked.

    Args:
        decoder: ESPnet's ``TransformerDecoder``.
        groups: M.
        tokens: L, steps.
        beam: R.
    """
    first = decoder.decoders[0]
    D, F = first.size, first.feed_forward.w_1.out_features
    seen = tokens * (tokens + 1) // 2  # 1 + 2 + … + L: length of the text, summed over the steps
    steps = beam * tokens
    layer = linear(groups, D, 2 * D)
    layer += linear(steps, D, 6 * D + 2 * F) + attention(steps, groups, D)
    layer += attention(beam, beam * seen, D)
    return len(decoder.decoders) * layer + linear(steps, D, decoder.output_layer.out_features)
