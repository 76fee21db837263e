"""Networks that see: mobile, dense, residual, U-shaped, and transformers on patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.blocks import Activation, ConvNorm, Heads
from tests.zoo.recipe import Recipe, images


class VisionTransformer(nn.Module):
    def __init__(self, width: int = 64, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, 17, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, batch_first=True, norm_first=True, activation="gelu"
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        out: Tensor = self.head(self.norm(self.encoder(x))[:, 0])
        return out


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(ConvNorm(3, 16), ConvNorm(16, 16))
        self.down2 = nn.Sequential(ConvNorm(16, 32), ConvNorm(32, 32))
        self.middle = nn.Sequential(ConvNorm(32, 64), ConvNorm(64, 64))
        self.up2, self.join2 = nn.ConvTranspose2d(64, 32, 2, 2), ConvNorm(64, 32)
        self.up1, self.join1 = nn.ConvTranspose2d(32, 16, 2, 2), ConvNorm(32, 16)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        coarse = self.down2(functional.max_pool2d(fine, 2))
        middle = self.middle(functional.max_pool2d(coarse, 2))
        y = self.join2(torch.cat([self.up2(middle), coarse], 1))
        y = self.join1(torch.cat([self.up1(y), fine], 1))
        out: Tensor = self.out(y)
        return out


class Gate(nn.Module):
    """Squeeze and excitation by 1x1 convolutions."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.down, self.up = (
            nn.Conv2d(channels, channels // ratio, 1),
            nn.Conv2d(channels // ratio, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(functional.silu(self.down(functional.adaptive_avg_pool2d(x, 1)))))


class DenseGate(nn.Module):
    """Squeeze and excitation by matrices, which takes a reshape back to a map."""

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        small = channels // ratio
        self.layers = nn.Sequential(nn.Linear(channels, small), nn.ReLU(), nn.Linear(small, channels), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        gate: Tensor = self.layers(x.mean((2, 3)))
        return x * gate.view(batch, channels, 1, 1)


class InvertedResidual(nn.Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        expand: int = 4,
        gate: Callable[[int], nn.Module] | None = None,
        activation: Activation = nn.ReLU6,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        wide = inputs * expand
        self.layers = nn.Sequential(
            ConvNorm(inputs, wide, 1, activation=activation),
            ConvNorm(wide, wide, kernel, stride, wide, activation),
            *([gate(wide)] if gate else []),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


def mobile(
    gate: Callable[[int], nn.Module] | None = None, activation: Activation = nn.ReLU6, kernel: int = 3
) -> nn.Module:
    block = partial(InvertedResidual, gate=gate, activation=activation, kernel=kernel)
    return nn.Sequential(
        ConvNorm(3, 16, 3, 2, activation=activation),
        block(16, 16, 1, 2),
        block(16, 24, 2, 4),
        block(24, 24, 1, 4),
        block(24, 40, 2, 4),
        ConvNorm(40, 96, 1, activation=activation),
        Heads(96),
    )


class DenseLayer(nn.Module):
    """What goes in comes out beside `growth` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1),
        *(DenseLayer(16, 8), DenseLayer(24, 8), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 16, 1, bias=False), nn.AvgPool2d(2)),
        *(DenseLayer(16, 8), DenseLayer(24, 8), nn.BatchNorm2d(32), nn.ReLU()),
        Heads(32),
    )


class ShuffleUnit(nn.Module):
    """Half of the channels go through, then both halves are mixed like cards."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            ConvNorm(half, half, 1),
            nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            ConvNorm(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.layers(right)], 1)
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


def shuffle() -> nn.Module:
    units = (ShuffleUnit(32) for _ in range(3))
    return nn.Sequential(ConvNorm(3, 32, 3, 2), *units, ConvNorm(32, 64, 1), Heads(64))


class Fire(nn.Module):
    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one, self.three = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(x))
        return torch.cat([functional.relu(self.one(x)), functional.relu(self.three(x))], 1)


def squeeze() -> nn.Module:
    pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, 2), nn.ReLU(), pool(), Fire(32, 8, 32), Fire(64, 8, 32), pool()),
        *(Fire(64, 16, 48), nn.Conv2d(96, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


class WindowBlock(nn.Module):
    """Attention inside windows, shifted or not, with a bias for each pair of places."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.bias = nn.Parameter(torch.randn(heads, window**2, window**2) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = torch.roll(y, (-self.shift, -self.shift), (1, 2)) if self.shift else y
        y = self._apart(self._attend(self._windows(y)), x.shape)
        x = x + (torch.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _windows(self, y: Tensor) -> Tensor:
        (batch, height, width, channels), w = y.shape, self.window
        y = y.view(batch, height // w, w, width // w, w, channels).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(-1, w * w, channels)

    def _apart(self, y: Tensor, shape: torch.Size) -> Tensor:
        (batch, height, width, channels), w = shape, self.window
        y = y.view(batch, height // w, width // w, w, w, channels).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(batch, height, width, channels)

    def _attend(self, y: Tensor) -> Tensor:
        places, channels = y.shape[1:]
        qkv = self.qkv(y).reshape(-1, places, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        weights = (q * (channels // self.heads) ** -0.5 @ k.transpose(-2, -1) + self.bias).softmax(-1)
        out: Tensor = self.out((weights @ v).transpose(1, 2).reshape(-1, places, channels))
        return out


class Swin(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.stage1 = nn.Sequential(WindowBlock(width, 2, 4, 0), WindowBlock(width, 2, 4, 2))
        self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)
        self.stage2, self.last = WindowBlock(2 * width, 4, 4, 0), nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(self.patch(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        x = self.stage2(self.reduce(self.norm(x)))
        out: Tensor = self.head(self.last(x).mean((1, 2)))
        return out


class ChannelNorm(nn.Module):
    """Normalises over channels, written out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class NextBlock(nn.Module):
    """A depthwise 7x7 filter, then matrices on channels that come last, scaled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, channels, 7, 1, 3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.ones(channels) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.filter(x).permute(0, 2, 3, 1)
        y = self.down(functional.gelu(self.up(self.norm(y))))
        back: Tensor = (self.scale * y).permute(0, 3, 1, 2)
        return x + back


def convnext() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 24, 4, 4), ChannelNorm(24), NextBlock(24), NextBlock(24)),
        *(ChannelNorm(24), nn.Conv2d(24, 48, 2, 2), NextBlock(48)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(48), nn.Linear(48, 10)),
    )


class Mixer(nn.Module):
    """Matrices over places and over channels in turn."""

    def __init__(self, width: int = 48, places: int = 16) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.places = nn.Sequential(nn.Linear(places, 32), nn.GELU(), nn.Linear(32, places))
        self.channels = nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.places(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        out: Tensor = self.head(x.mean(1))
        return out


def super_resolution() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, 1, 2), nn.Tanh(), nn.Conv2d(32, 16, 3, 1, 1), nn.Tanh()),
        *(nn.Conv2d(16, 9, 3, 1, 1), nn.PixelShuffle(3)),
    )


class Style(nn.Module):
    """Reflected borders, instance and group normalisation, bilinear resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1, padding_mode="reflect")
        self.norm1, self.norm2 = nn.InstanceNorm2d(16, affine=True), nn.GroupNorm(4, 16)
        self.down, self.out = nn.Conv2d(16, 16, 3, 2, 1), nn.Conv2d(16, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm2(self.down(functional.relu(self.norm1(self.first(x))))))
        return torch.tanh(self.out(functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)))


class Pyramid(nn.Module):
    """A detector: two levels share the heads for classes and boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = (ConvNorm(i, o, 3, 2, activation=nn.SiLU) for i, o in ((3, 16), (16, 32)))
        self.from_fine, self.from_coarse = nn.Conv2d(16, 24, 1), nn.Conv2d(32, 24, 1)
        self.classes, self.boxes = nn.Conv2d(24, 3 * 5, 3, 1, 1), nn.Conv2d(24, 3 * 4, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x)
        low = self.from_coarse(self.coarse(fine))
        high = self.from_fine(fine) + functional.interpolate(low, size=fine.shape[-2:], mode="nearest")
        levels = (high, low)
        return torch.sigmoid(self._rows(self.classes, levels, 5)), self._rows(self.boxes, levels, 4).exp()

    @staticmethod
    def _rows(head: nn.Module, levels: tuple[Tensor, Tensor], each: int) -> Tensor:
        return torch.cat([head(p).permute(0, 2, 3, 1).reshape(p.shape[0], -1, each) for p in levels], 1)


VISION = {
    "vision transformer": Recipe(VisionTransformer, images()),
    "u-net": Recipe(UNet, images(sides=True)),
    "mobilenet v2": Recipe(mobile, images()),
    "mobilenet v3": Recipe(partial(mobile, DenseGate, nn.Hardswish, 5), images()),
    "efficientnet": Recipe(partial(mobile, Gate, nn.SiLU), images()),
    "densenet": Recipe(dense, images(16)),
    "shufflenet v2": Recipe(shuffle, images()),
    "squeezenet": Recipe(squeeze, images(48)),
    "swin": Recipe(Swin, images()),
    "convnext": Recipe(convnext, images()),
    "mlp-mixer": Recipe(Mixer, images()),
    "super-resolution": Recipe(super_resolution, images(12, 1, sides=True)),
    "style transfer": Recipe(Style, images()),
    "feature pyramid": Recipe(Pyramid, images(sides=True), ("classes", "boxes")),
}
