"""Fitting a tokenizer to a data directory in bounded memory, resumable at every instant.

First the frames: a seeded choice of utterances, and of the frames of each, goes to shards on
disk (in parallel jobs, if wanted). Then k-means streams over them.

Shapes: N frames of an utterance, D width.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.tokenizer.config import KMeansConfig, TokenizerConfig
from espnet_entropy.tokenizer.corpus import (
    SHARD_SAMPLES,
    Part,
    on_audio,
    parts_of,
    readers_for,
    watched,
    write_beside,
)
from espnet_entropy.tokenizer.features import Features, build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.lloyd import fit_kmeans
from espnet_entropy.tokenizer.tokenizer import DESCRIPTION, Tokenizer
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import read_yaml
from espnet_entropy.utils.files import atomic_write, fingerprint
from espnet_entropy.utils.grid import SAMPLE_RATE, num_units
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples
from espnet_entropy.utils.shards import Job, ShardedArk, plan_shards


class TokenizerFit:
    """The fit of one tokenizer to one data directory.

    Args:
        config: features, K and how much to sample; a ready k-means (``pretrained``) is not
            fitted but taken by ``tokenizer.convert.adopt``.
        data: formatted data directory (``wav.scp``, ``utt2num_samples``).
        out: directory of the tokenizer; frames and state lie in its ``fit/`` until the end.
        device: where to compute.

    Raises:
        ValueError: for an unusable configuration, model or data directory.
    """

    def __init__(
        self, config: TokenizerConfig, data: str | Path, out: str | Path, device: str = "cpu"
    ) -> None:
        assert config.quantizer_conf.pretrained is None, config
        self.config, self.data, self.out, self.device = config, Path(data), Path(out), device
        self.features: Features = build_features(config.features, config.features_conf, device)
        lengths = choose_utterances(read_num_samples(data), config.quantizer_conf)
        frames = sum(map(num_units, lengths.values()))
        if frames == 0:
            raise ValueError(f"{data}: no utterance has a whole frame; check utt2num_samples.")
        options = asdict(config.quantizer_conf)
        del options["pretrained"]  # None
        self.share = min(1.0, config.quantizer_conf.max_frames / frames)
        self.key = fingerprint(
            {
                "features": self.features.fingerprint,
                "quantizer": options,
                "lengths": lengths,
            }
        )
        self.work = self.out / "fit"
        self.lengths = lengths
        shards = plan_shards(lengths, SHARD_SAMPLES)
        self.ark = ShardedArk(self.work, "frames", shards, self.key, lengths)

    def extract(self, job: Job | None = None) -> None:
        """Sample the frames of the unfinished shards of one job; of all, if not given."""
        if is_finished(self.out, self.key):
            return
        mine = self.ark.pending(job)
        corpus = DataDir.read(self.data)
        with progress((), "features", total=sum(len(self.ark.shards[i]) for i in mine)) as bar:
            parts = parts_of((self.ark.shards[i] for i in mine), self.lengths, SHARD_SAMPLES)
            write_beside(self.ark, mine, watched(self._sampled(corpus, parts), bar))

    def run(self, max_failed: float = 0.05) -> Tokenizer:
        """Do what is left of the extraction, fit, and write the tokenizer.

        Args:
            max_failed: the largest tolerated share of failed utterances (0..1).

        Raises:
            ValueError: if too many utterances failed, frames are too few, or ``out`` holds
                another tokenizer.
        """
        if is_finished(self.out, self.key):
            logging.info("%s: the tokenizer is finished", self.out)
            shutil.rmtree(self.work, ignore_errors=True)  # killed before the last line
            return Tokenizer.from_pretrained(self.out, self.device)
        self.extract()
        frames = self._gather(self.ark.merge(max_failed))
        state = self.work / "state.safetensors"
        fit = fit_kmeans(frames, self.config.quantizer_conf, state, self.device)
        info = {"fit_key": self.key, **fit.report()}
        quantizer = KMeansQuantizer(fit.centroids, self.device, info)
        tokenizer = Tokenizer(self.features, quantizer)
        tokenizer.save(self.out)
        shutil.rmtree(self.work)
        return tokenizer

    def _sampled(self, corpus: DataDir, parts: Iterable[list[str]]) -> Iterator[Part[np.ndarray]]:
        """Sampled frames of each utterance, part by part."""
        extract = self.features.extract_batch
        for part in on_audio(corpus, parts, extract, readers_for(self.device)):
            yield [
                (utt, got if isinstance(got, Exception) else got[self._sample(utt, len(got))])
                for utt, got in part
            ]

    def _sample(self, utt: str, count: int) -> np.ndarray:
        """(count,) bool: which frames of ``utt`` take part, whatever else is in the corpus."""
        name = f"{self.config.quantizer_conf.seed}|{utt}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        return np.random.default_rng(seed).random(count) < self.share

    def _gather(self, entries: Mapping[str, str]) -> np.ndarray:
        """All sampled frames as one memory-mapped (N, D) float32 file, in corpus order."""
        path = self.work / "frames.f32"
        if not path.is_file():
            with atomic_write(path, "wb") as stream:
                for sampled in Arrays(entries, self.work / "frames.scp").values():
                    stream.write(sampled.astype("<f4").tobytes())
        if path.stat().st_size == 0:
            raise ValueError(f"{self.data}: no frames were sampled; raise max_frames.")
        return np.memmap(path, "<f4", mode="r").reshape(-1, self.features.dim)


def is_finished(out: str | Path, key: str) -> bool:
    """Whether ``out`` holds the whole tokenizer that was made under ``key``.

    Raises:
        ValueError: if it holds another one.
    """
    out = Path(out)
    if not (out / DESCRIPTION).is_file():
        return False
    if read_yaml(out / "quantizer.yaml").get("fit_key") == key:
        return True
    raise ValueError(
        f"{out}: holds a tokenizer of another configuration or corpus; "
        "remove the directory to fit anew, or choose another one."
    )


def choose_utterances(lengths: Mapping[str, int], config: KMeansConfig) -> Mapping[str, int]:
    """A seeded choice of about ``max_hours`` of audio, at least one utterance, order kept.

    Args:
        lengths: utterance to number of samples.
        config: ``max_hours`` and ``seed``.
    """
    if config.max_hours is None:
        return lengths

    def rank(utt: str) -> str:
        return hashlib.sha256(f"{config.seed}|{utt}".encode()).hexdigest()

    chosen: set[str] = set()
    left = config.max_hours * 3600 * SAMPLE_RATE
    for utt in sorted(lengths, key=rank):
        if left <= 0:
            break
        chosen.add(utt)
        left -= lengths[utt]
    return {utt: length for utt, length in lengths.items() if utt in chosen}
