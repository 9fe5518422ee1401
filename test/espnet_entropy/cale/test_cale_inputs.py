"""What CALE and its configuration refuse, and in which words."""

import pytest
import torch

from espnet_entropy.cale import CALE, CaleConfig, GroupPooling, PoolingConfig
from espnet_entropy.utils.config import from_dict

UNITS = torch.tensor([[0, 1, 2, 3], [4, 4, 4, 4]])
IDS = torch.tensor([[0, 0, 1, 2], [0, 0, 0, 0]])
LENGTHS = torch.tensor([4, 2])


def changed(tensor: torch.Tensor, place: tuple[int, ...], value: int) -> torch.Tensor:
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


@pytest.mark.parametrize(
    ("units", "ids", "lengths", "message"),
    [
        (changed(UNITS, (0, 2), 5), IDS, LENGTHS, r"units\[0, 2\]: expected 0 to 4, got 5"),
        (changed(UNITS, (1, 0), -1), IDS, LENGTHS, r"units\[1, 0\]: expected 0 to 4, got -1"),
        (UNITS, changed(IDS, (0, 0), -1), LENGTHS, r"group_ids\[0, 0\]: expected 0 or more"),
        (UNITS, changed(IDS, (0, 3), 0), LENGTHS, r"group_ids\[0, 3\]: expected ids that never"),
        (UNITS, IDS, changed(LENGTHS, (1,), 0), r"lengths\[1\]: expected 1 to 4 units, got 0"),
        (UNITS, IDS, changed(LENGTHS, (0,), 5), r"lengths\[0\]: expected 1 to 4 units, got 5"),
        (UNITS.float(), IDS, LENGTHS, r"units: expected whole numbers.*float32"),
        (UNITS, IDS[:, :3], LENGTHS, r"expected shapes \(B, N\), \(B, N\) and \(B,\)"),
        (UNITS, IDS, LENGTHS[:1], r"expected shapes"),
        (UNITS[:0], IDS[:0], LENGTHS[:0], r"not empty"),
    ],
)
@pytest.mark.parametrize("kind", [CALE, GroupPooling])
def test_wrong_batches_are_named(kind, units, ids, lengths, message):
    config = CaleConfig(width=8, layers=1) if kind is CALE else PoolingConfig(width=8)
    model = kind(config, 5)
    assert model(UNITS, IDS, LENGTHS)[0].shape == (2, 3, 8)
    with pytest.raises(ValueError, match=message):
        model(units, ids, lengths)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_other_whole_numbers_are_fine(dtype):
    model = CALE(CaleConfig(width=8, layers=1), 5).eval()
    wanted = model(UNITS, IDS, LENGTHS)[0]
    got = model(UNITS.to(dtype), IDS.to(dtype), LENGTHS.to(dtype))[0]
    assert torch.equal(got, wanted)


@pytest.mark.parametrize(
    ("kind", "conf", "message"),
    [
        (CaleConfig, {"width": 250}, "multiple of 2 x heads .* = 8, got 250"),
        (CaleConfig, {"width": 252, "rope": False, "heads": 8}, "multiple of heads = 8, got 252"),
        (CaleConfig, {"layers": 0}, "layers: expected at least 1"),
        (CaleConfig, {"ffn": 0}, "ffn: expected at least 1"),
        (CaleConfig, {"token_update": "windows"}, "unknown token_update.*Did you mean 'window'"),
        (CaleConfig, {"time": "end"}, "unknown time 'end'"),
        (CaleConfig, {"dropout": 1.0}, "dropout: expected 0 <= dropout < 1"),
        (CaleConfig, {"conv": 4}, "conv: expected 0 or an odd number from 3 on, got 4"),
        (CaleConfig, {"conv": 3, "paper_exact": True}, "conv: 3 with paper_exact"),
        (CaleConfig, {"head": 2}, "unknown key 'head'.*Did you mean 'heads'"),
        (PoolingConfig, {"mode": "mean"}, "unknown mode 'mean'; expected one of max, average"),
        (PoolingConfig, {"mode": "attention", "width": 10}, "multiple of heads = 4, got 10"),
    ],
)
def test_wrong_configurations_are_named(kind, conf, message):
    with pytest.raises(ValueError, match=message):
        from_dict(kind, conf, "encoder_conf")
    with pytest.raises(ValueError, match=r"at least 1, got 0"):
        CALE(CaleConfig(), 0)


def test_heads_do_not_matter_to_the_printed_equations():
    assert CaleConfig(width=10, heads=4, paper_exact=True).updates is False
