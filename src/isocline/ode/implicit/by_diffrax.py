"""Diffrax's implicit methods (ESDIRK and IMEX) behind the loop's interface.

Each trajectory is a `diffrax.diffeqsolve` of its own, vmapped; what comes back is the Outcome that
the loop would have had, so that save times, statuses and batches mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...errors import InputError
from ..counts import Counts
from ..field import Field, Params
from ..loop import Outcome
from ..observe import Saved
from ..status import Status
from ..tableaus import ByDiffrax
from ..task import Rules, Task

Parts = Sequence[tuple[Field, Params]]


class _Lane(NamedTuple):
    """One trajectory's own: what can have a gradient."""

    y0: Float[Array, " size"]
    t1: Float[Array, ""]
    ts: Float[Array, " times"]
    params: list[list[Any]]


class _End(NamedTuple):
    """How one trajectory came out."""

    ys: Float[Array, "times size"]
    y: Float[Array, " size"]
    t: Float[Array, ""]
    status: Int[Array, ""]
    component: Int[Array, ""]
    accepted: Int[Array, ""]
    rejected: Int[Array, ""]


def by_diffrax(method: ByDiffrax, rules: Rules, parts: Parts, task: Task, adjoint: str) -> Outcome:
    """Solve; with "replay" reverse mode checkpoints recursively, with "forward" there is none.

    Args:
        method: which one.
        rules: the controller, the step limit.
        parts: the field and its parameters, or explicit and implicit ones.
        task: what to solve.
        adjoint: "replay" or "forward".

    Raises:
        InputError: Diffrax is not installed.
    """
    _import(method.name)

    def solve(lane: _Lane, others: Any, settings: Any) -> _End:
        return _solve_lane((method, rules, parts, adjoint), lane, others, settings)

    run = _masked(solve) if adjoint == "replay" else solve
    lane = _Lane(task.y0, task.t1, task.ts, [params.inexact for _, params in parts])
    others = [params.other for _, params in parts]
    points = None if task.grid is None else task.grid.every(task.t1)
    settings = task.rtol, task.atol, task.dt0, points
    if parts[0][0].batched:
        last = cast(Any, -1)
        axes: Any = _Lane(last, last, last, [field.axes.inexact for field, _ in parts])
        own = tuple(None if setting is None else -1 for setting in settings)
        in_axes = axes, [field.axes.other for field, _ in parts], own
        run = jax.vmap(run, in_axes=in_axes, out_axes=-1)
    end = run(lane, others, settings)
    none = jnp.zeros_like(end.status)
    return Outcome(
        t=end.t,
        # Diffrax does not tell which step it would have tried next.
        h=jnp.full_like(end.t, jnp.nan),
        y=end.y,
        f=jnp.zeros_like(end.y),
        status=end.status,
        component=end.component,
        counts=Counts(end.accepted, end.rejected, none, none, none, none),
        saved=Saved(end.ys, jnp.sum(task.ts <= end.t, axis=0, dtype=jnp.int32)),
        alone=none.astype(bool),
    )


def _import(method: str) -> Any:
    try:
        import diffrax
    except ImportError as error:
        raise InputError(
            f"method={method!r} is one of Diffrax's, which is not installed: "
            "pip install 'isocline[diffrax]'; or take 'rodas5p', which needs nothing."
        ) from error
    return diffrax


def _masked(solve: Any) -> Any:
    """The solve of a lane, with gradient zero where it failed; 0 * NaN would be NaN there."""

    @jax.custom_vjp
    def run(lane: _Lane, others: Any, settings: Any) -> _End:
        return solve(lane, others, settings)

    def run_forward(lane: _Lane, others: Any, settings: Any):
        end, pull = jax.vjp(lambda lane: solve(lane, others, settings), lane)
        return end, (pull, end.status == Status.SUCCESS)

    def run_backward(kept, cotangent: _End):
        pull, good = kept
        (bars,) = pull(cotangent)
        return jax.tree.map(lambda bar: jnp.where(good, bar, 0), bars), None, None

    run.defvjp(run_forward, run_backward)
    return run


