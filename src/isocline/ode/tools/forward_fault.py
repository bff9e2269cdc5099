"""Why a forward solve failed: the stage, the component and the operation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..solution import Solution
from ..status import Status
from ..tableaus import find
from .diagnosis import Diagnosis, component_name
from .nonfinite import culprit_of
from .problem import Problem
from .walking import local_field, stage_points


def failed_solve(problem: Problem, solution: Solution, lane: int) -> Diagnosis:
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
    row = ravel_pytree(state)[0]
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
            component = component_name(problem, int(np.argmax(bad[stage])))
            return component, float(moments[stage]), culprit
    return None
