"""ONNX's own node tests: every case with floating point inputs or outputs, its values and its gradients.

`GSCOMPILE_DEVICE=cuda` runs them on a GPU.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx.backend.test.loader import load_node_model_tests
from torch import Tensor

from gscompile.execute import Executor
from gscompile.execute.values import from_numpy, to_numpy
from gscompile.training.accelerator import device_named

torch.set_num_threads(1)
DEVICE = device_named(os.environ.get("GSCOMPILE_DEVICE", "cpu"))
# On a GPU: sums of some ops have no fixed order, and weights of recurrent layers are put together at every call.
pytestmark = pytest.mark.filterwarnings("ignore:.*deterministic impl", "ignore:RNN module weights")

RANDOM = "random numbers: the expected ones are numpy's, these are torch's"
WRONG_VALUES = {
    **dict.fromkeys(
        [
            "test_bernoulli",
            "test_bernoulli_double",
            "test_bernoulli_double_expanded",
            "test_bernoulli_expanded",
            "test_bernoulli_seed",
            "test_bernoulli_seed_expanded",
            "test_training_dropout",
            "test_training_dropout_default",
            "test_training_dropout_default_mask",
            "test_training_dropout_mask",
        ],
        RANDOM,
    ),
}

OPTIMIZER = "a step of an optimiser, not of a network: onnx.reference computes it"
NARROW = "the scale of a tensor of 2, 4 or 8-bit elements, which torch lacks: onnx.reference computes it"
CUT_GRADIENTS = {
    **dict.fromkeys(
        [
            "test_adagrad",
            "test_adagrad_multiple",
            "test_adam",
            "test_adam_multiple",
            "test_momentum",
            "test_momentum_multiple",
            "test_nesterov_momentum",
        ],
        OPTIMIZER,
    ),
    **dict.fromkeys(
        [
            "test_dequantizelinear_e4m3fn",
            "test_dequantizelinear_e4m3fn_float16",
            "test_dequantizelinear_e4m3fn_zero_point",
            "test_dequantizelinear_e5m2",
            "test_dequantizelinear_float4e2m1",
            "test_dequantizelinear_int2",
            "test_dequantizelinear_int4",
            "test_dequantizelinear_uint2",
            "test_dequantizelinear_uint4",
        ],
        NARROW,
    ),
    "test_ai_onnx_ml_tree_ensemble_set_membership": "a step function that onnx.reference computes",
    "test_ai_onnx_ml_tree_ensemble_single_tree": "a step function that onnx.reference computes",
    "test_col2im_5d": "torch folds images of two dimensions only: onnx.reference computes it",
    "test_melweightmatrix": "a constant table that onnx.reference computes",
}

# A float goes in and a float comes out, but not one from the other in a way that has a derivative.
NO_GRADIENT_WANTED = {
    "test_ai_onnx_ml_binarizer": "a step function",
    "test_hardmax": "a step function",
    "test_bernoulli": "zeros and ones, drawn",
    "test_castlike": "from an element type without gradients; the float input is the example of a type",
    "test_loop13_seq": "the float input is a sequence that stays as it is",
    "test_range": "a float sequence that depends on the numbers of its length",
    "test_reduce_max_empty_set": "a constant: the input has no elements",
    "test_reduce_min_empty_set": "a constant: the input has no elements",
}

# One small case per op, away from kinks and ties, where finite differences in float64 can be trusted.
SMOOTH = [
    "test_abs",
    "test_acos_example",
    "test_acosh",
    "test_add",
    "test_affine_grid_2d",
    "test_ai_onnx_ml_array_feature_extractor",
    "test_asin_example",
    "test_asinh_example",
    "test_atan_example",
    "test_atanh_example",
    "test_attention_3d_transpose_verification",
    "test_averagepool_2d_precomputed_pads",
    "test_basic_conv_with_padding",
    "test_batchnorm_example",
    "test_causal_conv_with_state_basic",
    "test_celu",
    "test_center_crop_pad_pad",
    "test_clip_example",
    "test_col2im",
    "test_compress_0",
    "test_concat_1d_axis_0",
    "test_constant_pad",
    "test_convtranspose",
    "test_cos_example",
    "test_cosh_example",
    "test_cumprod_1d",
    "test_cumsum_1d",
    "test_depthtospace_example",
    "test_dequantizelinear",
    "test_det_2d",
    "test_dft_opset19",
    "test_div_example",
    "test_einsum_transpose",
    "test_elu",
    "test_exp_example",
    "test_expand_dim_changed",
    "test_flatten_axis0",
    "test_flexattention_score_mod",
    "test_gather_0",
    "test_gather_elements_0",
    "test_gathernd_example_float32",
    "test_gelu_tanh_1",
    "test_gemm_default_zero_bias",
    "test_globalaveragepool",
    "test_globalmaxpool",
    "test_gridsample",
    "test_group_normalization_example",
    "test_gru_defaults",
    "test_hardsigmoid_example",
    "test_hardswish",
    "test_instancenorm_example",
    "test_l2normalization_axis_1",
    "test_layer_normalization_4d_axis0",
    "test_leakyrelu",
    "test_log_example",
    "test_logsoftmax_example_1",
    "test_loop11",
    "test_lppool_1d_default",
    "test_lstm_defaults",
    "test_matmul_2d",
    "test_max_example",
    "test_maxpool_2d_precomputed_pads",
    "test_maxunpool_export_without_output_shape",
    "test_mean_example",
    "test_min_example",
    "test_mod_mixed_sign_float64",
    "test_mul_example",
    "test_mvn",
    "test_neg_example",
    "test_nllloss_NC",
    "test_optional_get_element_optional_tensor",
    "test_pow_example",
    "test_prelu_example",
    "test_reciprocal_example",
    "test_reduce_l1_do_not_keepdims_example",
    "test_reduce_l2_do_not_keepdims_example",
    "test_reduce_log_sum_desc_axes",
    "test_reduce_log_sum_exp_do_not_keepdims_example",
    "test_reduce_max_do_not_keepdims_example",
    "test_reduce_mean_do_not_keepdims_example",
    "test_reduce_min_do_not_keepdims_example",
    "test_reduce_prod_do_not_keepdims_example",
    "test_reduce_sum_do_not_keepdims_example",
    "test_reduce_sum_square_do_not_keepdims_example",
    "test_relu",
    "test_reshape_reordered_all_dims",
    "test_resize_upsample_sizes_nearest",
    "test_reversesequence_time",
    "test_rms_normalization_4d_axis0",
    "test_roialign_aligned_true",
    "test_rotary_embedding_with_rotary_dim",
    "test_scan_sum",
    "test_scatter_elements_without_axis",
    "test_scatter_without_axis",
    "test_scatternd",
    "test_sce_none",
    "test_selu",
    "test_shrink_hard",
    "test_sigmoid_example",
    "test_simple_rnn_defaults",
    "test_sin_example",
    "test_sinh_example",
    "test_softmax_example",
    "test_softplus_example",
    "test_softsign_example",
    "test_spacetodepth",
    "test_split_equal_parts_1d_opset13",
    "test_split_to_sequence_1",
    "test_sqrt_example",
    "test_squeeze",
    "test_stft",
    "test_sub_example",
    "test_sum_example",
    "test_swiglu",
    "test_swish",
    "test_tan_example",
    "test_tanh_example",
    "test_tensorscatter",
    "test_thresholdedrelu",
    "test_tile",
    "test_top_k",
    "test_transpose_default",
    "test_unsqueeze_axis_0",
    "test_where_example",
]

FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.BFLOAT16,
}
# Relative to each value, for sums that were rounded in another order.
TOLERANCE = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-3, "bfloat16": 2e-2}


def _element_types(type_proto: onnx.TypeProto) -> Iterator[int]:
    kind = type_proto.WhichOneof("value")
    if kind == "tensor_type":
        yield type_proto.tensor_type.elem_type
    elif kind in ("sequence_type", "optional_type"):
        yield from _element_types(getattr(type_proto, kind).elem_type)


def _has_float(values: Any) -> bool:
    return any(kind in FLOATS for value in values for kind in _element_types(value.type))


def _cases() -> dict[str, Any]:
    """The float cases by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX computes its expected overflows with numpy as it is imported
        cases: dict[str, Any] = {case.name: case for case in load_node_model_tests()}
    return {n: c for n, c in cases.items() if _has_float([*c.model.graph.input, *c.model.graph.output])}


