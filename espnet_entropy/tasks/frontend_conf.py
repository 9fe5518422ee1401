"""``frontend_conf`` of ``frontend: units``: what the user writes, and what it comes down to.

The user names a model directory (or a calibration) with criterion and rate, or a segmenter. Before
training this is resolved to thresholds and fingerprints, which ESPnet stores in ``config.yaml``:
that file alone decodes a scored dump, wherever the model directory is by then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.segmenter.config import ENTROPY_CRITERIA, KNOBS, SegmenterConfig
from espnet_entropy.segmenter.unit_bpe import UnitBPE
from espnet_entropy.utils.config import check_choice, from_dict, read_yaml, to_dict

WHERE = "frontend_conf"
UNIT_BPE = "unit_bpe"
# their one knob is the rate itself, so that they need no calibration
BY_RATE = ("uniform", "random")


@dataclass(frozen=True)
class Asked:
    """What the user asked for, kept as a record once it is resolved.

    Attributes:
        criterion: its label.
        rate: target in Hz, where the criterion has one.
    """

    criterion: str
    rate: float | None = None


@dataclass(frozen=True)
class FrontendConfig:
    """Keys of ``frontend_conf``.

    Attributes:
        model: model directory; needed for waveforms, and for criterion and rate unless there is
            a ``calibration``.
        calibration: ``calibration.yaml`` to take thresholds from instead of the directory's.
        criterion: label of a calibrated criterion, a criterion without thresholds, or
            ``unit_bpe``; the directory's default if ``None``.
        rate: Hz; the directory's default if ``None``.
        segmenter: criterion and thresholds given directly.
        unit_bpe: model of a unit BPE, with ``criterion: unit_bpe``.
        tokenizer: fingerprint; resolved.
        entropy_lm: fingerprint; resolved.
        num_clusters: codebook size K; resolved.
        unit_bpe_size: pieces of the unit BPE; resolved.
        unit_bpe_fingerprint: resolved.
        asked: what the user asked for; resolved.

    Raises:
        ValueError: for keys that exclude each other.
    """

    model: str | None = None
    calibration: str | None = None
    criterion: str | None = None
    rate: float | None = None
    segmenter: SegmenterConfig | None = None
    unit_bpe: str | None = None
    tokenizer: str | None = None
    entropy_lm: str | None = None
    num_clusters: int | None = None
    unit_bpe_size: int | None = None
    unit_bpe_fingerprint: str | None = None
    asked: Asked | None = None

    def __post_init__(self) -> None:
        chosen = self.criterion or ("" if self.asked is None else self.asked.criterion)
        for given in ("criterion", "rate"):
            if self.segmenter is not None and getattr(self, given) is not None:
                raise ValueError(
                    f"{given} {getattr(self, given)} and segmenter are both given; remove one "
                    "(segmenter holds criterion and thresholds itself)."
                )
            if self.asked is not None and getattr(self, given) is not None:
                raise ValueError(
                    f"{given} {getattr(self, given)} is given beside what was resolved for "
                    "another training; write model, criterion and rate only."
                )
        if (self.unit_bpe is not None) != (chosen == UNIT_BPE):
            raise ValueError(
                f"criterion {chosen or 'not given'} with unit_bpe {self.unit_bpe}: 'criterion: "
                "unit_bpe' and 'unit_bpe: <its model file>' go together."
            )
        if chosen == UNIT_BPE and (self.rate is not None or self.segmenter is not None):
            raise ValueError(
                "rate or segmenter with criterion 'unit_bpe': its rate follows from the size of "
                "its vocabulary; remove them, or train another unit BPE."
            )

    @property
    def resolved(self) -> bool:
        """Whether nothing has to be looked up any more to decode a dump."""
        if self.asked is None or self.num_clusters is None or self.tokenizer is None:
            return False
        if self.unit_bpe is not None:
            return self.unit_bpe_size is not None
        return self.segmenter is not None and (
            self.entropy_lm is not None or self.segmenter.criterion not in ENTROPY_CRITERIA
        )


@dataclass(frozen=True)
class Source:
    """Somebody who says which units and entropies he means.

    Attributes:
        name: for messages.
        tokenizer: fingerprint, ``None`` if he does not say.
        entropy_lm: fingerprint, ``None`` if he does not say.
        num_clusters: codebook size K, ``None`` if he does not say.
    """

    name: str
    tokenizer: str | None
    entropy_lm: str | None
    num_clusters: int | None


@dataclass(frozen=True)
class Resolver:
    """Looks up what ``frontend_conf`` leaves open."""

    config: FrontendConfig
    dumps: Sequence[Source]

    def run(self) -> FrontendConfig:
        """The resolved configuration.

        Raises:
            ValueError: if something is missing or does not belong together.
        """
        config = self.config
        if config.resolved:
            own = Source(WHERE, config.tokenizer, config.entropy_lm, config.num_clusters)
            agree([own, *self.dumps])
            return config
        model = None if config.model is None else ModelDirectory.open(config.model)
        path = config.calibration or (None if model is None else model.calibration)
        table = None if path is None else CalibrationTable.load(path)
        bpe = None if config.unit_bpe is None else UnitBPE.from_pretrained(config.unit_bpe)
        sources = [*self._sources(model, table, bpe), *self.dumps]
        agree(sources)
        known = {
            part: next((v for s in sources if (v := getattr(s, part)) is not None), None)
            for part in ("tokenizer", "entropy_lm", "num_clusters")
        }
        if known["num_clusters"] is None:
            raise ValueError(
                f"{WHERE}: the number of units is unknown; give model: <model directory> (a "
                "recipe's ../units1/exp/compressor), or train on a scored dump with its meta.yaml."
            )
        if bpe is not None:
            made: dict[str, Any] = {
                "asked": Asked(UNIT_BPE),
                "unit_bpe_size": bpe.size,
                "unit_bpe_fingerprint": bpe.card.fingerprint,
            }
        else:
            segmenter, rate = self._segmenter(model, table)
            made = {"segmenter": segmenter, "asked": Asked(segmenter.label, rate)}
        return dataclasses.replace(
            config, **known, **made, criterion=None, rate=None, calibration=None
        )

    def _sources(
        self, model: ModelDirectory | None, table: CalibrationTable | None, bpe: UnitBPE | None
    ) -> list[Source]:
        config = self.config
        found = [Source(WHERE, config.tokenizer, config.entropy_lm, config.num_clusters)]
        if config.segmenter is not None:
            found.append(Source(f"{WHERE}: segmenter", None, None, config.segmenter.num_clusters))
        if model is not None:
            m = model.manifest
            found.append(Source(f"{config.model}", m.tokenizer, m.entropy_lm, m.num_clusters))
        if table is not None:
            name = config.calibration or f"{config.model}/calibration.yaml"
            found.append(Source(name, table.tokenizer, table.entropy_lm, table.num_clusters))
        if bpe is not None:
            found.append(
                Source(f"{config.unit_bpe}", bpe.card.tokenizer, None, bpe.card.num_clusters)
            )
        return found

    def _segmenter(
        self, model: ModelDirectory | None, table: CalibrationTable | None
    ) -> tuple[SegmenterConfig, float | None]:
        """The segmenter in nats, and its target rate in Hz if it has one."""
        config = self.config
        if config.segmenter is not None:
            given = config.segmenter
            try:
                given.require_knobs()
            except ValueError as error:
                raise ValueError(f"{WHERE}: segmenter: {error}") from None
            return given.in_nats(), given.rate
        label = config.criterion or (None if model is None else model.manifest.criterion)
        if label is None:
            raise ValueError(
                f"{WHERE}: says no criterion; give model: <model directory>, whose default it then "
                "is, or criterion, or segmenter: {criterion: fixed, window: 2}, say."
            )
        if table is None or label not in table.criteria:
            return self._without_table(label, table)
        rate = config.rate
        if rate is None and model is not None:
            rate = table.usual_rate(label, model.manifest.rate)
        elif rate is None and not (rate := table.usual_rate(label, 0.0)):
            raise ValueError(
                f"{WHERE}: criterion '{label}' needs rate, in Hz: {config.calibration} names none."
            )
        try:
            found = table.lookup(label, rate)
        except ValueError as error:
            raise ValueError(f"{WHERE}: {error}") from None
        return found.in_nats(), (rate if found.knobs else None)

    def _without_table(
        self, label: str, table: CalibrationTable | None
    ) -> tuple[SegmenterConfig, float | None]:
        """A criterion that needs no calibration."""
        rate = self.config.rate
        free = [name for name, knobs in KNOBS.items() if not knobs]
        if label in free and rate is not None:
            raise ValueError(
                f"{WHERE}: rate {rate:g} with criterion '{label}', which makes the rate that it "
                "makes; remove rate."
            )
        if label in free or (label in BY_RATE and rate is not None):
            try:
                return SegmenterConfig(label, rate=rate), rate
            except ValueError as error:
                hint = (
                    " Write segmenter: {criterion: fixed, window: 2}." if label == "fixed" else ""
                )
                raise ValueError(f"{WHERE}: {error}{hint}") from None
        if table is None:
            check_choice(label, [*KNOBS, UNIT_BPE], "criterion", WHERE)
            raise ValueError(
                f"{WHERE}: criterion '{label}' needs a threshold; give model: <model directory> or "
                "calibration: <calibration.yaml>, or segmenter with its threshold."
            )
        known = [*table.criteria, *free, *BY_RATE, UNIT_BPE]
        check_choice(label, dict.fromkeys(known), "criterion", WHERE)
        raise ValueError(f"{WHERE}: criterion '{label}' needs rate, in Hz.")


def agree(sources: Sequence[Source]) -> None:
    """Refuse sources that mean different units or entropies.

    Raises:
        ValueError: naming the two and what each says.
    """
    for part in ("tokenizer", "entropy_lm", "num_clusters"):
        said = [(s.name, getattr(s, part)) for s in sources if getattr(s, part) is not None]
        for name, value in said[1:]:
            if value != said[0][1]:
                raise ValueError(
                    f"{name}: made with {part} {value}, but {said[0][0]} says {said[0][1]}; take "
                    "dump, calibration and model directory of one recipe, or score the set anew."
                )


def dump_source(scp: str | Path) -> Source:
    """What the ``meta.yaml`` beside a ``scored.scp`` says.

    Raises:
        ValueError: if it is missing or incomplete.
    """
    path = Path(scp).parent / "meta.yaml"
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; it says which model made {Path(scp).name}. Run stage "
            "'score_entropy', or copy meta.yaml along with the scp file."
        )
    meta = read_yaml(path)
    for key, kind in (("tokenizer", str), ("entropy_lm", str), ("num_clusters", int)):
        if not isinstance(meta.get(key), kind):
            raise ValueError(
                f"{path}: expected '{key}' ({kind.__name__}), got {meta.get(key)!r}; score the set "
                "anew."
            )
    return Source(str(path), meta["tokenizer"], meta["entropy_lm"], meta["num_clusters"])


def resolve_frontend(conf: Mapping[str, Any], dumps: Sequence[Source] = ()) -> dict[str, Any]:
    """``frontend_conf`` with everything looked up; what is resolved already stays as it is.

    Args:
        conf: as the user wrote it, or as a ``config.yaml`` holds it.
        dumps: of :func:`dump_source`, the sets that are trained on.

    Returns:
        Plain values, ready for ``config.yaml`` and for ``UnitFrontend(**conf)``.

    Raises:
        ValueError: for an unknown key (with the nearest known one), something missing, or a dump
            and a model that do not belong together.
    """
    config = Resolver(from_dict(FrontendConfig, dict(conf), WHERE), dumps).run()
    return _without_nones(to_dict(config))


def _without_nones(content: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nones(value) if isinstance(value, dict) else value
        for key, value in content.items()
        if value is not None
    }
