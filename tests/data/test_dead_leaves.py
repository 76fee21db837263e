"""Pictures of leaves: even and edged as pictures are, alike for a seed, and in whichever order the network has its axes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from gscompile.data.dead_leaves import dead_leaves
from gscompile.data.synthetic import synthetic_batch


def beside(picture: np.ndarray) -> float:
    """The correlation of pixels with their right neighbours."""
    return float(np.corrcoef(picture[..., 1:].ravel(), picture[..., :-1].ravel())[0, 1])


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 16, 200), (3, 224, 160)])
def test_a_picture_has_mean_0_and_deviation_1_and_neighbours_are_alike(shape: tuple[int, int, int]) -> None:
    picture = dead_leaves(shape, np.random.default_rng(0))
    assert picture.shape == shape
    assert (picture.mean(), picture.std()) == pytest.approx((0, 1), abs=1e-9)
    assert beside(picture) > 0.6
    np.testing.assert_array_equal(picture, dead_leaves(shape, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("shape", "pictured"),
    [
        ("n,3,32,32", True),
        ("n,32,32,3", True),
        ("2,1,16,40", True),
        ("n,3,4,32", False),
        ("n,64,32,32", False),
        ("n,3,32", False),
    ],
)
def test_inputs_that_look_like_pictures_are_pictures(shape: str, pictured: bool) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[{shape}] x) => (float[{shape}] y) {{ y = Neg (x) }}'
    (array,) = synthetic_batch(ir.from_proto(onnx.parser.parse_model(text)), batch=2).values()
    assert array.shape[0] == 2
    assert array.dtype == np.float32
    across = np.moveaxis(array, -1, 1) if array.shape[-1] == 3 else array
    assert (beside(across) > 0.5) == pictured
    assert not np.array_equal(array[0], array[1])
