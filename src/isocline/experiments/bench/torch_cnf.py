"""The public example of a CNF, written anew on PyTorch and torchdiffeq.

Network, solver and base distribution are those of torchdiffeq's `examples/cnf.py` (2025-04): a
hyper-network of time, 64 planar units, times from 0 to 10, dopri5 at tolerance 1e-5, the divergence
by one backward pass for each component, and a normal of variance 0.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

WIDTH, HIDDEN, LAST, VARIANCE = 64, 32, 10.0, 0.1


def make_trainer(
    *, adjoint: bool, tolerance: float, rate: float
) -> tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], float]]:
    """A training step and a test, each `(points) -> mean negative log-likelihood`."""
    import torch
    import torchdiffeq
    from torch import nn

    solve = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = 2 * WIDTH
            self.network = nn.Sequential(
                nn.Linear(1, HIDDEN),
                nn.Tanh(),
                nn.Linear(HIDDEN, HIDDEN),
                nn.Tanh(),
                nn.Linear(HIDDEN, 3 * block + WIDTH),
            )

        def forward(self, t: Any, state: Any) -> Any:
            z = state[0]
            with torch.enable_grad():
                z.requires_grad_(True)
                flat = self.network(t.reshape(1, 1)).reshape(-1)
                w, u, gate = flat[: 6 * WIDTH].reshape(3, WIDTH, 2)
                u = u * torch.sigmoid(gate)
                slope = torch.tanh(z @ w.T + flat[6 * WIDTH :]) @ u / WIDTH
                divergence = sum(
                    torch.autograd.grad(slope[:, i].sum(), z, create_graph=True)[0][:, i]
                    for i in range(2)
                )
            return slope, -divergence

    field = Field()
    optimizer = torch.optim.Adam(field.parameters(), lr=rate)
    base = torch.distributions.MultivariateNormal(torch.zeros(2), VARIANCE * torch.eye(2))

    def loss(points: np.ndarray) -> Any:
        x = torch.from_numpy(points)
        options = {"rtol": tolerance, "atol": tolerance, "method": "dopri5"}
        state = (x, torch.zeros(len(x)))
        z, change = solve(field, state, torch.tensor([LAST, 0.0]), **options)
        return -(base.log_prob(z[-1]) - change[-1]).mean()

    def step(points: np.ndarray) -> float:
        optimizer.zero_grad()
        value = loss(points)
        value.backward()
        optimizer.step()
        return float(value.detach())

    def test(points: np.ndarray) -> float:
        return float(loss(points).detach())

    return step, test
