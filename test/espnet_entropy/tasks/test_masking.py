"""Masked and replaced units: shares, widths, whole groups, and nothing at all in evaluation."""

import pytest
import torch

from espnet_entropy.tasks.masking import Masking, MaskingConfig, Spans
from espnet_entropy.utils.config import from_dict

K = 20
UNITS = torch.randint(0, K, (40, 500), generator=torch.Generator().manual_seed(0))
GROUPS = torch.arange(500).expand(40, 500) // 5  # groups of five


def masking(**conf):
    return Masking(from_dict(MaskingConfig, conf, "encoder_conf"), K)


def run_lengths(mask):
    """Lengths of the runs of True that touch no edge."""
    lengths = []
    for row in mask.tolist():
        runs = "".join("x" if v else " " for v in row).split(" ")[1:-1]
        lengths += [len(run) for run in runs if run]
    return lengths


@pytest.mark.parametrize(("share", "max_width"), [(0.1, 1), (0.3, 10), (0.6, 4)])
def test_the_share_is_met_and_the_widths_are_kept(share, max_width):
    torch.manual_seed(0)
    mask = Spans(share, max_width).draw((200, 500), torch.device("cpu"))
    assert mask[:, max_width:].float().mean() == pytest.approx(share, abs=0.01)
    if share == 0.1:  # neighbours may touch, but rarely
        assert sum(length == 1 for length in run_lengths(mask)) > 0.8 * len(run_lengths(mask))
    sparse = Spans(0.01, 7).draw((200, 500), torch.device("cpu"))
    assert {1, 2, 3, 4, 5, 6, 7} <= set(run_lengths(sparse))
    assert sorted(run_lengths(sparse))[-20] <= 7  # longer ones only where two meet


def test_masked_units_become_one_more_unit_and_the_others_stay():
    torch.manual_seed(0)
    mask = masking(mask_units={"share": 0.2, "max_width": 5})
    out = mask(UNITS, GROUPS)
    assert mask.num_embeddings == K + 1
    hit = out == K
    assert 0.15 < hit.float().mean() < 0.25
    assert torch.equal(out[~hit], UNITS[~hit])


def test_a_group_is_masked_whole_or_not_at_all():
    torch.manual_seed(0)
    out = masking(mask_groups={"share": 0.2})(UNITS, GROUPS)
    hit = (out == K).unflatten(1, (100, 5)).sum(2)
    assert set(hit.flatten().tolist()) == {0, 5}
    assert 0.15 < (hit == 5).float().mean() < 0.25


def test_replaced_units_are_any_units():
    torch.manual_seed(0)
    mask = masking(replace_units=0.1)
    out = mask(UNITS, GROUPS)
    assert mask.num_embeddings == K
    changed = out != UNITS
    assert changed.float().mean() == pytest.approx(0.1 * (K - 1) / K, abs=0.01)
    assert out[changed].unique().tolist() == list(range(K))


def test_evaluation_sees_no_change_and_draws_no_number():
    mask = masking(mask_units={"share": 0.9}, mask_groups={"share": 0.9}, replace_units=0.9).eval()
    state = torch.get_rng_state()
    assert torch.equal(mask(UNITS, GROUPS), UNITS)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_seed_decides():
    mask = masking(mask_units={"share": 0.2, "max_width": 5}, replace_units=0.1)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(mask(UNITS, GROUPS))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"mask_units": {"share": 1.0}}, "mask_units: share: expected from 0 to below 1, got 1.0"),
        ({"mask_units": {"share": 0.1, "max_width": 0}}, "max_width: expected at least 1"),
        ({"mask_units": {"shares": 0.1}}, "Did you mean 'share'"),
        ({"replace_units": -0.1}, "replace_units: expected from 0 to below 1, got -0.1"),
        ({"mask_unit": {"share": 0.1}}, "Did you mean 'mask_units'"),
    ],
)
def test_wrong_settings_are_named(conf, message):
    with pytest.raises(ValueError, match=message):
        masking(**conf)
