"""What fine-tuning minimises: the labels' cross entropy and the distance from the original network, the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gscompile.score import Metric, is_floating, is_probability

TEMPERATURE = 2.0
TEACHER_WEIGHT = 0.7


@dataclass(frozen=True)
class Objective:
    """The loss over all floating outputs.

    `logits` are outputs of classes, compared as distributions (KL at temperature 2, Hinton et al. 2015); those in
    `probabilities` are taken through a logarithm first. `values` maps every other output to the teacher's standard
    deviation, which makes its squared error free of scale.
    """

    logits: tuple[str, ...]
    probabilities: frozenset[str]
    values: Mapping[str, float]
    labelled: str | None

    @classmethod
    def of(cls, outputs: Mapping[str, Any], metric: Metric, has_labels: bool) -> Objective:
        """Chosen by the teacher's outputs (numpy) on one batch."""
        floats = [name for name, array in outputs.items() if is_floating(array)]
        classes = metric.classes if metric.name == "accuracy" else tuple(n for n in floats if n in metric.classes)
        values = {n: float(outputs[n].std()) or 1.0 for n in floats if n not in classes and outputs[n].size}
        if has_labels and classes:
            values = {}
        normalised = frozenset(n for n in classes if is_probability(outputs[n]))
        return cls(classes, normalised, values, classes[0] if has_labels and classes else None)

    def scores(self, name: str, output: Tensor) -> Tensor:
        """Unnormalised log probabilities of an output of classes."""
        return output.clamp_min(1e-12).log() if name in self.probabilities else output

    def loss(self, outputs: Mapping[str, Tensor], teacher: Mapping[str, Tensor], labels: Tensor | None) -> Tensor:
        """The mean over the batch; a scalar."""
        terms = [self._distance(name, outputs[name], teacher[name]) for name in self.logits]
        terms += [functional.mse_loss(outputs[n], teacher[n]) / scale**2 for n, scale in self.values.items()]
        if self.labelled is None or labels is None:
            return torch.stack(terms).sum()
        said = functional.cross_entropy(self.scores(self.labelled, outputs[self.labelled]), labels)
        return (1 - TEACHER_WEIGHT) * said + TEACHER_WEIGHT * torch.stack(terms).sum()

    def _distance(self, name: str, output: Tensor, teacher: Tensor) -> Tensor:
        ours = functional.log_softmax(self.scores(name, output) / TEMPERATURE, dim=-1).flatten(0, -2)
        theirs = functional.softmax(self.scores(name, teacher) / TEMPERATURE, dim=-1).flatten(0, -2)
        return functional.kl_div(ours, theirs, reduction="batchmean") * TEMPERATURE**2

    def probe(self, outputs: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
        """A random projection whose squared gradient is, on average, the curvature of the loss.

        For classes a class is drawn from the (softened) prediction, which gives the Fisher information; for values
        a normal direction, which gives the Gauss-Newton matrix (Martens 2020, section 9).
        """
        terms = []
        for name in self.logits:
            scores = (self.scores(name, outputs[name]) / TEMPERATURE).flatten(0, -2)
            chance = scores.detach().softmax(-1)
            direction = functional.one_hot(drawn(chance, generator), chance.shape[1]) - chance
            terms.append((direction * scores).sum())
        for name, scale in self.values.items():
            direction = torch.randn(outputs[name].shape, generator=generator).to(outputs[name].device)
            terms.append((direction * outputs[name]).sum() / scale)
        return torch.stack(terms).sum()


def drawn(chance: Tensor, generator: torch.Generator) -> Tensor:
    """A class for every row of probabilities [n, classes]: [n]. Dice are thrown on the CPU, alike for any device."""
    reached = chance.cumsum(-1)
    dice = torch.rand(len(chance), 1, generator=generator).to(chance.device)
    return (dice * reached[:, -1:] >= reached).sum(-1).clamp_max(chance.shape[1] - 1)
