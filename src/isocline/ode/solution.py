"""What a solve gives back, and what it says when something went wrong."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from ..errors import IsoclineError
from .dense import Interpolant
from .events import Events
from .status import Status, succeeded

# What tells a blow-up from a jump or a stiff transient, where the step has shrunk to nothing: the
# state is large, or it is not small and still grows by this share of itself in the shortest step
# (far from t=0 the clock is too coarse to follow it any further towards the pole).
LARGE, NOT_SMALL, GROWTH = 1e5, 1e3, 1e-3

OTHER = {
    Status.LEFT_DOMAIN: "left its domain {}: even the shortest step led out of it. The solution "
    "crosses the border there: check the field and the domain, or end the solve with an event.",
    Status.STATES_APART: "got lost {}: the two states of the reversible method drifted apart. "
    "They do where the field contracts much over the whole time, and where the solution blows up. "
    "Use adjoint='replay', which tells the one from the other, and whose memory record_bytes= "
    "limits.",
    Status.EVENT_LIMIT: "met more events than are kept, the last one {}. They may come ever "
    "faster, as the bounces of a ball at rest do: raise max_events=, or end the solve with a "
    "terminal event before that.",
}


class SolveError(IsoclineError, RuntimeError):
    """A solve that failed; `.solution` holds what was computed up to there."""

    def __init__(self, message: str, solution: Solution):
        super().__init__(message)
        self.solution = solution


class Stats(eqx.Module):
    """What a solve cost, one number for each trajectory (a scalar when there is one).

    Attributes:
        nfe: evaluations of the vector field, exact. What a Jacobian takes is not in it, nor the
            forward-mode derivative by which a switching method looks at every fourth attempt
            whether the problem is stiff. Diffrax does not count what its implicit methods
            evaluate: there this, `nfe_backward` and `jacobians` are -1.
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
    """Where a trajectory stopped: time, end, step to try next, largest |y|, component at fault.

    `growth` is the share of its length by which the state grows in the step to try next.
    """

    t: Float[Array, "*batch"]
    t1: Float[Array, "*batch"]
    h: Float[Array, "*batch"]
    size: Float[Array, "*batch"]
    component: Int[Array, "*batch"]
    growth: Float[Array, "*batch"]


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
        why: why it was that adjoint.
        steps: where the accepted steps began and ended, padded with the last time; only for tools.
        events: what events there were, if any were looked for.
        interpolant: the solution as a function of time, with `dense=True`.
    """

    ts: Float[Array, "*batch times"]
    ys: PyTree[Array]
    status: Int[Array, "*batch"]
    stats: Stats
    ending: Ending
    method: str = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    why: str = eqx.field(static=True)
    steps: Float[Array, "*batch points"] | None = None
    events: Events | None = None
    interpolant: Interpolant | None = None

    @property
    def success(self) -> Any:
        """Whether each trajectory reached its last time, or an event that ends it."""
        return succeeded(self.status)

    def explain(self) -> str:
        """How the solve went, in words: why it failed, where it happened, and what to try."""
        if isinstance(self.status, Tracer):
            return (
                "The solve is still being traced: "
                "call explain() on the Solution that the jitted function returns."
            )
        status = np.atleast_1d(np.asarray(self.status))
        nfe = np.atleast_1d(np.asarray(self.stats.nfe))
        failed = np.flatnonzero(~np.atleast_1d(np.asarray(self.success)).ravel())
        many = status.size > 1
        if not failed.size:
            accepted, rejected = int(np.sum(self.stats.accepted)), int(np.sum(self.stats.rejected))
            who = f"All {status.size} trajectories" if many else "The trajectory"
            stopped = int(np.sum(status == Status.EVENT))
            what = "reached the last time" if not stopped else "reached the last time or an event"
            return (
                f"{who} {what}: {accepted} accepted and {rejected} rejected steps "
                f"of {self.method}, {_counted(nfe)} field evaluations. "
                f"Gradients by {self.adjoint}, because {self.why}."
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
            "growth": float(at(self.ending.growth)),
            "steps": int(at(self.stats.accepted) + at(self.stats.rejected)),
            "accepted": int(at(self.stats.accepted)),
            "rejected": int(at(self.stats.rejected)),
            "nfe": _counted(at(self.stats.nfe)),
            "stiff": np.any(np.asarray(self.stats.jacobians)),
        }
        who = f"Trajectory {index}" if many else "The solve"
        return f"{who} {_cause(Status(int(at(self.status))), facts)}"


def _blows_up(facts: dict[str, Any]) -> bool:
    grows = facts["size"] > NOT_SMALL and facts["growth"] > GROWTH
    return facts["size"] > LARGE or grows


def _why_many_steps(facts: dict[str, Any]) -> str:
    """What makes the steps many, and the remedies."""
    if _blows_up(facts) and facts["h"] < 1e-5 * facts["left"]:
        return (
            ". The steps shrink where the state is large, as in a blow-up: check the sign of the "
            "field, or end the time span before it."
        )
    if facts["rejected"] > 0.3 * facts["accepted"] or facts["h"] < 1e-3 * facts["left"]:
        return (
            f". The steps are short for the span, as in a stiff problem: "
            f"{_REMEDIES[bool(facts['stiff'])]}; raise max_steps only if neither helps."
        )
    return ": raise max_steps, or loosen rtol and atol."


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
        return f"used up its step limit {where}{_why_many_steps(facts)}"
    if status == Status.STEP_UNDERFLOW:
        if _blows_up(facts):
            return (
                f"blew up {where}: the step shrank to nothing while the state grew. "
                "Check the sign of the field, or end the time span before the singularity."
            )
        return (
            f"could not go on {where}: the step shrank below the precision of the time. "
            "The field may jump there, or the tolerance is below what this dtype resolves: "
            "loosen rtol and atol, or pass float64 arrays."
        )
    if status == Status.NON_FINITE and np.isnan(facts["left"]):
        return (
            "was given save times that turn back, or are no finite numbers; or a grid that turns "
            "or does not lead from t0 to the last of ts; or a dt0, rtol or atol that can not be: "
            "see these arguments."
        )
    if status == Status.NON_FINITE:
        return _why_not_finite(where, facts)
    if status in OTHER:
        return OTHER[status].format(where)
    return f"ended with status {status.name} {where}."


def _why_not_finite(where: str, facts: dict[str, Any]) -> str:
    if _blows_up(facts):
        return (
            f"blew up {where}: the state grew until component {facts['component']} of the "
            "field was no finite number, also with the shortest step. Check the sign of the "
            "field, or end the time span before the singularity."
        )
    return (
        f"met a NaN or an infinity in component {facts['component']} of the field"
        f"{' or its Jacobian' if facts['stiff'] else ''} {where}, "
        "also with the shortest step. Check the field for a division by zero, a log or a root "
        "of a negative number there; or keep the state in its domain by a change of variables."
    )
