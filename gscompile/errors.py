"""What can go wrong, one class per stage; the command line turns each into one line and an exit code."""

from __future__ import annotations


class GscompileError(Exception):
    """Base of every error a user can cause or mend; `exit_code` is what the command line returns."""

    exit_code = 1


def one_line(problem: BaseException, most: int = 300) -> str:
    """What another library said, in one line."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= most else text[: most - 4] + " ..."


class UsageError(GscompileError):
    """An option that makes no sense: a crossbar of `64`, an unknown pass, an output folder that exists."""

    exit_code = 2


class ModelError(GscompileError):
    """An ONNX file that is missing, broken or holds what cannot be compiled."""

    exit_code = 2


class DataError(GscompileError):
    """Data that does not match the network: a wrong name, shape, type, label range or a NaN."""

    exit_code = 2


class ExecutionError(ModelError):
    """A node that torch cannot run or differentiate; the message names the op."""


class TargetError(UsageError):
    """A hardware description with an unknown key, a wrong unit or an impossible value."""


class OutputError(GscompileError):
    """The output folder cannot be written: it exists, is read-only, or the disk is full."""

    exit_code = 2


class BudgetError(GscompileError):
    """No compressed network fits the accuracy budget, and `--strict` asked to be told."""

    exit_code = 3


class VerificationError(GscompileError):
    """What was written is not what was meant: netlist, weights or outputs disagree."""

    exit_code = 4
