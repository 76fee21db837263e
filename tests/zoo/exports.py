"""The two exporters of torch: by tracing to TorchScript, and by torch.export."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.zoo.recipe import Recipe

STYLES = ("traced", "exported")


def export(recipe: Recipe, style: str, path: Path) -> Path:
    """Write a network with fixed weights to `path`; the same recipe and style give the same weights."""
    torch.manual_seed(1)
    module, inputs = _settled(recipe.build()), recipe.inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its exporters
        write = _traced if style == "traced" else _exported
        write(recipe, module, tuple(sample for sample, _ in inputs.values()), path)
    return path


def _settled(module: nn.Module) -> nn.Module:
    """As after training: normalisations have statistics and scales that are not 0 and 1."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.1)
    return module.eval()


def _traced(recipe: Recipe, module: nn.Module, samples: tuple[torch.Tensor, ...], path: Path) -> None:
    axes = {name: axes for name, (_, axes) in recipe.inputs().items() if axes}
    _write(recipe, module, samples, path, dynamic_axes=axes, opset_version=recipe.opset, dynamo=False)


def _exported(recipe: Recipe, module: nn.Module, samples: tuple[torch.Tensor, ...], path: Path) -> None:
    shapes = tuple(dict.fromkeys(axes, torch.export.Dim.AUTO) for _, axes in recipe.inputs().values())
    _write(recipe, module, samples, path, dynamic_shapes=shapes, dynamo=True, external_data=False, verbose=False)


def _write(recipe: Recipe, module: nn.Module, samples: tuple[torch.Tensor, ...], path: Path, **how: Any) -> None:
    names, results = [*recipe.inputs()], [*recipe.outputs]
    torch.onnx.export(module, samples, str(path), input_names=names, output_names=results, **how)
