"""Each utterance of a padded batch beside transformers' own model on that utterance alone."""

import numpy as np
import pytest
import torch
import transformers
from small_speech_model import KINDS, SIZES, save_speech_model

from espnet_entropy.tokenizer import padded_batch
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.layers import SpeechModelLayers
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_model_dir import save_encoder
from espnet_entropy.tokenizer.padded_batch import (
    BATCH_SAMPLES,
    PADDING,
    hidden_states,
    masked_group_norm,
    pad,
    padded_length,
    plan_batches,
)
from espnet_entropy.tokenizer.pretrained import load_model
from espnet_entropy.tokenizer.speech_model import BATCH_NOISE, SpeechModelConfig
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.grid import num_units

LENGTHS = (9000, 400, 23_456, 719, 720, 16_079, 5000, 401)  # 400 gives one frame


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def waves(lengths=LENGTHS) -> list[np.ndarray]:
    """Of very different loudness and with an offset, so that another's statistics show."""
    return [(2.0 ** (i % 4) * noise(n, i) + 0.01 * i) for i, n in enumerate(lengths)]


def small(path, kind: str, norm: str = "group", stable: bool = False, **options):
    """A cut model whose biases and norms do something."""
    torch.manual_seed(0)
    options = {"feat_extract_norm": norm, "do_stable_layer_norm": stable, **SIZES, **options}
    config = getattr(transformers, f"{KINDS[kind]}Config")(**options)
    whole = getattr(transformers, f"{KINDS[kind]}Model")(config)
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if name.endswith("bias") or "layer_norm" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    whole.save_pretrained(path)
    return load_model(kind, str(path), config.num_hidden_layers)


def padded(model, wavs: list[np.ndarray], dtype: torch.dtype, layers=(0, 1, 2)) -> list[np.ndarray]:
    batch, lengths = (torch.from_numpy(array) for array in pad(wavs))
    with torch.inference_mode():
        states = hidden_states(model, batch.to(dtype), lengths, layers)
    assert torch.isfinite(states).all()
    return [row[: num_units(len(wav))].numpy() for row, wav in zip(states, wavs, strict=True)]


