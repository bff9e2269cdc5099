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
from .rosenbrock import derivatives, rosenbrock_step

Start = tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]]


class Mode(NamedTuple):
    """Which method each lane is at.

    Attributes:
        stiff: whether it is the stiff one.
        run: stiff steps in a row so far, or less than zero: steps in a row that were not.
        attempts, accepted: steps with the stiff method, in all.
    """

    stiff: Bool[Array, " lanes"]
    run: Int[Array, " lanes"]
    attempts: Int[Array, " lanes"]
    accepted: Int[Array, " lanes"]

    @classmethod
    def first(cls, lanes: int) -> Mode:
        """All lanes begin with the explicit method."""
        none = jnp.zeros(lanes, jnp.int32)
        return cls(none > 0, none, none, none)

    def after(
        self,
        method: Switching,
        step: Step,
        h: Float[Array, " lanes"],
        running: Bool[Array, " lanes"],
        accepted: Bool[Array, " lanes"],
    ) -> Mode:
        """The method for the next step. Steps that were rejected say nothing."""
        assert step.rate is not None
        stiff = h * step.rate > method.margin * method.stability
        run = jnp.where(stiff, jnp.maximum(self.run, 0) + 1, jnp.minimum(self.run, 0) - 1)
        run = jnp.where(accepted, run, self.run)
        leaves = jnp.where(self.stiff, run < -method.until_explicit, run > method.until_stiff)
        return Mode(
            self.stiff ^ leaves,
            jnp.where(leaves, 0, run),
            self.attempts + (running & self.stiff),
            self.accepted + (accepted & self.stiff),
        )


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
        return vary(_explicit(method, field, params, start, h), axes)

    def implicit(h):
        return vary(_implicit(method, field, params, start, h), axes)

    def stay(h):
        _, y, f = start
        nothing = jnp.zeros((method.stages - 1, *y.shape), y.dtype)
        return vary(Step(y, jnp.concatenate([nothing, f[None]]), jnp.zeros_like(h)), axes)

    if field.lanes == 1:
        return jax.lax.cond(stiff[0], implicit, explicit, h)
    # A lane that belongs to the other method stays where it is.
    slow, fast = jnp.where(stiff, 0, h), jnp.where(stiff, h, 0)
    ours = jax.lax.cond(jnp.any(slow > 0), explicit, stay, slow)
    theirs = jax.lax.cond(jnp.any(fast > 0), implicit, stay, fast)
    wide = stiff[:, None]
    return Step(
        jnp.where(wide, theirs.y, ours.y),
        jnp.where(wide, theirs.slopes, ours.slopes),
        jnp.where(stiff, theirs.rate, ours.rate),
    )


def _explicit(
    method: Switching, field: Field, params: Params, start: Start, h: Float[Array, " lanes"]
) -> Step:
    tableau = method.explicit
    step = runge_kutta_step(tableau, field, params, start, h, jnp.zeros((), bool))
    slopes = list(step.slopes)
    before = start[1] + combine(tableau.matrix[tableau.stages - 2], slopes, h)
    change, apart = slopes[-1] - slopes[-2], step.y - before
    rate = _length(change) / jnp.maximum(_length(apart), jnp.finfo(h.dtype).tiny)
    return Step(step.y, _rows(method.rows_of_explicit, step), jax.lax.stop_gradient(rate))


def _implicit(
    method: Switching, field: Field, params: Params, start: Start, h: Float[Array, " lanes"]
) -> Step:
    t, y, _ = start
    slope = derivatives(field, params, t, y)
    step = rosenbrock_step(method.stiff, field, params, start, h, lambda *_: slope)
    entries = jnp.abs(jax.lax.stop_gradient(slope.by_state))
    # No eigenvalue is larger than any norm.
    rate = jnp.minimum(*(jnp.max(jnp.sum(entries, axis=axis), axis=1) for axis in (1, 2)))
    return Step(step.y, _rows(method.rows_of_stiff, step), rate)


def _rows(weights: Float[np.ndarray, "rows stages"], step: Step) -> Float[Array, "all lanes size"]:
    """The method's stages in the form that both have in common."""
    rows = jnp.einsum("rs,sln->rln", jnp.asarray(weights, step.y.dtype), step.slopes)
    return jnp.concatenate([rows, step.slopes[-1:]])


def _length(x: Float[Array, "lanes size"]) -> Float[Array, " lanes"]:
    """The Euclidean norm, without its derivative (which is not finite at zero)."""
    x = jax.lax.stop_gradient(x)
    return jnp.sqrt(jnp.sum(x * x, axis=1))
