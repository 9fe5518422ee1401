import numpy as np
import pytest
import torch
import yaml
from sounds import babble

from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig, normalize
from espnet_entropy.tokenizer.mel_levels import mel_levels
from espnet_entropy.tokenizer.mel_model_dir import load_encoder, save_encoder
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.grid import num_units

CONFIG = MelEncoderConfig(width=16, layers=3, heads=2, ffn=32, kernel=5)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    save_encoder(MelEncoder(CONFIG), tmp_path / "model", training={"steps": 0})
    return tmp_path / "model"


def test_padding_and_company_change_nothing():
    torch.manual_seed(0)
    encoder = MelEncoder(CONFIG).eval()
    lengths = torch.tensor([30, 7, 1, 19])
    levels = torch.randint(0, 200, (4, 59, 40))  # beyond a length: anything
    masked = torch.rand(4, 30) < 0.3
    with torch.no_grad():
        together = encoder(levels, lengths, masked)
        for i, n in enumerate(lengths.tolist()):
            alone = encoder(
                levels[i : i + 1, : 2 * n - 1], lengths[i : i + 1], masked[i : i + 1, :n]
            )
            for layer in range(4):
                torch.testing.assert_close(
                    together[layer][i, :n], alone[layer][0], atol=2e-5, rtol=2e-5
                )
                assert not together[layer][i, n:].any()


def test_normalization_is_of_the_utterance_alone():
    levels = torch.randint(0, 200, (2, 9, 40))
    found = normalize(levels, torch.arange(9) < torch.tensor([[9], [5]]))
    rows = levels[1, :5].double().numpy()
    expected = (rows - rows.mean(0)) / np.maximum(rows.std(0), 4)
    np.testing.assert_allclose(found[1, :5], expected, atol=1e-5)
    assert not found[1, 5:].any()


def test_masked_units_are_hidden():
    torch.manual_seed(0)
    encoder = MelEncoder(CONFIG).eval()
    levels = torch.randint(0, 200, (1, 19, 40))
    other = levels.clone()
    other[:, 9] = 255 - other[:, 9]  # level frame 9 lies between units 4 and 5; reaches 3 to 6
    masked = torch.zeros(1, 10, dtype=torch.bool)
    lengths = torch.tensor([10])
    # the same mean and deviation, so that only the place differs
    other[:, 9], other[:, 7] = levels[:, 7], levels[:, 9]
    assert not torch.equal(encoder(levels, lengths, masked)[0], encoder(other, lengths, masked)[0])
    masked[0, 3:6] = True  # units 2 and 6, which see these frames, stay visible
    for one, two in zip(
        encoder(levels, lengths, masked), encoder(other, lengths, masked), strict=True
    ):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_features_are_the_states_of_the_layer(model, layer):
    features = build_features("mel_encoder", {"model": str(model), "layer": layer})
    wav = babble(0, 1.0)
    encoder, _ = load_encoder(model)
    levels = torch.from_numpy(mel_levels(wav))[None]
    states = encoder(levels, torch.tensor([num_units(len(wav))]))
    assert features.dim == 16
    np.testing.assert_allclose(features.extract(wav), states[layer][0], atol=1e-6)


def test_a_batch_equals_each_alone(model):
    features = build_features("mel_encoder", {"model": str(model)})
    wavs = [babble(i, 0.5 + 0.2 * i) for i in range(3)] + [babble(9)[:399]]
    for wav, frames in zip(wavs, features.extract_batch(wavs), strict=True):
        np.testing.assert_array_equal(frames, features.extract(wav))
        assert len(frames) == num_units(len(wav))
    assert features.batch_noise == 0


def test_a_stream_equals_the_chunks(model):
    conf = {"model": str(model), "chunk": 0.4, "left_context": 0.3, "right_context": 0.1}
    features = build_features("mel_encoder", conf)
    wav = babble(4, 2.0)
    stream = features.stream()
    pieces = [stream.push(part) for part in np.array_split(wav, 13)] + [stream.flush()]
    np.testing.assert_array_equal(np.concatenate(pieces), features.extract(wav))
    assert features.latency == pytest.approx(0.4 + 0.1 + 0.005)
    whole = features.full_context()
    assert whole.fingerprint == build_features("mel_encoder", {"model": str(model)}).fingerprint


def test_features_of_the_whole_utterance_stream_in_chunks_of_their_own(model):
    whole = build_features("mel_encoder", {"model": str(model)})
    wav = babble(4, 2.0)
    stream = whole.stream()
    pieces = [stream.push(part) for part in np.array_split(wav, 13)] + [stream.flush()]
    chunked = whole.streaming()
    np.testing.assert_array_equal(np.concatenate(pieces), chunked.extract(wav))
    assert (whole.latency, chunked.latency) == (np.inf, pytest.approx(0.4 + 0.2 + 0.005))
    assert chunked.streaming() is chunked
    assert chunked.fingerprint != whole.fingerprint == chunked.full_context().fingerprint


def test_a_tokenizer_takes_its_model_along(model, tmp_path):
    features = build_features("mel_encoder", {"model": str(model), "layer": 2})
    wav = babble(5, 1.0)
    frames = features.extract(wav)
    tokenizer = Tokenizer(features, KMeansQuantizer(frames[:8]))
    tokenizer.save(tmp_path / "tokenizer", with_model=True)
    (tmp_path / "tokenizer").rename(tmp_path / "moved")
    weights = model / "model.safetensors"
    weights.unlink()
    again = Tokenizer.from_pretrained(tmp_path / "moved")
    assert again.fingerprint == tokenizer.fingerprint
    np.testing.assert_array_equal(again(wav), tokenizer(wav))
    assert load_encoder(tmp_path / "moved/model")[0].config.layers == 2


def test_weights_are_rounded_once(model):
    encoder, layer = load_encoder(model)
    assert layer == 3
    save_encoder(encoder, model.parent / "again")
    first, second = (p / "model.safetensors" for p in (model, model.parent / "again"))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 2.1 * sum(p.numel() for p in encoder.parameters()) + 9000


def edit(path, **changes):
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: (m / "config.yaml").unlink(), "expected a mel encoder"),
        (lambda m: edit(m / "config.yaml", model="hubert"), "expected 'model: mel_encoder'"),
        (lambda m: edit(m / "config.yaml", layer=9), r"layer 9; expected 0\.\.3"),
        (lambda m: edit(m / "config.yaml", encoder={"widht": 3}), "Did you mean 'width'"),
        (lambda m: edit(m / "config.yaml", fingerprint="0"), "not the weights"),
        (lambda m: (m / "model.safetensors").write_bytes(b"x"), "not a readable safetensors"),
        (lambda m: (m / "model.safetensors").unlink(), "no such file"),
    ],
)
def test_damaged_models_are_refused(model, spoil, message):
    spoil(model)
    with pytest.raises(ValueError, match=message):
        build_features("mel_encoder", {"model": str(model)})


def test_wrong_options_are_refused(model):
    for conf, message in (
        ({"layer": 4}, r"layer 4; expected 0\.\.3"),
        ({"layer": -1}, "layer: expected 0"),
        ({"dtype": "float16"}, "needs a GPU"),
        ({"left_context": 1.0}, "need 'chunk'"),
    ):
        with pytest.raises(ValueError, match=message):
            build_features("mel_encoder", {"model": str(model), **conf})
    with pytest.raises(ValueError, match="do not divide"):
        MelEncoderConfig(width=10, heads=3)
    with pytest.raises(ValueError, match="odd"):
        MelEncoderConfig(kernel=4)
