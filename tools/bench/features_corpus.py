"""What ``bench_features.py`` works on: audio files, and a HuBERT with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Wavs = list[np.ndarray]


def make_tokenizer(folder: Path, device: str, wavs: Wavs, **sizes: Any) -> None:
    """HuBERT base (or of other ``sizes``) with random weights, and 500 of its frames."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    from espnet_entropy.tokenizer.features import build_features
    from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
    from espnet_entropy.tokenizer.tokenizer import Tokenizer

    torch.manual_seed(0)
    HubertModel(HubertConfig(**sizes)).save_pretrained(folder / "model")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "model")
    layer = min(9, sizes.get("num_hidden_layers", 9))
    conf = {"model": str(folder / "model"), "layer": layer}
    features = build_features("hubert", conf, device)
    frames = np.concatenate([features.extract(wav) for wav in wavs[:5]])
    chosen = np.random.default_rng(0).permutation(len(frames))[:500]
    Tokenizer(features, KMeansQuantizer(frames[chosen], device)).save(folder / "tokenizer")


def make_data(folder: Path, minutes: float) -> Wavs:
    """A data directory of noise in syllables, lengths as LibriSpeech's; the first utterances."""
    import soundfile

    random, left, lines, wavs = np.random.default_rng(0), minutes * 60, [], []
    folder.mkdir()
    while left > 0:
        samples = int(16_000 * min(max(left, 2.0), random.triangular(2, 15, 17)))
        time = np.arange(samples) / 16_000
        beat = np.sin(2 * np.pi * random.uniform(2, 6) * time) ** 2
        voice = np.sin(2 * np.pi * random.uniform(90, 250) * time)
        wav = 0.2 * beat * voice + 0.02 * random.normal(size=samples)
        name, left = f"u{len(lines):05d}", left - samples / 16_000
        soundfile.write(folder / f"{name}.flac", wav, 16_000)
        lines.append((name, folder / f"{name}.flac", samples))
        if len(wavs) < 5:
            wavs.append(wav.astype(np.float32))
    write_data(folder, lines)
    return wavs


def write_data(folder: Path, lines: Sequence[tuple[str, Any, int]]) -> None:
    """The files of a data directory, from ids, audio files and numbers of samples."""
    folder.mkdir(exist_ok=True)
    (folder / "wav.scp").write_text("".join(f"{utt} {wav}\n" for utt, wav, _ in lines))
    (folder / "utt2spk").write_text("".join(f"{utt} {utt}\n" for utt, _, _ in lines))
    (folder / "utt2num_samples").write_text("".join(f"{utt} {n}\n" for utt, _, n in lines))


def take_data(source: str, folder: Path, minutes: float) -> None:
    """The first utterances of a data directory, the same ones in every run."""
    from espnet_entropy.corpora.data_dir import DataDir
    from espnet_entropy.utils.scp import read_num_samples

    lines, left, samples = [], minutes * 60 * 16_000, read_num_samples(source)
    for utt, wav in DataDir.read(source).wavs.items():
        if left <= 0:
            break
        lines.append((utt, wav, samples[utt]))
        left -= samples[utt]
    write_data(folder, lines)


def repeat(folder: Path, times: int) -> Path:
    """A data directory with every utterance so many times."""
    from espnet_entropy.corpora.data_dir import DataDir
    from espnet_entropy.utils.scp import read_num_samples

    wavs, samples = DataDir.read(folder).wavs, read_num_samples(folder)
    lines = [
        (f"{utt}-{i:03d}", wav, samples[utt]) for utt, wav in wavs.items() for i in range(times)
    ]
    write_data(folder.with_name("repeated"), lines)
    return folder.with_name("repeated")
