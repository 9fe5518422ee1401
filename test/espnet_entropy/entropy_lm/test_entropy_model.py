"""The model against itself on single documents, and its storage."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from espnet_entropy.entropy_lm.config import EntropyLMConfig, lm_config, read_card
from espnet_entropy.entropy_lm.layout import Layout
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.utils.config import from_dict, read_yaml, write_yaml

K = 11


@pytest.fixture
def lm() -> EntropyLM:
    """A small model whose predictions vary (default weights give nearly uniform ones)."""
    torch.manual_seed(0)
    model = EntropyLM(EntropyLMConfig(K, width=32, layers=2, heads=4, ffn=48, context=64))
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.data.mul_(6.0)
    return model


def packed(rng: np.random.Generator, rows: int = 3, length: int = 60) -> torch.Tensor:
    """Rows that begin with K, with more Ks inside, neighbouring ones among them."""
    ids = rng.integers(0, K, (rows, length))
    ids[:, 0] = K
    ids[0, [7, 8, 40]] = K
    ids[1, length - 1] = K
    return torch.from_numpy(ids)


def documents(row: torch.Tensor) -> list[torch.Tensor]:
    starts = [*(row == K).nonzero()[:, 0].tolist(), len(row)]
    return [row[a:b] for a, b in pairwise(starts)]


def transformers_llama(c: EntropyLMConfig):
    """transformers' own model of these sizes, with eager attention and its mask."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=c.num_clusters + 1,
        hidden_size=c.width,
        intermediate_size=c.ffn,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        max_position_embeddings=c.context,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config).eval()


def plain_llama(lm: EntropyLM, ids: torch.Tensor) -> torch.Tensor:
    """Logits of one document by transformers."""
    reference = transformers_llama(lm.config)
    reference.model.load_state_dict(lm.backbone.state_dict())
    reference.lm_head.load_state_dict(lm.head.state_dict())
    return reference(ids[None]).logits[0]


def test_weights_and_their_initial_values_are_those_of_transformers():
    config = EntropyLMConfig(K, width=32, layers=3, heads=4, ffn=48, context=64, rope_theta=500.0)
    torch.manual_seed(3)
    ours = EntropyLM(config).backbone.state_dict()
    torch.manual_seed(3)
    theirs = transformers_llama(config).model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_papers_model_has_103_8_million_parameters():
    with torch.device("meta"):
        assert EntropyLM(EntropyLMConfig(500)).num_parameters() == 103_803_904


def test_packed_rows_equal_each_document_alone(lm):
    ids = packed(np.random.default_rng(0))
    together = lm(ids)
    for row, logits in zip(ids, together, strict=True):
        alone = torch.cat([plain_llama(lm, d) for d in documents(row)])
        assert alone.std() > 0.5
        torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-5)


