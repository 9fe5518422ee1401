"""One bad utterance never stops a corpus: it is named, skipped and counted."""

from __future__ import annotations

import logging
from pathlib import Path

from espnet_entropy.utils.files import atomic_write


def reason_text(reason: str | Exception) -> str:
    """One line; the type of an exception that says nothing.

    Example:
        >>> reason_text(OSError("disk\\nfull")), reason_text(MemoryError())
        ('disk full', 'MemoryError')
    """
    return " ".join(str(reason).split()) or type(reason).__name__


class FailureLog:
    """Collects utterances that had to be skipped, each with its reason.

    Args:
        stage: name of the step, for messages.
        path: where :meth:`close` writes the list (``<utt> <reason>`` lines), or ``None``.
        max_failed: the largest tolerated share of skipped utterances (0..1).

    Example:
        >>> log = FailureLog("tokenize", None, max_failed=0.5)
        >>> log.add("utt1", "a.wav: empty file")
        >>> log.close(total=10)
    """

    def __init__(self, stage: str, path: str | Path | None, max_failed: float = 0.05) -> None:
        if not 0.0 <= max_failed <= 1.0:
            raise ValueError(f"max_failed: expected a share between 0 and 1, got {max_failed}.")
        self.stage = stage
        self.path = Path(path) if path is not None else None
        self.max_failed = max_failed
        self.failed: dict[str, str] = {}

    def add(self, utt: str, reason: str | Exception) -> None:
        """Note that ``utt`` is skipped because of ``reason``."""
        message = reason_text(reason)
        self.failed[utt] = message
        logging.warning("%s: skipped %s: %s", self.stage, utt, message)

    def close(self, total: int) -> None:
        """Write the list and judge the share of failures.

        Args:
            total: number of utterances tried, the failed ones included.

        Raises:
            ValueError: if more than ``max_failed`` of them failed, or all of them.
        """
        if self.path is not None:
            with atomic_write(self.path) as stream:
                stream.writelines(f"{utt} {why}\n" for utt, why in sorted(self.failed.items()))
        if not self.failed:
            return
        logging.warning("%s: skipped %d of %d utterances", self.stage, len(self.failed), total)
        if len(self.failed) > self.max_failed * total or len(self.failed) == total:
            first = [f"  {utt}: {why}" for utt, why in sorted(self.failed.items())[:5]]
            tolerated = f", more than the tolerated {self.max_failed:.1%}"
            remedy = "Mend or remove them, or raise --max_failed"
            if len(self.failed) == total:  # no tolerance would help
                tolerated, remedy = ", all there are", "Mend them"
            where = f"; the whole list is in {self.path}" if self.path else ""
            raise ValueError(
                f"{self.stage}: {len(self.failed)} of {total} utterances failed{tolerated}. "
                "The first ones:\n" + "\n".join(first) + f"\n{remedy}{where}."
            )
