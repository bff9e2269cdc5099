"""FFJORD (Grathwohl et al. 2019), written anew on PyTorch and torchdiffeq.

Layers, estimators of the divergence, optimizer and tolerances are those that its public code trains
by (`train_toy.py` and `train_tabular.py`): concatsquash, dopri5 at 1e-5, Adam at 0.001. The end of
time is learnt. Gradients go through the steps of the solver, which is faster at these sizes than
its adjoint.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

TOLERANCE, RATE = 1e-5, 1e-3


class Recipe(NamedTuple):
    """What the two programs differ in.

    Attributes:
        widths: of the hidden layers.
        activation: of `torch.nn.functional`.
        end: of time, before it is learnt.
        hutchinson: estimate the divergence by one product with noise, not one for each column.
        batch: points a step.
        decay: of the weights.
    """

    widths: tuple[int, ...]
    activation: str
    end: float
    hutchinson: bool
    batch: int
    decay: float


TOY = Recipe((64, 64, 64), "tanh", 0.5, False, 100, 1e-5)


def for_table(columns: int) -> Recipe:
    """That of tables, with two hidden layers of 20 units a column, as in the paper of MINIBOONE."""
    return Recipe((20 * columns,) * 2, "softplus", 1.0, True, 1000, 1e-6)


class Trainer(NamedTuple):
    """A flow that learns.

    Attributes:
        step: learn from points; their mean negative log-likelihood before.
        log_prob: of points, by the exact divergence.
        keep, recall: remember the weights, and go back to them.
        parameters: how many.
    """

    step: Callable[[np.ndarray], float]
    log_prob: Callable[[np.ndarray], np.ndarray]
    keep: Callable[[], None]
    recall: Callable[[], None]
    parameters: int


def make_trainer(recipe: Recipe, size: int, seed: int = 0) -> Trainer:
    """FFJORD for points of that size."""
    import torch
    import torchdiffeq

    torch.manual_seed(seed)
    field = _make_field(recipe, size)
    optimizer = torch.optim.Adam(field.parameters(), lr=RATE, weight_decay=recipe.decay)

    def solved(points: np.ndarray, hutchinson: bool) -> Any:
        x = torch.from_numpy(points)
        field.noise = torch.randn_like(x) if hutchinson else None
        times = torch.stack([torch.zeros(()), field.root**2])
        options = {"rtol": TOLERANCE, "atol": TOLERANCE, "method": "dopri5"}
        z, change = torchdiffeq.odeint(field, (x, torch.zeros(len(x))), times, **options)
        base = -0.5 * (z[-1] ** 2).sum(dim=1) - 0.5 * size * math.log(2 * math.pi)
        return base - change[-1]

    def step(points: np.ndarray) -> float:
        optimizer.zero_grad()
        value = -solved(points, recipe.hutchinson).mean()
        value.backward()
        optimizer.step()
        return float(value.detach())

    def log_prob(points: np.ndarray) -> np.ndarray:
        # The divergence needs gradients, and so keeps the graph of a solve: a part at a time.
        parts = np.array_split(points, -(-len(points) // 500))
        return np.concatenate([solved(part, False).detach().numpy() for part in parts])

    kept: dict[str, Any] = {}

    def keep() -> None:
        kept.update({name: one.clone() for name, one in field.state_dict().items()})

    def recall() -> None:
        field.load_state_dict(kept)

    count = sum(one.numel() for one in field.parameters())
    return Trainer(step, log_prob, keep, recall, count)


def _make_field(recipe: Recipe, size: int) -> Any:
    """The network, with its divergence; it holds the noise of a solve, and the end of time."""
    import torch
    from torch import nn

    activate = getattr(nn.functional, recipe.activation)

    class Layer(nn.Module):
        """Concatsquash: a linear layer with a gate and a shift that follow time."""

        def __init__(self, inside: int, outside: int) -> None:
            super().__init__()
            self.linear = nn.Linear(inside, outside)
            self.gate = nn.Linear(1, outside)
            self.shift = nn.Linear(1, outside, bias=False)

        def forward(self, t: Any, z: Any) -> Any:
            return self.linear(z) * torch.sigmoid(self.gate(t)) + self.shift(t)

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = (size, *recipe.widths, size)
            self.layers = nn.ModuleList([Layer(*pair) for pair in pairwise(sizes)])
            self.root = nn.Parameter(torch.tensor(math.sqrt(recipe.end)))
            self.noise: Any = None

        def forward(self, t: Any, state: Any) -> Any:
            with torch.enable_grad():
                z = state[0].requires_grad_(True)
                slope, time = z, t.reshape(1)
                for layer in self.layers[:-1]:
                    slope = activate(layer(time, slope))
                slope = self.layers[-1](time, slope)
                if self.noise is not None:
                    product = torch.autograd.grad(slope, z, self.noise, create_graph=True)[0]
                    divergence = (product * self.noise).sum(dim=1)
                else:
                    each = [
                        torch.autograd.grad(slope[:, k].sum(), z, create_graph=True)[0][:, k]
                        for k in range(size)
                    ]
                    divergence = torch.stack(each).sum(dim=0)
            return slope, -divergence

    return Field()


def on_faster_threads(steps: Callable[[int], float]) -> int:
    """Set PyTorch to one core or to all, whichever takes so many steps sooner; how many it is."""
    import torch

    taken = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        steps(2)
        taken[threads] = steps(5)
    fastest = min(taken, key=taken.__getitem__)
    torch.set_num_threads(fastest)
    return fastest
