"""Every real network at hand goes through without data: mapped with these counts, verified, within the error bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gscompile
from gscompile.passes import PASSES
from gscompile.verify import verify_again

pytestmark = pytest.mark.slow

# layers, tiles and wires of the network as it comes, on 64x64
NETWORKS = {
    "aecmos_gru_stage0": (11, 191, 22255),
    "basic_pitch_nmp": (9, 52, 3583),
    "ch_PP-OCRv4_rec_infer": (47, 3763, 157696),
    "ch_ppocr_mobile_v2.0_cls_infer": (54, 949, 27371),
    "cifar10_resnet20": (20, 98, 10117),
    "cifar10_resnet56": (56, 302, 31621),
    "efficientnet_lite0_imagenet": (50, 10120, 333553),
    "magika_standard_v3_3": (3, 197, 24817),
    "mnist_lenet5": (5, 24, 2381),
    "mtcnn_onet": (8, 107, 12891),
    "nudenet_yolov8n_320": (64, 763, 95473),
    "silero_vad_16k_sequence": (8, 79, 9859),
}
LARGE = {"efficientnet_lite0_imagenet", "ch_PP-OCRv4_rec_infer", "nudenet_yolov8n_320"}
assert "drop-dead-units" in PASSES


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_compiles_without_data(name: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    some: dict[str, Any] = {"passes": ("drop-dead-units",)} if name in LARGE else {}  # all passes take minutes there
    result = gscompile.compile(path, out=tmp_path / "out", **some)
    before, report = result.report.before, result.report
    assert (len(report.layers), before.tiles, before.wires) == NETWORKS[name]
    assert report.after.cells <= before.cells
    assert report.drift is not None
    assert report.drift <= 0.01
    assert len(report.verification) == 3
    if name not in LARGE:
        assert len(verify_again(tmp_path / "out")) == 4


def test_filters_of_depthwise_convolutions_share_arrays(shared: Path) -> None:
    from gscompile.crossbar import Crossbar
    from gscompile.mapping import MapOptions, map_network
    from gscompile.netlist import check
    from gscompile.network import Network

    path = shared / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    netlist = map_network(Network.load(path), MapOptions(Crossbar(64, 64), pack=True))
    check(netlist)
    assert len([*netlist.tiles]) == 949
    assert netlist.arrays == 496  # seven 3x3 filters fit an array of 64 rows, but only two 5x5 filters
