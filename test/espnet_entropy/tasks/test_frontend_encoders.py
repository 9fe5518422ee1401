"""The frontend and the encoders as ESPnet's models call them."""

import numpy as np
import pytest
import torch
from sounds import babble
from toy_compressor import assemble, make_parts
from toy_training import K, make_corpus, random_matrices

from espnet_entropy.compressor import Compressor
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.segmenter.unit_bpe import UnitBPE
from espnet_entropy.tasks.encoders import CALEEncoder, UnitPoolingEncoder
from espnet_entropy.tasks.frontend import UnitFrontend

SMALL = {"width": 16, "dropout": 0.0}
CONTEXT = {
    "attention_heads": 2,
    "linear_units": 16,
    "num_blocks": 2,
    "dropout_rate": 0.0,
    "positional_dropout_rate": 0.0,
}
MATRICES = [torch.tensor(m).float() for m in random_matrices("u", 4, seed=5).values()]
LENGTHS = torch.tensor([len(m) for m in MATRICES])


def batch(padding=0.0):
    return torch.nn.utils.rnn.pad_sequence(MATRICES, batch_first=True, padding_value=padding)


def frontend(**segmenter):
    return UnitFrontend(segmenter=segmenter or {"criterion": "dedup"}, num_clusters=K)


# --- the frontend


@pytest.mark.parametrize(
    "segmenter",
    [
        {"criterion": "global", "threshold": 2.0, "min_group": 2},
        {"criterion": "planned", "threshold": 1.0},
        {"criterion": "dedup"},
        {"criterion": "random", "rate": 15},
        {"criterion": "original"},
    ],
    ids=lambda s: s["criterion"],
)
def test_units_and_groups_are_those_of_the_segmenter(segmenter):
    front = UnitFrontend(segmenter=segmenter, num_clusters=K, entropy_lm="lm", tokenizer="tok")
    feats, lengths = front(batch(), LENGTHS)
    assert (feats.dtype, lengths.tolist()) == (torch.int64, LENGTHS.tolist())
    for row, matrix, n in zip(feats, MATRICES, lengths.tolist(), strict=True):
        units, entropy = matrix.numpy()[:, 0].astype(np.int64), matrix.numpy()[:, 1]
        starts = segment(units, entropy, SegmenterConfig(**segmenter))
        assert row[:n, 0].tolist() == units.tolist()
        assert row[:n, 1].tolist() == (np.cumsum(starts) - 1).tolist()
        assert not row[n:].any()
    for padding in (-1.0, 7.0, float("nan")):  # padding may hold anything
        again, _ = front(batch(padding), LENGTHS)
        assert torch.equal(again, feats)
    assert front.output_size() == K


def test_units_survive_half_rounded_floats():
    exact, _ = frontend()(batch(), LENGTHS)
    noisy = batch()
    noisy[..., 0] += 1e-3 * torch.randn(noisy.shape[:2])
    assert torch.equal(frontend()(noisy, LENGTHS)[0], exact)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(frontend()(batch(), LENGTHS)[0], exact)
    assert torch.equal(frontend()(batch().double(), LENGTHS)[0], exact)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"got shape \(1, 5, 3\)"):
        frontend()(torch.zeros(1, 5, 3), torch.tensor([5]))
    with pytest.raises(ValueError, match="without units"):
        frontend()(torch.zeros(2, 5, 2), torch.tensor([5, 0]))
    with pytest.raises(ValueError, match=r"unit 20 is outside 0 \.\. 19"):
        frontend()(torch.full((1, 5, 2), 20.0), torch.tensor([5]))
    with pytest.raises(ValueError, match="a waveform needs a model directory"):
        frontend()(torch.zeros(1, 16000), torch.tensor([16000]))


