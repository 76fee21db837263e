"""A batch that a network accepts, made from the graph alone: it verifies numerically, and claims no accuracy.

Values: floats are pictures, sound or vectors (`signals`), as the shape and the first operations tell; whole numbers
that reach an index stay within the table; those compared with constants are among the constants; other 16- to 64-bit
ones are taken for masks and lengths, and are 1; bytes are of all values; booleans are true. Open sizes are found by
trying them. Draws after the first also take what decides a branch the other way, pad masks, and go through the scales
in which users feed pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from gscompile.data.index_ranges import compared_values, index_limits
from gscompile.data.inputs import InputSpec, input_specs, is_state, state_outputs
from gscompile.data.scales import (
    LOG_ENERGIES,
    SOUND,
    STANDARD_SCALE,
    Scale,
    picture_scales,
    takes_bytes,
    told_scale,
    uncentred_scale,
)
from gscompile.data.signals import KINDS, PICTURE_TURNS, SOUND_TURNS, VECTOR_TURNS, picture, sound, vector
from gscompile.errors import DataError, UsageError
from gscompile.files.native import native
from gscompile.onnx_files.loading import on_files, pointing_proto
from gscompile.onnx_files.op_names import kind

# Sizes to try for an open axis: of pictures and feature maps, and of sequences, tokens and audio.
_MAP_SIZES = (224, 64, 32, 48, 128, 256, 320, 640, 512, 96, 160, 16, 8, 1)
_SEQUENCE_SIZES = (16, 32, 64, 8, 128, 256, 512, 1, 1600, 16000, 2, 4)
MAX_DRAWS, FEW_DRAWS = 16, 4  # tried where a network may refuse the values of one: of known sizes, and of each tried
_STEPS = 64  # of a sequence beside a state, which comes about in time
_SEQUENCE_WORDS = "seq", "time", "frame", "step", "token", "length"
MAX_SIZE_TRIES = 64
ACCEPTED_SIZES = 6  # accepted sizes after which an empty output is taken for what the network does with noise
_SMALLEST_PICTURE = 8  # pixels on a side
_SHORTEST_SOUND = 400  # values: 25 ms at 16 kHz, one frame of a speech recogniser
MAX_INPUT_ELEMENTS = 2**24  # elements of one input with open axes
_LARGEST_FIXED = 2**28
MAX_STEPS_BEFORE = 5  # runs by which a state comes about
_LARGEST_VOCABULARY = 1 << 20  # indices that are put into an order of their own

Shapes = dict[str, tuple[int, ...]]
OpenSizes = dict[str, int]  # of open axes, by symbol or by `input:axis`


def parse_input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Read one `--input-shape`. UsageError when it is not NAME=SIZE,SIZE,... with sizes of 1 and more.

    >>> parse_input_shape("images:0=1,3,224,224")
    ('images:0', (1, 3, 224, 224))
    """
    name, equals, sizes = text.rpartition("=")
    parts = [part.strip() for part in sizes.split(",")]
    if not (name and equals and all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts)):
        raise UsageError(f"input shape '{text}': write NAME=SIZE,SIZE,..., as in x=1,3,224,224")
    return name, tuple(int(part) for part in parts)


def synthetic_batch(
    model: ir.Model,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int = 1,
    seed: int = 0,
    draw: int = 0,
) -> dict[str, NDArray[Any]]:
    """An array for each input of the graph, the same for the same seed.

    `shapes` sets the shape of inputs by name; open axes follow by symbol or are tried, the batch axis at
    `batch`, then 1. `draw` chooses a scale and the way of each branch. UsageError when a given shape contradicts the
    graph, DataError when no size is accepted.
    """
    return Filler.of(model).fill(find_shapes(model, shapes, batch, seed), seed, draw)


def running_batch(
    model: ir.Model, run: Callable[[dict[str, NDArray[Any]]], object], shapes: Shapes | None = None
) -> dict[str, NDArray[Any]] | None:
    """Return a batch for the graph; of several draws the first that `run` takes where values of inputs may be refused.

    None where it takes none. `run` raises RuntimeError for a batch that it does not take.
    """
    if not values_may_be_refused(model):
        return synthetic_batch(model, shapes)
    filler, found = Filler.of(model), find_shapes(model, shapes)
    for draw in range(MAX_DRAWS):
        batch = filler.fill(found, draw, draw)
        try:
            run(batch)
        except RuntimeError:
            continue
        return batch
    return None


