"""What an update sees: batches, hidden spans, augmentation."""

import numpy as np
import pytest
import torch
from toy_speech import toy_set

from espnet_entropy.ssl.augment import DECIBEL, AugmentConfig, add, augment, warp
from espnet_entropy.ssl.batches import DeviceSet, plan_batches
from espnet_entropy.ssl.masking import mask_spans
from espnet_entropy.tokenizer.mel_levels import STEP


def slow_spans(begins, lengths, span):
    masked = np.zeros(begins.shape, bool)
    for row, length in enumerate(lengths):
        for unit in range(begins.shape[1]):
            if begins[row, unit]:
                masked[row, unit : unit + span] = True
        masked[row, length:] = False
    return masked


@pytest.mark.parametrize("span", [1, 3, 10, 40])
def test_spans_begin_where_they_are_drawn(span):
    lengths = torch.tensor([30, 12, 1])
    torch.manual_seed(span)
    found = mask_spans(lengths, 30, 0.1, span)
    torch.manual_seed(span)
    begins = (torch.rand(3, 30) < 0.1).numpy()
    np.testing.assert_array_equal(found, slow_spans(begins, lengths.tolist(), span))


def test_as_much_is_hidden_as_chance_says():
    torch.manual_seed(0)
    found = mask_spans(torch.full((200,), 500), 500, 0.08, 10)[:, 10:]
    assert float(found.float().mean()) == pytest.approx(1 - 0.92**10, abs=0.01)
    assert not mask_spans(torch.tensor([9]), 9, 0.0, 10).any()


def test_every_epoch_has_every_utterance_once():
    units = np.random.default_rng(0).integers(1, 90, 101)
    plans = [plan_batches(units, 200, 3, epoch) for epoch in (0, 0, 1)]
    for plan in plans:
        assert sorted(np.concatenate(plan)) == list(range(101))
        assert all(units[batch].max() * len(batch) <= 200 for batch in plan)
    assert all(map(np.array_equal, plans[0], plans[1]))
    assert not all(map(np.array_equal, plans[0], plans[2]))
    assert [len(b) for b in plan_batches(np.array([500, 3]), 100, 0, 0)] == [1, 1]


def test_a_batch_holds_what_the_set_holds():
    packed = toy_set(7, 0)
    clusters = np.arange(packed.units.sum())
    batch = DeviceSet(packed, targets=clusters).batch(np.array([5, 0, 3]))
    assert batch.lengths.tolist() == packed.units[[5, 0, 3]].tolist()
    unit_ends, frame_ends = np.cumsum(packed.units), np.cumsum(packed.frames)
    label_ends = np.cumsum(packed.label_lengths)
    labels = []
    for row, utt in enumerate([5, 0, 3]):
        n, j = packed.units[utt], packed.frames[utt]
        levels = packed.levels[frame_ends[utt] - j : frame_ends[utt]]
        np.testing.assert_array_equal(batch.levels[row, :j], levels)
        np.testing.assert_array_equal(
            batch.targets[row, :n], clusters[unit_ends[utt] - n : unit_ends[utt]]
        )
        assert (batch.targets[row, n:] == -1).all()
        begin = label_ends[utt] - packed.label_lengths[utt]
        labels.extend(packed.labels[begin : label_ends[utt]] + 1)
    assert batch.labels.tolist() == labels


def test_warping_moves_a_formant():
    bands = torch.arange(40.0)
    levels = (100 * torch.exp(-0.5 * ((bands - 20) / 2) ** 2)).repeat(3, 5, 1)
    found = warp(levels, torch.tensor([1.0, 0.8, 1.25]))
    torch.testing.assert_close(found[0], levels[0])
    assert found[:, 0].argmax(dim=1).tolist() == [20, 25, 16]


def test_another_voice_is_added_as_power():
    torch.manual_seed(0)
    levels = torch.randint(60, 140, (2, 9, 40)).float()
    frames = torch.tensor([9, 5])
    snr = torch.tensor([10.0, 0.0])
    found = add(levels, frames, torch.tensor([1, 0]), snr)
    means = [levels[0].mean(), levels[1, :5].mean()]
    for a, b in ((0, 1), (1, 0)):
        gain = means[a] - means[b] - snr[a] * DECIBEL
        power = torch.exp(levels[a] * STEP) + torch.exp((levels[b] + gain) * STEP)
        both = min(frames.tolist())
        torch.testing.assert_close(found[a, :both], (power.log() / STEP)[:both])
    torch.testing.assert_close(found[0, 5:], levels[0, 5:])  # the other is over
    ten_decibels = torch.exp(10 * DECIBEL * torch.tensor(STEP))
    torch.testing.assert_close(ten_decibels, torch.tensor(10.0), rtol=1e-5, atol=0)


def test_augmentation_can_be_off_and_is_checked():
    levels = torch.randint(0, 200, (2, 9, 40)).float()
    frames = torch.tensor([9, 5])
    nothing = AugmentConfig(warp=0, noise=0, band_masks=0)
    torch.testing.assert_close(augment(levels, frames, nothing), levels)
    torch.manual_seed(0)
    masks = AugmentConfig(warp=0, noise=0, band_masks=1, band_width=6)
    silent = (augment(levels + 1, frames, masks) == 0).all(dim=1).sum(dim=1)
    assert silent.max() > 0
    assert (silent <= 6).all()
    for wrong in ({"warp": 0.5}, {"noise": 2}, {"min_snr": 30}, {"band_width": 40}):
        with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
            AugmentConfig(**wrong)
