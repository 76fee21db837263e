"""All op families: importing one enters its functions into the table."""

from gscompile.execute import (
    attention,
    contrib,
    control_flow,
    convolution,
    elementwise,
    indexing,
    linear,
    normalization,
    pooling,
    quantize,
    random,
    recurrent,
    reduction,
    resize,
    sequence,
    shape,
    signal,
    spatial,
    tables,
)
from gscompile.execute.table import find, find_control

FAMILIES = (
    attention,
    contrib,
    control_flow,
    convolution,
    elementwise,
    indexing,
    linear,
    normalization,
    pooling,
    quantize,
    random,
    recurrent,
    reduction,
    resize,
    sequence,
    shape,
    signal,
    spatial,
    tables,
)

__all__ = ["FAMILIES", "find", "find_control"]