def values_may_be_refused(model: ir.Model) -> bool:
    """Return whether a network that does not run on one batch may run on another of the same shapes.

    So it may where an input is of whole numbers, booleans or strings, or has one axis at most: it may be a size, an
    axis, a split or a threshold. Values of types that numpy does not have cannot be fed at all.
    """
    specs = input_specs(model)
    steering = any(spec.dtype.kind != "f" or spec.shape is None or len(spec.shape) <= 1 for spec in specs)
    types = {value.dtype for value in (*model.graph.inputs, *model.graph.outputs) if value.dtype is not None}
    return steering or any(each.numpy().isbuiltin != 1 for each in types)


def find_shapes(
    model: ir.Model, shapes: Mapping[str, tuple[int, ...]] | None = None, batch: int = 1, seed: int = 0
) -> Shapes:
    """A shape for each input; when any axis is open, the first that onnxruntime runs with no empty output."""
    return next(accepted_shapes(model, shapes, batch, seed))


def accepted_shapes(
    model: ir.Model, shapes: Mapping[str, tuple[int, ...]] | None = None, batch: int = 1, seed: int = 0
) -> Iterator[Shapes]:
    """Yield the shapes that onnxruntime runs with no empty output, likely ones first; one where no axis is open.

    Raises UsageError when a given shape contradicts the graph, DataError when no size is accepted.
    """
    specs = input_specs(model)
    given = dict(shapes or {})
    _check_given(given, specs)
    attempts = _attempts(specs, given, batch)
    if not _open_axes(specs, given):
        yield _fixed(specs, given)
        return
    yield from _accepted(model, attempts, seed)


def _fixed(specs: Sequence[InputSpec], given: Shapes) -> Shapes:
    """Shapes that leave nothing to try; DataError for one that a file of any size may ask for."""
    shapes = {spec.name: given.get(spec.name) or _shape(spec, _bound(specs, given)) for spec in specs}
    for spec in specs:
        if prod(shapes[spec.name]) > _LARGEST_FIXED and spec.name not in given:
            raise DataError(f"input '{spec.name}' takes {spec}: too large to try out")
    return shapes


# ---------------------------------------------------------------- sizes


def _check_given(given: Shapes, specs: Sequence[InputSpec]) -> None:
    known = {spec.name: spec for spec in specs}
    for name, shape in given.items():
        if name not in known:
            names = ", ".join(f"'{name}'" for name in known) or "none"
            raise UsageError(f"input shape of '{name}': no such input, the inputs are {names}")
        if not _fits(shape, known[name].shape):
            raise UsageError(f"input shape of '{name}': {list(shape)} given, the network takes {known[name]}")
    for spec in specs:
        if spec.shape is None and spec.name not in given:
            raise DataError(f"input '{spec.name}' has no shape in the network: give one, --input-shape {spec.name}=1,8")


def _fits(shape: tuple[int, ...], wanted: tuple[int | str | None, ...] | None) -> bool:
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(
        size == dim or not isinstance(dim, int) for size, dim in zip(shape, wanted, strict=True)
    )


def _axes(spec: InputSpec) -> list[int | str]:
    """The axes of an input: a size, a symbol, or a name of its own for an axis without one."""
    return [f"{spec.name}:{axis}" if dim is None else dim for axis, dim in enumerate(spec.shape or ())]


def _open_axes(specs: Sequence[InputSpec], given: Shapes) -> dict[str, tuple[int, ...]]:
    """The sizes to try for each symbol that the given shapes leave open, batch axes first and with none."""
    bound = _bound(specs, given)
    every = [(spec, axis, dim) for spec in specs for axis, dim in enumerate(_axes(spec)) if isinstance(dim, str)]
    symbols = {dim for _, _, dim in every}
    named = any("batch" in dim.lower() for dim in symbols)
    recurs = any(is_state(spec) for spec in specs)
    found: dict[str, tuple[int, ...]] = {}
    for spec, axis, dim in every:
        if dim not in bound and spec.name not in given and not _terms(dim, symbols):
            is_batch = "batch" in dim.lower() if named else axis == _batch_axis(spec) and not _is_sequence(dim)
            sizes = _MAP_SIZES if len(_axes(spec)) >= 4 and spec.dtype.kind != "i" else _SEQUENCE_SIZES
            sizes = (_STEPS, *sizes) if recurs and not len(_axes(spec)) >= 4 else sizes
            found[dim] = () if is_batch or found.get(dim) == () else sizes
    return found


