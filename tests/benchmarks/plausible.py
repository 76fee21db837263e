"""Inputs that users would feed to real networks and that gscompile did not make: photographs, digits, speech and text.

Photographs are the sample of ImageNet, digits MNIST, and objects CIFAR-10, all of `shared/data`. Speech is espeak-ng's.
Text lines are drawn by Pillow; bytes are those of files of this checkout.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import wave
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tests.checkout import ROOT

Floats = NDArray[Any]
Inputs = dict[str, NDArray[Any]]
SHARED = ROOT.parent / "shared"
PHOTOGRAPHS = SHARED / "data/imagenet_sample/imagenet_sample_1000_224.zip"
DIGITS = SHARED / "data/mnist/t10k-images-idx3-ubyte.gz"
OBJECTS = SHARED / "data/cifar10/test_00.webp"
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # mean and deviation of pixels of 0 to 1
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Please turn off the lights in the kitchen, and set a timer for ten minutes.",
    "It was the best of times, it was the worst of times, it was the age of wisdom.",
    "Yes. No. Up. Down. Left. Right. On. Off. Stop. Go.",
    "Invoice number 48213, payable within thirty days of receipt.",
    "She sells sea shells by the sea shore; the shells she sells are sea shells for sure.",
)
VOICES = "en", "de", "fr", "es"


def photographs(count: int, size: int) -> Floats:
    """Return `count` photographs with pixels of 0 to 255. [count, size, size, 3]"""
    with zipfile.ZipFile(PHOTOGRAPHS) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        chosen = names[:: max(1, len(names) // count)][:count]
        opened = (Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen)
        return np.array([np.asarray(each.resize((size, size))) for each in opened], np.float32)


def objects(count: int) -> Floats:
    """Return the first `count` test images of CIFAR-10 with pixels of 0 to 255. [count, 32, 32, 3]"""
    sheet = np.asarray(Image.open(OBJECTS).convert("RGB"), np.float32)
    rows, cols = sheet.shape[0] // 32, sheet.shape[1] // 32
    tiles = sheet[: rows * 32, : cols * 32].reshape(rows, 32, cols, 32, 3).swapaxes(1, 2)
    return tiles.reshape(-1, 32, 32, 3)[:count]


def digits(count: int) -> Floats:
    """Return the first `count` test images of MNIST with pixels of 0 to 255. [count, 28, 28]"""
    content = gzip.decompress(DIGITS.read_bytes())
    return np.frombuffer(content, np.uint8, count * 784, 16).reshape(-1, 28, 28).astype(np.float32)


def text_lines(count: int, height: int, width: int) -> Floats:
    """Return pictures of a line of text each, dark on light or the reverse, of 0 to 255. [count, height, width, 3]"""
    drawn = []
    for number in range(count):
        ground, ink = ((245, 243, 238), (20, 22, 30)) if number % 3 else ((30, 60, 110), (250, 250, 250))
        picture = Image.new("RGB", (width, height), ground)
        words = SENTENCES[number % len(SENTENCES)][number // len(SENTENCES) :]
        ImageDraw.Draw(picture).text((4, height // 6), words, ink, ImageFont.load_default(0.6 * height))
        drawn.append(np.asarray(picture.rotate(180) if number % 4 == 3 else picture))
    return np.array(drawn, np.float32)


def byte_tokens(count: int) -> NDArray[np.int32]:
    """Return the first and last 1024 bytes of `count` files of this checkout; 256 fills short ones. [count, 2048]"""
    files = sorted(path for path in (ROOT / "docs").rglob("*") if path.is_file())
    files += [*sorted((ROOT / "tests").glob("*.py")), *sorted((SHARED / "models").glob("*.onnx"))]
    tokens = np.full((count, 2048), 256, np.int32)
    for row, path in zip(tokens, files[:: max(1, len(files) // count)], strict=False):
        content = path.read_bytes()
        first, last = (np.frombuffer(part, np.uint8) for part in (content[:1024], content[-1024:]))
        row[: len(first)], row[2048 - len(last) :] = first, last
    return tokens


@cache
def speech(rate: int) -> Floats:
    """Return sentences in several languages, with pauses between, of -1 to 1 at `rate` values a second. [values]"""
    said = []
    for number, sentence in enumerate(SENTENCES * 2):
        command = ["espeak-ng", "-v", VOICES[number % len(VOICES)], "-s", str(130 + 10 * number), "--stdout", sentence]
        with wave.open(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)) as opened:
            frames = np.frombuffer(opened.readframes(1 << 30), np.int16) / 32768
            said += [scipy.signal.resample_poly(frames, rate, opened.getframerate()), np.zeros(rate // 3)]
    return np.concatenate(said).astype(np.float32)


def pieces(sound: Floats, count: int, length: int) -> Floats:
    """Return `count` pieces of a sound, evenly spread. [count, length]"""
    starts = np.linspace(0, len(sound) - length, count).astype(int)
    return np.array([sound[start : start + length] for start in starts])


def mel_energies(sound: Floats, rate: int, window: int, hop: int, bands: int, low: float = 20.0) -> Floats:
    """Return the energy of each frame of a sound in bands that are evenly spaced in mel. [..., frames, bands]"""
    frames = np.lib.stride_tricks.sliding_window_view(sound, window, axis=-1)[..., ::hop, :]
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    edges = 700 * (np.exp(np.linspace(np.log1p(low / 700), np.log1p(rate / 2 / 700), bands + 2)) - 1)
    bins = np.arange(power.shape[-1]) * rate / window
    rise = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    fall = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    return np.asarray(power @ np.maximum(np.minimum(rise, fall), 0), np.float32)


def cepstra(count: int) -> Floats:
    """Return ten mel cepstra of 49 frames in a second of speech each. [count, 49, 10, 1]"""
    energies = mel_energies(pieces(speech(16000), count, 16000), 16000, 480, 320, 40)
    return np.asarray(scipy.fft.dct(np.log(energies + 1e-6), norm="ortho")[:, :49, :10, None], np.float32)


def decibels(count: int) -> Floats:
    """Return the log spectra of five frames of a sound each, as for anomaly detection in machines. [count, 640]"""
    energies = mel_energies(pieces(speech(16000), count, 1024 + 4 * 512), 16000, 1024, 512, 128)
    return (10 * np.log10(energies + np.finfo(np.float32).eps)).reshape(count, 640)


def echo_spectra(count: int, frames: int = 64) -> Floats:
    """Return spectra of a far end, a microphone that hears it, and what an echo canceller leaves.

    [count, 3, frames, 160] in units of 40 dB about 40 dB below the loudest.
    """
    far = pieces(speech(16000), count, 512 + 256 * (frames - 1))
    near = np.roll(far, count // 2, 0)
    heard = near + 0.4 * np.roll(far, 800, -1)
    signals = np.stack([far, heard, near + 0.05 * np.roll(far, 800, -1)], 1)
    energies = mel_energies(signals, 16000, 512, 256, 160)
    loudest = energies.max((2, 3), keepdims=True)
    return np.asarray(np.maximum(10 * np.log10(np.maximum(energies, 1e-10) / np.maximum(loudest, 1e-10)), -80) / 40 + 1)


def planes(pictures: Floats) -> Floats:
    """Return pictures with their channels first."""
    return np.ascontiguousarray(np.moveaxis(pictures, -1, 1))


def each(name: str, values: NDArray[Any], rows: int = 1, **others: NDArray[Any]) -> Iterator[Inputs]:
    """Yield batches of `rows` samples of one input, beside others that stay as they are."""
    for start in range(0, len(values) - rows + 1, rows):
        yield {name: np.asarray(values[start : start + rows], values.dtype), **others}


def normalised(pictures: Floats) -> Floats:
    """Return pictures of 0 to 255 less ImageNet's mean, relative to its deviation."""
    return np.asarray((pictures / 255 - IMAGENET[0]) / IMAGENET[1], np.float32)