def alone(model, wav: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """As transformers computes it (of the whole model: test_speech_model)."""
    with torch.inference_mode():
        values = torch.from_numpy(wav)[None].to(dtype)
        states = model(values, output_hidden_states=True).hidden_states
    return torch.cat(states, 2)[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("stable", [False, True])
def test_padding_changes_nothing(tmp_path, kind, norm, stable):
    model, wavs = small(tmp_path, kind, norm, stable), waves()
    for wav, frames in zip(wavs, padded(model, wavs, torch.float32), strict=True):
        expected = alone(model, wav, torch.float32)
        assert frames.shape == expected.shape == (num_units(len(wav)), 96)
        for begin in (0, 32, 64):  # layer by layer
            assert_near(frames[:, begin : begin + 32], expected[:, begin : begin + 32])
    model.double()
    for wav, frames in zip(wavs, padded(model, wavs, torch.float64), strict=True):
        np.testing.assert_allclose(frames, alone(model, wav, torch.float64), rtol=0, atol=1e-9)


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    """Within what ``batch_noise`` says."""
    error, size = (np.linalg.norm(x, axis=1) for x in (found - expected, expected))
    assert (error <= BATCH_NOISE * size).all(), (error / size).max()


def test_an_unmasked_group_norm_would_show(tmp_path, monkeypatch):
    model = small(tmp_path, "hubert").double()
    expected = alone(model, waves()[0], torch.float64)
    monkeypatch.setattr(padded_batch, "masked_group_norm", lambda x, counts, norm: norm(x))
    assert np.abs(padded(model, waves(), torch.float64)[0] - expected).max() > 1e-3


def test_a_norm_before_the_positions_makes_nothing_of_padding(tmp_path):
    model = small(tmp_path, "hubert", "layer", conv_pos_batch_norm=True).double()
    model.encoder.pos_conv_embed.batch_norm.running_mean.fill_(0.3)
    for wav, frames in zip(waves(), padded(model, waves(), torch.float64), strict=True):
        np.testing.assert_allclose(frames, alone(model, wav, torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_group_norm_of_the_valid_frames(dtype):
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(6, 6).to(dtype)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (3 + torch.randn(4, 6, 50)).to(dtype)
    counts = torch.tensor([50, 2, 17, 49])
    with torch.no_grad():
        found = masked_group_norm(x.clone(), counts, norm)
        for row, n in enumerate(counts.tolist()):
            tolerance = 2e-6 if dtype == torch.float32 else 0.02
            expected = norm(x[row : row + 1, :, :n])[0]
            torch.testing.assert_close(found[row, :, :n], expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_valid_frames_are_those_the_model_counts(tmp_path, kind):
    model = small(tmp_path, kind)
    lengths = torch.tensor([400, 719, 720, 721, 15_999, 16_000, 16_079, 16_080, 1_234_567])
    expected = model._get_feat_extract_output_lengths(lengths).tolist()
    assert [num_units(n) for n in lengths.tolist()] == expected


def test_padded_lengths_hold_whole_steps_of_frames():
    for samples in (400, 401, 2871, 2952, 2953, 2959, 2960, 272_000, 271_999):
        length = padded_length(samples)
        assert length >= samples
        assert num_units(length) % 8 == 0
        assert length - samples <= 8 * 320 or length == 2952


def test_batches_are_full_and_little_padded():
    lengths = np.random.default_rng(0).integers(32_000, 272_000, size=400).tolist()
    batches = plan_batches(lengths)
    assert sorted(index for batch in batches for index in batch) == list(range(400))
    assert len(batches) < 30
    padding = 0
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert longest * len(batch) <= BATCH_SAMPLES
        more = sum(longest - lengths[i] for i in batch)
        assert more <= PADDING
        padding += more
    assert padding < 0.08 * sum(lengths)
    assert plan_batches([]) == []
    assert plan_batches([10 * BATCH_SAMPLES, 400]) == [[1], [0]]
    assert plan_batches([500, 800, 500]) == [[1, 0, 2]]


def shared(path, kind: str = "hubert", **conf):
    """Features that share batches, as on a GPU."""
    features = build_features(kind, {"model": str(path), "layer": 2, **conf})
    features._share(True)
    return features


@pytest.mark.parametrize("normalize", [False, True])
def test_units_are_those_of_each_alone(tmp_path, normalize):
    path = save_speech_model(tmp_path, "hubert", normalize=normalize)
    features, single = shared(path), build_features("hubert", {"model": str(path), "layer": 2})
    assert features.batch_noise == BATCH_NOISE
    assert features.fingerprint == single.fingerprint
    wavs = [*waves(), noise(399)]
    frames = [single.extract(wav) for wav in wavs]
    for one, found in zip(frames, features.extract_batch(wavs), strict=True):
        assert found.shape == one.shape
        assert_near(found, one)
    # between two frames nearly every other one is a near tie: those utterances go alone
    near = (frames[2][3] + frames[0][5]) / 2
    centroids = np.stack([frames[0][0], frames[2][3] - near * 1e-7, near, frames[2][9]])
    tokenizer = Tokenizer(features, KMeansQuantizer(centroids))
    again = Tokenizer(single, tokenizer.quantizer)
    wavs = wavs[:-1]
    for units, wav in zip(tokenizer.batch(wavs), wavs, strict=True):
        np.testing.assert_array_equal(units, again(wav))
    assert tokenizer.batch([]) == features.extract_batch([]) == []


def test_half_precision_takes_batches_as_they_are(tmp_path):
    features = shared(save_speech_model(tmp_path))
    object.__setattr__(features.config, "dtype", "bfloat16")  # what only a GPU accepts
    features._share(True)
    features._dtype = torch.bfloat16
    features._model.bfloat16()
    assert features.batch_noise == 0.0
    exact = build_features("hubert", {"model": str(tmp_path), "layer": 2})
    for wav, frames in zip(waves(), features.extract_batch(waves()), strict=True):
        expected = exact.extract(wav)
        assert frames.dtype == np.float32
        assert np.linalg.norm(frames - expected) < 0.05 * np.linalg.norm(expected)


def test_layers_side_by_side_share_batches(tmp_path):
    config = SpeechModelConfig(str(save_speech_model(tmp_path)))
    layers = SpeechModelLayers("hubert", config, [0, 2])
    layers._share(True)
    for wav, frames in zip(waves(), layers.extract_batch(waves()), strict=True):
        np.testing.assert_allclose(frames, layers.extract(wav), atol=1e-5)


def test_mel_encoders_share_batches(tmp_path):
    torch.manual_seed(0)
    save_encoder(MelEncoder(MelEncoderConfig(width=16, layers=3, heads=2, ffn=32)), tmp_path)
    features = shared(tmp_path, "mel_encoder")
    wavs = [*waves(), noise(399)]
    for wav, frames in zip(wavs, features.extract_batch(wavs), strict=True):
        assert_near(frames, features.extract(wav))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_one_graph_serves_every_length(tmp_path, kind):
    """torch.compile without its code generator: no break, no new graph for another length."""
    from torch._dynamo.testing import CompileCounterWithBackend

    features = shared(save_speech_model(tmp_path, kind), kind)
    counter = CompileCounterWithBackend("eager")
    features._states = torch.compile(hidden_states, backend=counter, dynamic=True, fullgraph=True)
    plain = shared(tmp_path, kind)
    for lengths in ((16_000, 9000, 400), (48_000, 30_000), (5000, 4000, 3000, 2000)):
        wavs = waves(lengths)
        for one, other in zip(features.extract_batch(wavs), plain.extract_batch(wavs), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert counter.frame_count == 1


def test_compiling_is_no_other_feature(tmp_path, monkeypatch):
    compiled = lambda *args: None  # noqa: E731
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: compiled)
    path = save_speech_model(tmp_path)
    one, other = shared(path), shared(path, compile=True)
    assert one.fingerprint == other.fingerprint
    assert other.conf["compile"] is True
    assert (one._states, other._states) == (hidden_states, compiled)
    other._share(False)  # as on a CPU
    assert other._states is hidden_states
