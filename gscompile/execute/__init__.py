"""An ONNX graph run by torch, with gradients to the chosen weights."""

from gscompile.execute.executor import Executor

__all__ = ["Executor"]
