"""What a solve gives back, and what it says when something went wrong."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from ..errors import IsoclineError
from .status import Status

# In float32 a state that grows like 1 / (t1 - t) gets no larger than this before the step is too
# short for the clock.
LARGE = 1e5


class SolveError(IsoclineError, RuntimeError):
    """A solve that failed; `.solution` holds what was computed up to there."""

    def __init__(self, message: str, solution: Solution):
        super().__init__(message)
        self.solution = solution


class Stats(eqx.Module):
    """What a solve cost, one number for each trajectory (a scalar when there is one).

    Attributes:
        nfe: evaluations of the vector field, exact. What a Jacobian takes is not in it. Diffrax
            does not count what its implicit methods evaluate: there this, `nfe_backward` and
            `jacobians` are -1.
        accepted, rejected: steps.
        nfe_backward: evaluations (each with one VJP) that the replay adjoint takes for a gradient.
            (Where a switching method and a record without room for all steps come together, this
            is the most that it may be.)
        jacobians: evaluations of the Jacobian, exact: one an attempt at a step of a stiff method,
            each as many forward-mode derivatives of the field as the state has components, and one
            by time. A gradient takes one more (with its VJP) for each accepted step.
    """

    nfe: Int[Array, "*batch"]
    accepted: Int[Array, "*batch"]
    rejected: Int[Array, "*batch"]
    nfe_backward: Int[Array, "*batch"]
    jacobians: Int[Array, "*batch"]


class Ending(eqx.Module):
    """Where a trajectory stopped: time, end, step to try next, largest |y|, component at fault."""

    t: Float[Array, "*batch"]
    t1: Float[Array, "*batch"]
    h: Float[Array, "*batch"]
    size: Float[Array, "*batch"]
    component: Int[Array, "*batch"]


class Solution(eqx.Module):
    """The values of a trajectory, or of a batch of them, at the save times.

    Attributes:
        ts: the save times, `(times,)` or `(batch, times)`.
        ys: the state there: the structure of y0, each leaf with a `times` axis first (coupled) or
            after the batch axis (independent). Times that were not reached hold NaN, or the last
            state with `on_failure="mask"`.
        status: a `Status` for each trajectory.
        stats: evaluations and steps.
        ending: where each trajectory stopped.
        method, adjoint: what was used.
    """

    ts: Float[Array, "*batch times"]
    ys: PyTree[Array]
    status: Int[Array, "*batch"]
    stats: Stats
    ending: Ending
    method: str = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)

    @property
    def success(self) -> Any:
        """Whether each trajectory reached its last time."""
        return self.status == Status.SUCCESS

    def explain(self) -> str:
        """How the solve went, in words: why it failed, where it happened, and what to try."""
        if isinstance(self.status, Tracer):
            return (
                "The solve is still being traced: "
                "call explain() on the Solution that the jitted function returns."
            )
        status = np.atleast_1d(np.asarray(self.status))
        nfe = np.atleast_1d(np.asarray(self.stats.nfe))
        failed = np.flatnonzero(status.ravel() != Status.SUCCESS)
        many = status.size > 1
        if not failed.size:
            accepted, rejected = int(np.sum(self.stats.accepted)), int(np.sum(self.stats.rejected))
            who = f"All {status.size} trajectories" if many else "The trajectory"
            return (
                f"{who} reached the last time: {accepted} accepted and {rejected} rejected steps "
                f"of {self.method}, {_counted(nfe)} field evaluations."
            )
        lines = [f"{failed.size} of {status.size} trajectories failed."] if many else []
        lines += [self._explain_one(int(index), many) for index in failed[:5]]
        lines += [f"... and {failed.size - 5} more."] if failed.size > 5 else []
        return "\n".join(lines)

    def _explain_one(self, index: int, many: bool) -> str:
        def at(array: Any) -> Any:
            return np.asarray(array).ravel()[index]

        facts = {
            "t": float(at(self.ending.t)),
            "left": abs(float(at(self.ending.t1) - at(self.ending.t))),
            "h": abs(float(at(self.ending.h))),
            "size": float(at(self.ending.size)),
            "component": int(at(self.ending.component)),
            "steps": int(at(self.stats.accepted) + at(self.stats.rejected)),
            "accepted": int(at(self.stats.accepted)),
            "rejected": int(at(self.stats.rejected)),
            "nfe": _counted(at(self.stats.nfe)),
            "stiff": np.any(np.asarray(self.stats.jacobians)),
        }
        who = f"Trajectory {index}" if many else "The solve"
        return f"{who} {_cause(Status(int(at(self.status))), facts)}"


def _counted(nfe: Any) -> str:
    """A number of evaluations; Diffrax's implicit methods do not say."""
    return "uncounted" if np.any(nfe < 0) else str(int(np.sum(nfe)))


# By whether a stiff method was at work already.
_REMEDIES = {
    False: "use a stiff method (method='auto' finds out, 'rodas5p' and 'rosenbrock23' always are), "
    "or loosen rtol and atol",
    True: "loosen rtol and atol, or look for a jump in the field",
}


def _cause(status: Status, facts: dict[str, Any]) -> str:
    """Cause, place and the two likeliest remedies."""
    step = "" if np.isnan(facts["h"]) else "step {h:.3g}, "
    place = f"at t={{t:.9g}} ({step}largest |y| {{size:.3g}}, {{steps}} steps, {{nfe}} evaluations)"
    where = place.format(**facts)
    if status == Status.SUCCESS:
        return "reached the last time."
    if status == Status.MAX_STEPS:
        if facts["size"] > LARGE and facts["h"] < 1e-5 * facts["left"]:
            return (
                f"used up its step limit {where}. The steps shrink where the state is large, as in "
                "a blow-up: check the sign of the field, or end the time span before it."
            )
        if facts["rejected"] > 0.3 * facts["accepted"] or facts["h"] < 1e-3 * facts["left"]:
            return (
                f"used up its step limit {where}. The steps are short for the span, as in a stiff "
                f"problem: {_REMEDIES[bool(facts['stiff'])]}; raise max_steps only if neither "
                "helps."
            )
        return f"used up its step limit {where}: raise max_steps, or loosen rtol and atol."
    if status == Status.STEP_UNDERFLOW:
        if facts["size"] > LARGE:
            return (
                f"blew up {where}: the step shrank to nothing while the state grew. "
                "Check the sign of the field, or end the time span before the singularity."
            )
        return (
            f"could not go on {where}: the step shrank below the precision of the time. "
            "The field may jump there, or the tolerance is below what this dtype resolves: "
            "loosen rtol and atol, or pass float64 arrays."
        )
    if status == Status.NON_FINITE:
        return (
            f"met a NaN or an infinity in component {facts['component']} of the field"
            f"{' or its Jacobian' if facts['stiff'] else ''} {where}, "
            "also with the shortest step. Check the field for a division by zero, a log or a root "
            "of a negative number there; or keep the state in its domain by a change of variables."
        )
    return f"ended with status {status.name} {where}."
