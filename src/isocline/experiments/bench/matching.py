"""Solvers are compared at the same achieved error, not at the same tolerance."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .problems import Problem


class Match(NamedTuple):
    """A tolerance, and the error that it leads to."""

    tolerance: float
    error: float


def match_error(
    error_at: Callable[[float], float],
    target: float,
    tightest: float = 1e-12,
    per_decade: int = 2,
    halvings: int = 4,
) -> Match | None:
    """The loosest tolerance that reaches the target, or None if none does.

    A loose tolerance that is right by luck does not count: the two tighter ones beside it on the
    scan must reach the target as well.
    """
    grid = 10.0 ** (
        -np.arange(per_decade, round(-per_decade * np.log10(tightest)) + 1) / per_decade
    )
    errors: list[float] = []
    for tolerance in grid:
        errors.append(error_at(float(tolerance)))
        if len(errors) >= 3 and max(errors[-3:]) <= target:
            break
    else:
        return None
    found = len(errors) - 3
    best = Match(float(grid[found]), errors[found])
    loose = float(grid[found - 1]) if found else best.tolerance
    for _ in range(halvings if found else 0):
        middle = float(np.sqrt(loose * best.tolerance))
        error = error_at(middle)
        if error <= target:
            best = Match(middle, error)
        else:
            loose = middle
    return best


def relative_error(problem: Problem, value: Any, truth: Float[np.ndarray, "..."]) -> float:
    """Root mean square of the error, over that of the truth; infinite if the solve failed."""
    scale = np.broadcast_to(np.asarray(problem.scale, float), np.shape(truth))
    error = (np.asarray(value, float).reshape(truth.shape) - truth) / scale
    size = np.sqrt(np.mean(error**2) / np.mean((truth / scale) ** 2))
    return float(size) if np.isfinite(size) else float("inf")


def reference(problem: Problem, dtype: str, rtol: float = 1e-11) -> Float[np.ndarray, "..."]:
    """The final state in float64, by SciPy: nobody's code that is measured here.

    The data are rounded to `dtype` first, as the solvers see them.
    """
    from scipy.integrate import solve_ivp

    rounded = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), (problem.y0, problem.args))
    with jax.enable_x64(True):
        y0, args = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), rounded)
        batched = problem.batched_field()
        slope = jax.jit(lambda t, y: batched(t, y.reshape(y0.shape), args).reshape(-1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            solved = solve_ivp(
                lambda t, y: np.asarray(slope(t, y)),
                (problem.t0, problem.t1),
                np.asarray(y0).reshape(-1),
                method="Radau" if problem.stiff else "DOP853",
                rtol=rtol,
                atol=rtol * 1e-2 * np.min(problem.scale),
                t_eval=(problem.t1,),
            )
    if not solved.success:
        raise RuntimeError(f"The reference of {problem.kind} failed: {solved.message}")
    return solved.y[:, -1].reshape(np.shape(problem.y0))


def fixed_reference(problem: Problem, dtype: str, steps: int) -> Float[np.ndarray, "..."]:
    """The final state by many fixed steps, in the dtype of the solvers: for heavy fields."""
    end = jax.jit(functools.partial(_classical, problem, steps))
    return np.asarray(end(*problem.arrays(dtype)), float)


def gradient_error(gradient: Any, truth: Float[np.ndarray, " size"]) -> float:
    """Norm of the difference to a reference gradient, over that of the reference."""
    leaves = [np.asarray(leaf, float).ravel() for leaf in jax.tree.leaves(gradient)]
    return float(np.linalg.norm(np.concatenate(leaves) - truth) / np.linalg.norm(truth))


def reference_gradient(problem: Problem, dtype: str, steps: int) -> Float[np.ndarray, " size"]:
    """The gradient in float64 by the classical Runge-Kutta method with many fixed steps.

    That of the sum of squares of the final state, by initial state and parameters, in one row.
    """
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), (problem.y0, problem.args))

    def loss(y0: Any, args: Any) -> Any:
        return jnp.sum(_classical(problem, steps, y0, args) ** 2)

    with jax.enable_x64(True):
        y0, args = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), rounded)
        leaves = jax.tree.leaves(jax.jit(jax.grad(loss, argnums=(0, 1)))(y0, args))
        return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


def stiff_reference_gradient(
    problem: Problem, dtype: str, rtol: float = 1e-10
) -> Float[np.ndarray, " size"]:
    """The same gradient for a stiff problem with one array of parameters, by SciPy's Radau.

    It solves for the state and its derivatives along each number of initial state and parameters,
    in units of that number, so that all are of the size of the state.
    """
    from scipy.integrate import solve_ivp

    y0, args = (np.asarray(np.asarray(leaf, dtype), float) for leaf in (problem.y0, problem.args))
    scale = np.broadcast_to(np.asarray(problem.scale, float), y0.shape)
    units = np.concatenate([scale, np.abs(args)])
    size = (1 + units.size, y0.size)
    start = np.concatenate([y0[None], np.diag(units)[:, : y0.size]])
    by_args = np.diag(units)[:, y0.size :]
    with jax.enable_x64(True):

        @jax.jit
        def slope(t: Any, rows: Any) -> Any:
            y, along = rows.reshape(size)[0], rows.reshape(size)[1:]

            def one(y_dot: Any, args_dot: Any) -> Any:
                field = functools.partial(problem.field, t)
                return jax.jvp(field, (y, jnp.asarray(args)), (y_dot, args_dot))

            slopes, changes = jax.vmap(one)(along, jnp.asarray(by_args))
            return jnp.concatenate([slopes[:1], changes]).reshape(-1)

        solved = solve_ivp(
            lambda t, rows: np.asarray(slope(t, rows)),
            (problem.t0, problem.t1),
            start.reshape(-1),
            method="Radau",
            rtol=rtol,
            atol=rtol * 1e-2 * np.tile(scale, size[0]),
            t_eval=(problem.t1,),
        )
    if not solved.success:
        raise RuntimeError(f"The gradient of {problem.kind} failed: {solved.message}")
    end = solved.y[:, -1].reshape(size)
    return 2 * end[1:] @ end[0] / units


def _classical(problem: Problem, steps: int, y0: Any, args: Any) -> Any:
    """The final state by the classical Runge-Kutta method."""
    h, field = (problem.t1 - problem.t0) / steps, problem.batched_field()

    @jax.checkpoint
    def step(y: Any, index: Any) -> tuple[Any, None]:
        t = problem.t0 + index * h
        k1 = field(t, y, args)
        k2 = field(t + h / 2, y + h / 2 * k1, args)
        k3 = field(t + h / 2, y + h / 2 * k2, args)
        k4 = field(t + h, y + h * k3, args)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jax.lax.scan(step, y0, jnp.arange(steps, dtype=y0.dtype))[0]
