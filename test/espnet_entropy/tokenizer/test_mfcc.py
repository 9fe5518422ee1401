import numpy as np
import pytest
import torch
import torchaudio

from espnet_entropy.tokenizer import mfcc
from espnet_entropy.tokenizer.mfcc import Mfcc, MfccConfig, cepstra
from espnet_entropy.utils.grid import num_units


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Loud noise whose loudness and colour change, so that frames differ."""
    random = np.random.default_rng(seed)
    white = random.normal(size=samples)
    slow = 1.0 + 0.9 * np.sin(np.arange(samples) / 3000.0)
    return (0.1 * slow * (white + 0.7 * np.roll(white, 1))).astype(np.float32)


def test_cepstra_are_kaldis(monkeypatch):
    monkeypatch.setattr(mfcc, "BAND_FLOOR", 1e-12)  # Kaldi's floor does not touch speech
    wav = noise(32_000)
    expected = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy(wav)[None], sample_frequency=16_000, frame_shift=20.0, use_energy=False
    ).numpy()
    found = cepstra(wav)
    assert found.shape == expected.shape == (num_units(32_000), 13)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_differences_are_torchaudios():
    rows = Mfcc(MfccConfig("none")).extract(noise(20_000))
    static = torch.from_numpy(rows[:, :13].copy()).T[None]
    first = torchaudio.functional.compute_deltas(static)
    second = torchaudio.functional.compute_deltas(first)
    expected = torch.cat([static, first, second], dim=1)[0].T.numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-4)


@pytest.mark.parametrize("samples", [400, 719, 720, 1000, 2800, 50_000])
@pytest.mark.parametrize("normalize", ["none", "causal", "utterance"])
def test_stream_equals_streaming_features_bit_for_bit(samples: int, normalize: str):
    features = Mfcc(MfccConfig(normalize))
    wav = noise(samples)
    expected = features.streaming().extract(wav)
    random = np.random.default_rng(samples)
    for longest in (100, 5000):
        stream, pieces, at = features.stream(), [], 0
        while at < samples:
            step = int(random.integers(0, longest))
            pieces.append(stream.push(wav[at : at + step]))
            at += step
        pieces.append(stream.flush())
        np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_only_utterance_normalization_streams_as_another():
    for normalize in ("none", "causal"):
        features = Mfcc(MfccConfig(normalize))
        assert features.streaming() is features
    features = Mfcc()
    assert features.streaming().fingerprint == Mfcc(MfccConfig("causal")).fingerprint
    assert (features.streaming().extract(noise(8000)) != features.extract(noise(8000))).any()
    assert features.full_context() is features
    assert features.streaming().full_context().fingerprint == features.fingerprint


@pytest.mark.parametrize("normalize", ["none", "utterance"])
def test_a_frame_comes_out_after_its_latency(normalize: str):
    stream = Mfcc(MfccConfig(normalize)).stream()
    needed = round(16_000 * Mfcc.latency)
    assert needed == 4 * 320 + 400
    assert len(stream.push(noise(needed - 1))) == 0
    assert len(stream.push(noise(1))) == 1
    assert len(stream.push(noise(319))) == 0
    assert len(stream.push(noise(1))) == 1


def test_causal_normalization_is_the_running_mean_with_a_prior():
    wav = noise(16_000)
    plain = Mfcc(MfccConfig("none")).extract(wav).astype(np.float64)
    found = Mfcc(MfccConfig("causal")).extract(wav)
    for i in (0, 1, 20, len(plain) - 1):
        count = mfcc.PRIOR_FRAMES + i + 1
        mean = (mfcc.PRIOR_FRAMES * mfcc.PRIOR_MEAN + plain[: i + 1].sum(0)) / count
        second = mfcc.PRIOR_FRAMES * (mfcc.PRIOR_DEVIATION**2 + mfcc.PRIOR_MEAN**2)
        variance = (second + (plain[: i + 1] ** 2).sum(0)) / count - mean**2
        np.testing.assert_allclose(found[i], (plain[i] - mean) / np.sqrt(variance), atol=1e-4)


def test_utterance_normalization():
    rows = Mfcc().extract(noise(30_000))
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-4)


def test_silence_is_stable(monkeypatch):
    silence = np.zeros(8000, np.float32)
    for normalize in ("utterance", "none", "causal"):
        assert np.isfinite(Mfcc(MfccConfig(normalize)).extract(silence)).all()
    np.testing.assert_allclose(Mfcc().extract(silence), 0, atol=1e-6)
    rounding = (np.random.default_rng(0).integers(0, 2, 8000) / 32768 / 2).astype(np.float32)
    assert np.abs(cepstra(rounding) - cepstra(silence)).max() < 3.0
    monkeypatch.setattr(mfcc, "BAND_FLOOR", 1.2e-7)  # Kaldi's: what the constant is there for
    assert np.abs(cepstra(rounding) - cepstra(silence)).max() > 8.0


def test_offset_does_not_matter():
    wav = noise(8000)
    np.testing.assert_allclose(cepstra(wav + np.float32(0.1)), cepstra(wav), atol=0.02)


def test_too_short_gives_no_frame():
    assert Mfcc().extract(np.zeros(399, np.float32)).shape == (0, 39)


def test_fingerprint_tells_options_apart():
    assert len({Mfcc(MfccConfig(n)).fingerprint for n in ("none", "causal", "utterance")}) == 3


def test_fingerprint_of_causal_covers_its_prior(monkeypatch):
    before = [Mfcc(MfccConfig(n)).fingerprint for n in ("causal", "utterance")]
    monkeypatch.setattr(mfcc, "PRIOR_FRAMES", 60)
    after = [Mfcc(MfccConfig(n)).fingerprint for n in ("causal", "utterance")]
    assert before[0] != after[0]
    assert before[1] == after[1]
