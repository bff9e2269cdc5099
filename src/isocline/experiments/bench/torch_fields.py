"""The fields of `problems` in PyTorch: `field(t, y, leaves)` on all trajectories at once.

`leaves` are the arrays of the problem's parameters, in the order of `jax.tree.leaves`.
"""

from __future__ import annotations

from typing import Any


def mlp(_t: Any, y: Any, leaves: Any) -> Any:
    """As `problems.mlp_field`."""
    import torch

    layers = list(zip(leaves[::2], leaves[1::2], strict=True))
    for weight, bias in layers[:-1]:
        y = torch.tanh(torch.addmm(bias, y, weight))
    weight, bias = layers[-1]
    return torch.addmm(bias, y, weight)


def lorenz(_t: Any, y: Any, leaves: Any) -> Any:
    """As `problems.lorenz_field`."""
    import torch

    (sigma, rho, beta), (a, b, c) = leaves[0].unbind(-1), y.unbind(-1)
    return torch.stack([sigma * (b - a), a * (rho - c) - b, a * b - beta * c], dim=-1)


def pendulum(_t: Any, y: Any, leaves: Any) -> Any:
    """As `problems.pendulum_field`."""
    import torch

    angle, velocity = y.unbind(-1)
    return leaves[0] * torch.stack([velocity, -torch.sin(angle)], dim=-1)


def convolutional(_t: Any, y: Any, leaves: Any) -> Any:
    """As `problems.convolutional_field`."""
    from torch.nn import functional

    from .problems import GROUPS

    # Views: PyTorch then computes in the same order of memory, "channels last".
    y = y.permute(0, 3, 1, 2)
    for scale, shift, kernel in (leaves[:3], leaves[3:]):
        y = functional.relu(functional.group_norm(y, GROUPS, scale, shift))
        y = functional.conv2d(y, kernel.permute(3, 2, 0, 1), padding=1)
    return y.permute(0, 2, 3, 1)


FIELDS = {
    "mlp": mlp,
    "lorenz": lorenz,
    "pendulum": pendulum,
    "convolutional": convolutional,
}
