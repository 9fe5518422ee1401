"""A data directory to units: shard by shard, in parallel jobs, resumable.

Shapes: N units, T samples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.tokenizer.tokenizer import Tokenizer, check_wav, read_description
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples, write_part
from espnet_entropy.utils.shards import Job, ShardedArk, plan_shards

T = TypeVar("T")

SHARD_SAMPLES = 600 * SAMPLE_RATE  # ten minutes of audio: 40 MB, and little to lose


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
    corpus = DataDir.read(data)
    units = _units_of(corpus, Tokenizer.from_pretrained(model, device))
    lengths = read_num_samples(data)
    with progress((), "tokenize", total=sum(len(ark.shards[i]) for i in mine)) as bar:

        def make(utts: list[str]) -> Iterator[tuple[str, np.ndarray | Exception]]:
            # no more audio at a time than this, however large the shards of a large corpus are
            for part in plan_shards({utt: lengths[utt] for utt in utts}, SHARD_SAMPLES, most=None):
                bar.update(len(part))
                yield from units(part)

        ark.run(make, mine)


def _units_of(
    corpus: DataDir, tokenizer: Tokenizer
) -> Callable[[list[str]], Iterator[tuple[str, np.ndarray | Exception]]]:
    """What makes the units of a list of utterances: of their audio, or of their alignment."""
    from espnet_entropy.tokenizer.phone_features import PhoneFeatures, read_phones  # imports this

    if not isinstance(tokenizer.features, PhoneFeatures):
        return lambda utts: on_audio(corpus, utts, tokenizer.batch)
    samples = read_num_samples(corpus.path)
    phones = read_phones(corpus.path, samples)
    return partial(tokenizer.features.aligned, corpus, phones=phones, samples=samples)


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


def on_audio(
    corpus: DataDir, utts: list[str], compute: Callable[[list[np.ndarray]], list[T]]
) -> Iterator[tuple[str, T | Exception]]:
    """Load the audio of ``utts``, compute on all of it at once, and give results in order.

    Args:
        corpus: where the audio is.
        utts: what to load; all of it is in memory at once.
        compute: (T,) waveforms to one result each.

    Yields:
        Utterance and result, or the ``ValueError`` that says why there is none.
    """
    results: dict[str, T | Exception] = {}
    wavs: dict[str, np.ndarray] = {}
    for utt in utts:
        try:
            wavs[utt] = check_wav(corpus.load_audio(utt))
        except ValueError as error:
            results[utt] = error
    results.update(zip(wavs, compute(list(wavs.values())), strict=True))
    for utt in utts:
        yield utt, results.pop(utt)


def _sharded(model: str | Path, data: str | Path, out: str | Path) -> ShardedArk:
    lengths = read_num_samples(data)
    shards = plan_shards(lengths, SHARD_SAMPLES)
    return ShardedArk(out, "units", shards, str(read_description(model)["fingerprint"]), lengths)
