"""Data as users bring it: what is accepted, how it is handed out, and a line that says what is wrong."""

from __future__ import annotations

import os
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from gscompile.data.dataset import Batch, InputSpec, batch_size_for, check_labels, input_specs, load_data
from gscompile.errors import DataError
from gscompile.files.npz import open_npz

F32 = np.dtype(np.float32)
X = [InputSpec("x", F32, ("batch", 2))]
FIXED = [InputSpec("x", F32, (10, 2))]


def numbered(count: int, width: int = 2) -> np.ndarray[Any, Any]:
    """Sample i is [i, i, ...]."""
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], width, 1)


def save(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def firsts(batch: Batch, name: str = "x") -> list[float]:
    return [float(value) for value in batch.inputs[name].reshape(len(batch.inputs[name]), -1)[:, 0]]


def refused(source: Any, specs: list[InputSpec], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_data(source, specs)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- what the network asks for


def test_the_specs_of_a_graph_name_its_inputs_and_leave_out_its_weights() -> None:
    model = ir.from_onnx_text(
        """<ir_version: 3, opset_import: ["" : 13]>
        g (float[batch, 3] x, int64[?] ids, float[3] w) => (float[batch, 3] y)
        <float[3] w = {1, 2, 3}> { y = Add(x, w) }"""
    )
    x, ids = input_specs(model)
    assert (x.name, x.dtype, x.shape) == ("x", F32, ("batch", 3))
    assert (ids.name, ids.dtype, ids.shape) == ("ids", np.dtype(np.int64), (None,))


@pytest.mark.parametrize("unknown", ["?", "-1", ""])
def test_what_exporters_write_for_an_unknown_size_is_no_symbol(unknown: str) -> None:
    shape = ir.Shape([ir.SymbolicDim(unknown or None), 3])
    x = ir.Value(name="x", shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
    model = ir.Model(ir.Graph([x], [x], nodes=[], opset_imports={"": 13}), ir_version=8)
    assert input_specs(model)[0].shape == (None, 3)


def test_an_input_that_is_a_sequence_is_refused() -> None:
    x = ir.Value(name="x", type=ir.SequenceType(ir.TensorType(ir.DataType.FLOAT)))
    model = ir.Model(ir.Graph([x], [x], nodes=[], opset_imports={"": 13}), ir_version=8)
    with pytest.raises(DataError, match=r"input 'x' is a .*: only tensors can be fed"):
        input_specs(model)


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([("batch", 2)], 32),
        ([(10, 1, 28, 28)], 10),
        ([(10, 3), (10, 4)], 10),
        ([(1, 512), (2, 1, 64), ()], 1),  # audio, an RNN state, a sampling rate
        ([("frames", 576), (1, 1, 128)], 1),  # the state holds one sequence
        ([("batch", 2), (100, 4)], 32),  # anchors say nothing of the batch
        ([], 32),
        ([None], 32),
    ],
)
def test_the_batch_size_is_the_one_the_inputs_fix_or_the_one_wanted(shapes: list[Any], size: int) -> None:
    specs = [InputSpec(str(i), F32, shape) for i, shape in enumerate(shapes)]
    assert batch_size_for(specs, 32) == size


# ---------------------------------------------------------------- handing out


def test_batches_come_in_order_and_the_last_may_be_short(tmp_path: Path) -> None:
    data = load_data(save(tmp_path / "a.npz", x=numbered(5), labels=np.arange(5)), X)
    assert len(data) == 5
    assert data.has_labels
    assert [firsts(batch) for batch in data.batches(2)] == [[0, 1], [2, 3], [4]]
    assert [len(batch.inputs["x"]) for batch in data.batches(2, drop_last=True)] == [2, 2]


def test_a_seed_shuffles_the_same_way_each_time_and_labels_stay_with_their_samples() -> None:
    data = load_data({"x": numbered(20), "labels": np.arange(20)}, X)
    once, again = list(data.batches(6, seed=1)), list(data.batches(6, seed=1))
    order = [value for batch in once for value in firsts(batch)]
    assert sorted(order) == list(range(20)) != order
    assert order == [value for batch in again for value in firsts(batch)]
    for batch in once:
        assert batch.labels is not None
        np.testing.assert_array_equal(batch.inputs["x"][:, 0], batch.labels)


def test_a_folder_is_its_files_in_order_of_name_and_an_index_finds_its_file(tmp_path: Path) -> None:
    save(tmp_path / "b.npz", x=numbered(3) + 10)
    save(tmp_path / "a.npz", x=numbered(2))
    data = load_data(tmp_path, X)
    assert [firsts(batch) for batch in data.batches(9)] == [[0, 1, 10, 11, 12]]
    assert firsts(data.batch(np.array([4, 0, 2, 1]))) == [12, 0, 10, 1]


def test_a_split_is_disjoint_and_loses_nothing() -> None:
    rest, part = load_data({"x": numbered(10)}, X).split(0.3, seed=0)
    assert (len(rest), len(part)) == (7, 3)
    values = [value for data in (rest, part) for batch in data.batches(4) for value in firsts(batch)]
    assert sorted(values) == list(range(10))


def test_a_split_leaves_something_on_both_sides_or_says_that_it_cannot() -> None:
    rest, part = load_data({"x": numbered(3)}, X).split(0.001, seed=0)
    assert (len(rest), len(part)) == (2, 1)
    with pytest.raises(DataError, match="1 sample cannot be split in two: give at least 2"):
        load_data({"x": numbered(1)}, X).split(0.5, seed=0)


def test_take_keeps_the_first_samples() -> None:
    data = load_data({"x": numbered(5)}, X)
    assert [firsts(batch) for batch in data.take(2).batches(9)] == [[0, 1]]
    assert len(data.take(99)) == 5


def test_a_batch_may_be_changed_without_touching_the_file(tmp_path: Path) -> None:
    data = load_data(save(tmp_path / "a.npz", x=numbered(2)), X)
    data.batch(np.array([0])).inputs["x"][:] = 7
    assert firsts(data.batch(np.array([0]))) == [0]


# ---------------------------------------------------------------- the shapes networks have


def test_a_fixed_batch_of_ten_gets_tens_and_splits_into_tens() -> None:
    data = load_data({"x": numbered(35)}, FIXED)
    assert data.fixed_batch == 10
    assert [len(batch.inputs["x"]) for batch in data.batches(10)] == [10, 10, 10]
    rest, part = data.split(0.2, seed=0)
    assert (len(rest), len(part)) == (25, 10)
    refused({"x": numbered(7)}, FIXED, "7 samples, and the network's batch is fixed at 10")


def test_one_file_of_exactly_the_fixed_batch_is_ten_samples() -> None:
    assert len(load_data({"x": numbered(10)}, FIXED)) == 10


def test_a_scalar_and_a_state_are_the_same_in_every_batch() -> None:
    specs = [
        InputSpec("x", F32, ("frames", 2)),
        InputSpec("rate", np.dtype(np.int64), ()),
        InputSpec("state", F32, (1, 1, 4)),
    ]
    state = np.ones((1, 1, 4), np.float32)
    data = load_data({"x": numbered(3), "rate": np.array(16000), "state": state}, specs)
    assert (len(data), data.ready_made, data.fixed_batch) == (3, False, 1)
    for batch in data.batches(1):
        assert batch.inputs["rate"] == 16000
        np.testing.assert_array_equal(batch.inputs["state"], state)


def test_a_state_with_the_batch_on_its_second_axis_makes_each_file_one_ready_batch(tmp_path: Path) -> None:
    specs = [InputSpec("x", F32, ("batch", 2)), InputSpec("h", F32, (2, "batch", 4))]
    save(tmp_path / "0.npz", x=numbered(3), h=np.zeros((2, 3, 4)))
    save(tmp_path / "1.npz", x=numbered(5), h=np.zeros((2, 5, 4)))
    data = load_data(tmp_path, specs)
    assert (len(data), data.ready_made) == (2, True)
    shapes = [(b.inputs["x"].shape, b.inputs["h"].shape, b.inputs["h"].dtype) for b in data.batches(64)]
    assert shapes == [((3, 2), (2, 3, 4), F32), ((5, 2), (2, 5, 4), F32)]
    with pytest.raises(ValueError, match="2 ready-made batches asked for at once"):
        data.batch(np.array([0, 1]))


def test_pictures_of_different_sizes_are_ready_batches_with_their_labels() -> None:
    specs = [InputSpec("x", F32, ("batch", "h", "w"))]
    yielded = [({"x": np.zeros((1, size, 9), np.float32)}, np.array([size])) for size in (4, 5)]
    data = load_data(yielded, specs)
    assert data.ready_made
    found = [(batch.inputs["x"].shape, str(batch.labels)) for batch in data.batches(8)]
    assert found == [((1, 4, 9), "[4]"), ((1, 5, 9), "[5]")]


def test_states_that_differ_from_batch_to_batch_are_kept_with_their_batch() -> None:
    specs = [InputSpec("x", F32, ("n", 2)), InputSpec("s", F32, (3,))]
    data = load_data([{"x": numbered(2), "s": np.full(3, i, np.float32)} for i in range(2)], specs)
    assert [batch.inputs["s"][0] for batch in data.batches(5)] == [0, 1]


def test_nodes_and_edges_may_differ_in_number_when_the_network_names_them_apart() -> None:
    specs = [InputSpec("nodes", F32, ("n", 2)), InputSpec("edges", F32, ("e", 2))]
    data = load_data({"nodes": numbered(3), "edges": numbered(5)}, specs)
    assert (len(data), data.ready_made) == (1, True)


# ---------------------------------------------------------------- where data comes from


def test_a_function_named_by_its_module_is_found_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import numpy as np\ndef batches():\n    for i in range(3): yield {'x': np.full((2, 2), i, 'f')}\n"
    (tmp_path / "my_batches_of_three.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    data = load_data("my_batches_of_three:batches", X)
    assert [firsts(batch) for batch in data.batches(4)] == [[0, 0, 1, 1], [2, 2]]


def test_a_calibration_reader_is_read_to_its_end() -> None:
    class Reader:
        left = 3

        def get_next(self) -> dict[str, Any] | None:
            self.left -= 1
            return {"x": numbered(1)} if self.left >= 0 else None

    assert len(load_data(Reader(), X)) == 3
    assert len(load_data(Reader, X)) == 3  # the class is a function that returns a reader


def test_lists_of_numbers_and_wider_floats_are_taken_as_the_network_wants_them() -> None:
    batch = next(load_data({"x": [[1.5, 2.5]]}, X).batches(1))
    assert batch.inputs["x"].dtype == F32
    assert batch.inputs["x"].tolist() == [[1.5, 2.5]]


def test_a_dataset_is_its_own_source() -> None:
    data = load_data({"x": numbered(2)}, X)
    assert load_data(data, X) is data


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.npz", "data 'nowhere.npz': no such file: give an .npz"),
        ("no_such_module:f", r"cannot be imported \(ModuleNotFoundError"),
        ("math:pi", "is a float: name a function that returns batches"),
        ("os:getpid", "data of type int: give a path"),
        ([], "no batches"),
        ([numbered(2)], "data, batch 0: is a ndarray: give a mapping"),
        (lambda: 1 / 0, r"raised an error \(ZeroDivisionError: division by zero\)"),
        ({"x": [[1, 2], [3]]}, "'x' is no array"),
    ],
)
def test_a_source_that_gives_no_data_is_one_line(source: Any, words: str) -> None:
    refused(source, X, words)


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    refused(tmp_path, X, "no .npz file in this folder")


