"""A solve with its regularizers: integrals ride along with the state, sums look at its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from isocline.errors import InputError
from isocline.ode.arguments import count_lanes, read_args, read_array, read_count, read_state
from isocline.ode.extra import Extra
from isocline.ode.field import three_arguments
from isocline.ode.solution import Solution
from isocline.ode.solve import solve
from isocline.ode.stages import stages_of
from isocline.ode.tableaus import Tableau, find

from .regularizers import (
    AbstractIntegral,
    AbstractRegularizer,
    AbstractStepTerm,
    read_regularizers,
)


class Regularized(NamedTuple):
    """A solution and what its regularizers make of it.

    Attributes:
        solution: as `solve` gives it.
        penalty: the weighted sum of all terms, one number for each trajectory; add it to the loss.
        terms: each term by the name of its class, without its weight.
    """

    solution: Solution
    penalty: Float[Array, "*batch"]
    terms: dict[str, Float[Array, "*batch"]]


def regularized_solve(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    ts: Float[ArrayLike, "*batch times"],
    args: PyTree = None,
    *,
    regularizers: AbstractRegularizer | Sequence[AbstractRegularizer],
    key: PRNGKeyArray | None = None,
    points: int = 32,
    **options: Any,
) -> Regularized:
    """Solve as `isocline.solve` does, and give the regularizers' penalty beside the solution.

    Integrals cost no steps, only their integrand at every stage. Sums over steps (`SolverError`,
    `Stiffness`) cost one more forward solve, which finds the steps, and one more step at each of at
    most `points` of them; their sizes are held fixed, as those of the solve are.

    Args:
        f, y0, ts, args: as in `solve`.
        regularizers: one, or several.
        key: for those that draw noise; a new one for each solve.
        points: of more accepted steps than this, so many are looked at, evenly spread (with a key,
            at random within their strata), and stand for all (Pal et al. 2023 look at one).
        options: of `solve`.

    Raises:
        InputError: an argument does not fit; the message names it.
        SolveError: as in `solve`.
    """
    found = read_regularizers(regularizers)
    integrals = [one for one in found if isinstance(one, AbstractIntegral)]
    sums = [one for one in found if isinstance(one, AbstractStepTerm)]
    points = read_count("points", points)
    y0, _ = read_state(y0)
    lanes = count_lanes(y0, options.get("batch") == "independent")
    call = _Call(f, y0, ts, args, options, lanes)
    noise_key, points_key = (None, None) if key is None else jax.random.split(key)
    seen = _seen_steps(call, points, points_key) if sums else None
    solution, totals = _integrated(call, integrals, noise_key, seen)
    values = dict(zip(map(id, integrals), totals))
    if seen is not None:
        solution, sums_found = _summed(call, sums, solution, seen)
        values |= dict(zip(map(id, sums), sums_found))
    terms: dict[str, Any] = {}
    penalty = jnp.zeros(() if lanes is None else (lanes,))
    for one in found:
        value = values[id(one)]
        name, count = type(one).__name__, 2
        while name in terms:
            name, count = f"{type(one).__name__}_{count}", count + 1
        terms[name] = value
        penalty = penalty + one.weight * value
    return Regularized(solution, penalty, terms)


class _Call(NamedTuple):
    """What was asked of `solve`."""

    f: Callable
    y0: Any
    ts: Any
    args: Any
    options: dict[str, Any]
    lanes: int | None

    @property
    def tableau(self) -> Tableau:
        """The method, of which the steps can be looked at."""
        tableau = find(self.options.get("method", "tsit5"))
        if not isinstance(tableau, Tableau):
            raise InputError(
                "SolverError and Stiffness look at the stages of explicit Runge-Kutta methods: "
                "choose such a method, or other regularizers."
            )
        return tableau


class _Seen(NamedTuple):
    """Accepted steps that are looked at, without gradient.

    Attributes:
        t, h: where they begin, and how long they are.
        weight: how many steps each stands for; zero for padding.
    """

    t: Float[Array, "*batch points"]
    h: Float[Array, "*batch points"]
    weight: Float[Array, "*batch points"]


class _Augmented(eqx.Module):
    """The field with the integrands as further components of its state."""

    f: Callable
    integrals: list[AbstractIntegral]

    def __call__(self, t: Any, state: Any, args: Any) -> Any:
        y, _ = state
        args, noises = args

        def field(t: Any, y: Any) -> Any:
            return self.f(t, y, args)

        slope = field(t, y)
        rates = [
            one.integrand(t, y, slope, field, noise) for one, noise in zip(self.integrals, noises)
        ]
        return slope, jnp.stack(rates)


def _integrated(
    call: _Call, integrals: list[AbstractIntegral], key: PRNGKeyArray | None, seen: _Seen | None
) -> tuple[Solution, list[Array]]:
    """The solution at the save times (and where seen steps begin), and the integrals."""
    ts, options = call.ts, dict(call.options)
    if seen is not None:
        ts, start = _merged(call, seen)
        options["t0"] = start
    if not integrals:
        return solve(call.f, call.y0, ts, call.args, **options), []
    keys = [None] * len(integrals) if key is None else jax.random.split(key, len(integrals))
    noises = [one.noise(call.y0, key) for one, key in zip(integrals, keys)]
    if call.lanes is not None:
        options["args_axes"] = (options.get("args_axes"), 0)
    # Weights stay outside: a new number would be a new program.
    bare = [eqx.tree_at(lambda one: one.weight, one, 0.0) for one in integrals]
    shape = (len(integrals),) if call.lanes is None else (call.lanes, len(integrals))
    dtype = jax.tree.leaves(call.y0)[0].dtype
    solution = solve(
        _Augmented(three_arguments(call.f), bare),
        (call.y0, jnp.zeros(shape, dtype)),
        ts,
        (call.args, noises),
        **options,
        _extra=Extra(quadratures=len(integrals)),
    )
    ys, totals = solution.ys
    last = totals[..., -1, :]
    # Integrals over a span that is run backwards are of the same sign.
    ts = solution.ts
    sign = jnp.where(ts[..., -1:] >= _start(call), 1, -1).astype(last.dtype)
    last = jax.lax.stop_gradient(sign) * last
    return replace(solution, ys=ys), [last[..., index] for index in range(len(integrals))]


def _start(call: _Call) -> Array:
    """The time of y0, with a last axis of one."""
    t0 = read_array("t0", call.options.get("t0"))
    ts = jnp.asarray(read_array("ts", call.ts))
    return ts[..., :1] if t0 is None else jnp.asarray(t0)[..., None]


def _seen_steps(call: _Call, points: int, key: PRNGKeyArray | None) -> _Seen:
    """Where accepted steps are looked at: from a solve of its own, without gradient."""
    arrays, rest = eqx.partition((call.f, call.y0, call.ts, call.args), eqx.is_array)
    f, y0, ts, args = eqx.combine(jax.lax.stop_gradient(arrays), rest)
    options: dict[str, Any] = call.options | {"on_failure": "return"}
    solution = solve(f, y0, ts, args, **options, _extra=Extra(steps=True))
    if solution.steps is None:
        raise AssertionError
    steps, accepted = solution.steps, solution.stats.accepted[..., None]
    capacity = steps.shape[-1] - 1
    points = min(points, capacity)
    index = jnp.arange(points)
    shift = 0.5 if key is None else jax.random.uniform(key, (*accepted.shape[:-1], points))
    spread = jnp.floor((index + shift) * accepted / points).astype(jnp.int32)
    index = jnp.minimum(jnp.where(accepted > points, spread, index), capacity - 1)
    number = jnp.minimum(accepted, points)
    good = jnp.arange(points) < number
    t, end = (jnp.take_along_axis(steps, index + more, axis=-1) for more in (0, 1))
    weight = jnp.where(good, accepted / jnp.maximum(number, 1), 0).astype(steps.dtype)
    return _Seen(t, jnp.where(good, end - t, 0), weight * solution.success[..., None])


def _merged(call: _Call, seen: _Seen) -> tuple[Array, Array]:
    """Save times together with those where seen steps begin, in order; and the start."""
    ts, start = _all_times(call, seen), _start(call)
    return jnp.take_along_axis(ts, _order(ts, start), axis=-1), start[..., 0]


def _all_times(call: _Call, seen: _Seen) -> Array:
    ts = jnp.asarray(read_array("ts", call.ts), seen.t.dtype)
    ts = jnp.broadcast_to(ts, (*seen.t.shape[:-1], ts.shape[-1]))
    return jnp.concatenate([ts, seen.t], axis=-1)


def _order(ts: Array, start: Array) -> Array:
    far = jax.lax.stop_gradient(jnp.abs(ts - start))
    return jnp.argsort(far, axis=-1, stable=True)


def _summed(
    call: _Call, sums: list[AbstractStepTerm], solution: Solution, seen: _Seen
) -> tuple[Solution, list[Array]]:
    """The solution at the save times alone, and the sums over the steps that were seen."""
    batched = call.lanes is not None
    back = jnp.argsort(_order(_all_times(call, seen), _start(call)), axis=-1)
    count = back.shape[-1] - seen.t.shape[-1]

    def pick(index: Array) -> Any:
        def one(leaf: Array) -> Array:
            return jax.vmap(lambda y, i: y[i])(leaf, index) if batched else leaf[index]

        return jax.tree.map(one, solution.ys)

    args, axes, _ = read_args(call.args, call.options.get("args_axes"), call.lanes)
    arrays, rest = eqx.partition(args, eqx.is_array)
    f, y0 = three_arguments(call.f), call.y0
    states = pick(back[..., count:])
    # Where a solve failed there may be NaN, whose gradient would not be zero.
    states = jax.tree.map(
        lambda y, first: jnp.where(
            _wide(seen.weight > 0, y), y, first[:, None] if batched else first
        ),
        states,
        y0,
    )

    def lane(t, y, h, arrays):
        args = eqx.combine(arrays, rest)
        return jax.vmap(lambda t, y, h: _terms(call.tableau, sums, f, (t, y, h), args))(t, y, h)

    if batched:
        in_axes = (0, 0, 0, jax.tree.unflatten(jax.tree.structure(arrays), axes))
        lane = jax.vmap(lane, in_axes=in_axes)
    values = lane(seen.t, states, seen.h, arrays)
    ts = jnp.broadcast_to(jnp.asarray(call.ts, solution.ts.dtype), (*seen.t.shape[:-1], count))
    own = replace(solution, ys=pick(back[..., :count]), ts=ts)
    return own, [jnp.sum(value * seen.weight, axis=-1) for value in values]


def _wide(mask: Array, leaf: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))


def _terms(tableau: Tableau, sums: list[AbstractStepTerm], f: Callable, at: Any, args: Any):
    """One step of one lane, and its terms."""
    t, y, h = at
    row, unravel = ravel_pytree(y)

    def slope(t, row):
        return ravel_pytree(f(t, unravel(row), args))[0]

    stages = stages_of(tableau, slope, t, row, h)
    return [one.of_step(tableau, stages, h) for one in sums]
