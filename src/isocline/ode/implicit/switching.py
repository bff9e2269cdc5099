"""One step of a switching method, and when it changes from one method to the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..field import Bound
from ..sharding import vary, varying_axes
from ..step import (
    Bars,
    Pulled,
    Start,
    Step,
    Taken,
    runge_kutta_pull,
    runge_kutta_step,
    weigh,
)
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
    method: Switching, bound: Bound, start: Start, h: Float[Array, "*lanes"], room: Step
) -> Step:
    """Take one step from `start` (in each lane) by the method that `start.stiff` says.

    A method that no lane is at is not evaluated; where some are at one and some at the other, both
    are, in all lanes. The notes are those of the explicit method, or start and slope there.

    Args:
        room: an earlier step; says whether there are notes, and how many.
    """
    axes = varying_axes((start, h, bound.params, room.notes))
    stiff, y = _stiff(start.stiff, h), start.y
    notes = None if room.notes is None else jnp.zeros_like(room.notes)

    def explicit(h: Array) -> Step:
        empty = jnp.zeros((method.explicit.stages, *y.shape), y.dtype)
        begun = vary(Step(y, empty, notes), axes)
        step = runge_kutta_step(method.explicit, bound, start, h, (False, True), begun)
        rows = _in_common(method.rows_of_explicit, step.slopes)
        return vary(Step(step.y, rows, step.notes), axes)

    def implicit(h: Array) -> Step:
        new, slopes = rosenbrock_step(method.stiff, bound, start, h)
        rows = _in_common(method.rows_of_stiff, slopes)
        noted = None if notes is None else notes.at[0].set(y).at[1].set(start.f)
        return vary(Step(new, rows, noted), axes)

    def stay(_: Array) -> Step:
        nothing = jnp.zeros((method.stages - 1, *y.shape), y.dtype)
        return vary(Step(y, jnp.concatenate([nothing, start.f[None]]), notes), axes)

    if not bound.field.batched:
        return jax.lax.cond(stiff, implicit, explicit, h)
    # A lane that belongs to the other method stays where it is.
    slow, fast = jnp.where(stiff, 0, h), jnp.where(stiff, h, 0)
    ours = jax.lax.cond(jnp.any(slow > 0), explicit, stay, slow)
    theirs = jax.lax.cond(jnp.any(fast > 0), implicit, stay, fast)
    return jax.tree.map(lambda own, other: jnp.where(stiff, other, own), ours, theirs)


def switching_pull(
    method: Switching, bound: Bound, step: Taken, bars: Bars, room: Pulled
) -> Pulled:
    """Pull cotangents back through one step, in each lane by the method that took it.

    The choice is made here, outside of what JAX differentiates: the derivative of a `cond` keeps
    room for what both sides need, and fills it at every step.
    """
    axes = varying_axes((step, bars, room, bound.params))
    stiff = _stiff(step.stiff, step.h)
    rows_bar = jnp.zeros((method.stages, *bars.y.shape), bars.y.dtype)
    rows_bar = (rows_bar if bars.slopes is None else bars.slopes).at[-1].add(bars.f)

    def half(pull: Callable[..., Pulled]) -> Callable[[Any], Pulled]:
        def pulled(side: tuple[Array, Any]) -> Pulled:
            own, params = side
            given = room._replace(params=params)
            return vary(pull(method, bound, (step, own), (bars.y, rows_bar), given), axes)

        return pulled

    explicit, implicit = half(_pull_explicit), half(_pull_stiff)

    def stay(side: tuple[Array, Any]) -> Pulled:
        zero = jnp.zeros_like(bars.y)
        slopes = None if room.slopes is None else jnp.zeros_like(room.slopes)
        return vary(Pulled(zero, zero, side[1], room.points, slopes), axes)

    if not bound.field.batched:
        everything = jnp.ones((), bool), room.params
        return jax.lax.cond(stiff, implicit, explicit, everything)
    slow, fast = ~stiff & step.active, stiff & step.active
    ours = jax.lax.cond(jnp.any(slow), explicit, stay, (slow, room.params))
    theirs = jax.lax.cond(jnp.any(fast), implicit, stay, (fast, ours.params))
    chosen = jax.tree.map(
        lambda own, other: jnp.where(stiff, other, own),
        ours._replace(params=None),
        theirs._replace(params=None),
    )
    return chosen._replace(params=theirs.params)


Side = tuple[Taken, Bool[Array, "*lanes"]]


def _pull_explicit(
    method: Switching, bound: Bound, side: Side, ends: tuple[Array, Array], room: Pulled
) -> Pulled:
    """Through a step of the explicit method, in its own lanes; nothing in the others."""
    (step, own), (y_bar, rows_bar), tableau = side, ends, method.explicit
    rows_bar = jnp.where(own, rows_bar, 0)
    slopes_bar = _from_common(method.rows_of_explicit, rows_bar)
    inside = None if room.slopes is None else jnp.zeros_like(slopes_bar)
    start = jnp.zeros_like(y_bar)
    begun = Pulled(start, start, room.params, jnp.zeros_like(slopes_bar), inside)
    # What others noted are no points: the field need not be finite there, and 0 * NaN is NaN.
    notes = jnp.where(own, step.notes, step.notes[:1])
    taken = step._replace(end=jnp.where(own, step.end, step.t), notes=notes)
    bars = Bars(jnp.where(own, y_bar, 0), jnp.zeros_like(y_bar), slopes_bar)
    begun = vary(begun, varying_axes((step, bars, room, bound.params)))
    back = runge_kutta_pull(tableau, bound, taken, bars, (jnp.zeros((), bool), True), begun)
    if back.slopes is None:
        return back._replace(f=back.f + slopes_bar[0], points=room.points)
    return back._replace(
        points=room.points, slopes=_in_common(method.rows_of_explicit, back.slopes)
    )


def _pull_stiff(
    method: Switching, bound: Bound, side: Side, ends: tuple[Array, Array], room: Pulled
) -> Pulled:
    """Through a step of the stiff method, in its own lanes; nothing in the others."""
    (step, own), (y_bar, rows_bar) = side, ends
    h = jnp.where(own, step.h, 0)

    def take(y: Array, f: Array, inexact: list[Any]) -> tuple[Array, Array]:
        again = Bound(bound.field, bound.params.replace(inexact))
        return rosenbrock_step(method.stiff, again, Start(step.t, y, f), h)

    (_, slopes), pull = jax.vjp(take, step.notes[0], step.notes[1], bound.params.inexact)
    slopes_bar = _from_common(method.rows_of_stiff, jnp.where(own, rows_bar, 0))
    y_bar, f_bar, params_bar = pull((jnp.where(own, y_bar, 0), slopes_bar))
    rows = None if room.slopes is None else _in_common(method.rows_of_stiff, slopes)
    params_bar = jax.tree.map(jnp.add, room.params, params_bar)
    return Pulled(y_bar, f_bar, params_bar, room.points, rows)


def _stiff(stiff: Bool[Array, "*lanes"] | None, h: Float[Array, "*lanes"]) -> Bool[Array, "*lanes"]:
    return jnp.zeros(h.shape, bool) if stiff is None else stiff


def _in_common(weights: Float[np.ndarray, "rows stages"], slopes: Array) -> Array:
    """The method's stages in the form that both have in common."""
    return jnp.stack([*(weigh(row, slopes) for row in weights), slopes[-1]])


def _from_common(weights: Float[np.ndarray, "rows stages"], rows_bar: Array) -> Array:
    """Cotangents of the method's stages, from those of the common form."""
    stages_bar = jnp.stack([weigh(column, rows_bar) for column in weights.T])
    return stages_bar.at[-1].add(rows_bar[-1])


def _length(x: Float[Array, "size *lanes"]) -> Float[Array, "*lanes"]:
    """The Euclidean norm."""
    return jnp.sqrt(jnp.sum(x * x, axis=0))
