"""Every utterance decodable, 16 kHz and mono: ``data/<set>`` -> ``dump/raw/<set>``.

The work is cut into fixed shards of utterances. A shard is finished when its list exists; the
list names what it was made from, so a file that was mended since is done again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import soundfile

from espnet_entropy.corpora.audio import MAX_SECONDS, is_native
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.large_dir import copy_tables
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write, fingerprint, safe_name
from espnet_entropy.utils.grid import FRAME_LENGTH, SAMPLE_RATE
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import convert_table, format_line
from espnet_entropy.utils.shards import Job, plan_shards

SHARD_UTTERANCES = 200  # about 10 minutes of audio: seconds of work to lose, few files


def format_audio(
    data_dir: str | Path,
    out_dir: str | Path,
    job: Job | None = None,
    max_seconds: float = MAX_SECONDS,
) -> None:
    """Check the audio of the unfinished shards of one job, and convert what needs it.

    Every file is decoded whole. A 16 kHz mono file stays where it is; of any other, and of a
    segment, a 16-bit FLAC is written below ``<out_dir>/audio``. Call :func:`merge` afterwards.

    Args:
        data_dir: the data directory.
        out_dir: the formatted one.
        job: whose shards; all, if not given. The result does not depend on it.
        max_seconds: the longest utterance accepted.

    Raises:
        ValueError: for an unusable data directory; a bad utterance is noted, not raised.
    """
    work = _Work(data_dir, out_dir, max_seconds)
    # by number of utterances: how long they are is only known afterwards
    mine = (job or Job()).share([len(shard) for shard in work.shards])
    mine = [index for index in mine if work.finished(index) is None]
    total = sum(len(work.shards[index]) for index in mine)
    with progress((), f"format {work.out.name}", total=total) as bar:
        for index in mine:
            work.run(index, bar.update)


def merge(
    data_dir: str | Path,
    out_dir: str | Path,
    max_seconds: float = MAX_SECONDS,
    max_failed: float = 0.05,
) -> int:
    """Write the formatted data directory from the finished shards.

    All files of ``data_dir`` come along without the failed utterances; ``utt2num_samples``
    (16 kHz) is added, and ``failed.txt`` says what was skipped and why.

    Args:
        data_dir: as in :func:`format_audio`.
        out_dir: as in :func:`format_audio`.
        max_seconds: as in :func:`format_audio`.
        max_failed: the largest tolerated share of failed utterances (0..1).

    Returns:
        Number of utterances written.

    Raises:
        ValueError: naming the unfinished shards, or if too many utterances failed.
    """
    work = _Work(data_dir, out_dir, max_seconds)
    failures = FailureLog("format_audio", work.out / "failed.txt", max_failed)
    with atomic_write(work.out / "wav.scp") as wavs:  # the last to appear: all else is there
        with atomic_write(work.out / "utt2num_samples") as lengths:
            for shard in work.all_finished():
                for utt, reason in shard.failed.items():
                    failures.add(utt, reason)
                for utt, (wav, samples) in shard.done.items():
                    wavs.write(format_line(utt, wav))
                    lengths.write(format_line(utt, samples))
            failures.close(total=len(work.data.wavs))
        return copy_tables(work.data, work.out, failures.failed)


class _Shard(NamedTuple):
    """A finished shard: path and number of samples, or why not, by utterance."""

    key: str
    done: dict[str, tuple[str, int]]
    failed: dict[str, str]


class _Work:
    """The plan of one data directory, and one shard of it at a time."""

    def __init__(self, data_dir: str | Path, out_dir: str | Path, max_seconds: float) -> None:
        self.data, self.out, self.max_seconds = DataDir.read(data_dir), Path(out_dir), max_seconds
        if self.data.path.resolve() == self.out.resolve():
            raise ValueError(f"{self.out}: the output is the input; choose another directory.")
        self.shards = plan_shards(convert_table(self.data.wavs, lambda *_: 1), SHARD_UTTERANCES)

    def finished(self, index: int) -> _Shard | None:
        """What a shard holds, or ``None`` if it is to be made (again)."""
        path = self._list(index)
        if not path.is_file():
            return None
        shard = _Shard(**json.loads(path.read_text(encoding="utf-8")))
        return shard if shard.key == self._key(index) else None

    def all_finished(self) -> Iterator[_Shard]:
        """What the shards hold, in the order of the plan.

        Raises:
            ValueError: after the last one, naming those that are to be made (again).
        """
        missing = []
        for index in range(len(self.shards)):
            shard = self.finished(index)
            if shard is None:
                missing.append(str(index + 1))
            else:
                yield shard
        if missing:
            raise ValueError(
                f"{self.out}: shard(s) {', '.join(missing[:10])} of {len(self.shards)} are not "
                "finished; run the stage again, finished ones are kept."
            )

    def run(self, index: int, tick: Callable[[int], object]) -> None:
        """Make one shard; its list comes last."""
        shard = _Shard(self._key(index), {}, {})
        for utt in self.shards[index]:
            try:
                shard.done[utt] = self._format(utt)
            except ValueError as error:
                shard.failed[utt] = str(error)
            tick(1)
        with atomic_write(self._list(index)) as stream:
            json.dump(shard._asdict(), stream, ensure_ascii=False, indent=0)

    def _format(self, utt: str) -> tuple[str, int]:
        """Path and number of samples of one utterance that is fit for use."""
        samples = self.data.load_audio(utt, self.max_seconds)
        wav = self.data.wavs[utt]
        if len(samples) < FRAME_LENGTH:
            raise ValueError(
                f"{wav}: {len(samples)} samples at 16 kHz; expected at least {FRAME_LENGTH} (one "
                "unit). Remove it or join it to its neighbour."
            )
        if utt in self.data.segments or not is_native(wav):
            wav = str(self.out / "audio" / f"{safe_name(utt)}.flac")
            encoded = io.BytesIO()
            soundfile.write(encoded, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            with atomic_write(wav, "wb") as stream:
                stream.write(encoded.getvalue())
        return wav, len(samples)

    def _list(self, index: int) -> Path:
        return self.out / "shards" / f"audio.{index + 1}.json"

    def _key(self, index: int) -> str:
        """Changes with the shard's utterances, their files (size, time) and the limit."""
        sources = []
        for utt in self.shards[index]:
            file = Path(self.data.wavs[utt])
            stat = file.stat() if file.exists() else None
            state = (stat.st_size, stat.st_mtime_ns) if stat else None
            sources.append((utt, str(file), state, self.data.segments.get(utt)))
        return fingerprint({"sources": sources, "max_seconds": self.max_seconds})
