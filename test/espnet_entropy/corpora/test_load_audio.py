"""Audio files of many kinds, whole and broken."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.corpora.audio import load_audio, resample


def sine(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_of_any_subtype(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", sine(16000), 16000, subtype=subtype)
    got = load_audio(tmp_path / "a.wav")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, sine(16000), atol=0.01 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize(
    ("name", "form", "subtype"),
    [("a.flac", "FLAC", "PCM_16"), ("a.ogg", "OGG", "OPUS"), ("a.ogg", "OGG", "VORBIS")],
)
def test_compressed_formats_keep_length_and_sound(
    tmp_path: Path, name: str, form: str, subtype: str
) -> None:
    soundfile.write(tmp_path / name, sine(16000), 16000, format=form, subtype=subtype)
    got = load_audio(tmp_path / name)
    assert got.shape == (16000,)
    middle = slice(2000, 14000)
    assert np.corrcoef(got[middle], sine(16000)[middle])[0, 1] > 0.99


def test_mp3(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", sine(16000), 16000, format="MP3")
    assert abs(len(load_audio(tmp_path / "a.mp3")) - 16000) < 2000


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_matches_the_sine_sampled_anew(rate: int) -> None:
    got = resample(sine(rate).astype(np.float32), rate)
    assert got.shape == (16000,)
    np.testing.assert_allclose(got[500:-500], sine(16000)[500:-500], atol=2e-3)


def test_resampling_does_not_alias() -> None:
    above = sine(44100, hertz=10_000.0).astype(np.float32)  # would fold to 6 kHz
    assert np.abs(resample(above, 44100)[500:-500]).max() < 5e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([sine(16000), -0.5 * sine(16000)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), 0.25 * sine(16000), atol=1e-6)


def test_silence_is_no_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    assert not load_audio(tmp_path / "a.wav").any()


def test_a_little_over_full_scale_is_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 3.0 * sine(16000), 16000, subtype="FLOAT")
    got = load_audio(tmp_path / "a.wav")
    assert got.max() == 1.0
    assert got.min() == -1.0


def test_segment_is_the_same_part_of_the_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", sine(16000, 3.0), 16000)
    whole = load_audio(tmp_path / "a.flac")
    got = load_audio(tmp_path / "a.flac", start=1.25, end=2.5)
    np.testing.assert_array_equal(got, whole[20000:40000])
    late = load_audio(tmp_path / "a.flac", start=2.5, end=3.3)  # a little late, as Kaldi allows
    np.testing.assert_array_equal(late, whole[40000:])


def test_wav_from_a_pipe_has_no_length_in_its_header_and_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(16000), 16000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    assert len(load_audio(tmp_path / "a.wav")) == 16000


def write(path: Path, samples: np.ndarray | None = None, **kwargs: object) -> bytes:
    soundfile.write(path, sine(16000) if samples is None else samples, 16000, **kwargs)
    return path.read_bytes()


def cut(path: Path, keep: float, **kwargs: object) -> None:
    content = write(path, **kwargs)
    path.write_bytes(content[: int(keep * len(content))])


def damage(path: Path, **kwargs: object) -> None:
    content = bytearray(write(path, **kwargs))
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
LONG = np.tile(NOISE, 2)  # several Ogg pages
BAD = {
    "missing": (lambda p: None, "no such file"),
    "directory": (lambda p: p.mkdir(), "a directory; expected an audio file"),
    "fifo": (os.mkfifo, "not a regular file"),
    "0 bytes": (lambda p: p.write_bytes(b""), "an empty file"),
    "no samples": (lambda p: write(p, np.zeros(0), format="WAV"), "no samples"),
    "text": (lambda p: p.write_text("hello\n"), "cannot be decoded"),
    "wav cut": (lambda p: cut(p, 0.5, format="WAV"), "truncated: got .* bytes"),
    "wav header only": (lambda p: cut(p, 0.0005, format="WAV"), "cannot be decoded"),
    "flac cut": (lambda p: cut(p, 0.5, format="FLAC"), "cannot be decoded"),
    "flac damaged": (lambda p: damage(p, format="FLAC"), "cannot be decoded"),
    "opus cut": (lambda p: cut(p, 0.97, samples=LONG, format="OGG", subtype="OPUS"), "truncated"),
    "vorbis cut": (
        lambda p: cut(p, 0.97, samples=LONG, format="OGG", subtype="VORBIS"),
        "truncated",
    ),
    "vorbis damaged": (
        lambda p: damage(p, samples=NOISE, format="OGG", subtype="VORBIS"),
        "truncated|cannot be decoded",
    ),
    "mp3 cut": (lambda p: cut(p, 0.5, samples=NOISE, format="MP3"), "truncated"),
    "nan": (
        lambda p: write(p, np.full(100, np.nan), format="WAV", subtype="FLOAT"),
        "100 of 100 samples are NaN",
    ),
    "infinite": (
        lambda p: write(p, np.array([0, np.inf]), format="WAV", subtype="FLOAT"),
        "1 of 2 samples are NaN or infinite",
    ),
    "integers as floats": (
        lambda p: write(p, 20000 * sine(16000), format="WAV", subtype="FLOAT"),
        "Divide by the integer full scale",
    ),
    "too long": (lambda p: write(p, sine(16000, 3.0), format="WAV"), "3.0 s .* at most 2 s"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_audio_is_named(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    path = tmp_path / "bad.audio"
    make(path)
    with pytest.raises(ValueError, match=message) as caught:
        load_audio(path, max_seconds=2.0)
    assert str(path) in str(caught.value)
    assert re.search(r"expected|check", str(caught.value))


@pytest.mark.parametrize(("start", "end"), [(-1.0, 0.5), (0.5, 0.5), (0.0, 1.6), (2.0, None)])
def test_segment_outside_the_recording(tmp_path: Path, start: float, end: float | None) -> None:
    write(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"recording of 1\.000 s"):
        load_audio(tmp_path / "a.wav", start=start, end=end)
