"""Networks that read sequences: encoders, decoders with a cache, recurrent and convolutional ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.recipe import Inputs, Recipe, tensor, tokens


class EncoderLayer(nn.Module):
    """Self-attention written out, as exports of BERT have it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (self._split(layer(x)) for layer in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask, -1)
        x = self.norm1(x + self.o((weights @ v).permute(0, 2, 1, 3).reshape(x.shape[0], x.shape[1], -1)))
        out: Tensor = self.norm2(x + self.down(functional.gelu(self.up(x))))
        return out

    def _split(self, y: Tensor) -> Tensor:
        return y.view(y.shape[0], y.shape[1], self.heads, -1).permute(0, 2, 1, 3)


class Encoder(nn.Module):
    """Token and position embeddings, two layers, a pooled head and the hidden states."""

    def __init__(self, width: int = 64, heads: int = 4, words: int = 200) -> None:
        super().__init__()
        self.words, self.places, self.norm = (
            nn.Embedding(words, width),
            nn.Embedding(64, width),
            nn.LayerNorm(width),
        )
        self.layers = nn.ModuleList([EncoderLayer(width, heads) for _ in range(2)])
        self.pool, self.classes = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))[None])
        bias = (1.0 - mask[:, None, None, :].float()) * -1e9
        for layer in self.layers:
            x = layer(x, bias)
        return self.classes(torch.tanh(self.pool(x[:, 0]))), x