CASES = _cases()
DIFFERENTIABLE = [
    name
    for name, case in CASES.items()
    if _has_float(case.model.graph.input)
    and _has_float(case.model.graph.output)
    and not any(name.startswith(start) for start in NO_GRADIENT_WANTED)
]


def _params(names: Any, expected_failures: dict[str, str]) -> list[Any]:
    def marks(name: str) -> Any:
        reason = expected_failures.get(name)
        return [pytest.mark.xfail(strict=True, reason=reason)] if reason else []

    return [pytest.param(name, marks=marks(name), id=name.removeprefix("test_")) for name in names]


def _array(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _value(value: Any) -> Any:
    """A value of the test data as the executor takes it."""
    if value is None or isinstance(value, list):
        return None if value is None else [_value(item) for item in value]
    return from_numpy(_array(value), DEVICE)


def _executor(case: Any) -> Executor:
    return Executor(ir.from_proto(case.model)).to(DEVICE)


def _inputs(case: Any, data: Any) -> dict[str, Any]:
    return {i.name: _value(value) for i, value in zip(case.model.graph.input, data, strict=True)}


def _assert_same(actual: Any, expected: Any) -> None:
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            _assert_same(one, other)
        return
    if expected is None:
        assert actual is None
        return
    actual, expected = to_numpy(actual), _array(expected)
    assert actual.shape == expected.shape
    if expected.dtype.kind in "OUS":
        assert actual.astype(str).tolist() == expected.astype(str).tolist()
        return
    assert actual.dtype == expected.dtype
    if expected.dtype.name not in TOLERANCE:
        exact = np.float64 if expected.dtype.kind in "fV" else expected.dtype  # numpy knows no narrow NaN
        np.testing.assert_array_equal(actual.astype(exact), expected.astype(exact))
        return
    rtol = TOLERANCE[expected.dtype.name]
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    finite = expected[np.isfinite(expected)]
    atol = 1e-3 * rtol * np.abs(finite).max(initial=1e-4)
    np.testing.assert_allclose(actual, expected, rtol, atol)


def _leaves(value: Any) -> Iterator[Tensor]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, Tensor) and value.is_floating_point():
        yield value


