"""A row of a sweep as a whole training configuration: the recipe's, changed as the row says.

Sweep files serve every recipe, so that a row says what it is and leaves sizes to the recipe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.launch.sweep_file import SweepRow, merge
from espnet_entropy.utils.config import nearest

# keys of frontend_conf that together say the groups: a row that gives one means no other
GROUPING = ("criterion", "rate", "segmenter", "unit_bpe")
CONTEXT = ("context", "context_conf")


def row_training(base: Mapping[str, Any], row: SweepRow, units: str) -> dict[str, Any]:
    """The row's training configuration.

    Mappings are merged key by key, lists and scalars replaced. What belongs to another choice is
    not kept: ``encoder: unit_pooling`` over a base with ``encoder: cale`` keeps of
    ``encoder_conf`` what both have (the width, the context), and a row that says how units are
    grouped starts from nothing there.

    Args:
        base: content of the recipe's ``asr_config``.
        row: the row.
        units: the recipe of the units, ``../units1``; its model directory becomes
            ``frontend_conf: model``.

    Raises:
        ValueError: for an unknown key of ours, naming the nearest one, or a unit BPE that the row
            does not say how to make.
    """
    where = f"row '{row.name}': train"
    kept = dict(base)
    for key, value in row.train.items():
        conf = kept.get(f"{key}_conf")
        if conf is not None and value != kept.get(key):
            kept[f"{key}_conf"] = _carried(value, conf) if key == "encoder" else {}
    if set(GROUPING) & set(row.train.get("frontend_conf") or {}):
        mine = kept.get("frontend_conf") or {}
        kept["frontend_conf"] = {k: v for k, v in mine.items() if k not in GROUPING}
    training = merge(kept, row.train)
    if training.get("frontend") == "units":
        training["frontend_conf"] = {
            **(training.get("frontend_conf") or {}),
            "model": f"{units}/exp/compressor",
        }
        _set_unit_bpe(training["frontend_conf"], row, units)
    _set_context(training, base)
    _check_row(row.train, training, where)
    return training


def _set_unit_bpe(conf: dict[str, Any], row: SweepRow, units: str) -> None:
    """The unit BPE that ``asr.sh`` trains for a row, where the row names no other."""
    if conf.get("criterion") != "unit_bpe" or conf.get("unit_bpe") is not None:
        return
    size = row.options.get("unit_bpe_size")
    if not size:
        raise ValueError(
            f"row '{row.name}': criterion unit_bpe of which size? Add to the row "
            "'options: {unit_bpe_size: 1000}', say, or name a model in frontend_conf: unit_bpe."
        )
    conf["unit_bpe"] = unit_bpe_model(units, size)


def unit_bpe_model(units: str, size: object) -> str:
    """Where ``asr.sh`` puts a unit BPE.

    Args:
        units: the recipe of the units; those beside ``units1`` have a name of their own.
        size: ``unit_bpe_size``.

    Example:
        >>> unit_bpe_model("../units1", 1000), unit_bpe_model("../units1_km2000", 1000)
        ('exp/unit_bpe_1000/unit_bpe.model', 'exp/unit_bpe_km2000_1000/unit_bpe.model')
    """
    return f"exp/unit_bpe{kind_of(units)}_{size}/unit_bpe.model"


def kind_of(units: str) -> str:
    """What ``asr.sh`` adds to the names of whatever it makes from other units than the first.

    Example:
        >>> kind_of("../units1"), kind_of("../units1_km2000/")
        ('', '_km2000')
    """
    return Path(units).name.removeprefix("units1")


def _carried(encoder: str, conf: Mapping[str, Any]) -> dict[str, Any]:
    known = encoder_keys(encoder) or ()
    return {key: value for key, value in conf.items() if key in known}


def _set_context(training: dict[str, Any], base: Mapping[str, Any]) -> None:
    """A context's sizes where the row asks for one and neither it nor the recipe gives them.

    They follow from the recipe's CALE, so that both have about as many parameters: as many layers
    and heads, and a Conformer layer (two feed-forward parts of 2 D F, attention of 5 D^2 with its
    positions, convolution of 3 D^2) as large as a layer of CALE (self- and cross-attention of
    4 D^2 each, a gated feed-forward part of 3 D F').
    """
    conf = training.get("encoder_conf") or {}
    if encoder_keys(training.get("encoder", "")) is None or "context" not in conf:
        return
    if conf["context"] is None:
        training["encoder_conf"] = {k: v for k, v in conf.items() if k not in CONTEXT}
    elif not conf.get("context_conf") and base.get("encoder") == "cale":
        from espnet_entropy.cale.config import CaleConfig
        from espnet_entropy.utils.config import from_dict

        names = encoder_keys("cale", core_only=True) or ()
        mine = {k: v for k, v in (base.get("encoder_conf") or {}).items() if k in names}
        cale = from_dict(CaleConfig, mine, "encoder_conf")
        training["encoder_conf"] = {
            **conf,
            "context_conf": {
                "num_blocks": cale.layers,
                "attention_heads": cale.heads,
                "linear_units": round(0.75 * cale.inner),
            },
        }


def encoder_keys(encoder: str, core_only: bool = False) -> tuple[str, ...] | None:
    """Keys of ``encoder_conf`` of an encoder of ours, ``None`` for one of ESPnet's.

    Args:
        encoder: as in the training configuration.
        core_only: without those of the masking and the context.
    """
    from espnet_entropy.cale.config import CaleConfig, PoolingConfig

    known = {"cale": CaleConfig, "unit_pooling": PoolingConfig}
    if encoder not in known:
        return None
    core = tuple(field.name for field in dataclasses.fields(known[encoder]))
    if core_only:
        return core
    from espnet_entropy.tasks.masking import MaskingConfig

    return (*core, *(field.name for field in dataclasses.fields(MaskingConfig)), *CONTEXT)


def _check_row(given: Mapping[str, Any], training: Mapping[str, Any], where: str) -> None:
    """Refuse misspelt keys of ours in a row before anything is made; ESPnet checks its own."""
    if training.get("frontend") == "units":
        known = frontend_keys()
        _check_keys(given.get("frontend_conf") or {}, known, f"{where}: frontend_conf")
    keys = encoder_keys(training.get("encoder", ""))
    if keys is not None:
        _check_keys(given.get("encoder_conf") or {}, keys, f"{where}: encoder_conf")


def frontend_keys() -> tuple[str, ...]:
    """Keys of ``frontend_conf`` of ``frontend: units``."""
    from espnet_entropy.tasks.frontend_conf import FrontendConfig

    return tuple(field.name for field in dataclasses.fields(FrontendConfig))


def _check_keys(conf: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in conf:
        if key not in known:
            raise ValueError(
                f"{where}: unknown key '{key}'; known: {', '.join(known)}.{nearest(key, known)}"
            )


def resolve_groups(training: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same with thresholds and fingerprints in ``frontend_conf``.

    So the configuration says by itself what is trained, and a new calibration is a change of it.

    Raises:
        ValueError: for groups that cannot be made; names the row.
    """
    if training.get("frontend") != "units":
        return dict(training)
    from espnet_entropy.tasks.frontend_conf import resolve_frontend

    conf, known = training["frontend_conf"], frontend_keys()
    foreign = {key: value for key, value in conf.items() if key not in known}  # for ESPnet to judge
    try:
        resolved = resolve_frontend({key: value for key, value in conf.items() if key in known})
        return {**training, "frontend_conf": foreign | resolved}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def asked_rates(rows: Sequence[SweepRow], base: Mapping[str, Any]) -> dict[str, list[float]]:
    """Rates (Hz) that rows ask for, by criterion; what ``calibrate_rows`` has to find."""
    found: dict[str, list[float]] = {}
    for row in rows:
        conf = row_training(base, row, "").get("frontend_conf") or {}
        if conf.get("criterion") and conf.get("rate"):
            rates = found.setdefault(conf["criterion"], [])
            if conf["rate"] not in rates:
                rates.append(float(conf["rate"]))
    return found
