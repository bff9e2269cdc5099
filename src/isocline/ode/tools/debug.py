"""Where does it go wrong: the first step and component that is not finite, forward or backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..extra import Extra
from ..solution import Solution
from ..status import Status
from ..tableaus import find
from .nonfinite import culprit_of, is_bad
from .opening import array_names
from .problem import Problem, path_name, read_problem
from .walking import Local, local_field, look_at_stages, stage_points, walk_cotangent


@dataclass(frozen=True)
class Diagnosis:
    """What `debug_gradient` found; `print` it.

    Attributes:
        kind: "fine", or what is not finite first: "input", "field" (forward), "solve" (failed for
            another reason), "loss", "loss gradient", "vjp" (of the field) or "cotangent".
        message: what, where, and what to do, in words.
        time: where in the solve; None if that has no meaning.
        step: number of the accepted step that begins there or reaches over it.
        component: of the state, argument or parameter: as one writes it in Python.
        trajectory: of an independent batch.
    """

    kind: str
    message: str
    time: float | None = None
    step: int | None = None
    component: str | None = None
    trajectory: int | None = None

    @property
    def ok(self) -> bool:
        """Whether all is finite."""
        return self.kind == "fine"

    def as_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON can hold it."""
        return asdict(self) | {"ok": self.ok}

    def __str__(self) -> str:
        who = "" if self.trajectory is None else f"Trajectory {self.trajectory}: "
        return who + self.message


def debug_gradient(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    ts: Float[ArrayLike, "*batch times"],
    args: PyTree = None,
    *,
    loss: Callable[[PyTree], Float[Array, ""]] | None = None,
    **options: Any,
) -> Diagnosis:
    """Find where a solve or its gradient first meets a NaN or an infinity, and say how to mend it.

    Looks at the inputs, the forward solve, the loss, the gradient of the loss, the field's VJP at
    every stage of every accepted step, and the cotangent on its way back through the steps; the
    first of these that is not finite is told, with the operation and its line in the user's code.

    Args:
        f, y0, ts, args: as in `solve`.
        loss: one number from the values at `ts`; a random weighted sum of them if not given.
        options: of `solve`.

    Raises:
        InputError: an argument does not fit.
    """
    options.pop("adjoint", None)
    problem = read_problem(f, y0, ts, args, loss, options)
    if (found := _bad_input(problem)) is not None:
        return found
    solution = problem.solve(problem.inputs, on_failure="mask", _extra=Extra(steps=True))
    failed = np.flatnonzero(np.asarray(solution.status).ravel() != Status.SUCCESS)
    if failed.size:
        return _failed_solve(problem, solution, int(failed[0]))
    ys_bar = None
    for look in (_bad_loss, _bad_loss_gradient):
        found, ys_bar = look(problem, solution.ys)
        if found is not None:
            return found
    for lane in range(problem.lanes or 1):
        found = _backward(problem, solution, ys_bar, lane)
        if found is not None:
            return found
    return _fine(problem, solution)


def _names(problem: Problem) -> list[tuple[str, Any]]:
    """All floating arrays of a problem, by name."""
    inputs = problem.inputs
    named = [
        (name + path_name(path), leaf)
        for name, tree in (("y0", inputs.y0), ("args", inputs.args))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if eqx.is_inexact_array(leaf)
    ]
    leaves = jax.tree.leaves(eqx.filter(inputs.f, eqx.is_inexact_array))
    return [*named, *zip(array_names(inputs.f), leaves, strict=True)]


def _bad_input(problem: Problem) -> Diagnosis | None:
    for name, leaf in _names(problem):
        if is_bad(leaf):
            index = np.argwhere(~np.isfinite(np.asarray(leaf, np.float64)))[0]
            where = name + (f"[{', '.join(map(str, index))}]" if index.size else "")
            message = f"{where} is not finite before anything is solved. Look where it comes from."
            return Diagnosis("input", message, component=where)
    return None


