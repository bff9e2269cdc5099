"""Two public latent ODEs, written anew on PyTorch and torchdiffeq.

`EXAMPLE` is torchdiffeq's `examples/latent_ode.py` (2025-04): an RNN of 25 units reads backwards,
latent size 4, a field of two hidden layers of 20, noise 0.3, Adam at 0.01 on the whole set at once,
dopri5 at the package's default tolerances. `RUBANOVA` is the recipe of Rubanova et al. (2019): an
ODE-RNN by Euler steps of a fiftieth of the interval, Adamax at 0.01 that decays to 0.001, batches
of 50, three draws, the weight of the KL term rising after ten epochs, and dopri5 at 1e-3 and 1e-4.

Both solve at the union of all times, which here is the common grid of the curves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Recipe(NamedTuple):
    """What tells the two public codes apart.

    Attributes:
        drift: whether the encoder's state follows an ODE between observations.
        batch: curves a step (None: all).
        noise: standard deviation of the likelihood.
        decay: of the learning rate, after every step, down to a tenth.
        waiting: epochs before the weight of the KL term begins to rise (None: it is 1).
    """

    latent: int
    recurrent: int
    width: int
    drift: bool
    batch: int | None
    draws: int
    noise: float
    rtol: float
    atol: float
    optimizer: str
    decay: float
    waiting: int | None


EXAMPLE = Recipe(4, 25, 20, False, None, 1, 0.3, 1e-7, 1e-9, "Adam", 1.0, None)
RUBANOVA = Recipe(6, 20, 100, True, 50, 3, 0.01, 1e-3, 1e-4, "Adamax", 0.999, 10)


class Grid(NamedTuple):
    """Curves on a common grid of times; the encoder reads the first `window` points."""

    times: Float[np.ndarray, " points"]
    values: Float[np.ndarray, "curves points channels"]
    mask: Bool[np.ndarray, "curves points"]
    window: int

    def some(self, curves: Any) -> Grid:
        """Some of the curves."""
        return self._replace(values=self.values[curves], mask=self.mask[curves])


def make_trainer(
    recipe: Recipe, grid: Grid, seed: int
) -> tuple[Callable[[], None], Callable[[Grid], np.ndarray]]:
    """`epoch()`, one pass over the curves of the grid; `predict(grid) -> means at all points`."""
    import torch

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = _model(recipe, grid.values.shape[2])
    optimizer = getattr(torch.optim, recipe.optimizer)(model.parameters(), lr=0.01)
    done = {"epochs": 0}

    def step(part: Grid, weight: float) -> None:
        optimizer.zero_grad()
        values, mask = torch.from_numpy(part.values), torch.from_numpy(part.mask)
        predicted, divergence = model(part, recipe.draws)
        missed = torch.where(mask[..., None], (values - predicted) / recipe.noise, 0.0)
        density = (-0.5 * missed**2 - np.log(recipe.noise) - 0.5 * np.log(2 * np.pi)) * mask[
            ..., None
        ]
        likelihood = density.sum(dim=(-2, -1)).mean(dim=0)
        (weight * divergence - likelihood).mean().backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = max(group["lr"] * recipe.decay, 0.001)

    def epoch() -> None:
        order = random.permutation(len(grid.values))
        waited = None if recipe.waiting is None else done["epochs"] - recipe.waiting
        weight = 1.0 if waited is None else 1 - 0.99 ** max(waited, 0)
        size = recipe.batch or len(order)
        for first in range(0, len(order), size):
            step(grid.some(order[first : first + size]), weight)
        done["epochs"] += 1

    def predict(part: Grid) -> np.ndarray:
        with torch.no_grad():
            return model(part, 16)[0].mean(dim=0).numpy()

    return epoch, predict


def _network(inputs: int, width: int, outputs: int, layer: str, depth: int) -> Any:
    """A perceptron of so many hidden layers."""
    from torch import nn

    parts: list[Any] = [nn.Linear(inputs, width), getattr(nn, layer)()]
    for _ in range(depth - 1):
        parts += [nn.Linear(width, width), getattr(nn, layer)()]
    return nn.Sequential(*parts, nn.Linear(width, outputs))


def _encoder(recipe: Recipe, channels: int) -> Any:
    """`encoder(grid) -> the two parameters of each posterior`, read backwards."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            units = recipe.recurrent
            cell, entries = (nn.GRUCell, 2 * channels) if recipe.drift else (nn.RNNCell, channels)
            self.cell = cell(entries, units)
            self.between = _network(units, recipe.width, units, "Tanh", 1)
            self.posterior = nn.Linear(units, 2 * recipe.latent)

        def drift(self, hidden: Any, gap: float, shortest: float) -> Any:
            steps = max(round(gap / shortest), 1)
            for _ in range(steps):
                hidden = hidden + gap / steps * self.between(hidden)
            return hidden

        def forward(self, part: Grid) -> Any:
            values, mask = torch.from_numpy(part.values), torch.from_numpy(part.mask)
            gaps = np.diff(part.times[: part.window], append=part.times[part.window - 1])
            hidden = values.new_zeros(len(values), recipe.recurrent)
            for index in reversed(range(part.window)):
                entry, there = values[:, index], mask[:, index, None]
                if recipe.drift:
                    hidden = self.drift(hidden, float(gaps[index]), float(gaps.sum()) / 50)
                    entry = torch.cat([entry, there.expand_as(entry)], dim=1)
                hidden = torch.where(there, self.cell(entry, hidden), hidden)
            return self.posterior(hidden).chunk(2, dim=1)

    return Encoder()


def _model(recipe: Recipe, channels: int) -> Any:
    """`model(grid, draws) -> (draws, curves, points, channels), KL of each curve`."""
    import torch
    import torchdiffeq
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            latent, width = recipe.latent, recipe.width
            self.encoder = _encoder(recipe, channels)
            self.field = _network(latent, width, latent, "Tanh" if recipe.drift else "ELU", 2)
            self.decoder = _network(latent, 20, channels, "ReLU", 1)

        def forward(self, part: Grid, draws: int) -> Any:
            mean, raw = self.encoder(part)
            log_variance = 2 * torch.log(nn.functional.softplus(raw) + 1e-6)
            noise = torch.randn(draws, *mean.shape)
            start = mean + noise * torch.exp(0.5 * log_variance)
            options = {"method": "dopri5", "rtol": recipe.rtol, "atol": recipe.atol}
            times = torch.from_numpy(part.times)
            path = torchdiffeq.odeint(lambda _, z: self.field(z), start, times, **options)
            divergence = 0.5 * (mean**2 + torch.exp(log_variance) - 1 - log_variance).sum(dim=1)
            return self.decoder(path).permute(1, 2, 0, 3), divergence

    return Model()