def _batch_axis(spec: InputSpec) -> int:
    """The first axis; the second of a recurrent state [layers, batch, hidden]."""
    shape = spec.shape or ()
    return 1 if len(shape) == 3 and [isinstance(size, int) for size in shape] == [True, False, True] else 0


def _is_sequence(dim: str) -> bool:
    """Return whether the name of an axis says that it counts what follows one another."""
    return any(word in dim.lower() for word in _SEQUENCE_WORDS)


def _bound(specs: Sequence[InputSpec], given: Shapes) -> OpenSizes:
    """What the given shapes say of each symbol."""
    pairs = ((_axes(spec), given[spec.name]) for spec in specs if spec.name in given and spec.shape is not None)
    return {dim: size for axes, shape in pairs for dim, size in zip(axes, shape, strict=True) if isinstance(dim, str)}


def _terms(dim: str, symbols: set[str]) -> frozenset[str]:
    """The symbols that one like `past + 1` is computed from; none for a plain one."""
    try:
        terms = ir.SymbolicDim(dim).free_symbols()
    except ValueError:
        return frozenset()
    return terms if dim not in terms and terms <= symbols else frozenset()


def _attempts(specs: Sequence[InputSpec], given: Shapes, batch: int) -> Iterator[Shapes]:
    """Shapes to try, likely ones first; no input is made larger than memory likes."""
    open_axes, bound = _open_axes(specs, given), _bound(specs, given)
    for sizes in _sizes_to_try({dim: sizes for dim, sizes in open_axes.items() if sizes}):
        for count in dict.fromkeys((batch, 1)):
            batches = {dim: count for dim, tried in open_axes.items() if not tried}
            shapes = {spec.name: given.get(spec.name) or _shape(spec, bound | sizes | batches) for spec in specs}
            if all(prod(shape) <= MAX_INPUT_ELEMENTS or name in given for name, shape in shapes.items()):
                yield shapes


def _sizes_to_try(candidates: dict[str, tuple[int, ...]]) -> Iterator[OpenSizes]:
    """First every axis at its n-th size, then every combination of the likeliest few."""
    longest = max((len(sizes) for sizes in candidates.values()), default=1)
    for n in range(longest):
        yield {dim: sizes[n % len(sizes)] for dim, sizes in candidates.items()}
    few = 3 if len(candidates) <= 3 else 2
    for chosen in product(*(sizes[:few] for sizes in candidates.values())):
        yield dict(zip(candidates, chosen, strict=True))


def _shape(spec: InputSpec, sizes: OpenSizes) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else _size(dim, sizes) for dim in _axes(spec))


def _size(dim: str, sizes: OpenSizes) -> int:
    if dim in sizes:
        return sizes[dim]
    value = ir.SymbolicDim(dim).evaluate(sizes)
    return max(1, value) if isinstance(value, int) else 1


# ---------------------------------------------------------------- trying them


def _accepted(model: ir.Model, attempts: Iterator[Shapes], seed: int) -> Iterator[Shapes]:
    run, filler = _runner(model), Filler.of(model)
    empty: list[Shapes] = []
    done: list[Shapes] = []
    found, problem = False, ""
    draws = FEW_DRAWS if values_may_be_refused(model) else 1
    for shapes, draw in product(islice(attempts, MAX_SIZE_TRIES), range(draws)):
        if shapes in done:
            continue
        try:
            outputs = run(filler.fill(shapes, seed + draw, draw))
        except Exception as error:  # onnxruntime's own classes have no common base
            problem = problem or _line(error)
            continue
        done.append(shapes)
        if all(np.size(output) for output in outputs):
            found = True
            yield shapes
        else:
            empty.append(shapes)
        if len(empty) == ACCEPTED_SIZES and not found:
            break
    if not found and not empty:
        raise DataError(f"no size tried for the open axes is accepted ({problem}): give --input-shape NAME=SIZE,...")
    if not found:
        yield empty[0]


