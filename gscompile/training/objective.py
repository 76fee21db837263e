"""The objective of fine-tuning: cross entropy with the labels and the distance from the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.scoring.metrics import ACCURACY, Metric, is_floating, is_probability
from gscompile.user_function import UserFunction

TEMPERATURE = 2.0
OF_ANOTHER = 4.0  # the temperature of a teacher that is not the original: larger ones are surer, and tell little else
TEACHER_WEIGHT = 0.7
FLAT = 1e3  # the temperature at which all classes are as likely as each other, whatever the logits


@dataclass(frozen=True)
class Objective:
    """The loss over all floating outputs.

    `logits` are outputs of classes, compared as distributions (KL at `temperature`, Hinton et al. 2015); those in
    `probabilities` are taken through a logarithm first. `values` maps every other output to the teacher's standard
    deviation, which makes its squared error free of scale. A user's `function` takes the place of all that, but for
    `probe`, which measures how much each output moves.
    """

    logits: tuple[str, ...]
    probabilities: frozenset[str]
    values: Mapping[str, float]
    labelled: str | None
    function: UserFunction | None = None
    temperature: float = TEMPERATURE

    def by(self, given: Any, outputs: Mapping[str, Any], labels: Tensor | None) -> Objective:
        """A user's loss instead, tried out on the teacher's `outputs` of a batch. Raises UsageError.

        The function takes (outputs, the original's outputs, labels), outputs as tensors by name, and returns a
        scalar tensor that depends on the outputs.
        """
        function = UserFunction.of("loss", given)
        leaves = {name: _leaf(output) for name, output in outputs.items()}
        said = function(leaves, dict(outputs), labels)
        if not isinstance(said, Tensor) or said.ndim or not said.is_floating_point():
            raise function.wrong(f"returned {_shown(said)}; a scalar tensor is needed, the mean over the batch")
        if not said.requires_grad:
            raise function.wrong("does not depend on the outputs in a way that torch can follow")
        if not bool(said.isfinite()):
            raise function.wrong("gives no finite number for the original's own outputs")
        return replace(self, labelled=None, function=function)

    @classmethod
    def of(cls, outputs: Mapping[str, Any], metric: Metric) -> Objective:
        """Chosen by the teacher's outputs (numpy) on one batch."""
        floats = [name for name, array in outputs.items() if is_floating(array)]
        labelled = metric.classes[0] if metric.name == ACCURACY else None
        classes = metric.classes if labelled else tuple(n for n in floats if n in metric.classes)
        values = {n: float(outputs[n].std()) or 1.0 for n in floats if n not in classes and outputs[n].size}
        if labelled:
            values = {}
        normalised = frozenset(n for n in classes if is_probability(outputs[n]))
        return cls(classes, normalised, values, labelled)

    def scores(self, name: str, output: Tensor) -> Tensor:
        """Unnormalised log probabilities of an output of classes, in single precision at least.

        Probabilities are bounded from below such that the slope of the logarithm is a number of the output's own type.
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
        """The mean over the batch; a scalar."""
        if self.function is not None:
            said: Tensor = self.function(dict(outputs), dict(teacher), labels)
            return said
        terms = [self._distance(name, outputs[name], teacher[name]) for name in self.logits]
        terms += [
            functional.mse_loss(wide(outputs[n]), wide(teacher[n])) / scale**2 for n, scale in self.values.items()
        ]
        if self.labelled is None or labels is None:
            return torch.stack(terms).sum()
        said = functional.cross_entropy(self.scores(self.labelled, outputs[self.labelled]), labels)
        return (1 - TEACHER_WEIGHT) * said + TEACHER_WEIGHT * torch.stack(terms).sum()

    def _distance(self, name: str, output: Tensor, teacher: Tensor) -> Tensor:
        ours = functional.log_softmax(self.scores(name, output) / self.temperature, dim=-1).flatten(0, -2)
        theirs = functional.softmax(self.scores(name, teacher) / self.temperature, dim=-1).flatten(0, -2)
        return functional.kl_div(ours, theirs, reduction="batchmean") * self.temperature**2

    def probe(self, outputs: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """A random projection whose squared gradient is, on average, the curvature of the loss.

        For classes a class is drawn from the (softened) prediction, which gives the Fisher information; for values
        a normal direction, which gives the Gauss-Newton matrix (Martens 2020, section 9).
        """
        terms = []
        for name in self.logits:
            scores = (self.scores(name, outputs[name]) / self.temperature).flatten(0, -2)
            chance = scores.detach().softmax(-1)
            direction = functional.one_hot(drawn(chance, generator), chance.shape[1]) - chance
            terms.append((direction * scores).sum())
        for name, scale in self.values.items():
            direction = torch.randn(outputs[name].shape, generator=generator).to(outputs[name].device)
            terms.append((direction * wide(outputs[name])).sum() / scale)
        return torch.stack(terms).sum()


def wide(output: Tensor) -> Tensor:
    """Half precision is too coarse for sums and logarithms."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _leaf(output: Any) -> Any:
    """A tensor that gradients arrive at; what is no floating tensor stays what it is."""
    floating = isinstance(output, Tensor) and output.is_floating_point()
    return output.detach().clone().requires_grad_() if floating else output


def _shown(said: Any) -> str:
    return f"a {said.dtype} tensor {[*said.shape]}" if isinstance(said, Tensor) else f"a {type(said).__name__}"


def drawn(chance: Tensor, generator: torch.Generator) -> Tensor:
    """A class for every row of probabilities [n, classes]: [n]. Dice are thrown on the CPU, alike for any device."""
    reached = chance.cumsum(-1)
    dice = torch.rand(len(chance), 1, generator=generator).to(chance.device)
    return (dice * reached[:, -1:] >= reached).sum(-1).clamp_max(chance.shape[1] - 1)
