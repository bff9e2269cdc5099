"""The public recipe for an ODE-Net on MNIST, written anew on PyTorch and torchdiffeq.

Network, solver and optimizer are those of torchdiffeq's `examples/odenet_mnist.py` (2025-04): three
convolutions to 64 channels of 6 x 6; GroupNorm, ReLU and 3x3 convolutions that see the time as one
channel more, twice, and a GroupNorm; dopri5 at tolerance 1e-3; SGD with momentum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

CHANNELS, GROUPS = 64, 32


def make_step(
    *, adjoint: bool, tolerance: float, method: str = "dopri5", first_step: float | None = None
) -> tuple[Callable[[Any, Any], int], int]:
    """A training step `step(images, labels) -> evaluations forward`, and how many parameters.

    Args:
        adjoint: by the continuous adjoint; else by backpropagation through the solver, as the
            public script does by default.
        tolerance: relative and absolute.
        method: of torchdiffeq; the recipe's if not given.
        first_step: to try; guessed by torchdiffeq if not given.
    """
    import torch
    from torch import nn

    options = {"rtol": tolerance, "atol": tolerance, "method": method}
    if first_step is not None:
        options["options"] = {"first_step": first_step}
    network, field = _network(adjoint, options)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def step(images: np.ndarray, labels: np.ndarray) -> int:
        optimizer.zero_grad()
        field.evaluations = 0
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        logits = network(pixels)
        forward = field.evaluations
        nn.functional.cross_entropy(logits, torch.from_numpy(labels).long()).backward()
        optimizer.step()
        return forward

    return step, sum(one.numel() for one in network.parameters())


def _network(adjoint: bool, options: dict[str, Any]) -> tuple[Any, Any]:
    """The network, and its field, which counts its evaluations."""
    import torch
    import torchdiffeq
    from torch import nn

    solve = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, CHANNELS) for _ in range(3))
            self.convolutions = nn.ModuleList(
                nn.Conv2d(CHANNELS + 1, CHANNELS, 3, padding=1) for _ in range(2)
            )
            self.evaluations = 0

        def forward(self, t: Any, y: Any) -> Any:
            self.evaluations += 1
            for norm, convolve in zip(self.norms, self.convolutions, strict=False):
                y = torch.relu(norm(y))
                y = convolve(torch.cat([torch.ones_like(y[:, :1]) * t, y], dim=1))
            return self.norms[-1](y)

    class Block(nn.Module):
        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field
            self.register_buffer("span", torch.tensor([0.0, 1.0]))

        def forward(self, y: Any) -> Any:
            return solve(self.field, y, self.span, **options)[1]

    field = Field()
    network = nn.Sequential(
        nn.Conv2d(1, CHANNELS, 3, 1),
        nn.GroupNorm(GROUPS, CHANNELS),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, 4, 2, 1),
        nn.GroupNorm(GROUPS, CHANNELS),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, 4, 2, 1),
        Block(field),
        nn.GroupNorm(GROUPS, CHANNELS),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(CHANNELS, 10),
    )
    return network, field
