"""Every real network at hand goes through, with eight unlabelled batches and without data: mapped with these counts,
verified, and near to what it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import gscompile
from gscompile.crossbars.crossbar import Crossbar
from gscompile.crossbars.digital_blocks import wire_up
from gscompile.crossbars.mapping import MapOptions, map_network
from gscompile.crossbars.netlist import check as check_netlist
from gscompile.graph.network import Network
from gscompile.judging import sampling
from gscompile.judging.verify import verify_again
from tests.crossbars.test_digital_blocks import floating
from tests.mapped_networks import LITTLE, counts, eight_batches
from tests.packaged import PACKAGED

pytestmark = pytest.mark.slow

# layers, matrices, cells, tiles and wires of the network as it comes, on 64x64
SHARED = {
    "aecmos_gru_stage0": (11, 13, 651_216, 191, 22_255),
    "basic_pitch_nmp": (9, 9, 31_245, 52, 3_583),
    "ch_PP-OCRv4_rec_infer": (47, 3105, 2_658_001, 3_763, 157_696),
    "ch_ppocr_mobile_v2.0_cls_infer": (54, 907, 124_072, 949, 27_371),
    "cifar10_resnet20": (20, 20, 268_336, 98, 10_117),
    "cifar10_resnet56": (56, 56, 848_944, 302, 31_621),
    "efficientnet_lite0_imagenet": (50, 8994, 4_608_235, 10_120, 333_553),
    "magika_standard_v3_3": (3, 3, 781_376, 197, 24_817),
    "mnist_lenet5": (5, 5, 61_470, 24, 2_381),
    "mtcnn_onet": (8, 8, 387_936, 107, 12_891),
    "nudenet_yolov8n_320": (64, 64, 3_003_711, 763, 95_473),
    "silero_vad_16k_sequence": (8, 8, 307_392, 79, 9_859),
}
# All passes take minutes on these: what is zero goes, and the network is mapped, judged and verified like any other.
LARGE = {
    "captcha crnn",
    "ch_PP-OCRv4_rec_infer",
    "chemical shifts",
    "cifar10_resnet56",
    "ddddocr",
    "ddddocr det",
    "efficientnet_lite0_imagenet",
    "MiniLM",
    "nudenet",
    "nudenet_yolov8n_320",
    "open nsfw",
    "orientation",
    "orinet",
    "oskut deepcut",
    "oskut scads",
    "oskut ws",
    "rapidocr det",
    "shufflenet",
    "spindles",
    "squeezenet",
    "tashkeel bilstm",
    "voicefilter",
}
QUANTISED = {"ddddocr", "tashkeel", "tashkeel bilstm", "voicefilter"}  # mapped as they are
NAMES = [*SHARED, *PACKAGED]


@pytest.fixture
def path(request: pytest.FixtureRequest) -> Path:
    """The file of a network; skips, with the reason, where it is not there."""
    name = request.node.callspec.params["name"]
    return _packaged(*PACKAGED[name][:2]) if name in PACKAGED else _shared(name, request)


def _shared(name: str, request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue("shared")
    found = folder / "models" / f"{name}.onnx"
    if not found.is_file():
        pytest.skip(f"{found} is not there")
    return found


def _packaged(module: str, file: str) -> Path:
    spec = importlib.util.find_spec(module)
    folders = [*(spec.submodule_search_locations or ())] if spec else []
    found = next((Path(folder) / file for folder in folders if (Path(folder) / file).is_file()), None)
    if found is None:
        pytest.skip(f"no package here brings {module}/{file}")
    return found


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as large networks have; what a promise on 64 samples is worth is seen on small networks."""
    monkeypatch.setattr(sampling, "DECIDING", sampling.FEW_DECIDING)
    monkeypatch.setattr(sampling, "CONFIRMING", sampling.FEW_CONFIRMING)


def expected(name: str) -> tuple[int, ...]:
    return PACKAGED[name][2] if name in PACKAGED else SHARED[name]


def little(name: str) -> dict[str, Any]:
    """As much work as a test may do; for large networks no more than the passes that cost nothing."""
    return LITTLE | ({"passes": ("drop-dead-units",)} if name in LARGE else {})


def check(name: str, result: gscompile.Result) -> None:
    """As many of everything as there should be, verified, and hardly moved."""
    before, report = result.report.before, result.report
    layers, _, cells, tiles, wires = expected(name)
    assert (len(report.layers), before.cells, before.tiles, before.wires) == (layers, cells, tiles, wires)
    assert report.after.cells <= cells
    assert report.drift is not None
    assert report.drift <= 0.0101
    assert len(report.verification) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_network_maps_to_so_many_matrices_and_tiles(name: str, path: Path) -> None:
    assert counts(path) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_floats_between_inputs_and_outputs(name: str, path: Path) -> None:
    network = Network.load(path)
    unread = {f"tensor:{value.name}" for value in network.model.graph.inputs if not value.uses()}
    assert floating(wire_up(network)) == unread, name


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("name", NAMES)
def test_a_network_compiles_without_data(name: str, path: Path, tmp_path: Path) -> None:
    result = gscompile.compile(path, out=tmp_path / "out", **little(name))
    check(name, result)
    assert any("no accuracy is claimed" in message for message in result.report.messages)
    if name not in LARGE:
        assert len(verify_again(tmp_path / "out")) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_a_network_compiles_with_eight_unlabelled_batches(name: str, path: Path, tmp_path: Path) -> None:
    result = gscompile.compile(path, out=tmp_path / "out", data=eight_batches(path), **little(name))
    check(name, result)
    if name in QUANTISED:
        assert any("the data is not used" in message for message in result.report.messages)
    else:
        (row,) = result.report.accuracy
        assert (row.metric, row.before) == ("agreement with the original", 100)
        assert row.after > 99.9


def test_filters_of_depthwise_convolutions_share_arrays(shared: Path) -> None:
    path = shared / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    netlist = map_network(Network.load(path), MapOptions(Crossbar(64, 64), pack=True))
    check_netlist(netlist)
    assert len([*netlist.tiles]) == 949
    assert netlist.arrays == 496  # seven 3x3 filters fit an array of 64 rows, but only two 5x5 filters
