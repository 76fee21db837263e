"""The objective of fine-tuning: cross entropy with the labels, and the distance from the outputs of the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.scoring.metrics import ACCURACY, Metric, is_floating, is_probability
from gscompile.user_function import UserFunction

TEMPERATURE = 2.0  # of distillation from the original network (Hinton et al. 2015)
# Temperature for another teacher: larger networks are more confident, so that their outputs need more softening.
OTHER_TEMPERATURE = 4.0
TEACHER_WEIGHT = 0.7  # of the distance from the teacher; the rest is for the labels
FLAT = 1e3  # temperature at which all classes are equally likely, whatever the logits


@dataclass(frozen=True)
class Objective:
    """The loss over all floating-point outputs.

    Args:
        logits: Outputs of classes, compared as distributions (KL at `temperature`, Hinton et al. 2015).
        probabilities: Those of them that are probabilities, of which the logarithm is taken first.
        values: Standard deviation of the teacher for every other output, by which its error is divided.
        labelled: Output of classes that the labels belong to, if any.
        function: Function of the user that replaces the loss, but not `probe`.
        temperature: Temperature at which distributions are compared.
    """

    logits: tuple[str, ...]
    probabilities: frozenset[str]
    values: Mapping[str, float]
    labelled: str | None
    function: UserFunction | None = None
    temperature: float = TEMPERATURE

    def by(self, given: Any, outputs: Mapping[str, Any], labels: Tensor | None) -> Objective:
        """Return the objective with a loss of the user, after a test on the original's `outputs` for a batch.

        The function takes (outputs, the original's outputs, labels), outputs as tensors by name, and returns a
        scalar tensor that depends on the outputs. Raises UsageError if it does not.
        """
        function = UserFunction.of("loss", given)
        leaves = {name: _leaf(output) for name, output in outputs.items()}
        loss = function(leaves, dict(outputs), labels)
        if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
            raise function.wrong(f"returned {_shown(loss)}; a scalar tensor is needed, the mean over the batch")
        if not loss.requires_grad:
            raise function.wrong("does not depend on the outputs in a way that torch can follow")
        if not bool(loss.isfinite()):
            raise function.wrong("gives no finite number for the original's own outputs")
        return replace(self, labelled=None, function=function)

    @classmethod
    def of(cls, outputs: Mapping[str, Any], metric: Metric) -> Objective:
        """Return the objective that suits the original's outputs (numpy arrays by name) for one batch."""
        floats = [name for name, array in outputs.items() if is_floating(array)]
        labelled = metric.classes[0] if metric.name == ACCURACY else None
        classes = metric.classes if labelled else tuple(n for n in floats if n in metric.classes)
        values = {n: float(outputs[n].std()) or 1.0 for n in floats if n not in classes and outputs[n].size}
        if labelled:
            values = {}
        probabilities = frozenset(n for n in classes if is_probability(outputs[n]))
        return cls(logits=classes, probabilities=probabilities, values=values, labelled=labelled)

    def scores(self, name: str, output: Tensor) -> Tensor:
        """Return the unnormalised log probabilities of an output of classes, in float32 or a wider type.

        Probabilities are clamped from below, so that the slope of the logarithm is finite in the type of the output.
        """
        if name not in self.probabilities:
            return wide(output)
        return wide(output).clamp_min(max(1e-12, torch.finfo(output.dtype).tiny)).log()

    @property
    def of_logits(self) -> Objective:
        """The objective whose curvature is that of the squared error of logits, but for what they have in common.

        A network that is sure of most samples hardly has a curvature of its loss there, and a few samples would decide.
        """
        return replace(self, temperature=FLAT)

    def loss(self, outputs: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor | None) -> Tensor:
        """Return the mean loss over the batch, a scalar tensor."""
        if self.function is not None:
            loss: Tensor = self.function(dict(outputs), dict(teacher), labels)
            return loss
        terms = [self._distance(name, outputs[name], teacher[name]) for name in self.logits]
        terms += [
            functional.mse_loss(wide(outputs[n]), wide(teacher[n])) / scale**2 for n, scale in self.values.items()
        ]
        if self.labelled is None or labels is None:
            return torch.stack(terms).sum()
        cross_entropy = functional.cross_entropy(self.scores(self.labelled, outputs[self.labelled]), labels)
        return (1 - TEACHER_WEIGHT) * cross_entropy + TEACHER_WEIGHT * torch.stack(terms).sum()

    def _distance(self, name: str, output: Tensor, teacher: Tensor) -> Tensor:
        ours = functional.log_softmax(self.scores(name, output) / self.temperature, dim=-1).flatten(0, -2)
        theirs = functional.softmax(self.scores(name, teacher) / self.temperature, dim=-1).flatten(0, -2)
        return functional.kl_div(ours, theirs, reduction="batchmean") * self.temperature**2

    def probe(self, outputs: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """Return a random projection of the outputs whose squared gradient is, on average, the curvature of the loss.

        The direction for classes is a class drawn from the softened prediction, for the Fisher information; the
        direction for values is normal, for the Gauss-Newton matrix (Martens 2020, section 9).
        """
        terms = []
        for name in self.logits:
            scores = (self.scores(name, outputs[name]) / self.temperature).flatten(0, -2)
            predicted = scores.detach().softmax(-1)
            direction = functional.one_hot(drawn(predicted, generator), predicted.shape[1]) - predicted
            terms.append((direction * scores).sum())
        for name, scale in self.values.items():
            direction = torch.randn(outputs[name].shape, generator=generator).to(outputs[name].device)
            terms.append((direction * wide(outputs[name])).sum() / scale)
        return torch.stack(terms).sum()


def wide(output: Tensor) -> Tensor:
    """Return an output as float32 if its type is too coarse for sums and logarithms: float16 or bfloat16."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _leaf(output: Any) -> Any:
    """Return a leaf tensor that receives gradients; anything but a floating-point tensor unchanged."""
    floating = isinstance(output, Tensor) and output.is_floating_point()
    return output.detach().clone().requires_grad_() if floating else output


def _shown(value: Any) -> str:
    return f"a {value.dtype} tensor {[*value.shape]}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def drawn(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a class for every row of probabilities [n, classes], as [n].

    Random numbers are drawn on the CPU, so that they are the same for every device.
    """
    cumulative = probabilities.cumsum(-1)
    uniform = torch.rand(len(probabilities), 1, generator=generator).to(probabilities.device)
    return (uniform * cumulative[:, -1:] >= cumulative).sum(-1).clamp_max(probabilities.shape[1] - 1)
