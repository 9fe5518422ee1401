import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from small_speech_model import KINDS, save_speech_model

from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.utils.grid import num_units


def make_model(path: Path, kind: str = "hubert", stable: bool = False, **options) -> Path:
    """A random model; ``stable`` is the large models' kind."""
    options = {"feat_extract_norm": "layer" if stable else "group", **options}
    return save_speech_model(path, kind, normalize=stable, do_stable_layer_norm=stable, **options)


def whole_model(path: Path, kind: str, wav: np.ndarray) -> list[np.ndarray]:
    """Every hidden state of the complete model, through transformers' own preprocessing."""
    model = getattr(transformers, KINDS[kind] + "Model").from_pretrained(path).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(path)
    values = extractor(wav, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        states = model(values, output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stable", [False, True])
def test_early_exit_equals_the_whole_model(tmp_path, kind, stable):
    path, wav = make_model(tmp_path / "m", kind, stable), noise(12_345)
    expected = whole_model(path, kind, wav)
    prints = set()
    for layer in range(3):
        features = build_features(kind, {"model": str(path), "layer": layer})
        found = features.extract(wav)
        assert found.shape == (num_units(len(wav)), features.dim)
        np.testing.assert_allclose(found, expected[layer], atol=1e-6)
        prints.add(features.fingerprint)
    assert len(prints) == 3


def test_frames_lie_on_the_grid(tmp_path):
    features = build_features("hubert", {"model": str(make_model(tmp_path)), "layer": 1})
    for samples in (400, 719, 720, 16_000, 16_079, 16_080):
        assert features.extract(noise(samples)).shape == (num_units(samples), 32)
    assert features.extract(noise(399)).shape == (0, 32)


def test_a_batch_is_each_alone(tmp_path):
    features = build_features("hubert", {"model": str(make_model(tmp_path)), "layer": 2})
    assert features.batch_noise == 0.0
    wavs = [noise(n, seed) for seed, n in enumerate((8000, 5000, 8000, 400, 399, 8000))]
    for alone, together in zip(
        map(features.extract, wavs), features.extract_batch(wavs), strict=True
    ):
        np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("samples", [400, 5000, 16_000, 31_111])
def test_stream_equals_chunks_offline(tmp_path, samples):
    conf = {"model": str(make_model(tmp_path)), "layer": 2}
    conf |= {"chunk": 0.2, "left_context": 0.3, "right_context": 0.1}
    features, wav = build_features("hubert", conf), noise(samples)
    assert features.streaming() is features
    offline = features.extract(wav)
    assert len(offline) == num_units(samples)
    for step in (100, 1777, 50_000):
        stream = features.stream()
        pieces = [stream.push(wav[i : i + step]) for i in range(0, samples, step)]
        np.testing.assert_array_equal(np.concatenate([*pieces, stream.flush()]), offline)


def test_a_chunk_sees_its_context_and_no_more(tmp_path):
    conf = {"model": str(make_model(tmp_path)), "layer": 2}
    conf |= {"chunk": 0.2, "left_context": 0.1, "right_context": 0.1}
    features, wav = build_features("hubert", conf), noise(32_000)
    before = features.extract(wav)
    changed = wav.copy()
    changed[16_000:16_160] += 0.5  # frames 49 and 50, whose chunks are 4 (40..49) and 5
    differs = np.abs(features.extract(changed) - before).max(1) > 1e-7
    assert differs[40:60].all()
    assert not differs[:40].any()
    assert not differs[60:].any()


def test_full_context_is_without_chunks(tmp_path):
    conf = {"model": str(make_model(tmp_path)), "layer": 2}
    whole = build_features("hubert", conf)
    assert whole.full_context() is whole
    chunked = build_features("hubert", conf | {"chunk": 0.2, "right_context": 0.1})
    assert chunked.full_context().fingerprint == whole.fingerprint


def test_chunk_as_long_as_the_audio_is_the_whole(tmp_path):
    path, wav = str(make_model(tmp_path)), noise(400 + 320 * 49)
    whole = build_features("hubert", {"model": path, "layer": 2}).extract(wav)
    chunked = build_features("hubert", {"model": path, "layer": 2, "chunk": 1.0}).extract(wav)
    np.testing.assert_array_equal(whole, chunked)


def test_without_chunks_there_is_no_stream(tmp_path):
    features = build_features("hubert", {"model": str(make_model(tmp_path)), "layer": 1})
    assert features.latency == float("inf")
    for begin in (features.stream, features.streaming):
        with pytest.raises(ValueError, match="set features_conf 'chunk'"):
            begin()


def test_latency_is_a_chunk_and_its_right_context(tmp_path):
    conf = {"model": str(make_model(tmp_path)), "layer": 1}
    conf |= {"chunk": 0.2, "left_context": 0.3, "right_context": 0.1}
    features = build_features("hubert", conf)
    assert features.latency == pytest.approx(0.2 + 0.1 + 0.005)  # a window is 5 ms above its shift
    stream, needed = features.stream(), round(16_000 * features.latency)
    assert len(stream.push(noise(needed - 1))) == 0
    assert len(stream.push(noise(1))) == 10
    assert len(stream.push(noise(3199))) == 0
    assert len(stream.push(noise(1))) == 10


def test_saved_blocks_are_the_same_features(tmp_path):
    conf = {"model": str(make_model(tmp_path / "m", stable=True)), "layer": 1}
    features = build_features("hubert", conf)
    changed = features.save_model(tmp_path / "copy")
    again = build_features("hubert", {**conf, **changed}, directory=tmp_path / "copy")
    assert again.fingerprint == features.fingerprint
    np.testing.assert_array_equal(again.extract(noise(4000)), features.extract(noise(4000)))


def test_pytorch_files_are_read_with_weights_only(tmp_path):
    path = make_model(tmp_path)
    expected = build_features("hubert", {"model": str(path), "layer": 2}).fingerprint
    state = transformers.HubertModel.from_pretrained(path).state_dict()
    (path / "model.safetensors").unlink()
    torch.save(state, path / "pytorch_model.bin")
    found = build_features("hubert", {"model": str(path), "layer": 2})
    assert found.fingerprint == expected

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({**state, "bomb": Bomb()}, path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be loaded safely"):
        build_features("hubert", {"model": str(path), "layer": 2})
    assert not (tmp_path / "ran").exists()


def test_other_weights_have_another_fingerprint(tmp_path):
    one = build_features("hubert", {"model": str(make_model(tmp_path / "a")), "layer": 1})
    path = make_model(tmp_path / "b")
    model = transformers.HubertModel.from_pretrained(path)
    with torch.no_grad():
        model.encoder.layers[0].attention.q_proj.bias[0] += 1e-6
    model.save_pretrained(path)
    two = build_features("hubert", {"model": str(path), "layer": 1})
    assert one.fingerprint != two.fingerprint


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_bad_models(tmp_path, monkeypatch):
    path = make_model(tmp_path / "m")
    build = lambda kind="hubert", **conf: build_features(kind, {"model": str(path), **conf})  # noqa: E731
    with pytest.raises(ValueError, match=r"layer 3; expected 0\.\.2"):
        build(layer=3)
    with pytest.raises(ValueError, match="'features: hubert'"):
        build("wavlm", layer=1)
    with pytest.raises(ValueError, match="needs a GPU"):
        build(layer=1, dtype="bfloat16")
    with pytest.raises(ValueError, match="unknown key 'layers'"):
        build(layers=1)
    with pytest.raises(ValueError, match="need 'chunk'"):
        build(layer=1, left_context=1.0)
    with pytest.raises(ValueError, match="no such directory"):
        build(model="/nowhere/hubert")
    edit(path / "preprocessor_config.json", sampling_rate=8000)
    with pytest.raises(ValueError, match="8000 Hz"):
        build(layer=1)
    (path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="set features_conf 'do_normalize'"):
        build(layer=1)
    assert build(layer=1, do_normalize=False).dim == 32
    edit(path / "config.json", num_hidden_layers=3)
    with pytest.raises(ValueError, match="weights are missing"):
        build(layer=1, do_normalize=False)
    (path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="copy the weights"):
        build(layer=1, do_normalize=False)


def test_another_grid_is_refused(tmp_path):
    strides = (5, 2, 2, 2, 2, 2, 1)
    path = make_model(tmp_path, conv_stride=strides)
    with pytest.raises(ValueError, match="one frame per 160 samples"):
        build_features("hubert", {"model": str(path), "layer": 1})


def test_a_hub_that_does_not_answer(monkeypatch):
    import huggingface_hub

    def fail(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"no route to host.*hf download facebook/hubert-base"):
        build_features("hubert", {"model": "facebook/hubert-base-ls960"})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gpu_agrees_with_the_cpu(tmp_path):
    conf = {"model": str(make_model(tmp_path)), "layer": 2}
    cpu, gpu = build_features("hubert", conf), build_features("hubert", conf, "cuda")
    assert cpu.fingerprint == gpu.fingerprint
    wavs = [noise(8000 + 3000 * seed, seed) for seed in range(8)]
    for wav, frames in zip(wavs, gpu.extract_batch(wavs), strict=True):
        np.testing.assert_allclose(frames, cpu.extract(wav), atol=1e-4)
        error = np.linalg.norm(frames - gpu.extract(wav), axis=1)
        assert (error <= gpu.batch_noise * np.linalg.norm(frames, axis=1)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_gpu_in_half_precision_and_compiled(tmp_path, dtype):
    conf = {"model": str(make_model(tmp_path)), "layer": 2}
    exact = build_features("hubert", conf, "cuda")
    features = build_features("hubert", conf | {"dtype": dtype, "compile": True}, "cuda")
    wavs = [noise(5000 + 3000 * seed, seed) for seed in range(8)]
    bound = features.batch_noise or 0.03
    for wav, frames in zip(wavs, features.extract_batch(wavs), strict=True):
        own = exact.extract(wav)
        error = np.linalg.norm(frames - own, axis=1)
        assert (error <= bound * np.linalg.norm(own, axis=1)).all()
