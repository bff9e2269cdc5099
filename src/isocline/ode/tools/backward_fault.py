"""Where the gradient of a solve that went well is lost: in a VJP of the field, or by overflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..solution import Solution
from ..tableaus import Tableau, find
from .diagnosis import Diagnosis, component_name, read_names
from .nonfinite import culprit_of
from .problem import Problem
from .walking import Local, local_field, look_at_stages, walk_cotangent


def backward_fault(
    problem: Problem, solution: Solution, ys_bar: Any, lane: int
) -> Diagnosis | None:
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
    # How the steps of other methods are pulled back, only their own adjoint knows.
    if found is None and isinstance(tableau, Tableau):
        bars = jax.tree.map(lambda leaf: leaf[lane], ys_bar) if batched else ys_bar
        found = _bad_cotangent(one, local, tableau, steps, bars)
    if found is None:
        return None
    return replace(found, trajectory=trajectory)


def _rows_at(problem: Problem, times: np.ndarray) -> Float[Array, "points size"]:
    """The states at times in order, as rows."""
    first = problem.inputs.ts[0]
    options = {} if "t0" in problem.options else {"t0": float(first)}
    inputs = problem.inputs._replace(ts=jnp.asarray(times, problem.inputs.ts.dtype))
    ys = problem.solve(inputs, **options).ys
    return jax.vmap(lambda y: ravel_pytree(y)[0])(ys)


def _bad_vjp(problem: Problem, local: Local, tableau: Any, points: Any) -> Diagnosis | None:
    stages = look_at_stages(tableau, local, *points)
    bad_state, bad_reads = ~stages.state, ~stages.reads
    bad: Any = bad_state.any(axis=2) | bad_reads.any(axis=2)
    if not bad.any():
        return None
    steps = np.flatnonzero(bad.any(axis=1))
    step = int(steps[-1])  # the first one on the way back
    stage = int(np.argmax(bad[step]))
    t, point = float(stages.times[step, stage]), jnp.asarray(stages.points[step, stage])
    if bad_state[step, stage].any():
        component = component_name(problem, int(np.argmax(bad_state[step, stage])))
    else:
        component = read_names(problem)[int(np.argmax(bad_reads[step, stage]))]
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
        f"not{many}. It comes from {culprit or 'no single operation'}"
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
    each = jax.vmap(lambda y: ravel_pytree(y)[0])(ys_bar)
    np.add.at(bars, np.searchsorted(sign * times, sign * ts), np.asarray(each, np.float64))
    states, reads = walk_cotangent(tableau, local, (times, rows), bars)
    bad_state, bad_reads = ~np.isfinite(states), ~np.isfinite(reads)
    bad = bad_state.any(axis=1) | bad_reads.any(axis=1)
    if not bad.any():
        return None
    index = int(np.flatnonzero(bad)[-1])
    if bad_state[index].any():
        component = component_name(problem, int(np.argmax(bad_state[index])))
    else:
        component = read_names(problem)[int(np.argmax(bad_reads[index]))]
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