# ---------------------------------------------------------------- data that does not fit


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": numbered(2)}, "no array for input 'x', found 'y'"),
        ({"x": numbered(2), "z": numbered(2)}, "no input is called 'z': the inputs are 'x'"),
        ({"x": numbered(2, 3)}, r"\[2, 3\] and the network takes float32 \[batch, 2\]: axis 1 is 3, not 2"),
        ({"x": np.zeros(2, "f")}, "1 axes, not 2"),
        ({"x": np.zeros((2, 2), np.uint8)}, "is uint8 and .* float32: save it as float32, scaled as the"),
        ({"x": numbered(0)}, "'x' has no samples"),
        ({"x": numbered(3), "labels": np.arange(2)}, "'x' has 3 samples and 'labels' 2"),
        ({"x": numbered(3), "labels": np.array(2)}, "'x' has 3 samples and 'labels' 0"),
        ({"x": numbered(1), "labels": np.array([None])}, "'labels' holds Python objects"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(arrays: dict[str, Any], words: str) -> None:
    refused(arrays, X, words)


@pytest.mark.parametrize(
    ("found", "wanted", "taken"),
    [
        ("float64", "float32", True),
        ("float32", "float16", True),
        (">f4", "float32", True),
        ("uint8", "int64", True),
        ("int32", "int64", True),
        ("int64", "int32", False),
        ("uint8", "float32", False),
        ("bool", "int64", False),
        ("float32", "int64", False),
        ("<U3", "object", True),
    ],
)
def test_only_casts_that_keep_the_meaning_are_made(found: str, wanted: str, taken: bool) -> None:
    arrays, specs = {"x": np.ones((1, 2), found)}, [InputSpec("x", np.dtype(wanted), ("n", 2))]
    if taken:
        assert next(load_data(arrays, specs).batches(1)).inputs["x"].dtype == wanted
    else:
        refused(arrays, specs, f"save it as {wanted}")


def test_inputs_with_different_counts_are_one_line() -> None:
    specs = [InputSpec("a", F32, ("batch", 2)), InputSpec("b", F32, ("batch", 2))]
    refused({"a": numbered(5), "b": numbered(4)}, specs, "'a' has 5 samples and 'b' 4")


def test_labels_in_some_files_only_are_one_line() -> None:
    refused([({"x": numbered(1)}, [0]), {"x": numbered(1)}], X, "data, batch 1: no 'labels', and other parts")


@pytest.mark.parametrize(("value", "name"), [(np.nan, "nan"), (np.inf, "inf"), (1e300, "inf")])
def test_a_number_that_is_not_finite_is_named_with_its_sample(
    value: float, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gscompile.data.checks._CHECKED_BYTES", 64)  # so that sample 17 is in a later block
    x = numbered(20).astype(np.float64)
    x[17, 1] = value
    refused({"x": x}, X, rf"'x' holds {name} \(as float32\) in sample 17 \(from 0\)")


def test_labels_are_integers_within_the_classes() -> None:
    check_labels(load_data({"x": numbered(3), "labels": np.array([0, 9, 5])}, X), 10)
    for labels, words in [
        (np.array([0, 10, -1]), "label 10 of sample 1 .* outside 0..9: the network has 10 classes"),
        (np.array([0, -1, 3]), "label -1 of sample 1"),
        (np.array([0.0, 1.0, 2.0]), "float64 .*: give one integer a sample"),
        (np.eye(3, dtype=np.int64), r"int64 \[3, 3\]: give one integer a sample"),
    ]:
        with pytest.raises(DataError, match=words):
            check_labels(load_data({"x": numbered(3), "labels": labels}, X), 10)
    with pytest.raises(DataError, match="the data has no 'labels'"):
        check_labels(load_data({"x": numbered(3)}, X), 10)


# ---------------------------------------------------------------- .npz files


def test_sixty_four_megabytes_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "big.npz"
    np.savez(path, x=np.zeros((2**14, 1024), np.float32))
    assert path.stat().st_size > 64 * 2**20  # stored
    tracemalloc.start()
    try:
        data = load_data(path, [InputSpec("x", F32, ("batch", 1024))])
        batch = next(data.batches(32, seed=0))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert batch.inputs["x"].shape == (32, 1024)
    assert kept < 2**20
    assert peak < 32 * 2**20  # the look for NaN holds a block at a time


@pytest.mark.parametrize("asked", [[], [3], [0, 1, 2], [4, 1, 2, 3, 0, 0]])
def test_rows_come_in_the_order_that_is_asked_for(asked: list[int], tmp_path: Path) -> None:
    stored = open_npz(Path(save(tmp_path / "a.npz", x=numbered(5))))["x"]
    np.testing.assert_array_equal(stored.rows(np.array(asked, np.int64)), numbered(5)[asked])


def test_a_file_cut_short_while_it_is_used_is_one_line(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.npz", x=numbered(5000)))
    data = load_data(path, X)
    os.truncate(path, 20_000)
    assert len(data.batch(np.arange(10)).inputs["x"]) == 10  # what is still there
    with pytest.raises(DataError, match=r"a\.npz: was cut short while it was read: give it whole, and run the same"):
        data.batch(np.arange(4990, 5000))
    path.unlink()
    with pytest.raises(DataError, match=r"a\.npz: cannot be read any more"):
        data.batch(np.arange(10))


def test_compressed_and_stored_files_hold_the_same(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"c": numbered(4), "f": np.asfortranarray(numbered(4))}
    arrays |= {"scalar": np.array(3), "empty": np.zeros((0, 2))}
    np.savez(tmp_path / "s.npz", **arrays)
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    for name in ("s.npz", "c.npz"):
        for key, stored in open_npz(tmp_path / name).items():
            np.testing.assert_array_equal(stored.read(), arrays[key])
            assert (stored.shape, stored.dtype) == (arrays[key].shape, arrays[key].dtype)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    refused(save(tmp_path / "o.npz", x=np.array([{}, {}])), X, "holds Python objects or records")


def test_files_that_are_no_npz_are_one_line(tmp_path: Path) -> None:
    whole = Path(save(tmp_path / "whole.npz", x=numbered(1000))).read_bytes()
    for name, content in [
        ("empty", b""),
        ("text", b"x = 1\n"),
        ("cut", whole[:4000]),
        ("tail", whole[-3000:]),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(str(tmp_path / name), X, f"{name}: ")
    with zipfile.ZipFile(tmp_path / "docs.zip", "w") as archive:
        archive.writestr("../../read.me", "hello")
    refused(str(tmp_path / "docs.zip"), X, r"'\.\./\.\./read.me' in it is no array")


def array_header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", ["(2500000000, 2)", "(-1, -4)", "(99999999999999999999999, 2)"])
def test_a_small_file_that_declares_a_huge_array_allocates_nothing(tmp_path: Path, method: int, shape: str) -> None:
    with zipfile.ZipFile(tmp_path / "liar.npz", "w", method) as archive:
        archive.writestr("x.npy", array_header(shape) + bytes(16))
    tracemalloc.start()
    try:
        refused(str(tmp_path / "liar.npz"), X, r"'x.npy' declares float32 \[.*\] but holds 16 bytes")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_a_directory_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.npz", x=numbered(100)))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = (10**9).to_bytes(4, "little") * 2
    path.write_bytes(content)
    refused(str(path), X, "'x.npy' declares 1000000000 bytes in a file of")


def test_bytes_that_changed_in_a_compressed_file_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    refused(str(path), X, "not a whole .npz file")


def error_of(path: Path) -> str | None:
    try:
        load_data(path, X)
    except DataError as error:
        return str(error)
    return None


def test_a_broken_byte_anywhere_is_one_line_or_harmless(tmp_path: Path) -> None:
    whole = Path(save(tmp_path / "whole.npz", x=numbered(3))).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "broken.npz"
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        line = error_of(path)
        assert line is None or re.fullmatch("[^\n]+", line)
