"""The cached decoder against ESPnet's over whole texts."""

import pytest
import torch
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder

from espnet_entropy.recognizer.cached_decoder import FIRST_ROOM, cached_decoder

V, D, R = 13, 16, 3
LENGTHS = torch.tensor([4, 1, 6])


def toy_decoder(**conf):
    torch.manual_seed(0)
    decoder = TransformerDecoder(V, D, attention_heads=2, linear_units=32, num_blocks=2, **conf)
    return decoder.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "conf", [{}, {"qk_norm": True}, {"normalize_before": False}, {"concat_after": True}]
)
def test_every_line_of_ancestors_as_if_it_were_read_whole(conf):
    decoder = toy_decoder(**conf)
    memory = torch.randn(len(LENGTHS), int(LENGTHS.max()), D)
    rows = torch.arange(len(LENGTHS))
    texts = torch.full((len(LENGTHS), R, 1), V - 1)
    with cached_decoder(decoder, memory, LENGTHS, R) as cached:
        steps = []
        for step in range(2 * FIRST_ROOM + 2):  # room is made twice
            steps.append((rows, texts, cached.step(texts[:, :, -1])))
            parent = torch.randint(R, (len(rows), R))
            cached.reorder(parent)
            texts = texts[torch.arange(len(rows))[:, None], parent]
            texts = torch.cat([texts, torch.randint(V, (len(rows), R, 1))], 2)
            if step == 5:
                going = torch.tensor([True, False, True])
                cached.keep(going)
                rows, texts = rows[going], texts[going]
    for rows, texts, logp in steps:
        for row, said, found in zip(rows, texts, logp, strict=True):
            source = memory[row, : LENGTHS[row]].expand(R, -1, -1)
            ends = torch.full((R,), said.shape[1])
            wanted, _ = decoder(source, LENGTHS[row].expand(R), said, ends)
            torch.testing.assert_close(found, wanted[:, -1].log_softmax(-1), rtol=1e-4, atol=2e-5)


def test_the_layers_are_given_back_after_an_error():
    decoder = toy_decoder()
    with pytest.raises(RuntimeError), cached_decoder(decoder, torch.randn(1, 2, D), LENGTHS[:1], 1):
        raise RuntimeError
    for layer in decoder.decoders:
        assert "forward" not in vars(layer.src_attn) | vars(layer.self_attn)