def lenet(count: int) -> Iterator[Inputs]:
    values = ((digits(10 * (count // 4)) / 255 - 0.1307) / 0.3081)[:, None].astype(np.float32)
    return each("input_0", values, 10)


def voice_frames(count: int) -> Iterator[Inputs]:
    """Yield the frames of two seconds of speech, with 64 values of the frame before, and states as at the start."""
    zero = np.zeros((1, 1, 128), np.float32)
    for piece in pieces(speech(16000), count, 64 + 512 * 62):
        frames = np.lib.stride_tricks.sliding_window_view(piece, 576)[::512]
        yield {"input": np.ascontiguousarray(frames), "h": zero, "c": zero}


def echoes(count: int) -> Iterator[Inputs]:
    return each("input", echo_spectra(count), h0=np.zeros((4, 1, 96), np.float32))


PLAUSIBLE: dict[str, Callable[[int], Iterator[Inputs]]] = {
    "mlperf_tiny_ad_autoencoder": lambda count: each("input_1", decibels(count)),
    "mnist_lenet5": lenet,
    "mlperf_tiny_kws_dscnn": lambda count: each("input_1", cepstra(count)),
    "silero_vad_16k_sequence": voice_frames,
    "basic_pitch_nmp": lambda n: each("serving_default_input_2:0", pieces(speech(22050), n, 43844)[..., None]),
    "mlperf_tiny_resnet8": lambda count: each("input_1", objects(count)),
    "mtcnn_onet": lambda count: each("input_3", (photographs(count, 48) - 127.5) / 128),
    "magika_standard_v3_3": lambda count: each("bytes", byte_tokens(count)),
    "ch_ppocr_mobile_v2.0_cls_infer": lambda n: each("x", planes(text_lines(n, 48, 192) / 127.5 - 1)),
    "mlperf_tiny_vww_mobilenet": lambda count: each("input_1", photographs(count, 96) / 255),
    "aecmos_gru_stage0": echoes,
    "cifar10_resnet20": lambda count: each("x", planes(normalised(objects(count)))),
    "cifar10_resnet56": lambda count: each("x", planes(normalised(objects(count)))),
    "efficientnet_lite0_imagenet": lambda count: each("x", planes((photographs(count, 224) - 127) / 128)),
    "nudenet_yolov8n_320": lambda count: each("images", planes(photographs(count, 320) / 255)),
    "ch_PP-OCRv4_rec_infer": lambda count: each("x", planes(text_lines(count, 48, 320) / 127.5 - 1)),
}