def _component(problem: Problem, index: int) -> str:
    """A number of the raveled state, as one writes it in Python."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(problem.inputs.y0):
        if index < leaf.size:
            place = np.unravel_index(index, leaf.shape) if leaf.shape else ()
            return "y" + path_name(path) + (f"[{', '.join(map(str, place))}]" if place else "")
        index -= leaf.size
    raise AssertionError


def _failed_solve(problem: Problem, solution: Solution, lane: int) -> Diagnosis:
    """What the forward solve met: a stage that is not finite, or what `explain` says."""
    one = problem.lane(lane)
    at = jax.tree.map(lambda leaf: np.asarray(leaf).ravel()[lane], solution.ending)
    trajectory = None if problem.lanes is None else lane
    status = Status(int(np.asarray(solution.status).ravel()[lane]))
    step = int(np.asarray(solution.stats.accepted).ravel()[lane])
    if status == Status.NON_FINITE:
        ys = solution.ys if problem.lanes is None else jax.tree.map(lambda y: y[lane], solution.ys)
        last = jax.tree.map(lambda leaf: leaf[-1], ys)
        found = _bad_stage(one, (float(at.t), last, float(at.h)), solution.method)
        if found is not None:
            component, t, culprit = found
            message = (
                f"The forward solve fails in step {step}, which begins at t={float(at.t):.9g}: at "
                f"t={t:.9g} the slope of {component} is not finite. It comes from {culprit}"
            )
            return Diagnosis("field", message, t, step, component, trajectory)
    message = solution.explain()
    return Diagnosis("solve", message, float(at.t), step, None, trajectory)


def _bad_stage(problem: Problem, start: tuple[float, Any, float], method: Any):
    """The first stage of a step with a slope that is not finite: component, time, operation."""
    t, state, h = start
    local = local_field(problem)
    row = jax.flatten_util.ravel_pytree(state)[0]
    direction = 1.0 if float(problem.inputs.ts[-1]) >= t else -1.0
    # A loop that failed has shortened its step to nothing; longer ones met the same wall.
    for size in (abs(h), 1e-6, 1e-4, 1e-2, 1.0):
        step = jnp.asarray(direction * size, row.dtype)
        moments, points, slopes = stage_points(
            find(problem.options.get("method", method)), local, jnp.asarray(t, row.dtype), row, step
        )
        bad = np.asarray(~jnp.isfinite(slopes))
        if bad.any():
            stage = int(np.argmax(bad.any(axis=1)))
            where = moments[stage], points[stage]
            culprit = culprit_of(lambda t, row: local.slope(t, row, local.reads), *where)
            component = _component(problem, int(np.argmax(bad[stage])))
            return component, float(moments[stage]), culprit
    return None


def _bad_loss(problem: Problem, ys: Any) -> tuple[Diagnosis | None, Any]:
    if not is_bad(problem.loss(ys)):
        return None, None
    culprit = culprit_of(problem.loss, ys)
    message = f"The states are finite, but the loss is not. It comes from {culprit}"
    return Diagnosis("loss", message), None


def _bad_loss_gradient(problem: Problem, ys: Any) -> tuple[Diagnosis | None, Any]:
    bars = jax.grad(problem.loss)(ys)
    for path, leaf in jax.tree_util.tree_leaves_with_path(bars):
        if is_bad(leaf):
            index = np.argwhere(~np.isfinite(np.asarray(leaf)))[0]
            where = f"ys{path_name(path)}[{', '.join(map(str, index))}]"
            culprit = culprit_of(jax.grad(problem.loss), ys, primal=problem.loss)
            message = (
                f"The loss is finite, but not its slope in {where}: the gradient is lost before "
                f"the solve is reached. It comes from {culprit}"
            )
            return Diagnosis("loss gradient", message, component=where), bars
    return None, bars


def _backward(problem: Problem, solution: Solution, ys_bar: Any, lane: int) -> Diagnosis | None:
    """The field's VJP at all stages of one trajectory, and the cotangent through all its steps."""
    batched = problem.lanes is not None
    one = problem.lane(lane)
    tableau = find(problem.options.get("method", solution.method))
    accepted = int(np.asarray(solution.stats.accepted).ravel()[lane])
    steps = np.atleast_2d(np.asarray(solution.steps))[lane][: accepted + 1]
    if accepted == 0:
        return None
    local = local_field(one)
    rows = _rows_at(one, steps)
    trajectory = lane if batched else None
    found = _bad_vjp(one, local, tableau, (jnp.asarray(steps), rows))
    if found is None:
        bars = jax.tree.map(lambda leaf: leaf[lane], ys_bar) if batched else ys_bar
        found = _bad_cotangent(one, local, tableau, steps, bars)
    if found is None:
        return None
    return Diagnosis(**(asdict(found) | {"trajectory": trajectory}))


def _rows_at(problem: Problem, times: np.ndarray) -> Float[Array, "points size"]:
    """The states at times in order, as rows."""
    first = problem.inputs.ts[0]
    options = {} if "t0" in problem.options else {"t0": float(first)}
    inputs = problem.inputs._replace(ts=jnp.asarray(times, problem.inputs.ts.dtype))
    ys = problem.solve(inputs, **options).ys
    return jax.vmap(lambda y: jax.flatten_util.ravel_pytree(y)[0])(ys)


def _read_names(problem: Problem) -> list[str]:
    """Names of the arrays that the field reads, in the order of `Local.reads`."""
    return [name for name, _ in _names(problem) if not name.startswith("y0")]


