"""Synthetic signals of several kinds, each of mean 0 and deviation 1 before it is scaled.

An input of a kind that is not among K exchangeable kinds has the largest error with a probability of 1 / (K + 1): there
are several kinds of each signal, the extremes among them.

Pictures and spectra: dead leaves, noise whose amplitude falls with the spatial frequency f as f^-1 (Field 1987: the
spectrum of natural images), strokes of ink, one even colour, white noise. Sound: a voice (harmonics of a gliding pitch
in syllables with pauses, and fricatives), tones, noise, or silence. Vectors: independent normal numbers, smooth ones,
the sum of both, an offset that all share, or zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gscompile.data.dead_leaves import dead_leaves

Floats = NDArray[np.float64]
PICTURE_TURNS = (
    *("leaves", "strokes", "natural", "leaves", "leaves", "even", "leaves", "strokes"),
    *("leaves", "natural", "leaves", "white", "leaves", "strokes", "natural", "leaves"),
)
SOUND_TURNS = "voice", "voice", "noise", "voice", "tones", "voice", "silence", "voice"
VECTOR_TURNS = "normal", "half smooth", "normal", "smooth", "offset", "half smooth", "normal", "zero"
KINDS = {
    "pictures": {"leaves": "pictures", "natural": "pictures", "strokes": "writing"},
    "sounds": {"voice": "voices", "noise": "tones and noise", "tones": "tones and noise"},
    "vectors": {"normal": "independent values", "half smooth": "smooth values", "smooth": "smooth values"},
}  # of what an output has a range of its own; the range of extremes is that of all
DARKEST = 2.0  # deviations from the middle of a scale to its black or white
SMALLEST_LETTER, MAX_LETTERS = 8, 24  # pixels of a line's height, and letters in a line
FORMANTS = ((300.0, 800.0), (800.0, 2300.0), (2200.0, 3200.0))  # Hz, of vowels (Peterson and Barney 1952)
WIDTHS = 80.0, 110.0, 160.0  # Hz, of formants
RATE = 16_000.0  # Hz, assumed of sound: pitches and syllables only have to be about right


def picture(shape: tuple[int, int, int], rng: np.random.Generator, number: int = 0) -> Floats:
    """Return one picture [channels, height, width] of the kind that has its turn at `number`.

    Of sixteen pictures in turn, eight are dead leaves, three 1/f noise, three strokes, one is white noise and one of an
    even colour between the black and the white of the scale.
    """
    turn = PICTURE_TURNS[number % len(PICTURE_TURNS)]
    if turn == "leaves":
        return dead_leaves(shape, rng)
    if turn == "strokes":
        return strokes(shape, rng)
    if turn == "even":
        return np.full(shape, rng.uniform(-DARKEST, DARKEST))
    return natural_noise(shape, rng) if turn == "natural" else rng.standard_normal(shape)


def strokes(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Return strokes of ink in one colour on a ground of another, as of writing. [channels, height, width]

    Characters of two or three straight strokes stand side by side in one to three lines.
    """
    channels, height, width = shape
    ink = np.zeros((height, width))
    lines = int(rng.integers(1, 4)) if height >= 3 * SMALLEST_LETTER else 1
    size = max(3.0, rng.uniform(0.5, 0.9) * height / lines)  # pixels
    thick = size * rng.uniform(0.08, 0.2)
    count = min(MAX_LETTERS, max(1, int(width / (0.8 * size))))
    for line in range(lines):
        for letter in range(int(rng.integers(1, count + 1))):
            corner = np.array([line * height / lines + 0.1 * size, 0.1 * size + letter * 0.8 * size])
            for _ in range(int(rng.integers(2, 4))):
                start, end = (corner + rng.uniform(0, 1, 2) * (0.8 * size, 0.6 * size) for _ in range(2))
                _draw(ink, start, end, thick)
    ground, colour = (rng.normal() + 0.35 * rng.standard_normal((channels, 1, 1)) for _ in range(2))
    return standardised(ground + (colour - ground) * ink)


def _draw(ink: Floats, start: Floats, end: Floats, thick: float) -> None:
    """Draw the straight stroke between two points [row, column] on a picture of 0 to 1, as far as it lies on it."""
    top, left = (max(0, int(edge)) for edge in np.minimum(start, end) - thick)
    bottom, right = (max(0, int(edge)) for edge in np.maximum(start, end) + thick + 2)
    rows, cols = np.ogrid[top : min(bottom, ink.shape[0]), left : min(right, ink.shape[1])]
    along = end - start
    place = ((rows - start[0]) * along[0] + (cols - start[1]) * along[1]) / max(float(along @ along), 1e-9)
    near = np.clip(place, 0, 1)
    distance = np.hypot(rows - start[0] - near * along[0], cols - start[1] - near * along[1])
    part = ink[top:bottom, left:right]
    np.maximum(part, np.clip(thick / 2 + 0.5 - distance, 0, 1), out=part)


