"""Is one recognizer better than another, or at least not worse? Over seeds and utterances.

``hierarchy`` says how the uncertainty is found. Two one-sided tests, both at level alpha, which
agrees with a two-sided interval of 1 - 2 alpha:

- superior: WER(system) - WER(reference) < 0;
- not inferior: WER(system) - (1 + margin) WER(reference) < 0, the reference's WER uncertain too.

Power is that of a future comparison of this design (as many runs, utterances and speakers, as
varied): the smallest true difference that it would find with probability ``power`` is
(t(1 - alpha) + t(power)) * standard error, t being Student's quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from espnet_entropy.evaluation.hierarchy import RESAMPLES, Contrast, Design
from espnet_entropy.evaluation.per_utt import PerUtterance, read_per_utt
from espnet_entropy.evaluation.wer import METRICS
from espnet_entropy.utils.config import check_choice

TASK = "asr_comparison"
MARGIN = 0.05  # of the reference's WER
ALPHA = 0.025  # one-sided: the usual 95 % interval, and the usual level of non-inferiority trials
POWER = 0.8
FEW_CLUSTERS = 10
PARTS = ("all", "new", "in_train")
BY = ("auto", "speaker", "utterance")


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        metric: ``wer`` or ``cer``.
        part: ``all`` utterances, or those whose sentence is ``new`` or ``in_train``.
        by: what is drawn; ``auto``: speakers where they are known and more than one.
        margin: of non-inferiority, relative to the reference's rate.
        alpha: one-sided level.
        power: that the stated detectable difference has.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: naming the field.
    """

    metric: Literal["wer", "cer"] = "wer"
    part: Literal["all", "new", "in_train"] = "all"
    by: Literal["auto", "speaker", "utterance"] = "auto"
    margin: float = MARGIN
    alpha: float = ALPHA
    power: float = POWER
    resamples: int = RESAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.metric, METRICS, "metric")
        check_choice(self.part, PARTS, "part")
        check_choice(self.by, BY, "by")
        if self.margin < 0:
            raise ValueError(f"margin: expected 0 or more, got {self.margin:g}.")
        for name, low, high in (("alpha", 0.0, 0.5), ("power", 0.5, 1.0)):
            if not low < getattr(self, name) < high:
                raise ValueError(
                    f"{name}: expected between {low:g} and {high:g}, got {getattr(self, name):g}."
                )


def compare(
    system: Sequence[str | Path],
    reference: Sequence[str | Path],
    options: Options | None = None,
    names: tuple[str, str] = ("system", "reference"),
) -> dict[str, Any]:
    """Compare two systems on one test set.

    Args:
        system: score directories (``per_utt.json``), one for each training seed.
        reference: likewise; not necessarily as many.
        options: how.
        names: of the two.

    Returns:
        Plain values: difference with interval, both tests, power; rates are shares, not percent.

    Raises:
        ValueError: if a directory is given twice or unreadable, or they are not of one test set.
    """
    options = options or Options()
    runs = [[read_per_utt(d) for d in directories] for directories in (system, reference)]
    if not all(runs):
        raise ValueError("comparison: expected at least one score directory of each system.")
    first = _same_set([run for side in runs for run in side])
    chosen = _chosen(first, options.part)
    speakers = _speakers(first, chosen, options)
    kind = METRICS[options.metric]
    errors = [np.stack([run.counts[kind].errors[chosen] for run in side]) for side in runs]
    length = first.counts[kind].reference[chosen]
    design = Design(errors[0], errors[1], length, speakers, options.resamples, options.seed)
    difference, limit = design.contrast(), design.contrast(1 + options.margin)
    sides = {
        role: _side(name, side, rates)
        for role, name, side, rates in zip(
            ("system", "reference"), names, runs, design.point, strict=True
        )
    }
    return {
        "task": TASK,
        "test_set": first.test_set,
        "metric": options.metric,
        "part": options.part,
        "by": "utterance" if speakers is None else "speaker",
        "utterances": len(length),
        "clusters": design.clusters,
        **sides,
        **_tests(difference, limit, float(design.point[1].mean()), options),
        "notes": _notes(sides, design.clusters, speakers is not None),
        "bootstrap": {"resamples": options.resamples, "seed": options.seed},
    }