def _solve_lane(call: Any, lane: _Lane, others: Any, settings: Any) -> _End:
    import diffrax as dfx

    method, rules, parts, adjoint = call

    params = [Params(*both) for both in zip(lane.params, others, strict=True)]

    def part(index: int) -> Any:
        return lambda t, y, params: parts[index][0].lane(t, y, params[index])

    terms: Any = dfx.ODETerm(part(len(parts) - 1))
    if method.pairs:
        terms = dfx.MultiTerm(dfx.ODETerm(part(0)), terms)
    shortest = 2 * jnp.finfo(lane.t1.dtype).eps * _scale(lane)
    controller, root_finder = _controlled(rules, settings, shortest)
    solution = dfx.diffeqsolve(
        terms,
        getattr(dfx, method.solver)(root_finder=root_finder),
        jnp.zeros_like(lane.t1),
        lane.t1,
        settings[2],
        lane.y0,
        params,
        stepsize_controller=controller,
        saveat=dfx.SaveAt(subs=[dfx.SubSaveAt(ts=lane.ts), dfx.SubSaveAt(t1=True)]),
        max_steps=rules.max_steps,
        adjoint=dfx.ForwardMode() if adjoint == "forward" else dfx.RecursiveCheckpointAdjoint(),
        throw=False,
    )
    saved: Any = solution
    t, y = saved.ts[1][0], saved.ys[1][0]
    slopes = [
        field.lane(time, y, own)
        for (field, _), own in zip(parts, params, strict=True)
        for time in (t, t + 4 * shortest)
    ]
    bad = ~jnp.isfinite(y) | ~jnp.all(jnp.isfinite(jnp.stack(slopes)), axis=0)
    # Diffrax writes the first value with the first step, which may never come.
    values = jnp.where((lane.ts <= 0)[:, None], lane.y0, saved.ys[0])
    reached = lane.ts <= t
    return _End(
        ys=jnp.where(reached[:, None], values, jnp.nan),
        y=y,
        t=jax.lax.stop_gradient(t),
        status=_status(dfx, solution.result, bad),
        component=_first(bad),
        accepted=solution.stats["num_accepted_steps"].astype(jnp.int32),
        rejected=solution.stats["num_rejected_steps"].astype(jnp.int32),
    )


def _scale(lane: _Lane) -> Float[Array, ""]:
    """The size of the times of a lane."""
    return jax.lax.stop_gradient(lane.t1)


def _controlled(rules: Rules, settings: Any, shortest: Float[Array, ""]) -> tuple[Any, Any]:
    """Diffrax's controller for ours, and the iteration for its implicit stages.

    Newton's, where Diffrax by default takes `VeryChord`: with that (0.7.2) KenCarp fails on linear
    problems, and Kvaerno5 takes twice to seven times as many steps, half of them rejected
    (Robertson, rtol 1e-5: 214 accepted and 213 rejected, with Newton's 37 and 4).
    """
    import diffrax as dfx
    import optimistix as optx

    rtol, atol, _, grid = settings
    root_finder = optx.Newton(rtol=rtol, atol=atol)
    if grid is not None:
        return dfx.StepTo(ts=grid), root_finder
    ours = rules.controller
    controller = dfx.PIDController(
        rtol=rtol,
        atol=atol,
        pcoeff=ours.proportional,
        icoeff=ours.integral,
        dcoeff=ours.derivative,
        safety=ours.safety,
        factormin=ours.shrink,
        factormax=ours.grow,
        dtmin=shortest,
        force_dtmin=False,
    )
    return controller, root_finder


def _status(dfx: Any, result: Any, bad: Bool[Array, " size"]) -> Int[Array, ""]:
    """Our status for Diffrax's result."""
    status = jnp.where(jnp.any(bad), Status.NON_FINITE, Status.STEP_UNDERFLOW)
    status = jnp.where(result == dfx.RESULTS.max_steps_reached, Status.MAX_STEPS, status)
    status = jnp.where(result == dfx.RESULTS.successful, Status.SUCCESS, status)
    return status.astype(jnp.int32)


def _first(bad: Bool[Array, " size"]) -> Int[Array, ""]:
    """The index of the first component at fault."""
    return (jnp.argmax(bad) if bad.size else jnp.zeros(())).astype(jnp.int32)