def _runner(model: ir.Model) -> Callable[[dict[str, NDArray[Any]]], Sequence[Any]]:
    """The network as a function; made once, without optimisation and without a word on the terminal."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    outside = on_files(model)
    for folder in {str(tensor.base_dir) for tensor in outside.values()}:  # one, or none
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", native(Path(folder)))
        options.add_session_config_entry("session.disable_prepacking", "1")  # weights stay where they are
    try:
        content = pointing_proto(model, outside).SerializeToString()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(f"onnxruntime cannot run the network, so no sizes can be tried ({_line(error)})") from error
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = 4
    return lambda feeds: session.run(None, feeds, quiet)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


# ---------------------------------------------------------------- values


@dataclass(frozen=True, eq=False)
class Filler:
    """Makes arrays from shapes, by what is known of each input; each input draws from a stream of its own."""

    specs: Sequence[InputSpec]
    limits: Mapping[str, int]
    compared: Mapping[str, NDArray[np.int64]]
    told: Mapping[str, Scale]
    uncentred: Mapping[str, Scale]
    takes_bytes: Mapping[str, bool | None]
    dense: frozenset[str]  # inputs that a matrix multiplies as they are: no sound
    states: Mapping[str, str]  # the output that gives the next value of each input which holds a state

    @classmethod
    def of(cls, model: ir.Model) -> Filler:
        """Read what a network tells of its inputs."""
        specs = input_specs(model)
        floats = [spec.name for spec in specs if spec.dtype.kind == "f"]
        told = {name: scale for name in floats if (scale := told_scale(model, name)) is not None}
        read = {value.name or "": [kind(use.node) for use in value.uses()] for value in model.graph.inputs}
        dense = frozenset(name for name, ops in read.items() if {"MatMul", "Gemm"} & {*ops})
        bytes_taken = {name: takes_bytes(model, name) for name in floats}
        uncentred = {name: scale for name in floats if (scale := uncentred_scale(model, name)) is not None}
        return cls(
            specs=specs,
            limits=index_limits(model),
            compared=compared_values(model),
            told=told,
            uncentred=uncentred,
            takes_bytes=bytes_taken,
            dense=dense,
            states=state_outputs(model),
        )

    def fill(self, shapes: Shapes, seed: int = 0, draw: int = 0) -> dict[str, NDArray[Any]]:
        """Return an array for each input, the same for the same seed and draw."""
        key = [seed, draw] if draw else [seed]
        used = np.random.default_rng([*key, len(self.specs)]).uniform(0.25, 1)  # share of a row that is not padding
        streams = (np.random.default_rng([*key, number]) for number in range(len(self.specs)))
        pairs = zip(self.specs, streams, strict=True)
        longest = max((shape[1] for shape in shapes.values() if len(shape) > 1), default=1)
        return {spec.name: self._values(spec, shapes[spec.name], rng, draw, used, longest) for spec, rng in pairs}

    def scales(self, shapes: Shapes) -> int:
        """Return how many scales draws go through, each with all ways of a branch."""
        return max((len(self._scales(spec, shapes[spec.name])) for spec in self.specs), default=1)

    @property
    def has_mask(self) -> bool:
        """Whether an input tells by its name that it masks padding."""
        return any("mask" in spec.name.lower() and spec.dtype.kind in "iub" for spec in self.specs)

    def steps_before(self, seed: int, draw: int) -> int:
        """Return how many times the network is run before a draw, on states that it gave itself; 0 without states."""
        is_fed = bool(self.states) and self._turn(draw) % 2 == 1
        return int(np.random.default_rng([seed, draw]).integers(MAX_STEPS_BEFORE + 1)) if is_fed else 0

    def _turn(self, draw: int) -> int:
        """Return the number of a draw among those that go the same way of a branch."""
        return draw // self.ways

    @cached_property
    def ways(self) -> int:
        """2 where an input decides between branches, a boolean or what is compared with one number; else 1."""
        return 2 if self._decides else 1

    @property
    def _decides(self) -> bool:
        return any(spec.dtype.kind == "b" or len(self.compared.get(spec.name, ())) == 1 for spec in self.specs)

    def scale_name(self, shapes: Shapes, draw: int) -> str:
        """Return what the values of floating inputs are in one draw, in words."""
        floats = [spec for spec in self.specs if spec.dtype.kind == "f"]
        found = [self._scales(spec, shapes[spec.name]) for spec in floats]
        return str(found[0][self._turn(draw) % len(found[0])]) if found else "whole numbers"

    def kinds(self, shapes: Shapes, draw: int) -> tuple[str, ...]:
        """Return what the values of the first floating input are in each row of a draw; "" for extremes."""
        spec = next((spec for spec in self.specs if spec.dtype.kind == "f"), None)
        if spec is None or not (shape := shapes[spec.name]):
            return ()
        turn, rows = self._turn(draw) // len(self._scales(spec, shape)), shape[0]
        if _is_picture(shape):
            turns: Sequence[str] = PICTURE_TURNS
            words = KINDS["pictures"]
        elif self._is_sound(spec, shape):
            turns, words = SOUND_TURNS, KINDS["sounds"]
            rows = 1 if self._is_stream(spec, shape) else prod(shape) // max(shape)
        else:
            turns, words, rows = VECTOR_TURNS, KINDS["vectors"], rows if len(shape) > 1 else 1
        return tuple(words.get(turns[(turn * rows + row) % len(turns)], "") for row in range(rows))

    def _scales(self, spec: InputSpec, shape: tuple[int, ...]) -> tuple[Scale, ...]:
        if spec.dtype.kind != "f":
            return (STANDARD_SCALE,)
        told = self.told.get(spec.name)
        if _is_picture(shape):
            scales = picture_scales(told, self.takes_bytes.get(spec.name))
            return (*scales, LOG_ENERGIES) if told is None and _is_spectrum(shape) else scales
        if told is not None or self._is_sound(spec, shape):
            return (told or SOUND,)
        uncentred = self.uncentred.get(spec.name)
        return (STANDARD_SCALE,) if uncentred is None else (STANDARD_SCALE, uncentred)

    def _values(
        self, spec: InputSpec, shape: tuple[int, ...], rng: np.random.Generator, draw: int, used: float, longest: int
    ) -> NDArray[Any]:
        if spec.dtype.kind == "f":
            return self._floats(spec, shape, rng, draw).astype(spec.dtype)
        if draw and _is_length(spec):
            return np.full(shape, max(1, round(used * longest)), spec.dtype)
        whole = _whole(spec.dtype, shape, rng, self.limits.get(spec.name), self.compared.get(spec.name), draw)
        is_padded = "mask" in spec.name.lower() or (self.has_mask and spec.name in self.limits)
        if self._turn(draw) % 2 and is_padded and len(shape) >= 2 and shape[-1] > 1:
            whole[..., max(1, round(used * shape[-1])) :] = 0
        return whole

    def _floats(self, spec: InputSpec, shape: tuple[int, ...], rng: np.random.Generator, draw: int) -> NDArray[Any]:
        scales = self._scales(spec, shape)
        scale, turn = scales[self._turn(draw) % len(scales)], self._turn(draw) // len(scales)
        if _is_picture(shape):
            return scale.of(_pictures(shape, rng, turn))
        if self._is_state(spec) and len(self.specs) > 1:  # of a recurrent network: zero at the beginning, else below 1
            return np.zeros(shape) if self._turn(draw) % 2 else np.tanh(rng.standard_normal(shape))
        if prod(shape) == 1 and len(shape) <= 1 and len(self.specs) > 1 and self._turn(draw) % 2:  # perhaps a threshold
            return rng.random(shape)
        if self._is_sound(spec, shape):
            if self._is_stream(spec, shape):
                return scale.of(sound(prod(shape), rng, turn).reshape(shape))
            axis = int(np.argmax(shape))
            count = prod(shape) // shape[axis]
            rows = [sound(shape[axis], rng, turn * count + row) for row in range(count)]
            moved = (*shape[:axis], *shape[axis + 1 :], shape[axis])
            return scale.of(np.moveaxis(np.reshape(rows, moved), -1, axis))
        count, sizes = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
        rows = [vector(sizes, rng, turn * count + row) for row in range(count)]
        return scale.of(np.reshape(rows, shape))

    def _is_sound(self, spec: InputSpec, shape: tuple[int, ...]) -> bool:
        """Whether one axis is long and the others are of one or two values, or a state stands beside frames."""
        if spec.name in self.dense or not shape or len(shape) > 3 or max(shape) < _SHORTEST_SOUND:
            return False
        return prod(shape) <= 2 * max(shape) or self._has_state(spec)

    def _is_stream(self, spec: InputSpec, shape: tuple[int, ...]) -> bool:
        """Whether rows of a sound are frames that follow one another."""
        return len(shape) == 2 and shape[0] > 1 and self._has_state(spec)

    def _has_state(self, spec: InputSpec) -> bool:
        return any(self._is_state(other) for other in self.specs if other is not spec)

    def _is_state(self, spec: InputSpec) -> bool:
        return spec.name in self.states or is_state(spec)


def _whole(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    rng: np.random.Generator,
    limit: int | None,
    compared: NDArray[np.int64] | None,
    draw: int,
) -> NDArray[Any]:
    """Return whole numbers, booleans or strings; those that decide a branch go the other way in every second draw."""
    if dtype.hasobject:
        return np.full(shape, "a", dtype)
    if dtype.kind == "b":
        return np.full(shape, draw % 2 == 0, dtype)
    if limit is not None:
        return _tokens(shape, min(limit, _largest(dtype)), rng, draw).astype(dtype)
    if dtype.kind in "iu" and compared is not None:
        others = np.unique([compared // 2, compared + 1]) if len(compared) == 1 and draw % 2 else compared
        return np.asarray(rng.choice(others, shape)).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize == 1:
        lowest = np.iinfo(dtype).min
        return np.asarray(rng.integers(lowest, lowest + 256, shape)).astype(dtype)
    return np.ones(shape, dtype)


def _tokens(shape: tuple[int, ...], limit: int, rng: np.random.Generator, draw: int) -> NDArray[Any]:
    """Return indices below `limit`: of all values alike, after the first draw in about half of the rows as in texts.

    Texts: the n-th token in an order of its own is as frequent as 1 / n (Zipf's law), and the order of half of the
    texts is ascending from an index drawn, as of letters among bytes. Half of them end in one index that fills them up.
    """
    tokens = np.asarray(rng.integers(0, limit, shape))
    if draw and shape and limit > 1:
        rows = tokens.reshape(-1, shape[-1]) if len(shape) > 1 else tokens[None]
        for row in rows:
            if rng.random() < 0.5:
                row[:] = _text(len(row), limit, rng)
    return tokens


def _text(length: int, limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of one text. [length]"""
    ranks = np.minimum(limit ** rng.random(length), limit - 1).astype(np.int64)
    is_ordered = rng.random() < 0.5 or limit > _LARGEST_VOCABULARY
    tokens = (ranks + rng.integers(limit)) % limit if is_ordered else rng.permutation(limit)[ranks]
    if rng.random() < 0.5:
        tokens[round(rng.uniform(0.25, 1) * length) :] = rng.choice([0, limit - 1])
    return np.asarray(tokens)


def _is_length(spec: InputSpec) -> bool:
    """Return whether an input is how long each sample is: whole numbers, one a sample, named so."""
    is_one_a_sample = spec.dtype.kind in "iu" and spec.shape is not None and len(spec.shape) <= 1
    return is_one_a_sample and any(word in spec.name.lower() for word in ("length", "_len", "lens"))


def _is_spectrum(shape: tuple[int, ...]) -> bool:
    """Return whether a picture of one channel is one of frames and bands, and so not square."""
    sizes = sorted(shape[1:])
    return sizes[0] == 1 and sizes[1] != sizes[2]


def _is_picture(shape: tuple[int, ...]) -> bool:
    """[n, channels, height, width] or [n, height, width, channels], grey or coloured, of no few pixels."""
    return len(shape) == 4 and any(
        channels in (1, 3) and min(sizes) >= _SMALLEST_PICTURE
        for channels, sizes in ((shape[1], shape[2:]), (shape[3], shape[1:3]))
    )


def _pictures(shape: tuple[int, ...], rng: np.random.Generator, turn: int) -> NDArray[Any]:
    last = not (shape[1] in (1, 3) and min(shape[2:]) >= _SMALLEST_PICTURE)
    count, *sizes = shape
    channels, height, width = (sizes[2], sizes[0], sizes[1]) if last else sizes
    pictures = np.empty((count, channels, height, width))
    for row, each in enumerate(pictures):  # of more and less contrast, and lighter and darker
        drawn = picture((channels, height, width), rng, turn * count + row)
        each[:] = rng.uniform(0.6, 1.4) * drawn + rng.normal(0, 0.3)
    return np.moveaxis(pictures, 1, -1) if last else pictures


def _largest(dtype: np.dtype[Any]) -> int:
    """Whole numbers below this are held exactly."""
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 2048
