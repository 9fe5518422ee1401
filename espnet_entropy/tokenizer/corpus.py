"""A data directory to units: shard by shard, in parallel jobs, resumable.

Shapes: N units, T samples.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.tokenizer.tokenizer import Tokenizer, check_wav, read_description
from espnet_entropy.utils.ahead import ahead, behind
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples, write_part
from espnet_entropy.utils.shards import Job, ShardedArk, plan_shards

T = TypeVar("T")
Part: TypeAlias = "list[tuple[str, T | Exception]]"  # each utterance, and why if nothing came of it

SHARD_SAMPLES = 600 * SAMPLE_RATE  # ten minutes of audio: 40 MB, and little to lose
MOST_READERS = 8  # threads


def tokenize_corpus(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    job: Job | None = None,
    device: str = "cpu",
) -> None:
    """Make the unfinished shards of one job; call :func:`merge_units` after all jobs.

    Args:
        model: directory of the tokenizer.
        data: formatted data directory (``wav.scp``, ``utt2num_samples``).
        out: where ``units.scp`` and its archives go.
        job: whose shards; all, if not given. The result does not depend on it.
        device: where to compute.

    Raises:
        ValueError: for an unusable model or data directory, or if ``out`` holds the units of
            another tokenizer; a bad utterance is listed as failed, not raised.
    """
    ark = _sharded(model, data, out)
    mine = ark.pending(job)
    if not mine:
        logging.info("%s: nothing left to do here", out)
        return
    corpus, lengths = DataDir.read(data), read_num_samples(data)
    units = _units_of(corpus, Tokenizer.from_pretrained(model, device), readers_for(device))
    with progress((), "tokenize", total=sum(len(ark.shards[i]) for i in mine)) as bar:
        parts = parts_of((ark.shards[i] for i in mine), lengths, SHARD_SAMPLES)
        write_beside(ark, mine, watched(units(parts), bar))


def _units_of(
    corpus: DataDir, tokenizer: Tokenizer, readers: int
) -> Callable[[Iterable[list[str]]], Iterator[Part[np.ndarray]]]:
    """What makes the units of parts of a corpus: of their audio, or of their alignment."""
    from espnet_entropy.tokenizer.phone_features import PhoneFeatures, read_phones  # imports this

    if not isinstance(tokenizer.features, PhoneFeatures):
        return lambda parts: on_audio(corpus, parts, tokenizer.batch, readers)
    samples = read_num_samples(corpus.path)
    phones = read_phones(corpus.path, samples)
    aligned = partial(tokenizer.features.aligned, corpus, phones=phones, samples=samples)
    return lambda parts: (list(aligned(utts)) for utts in parts)


def merge_units(
    model: str | Path, data: str | Path, out: str | Path, max_failed: float = 0.05
) -> int:
    """Write ``units.scp``, ``utt2num_samples`` and ``meta.yaml`` from the finished shards.

    Args:
        model: as in :func:`tokenize_corpus`.
        data: as in :func:`tokenize_corpus`.
        out: as in :func:`tokenize_corpus`.
        max_failed: the largest tolerated share of failed utterances (0..1).

    Returns:
        Number of utterances with units.

    Raises:
        ValueError: naming missing shards, or if too many utterances failed.
    """
    out = Path(out)
    entries = _sharded(model, data, out).merge(max_failed)
    write_part(out / "utt2num_samples", entries, read_num_samples(data))
    info = read_description(model)
    write_yaml(
        out / "meta.yaml",
        {
            "tokenizer": info["fingerprint"],
            "num_clusters": info["num_clusters"],
            "features": info["features"],
            "quantizer": info["quantizer"],
        },
    )
    return len(entries)


def parts_of(
    shards: Iterable[list[str]], lengths: Mapping[str, int], most_samples: int
) -> Iterator[list[str]]:
    """Shards in pieces: no more audio at a time, however large they are.

    Args:
        shards: lists of utterances.
        lengths: samples of each utterance.
        most_samples: in a piece; a longer utterance is one by itself.
    """
    for utts in shards:
        yield from plan_shards({utt: lengths[utt] for utt in utts}, most_samples, most=None)


def on_audio(
    corpus: DataDir,
    parts: Iterable[list[str]],
    compute: Callable[[list[np.ndarray]], list[T]],
    readers: int = 1,
) -> Generator[Part[T], None, None]:
    """Load the audio of ``parts``, compute on one part at once, and give results in order.

    The next part is read in threads while one is computed: two are in memory. What the results
    are depends on the parts, never on how fast which of them was read.

    Args:
        corpus: where the audio is.
        parts: lists of utterances.
        compute: (T,) waveforms to one result each.
        readers: how many utterances are read at a time; see :func:`readers_for`.

    Yields:
        For each part, utterances and results, or the ``ValueError`` that says why there is none.
    """
    with closing(ahead(_load(corpus, parts, readers))) as loaded:
        for part in loaded:
            wavs = [wav for _, wav in part if not isinstance(wav, Exception)]
            found = iter(compute(wavs))
            results: Part[T] = [
                (utt, wav if isinstance(wav, Exception) else next(found)) for utt, wav in part
            ]
            assert next(found, None) is None, len(wavs)
            yield results


def _load(corpus: DataDir, parts: Iterable[list[str]], readers: int) -> Iterator[Part[np.ndarray]]:
    def load(utt: str) -> np.ndarray | ValueError:
        try:
            return check_wav(corpus.load_audio(utt))
        except ValueError as error:
            return error

    with ThreadPoolExecutor(readers, "reader") as pool:
        for utts in parts:
            yield list(zip(utts, pool.map(load, utts), strict=True))


def readers_for(device: str) -> int:
    """How many threads shall read audio beside a computation on ``device``.

    One decodes FLAC at 2700 times real time (measured), more than any model on a CPU takes; a GPU
    can take 10 000.
    """
    return 1 if device == "cpu" else min(MOST_READERS, os.cpu_count() or 1)


def write_beside(ark: ShardedArk, shards: list[int], parts: Iterable[Part[np.ndarray]]) -> None:
    """Write shards from the results of their utterances, in a thread beside what makes these.

    Args:
        ark: where to.
        shards: indices, in the order of the results.
        parts: results, at least one part per shard; see :func:`on_audio`.
    """

    def write(parts: Iterator[Part[np.ndarray]]) -> None:
        results = chain.from_iterable(parts)
        ark.run(partial(_whole, results), shards)

    behind(parts, write)


def _whole(
    results: Iterator[tuple[str, np.ndarray | Exception]], utts: list[str]
) -> Iterator[tuple[str, np.ndarray | Exception]]:
    """The results of just these utterances; what is short or shifted may not pass for a shard."""
    for utt, result in zip(utts, islice(results, len(utts)), strict=True):
        assert result[0] == utt, (result[0], utt)
        yield result


def watched(parts: Iterable[Part[T]], bar: Any) -> Iterator[Part[T]]:
    """``parts``, each counted on a progress bar once it is there."""
    for part in parts:
        bar.update(len(part))
        yield part


def _sharded(model: str | Path, data: str | Path, out: str | Path) -> ShardedArk:
    lengths = read_num_samples(data)
    shards = plan_shards(lengths, SHARD_SAMPLES)
    return ShardedArk(out, "units", shards, str(read_description(model)["fingerprint"]), lengths)
