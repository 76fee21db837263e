"""Typical architectures, as torch exports them in its two ways, go through: mapped with these counts, verified, and
near to what they were, without data and with eight unlabelled batches."""

from __future__ import annotations

from pathlib import Path

import pytest

import gscompile
from gscompile.judging.verify import verify_again
from tests.mapped_networks import LITTLE, counts, eight_batches
from tests.zoo import RECIPES, STYLES, export

pytestmark = pytest.mark.slow

# layers, matrices, cells, tiles and wires of the network as it comes, on 64x64; by either exporter
COUNTS = {
    "u-net": (11, 11, 105_168, 44, 4_285),
    "mobilenet v2": (15, 299, 22_160, 305, 4_087),
    "mobilenet v3": (23, 307, 38_544, 317, 9_511),
    "efficientnet": (23, 307, 33_936, 317, 4_903),
    "densenet": (11, 11, 13_040, 27, 1_653),
    "shufflenet v2": (12, 57, 5_520, 57, 901),
    "squeezenet": (11, 11, 16_416, 16, 1_071),
    "swin": (15, 15, 59_520, 22, 2_266),
    "convnext": (12, 105, 38_592, 114, 6_370),
    "mlp-mixer": (6, 6, 19_936, 10, 874),
    "super-resolution": (3, 3, 6_704, 9, 596),
    "style transfer": (3, 3, 3_168, 7, 388),
    "feature pyramid": (6, 6, 12_024, 14, 919),
    "bert": (14, 14, 102_592, 26, 3_267),
    "decoder with a cache": (15, 15, 86_528, 24, 2_888),
    "translator": (9, 11, 116_352, 44, 4_568),
    "gated convolutions": (10, 10, 29_088, 14, 1_229),
    "time delay": (5, 5, 39_168, 11, 1_316),
    "graph convolutions": (4, 4, 1_792, 4, 184),
    "graph attention": (3, 3, 704, 3, 149),
    "pointnet": (7, 7, 15_744, 9, 761),
    "autoencoder": (5, 5, 7_296, 5, 392),
    "recommender": (3, 3, 1_424, 3, 125),
}
# One exporter ties what starts out alike (both layers of the transformer), or reads a weight for keys and values at once.
BY_STYLE = {
    ("vision transformer", "traced"): (6, 6, 62_080, 16, 1_994),
    ("vision transformer", "exported"): (10, 10, 111_232, 28, 3_530),
    ("cross-attention", "traced"): (3, 3, 1_792, 3, 152),
    ("cross-attention", "exported"): (5, 5, 4_864, 5, 312),
}
CASES = [(name, style) for name in RECIPES for style in STYLES]


def expected(name: str, style: str) -> tuple[int, ...]:
    return COUNTS.get(name) or BY_STYLE[name, style]


@pytest.mark.parametrize(("name", "style"), CASES)
def test_an_architecture_goes_through(name: str, style: str, tmp_path: Path) -> None:
    path = export(RECIPES[name], style, tmp_path / "network.onnx")
    assert counts(path) == expected(name, style)
    for data in (None, eight_batches(path)):
        result = gscompile.compile(path, out=tmp_path / "out", data=data, force=True, **LITTLE)
        report = result.report
        assert (report.before.cells, report.before.tiles, report.before.wires) == expected(name, style)[2:]
        assert report.after.cells <= report.before.cells
        assert report.drift is not None
        assert report.drift <= (0.0101 if data is None else 1)
        assert len(verify_again(tmp_path / "out")) >= 4
        agreement = [row.after for row in report.accuracy]
        assert agreement == [] if data is None else min(agreement) >= 99
