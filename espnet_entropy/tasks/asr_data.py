"""A scored dump and its texts as ESPnet's trainer reads them: same ids, and how long each is.

ESPnet takes lengths from shape files. Those of speech follow from the number of samples, so that
nothing has to be loaded; batches are made from units, whatever the groups, so that compared
systems share them (DESIGN.md).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.utils.ark import beside, read_entries, split
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.grid import num_units
from espnet_entropy.utils.scp import (
    format_line,
    in_order,
    join_tables,
    read_num_samples,
    read_table,
)


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
                f"min_units {self.min_units}, max_units {self.max_units}: expected 1 <= min_units "
                "<= max_units; correct --min_units or --max_units."
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


def prepare_set(
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
    for name in ("scored.scp", "meta.yaml"):
        if not (scored / name).is_file():
            raise ValueError(f"{scored}/{name}: no such file; run the recipe's units1 first.")
    entries = in_order(read_entries(scored / "scored.scp"), scored / "scored.scp")
    samples, texts = read_num_samples(scored), read_table(text, allow_empty=True)
    lacking = [utt for utt, _, number in join_tables(entries, samples) if number is None]
    if lacking:
        raise ValueError(f"{scored}/utt2num_samples: lacks utterance '{lacking[0]}' of scored.scp.")
    skipped = FailureLog("prepare", out / "skipped", max_failed)
    rebase = _Rebase(scored)
    kept = 0
    (out / "meta.yaml").unlink(missing_ok=True)  # not whole from here until the last line
    with ExitStack() as stack:
        names = ("scored.scp", "text", "utt2num_samples", "speech_shape")
        files = [stack.enter_context(atomic_write(out / name)) for name in names]
        both = zip(join_tables(entries, samples), join_tables(entries, texts), strict=True)
        for (utt, where, number), (_, _, words) in both:
            assert number is not None, utt
            units = num_units(number)
            problem = limits.problem(units, words)
            if problem is not None:
                skipped.add(utt, problem)
                continue
            values = (rebase(where), words, number, f"{units},2")
            for file, value in zip(files, values, strict=True):
                file.write(format_line(utt, value))
            kept += 1
        skipped.close(len(entries))
    with atomic_write(out / "meta.yaml", "wb") as stream, open(scored / "meta.yaml", "rb") as meta:
        shutil.copyfileobj(meta, stream)
    return kept


class _Rebase:
    """``<archive>:<offset>`` as seen from here, where it is relative to the dump's maker."""

    def __init__(self, scored: Path) -> None:
        self.scored, self.known = scored, {"": ""}

    def __call__(self, where: str) -> str:
        path, offset = split(where)
        if path not in self.known:
            self.known[path] = self._find(path)
        return f"{self.known[path]}:{offset}"

    def _find(self, path: str) -> str:
        place = path if os.path.isabs(path) else beside(path, self.scored)
        if place is not None:
            return place
        raise ValueError(
            f"{self.scored}/scored.scp: no archive '{path}' under {self.scored}; if the dump was "
            "moved, score the set anew."
        )
