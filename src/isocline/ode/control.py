"""Choosing step sizes: error norms, PID control, the first step, and fixed grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .step import Field
from .tableaus import Method


@dataclass(frozen=True)
class Controller:
    """A PID step-size controller (Soderlind 2002); the presets are `I`, `PI` and `PID`.

    The factor to the next step is `safety * r0**(-b1/k) * r1**(-b2/k) * r2**(-b3/k)` with r0, r1,
    r2 the error ratios of this step and the two accepted before it, k = order of the estimate, and
    b1 = kp + ki + kd, b2 = -(kp + 2 kd), b3 = kd.

    Attributes:
        proportional, integral, derivative: the gains kp, ki, kd.
        safety: aim at this fraction of the step that would just be accepted.
        shrink, grow: bounds of the factor.
    """

    proportional: float = 0.0
    integral: float = 1.0
    derivative: float = 0.0
    safety: float = 0.9
    shrink: float = 0.2
    grow: float = 10.0

    def factor(
        self, method: Method, ratio: Float[Array, " lanes"], previous: Float[Array, "lanes 2"]
    ) -> Float[Array, " lanes"]:
        """The factor to the next step size; `ratio` is error / tolerance, NaN is infinite."""
        floor = 1e-6
        gains = (
            self.proportional + self.integral + self.derivative,
            -(self.proportional + 2 * self.derivative),
            self.derivative,
        )
        ratios = (ratio, previous[:, 0], previous[:, 1])
        factor = jnp.full_like(ratio, self.safety)
        for gain, value in zip(gains, ratios, strict=True):
            if gain:
                factor *= jnp.clip(value, floor, 1 / floor) ** (-gain / method.estimate_order)
        factor = jnp.where(jnp.isnan(ratio), self.shrink, factor)
        # After a rejection the step must shrink, whatever the history says: or it fails again.
        ceiling = jnp.where(ratio > 1, self.safety, self.grow).astype(ratio.dtype)
        return jnp.clip(factor, self.shrink, ceiling)


I = Controller()  # the controller's name in the field
PI = Controller(proportional=0.3, integral=0.4)
PID = Controller(proportional=0.2, integral=0.3, derivative=0.1)
CONTROLLERS = {"I": I, "PI": PI, "PID": PID}


def root_mean_square(x: Float[Array, "lanes size"]) -> Float[Array, " lanes"]:
    """The root mean square over the components of each lane (0 for a state without components)."""
    return jnp.sqrt(jnp.sum(x * x, axis=1) / max(x.shape[1], 1))


@dataclass(frozen=True)
class Tolerance:
    """Relative and absolute tolerance, each a number or one number a lane, and what to measure.

    Attributes:
        measured: components from this one on are integrated but not measured (a quadrature).
    """

    rtol: Any
    atol: Any
    measured: int | None = None

    def ratio(
        self, estimates, y: Float[Array, "lanes size"], y1: Float[Array, "lanes size"]
    ) -> Float[Array, " lanes"]:
        """Error over tolerance; two estimates combine as in DOP853 (Hairer et al. 1993, II.10)."""
        scaled = [self.scale(estimate, y, y1) for estimate in estimates]
        high = root_mean_square(scaled[0])
        if len(scaled) == 1:
            return high
        low = root_mean_square(scaled[1])
        return (
            high
            * high
            / jnp.sqrt(jnp.maximum(high * high + 0.01 * low * low, jnp.finfo(high.dtype).tiny))
        )

    def scale(
        self,
        error: Float[Array, "lanes size"],
        y: Float[Array, "lanes size"],
        y1: Float[Array, "lanes size"],
    ) -> Float[Array, "lanes measured"]:
        """`error / (atol + rtol * max(|y|, |y1|))` on the measured components."""
        part = slice(0, self.measured)
        size = jnp.maximum(jnp.abs(y[:, part]), jnp.abs(y1[:, part]))
        rtol, atol = (
            jnp.reshape(jnp.asarray(value, y.dtype), (-1, 1)) for value in (self.rtol, self.atol)
        )
        return error[:, part] / jnp.maximum(atol + rtol * size, jnp.finfo(y.dtype).tiny)


def first_step(
    method: Method,
    field: Field,
    params: Any,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    tolerance: Tolerance,
) -> Float[Array, " lanes"]:
    """A first step size from one more evaluation (Hairer, Norsett & Wanner 1993, II.4)."""
    t, y, f = start
    d0, d1 = root_mean_square(tolerance.scale(y, y, y)), root_mean_square(tolerance.scale(f, y, y))
    small = (d0 < 1e-5) | (d1 < 1e-5) | ~jnp.isfinite(d1)
    h0 = jnp.where(small, 1e-6, 0.01 * d0 / jnp.where(small, 1, d1))
    f1 = field(t + h0, y + h0[:, None] * f, params)
    d2 = root_mean_square(tolerance.scale(f1 - f, y, y)) / h0
    largest = jnp.maximum(d1, d2)
    flat = (largest <= 1e-15) | ~jnp.isfinite(largest)
    h1 = jnp.where(
        flat,
        jnp.maximum(1e-6, h0 * 1e-3),
        (0.01 / jnp.where(flat, 1, largest)) ** (1 / (method.order + 1)),
    )
    return jnp.minimum(100 * h0, h1).astype(y.dtype)