def natural_noise(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Return noise [channels, height, width] of a 1/f amplitude spectrum; channels are alike but for a tenth."""
    height, width = shape[1:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    fall = 1 / np.maximum(frequency, 1 / max(height, width))
    fall[0, 0] = 0.0
    grey, colour = rng.standard_normal((1, height, width)), rng.standard_normal(shape)
    spectrum = np.fft.rfft2(0.9 * grey + 0.3 * colour) * fall
    return standardised(np.fft.irfft2(spectrum, (height, width)))


def sound(length: int, rng: np.random.Generator, number: int = 0) -> Floats:
    """Return `length` values of the kind of sound that has its turn at `number`, at levels of -30 to +10 dB.

    Of eight sounds in turn, five are voices, one is tones, one noise, and one silence but for a little noise. All but
    a quarter have a microphone's noise.
    """
    turn = SOUND_TURNS[number % len(SOUND_TURNS)]
    made = {"voice": voice, "tones": tones, "noise": noise}
    wave = made[turn](length, rng) if turn in made else np.zeros(length)
    hiss = 0.0 if rng.random() < 0.25 else 10 ** rng.uniform(-3, -1)
    return np.asarray((wave + hiss * rng.standard_normal(length)) * 10 ** rng.uniform(-1.5, 0.5))


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
    """Return syllables of a gliding pitch of 80 to 250 Hz, 2 to 6 a second, with fricatives and pauses between some.

    Each syllable has three formants of its own, between which the voice glides, and a loudness of its own.
    """
    time = np.arange(length) / RATE
    rate = rng.uniform(2, 6)  # syllables a second
    place = time * rate + rng.uniform(0, 1)  # in syllables
    count = int(place[-1]) + 3
    pitch = rng.uniform(80, 250) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    middles = np.arange(count) + 0.5
    formants = [np.interp(place, middles, rng.uniform(low, high, count)) for low, high in FORMANTS]
    wave = np.zeros(length)
    for number in range(1, int(4000 / pitch.mean())):
        gain = np.full(length, 0.02)
        for order, (formant, width) in enumerate(zip(formants, WIDTHS, strict=True)):
            gain += 0.5**order * np.exp(-0.5 * ((number * pitch - formant) / width) ** 2)
        wave += gain / number**0.5 * np.sin(number * phase)
    loud = np.abs(np.sin(np.pi * place)) * (rng.uniform(0.2, 1, count) * (rng.random(count) > 0.2))[place.astype(int)]
    hissed = (
        np.diff(rng.standard_normal(length + 1)) * rng.uniform(0, 0.7, count)[(place + 0.5).astype(int)] * wave.std()
    )
    return standardised(wave * loud + hissed * (1 - np.abs(np.sin(np.pi * place))) ** 2)


def vector(shape: tuple[int, ...], rng: np.random.Generator, number: int = 0) -> Floats:
    """Return numbers of the kind that has its turn at `number`.

    Of eight vectors in turn, three are independent normal numbers of deviation 1. The deviation of the others is
    between 0.5 and 1.4: of two, half of the variance is smooth along the
    last axis, and of one, nearly all is; of one, half of the variance is an offset that all numbers share; one is zero.
    """
    turn, values = VECTOR_TURNS[number % len(VECTOR_TURNS)], rng.standard_normal(shape)
    if turn in ("zero", "normal"):
        return values if turn == "normal" else np.zeros(shape)
    if turn == "offset":
        values = np.sqrt(0.5) * (values + rng.uniform(-np.sqrt(3), np.sqrt(3)))
    elif shape and shape[-1] >= 8:
        walk = standardised(np.cumsum(rng.standard_normal(shape), axis=-1))
        values = walk + 0.05 * values if turn == "smooth" else np.sqrt(0.5) * (values + walk)
    return np.asarray(values * 2.0 ** rng.uniform(-1, 0.5))


def standardised(values: Floats) -> Floats:
    """Return the values shifted to mean 0 and scaled to deviation 1; constant values become 0."""
    centred = values - values.mean()
    return np.asarray(centred / (centred.std() or 1.0))
