"""Types and constants of the values of a model, by shape inference and by one run in onnxruntime."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from gscompile.data.synthetic import synthetic_batch
from gscompile.errors import GscompileError
from gscompile.onnx_files.loading import model_in_memory
from gscompile.reduction.subgraph import NodeValues, read_names


def known_values(model: onnx.ModelProto) -> NodeValues:
    """Return what is known of the values of `model`: declared or inferred types, and the values of constants.

    A value whose type cannot be inferred takes the type and shape that it has in a run on a synthetic batch, where
    onnxruntime runs the model.
    """
    inferred = _inferred(model)
    types = {
        info.name: info
        for info in (*model.graph.value_info, *inferred.value_info, *model.graph.input, *model.graph.output)
        if info.type.tensor_type.elem_type and info.type.tensor_type.HasField("shape")
    }
    constant = _constant_names(model)
    seen = _run(model, [name for name in _made_names(model) if name not in types or name in constant])
    types |= {name: _declared(name, array) for name, array in seen.items() if name not in types}
    constants = {name: numpy_helper.from_array(array, name) for name, array in seen.items() if name in constant}
    return NodeValues(types, constants)


def _inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    with suppress(onnx.shape_inference.InferenceError, ValueError):  # ValueError: above 2 GiB
        return onnx.shape_inference.infer_shapes(model).graph
    return onnx.GraphProto()


def _made_names(model: onnx.ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in node.output if name]


def _constant_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of all values that only initializers influence; random ops have none."""
    names = {tensor.name for tensor in model.graph.initializer}
    names -= {info.name for info in model.graph.input}
    names |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    for node in model.graph.node:
        if not node.op_type.startswith("Random") and all(name in names for name in read_names(node)):
            names |= {name for name in node.output if name}
    return names


def _run(model: onnx.ModelProto, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays with these names from one run on a synthetic batch; empty where that is impossible."""
    if not names:
        return {}
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    present = {info.name for info in shown.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        feeds = synthetic_batch(model_in_memory(model))
        session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(names, feeds)
    except GscompileError:
        return {}
    except Exception:  # onnxruntime raises a class per error code
        return {}
    return {name: array for name, array in zip(names, outputs, strict=True) if isinstance(array, np.ndarray)}


def _declared(name: str, array: np.ndarray[Any, Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
