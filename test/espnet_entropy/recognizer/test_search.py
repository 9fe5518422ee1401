"""Our beam search against ESPnet's, which goes to the limit, one utterance at a time."""

from types import SimpleNamespace

import pytest
import torch
from espnet.nets.batch_beam_search import BatchBeamSearch
from espnet.nets.scorers.ctc import CTCPrefixScorer
from espnet.nets.scorers.length_bonus import LengthBonus
from espnet2.asr.ctc import CTC
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder

from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.search import search

V, D = 11, 16
LENGTHS = torch.tensor([7, 1, 12, 4])


def toy_model(seed=0, end=1.0, **conf):
    torch.manual_seed(seed)
    decoder = TransformerDecoder(V, D, attention_heads=2, linear_units=32, num_blocks=2, **conf)
    decoder.output_layer.weight.data *= 4
    decoder.output_layer.bias.data[-1] += end  # how eager it is to end
    ctc = CTC(V, D)
    ctc.ctc_lo.weight.data *= 3
    model = SimpleNamespace(decoder=decoder.eval(), ctc=ctc.eval(), vocab_size=V)
    model.sos = model.eos = V - 1
    return model


def espnet_best(model, memory, config):
    """ESPnet's search as its ``asr_inference`` sets it up; goes to the limit."""
    scorers = {"decoder": model.decoder, "length_bonus": LengthBonus(V)}
    scorers["ctc"] = CTCPrefixScorer(ctc=model.ctc, eos=model.eos)
    weights = {"decoder": 1 - config.ctc_weight, "ctc": config.ctc_weight}
    beam = BatchBeamSearch(
        scorers=scorers,
        weights=weights | {"length_bonus": config.length_bonus},
        beam_size=config.beam_size,
        vocab_size=V,
        sos=model.sos,
        eos=model.eos,
        pre_beam_score_key=None if config.ctc_weight == 1 else "full",
    )
    # ESPnet's CTC prefix score fails beyond the number of groups
    limit = min(config.max_length, len(memory) + 1) if config.ctc_weight else config.max_length
    with torch.no_grad():
        best = beam(x=memory, maxlenratio=-limit)[0]
    return [token for token in best.yseq.tolist() if token != model.eos], float(best.score)


@pytest.mark.parametrize(
    ("beam", "bonus", "end"),
    [(1, 0.0, 1.0), (2, 0.0, 3.0), (5, 0.0, 0.0), (2, 0.7, 1.0), (5, -0.5, -3.0), (11, 0.7, 3.0)],
)
def test_finds_what_espnet_finds(beam, bonus, end):
    model = toy_model(beam, end)
    memory = torch.randn(len(LENGTHS), int(LENGTHS.max()), D)
    config = DecodingConfig(beam, 10, bonus, 0.0)
    for row, best in enumerate(search(model, memory, LENGTHS, config)):
        tokens, score = espnet_best(model, memory[row, : LENGTHS[row]], config)
        assert best.tokens == tokens
        assert best.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("beam", "weight", "bonus", "end"),
    [
        (1, 0.3, 0.0, 1.0),
        (2, 0.5, 0.0, 3.0),
        (4, 0.3, 0.0, 0.0),
        (4, 0.3, 0.7, 1.0),
        (5, 0.9, -0.5, -3.0),
        (8, 0.3, 0.0, 1.0),  # a pre-beam of 12 would be more than the vocabulary
        (4, 1.0, 0.0, 0.0),
        (7, 1.0, 0.7, 0.0),
    ],
)
def test_finds_what_espnet_finds_with_ctc(beam, weight, bonus, end, seed):
    model = toy_model(10 * beam + seed, end)
    memory = torch.randn(len(LENGTHS), int(LENGTHS.max()), D)
    config = DecodingConfig(beam, 10, bonus, weight)
    if weight == 1:
        decoder, model.decoder = model.decoder, None
    found = search(model, memory, LENGTHS, config)
    if weight == 1:
        model.decoder = decoder
    for row, best in enumerate(found):
        tokens, score = espnet_best(model, memory[row, : LENGTHS[row]], config)
        assert best.tokens == tokens
        assert best.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_alone_as_in_a_batch_whatever_the_padding_holds(weight):
    model = toy_model(3)
    memory = torch.randn(len(LENGTHS), int(LENGTHS.max()), D)
    config = DecodingConfig(4, 10, 0.0, weight)
    together = search(model, memory, LENGTHS, config)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = search(model, memory[row : row + 1, :length], LENGTHS[row : row + 1], config)[0]
        memory[row, length:] = 1e4
        assert alone.tokens == together[row].tokens
        assert alone.score == pytest.approx(together[row].score, abs=1e-5)
    again = search(model, memory, LENGTHS, config)
    assert [best.tokens for best in again] == [best.tokens for best in together]


def test_the_limit_is_reported():
    model = toy_model(0, end=-50.0)  # never ends by itself
    memory = torch.randn(len(LENGTHS), int(LENGTHS.max()), D)
    for best in search(model, memory, LENGTHS, DecodingConfig(3, 25, 0.0, 0.0)):
        assert best.truncated
        assert len(best.tokens) == 25  # more than the 12 groups of the longest
    model = toy_model(0, end=50.0)
    for best in search(model, memory, LENGTHS, DecodingConfig(3, 1, 0.0, 0.0)):
        assert (best.tokens, best.truncated) == ([], False)


def test_ctc_has_no_longer_texts_but_cuts_none():
    model = toy_model(0, end=-50.0)
    memory = torch.randn(len(LENGTHS), int(LENGTHS.max()), D)
    bonus = 40.0  # so that a text has a token for each group, where these differ
    for limit in (5, 12, 13, 200):
        found = search(model, memory, LENGTHS, DecodingConfig(4, limit, bonus, 0.3))
        for best, length in zip(found, LENGTHS.tolist(), strict=True):
            assert len(best.tokens) == min(limit, length)
            assert best.truncated == (limit <= length)


def test_the_decoder_is_left_as_it_was():
    model = toy_model()
    memory = torch.randn(2, 5, D)
    config = DecodingConfig(2, 5, 0.0, 0.0)
    before = espnet_best(model, memory[0], config)
    search(model, memory, torch.tensor([5, 3]), config)
    for layer in model.decoder.decoders:
        assert "forward" not in vars(layer.src_attn) | vars(layer.self_attn)
    assert espnet_best(model, memory[0], config) == before


def test_other_kinds_of_attention():
    memory = torch.randn(3, 6, D)
    lengths = torch.tensor([6, 2, 4])
    config = DecodingConfig(3, 8, 0.0, 0.0)
    for conf in ({"qk_norm": True}, {"normalize_before": False}, {"concat_after": True}):
        model = toy_model(1, **conf)
        for row, best in enumerate(search(model, memory, lengths, config)):
            assert best.tokens == espnet_best(model, memory[row, : lengths[row]], config)[0]