@pytest.mark.parametrize("name", _params(CASES, WRONG_VALUES))
def test_values_are_those_of_onnx(name: str) -> None:
    torch.manual_seed(0)  # a draw must not be right by chance
    case = CASES[name]
    executor = _executor(case)
    for data, expected in case.data_sets:
        outputs = executor(_inputs(case, data))
        for actual, wanted in zip(outputs.values(), expected, strict=True):
            _assert_same(actual, wanted)


@pytest.mark.parametrize("name", _params(DIFFERENTIABLE, CUT_GRADIENTS))
def test_gradients_pass(name: str) -> None:
    case = CASES[name]
    inputs = _inputs(case, case.data_sets[0][0])
    leaves = [leaf.requires_grad_() for value in inputs.values() for leaf in _leaves(value)]
    outputs = _executor(case)(inputs)
    reached = [leaf for value in outputs.values() for leaf in _leaves(value) if leaf.requires_grad]
    torch.stack([leaf.double().sum() for leaf in reached]).sum().backward()  # type: ignore[no-untyped-call]
    assert any(leaf.grad is not None for leaf in leaves)


@pytest.mark.parametrize("name", _params(SMOOTH, {}))
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    case = CASES[name]
    executor = _executor(case)
    given = _inputs(case, case.data_sets[0][0])
    doubles = {k: v.double().requires_grad_() for k, v in given.items() if list(_leaves(v))}

    def outputs(*values: Tensor) -> tuple[Tensor, ...]:
        results = executor({**given, **dict(zip(doubles, values, strict=True))})
        return tuple(leaf.double() for value in results.values() for leaf in _leaves(value) if leaf.requires_grad)

    assert torch.autograd.gradcheck(outputs, tuple(doubles.values()), atol=1e-4, rtol=1e-3, fast_mode=True)


def test_the_lists_of_exceptions_stay_short() -> None:
    """At least 99 % of values and 95 % of gradients are right; no list names a case that is gone."""
    assert WRONG_VALUES.keys() <= CASES.keys()
    assert CUT_GRADIENTS.keys() <= set(DIFFERENTIABLE)
    assert len(WRONG_VALUES) <= 0.01 * len(CASES)
    assert len(CUT_GRADIENTS) <= 0.05 * len(DIFFERENTIABLE)