def test_unit_bpe_gives_pieces_each_a_group(tmp_path):
    make_corpus(tmp_path)
    bpe = UnitBPE.train(tmp_path / "dump/train", 40, tmp_path / "bpe")
    conf = {"criterion": "unit_bpe", "unit_bpe": str(tmp_path / "bpe/unit_bpe.model")}
    front = UnitFrontend(**conf)
    feats, lengths = front(batch(-1.0), LENGTHS)
    assert front.output_size() == bpe.size == 40
    for row, matrix, m in zip(feats, MATRICES, lengths.tolist(), strict=True):
        ids, _ = bpe.encode(matrix.numpy()[:, 0].astype(np.int64))
        assert row[:m, 0].tolist() == ids.tolist()
        assert row[:m, 1].tolist() == list(range(m))
        assert not row[m:].any()
    UnitBPE.train(tmp_path / "dump/valid", 40, tmp_path / "bpe")  # another one in its place
    with pytest.raises(ValueError, match=r"trained with [0-9a-f]+; give that unit BPE"):
        UnitFrontend(**{**conf, **_resolved(front)})


def _resolved(front):
    config = front.config
    return {
        "criterion": None,
        "asked": {"criterion": "unit_bpe"},
        "tokenizer": config.tokenizer,
        "num_clusters": config.num_clusters,
        "unit_bpe_size": config.unit_bpe_size,
        "unit_bpe_fingerprint": config.unit_bpe_fingerprint,
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    make_parts(root)
    return assemble(root)


def test_a_waveform_gives_what_its_dump_gives(model):
    wavs = [torch.tensor(babble(seed, seconds)) for seed, seconds in ((1, 3.0), (2, 1.7))]
    compressor = Compressor.from_pretrained(model, rate=7, criterion="global")
    rows = []
    for wav in wavs:
        speech = compressor(wav.numpy())
        rows.append(torch.tensor(np.stack([speech.units, speech.entropy], 1)))
    dump = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    front = UnitFrontend(model=str(model), rate=7, criterion="global")
    from_dump = front(dump, torch.tensor([len(row) for row in rows]))
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True, padding_value=0.3)
    from_wav = front(padded, torch.tensor([len(wav) for wav in wavs]))
    assert torch.equal(from_wav[0], from_dump[0])
    assert torch.equal(from_wav[1], from_dump[1])
    assert from_wav[0][0, :, 1].max() > 5
    # tokenizer and LM are no part of it: no weights, nothing in a checkpoint
    assert (list(front.children()), dict(front.state_dict())) == ([], {})
    with pytest.raises(ValueError, match="samples"):  # too short for one unit
        front(torch.zeros(1, 100), torch.tensor([100]))


def test_a_criterion_without_entropy_does_not_score(model, monkeypatch):
    front = UnitFrontend(model=str(model), criterion="dedup")
    wav = torch.tensor(babble(3, 1.0))[None]
    wanted, _ = front(wav, torch.tensor([wav.shape[1]]))
    monkeypatch.setattr(
        "espnet_entropy.entropy_lm.scorer.EntropyScorer.score", lambda *_: pytest.fail("scored")
    )
    assert torch.equal(front(wav, torch.tensor([wav.shape[1]]))[0], wanted)


def test_another_model_directory_is_refused(model):
    conf = {"segmenter": {"criterion": "dedup"}, "num_clusters": K, "tokenizer": "other"}
    front = UnitFrontend(**conf, model="x", asked={"criterion": "dedup"})
    object.__setattr__(front.config, "model", str(model))
    with pytest.raises(ValueError, match=r"tokenizer \w+, but this model was trained on .*other"):
        front(torch.zeros(1, 16000), torch.tensor([16000]))


# --- the encoders


def encode(encoder, rows=slice(None)):
    feats, lengths = frontend()(batch()[rows], LENGTHS[rows])
    return encoder(feats, lengths)