class RootMeanSquare(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions: halves of every head turn by an angle of the place."""
    left, right = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-right, left], -1) * angles.sin()


class DecoderLayer(nn.Module):
    """Grouped queries, rotary positions, a cache of keys and values, and a gated feed-forward part."""

    def __init__(self, width: int, heads: int, shared: int) -> None:
        super().__init__()
        self.heads, self.shared, self.size = heads, shared, width // heads
        small = shared * self.size
        self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(width, small, bias=False), nn.Linear(width, small, bias=False)
        self.norm1, self.norm2 = RootMeanSquare(width), RootMeanSquare(width)
        self.gate, self.up = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, angles: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.norm1(x)
        q, k = (
            rotated(self._split(self.q(y), self.heads), angles),
            rotated(self._split(self.k(y), self.shared), angles),
        )
        k, v = torch.cat([keys, k], 2), torch.cat([values, self._split(self.v(y), self.shared)], 2)
        x = x + self.o(self._attend(q, k, v).transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))
        y = self.norm2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y)), k, v

    def _split(self, y: Tensor, heads: int) -> Tensor:
        return y.view(y.shape[0], y.shape[1], heads, self.size).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (t.repeat_interleave(self.heads // self.shared, 1) for t in (k, v))
        new, total = q.shape[2], k.shape[2]
        seen = torch.ones(new, total, dtype=torch.bool).tril(total - new)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(self.size)).masked_fill(~seen, -1e9)
        return scores.softmax(-1) @ v


class Decoder(nn.Module):
    """Two layers with their caches; the head is the embedding itself."""

    def __init__(self, width: int = 64, heads: int = 4, shared: int = 2, words: int = 200) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(words, width), RootMeanSquare(width)
        self.layers = nn.ModuleList([DecoderLayer(width, heads, shared) for _ in range(2)])
        size = width // heads
        self.rates = nn.Buffer(1 / 10000 ** (torch.arange(0, size, 2).float() / size))

    def forward(
        self, ids: Tensor, places: Tensor, k0: Tensor, v0: Tensor, k1: Tensor, v1: Tensor
    ) -> tuple[Tensor, ...]:
        x, caches = self.words(ids), []
        angle = places[:, :, None].float() * self.rates
        angles = torch.cat([angle, angle], -1)[:, None]
        for layer, (keys, values) in zip(self.layers, ((k0, v0), (k1, v1)), strict=True):
            x, *cache = layer(x, angles, keys, values)
            caches += cache
        return (self.norm(x) @ self.words.weight.T, *caches)


class Translator(nn.Module):
    """A bidirectional LSTM of two layers, a GRU that starts from it, and attention."""

    def __init__(self, words: int = 100, width: int = 32, hidden: int = 48) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.encoder = nn.LSTM(width, hidden, 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.decoder, self.out = nn.GRU(width, hidden, batch_first=True), nn.Linear(2 * hidden, words)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, (state, _) = self.encoder(self.words(source))
        start = torch.tanh(self.bridge(torch.cat([state[-2], state[-1]], -1)))[None]
        y, _ = self.decoder(self.words(target), start)
        keys = self.bridge(memory)
        context = torch.softmax(y @ keys.transpose(1, 2), -1) @ keys
        out: Tensor = self.out(torch.cat([y, context], -1))
        return out


class GatedConvolutions(nn.Module):
    """Causal dilated convolutions whose halves gate each other."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(8, channels, 1), nn.Conv1d(channels, 5, 1)
        self.wide = nn.ModuleList([nn.Conv1d(channels, 2 * channels, 3, dilation=2**n) for n in range(4)])
        self.narrow = nn.ModuleList([nn.Conv1d(channels, channels, 1) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for number, (wide, narrow) in enumerate(zip(self.wide, self.narrow, strict=True)):
            signal, gate = wide(functional.pad(x, (2 * 2**number, 0))).chunk(2, 1)
            x = x + narrow(torch.tanh(signal) * torch.sigmoid(gate))
        out: Tensor = self.last(x)
        return out


class TimeDelay(nn.Module):
    """Speaker vectors: mean and deviation over time of one-dimensional convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(24, 64, 5), nn.ReLU(), nn.BatchNorm1d(64)),
            *(nn.Conv1d(64, 64, 3, dilation=2), nn.ReLU(), nn.BatchNorm1d(64)),
            *(nn.Conv1d(64, 96, 1), nn.ReLU()),
        )
        self.embed, self.out = nn.Linear(192, 64), nn.Linear(64, 12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x.transpose(1, 2))
        out: Tensor = self.out(functional.relu(self.embed(torch.cat([y.mean(-1), y.std(-1)], -1))))
        return out


class CrossAttention(nn.Module):
    """torch's own attention, with the weights as a second output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(16, 32), nn.Linear(32, 8)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, queries: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        q, kv = self.first(queries), self.first(others)
        y, weights = self.attention(q, kv, kv)
        return self.out(q + y), weights


def _caches() -> Inputs:
    return {name: tensor(1, 2, 3, 16, batch=0, past=2) for name in ("k0", "v0", "k1", "v1")}


def _texts() -> Inputs:
    mask = torch.ones(2, 12, dtype=torch.long), {0: "batch", 1: "time"}
    return {"ids": tokens(200, 2, 12, batch=0, time=1), "mask": mask}


def _next_words() -> Inputs:
    places = torch.arange(3, 7)[None], {0: "batch", 1: "time"}
    return {"ids": tokens(200, 1, 4, batch=0, time=1), "places": places, **_caches()}


def _two_texts() -> Inputs:
    return {
        "source": tokens(100, 2, 9, batch=0, from_time=1),
        "target": tokens(100, 2, 7, batch=0, to_time=1),
    }


SEQUENCES = {
    "bert": Recipe(Encoder, _texts, ("logits", "hidden")),
    "decoder with a cache": Recipe(Decoder, _next_words, ("logits", "k0_next", "v0_next", "k1_next", "v1_next")),
    "translator": Recipe(Translator, _two_texts),
    "gated convolutions": Recipe(GatedConvolutions, lambda: {"x": tensor(2, 8, 40, batch=0, time=2)}),
    "time delay": Recipe(TimeDelay, lambda: {"x": tensor(2, 50, 24, batch=0, time=1)}),
    "cross-attention": Recipe(
        CrossAttention,
        lambda: {"queries": tensor(2, 5, 16, batch=0), "others": tensor(2, 7, 16, batch=0)},
        ("y", "weights"),
    ),
}
