"""Initial value problems to measure on: a vector field in JAX with its data as NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isocline.nn.convolution import convolve_same


@dataclass(frozen=True, eq=False)
class Problem:
    """`dy/dt = field(t, y, args)` from `t0` to `t1`.

    Attributes:
        kind: names the field; other frameworks look up their own version of it.
        lanes: the first axis of `y0` and of `args`, one array, counts independent trajectories,
            and `field` sees one of them.
        stiff: explicit methods are out of place.
        scale: typical size of each component, to measure errors by (1: all alike).
        atol: the absolute tolerance over the relative one, for every solver.
    """

    kind: str
    field: Callable[[Any, Any, Any], Any]
    y0: np.ndarray
    args: Any
    t0: float
    t1: float
    lanes: bool = False
    stiff: bool = False
    scale: Any = 1.0
    atol: float = 1.0

    def arrays(self, dtype: str) -> tuple[jax.Array, Any]:
        """The initial state and the parameters in JAX, in a dtype."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (self.y0, self.args))

    def batched_field(self) -> Callable[[Any, Any, Any], Any]:
        """The field of all trajectories at once, with one clock."""
        return jax.vmap(self.field, in_axes=(None, 0, 0)) if self.lanes else self.field


def mlp(sizes: tuple[int, ...], batch: int) -> Problem:
    """A tanh MLP with random weights as the field of a coupled batch; batch 1 has no batch axis."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(0, 2 / np.sqrt(fan_in), (fan_in, fan_out)), rng.normal(0, 0.2, fan_out))
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]
    y0 = rng.normal(0, 1, (batch, sizes[0]))
    return Problem("mlp", mlp_field, y0[0] if batch == 1 else y0, layers, 0.0, 4.0)


def mlp_field(_t: Any, y: Any, layers: Any) -> Any:
    """The MLP; time does not enter."""
    for weight, bias in layers[:-1]:
        y = jnp.tanh(y @ weight + bias)
    weight, bias = layers[-1]
    return y @ weight + bias


def lorenz(lanes: int) -> Problem:
    """An ensemble of Lorenz systems, all three parameters of each its own."""
    rng = np.random.default_rng(0)
    args = np.array([10.0, 28.0, 8 / 3]) * rng.uniform(0.7, 1.3, (lanes, 3))
    y0 = rng.normal(0, 5, (lanes, 3)) + np.array([0, 0, 20])
    return Problem("lorenz", lorenz_field, y0, args, 0.0, 2.0, lanes=True)


def lorenz_field(_t: Any, y: Any, args: Any) -> Any:
    """One Lorenz system with `args = (sigma, rho, beta)`."""
    sigma, rho, beta = args[0], args[1], args[2]
    return jnp.stack([sigma * (y[1] - y[0]), y[0] * (rho - y[2]) - y[1], y[0] * y[1] - beta * y[2]])


def pendulums(lanes: int, fastest: float = 50.0) -> Problem:
    """Pendulums of frequencies around 1, and in the middle of them one that is much faster."""
    rng = np.random.default_rng(0)
    frequency = rng.uniform(0.8, 1.2, (lanes, 1))
    frequency[lanes // 2] = fastest
    y0 = np.stack([rng.uniform(0.5, 1.5, lanes), np.zeros(lanes)], axis=1)
    return Problem("pendulum", pendulum_field, y0, frequency, 0.0, 4.0, lanes=True)


def pendulum_field(_t: Any, y: Any, args: Any) -> Any:
    """A pendulum with angle and angular velocity / frequency as its state."""
    return args[0] * jnp.stack([y[1], -jnp.sin(y[0])])


def convolutional(batch: int = 128, channels: int = 64, size: int = 7) -> Problem:
    """The ODE block of an image classifier: twice GroupNorm, ReLU and a 3x3 convolution, NHWC."""
    rng = np.random.default_rng(0)
    spread = np.sqrt(2 / (9 * channels))
    args = [
        (
            rng.uniform(0.5, 1.5, channels),
            rng.normal(0, 0.2, channels),
            rng.normal(0, spread, (3, 3, channels, channels)),
        )
        for _ in range(2)
    ]
    y0 = rng.normal(0, 1, (batch, size, size, channels))
    return Problem("convolutional", convolutional_field, y0, args, 0.0, 1.0)


GROUPS = 32


def convolutional_field(_t: Any, y: Any, args: Any) -> Any:
    """The ODE block; `args` holds scale, shift and kernel of both layers."""
    for scale, shift, kernel in args:
        grouped = y.reshape(*y.shape[:3], GROUPS, -1)
        mean = jnp.mean(grouped, axis=(1, 2, 4), keepdims=True)
        variance = jnp.var(grouped, axis=(1, 2, 4), keepdims=True)
        y = ((grouped - mean) * jax.lax.rsqrt(variance + 1e-5)).reshape(y.shape)
        y = convolve_same(jax.nn.relu(y * scale + shift), kernel)
    return y


def van_der_pol(mu: float = 1e3) -> Problem:
    """The stiff Van der Pol oscillator, past its first jump."""
    return Problem("van_der_pol", van_der_pol_field, np.array([2.0, 0.0]), np.array([mu]), 0.0,
                   1000.0, stiff=True, scale=np.array([1.0, 1e-3]), atol=1e-3)  # fmt: skip


def van_der_pol_field(_t: Any, y: Any, args: Any) -> Any:
    """Van der Pol's equation with `args = (mu,)`."""
    return jnp.stack([y[1], args[0] * (1 - y[0] ** 2) * y[1] - y[0]])


def robertson() -> Problem:
    """Robertson's chemical kinetics."""
    return Problem("robertson", robertson_field, np.array([1.0, 0.0, 0.0]),
                   np.array([0.04, 3e7, 1e4]), 0.0, 1e4, stiff=True,
                   scale=np.array([1.0, 1e-5, 1.0]), atol=1e-5)  # fmt: skip


def robertson_field(_t: Any, y: Any, args: Any) -> Any:
    """Three species with the rates `args`."""
    slow, fast, back = args[0] * y[0], args[1] * y[1] ** 2, args[2] * y[1] * y[2]
    return jnp.stack([back - slow, slow - back - fast, fast])
