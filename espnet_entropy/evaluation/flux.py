"""Spectral flux: how fast the log-mel spectrum changes. A baseline that knows no model.

It lives on its own grid of 5 ms (value t stands at 0.005 t + 0.015 s, between two frames), finer
than that of the units, so it is a strong baseline at ±20 ms. It also tells whether a reference
alignment is late or early against the signal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from espnet_entropy.evaluation.bootstrap import Estimate, resampling_weights
from espnet_entropy.utils.grid import SAMPLE_RATE

HOP = 80  # samples: 5 ms
WINDOW = 400  # samples: 25 ms
FFT = 512
NUM_MELS = 40
FLOOR = 1e-5  # of the loudest mel value: 50 dB, below which there is noise or digital silence
# Frames on each side that are compared: 30 ms. Chosen on mini_synth valid (phone R-value, ±20 ms,
# as many boundaries as ``planned`` at 15 Hz; tools/bench/choose_constants.py): 3 … 8 give .663 .671
# .670 .670 .666 .665; 4 and 5 are above 6 by .001 [-.002, .004], which is noise.
SPAN = 6


def mel_filters(num_mels: int = NUM_MELS) -> np.ndarray:
    """Triangular filters (num_mels, FFT / 2 + 1) float64 from 0 Hz to 8 kHz (HTK's mel scale)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, num_mels + 2) / 2595) - 1)
    bins = np.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters: np.ndarray = np.clip(np.minimum(rising, falling), 0, None)
    return filters


def log_mel(wav: np.ndarray, num_mels: int = NUM_MELS) -> np.ndarray:
    """Natural log of the mel power spectrum, floored relative to its own maximum.

    Args:
        wav: (T,) float32, 16 kHz.
        num_mels: bands.

    Returns:
        (F, num_mels) float64, F = (T - 400) // 80 + 1; frame t is centred at 0.005 t + 0.0125 s.
    """
    if len(wav) < WINDOW:
        return np.zeros((0, num_mels))
    frames = np.lib.stride_tricks.sliding_window_view(wav, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), FFT)) ** 2
    mel = power @ mel_filters(num_mels).T
    floored: np.ndarray = np.log(np.maximum(mel, max(FLOOR * mel.max(), 1e-12)))
    return floored


def flux_times(num_frames: int) -> np.ndarray:
    """Instants of the flux, half way between the centres of frames, (F,) float64 seconds."""
    return (np.arange(num_frames) * HOP + (WINDOW + HOP) / 2) / SAMPLE_RATE


def spectral_flux(wav: np.ndarray) -> np.ndarray:
    """Distance between the mean log-mel spectra of the ``SPAN`` frames before and after.

    Args:
        wav: (T,) float32, 16 kHz.

    Returns:
        (F,) float64, nats (root mean square over the bands), at :func:`flux_times`; value t is
        the change from frame t to t + 1, and 0 where the signal ends too soon to tell.
    """
    mel = log_mel(wav)
    flux = np.zeros(len(mel))
    if len(mel) >= 2 * SPAN:
        means = np.mean(np.lib.stride_tricks.sliding_window_view(mel, SPAN, axis=0), axis=-1)
        change = means[SPAN:] - means[:-SPAN]
        flux[SPAN - 1 : len(mel) - SPAN] = np.sqrt(np.mean(change**2, axis=1))
    return flux


def peaks(flux: np.ndarray) -> np.ndarray:
    """(F,) bool: local maxima (the first frame of a plateau)."""
    before = np.concatenate([[-np.inf], flux[:-1]])
    after = np.concatenate([flux[1:], [-np.inf]])
    found: np.ndarray = (flux > before) & (flux >= after)
    return found


def flux_boundaries(flux: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` highest peaks; where there are fewer, the highest other frames as well.

    Returns:
        (min(count, F),) float64, seconds, rising.
    """
    score = flux + np.where(peaks(flux), 1 + np.max(flux, initial=0.0), 0.0)
    chosen = np.argsort(-score, kind="stable")[:count]
    return flux_times(len(flux))[np.sort(chosen)]


def estimate_shift(
    references: Sequence[np.ndarray],
    fluxes: Sequence[np.ndarray],
    largest: float = 0.1,
    step: float = 0.0025,
    seed: int = 0,
) -> Estimate:
    """Seconds to add to the reference so that its boundaries lie where the signal changes most.

    The flux, standardized within each utterance's speech, is averaged over all boundaries at each
    lag; the lag with the highest mean wins. An alignment that is late by 65 ms gives -0.065. Give
    phones: word boundaries of fluent speech change the spectrum less than those within words.

    Args:
        references: U arrays of phone boundary times, seconds.
        fluxes: U arrays from :func:`spectral_flux`.
        largest: largest shift considered, seconds; about a phone, or the next one is found.
        step: resolution, seconds.
        seed: of the bootstrap over utterances.

    Returns:
        The shift with its 95 % interval; NaN where there is no boundary.
    """
    steps = round(largest / step)
    lags = np.arange(-steps, steps + 1) * step
    curves = np.zeros((len(references), len(lags)))
    for u, (reference, flux) in enumerate(zip(references, fluxes, strict=True)):
        if len(reference) == 0:
            continue
        frames = flux_times(len(flux))
        # silence around the speech would tilt the curve: it is left out of mean and spread
        speech = flux[(frames >= reference[0] - largest) & (frames <= reference[-1] + largest)]
        if len(speech) and np.std(speech) > 0:
            standard = (flux - np.mean(speech)) / np.std(speech)
            curves[u] = np.interp(reference[:, None] + lags, frames, standard).sum(axis=0)
    if not np.any(curves):
        return Estimate(float("nan"), float("nan"), float("nan"))
    resampled = lags[np.argmax(resampling_weights(len(curves), seed=seed) @ curves, axis=1)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    best = lags[np.argmax(curves.sum(axis=0))]
    return Estimate(float(best), float(low), float(high))
