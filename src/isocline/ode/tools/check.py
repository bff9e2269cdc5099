"""Is my gradient right, and which adjoint should I take?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..adjoints import ADJOINTS
from ..arguments import read_count
from ..extra import Extra
from ..solution import Solution, SolveError
from .counting import Counter
from .differences import along, random_directions
from .problem import Inputs, Problem, read_problem
from .report import DIFFERENCES, GradientReport, Row

SPARE = 3  # attempts
# As good as exact: what a solve whose steps can not be held is differentiated at.
EXACT = {"rtol": 1e-10, "atol": 1e-12, "max_steps": 10**5}


def check_gradient(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    ts: Float[ArrayLike, "*batch times"],
    args: PyTree = None,
    *,
    loss: Callable[[PyTree], Float[Array, ""]] | None = None,
    directions: int = 2,
    repeats: int = 3,
    seed: int = 0,
    **options: Any,
) -> GradientReport:
    """Compare the gradients of all adjoints with finite differences, on this very problem.

    The reference is the derivative of the *computed* solution, its accepted steps held fixed, by
    extrapolated central differences in float64 along random directions (Ridders 1982). An exact
    adjoint agrees with it up to rounding; "backsolve", the adjoint of the continuous equation, up
    to the tolerance. Derivatives in the times are those of the exact flow in all of them, so they
    agree up to the tolerance. Where events or breakpoints end steps these can not be held: then the
    reference is of a solve to a tolerance of 1e-10, and all adjoints agree up to their own.

    Args:
        f, y0, ts, args: as in `solve`.
        loss: one number from the values at `ts` (structure of `y0`, with a times axis); a random
            weighted sum of all of them if not given (without those after an event that ended it).
        directions: random directions in each of y0, args, f and ts.
        repeats: runs that the seconds are the median of.
        seed: of the directions.
        options: of `solve`; `adjoint` is left out, all of them are tried.

    Returns:
        A report; `print` it, or read `.rows`, `.worst` and `.advice`.

    Raises:
        InputError: an argument does not fit.
        SolveError: the solve fails, or something in it is not finite: try `debug_gradient`.
    """
    read_count("directions", directions)
    read_count("repeats", repeats)
    options.pop("adjoint", None)
    problem = read_problem(f, y0, ts, args, loss, options)
    held = _can_hold_steps(problem.options)
    solution = problem.solve(problem.inputs, _extra=Extra(steps=held))
    if not bool(jnp.all(solution.success)):
        raise SolveError(f"{solution.explain()} A gradient needs a solve that succeeds.", solution)
    groups = [name for name in Inputs._fields if _leaves(getattr(problem.inputs, name))]
    moves = {name: random_directions(problem.inputs, name, directions, seed) for name in groups}
    reference, double = _by_differences(problem, solution, moves)
    problems = dict.fromkeys(ADJOINTS, problem) | {"direct": _just_enough(problem, solution)}
    rows = [_try_adjoint(problems[name], name, moves, reference, repeats) for name in ADJOINTS]
    return GradientReport(
        rows=[reference[0], *rows],
        loss=float(problem.value(problem.inputs)[0]),
        method=solution.method,
        steps=int(jnp.sum(solution.stats.accepted)),
        dtype=str(problem.inputs.ts.dtype),
        reference_dtype=double,
        held=held,
    )


def _can_hold_steps(options: dict[str, Any]) -> bool:
    """Whether nothing but the controller ends a step."""
    ends = options.get("events"), options.get("breakpoints")
    ends += (getattr(options.get("inputs"), "breakpoints", None),)
    return all(end is None for end in ends)


def _just_enough(problem: Problem, solution: Solution) -> Problem:
    """The problem with few more attempts than it takes: "direct" makes all of `max_steps`."""
    if any(problem.options.get(name) is not None for name in ("steps", "grid", "max_steps")):
        return problem
    attempts = int(jnp.max(solution.stats.accepted + solution.stats.rejected))
    # Another program rounds otherwise, and may reject a step more.
    return problem._replace(options=problem.options | {"max_steps": attempts + SPARE})


def _leaves(tree: Any) -> list[Any]:
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


def _with(inputs: Inputs, group: str, leaves: list[Any]) -> Inputs:
    """The inputs with other arrays in one group."""
    part = getattr(inputs, group)
    arrays, rest = eqx.partition(part, eqx.is_inexact_array)
    arrays = jax.tree.unflatten(jax.tree.structure(arrays), leaves)
    return inputs._replace(**{group: eqx.combine(arrays, rest)})


def _by_differences(problem: Problem, solution: Solution, moves: dict[str, Any]):
    """The row of the reference, with its derivatives, and the dtype it was computed in."""
    started = time.perf_counter()
    with jax.enable_x64(True):
        exact = problem.in_double()
        fixed = _steps_of(problem, solution)

        @eqx.filter_jit
        def value(inputs: Inputs) -> Float[Array, ""]:
            options = EXACT if fixed is None else {"grid": fixed(inputs.ts), "max_steps": 10**9}
            return exact.value(inputs, **options, adjoint="forward")[0]

        derivatives = {}
        for group, directions in moves.items():
            leaves = [np.asarray(leaf) for leaf in _leaves(getattr(exact.inputs, group))]

            def moved(leaves: list[Any], group: str = group) -> float:
                arrays = [jnp.asarray(leaf) for leaf in leaves]
                return float(value(_with(exact.inputs, group, arrays)))

            derivatives[group] = [along(moved, leaves, move) for move in directions]
        dtype = str(exact.inputs.ts.dtype)
    values, errors = {}, {}
    for group, found in derivatives.items():
        values[group] = [one.value for one in found]
        errors[group] = _relative([one.uncertainty for one in found], values[group])
    row = Row(DIFFERENCES, "differences", errors, None, None, time.perf_counter() - started)
    return (row, values), dtype


def _steps_of(problem: Problem, solution: Solution) -> Callable[[Array], Array] | None:
    """Where the steps of a solve end if its times move; None if they can not be held."""
    if solution.steps is None:
        return None
    accepted = int(jnp.max(solution.stats.accepted))
    grid = np.asarray(solution.steps, np.float64)[..., : max(accepted, 1) + 1]
    start, span = grid[..., :1], grid[..., -1:] - grid[..., :1]
    share = (grid - start) / np.where(span == 0, 1, span)

    def fixed(ts: Array) -> Array:
        # The steps keep their shares of the span when its ends move.
        begin = start if "t0" in problem.options else ts[..., :1]
        return jnp.asarray(begin + share * (ts[..., -1:] - begin))

    return fixed


def _relative(errors: list[float], values: list[float]) -> float:
    """The norm of the errors relative to that of the values."""
    error, size = np.linalg.norm(errors), np.linalg.norm(values)
    return float(error / size) if size > 0 else float(error)


def _try_adjoint(
    problem: Problem, name: str, moves: dict[str, Any], reference: Any, repeats: int
) -> Row:
    """One adjoint's row: by reverse mode where it has one, else by forward mode."""
    try:
        return _reverse(problem, name, moves, reference[1], repeats)
    except SolveError:
        raise
    except Exception as reverse_error:
        try:
            return _forward(problem, name, moves, reference[1], repeats)
        except Exception:
            reason = (str(reverse_error).strip().splitlines() or [""])[0]
            return _no_gradient(name, moves, f"{type(reverse_error).__name__}: {reason}")


