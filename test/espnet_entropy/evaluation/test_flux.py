from pathlib import Path

import numpy as np
import pytest

from espnet_entropy.evaluation.flux import (
    estimate_shift,
    flux_boundaries,
    flux_times,
    log_mel,
    mel_filters,
    peaks,
    spectral_flux,
)

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def tones(changes, seconds, seed=0):
    """A tone that changes its frequency at each of ``changes`` seconds."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16000)) / 16000
    which = np.searchsorted(changes, time, side="right")
    # neighbours an octave apart, so that every change is a large one
    frequency = np.array([300.0, 700, 1500, 3200])[which % 4]
    wav = 0.3 * np.sin(np.cumsum(2 * np.pi * frequency / 16000))
    return (wav + 0.05 * generator.standard_normal(len(time))).astype(np.float32)


def test_frames_and_filters():
    assert log_mel(np.zeros(399, np.float32)).shape == (0, 40)
    assert log_mel(np.zeros(16000, np.float32)).shape == (196, 40)
    assert flux_times(3) == pytest.approx([0.015, 0.02, 0.025])
    filters = mel_filters()
    # HTK's triangles overlap so that they sum to one between the outermost centres
    inside = filters.sum(axis=0)[8:240]
    assert inside == pytest.approx(np.ones_like(inside))


def test_level_does_not_matter():
    wav = tones([0.3, 0.7], 1.0)
    assert spectral_flux(wav * 0.01) == pytest.approx(spectral_flux(wav), abs=1e-6)


def test_digital_silence_has_no_flux():
    assert not spectral_flux(np.zeros(8000, np.float32)).any()
    assert len(spectral_flux(np.zeros(100, np.float32))) == 0


def test_changes_of_frequency_are_found():
    changes = np.array([0.31, 0.55, 0.82, 1.2, 1.43])
    found = flux_boundaries(spectral_flux(tones(changes, 2.0)), len(changes))
    assert found == pytest.approx(changes, abs=0.0125)


def test_peaks_and_filling():
    flux = np.array([0.0, 3, 1, 2, 2, 0, 5])
    assert peaks(flux).tolist() == [False, True, False, True, False, False, True]
    assert flux_boundaries(flux, 2) == pytest.approx(flux_times(7)[[1, 6]])
    assert flux_boundaries(flux, 4) == pytest.approx(flux_times(7)[[1, 3, 4, 6]])
    assert len(flux_boundaries(flux, 100)) == 7
    assert len(flux_boundaries(np.zeros(0), 3)) == 0


@pytest.mark.parametrize("late", [-0.04, 0.0, 0.065])
def test_shift_is_recovered(late):
    generator = np.random.default_rng(5)
    references, fluxes = [], []
    for utt in range(8):
        changes = np.cumsum(generator.uniform(0.08, 0.3, 12))
        fluxes.append(spectral_flux(tones(changes, changes[-1] + 0.5, seed=utt)))
        references.append(changes + late)
    found = estimate_shift(references, fluxes)
    assert found.estimate == pytest.approx(-late, abs=0.0051)
    assert found.low <= found.estimate <= found.high


def test_shift_without_boundaries_is_undefined():
    assert np.isnan(estimate_shift([np.zeros(0)], [np.ones(50)]).estimate)


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data")
@pytest.mark.parametrize(
    ("corpus", "part", "low", "high"),
    [("ljspeech_mini", "lj", -0.0151, 0.0), ("mboshi", "dev", -0.085, -0.06)],
)
def test_shift_of_real_alignments(corpus, part, low, high):
    from espnet_entropy.corpora.alignment import read_ctm
    from espnet_entropy.corpora.audio import load_audio
    from espnet_entropy.evaluation.boundaries import reference_boundaries

    base = DATA / corpus
    lines = (base / part / "wav.scp").read_text().splitlines()
    paths = dict(line.split(maxsplit=1) for line in sorted(lines)[:150])
    phones = read_ctm(base / part / "ctm.phones")
    wavs = {utt: load_audio(base / path) for utt, path in paths.items()}
    references = [reference_boundaries(phones[utt], len(wavs[utt]) / 16000) for utt in wavs]
    found = estimate_shift(references, [spectral_flux(wav) for wav in wavs.values()])
    assert low <= found.estimate <= high
