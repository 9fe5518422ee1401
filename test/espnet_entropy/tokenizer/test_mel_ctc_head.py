import numpy as np
import pytest
import safetensors.numpy
import torch

from espnet_entropy.tokenizer.mel_ctc_head import BLANK, HEAD, CTCHead
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_features import MelEncoderFeatures, MelEncoderOptions
from espnet_entropy.tokenizer.mel_model_dir import load_encoder, save_encoder

CONFIG = MelEncoderConfig(width=8, layers=1, heads=2, ffn=8, kernel=3)


def make_head(seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(3, 8)).astype(np.float32)
    return CTCHead([BLANK, "AH", "ʃ"], weight, rng.normal(size=3).astype(np.float32))


def make_model(path, seed=0):
    torch.manual_seed(seed)
    save_encoder(MelEncoder(CONFIG), path)
    make_head(seed).save(path)
    return path


def test_what_is_saved_is_loaded_in_16_bits(tmp_path):
    head, found = make_head(), CTCHead.load(make_model(tmp_path))
    assert found.labels == [BLANK, "AH", "ʃ"]
    for name in ("weight", "bias"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(found, name), getattr(head, name).astype(np.float16))
    content = (tmp_path / HEAD).read_bytes()
    CTCHead(head.labels, np.asfortranarray(head.weight), head.bias).save(tmp_path)
    assert (tmp_path / HEAD).read_bytes() == content


def test_log_probs_are_those_of_a_linear_layer():
    head = make_head()
    linear = torch.nn.Linear(8, 3)
    linear.load_state_dict(
        {"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}
    )
    frames = torch.randn(5, 8)
    found = head.log_probs(frames.numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, linear(frames).log_softmax(-1).detach(), atol=1e-6)


def test_tokenizers_leave_it_behind(tmp_path):
    """The encoder loads without it, and its copy in a tokenizer has none."""
    model = make_model(tmp_path / "model")
    features = MelEncoderFeatures(MelEncoderOptions(str(model)))
    features.save_model(tmp_path / "tokenizer")
    assert not (tmp_path / "tokenizer/model" / HEAD).exists()
    (model / HEAD).unlink()
    load_encoder(model)
    with pytest.raises(ValueError, match=r"no such file.*not exp/units/model"):
        CTCHead.load(model)


def test_damage_is_named(tmp_path):
    path = make_model(tmp_path) / HEAD
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    for content, message in (
        (good[:-3], "not a readable CTC head"),
        (b"x", "not a readable CTC head"),
        (safetensors.numpy.save({"weight": np.zeros((3, 8))}), "not a readable CTC head"),
        (good.replace(b"AH", b"EH"), "damaged"),
        (bytes(flipped), "damaged"),
    ):
        assert content != good
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{message}.*copy it again"):
            CTCHead.load(tmp_path)


def test_it_belongs_to_one_encoder(tmp_path):
    first, second = make_model(tmp_path / "a", 0), make_model(tmp_path / "b", 1)
    (first / HEAD).write_bytes((second / HEAD).read_bytes())
    with pytest.raises(ValueError, match="trained with another encoder"):
        CTCHead.load(first)
    with pytest.raises(ValueError, match="no such file; expected a mel encoder"):
        make_head().save(tmp_path)
    huge = make_head()
    huge.weight[1, 2] = 1e6
    with pytest.raises(ValueError, match="beyond 16 bits"):
        huge.save(first)