def _no_gradient(name: str, moves: dict[str, Any], note: str) -> Row:
    return Row(name, "none", dict.fromkeys(moves, float("nan")), None, None, None, note[:160])


def _reverse(problem, name: str, moves, values: dict[str, list[float]], repeats: int) -> Row:
    arrays, rest = eqx.partition(problem.inputs, eqx.is_inexact_array)

    @eqx.filter_jit
    def gradient(arrays: Any, rest: Any):
        def value(arrays: Any):
            return problem.value(eqx.combine(arrays, rest), adjoint=name)

        return jax.grad(value, has_aux=True)(arrays)

    # The times stay constants in the run that is timed, as in most users' own.
    timed, constant = arrays._replace(ts=None), rest._replace(ts=problem.inputs.ts)
    _, solution = gradient(timed, constant)
    if not bool(jnp.all(solution.success)):
        return _no_gradient(name, moves, solution.explain())
    taken = _median(lambda: gradient(timed, constant), repeats)
    # JAX can not count within what it computes again, as it does the parts of a solve.
    counts = _can_hold_steps(problem.options)
    found, pullbacks = _counted(problem, name) if counts else (gradient(arrays, rest)[0], None)
    errors = {}
    for group, directions in moves.items():
        bars = [np.asarray(leaf, np.float64) for leaf in _leaves(getattr(found, group))]
        products = [_inner(bars, move) for move in directions]
        errors[group] = _error(products, values[group])
    nfe = int(jnp.sum(solution.stats.nfe))
    return Row(name, "reverse", errors, nfe, pullbacks, taken)


def _counted(problem: Problem, name: str) -> tuple[Any, int]:
    """The gradient, and the VJPs of the field that it takes."""
    arrays, rest = eqx.partition(problem.inputs, eqx.is_inexact_array)
    counter = Counter()

    @eqx.filter_jit
    def gradient(arrays: Any, rest: Any):
        def value(arrays: Any):
            inputs = eqx.combine(arrays, rest)
            return problem.value(inputs._replace(f=counter.counted(inputs.f)), adjoint=name)[0]

        return jax.grad(value)(arrays)

    found = jax.block_until_ready(gradient(arrays, rest))
    jax.effects_barrier()
    return found, counter.pullbacks


def _forward(problem, name: str, moves, values: dict[str, list[float]], repeats: int) -> Row:
    arrays, rest = eqx.partition(problem.inputs, eqx.is_inexact_array)

    @jax.jit
    def derivative(arrays: Any, tangents: Any):
        def value(arrays: Any):
            loss, solution = problem.value(eqx.combine(arrays, rest), adjoint=name)
            return loss, solution.stats.nfe

        return jax.jvp(value, (arrays,), (tangents,), has_aux=True)

    zeros = jax.tree.map(jnp.zeros_like, arrays)
    errors, nfe, tangents = {}, jnp.zeros(()), zeros
    for group, directions in moves.items():
        leaves = jax.tree.leaves(getattr(arrays, group))
        products = []
        for move in directions:
            # A direction is short; in float32 it must not vanish beside what it meets.
            size = max(float(np.max(np.abs(part), initial=0)) for part in move) or 1.0
            parts = [jnp.asarray(p / size, leaf.dtype) for p, leaf in zip(move, leaves)]
            tangents = _with(zeros, group, parts)
            _, tangent, nfe = derivative(arrays, tangents)
            products.append(float(tangent) * size)
        errors[group] = _error(products, values[group])
    taken = _median(lambda: derivative(arrays, tangents), repeats)
    return Row(name, "forward, one direction", errors, int(jnp.sum(nfe)), None, taken)


def _inner(bars: list[np.ndarray], move: list[np.ndarray]) -> float:
    return float(sum(np.sum(bar * part) for bar, part in zip(bars, move, strict=True)))


def _error(products: list[float], values: list[float]) -> float:
    return _relative([a - b for a, b in zip(products, values, strict=True)], values)


def _median(call: Callable[[], Any], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))
