"""Synthetic signals of several kinds, each of mean 0 and deviation 1 before it is scaled.

Pictures and spectra: dead leaves, or noise whose amplitude falls with the spatial frequency f as f^-1 (Field 1987: the
spectrum of natural images). Sound: a voice (harmonics of a gliding pitch in syllables with pauses), tones, or noise.
Vectors: independent normal numbers, or the sum of such a vector and a smooth one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gscompile.data.dead_leaves import dead_leaves

Floats = NDArray[np.float64]
RATE = 16_000.0  # Hz, assumed of sound: pitches and syllables only have to be about right


def picture(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Return one picture [channels, height, width]: three of four are dead leaves, the others are 1/f noise."""
    return dead_leaves(shape, rng) if rng.random() < 0.75 else natural_noise(shape, rng)


def natural_noise(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Return noise [channels, height, width] of a 1/f amplitude spectrum; channels are alike but for a tenth."""
    height, width = shape[1:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    fall = 1 / np.maximum(frequency, 1 / max(height, width))
    fall[0, 0] = 0.0
    grey, colour = rng.standard_normal((1, height, width)), rng.standard_normal(shape)
    spectrum = np.fft.rfft2(0.9 * grey + 0.3 * colour) * fall
    return standardised(np.fft.irfft2(spectrum, (height, width)))


def sound(length: int, rng: np.random.Generator) -> Floats:
    """Return `length` values of a voice, of tones or of noise, at levels of 1/30 to 1 (-30 to 0 dB)."""
    kind = rng.integers(4)
    wave = noise(length, rng) if kind == 0 else tones(length, rng) if kind == 1 else voice(length, rng)
    background = 10 ** rng.uniform(-3, -1) * rng.standard_normal(length)
    return np.asarray((wave + background) * 10 ** rng.uniform(-1.5, 0))


def noise(length: int, rng: np.random.Generator) -> Floats:
    """Return noise whose amplitude falls as f^-a, a between 0 (white) and 1 (brown is 2)."""
    frequency = np.maximum(np.fft.rfftfreq(length), 1 / length)
    spectrum = np.fft.rfft(rng.standard_normal(length)) * frequency ** -rng.uniform(0, 1)
    return standardised(np.fft.irfft(spectrum, length))


def tones(length: int, rng: np.random.Generator) -> Floats:
    """Return one to four steady tones between 60 Hz and 4 kHz."""
    time = np.arange(length) / RATE
    pitches = np.exp(rng.uniform(np.log(60), np.log(4000), rng.integers(1, 5)))
    waves = (rng.uniform(0.3, 1) * np.sin(2 * np.pi * (pitch * time + rng.random())) for pitch in pitches)
    return standardised(np.sum([*waves], axis=0))


def voice(length: int, rng: np.random.Generator) -> Floats:
    """Return syllables of a gliding pitch of 80 to 250 Hz, 2 to 6 a second, with pauses between some."""
    time = np.arange(length) / RATE
    pitch = rng.uniform(80, 250) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants, widths = rng.uniform((300, 900, 2200), (800, 2000, 3200)), np.array([120.0, 200.0, 300.0])
    wave = np.zeros(length)
    for number in range(1, int(4000 / pitch.mean())):
        gain = np.exp(-0.5 * ((number * pitch.mean() - formants) / widths) ** 2).sum() + 0.05 / number
        wave += gain * np.sin(number * phase)
    beat = np.sin(np.pi * rng.uniform(2, 6) * time + rng.uniform(0, np.pi)) ** 2
    pause = rng.random(int(time[-1] * 2) + 1)[(time * 2).astype(int)] > 0.2  # half seconds, one of five silent
    return standardised(wave * beat * pause)


def vector(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return normal numbers; in every second draw half of their variance is smooth along the last axis.

    The deviation of a draw is between 1/2 and 2.
    """
    values = rng.standard_normal(shape)
    if rng.random() < 0.5 and shape and shape[-1] >= 8:
        walk = np.cumsum(rng.standard_normal(shape), axis=-1)
        values = np.sqrt(0.5) * (values + standardised(walk))
    return np.asarray(values * 2.0 ** rng.uniform(-1, 1))


def standardised(values: Floats) -> Floats:
    """Return the values shifted to mean 0 and scaled to deviation 1; constant values become 0."""
    centred = values - values.mean()
    return np.asarray(centred / (centred.std() or 1.0))
