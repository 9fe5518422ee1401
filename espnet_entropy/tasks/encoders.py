"""``encoder: cale`` and ``encoder: unit_pooling``: groups of units to vectors, for ESPnet.

Legend: B batch, N units, M groups, D width, K codebook size.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

from espnet_entropy.cale.config import CaleConfig, PoolingConfig
from espnet_entropy.cale.encoder import CALE
from espnet_entropy.cale.pooling import GroupPooling
from espnet_entropy.tasks.masking import Masking, MaskingConfig
from espnet_entropy.utils.config import check_choice, from_dict, nearest

WHERE = "encoder_conf"
CONTEXTS = ("conformer", "transformer")
# Relative positions and no subsampling: a group is not a 10 ms frame
CONTEXT_DEFAULTS: dict[str, dict[str, Any]] = {
    "conformer": {"macaron_style": True, "use_cnn_module": True, "cnn_module_kernel": 15},
    "transformer": {"macaron_style": False, "use_cnn_module": False},
}
# what needs the CTC inside the encoder, or is ours to set
NOT_IN_CONTEXT = ("input_size", "interctc_use_conditioning", "ctc_trim")
T = TypeVar("T")


class ESPnetGroupEncoder(AbsEncoder):  # type: ignore[misc]  # espnet2 has no types
    """(unit, group id) to one vector per group, with an encoder over the groups if asked for.

    Args:
        core: of ``espnet_entropy.cale``: (units, group ids, lengths) to (vectors, groups).
        width: D of its vectors.
        masking: what happens to units in training.
        context: ``conformer`` or ``transformer`` over the groups, or ``None``.
        context_conf: ESPnet's keys of its Conformer encoder.
    """

    def __init__(
        self,
        core: torch.nn.Module,
        width: int,
        masking: Masking,
        context: str | None = None,
        context_conf: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.core, self.masking = core, masking
        self.context = build_context(context, context_conf, width)
        self._output_size = width if self.context is None else self.context.output_size()

    def output_size(self) -> int:
        """D of the vectors."""
        return int(self._output_size)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: torch.Tensor | None = None,
        ctc: torch.nn.Module | None = None,
    ) -> tuple[Any, torch.Tensor, None]:
        """Encode.

        Args:
            xs_pad: (B, N, 2) of :class:`UnitFrontend`, int64 or whole numbers in floats.
            ilens: (B,) int, units of each row.
            prev_states: not used.
            ctc: not used.

        Returns:
            Vectors (B, M, D), zero after the last group unless a context made them, with those of
            intermediate layers if ``interctc_layer_idx`` asks for them; the numbers of groups
            (B,) int64; ``None``.
        """
        units, groups = whole_numbers(xs_pad).unbind(-1)  # (B, N) each
        units = self.masking(units, groups)
        vectors, num_groups = self.core(units, groups, ilens.to(units.device))
        if self.context is None:
            return vectors, num_groups, None
        vectors, num_groups, _ = self.context(vectors, num_groups)
        return vectors, num_groups, None


class CALEEncoder(ESPnetGroupEncoder):
    """``encoder: cale``.

    Args:
        input_size: K, from the frontend.
        conf: ``encoder_conf``: the keys of :class:`CaleConfig` and :class:`MaskingConfig`,
            ``context`` and ``context_conf``.

    Raises:
        ValueError: for an unknown key, naming the nearest one, or a bad value.
    """

    def __init__(self, input_size: int, **conf: Any) -> None:
        config, masking, context = split_conf(CaleConfig, conf, input_size)
        super().__init__(CALE(config, masking.num_embeddings), config.width, masking, **context)


class UnitPoolingEncoder(ESPnetGroupEncoder):
    """``encoder: unit_pooling``: the mean, maximum or attention of a group's embeddings.

    With criterion ``original`` or ``dedup`` and a context it is an embedding under a Conformer.

    Args:
        input_size: K, from the frontend.
        conf: ``encoder_conf``: the keys of :class:`PoolingConfig` and :class:`MaskingConfig`,
            ``context`` and ``context_conf``.

    Raises:
        ValueError: for an unknown key, naming the nearest one, or a bad value.
    """

    def __init__(self, input_size: int, **conf: Any) -> None:
        config, masking, context = split_conf(PoolingConfig, conf, input_size)
        core = GroupPooling(config, masking.num_embeddings)
        super().__init__(core, config.width, masking, **context)


def whole_numbers(values: torch.Tensor) -> torch.Tensor:
    """Int64 of a tensor of whole numbers; floats are rounded."""
    return values.float().round().long() if values.is_floating_point() else values.long()


def split_conf(
    cls: type[T], conf: Mapping[str, Any], num_units: int
) -> tuple[T, Masking, dict[str, Any]]:
    """``encoder_conf`` as the core's configuration, the masking, and what says the context.

    Raises:
        ValueError: for an unknown key, naming the nearest one.
    """
    assert dataclasses.is_dataclass(cls)
    core = [field.name for field in dataclasses.fields(cls)]
    masks = [field.name for field in dataclasses.fields(MaskingConfig)]
    known = [*core, *masks, "context", "context_conf"]
    for key in conf:
        if key not in known:
            raise ValueError(
                f"{WHERE}: unknown key '{key}'; known: {', '.join(known)}.{nearest(key, known)}"
            )
    config = from_dict(cls, {k: v for k, v in conf.items() if k in core}, WHERE)
    masking = from_dict(MaskingConfig, {k: v for k, v in conf.items() if k in masks}, WHERE)
    context = {k: v for k, v in conf.items() if k in ("context", "context_conf")}
    return config, Masking(masking, num_units), context


def build_context(
    kind: str | None, conf: Mapping[str, Any] | None, width: int
) -> ConformerEncoder | None:
    """ESPnet's encoder over the groups; its input is (B, M, D), its length stays M.

    ``transformer`` is ESPnet's Conformer encoder without convolution and macaron halves:
    a Transformer with relative positions, which its Transformer encoder has not. Its convolution
    and batch normalization see the padding of a batch, as everywhere in ESPnet.

    Args:
        kind: ``conformer``, ``transformer`` or ``None``.
        conf: its keys; ``output_size`` is ``width`` if not given.
        width: D.

    Raises:
        ValueError: for an unknown kind or key, or an input layer that changes the length.
    """
    if kind is None:
        if conf:
            raise ValueError(f"{WHERE}: context_conf without context; expected {CONTEXTS}.")
        return None
    check_choice(kind, CONTEXTS, "context", WHERE)
    where = f"{WHERE}: context_conf"
    conf = dict(conf or {})
    known = [
        name
        for name in inspect.signature(ConformerEncoder.__init__).parameters
        if name not in ("self", *NOT_IN_CONTEXT)
    ]
    for key in conf:
        if key not in known:
            raise ValueError(
                f"{where}: unknown key '{key}'; known: {', '.join(known)}.{nearest(key, known)}"
            )
    if conf.get("input_layer", "linear") not in ("linear", None):
        raise ValueError(
            f"{where}: input_layer: expected linear or null, got {conf['input_layer']}; others "
            "change the number of groups. Remove it."
        )
    defaults = {"output_size": width, "input_layer": "linear", "rel_pos_type": "latest"}
    conf = defaults | CONTEXT_DEFAULTS[kind] | conf
    if conf["input_layer"] is None and conf["output_size"] != width:
        raise ValueError(
            f"{where}: output_size {conf['output_size']} with input_layer null: expected {width}, "
            "the width below it; or leave input_layer out."
        )
    return ConformerEncoder(width, **conf)