def _bad_vjp(problem: Problem, local: Local, tableau: Any, points: Any) -> Diagnosis | None:
    stages = look_at_stages(tableau, local, *points)
    bad_state, bad_reads = ~stages.state, ~stages.reads
    bad = bad_state.any(axis=2) | bad_reads.any(axis=2)
    if not bad.any():
        return None
    steps = np.flatnonzero(bad.any(axis=1))
    step = int(steps[-1])  # the first one on the way back
    stage = int(np.argmax(bad[step]))
    t, point = float(stages.times[step, stage]), jnp.asarray(stages.points[step, stage])
    if bad_state[step, stage].any():
        component = _component(problem, int(np.argmax(bad_state[step, stage])))
    else:
        component = _read_names(problem)[int(np.argmax(bad_reads[step, stage]))]
    cotangent = jnp.ones_like(point)

    def slope(t, row, reads):
        return local.slope(t, row, reads)

    def pulled(t, row, reads):
        return jax.vjp(lambda row, reads: slope(t, row, reads), row, reads)[1](cotangent)

    where = jnp.asarray(t, point.dtype), point, local.reads
    culprit = culprit_of(pulled, *where, primal=slope)
    begins = float(points[0][step])
    many = f"; {steps.size} of {bad.shape[0]} steps have such a place" if steps.size > 1 else ""
    values = ", ".join(f"{value:.6g}" for value in np.asarray(point)[:4])
    values += ", ..." if point.size > 4 else ""
    message = (
        f"The forward solve is finite, its gradient is not: in step {step} (from t={begins:.9g}) "
        f"at t={t:.9g}, y=({values}), the field is finite but its derivative in {component} is "
        f"not{many}. It comes from {culprit or 'a place that the operations one by one do not show'}"
    )
    return Diagnosis("vjp", message, t, step, component)


def _bad_cotangent(
    problem: Problem, local: Local, tableau: Any, steps: np.ndarray, ys_bar: Any
) -> Diagnosis | None:
    """A cotangent that overflows, though all VJPs are finite."""
    ts = np.asarray(problem.inputs.ts)
    sign = 1.0 if ts[-1] >= steps[0] else -1.0
    times = sign * np.unique(sign * np.concatenate([steps, ts]))
    rows = _rows_at(problem, times)
    bars = np.zeros(rows.shape)
    each = jax.vmap(lambda y: jax.flatten_util.ravel_pytree(y)[0])(ys_bar)
    np.add.at(bars, np.searchsorted(sign * times, sign * ts), np.asarray(each, np.float64))
    states, reads = walk_cotangent(tableau, local, (times, rows), bars)
    bad_state, bad_reads = ~np.isfinite(states), ~np.isfinite(reads)
    bad = bad_state.any(axis=1) | bad_reads.any(axis=1)
    if not bad.any():
        return None
    index = int(np.flatnonzero(bad)[-1])
    if bad_state[index].any():
        component = _component(problem, int(np.argmax(bad_state[index])))
    else:
        component = _read_names(problem)[int(np.argmax(bad_reads[index]))]
    finite = states[index + 1 :]
    grown = np.max(np.abs(finite), initial=0)
    step = int(np.searchsorted(sign * steps, sign * times[index], side="right")) - 1
    message = (
        f"The gradient overflows on its way back: at t={times[index]:.9g} (step {step}) the "
        f"cotangent of {component} is not finite, where just after it the largest was {grown:.3g}. "
        "All derivatives of the field are finite: the system is unstable in this direction of "
        "time. Remedy: a shorter time span, a field that damps, multiple shooting, or float64."
    )
    return Diagnosis("cotangent", message, float(times[index]), step, component)


def _fine(problem: Problem, solution: Solution) -> Diagnosis:
    arrays, rest = eqx.partition(problem.inputs, eqx.is_inexact_array)
    gradient = jax.grad(lambda arrays: problem.value(eqx.combine(arrays, rest))[0])(arrays)
    norms = [
        f"{name} {_norm(part):.3g}"
        for name, part in zip(gradient._fields, gradient)
        if jax.tree.leaves(part)
    ]
    if any(is_bad(leaf) for leaf in jax.tree.leaves(gradient)):
        message = (
            "All states, derivatives and cotangents are finite one by one, but the gradient of "
            "the whole solve is not. This should not be: please report it with this problem."
        )
        return Diagnosis("cotangent", message)
    message = (
        "Nothing is wrong: the solution, the loss and the gradient are finite. "
        f"{solution.explain()} Norms of the gradient: {', '.join(norms)}."
    )
    return Diagnosis("fine", message)


def _norm(tree: Any) -> float:
    """The Euclidean norm of all numbers in a tree."""
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    return float(np.linalg.norm(np.concatenate(leaves)))