def _same_set(runs: Sequence[PerUtterance]) -> PerUtterance:
    """The first run, if all are of its utterances and references, and each is another."""
    first = runs[0]
    places = [run.where.resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise ValueError(f"{run.where}: given twice; expected each run once. Remove one.")
        if run.utts != first.utts:
            other = sorted(set(run.utts) ^ set(first.utts))
            raise ValueError(
                f"{run.where}: other utterances than {first.where} ({', '.join(other[:3])} are in "
                "one only); expected results of one test set."
            )
        for kind, counts in run.counts.items():
            differ = np.flatnonzero(counts.reference != first.counts[kind].reference)
            if len(differ):
                raise ValueError(
                    f"{run.where}: {first.utts[differ[0]]}: another reference than in "
                    f"{first.where} (another number of {kind}); score both with the same text."
                )
    return first


def _chosen(run: PerUtterance, part: str) -> np.ndarray:
    if part == "all":
        return np.ones(len(run.utts), dtype=bool)
    if run.in_train is None:
        raise ValueError(
            f"{run.where}: does not say which sentences are in the training text; score again "
            "with --train_text, or compare all."
        )
    chosen: np.ndarray = run.in_train == (part == "in_train")
    if not chosen.any():
        raise ValueError(f"{run.where}: no utterance of part '{part}'; compare another part.")
    return chosen


def _speakers(run: PerUtterance, chosen: np.ndarray, options: Options) -> list[str] | None:
    if options.by == "utterance":
        return None
    if run.speakers is None:
        if options.by == "speaker":
            raise ValueError(f"{run.where}: has no speakers; score again with --utt2spk.")
        return None
    speakers = [s for s, is_in in zip(run.speakers, chosen, strict=True) if is_in]
    return None if options.by == "auto" and len(set(speakers)) < 2 else speakers


def _side(name: str, runs: Sequence[PerUtterance], rates: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "runs": [str(run.where.parent) for run in runs],
        "rates": rates.tolist(),
        "mean": float(rates.mean()),
        "sd": float(rates.std(ddof=1)) if len(rates) > 1 else None,
    }


def _tests(
    difference: Contrast, limit: Contrast, reference_rate: float, options: Options
) -> dict[str, Any]:
    low, high = difference.interval(1 - 2 * options.alpha)
    p, p_limit = difference.p_below_zero(), limit.p_below_zero()
    steps = difference.quantile(1 - options.alpha) + difference.quantile(options.power)
    detectable = steps * difference.standard_error
    return {
        "difference": {
            "estimate": difference.estimate,
            "low": low,
            "high": high,
            "confidence": 1 - 2 * options.alpha,
            "standard_error": difference.standard_error,
            "df": difference.df,
            "relative": difference.estimate / reference_rate if reference_rate else float("nan"),
        },
        "variance": {
            "seeds": difference.seeds,
            "utterances": difference.utterances,
            "interaction": difference.interaction,
        },
        "superiority": {"p": p, "alpha": options.alpha, "holds": p < options.alpha},
        "non_inferiority": {
            "margin": options.margin,
            "p": p_limit,
            "alpha": options.alpha,
            "holds": p_limit < options.alpha,
        },
        "power": {
            "power": options.power,
            "detectable_difference": detectable,
            "detectable_relative": detectable / reference_rate if reference_rate else float("nan"),
            "formula": "(t(1 - alpha, df) + t(power, df)) * standard_error",
            "non_inferiority_if_equal": limit.power(
                -options.margin * reference_rate, options.alpha
            ),
        },
    }


def _notes(sides: dict[str, dict[str, Any]], clusters: int, by_speaker: bool) -> list[str]:
    """What the figures do not cover, in words."""
    notes = []
    single = [side["name"] for side in sides.values() if len(side["rates"]) == 1]
    if single:
        notes.append(
            f"One run only of {' and of '.join(single)}: how much training with another seed would "
            "change it is not covered. This compares trained models, not methods."
        )
    few = [side["name"] for side in sides.values() if len(side["rates"]) == 2]
    if few:
        notes.append(f"Two runs of {' and of '.join(few)} hardly tell how much runs vary.")
    if clusters < FEW_CLUSTERS:
        what = "speakers" if by_speaker else "utterances"
        notes.append(f"Only {clusters} {what}: the interval is rough.")
    return notes


def comparison_text(result: dict[str, Any]) -> str:
    """A comparison in words, rates in percent."""
    metric, sides = result["metric"].upper(), (result["system"], result["reference"])
    difference, power = result["difference"], result["power"]
    better, no_worse = result["superiority"], result["non_inferiority"]
    part = "" if result["part"] == "all" else f", {result['part']} sentences"
    width = max(len(side["name"]) for side in sides)
    lines = [
        f"{result['test_set']}{part}: {result['utterances']} utterances, drawn by "
        f"{result['by']} ({result['clusters']})"
    ]
    for side in sides:
        runs = len(side["rates"])
        spread = ", one run" if runs == 1 else f" ± {_percent(side['sd'])} over {runs} runs"
        lines.append(f"  {side['name']:<{width}}  {metric} {_percent(side['mean'])} %{spread}")
    lines += [
        f"  difference {_percent(difference['estimate'], True)} "
        f"[{_percent(difference['low'], True)}, {_percent(difference['high'], True)}] points "
        f"({100 * difference['confidence']:.0f} % interval; relative "
        f"{_percent(difference['relative'], True, 1)} %)",
        f"  superior: {_verdict(better['holds'])} (p = {better['p']:.3g}, one-sided, level "
        f"{better['alpha']:g})",
        f"  not inferior by more than {100 * no_worse['margin']:g} % of the reference: "
        f"{_verdict(no_worse['holds'])} (p = {no_worse['p']:.3g})",
        f"  with {100 * power['power']:.0f} % power this design finds a true difference of "
        f"{_percent(power['detectable_difference'])} points "
        f"({_percent(power['detectable_relative'], digits=1)} % of the reference), and "
        f"non-inferiority of equal systems with {100 * power['non_inferiority_if_equal']:.0f} %",
        *(f"  Note: {note}" for note in result["notes"]),
    ]
    return "\n".join(lines)


def _verdict(holds: bool) -> str:
    return "yes" if holds else "not shown"


def _percent(value: float | None, sign: bool = False, digits: int = 2) -> str:
    return "-" if value is None else f"{100 * value:{'+' if sign else ''}.{digits}f}"
