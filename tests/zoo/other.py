"""Graphs, point clouds, tables, and a generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.recipe import Inputs, Recipe, tensor, tokens


class GraphConvolutions(nn.Module):
    """Neighbours by a matrix; one head reads nodes and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        share = neighbours / neighbours.sum(-1, keepdim=True).clamp(min=1)
        x = functional.relu(share @ self.first(x))
        x = functional.relu(share @ self.second(x))
        return self.head(x), self.head(x.mean(1))


class GraphAttention(nn.Module):
    """Neighbours by a list of edges, whose messages are scattered."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.score, self.out = nn.Linear(16, 32, bias=False), nn.Linear(64, 1), nn.Linear(32, 4)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h, (source, target) = self.weight(x), (edges[0], edges[1])
        share = functional.leaky_relu(self.score(torch.cat([h[source], h[target]], -1))).sigmoid()
        out: Tensor = self.out(functional.elu(torch.zeros_like(h).index_add(0, target, h[source] * share)))
        return out


class PointNet(nn.Module):
    """Points are turned by a matrix that the network makes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.small = nn.Sequential(
            *(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 64, 1), nn.ReLU())
        )
        self.turn = nn.Linear(64, 9)
        self.features = nn.Sequential(
            *(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU()),
            *(nn.Conv1d(32, 128, 1), nn.BatchNorm1d(128), nn.ReLU()),
        )
        self.classes = nn.Sequential(nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        turn = self.turn(self.small(x).max(-1)[0]).view(-1, 3, 3) + torch.eye(3)
        turned = (x.transpose(1, 2) @ turn).transpose(1, 2)
        return functional.log_softmax(self.classes(self.features(turned).max(2)[0]), -1)


class Autoencoder(nn.Module):
    """Mean and spread of a code, and what is made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 48), nn.ELU())
        self.mean, self.spread = nn.Linear(48, 8), nn.Linear(48, 8)
        self.decode = nn.Sequential(nn.Linear(8, 48), nn.ELU(), nn.Linear(48, 64), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        mean, spread = self.mean(h), self.spread(h)
        return self.decode(mean + torch.exp(0.5 * spread) * 0.3), mean, spread


class Recommender(nn.Module):
    """Embeddings of categories meet in pairs and in a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(kinds, 8) for kinds in (10, 20, 50)])
        self.layers = nn.Sequential(*(nn.Linear(24 + 4, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)))

    def forward(self, kinds: Tensor, x: Tensor) -> Tensor:
        each = [table(kinds[:, place]) for place, table in enumerate(self.tables)]
        stacked = torch.stack(each, 1)
        pairs = 0.5 * (stacked.sum(1) ** 2 - (stacked**2).sum(1)).sum(1, keepdim=True)
        return torch.sigmoid(pairs + self.layers(torch.cat([*each, x], 1)))


def _graph() -> Inputs:
    return {"x": tensor(2, 6, 16, batch=0), "neighbours": (torch.rand(2, 6, 6), {0: "batch"})}


def _edges() -> Inputs:
    return {"x": tensor(9, 16, nodes=0), "edges": tokens(9, 2, 20, edges=1)}


OTHER = {
    "graph convolutions": Recipe(GraphConvolutions, _graph, ("nodes", "graph")),
    "graph attention": Recipe(GraphAttention, _edges),
    "pointnet": Recipe(PointNet, lambda: {"x": tensor(2, 3, 50, batch=0, points=2)}, opset=11),
    "autoencoder": Recipe(Autoencoder, lambda: {"x": tensor(2, 64, batch=0)}, ("y", "mean", "spread")),
    "recommender": Recipe(Recommender, lambda: {"kinds": tokens(10, 2, 3, batch=0), "x": tensor(2, 4, batch=0)}),
}
