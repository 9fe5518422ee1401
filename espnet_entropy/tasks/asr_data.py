"""A scored dump and its texts as ESPnet's trainer reads them: same ids, and how long each is.

ESPnet takes lengths from shape files. Those of speech follow from the number of samples, so that
nothing has to be loaded; batches are made from units, whatever the groups, so that compared
systems share them (DESIGN.md).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.utils.ark import read_entries, split
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.grid import num_units
from espnet_entropy.utils.scp import read_num_samples, read_scp, write_scp


@dataclass(frozen=True)
class Limits:
    """Which utterances train; others are named in ``skipped`` and left out.

    Attributes:
        min_units: units at 50 Hz, at least.
        max_units: units at 50 Hz, at most; ``None`` for no limit.
        max_characters: of the text; ``None`` for no limit.
    """

    min_units: int = 1
    max_units: int | None = None
    max_characters: int | None = None

    def __post_init__(self) -> None:
        if self.min_units < 1 or (self.max_units is not None and self.max_units < self.min_units):
            raise ValueError(
                f"expected 1 <= min_units <= max_units, got {self.min_units} and {self.max_units}."
            )

    def problem(self, units: int, text: str | None) -> str | None:
        """Why an utterance is left out, if it is."""
        if text is None:
            return "has no text; add it to the text file or remove the utterance."
        if not text:
            return "its text is empty; nothing can be learned from it."
        if units < self.min_units:
            return f"{units} units, below min_units {self.min_units}."
        if self.max_units is not None and units > self.max_units:
            return f"{units} units, above max_units {self.max_units}."
        if self.max_characters is not None and len(text) > self.max_characters:
            return f"{len(text)} characters, above max_characters {self.max_characters}."
        return None


def prepare(
    scored: str | Path,
    text: str | Path,
    out: str | Path,
    limits: Limits | None = None,
    max_failed: float = 0.05,
) -> int:
    """Write ``<out>/{scored.scp,text,speech_shape,utt2num_samples,meta.yaml,skipped}``.

    Args:
        scored: a scored dump. Its archives stay where they are; ``scored.scp`` points to them
            from the present directory, whatever directory made the dump.
        text: Kaldi's ``text`` of (at least) the same utterances.
        out: the new directory; ``meta.yaml`` is written last.
        limits: what to leave out.
        max_failed: the largest tolerated share of utterances that are left out.

    Returns:
        Number of utterances.

    Raises:
        ValueError: for missing or malformed files, or if too many utterances are left out.
    """
    scored, out = Path(scored), Path(out)
    limits = limits or Limits()
    if not (scored / "scored.scp").is_file():
        raise ValueError(f"{scored}/scored.scp: no such file; run the recipe's units1 first.")
    entries, samples = read_entries(scored / "scored.scp"), read_num_samples(scored)
    texts = read_scp(text, allow_empty=True)
    skipped = FailureLog("prepare", out / "skipped", max_failed)
    shapes: dict[str, str] = {}
    for utt in entries:
        if utt not in samples:
            raise ValueError(f"{scored}/utt2num_samples: lacks utterance '{utt}' of scored.scp.")
        units = num_units(samples[utt])
        problem = limits.problem(units, texts.get(utt))
        if problem is None:
            shapes[utt] = f"{units},2"
        else:
            skipped.add(utt, problem)
    (out / "meta.yaml").unlink(missing_ok=True)  # not whole from here until the last line
    skipped.close(len(entries))
    rebase = _Rebase(scored)
    write_scp(out / "scored.scp", {utt: rebase(entries[utt]) for utt in shapes})
    write_scp(out / "text", {utt: texts[utt] for utt in shapes})
    write_scp(out / "utt2num_samples", {utt: samples[utt] for utt in shapes})
    write_scp(out / "speech_shape", shapes)
    with atomic_write(out / "meta.yaml", "wb") as stream, open(scored / "meta.yaml", "rb") as meta:
        shutil.copyfileobj(meta, stream)
    return len(shapes)


class _Rebase:
    """``<archive>:<offset>`` as seen from here, where it is relative to the dump's maker.

    A dump ``<recipe>/dump/scored/<set>`` was written from ``<recipe>``: the parent of the dump
    from which its first archive is found tells which one that was.
    """

    def __init__(self, scored: Path) -> None:
        self.scored, self.known = scored, {"": ""}

    def __call__(self, where: str) -> str:
        path, offset = split(where)
        if path not in self.known:
            self.known[path] = self._find(path)
        return f"{self.known[path]}:{offset}"

    def _find(self, path: str) -> str:
        if os.path.isabs(path):
            return path
        for parent in (Path.cwd(), *self.scored.resolve().parents):
            if (parent / path).is_file() and self.scored.resolve() in (parent / path).parents:
                return os.path.relpath(parent / path)
        raise ValueError(
            f"{self.scored}/scored.scp: no archive '{path}' under {self.scored}; if the dump was "
            "moved, score the set anew."
        )
