"""The units that are compared: one k-means for each asked K on each asked layer.

Features of all layers come from one pass over the train set, to shards on disk; a killed run
goes on from the last shard, and from the last k-means that was finished.

Legend: N frames, D width, L layers, K codebook size.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.abx_items import AbxConfig
from espnet_entropy.evaluation.bigram import bigram_entropy
from espnet_entropy.tokenizer.config import KMeansConfig
from espnet_entropy.tokenizer.corpus import on_audio, parts_of, watched, write_beside
from espnet_entropy.tokenizer.features import Features, build_features
from espnet_entropy.tokenizer.fit import choose_utterances
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.lloyd import fit_kmeans
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import from_dict
from espnet_entropy.utils.files import atomic_write, fingerprint
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples
from espnet_entropy.utils.shards import ShardedArk, plan_shards

SHARD_SAMPLES = 120 * SAMPLE_RATE  # all layers of HuBERT base: 240 MB, of which three are held
ASSIGNED_AT_ONCE = 1 << 16  # frames
BIGRAM = "bigram.safetensors"


@dataclass(frozen=True)
class UnitQualityConfig:
    """What to compare: ``conf/unit_quality.yaml``.

    Attributes:
        features: kind of features, as in ``conf/tokenizer.yaml``.
        features_conf: their options; a model's ``layer`` does nothing.
        layers: of a model, rising; ``None`` is all, from 0 (before the first block).
        num_clusters: each K that is fitted on each layer.
        max_hours: train audio to fit on, a seeded choice of utterances; ``None`` is all of it.
            An hour of HuBERT base's 13 layers takes 7.2 GB of disk until the fits are done.
        seed: of that choice and of k-means.
        max_iterations: as ``quantizer_conf``.
        tolerance: as ``quantizer_conf``.
        rate: groups per second at which boundaries are compared.
        abx: which items are to be told apart.
    """

    features: Literal["mfcc", "hubert", "wavlm", "wav2vec2", "mel_encoder"] = "mfcc"
    features_conf: dict[str, Any] = field(default_factory=dict)
    layers: list[int] | None = None
    num_clusters: list[int] = field(default_factory=lambda: [50, 100, 200, 500])
    max_hours: float | None = 1.0
    seed: int = 0
    max_iterations: int = 50
    tolerance: float = 5e-4
    rate: float = 15.0
    abx: AbxConfig = field(default_factory=AbxConfig)

    def __post_init__(self) -> None:
        if not self.num_clusters or len(set(self.num_clusters)) < len(self.num_clusters):
            raise ValueError(
                f"num_clusters: expected different codebook sizes, got {self.num_clusters}."
            )
        if self.features == "mfcc" and self.layers is not None:
            raise ValueError("layers: mfcc has none; leave it out, or choose a model.")
        for K in self.num_clusters:
            self.kmeans(K)

    def kmeans(self, K: int) -> KMeansConfig:
        """The fit of one codebook."""
        return KMeansConfig(
            num_clusters=K,
            max_hours=self.max_hours,
            seed=self.seed,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
        )


@dataclass(frozen=True)
class LayeredFeatures:
    """Features whose columns are those of L layers side by side.

    Attributes:
        features: (N, L · D).
        names: of the L layers, for tables.
    """

    features: Features
    names: list[str]

    @property
    def width(self) -> int:
        """D."""
        return self.features.dim // len(self.names)

    def columns(self, layer: int) -> slice:
        """Of the layer with index ``layer``."""
        return slice(layer * self.width, (layer + 1) * self.width)


@dataclass(frozen=True)
class UnitSystem:
    """Units to evaluate.

    Attributes:
        layer: index into ``LayeredFeatures.names``.
        quantizer: of that layer's frames.
        entropy: (K + 1,) nats of ``bigram.bigram_entropy``; ``None`` without train units.
    """

    layer: int
    quantizer: KMeansQuantizer
    entropy: np.ndarray | None = None


def layered_features(config: UnitQualityConfig, device: str = "cpu") -> LayeredFeatures:
    """The features of all layers that the configuration asks for.

    Raises:
        ValueError: for unknown options, a model that cannot be loaded, or a layer it lacks.
    """
    if config.features == "mfcc":
        return LayeredFeatures(build_features("mfcc", config.features_conf, device), ["mfcc"])
    from espnet_entropy.tokenizer.layers import MelEncoderLayers, SpeechModelLayers, count_layers
    from espnet_entropy.tokenizer.mel_features import MelEncoderOptions
    from espnet_entropy.tokenizer.speech_model import SpeechModelConfig

    def chosen(model: str) -> list[int]:
        if config.layers is not None:
            return config.layers
        return list(range(count_layers(config.features, model) + 1))

    features: MelEncoderLayers | SpeechModelLayers
    if config.features == "mel_encoder":
        mel = from_dict(MelEncoderOptions, config.features_conf, "features_conf")
        features = MelEncoderLayers(mel, chosen(mel.model), device)
    else:
        options = from_dict(SpeechModelConfig, config.features_conf, "features_conf")
        layers = chosen(options.model)
        features = SpeechModelLayers(config.features, options, layers, device)
    return LayeredFeatures(features, list(map(str, features.layers)))


def ready_system(tokenizer: Tokenizer) -> tuple[LayeredFeatures, list[UnitSystem]]:
    """A tokenizer as it is, the only system."""
    layer = str(tokenizer.features.conf.get("layer", tokenizer.features.name))
    return LayeredFeatures(tokenizer.features, [layer]), [UnitSystem(0, tokenizer.quantizer)]


class SystemsFit:
    """The fits of every K on every layer to one data directory.

    Args:
        config: layers, sizes and how much to look at.
        layered: their features.
        data: formatted train set (``wav.scp``, ``utt2num_samples``).
        out: where ``<layer>_<K>/`` go; frames lie in its ``fit/`` until the end.
        device: where to compute.

    Raises:
        ValueError: for an unusable data directory.
    """

    def __init__(
        self,
        config: UnitQualityConfig,
        layered: LayeredFeatures,
        data: str | Path,
        out: str | Path,
        device: str = "cpu",
    ) -> None:
        self.config, self.layered, self.device = config, layered, device
        self.data, self.out = Path(data), Path(out)
        self.work = self.out / "fit"
        self.lengths = choose_utterances(dict(read_num_samples(data)), config.kmeans(2))
        self.key = fingerprint({"features": layered.features.fingerprint, "lengths": self.lengths})
        shards = plan_shards(self.lengths, SHARD_SAMPLES)
        self.ark = ShardedArk(self.work, "frames", shards, self.key)

    def run(self, max_failed: float = 0.05) -> list[UnitSystem]:
        """Do what is left; the systems, layer by layer and K by K.

        Args:
            max_failed: the largest tolerated share of failed utterances (0..1).

        Raises:
            ValueError: if too many utterances failed, or frames are too few for a K.
        """
        wanted = [(i, K) for i in range(len(self.layered.names)) for K in self.config.num_clusters]
        if any(self._load(*which) is None for which in wanted):
            self._extract()
            ends = self._gather(self.ark.merge(max_failed))
            for which in progress(wanted, "k-means", unit="fit"):
                if self._load(*which) is None:
                    self._fit(which[0], which[1], ends)
        shutil.rmtree(self.work, ignore_errors=True)
        systems = [self._load(*which) for which in wanted]
        return [system for system in systems if system is not None]

    def _extract(self) -> None:
        corpus = DataDir.read(self.data)
        mine = self.ark.pending()
        with progress((), "features", total=sum(len(self.ark.shards[i]) for i in mine)) as bar:
            parts = parts_of((self.ark.shards[i] for i in mine), self.lengths, SHARD_SAMPLES)
            extract = self.layered.features.extract_batch
            write_beside(self.ark, mine, watched(on_audio(corpus, parts, extract), bar))

    def _gather(self, entries: Mapping[str, str]) -> np.ndarray:
        """Each layer's frames as one (N, D) file, in corpus order; the end of each utterance."""
        paths = [self._frames(i) for i in range(len(self.layered.names))]
        arrays = Arrays(entries, self.work / "frames.scp")
        ready = all(path.is_file() for path in paths)
        lengths = []
        with ExitStack() as stack:
            streams = [] if ready else [stack.enter_context(atomic_write(p, "wb")) for p in paths]
            for frames in progress(arrays.values(), "gather", total=len(arrays)):
                lengths.append(len(frames))
                for i, stream in enumerate(streams):
                    columns = frames[:, self.layered.columns(i)]
                    stream.write(np.ascontiguousarray(columns, "<f4").tobytes())
        return np.cumsum(lengths)

    def _frames(self, layer: int) -> Path:
        return self.work / f"{self.layered.names[layer]}.f32"

    def _place(self, layer: int, K: int) -> Path:
        return self.out / f"{self.layered.names[layer]}_{K}"

    def _fit_key(self, K: int) -> str:
        return fingerprint({"key": self.key, "kmeans": asdict(self.config.kmeans(K))})

    def _fit(self, layer: int, K: int, ends: np.ndarray) -> None:
        frames = np.memmap(self._frames(layer), "<f4", mode="r").reshape(-1, self.layered.width)
        place = self._place(layer, K)
        logging.info("%s: %d clusters on %d frames", place, K, len(frames))
        state = self.work / f"{place.name}.safetensors"
        fit = fit_kmeans(frames, self.config.kmeans(K), state, self.device)
        info = {"fit_key": self._fit_key(K), **fit.report()}
        quantizer = KMeansQuantizer(fit.centroids, self.device, info)
        units = np.concatenate(
            [
                quantizer.assign(np.array(frames[begin : begin + ASSIGNED_AT_ONCE]))
                for begin in range(0, len(frames), ASSIGNED_AT_ONCE)
            ]
        )
        _save_entropy(place / BIGRAM, bigram_entropy(np.split(units, ends[:-1]), K))
        quantizer.save(place)  # last: its presence says that the system is whole

    def _load(self, layer: int, K: int) -> UnitSystem | None:
        place = self._place(layer, K)
        if not (place / "quantizer.yaml").is_file():
            return None
        quantizer = KMeansQuantizer.load(place, self.device)
        if quantizer.info.get("fit_key") != self._fit_key(K):
            raise ValueError(
                f"{place}: holds units of another configuration or corpus; remove the directory "
                "to fit anew, or choose another one."
            )
        return UnitSystem(layer, quantizer, _load_entropy(place / BIGRAM))


def _save_entropy(path: Path, entropy: np.ndarray) -> None:
    from safetensors.numpy import save

    with atomic_write(path, "wb") as stream:
        stream.write(save({"entropy": entropy}))


def _load_entropy(path: Path) -> np.ndarray:
    from safetensors.numpy import load

    return np.asarray(load(path.read_bytes())["entropy"])


def describe(layered: LayeredFeatures, systems: Sequence[UnitSystem]) -> dict[str, Any]:
    """What decides every figure on the side of the units, as plain values."""
    return {
        "features": layered.features.name,
        "features_conf": layered.features.conf,
        "features_fingerprint": layered.features.fingerprint,
        "layers": layered.names,
        "quantizers": [system.quantizer.fingerprint for system in systems],
    }
