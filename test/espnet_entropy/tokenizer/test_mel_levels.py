import numpy as np
import pytest
from sounds import babble

from espnet_entropy.tokenizer.mel_levels import FLOOR, NUM_BANDS, STEP, mel_levels, num_frames
from espnet_entropy.utils.grid import num_units


def slow_levels(wav):
    """One window at a time, triangular filters as a matrix, float64."""

    def mel(hertz):
        return 1127 * np.log1p(hertz / 700)

    centres = np.linspace(mel(20), mel(8000), NUM_BANDS + 2)
    bins = mel(np.arange(257) * 16000 / 512)
    up = (bins[:, None] - centres[:-2]) / np.diff(centres)[0]
    down = (centres[2:] - bins[:, None]) / np.diff(centres)[0]
    filters = np.clip(np.minimum(up, down), 0, None)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    rows = []
    for begin in range(0, 320 * (num_units(len(wav)) - 1) + 1, 160):
        frame = wav[begin : begin + 400].astype(np.float64)
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2 @ filters
        rows.append(np.log((power + FLOOR) / FLOOR) / STEP)
    return np.stack(rows)


def test_levels_are_the_logarithm_of_band_power():
    wav = babble(0, 0.7)
    found, expected = mel_levels(wav), slow_levels(wav)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5 + 1e-2


@pytest.mark.parametrize("samples", [0, 399, 400, 719, 720, 16000])
def test_there_are_two_frames_per_unit_but_one(samples):
    units = num_units(samples)
    assert len(mel_levels(babble(1)[:samples])) == num_frames(units) == max(0, 2 * units - 1)


def test_a_frame_is_the_same_alone_and_among_many():
    wav = babble(2, 6.0)
    together = mel_levels(wav)
    for unit in (0, 7, 150, 255):
        alone = mel_levels(wav[320 * unit : 320 * unit + 720])
        np.testing.assert_array_equal(alone, together[2 * unit : 2 * unit + 3])


def test_levels_stay_in_a_byte():
    assert mel_levels(np.zeros(4000, np.float32)).max() == 0
    loudest = np.sign(np.random.default_rng(0).normal(size=4000)).astype(np.float32)
    assert 100 < mel_levels(loudest).max() < 255