@pytest.mark.parametrize("context", [None, "conformer", "transformer"])
@pytest.mark.parametrize("cls", [CALEEncoder, UnitPoolingEncoder])
def test_an_encoder_gives_one_vector_per_group(cls, context):
    torch.manual_seed(0)
    layers = {"layers": 2, "heads": 2} if cls is CALEEncoder else {"mode": "average"}
    conf = {} if context is None else {"context": context, "context_conf": CONTEXT}
    encoder = cls(K, **SMALL, **layers, **conf).eval()
    feats, lengths = frontend()(batch(), LENGTHS)
    groups = torch.stack([f[:n, 1].max() + 1 for f, n in zip(feats, LENGTHS, strict=True)])
    out, olens, states = encoder(feats, lengths)
    assert out.shape == (4, int(groups.max()), 16)
    assert (olens.tolist(), states, encoder.output_size()) == (groups.tolist(), None, 16)
    assert torch.equal(encoder(feats.float(), lengths)[0], out)  # whole numbers in floats
    if context != "conformer":  # whose convolution sees padding, as everywhere in ESPnet
        for row in range(4):
            alone, _, _ = encode(encoder, slice(row, row + 1))
            torch.testing.assert_close(alone[0], out[row, : groups[row]], atol=1e-5, rtol=1e-4)
    out.sum().backward()
    unused = [name for name, p in encoder.named_parameters() if p.grad is None]
    assert not unused  # DDP would wait for them


def test_masking_is_of_training_only_and_adds_a_row():
    plain = UnitPoolingEncoder(K, **SMALL)
    masked = UnitPoolingEncoder(K, **SMALL, mask_units={"share": 0.5}, replace_units=0.2)
    assert plain.core.embedding.num_embeddings == K
    assert masked.core.embedding.num_embeddings == K + 1
    masked.core.embedding.weight.data[:K] = plain.core.embedding.weight.data
    assert torch.equal(encode(masked.eval())[0], encode(plain.eval())[0])
    torch.manual_seed(0)
    assert not torch.equal(encode(masked.train())[0], encode(plain.train())[0])
    encode(masked)[0].sum().backward()
    assert masked.core.embedding.weight.grad[K].abs().sum() > 0


def test_intermediate_layers_of_the_context_come_through():
    conf = {**CONTEXT, "interctc_layer_idx": [1], "output_size": 24}
    encoder = UnitPoolingEncoder(K, **SMALL, context="transformer", context_conf=conf)
    (out, inner), olens, _ = encode(encoder)
    assert [i for i, _ in inner] == [1]
    assert inner[0][1].shape == out.shape == (4, int(olens.max()), 24)
    assert encoder.output_size() == 24


def test_one_unit_is_one_group():
    encoder = CALEEncoder(K, **SMALL, layers=1, heads=2).eval()
    feats, lengths = frontend()(torch.tensor([[[3.0, 1.0]]]), torch.tensor([1]))
    out, olens, _ = encoder(feats, lengths)
    assert (out.shape, olens.tolist()) == ((1, 1, 16), [1])


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"widht": 8}, "encoder_conf: unknown key 'widht'.* Did you mean 'width'"),
        ({"contxt": "conformer"}, "Did you mean 'context'"),
        ({"context": "conforme"}, "unknown context 'conforme'.* Did you mean 'conformer'"),
        ({"context_conf": CONTEXT}, "context_conf without context"),
        ({"context": "conformer", "context_conf": {"num_block": 2}}, "Did you mean 'num_blocks'"),
        ({"context": "conformer", "context_conf": {"input_layer": "conv2d"}}, "got conv2d"),
        ({"context": "conformer", "context_conf": {"ctc_trim": True}}, "unknown key 'ctc_trim'"),
        (
            {"context": "transformer", "context_conf": {"input_layer": None, "output_size": 8}},
            "expected 16, the width below it",
        ),
        ({"mode": "sum"}, "unknown mode 'sum'"),
    ],
)
def test_wrong_encoder_settings_are_named(conf, message):
    with pytest.raises(ValueError, match=message):
        UnitPoolingEncoder(K, **{**SMALL, **conf})