def test_gradients_of_packed_rows_equal_those_of_the_documents(lm):
    ids = packed(np.random.default_rng(1))
    target = torch.roll(ids, -1, 1)
    F.cross_entropy(lm(ids).flatten(0, 1), target.flatten(), reduction="sum").backward()
    together = {n: p.grad.clone() for n, p in lm.named_parameters()}
    lm.zero_grad()
    for row, wanted in zip(ids, target, strict=True):
        parts = documents(row)
        for part, goal in zip(parts, wanted.split([len(p) for p in parts]), strict=True):
            F.cross_entropy(lm(part[None])[0], goal, reduction="sum").backward()
    for name, weight in lm.named_parameters():
        scale = weight.grad.abs().max()
        torch.testing.assert_close(together[name] / scale, weight.grad / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pad", [-1, 0, K])
def test_padding_is_harmless(lm, pad):
    ids = packed(np.random.default_rng(2))[:, :40]
    longer = F.pad(ids, (0, 20), value=pad)
    torch.testing.assert_close(lm(longer)[:, :40], lm(ids), atol=1e-5, rtol=1e-5)


def test_nothing_is_seen_across_documents(lm):
    ids = packed(np.random.default_rng(3))
    other = ids.clone()
    other[0, 1:7] = (other[0, 1:7] + 1) % K
    torch.testing.assert_close(lm(other)[0, 7:], lm(ids)[0, 7:], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(lm(other)[0, :7], lm(ids)[0, :7], atol=1e-2)


def test_layout_is_a_permutation_with_little_padding():
    lengths = np.random.default_rng(0).integers(1, 300, 200)
    layout = Layout(lengths)
    wanted = np.concatenate([np.arange(n) for n in lengths])
    assert (layout.positions[layout.index].numpy() == wanted).all()
    assert len(layout.index.unique()) == lengths.sum()
    assert len(layout.positions) < 1.25 * lengths.sum()


def test_entropy_is_over_the_units_alone(lm):
    hidden = torch.randn(5, 32) * 3
    p = lm.head(hidden)[:, :K].double().softmax(-1)
    wanted = -(p * p.log()).sum(-1)
    torch.testing.assert_close(lm.entropy(hidden).double(), wanted, atol=1e-5, rtol=0)
    assert lm.entropy(torch.zeros(1, 32)).item() == pytest.approx(np.log(K), abs=1e-6)


def test_a_document_beyond_the_context_is_refused(lm):
    with pytest.raises(ValueError, match="65 tokens exceeds the context of 64"):
        lm(torch.zeros(1, 65, dtype=torch.long))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_packed_rows_on_cuda_in_bf16(lm):
    ids = packed(np.random.default_rng(4))
    wanted = lm(ids).log_softmax(-1)
    with torch.autocast("cuda", torch.bfloat16):
        got = lm.cuda()(ids.cuda()).float().log_softmax(-1).cpu()
    assert (got - wanted).abs().mean() < 0.05 * wanted.abs().mean()


def test_save_and_load_give_the_same_model(lm, tmp_path):
    lm.save(tmp_path, "tok", {"valid_nll": 1.5})
    again = EntropyLM.from_pretrained(tmp_path)
    ids = packed(np.random.default_rng(5))
    assert torch.equal(again(ids), lm(ids))
    assert (again.tokenizer, again.fingerprint) == ("tok", lm.fingerprint)
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    assert read_card(tmp_path).training == {"valid_nll": 1.5}


def test_the_fingerprint_follows_weights_and_tokenizer(lm, tmp_path):
    prints = set()
    for name, tokenizer in (("a", "tok"), ("b", "tok"), ("c", "other")):
        lm.save(tmp_path / name, tokenizer, {})
        prints.add(lm.fingerprint)
        lm.head.weight.data[0, 0] += name == "b"
    assert len(prints) == 2


def test_damaged_or_foreign_files_are_refused(lm, tmp_path):
    lm.save(tmp_path, "tok", {})
    weights, card = tmp_path / "model.safetensors", tmp_path / "config.yaml"
    good, text = weights.read_bytes(), card.read_text()

    weights.write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors: damaged"):
        EntropyLM.from_pretrained(tmp_path)

    weights.write_bytes(good[:-4] + bytes(4))
    with pytest.raises(ValueError, match="fingerprint"):
        EntropyLM.from_pretrained(tmp_path)

    weights.write_bytes(good)
    card.write_text(text.replace(f"num_clusters: {K}", f"num_clusters: {K + 1}"))
    with pytest.raises(ValueError, match=r"shape \(12, 32\).*asks for \(13, 32\)"):
        EntropyLM.from_pretrained(tmp_path)

    card.write_text(text.replace("layers: 2", "layers: 3"))
    with pytest.raises(ValueError, match="9 missing"):
        EntropyLM.from_pretrained(tmp_path)

    card.write_text(text.replace("ffn:", "fnn:"))
    with pytest.raises(ValueError, match=r"unknown key 'fnn'.*Did you mean 'ffn'"):
        EntropyLM.from_pretrained(tmp_path)

    weights.unlink()
    card.write_text(text)
    with pytest.raises(ValueError, match="no such file"):
        EntropyLM.from_pretrained(tmp_path)


def test_weights_that_are_not_finite_are_refused(lm, tmp_path):
    lm.head.weight.data[0, 0] = float("nan")
    lm.save(tmp_path, "tok", {})
    with pytest.raises(ValueError, match=r"head\.weight holds values that are not finite"):
        EntropyLM.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"width": 100, "heads": 3}, "multiple of 2 x heads"),
        ({"context": 63}, "even number"),
        ({"layers": 0}, "layers: expected at least 1"),
        ({"width": "wide"}, "expected a whole number"),
    ],
)
def test_wrong_sizes_are_named(conf, message):
    with pytest.raises(ValueError, match=message):
        from_dict(EntropyLMConfig, {"num_clusters": K} | conf, "lm_conf")


def test_how_to_train_is_no_part_of_the_model():
    assert lm_config({"compile": True}, K, "lm_conf") == lm_config({}, K, "lm_conf")
    with pytest.raises(ValueError, match="lm_conf: compile: expected true or false, got 'yes'"):
        lm_config({"compile": "yes"}, K, "lm_conf")


def test_yaml_numbers_like_1e4_are_understood(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("num_clusters: 11\nrope_theta: 1e4\n")
    assert from_dict(EntropyLMConfig, read_yaml(path), str(path)).rope_theta == 10000.0
    write_yaml(path, {"num_clusters": 11, "rope_theta": 1e-5})
    assert from_dict(EntropyLMConfig, read_yaml(path), str(path)).rope_theta == 1e-5
