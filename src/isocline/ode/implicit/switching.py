"""One step of a switching method, and when it changes from one method to the other."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..field import Bound
from ..sharding import vary, varying_axes
from ..step import Start, Step, runge_kutta_step, weigh
from ..tableaus import Switching
from .rosenbrock import rosenbrock_step

# Steps from one look at the eigenvalue to the next: of six evaluations each, so it costs little.
EVERY = 4


class Mode(NamedTuple):
    """Which method each lane is at, and what the next is chosen by.

    Attributes:
        stiff: whether it is the stiff one.
        run: stiff steps in a row so far, or less than zero: steps in a row that were not.
        clock: attempts in all, of whichever lane.
        rate: the size of the largest eigenvalue of the Jacobian, about.
        direction: its eigenvector, about.
    """

    stiff: Bool[Array, "*lanes"]
    run: Int[Array, "*lanes"]
    clock: Int[Array, ""]
    rate: Float[Array, "*lanes"]
    direction: Float[Array, "size *lanes"]

    @classmethod
    def first(cls, y: Float[Array, "size *lanes"]) -> Mode:
        """All lanes begin with the explicit method, and with any direction."""
        none = jnp.zeros(y.shape[1:], jnp.int32)
        waves = jnp.cos(jnp.arange(1, y.shape[0] + 1, dtype=y.dtype) ** 2)
        direction = jnp.broadcast_to(waves.reshape((-1,) + (1,) * none.ndim), y.shape)
        zero = jnp.zeros((), jnp.int32)
        return cls(none > 0, none, zero, none.astype(y.dtype), direction)

    def after(
        self,
        method: Switching,
        bound: Bound,
        point: tuple[Float[Array, "*lanes"], Float[Array, "size *lanes"]],
        attempt: tuple[Float[Array, "*lanes"], Bool[Array, "*lanes"]],
    ) -> Mode:
        """The method for the next step. Steps that were rejected say nothing.

        Args:
            bound: the field.
            point: time and state after the attempt.
            attempt: its size, and where it was accepted.
        """
        h, accepted = attempt
        rate, direction = jax.lax.cond(
            self.clock % EVERY == 0,
            lambda: _look(bound, *point, self),
            lambda: (self.rate, self.direction),
        )
        stiff = h * rate > method.margin * method.stability
        run = jnp.where(stiff, jnp.maximum(self.run, 0) + 1, jnp.minimum(self.run, 0) - 1)
        run = jnp.where(accepted, run, self.run)
        leaves = jnp.where(self.stiff, run < -method.until_explicit, run > method.until_stiff)
        return Mode(
            self.stiff ^ leaves,
            jnp.where(leaves, 0, run),
            self.clock + 1,
            rate,
            direction,
        )


def _look(
    bound: Bound, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"], mode: Mode
) -> tuple[Float[Array, "*lanes"], Float[Array, "size *lanes"]]:
    """One round of the power method: J times the direction so far, by forward mode.

    The last two stages of an explicit method would tell the same for nothing (Hairer & Wanner
    1996, IV.2), but only where stiff components move: with those at rest, on Robertson at a
    tolerance of 1e-8, it took 2,500 steps at the bound of stability to notice, through which
    gradients grew to 1e22.
    """
    params, t, y = jax.lax.stop_gradient((bound.params, t, y))
    bound = Bound(bound.field, params)
    _, image = jax.jvp(lambda y: bound(t, y), (y,), (mode.direction,))
    size = _length(image)
    sound = jnp.isfinite(size) & (size > 0)
    scale = jnp.where(sound, size, 1)
    rate = jnp.where(sound, size / _length(mode.direction), mode.rate)
    return rate, jnp.where(sound, image / scale, mode.direction)


def switching_step(
    method: Switching, bound: Bound, start: Start, h: Float[Array, "*lanes"]
) -> tuple[Float[Array, "size *lanes"], Float[Array, "stages size *lanes"]]:
    """Take one step from `start` (in each lane) by the method that `start.stiff` says.

    A method that no lane is at is not evaluated; where some are at one and some at the other, both
    are, in all lanes.
    """
    axes = varying_axes((start, h, bound.params))
    stiff = jnp.zeros(h.shape, bool) if start.stiff is None else start.stiff

    def explicit(h: Array) -> tuple[Array, Array]:
        tableau, y = method.explicit, start.y
        room = Step(y, jnp.zeros((tableau.stages, *y.shape), y.dtype) + 0 * y, None)
        step = runge_kutta_step(tableau, bound, start, h, False, room)
        return vary(_in_common(method.rows_of_explicit, (step.y, step.slopes)), axes)

    def implicit(h: Array) -> tuple[Array, Array]:
        step = rosenbrock_step(method.stiff, bound, start, h)
        return vary(_in_common(method.rows_of_stiff, step), axes)

    def stay(_: Array) -> tuple[Array, Array]:
        nothing = jnp.zeros((method.stages - 1, *start.y.shape), start.y.dtype)
        return vary((start.y, jnp.concatenate([nothing, start.f[None]])), axes)

    if not bound.field.batched:
        return jax.lax.cond(stiff, implicit, explicit, h)
    # A lane that belongs to the other method stays where it is.
    slow, fast = jnp.where(stiff, 0, h), jnp.where(stiff, h, 0)
    ours = jax.lax.cond(jnp.any(slow > 0), explicit, stay, slow)
    theirs = jax.lax.cond(jnp.any(fast > 0), implicit, stay, fast)
    return jnp.where(stiff, theirs[0], ours[0]), jnp.where(stiff, theirs[1], ours[1])


def _in_common(
    weights: Float[np.ndarray, "rows stages"], step: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The method's stages in the form that both have in common."""
    y, slopes = step
    return y, jnp.stack([*(weigh(row, slopes) for row in weights), slopes[-1]])


def _length(x: Float[Array, "size *lanes"]) -> Float[Array, "*lanes"]:
    """The Euclidean norm."""
    return jnp.sqrt(jnp.sum(x * x, axis=0))
