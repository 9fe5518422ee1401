"""Stage ``report`` of one recognizer: what it reached, on one page and on the terminal.

Made from ``score.json`` files, alignments and the training log, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.asr_plots import plot_training
from espnet_entropy.evaluation.record import read_score
from espnet_entropy.evaluation.tables import markdown
from espnet_entropy.evaluation.train_log import read_curves
from espnet_entropy.utils.files import atomic_write

EXPLANATION = (
    "WER and CER are errors over the length of the reference, with 95 % bootstrap intervals; S "
    "substitutions, D deletions, I insertions. CER counts the spaces between words. 'seen in "
    "training' are test sentences whose words also occur as a whole sentence in the training text "
    "(spoken by another, or at another time); 'new' are the others. Hz is the number of groups per "
    "second of audio that the model read; 'cut' counts hypotheses that the length limit ended."
)
WORST = 5  # utterances shown of each set
_PARTS = {"in_train": "seen in training", "new": "new"}


def write_asr_report(exp: str | Path, out: str | Path) -> str:
    """Write ``README.md`` and the training curve, and return a short table for the terminal.

    Args:
        exp: experiment directory with ``decode/<set>/score.json``.
        out: directory of the report.

    Raises:
        ValueError: if nothing was scored, or a result cannot be read.
    """
    exp, out = Path(exp), Path(out)
    scores = dict(find_scores(exp))
    if not scores:
        raise ValueError(f"{exp}/decode: no <set>/score.json there; run stage 'score' first.")
    out.mkdir(parents=True, exist_ok=True)
    results = list(scores.values())
    table = scores_table(results)
    page = [f"# Recognition: {exp.name}\n", f"{describe(results[0])}\n", table, f"\n{EXPLANATION}"]
    page += [f"\n{note}" for note in _notes(results)]
    curves = read_curves(exp)
    if curves:
        plot_training(out / "training.png", f"{exp.name}: training", curves)
        page.append("\n## Training\n\n![loss and accuracy by epoch](training.png)")
    for path, score in scores.items():
        page.append(_worst(path.parent / "aligned.txt", score["test_set"]))
    page.append("\n## Made by\n")
    page += [f"- `{score['command']}` (git {score['git']})" for score in results]
    with atomic_write(out / "README.md") as stream:
        stream.write("\n".join(part for part in page if part) + "\n")
    notes = "\n".join(_notes(results))
    where = f"The whole report: {(out / 'README.md').resolve()}"
    return "\n".join(filter(None, ["", describe(results[0]), "", table, notes, where]))


def find_scores(exp: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """``decode/<set>/score.json`` of an experiment, by path.

    Raises:
        ValueError: if one is unreadable or of another task.
    """
    for path in sorted(exp.glob("decode/*/score.json")):
        score = read_score(path)
        if score["task"] != "asr" or "wer" not in score:
            raise ValueError(f"{path}: a result of task '{score['task']}'; expected 'asr'.")
        yield path, score


def describe(score: dict[str, Any]) -> str:
    """What the model is, in a line."""
    parts = []
    if score["criterion"]:
        parts.append(f"groups: {score['criterion']}")
    if score["target_rate"]:
        parts.append(f"{score['target_rate']:g} Hz asked for")
    if score["parameters"]:
        parts.append(f"{score['parameters'] / 1e6:.2f} M parameters")
    if score["epochs"]:
        minutes = f" in {score['train_minutes']:g} minutes" if score["train_minutes"] else ""
        parts.append(f"{score['epochs']} epochs{minutes}")
    if score["seed"] is not None:
        parts.append(f"seed {score['seed']}")
    return ", ".join(parts)


def scores_table(scores: Sequence[dict[str, Any]]) -> str:
    """A line for each set, and for its sentences seen and not seen in training."""
    header = ["set", "utterances", "words", "WER % [95 %]", "S", "D", "I", "CER % [95 %]"]
    header += ["utt. with errors %", "Hz", "cut", "missing"]
    rows = []
    for score in scores:
        rate = "-" if score["achieved_rate"] is None else f"{score['achieved_rate']:.1f}"
        cut = "-" if score["truncated"] is None else str(score["truncated"])
        row = _row(score["test_set"], score)
        rows.append([*row, rate, cut, str(len(score["missing"]))])
        parts = score.get("parts", {})
        if parts and parts["in_train"]["utterances"]:  # else both lines would say the same
            rows += [[*_row(f"- {_PARTS[n]}", part), "", "", ""] for n, part in parts.items()]
    return markdown(header, rows)


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    wer, number = figures["wer"], figures["utterances"]
    if wer is None:
        return [name, "0", "0", "-", "", "", "", "-", "-"]
    counts = [str(wer[key]) for key in ("substitutions", "deletions", "insertions")]
    wrong = f"{100 * figures['utterances_with_errors'] / number:.1f}"
    head = [name, str(number), str(wer["reference"])]
    return [*head, percent_interval(wer), *counts, percent_interval(figures["cer"]), wrong]


def percent_interval(figure: dict[str, Any]) -> str:
    """``"5.60 [5.10, 6.20]"``; ``-`` where a figure is undefined."""
    values = [figure[key] for key in ("estimate", "low", "high")]
    value, low, high = ("-" if v is None else f"{100 * v:.2f}" for v in values)
    return f"{value} [{low}, {high}]"


def _notes(scores: Sequence[dict[str, Any]]) -> list[str]:
    """What to keep in mind when reading the intervals and counts."""
    notes = []
    for score in scores:
        if note := score["bootstrap"]["note"]:
            notes.append(f"{score['test_set']}: {note}.")
        if missing := score["missing"]:
            shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            notes.append(
                f"{score['test_set']}: {len(missing)} utterances have no hypothesis and count as "
                f"deleted: {shown}"
            )
    return notes


def _worst(path: Path, test_set: str) -> str:
    """The first blocks of ``aligned.txt``."""
    if not path.is_file():
        return ""
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    shown = [block for block in blocks[:WORST] if block.strip() and ": 0 errors" not in block]
    if not shown:
        return f"\n## {test_set}: no errors"
    text = "\n\n".join(shown)
    return f"\n## {test_set}: most errors\n\n```\n{text}\n```"
