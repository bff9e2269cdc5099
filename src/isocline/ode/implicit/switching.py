"""One step of a switching method, and when it changes from one method to the other."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..field import Field, Params
from ..sharding import vary, varying_axes
from ..step import Step, combine, runge_kutta_step
from ..tableaus import Switching
from .rosenbrock import rosenbrock_step

Start = tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]]


# Steps from one look at the eigenvalue to the next: of six evaluations each, so it costs little.
EVERY = 4


class Mode(NamedTuple):
    """Which method each lane is at, and what the next is chosen by.

    Attributes:
        stiff: whether it is the stiff one.
        run: stiff steps in a row so far, or less than zero: steps in a row that were not.
        attempts, accepted: steps with the stiff method, in all.
        clock: attempts in all; the same in every lane.
        rate: the size of the largest eigenvalue of the Jacobian, about.
        direction: its eigenvector, about.
    """

    stiff: Bool[Array, " lanes"]
    run: Int[Array, " lanes"]
    attempts: Int[Array, " lanes"]
    accepted: Int[Array, " lanes"]
    clock: Int[Array, " lanes"]
    rate: Float[Array, " lanes"]
    direction: Float[Array, "lanes size"]

    @classmethod
    def first(cls, y: Float[Array, "lanes size"]) -> Mode:
        """All lanes begin with the explicit method, and with any direction."""
        none = jnp.zeros(y.shape[0], jnp.int32)
        waves = jnp.cos(jnp.arange(1, y.shape[1] + 1, dtype=y.dtype) ** 2)
        direction = jnp.broadcast_to(waves, y.shape)
        return cls(none > 0, none, none, none, none, jnp.zeros_like(y[:, 0]), direction)

    def after(
        self,
        method: Switching,
        slope: tuple[Field, Params],
        point: tuple[Float[Array, " lanes"], Float[Array, "lanes size"]],
        attempt: tuple[Float[Array, " lanes"], Bool[Array, " lanes"], Bool[Array, " lanes"]],
    ) -> Mode:
        """The method for the next step. Steps that were rejected say nothing.

        Args:
            slope: the field and its parameters.
            point: time and state after the attempt.
            attempt: its size, where it was made, and where accepted.
        """
        h, running, accepted = attempt
        rate, direction = jax.lax.cond(
            self.clock[0] % EVERY == 0,
            lambda: _look(*slope, *point, self),
            lambda: (self.rate, self.direction),
        )
        stiff = h * rate > method.margin * method.stability
        run = jnp.where(stiff, jnp.maximum(self.run, 0) + 1, jnp.minimum(self.run, 0) - 1)
        run = jnp.where(accepted, run, self.run)
        leaves = jnp.where(self.stiff, run < -method.until_explicit, run > method.until_stiff)
        return Mode(
            self.stiff ^ leaves,
            jnp.where(leaves, 0, run),
            self.attempts + (running & self.stiff),
            self.accepted + (accepted & self.stiff),
            self.clock + 1,
            rate,
            direction,
        )


def _look(
    field: Field,
    params: Params,
    t: Float[Array, " lanes"],
    y: Float[Array, "lanes size"],
    mode: Mode,
) -> tuple[Float[Array, " lanes"], Float[Array, "lanes size"]]:
    """One round of the power method: J times the direction so far, by forward mode.

    The last two stages of an explicit method would tell the same for nothing (Hairer & Wanner
    1996, IV.2), but only where stiff components move: with those at rest, on Robertson at a
    tolerance of 1e-8, it took 2,500 steps at the bound of stability to notice, through which
    gradients grew to 1e22.
    """
    fixed = jax.lax.stop_gradient((t, y, params))
    _, image = jax.jvp(lambda y: field(fixed[0], y, fixed[2]), (fixed[1],), (mode.direction,))
    size = _length(image)
    sound = jnp.isfinite(size) & (size > 0)
    scale = jnp.where(sound, size, 1)
    rate = jnp.where(sound, size / _length(mode.direction), mode.rate)
    return rate, jnp.where(sound[:, None], image / scale[:, None], mode.direction)


def switching_step(
    method: Switching,
    field: Field,
    params: Params,
    start: Start,
    h: Float[Array, " lanes"],
    stiff: Bool[Array, " lanes"],
) -> Step:
    """Take one step from `start = (t, y, f(t, y))` in each lane, by its method.

    A method that no lane is at is not evaluated; where some are at one and some at the other, both
    are, in all lanes.

    Args:
        stiff: which lanes take the stiff method.
    """
    axes = varying_axes((start, h, stiff, params))

    def explicit(h):
        step = runge_kutta_step(method.explicit, field, params, start, h, jnp.zeros((), bool))
        return vary(_in_common(method.rows_of_explicit, step), axes)

    def implicit(h):
        step = rosenbrock_step(method.stiff, field, params, start, h)
        return vary(_in_common(method.rows_of_stiff, step), axes)

    def stay(_):
        _, y, f = start
        nothing = jnp.zeros((method.stages - 1, *y.shape), y.dtype)
        return vary(Step(y, jnp.concatenate([nothing, f[None]])), axes)

    if field.lanes == 1:
        return jax.lax.cond(stiff[0], implicit, explicit, h)
    # A lane that belongs to the other method stays where it is.
    slow, fast = jnp.where(stiff, 0, h), jnp.where(stiff, h, 0)
    ours = jax.lax.cond(jnp.any(slow > 0), explicit, stay, slow)
    theirs = jax.lax.cond(jnp.any(fast > 0), implicit, stay, fast)
    wide = stiff[:, None]
    return Step(jnp.where(wide, theirs.y, ours.y), jnp.where(wide, theirs.slopes, ours.slopes))


def _in_common(weights: Float[np.ndarray, "rows stages"], step: Step) -> Step:
    """The method's stages in the form that both have in common."""
    one = jnp.ones_like(step.y[:, 0])
    slopes = list(step.slopes)
    return Step(step.y, jnp.stack([*(combine(row, slopes, one) for row in weights), slopes[-1]]))


def _length(x: Float[Array, "lanes size"]) -> Float[Array, " lanes"]:
    """The Euclidean norm."""
    return jnp.sqrt(jnp.sum(x * x, axis=1))
