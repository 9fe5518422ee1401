import numpy as np
import pytest
import torch
from test_speech_model import make_model, noise

from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.layers import MelEncoderLayers, SpeechModelLayers, count_layers
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_features import MelEncoderOptions
from espnet_entropy.tokenizer.mel_model_dir import save_encoder
from espnet_entropy.tokenizer.speech_model import SpeechModelConfig


@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("chunk", [{}, {"chunk": 0.2, "left_context": 0.1}])
def test_columns_are_each_layers_own_features(tmp_path, kind, stable, chunk):
    path = make_model(tmp_path / "m", kind, stable)
    config = SpeechModelConfig(str(path), **chunk)
    together = SpeechModelLayers(kind, config, [0, 1, 2])
    assert together.dim == 96
    wavs = [noise(9000), noise(399), noise(5000, seed=1)]
    found = together.extract_batch(wavs)
    for layer in range(3):
        alone = build_features(kind, {"model": str(path), "layer": layer, **chunk})
        for wav, frames in zip(wavs, found, strict=True):
            columns = frames[:, 32 * layer : 32 * (layer + 1)]
            np.testing.assert_allclose(columns, alone.extract(wav), atol=1e-6)
    some = SpeechModelLayers(kind, config, [1, 2])
    np.testing.assert_allclose(some.extract(wavs[0]), found[0][:, 32:], atol=1e-6)
    assert some.fingerprint != together.fingerprint


def test_layers_are_counted_and_checked(tmp_path):
    path = str(make_model(tmp_path / "m"))
    assert count_layers("hubert", path) == 2
    config = SpeechModelConfig(path)
    with pytest.raises(ValueError, match=r"layer 3; expected 0\.\.2"):
        SpeechModelLayers("hubert", config, [0, 3])
    with pytest.raises(ValueError, match=r"layers: expected rising numbers, got \[2, 1\]"):
        SpeechModelLayers("hubert", config, [2, 1])
    with pytest.raises(ValueError, match="layer: expected 0"):
        SpeechModelLayers("hubert", config, [-1, 1])


@pytest.fixture
def mel_model(tmp_path):
    torch.manual_seed(0)
    config = MelEncoderConfig(width=16, layers=3, heads=2, ffn=32, kernel=5)
    save_encoder(MelEncoder(config), tmp_path / "mel")
    return str(tmp_path / "mel")


@pytest.mark.parametrize("chunk", [{}, {"chunk": 0.2, "left_context": 0.1}])
def test_columns_of_a_mel_encoder(mel_model, chunk):
    together = MelEncoderLayers(MelEncoderOptions(mel_model, **chunk), [0, 2])
    wavs = [noise(9000), noise(399), noise(5000, seed=1)]
    found = together.extract_batch(wavs)
    for i, layer in enumerate([0, 2]):
        conf = {"model": mel_model, "layer": layer, **chunk}
        alone = build_features("mel_encoder", conf)
        for wav, frames in zip(wavs, found, strict=True):
            columns = frames[:, 16 * i : 16 * (i + 1)]
            np.testing.assert_allclose(columns, alone.extract(wav), atol=1e-6)
    others = MelEncoderLayers(MelEncoderOptions(mel_model, **chunk), [1, 2])
    assert others.fingerprint != together.fingerprint


def test_layers_of_a_mel_encoder_are_counted_and_checked(mel_model):
    assert count_layers("mel_encoder", mel_model) == 3
    options = MelEncoderOptions(mel_model)
    for layers, message in (
        ([0, 4], r"layer 4; expected 0\.\.3"),
        ([], r"layers: expected rising numbers, got \[\]"),
        ([-1, 1], "layer: expected 0"),
    ):
        with pytest.raises(ValueError, match=message):
            MelEncoderLayers(options, layers)
