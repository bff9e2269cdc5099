"""The solvers of libraries on JAX, ours first: each builds `end(y0, args, tolerance)`."""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp

from .contestant import Ask, End

# Room for steps where it is not known how many there will be.
MANY_STEPS = 16384


def _most_steps(ask: Ask, default: int) -> int:
    """The step limit to ask for: the library's own, or one that just fits if `fit` is set."""
    if ask.attempts is None:
        return MANY_STEPS
    # Compiled anew, a solve may take a step more or less.
    fitted = ask.attempts + ask.attempts // 16 + 2
    return fitted if ask.options.get("fit") else max(default, fitted)


def isocline(ask: Ask) -> End:
    """Options: method, adjoint, fit (max_steps as needed), steps (fixed ones)."""
    from isocline.ode import METHODS, solve

    problem, options = ask.problem, ask.options
    most = _most_steps(ask, 4096)
    each = METHODS[options["method"]].evaluations if options["method"] in METHODS else 0
    settings: dict[str, Any] = {"batch": "independent", "args_axes": 0} if problem.lanes else {}

    def end(y0: Any, args: Any, tolerance: Any) -> tuple[Any, dict[str, Any]]:
        solution = solve(
            ask.field,
            y0,
            jnp.array([problem.t1]),
            args,
            t0=problem.t0,
            method=options["method"],
            adjoint=options.get("adjoint", "auto"),
            rtol=tolerance,
            atol=tolerance * problem.atol,
            max_steps=most,
            on_failure="return",
            steps=options.get("steps"),
            **settings,
        )
        stats = solution.stats
        counts = {
            "accepted": stats.accepted,
            "attempts": stats.accepted + stats.rejected,
            "nfe": stats.nfe,
            "needed": 1 + stats.accepted * each,
        }
        return (solution.ys[:, -1] if problem.lanes else solution.ys[-1]), counts

    return end


def diffrax(ask: Ask) -> End:
    """Options: solver and adjoint (names in Diffrax), fit (max_steps as needed), steps (fixed).

    And newton: full Newton iterations in implicit stages, where Diffrax's default is its VeryChord.
    """
    import diffrax as dfx

    problem, options = ask.problem, ask.options
    finder: dict[str, Any] = {}
    if options.get("newton"):
        import optimistix

        finder["root_finder"] = dfx.with_stepsize_controller_tols(optimistix.Newton)()
    solver = getattr(dfx, options["solver"])(**finder)
    adjoint = getattr(dfx, options["adjoint"])()
    most = _most_steps(ask, 4096)
    each = solver.tableau.num_stages - int(solver.tableau.fsal)
    steps = options.get("steps")

    def control(tolerance: Any) -> Any:
        if steps is not None:
            return dfx.ConstantStepSize()
        return dfx.PIDController(rtol=tolerance, atol=tolerance * problem.atol)

    def one(y0: Any, args: Any, tolerance: Any) -> tuple[Any, dict[str, Any]]:
        # In the dtype of the state: with x64 on, a Python number would make all of it double.
        t0, t1, tolerance = (
            jnp.asarray(value, y0.dtype) for value in (problem.t0, problem.t1, tolerance)
        )
        solution = dfx.diffeqsolve(
            dfx.ODETerm(ask.field),
            solver,
            t0,
            t1,
            None if steps is None else (t1 - t0) / steps,
            y0,
            args,
            stepsize_controller=control(tolerance),
            saveat=dfx.SaveAt(t1=True),
            max_steps=most,
            adjoint=adjoint,
            throw=False,
        )
        failed = solution.result != dfx.RESULTS.successful
        counts = {
            "accepted": solution.stats["num_accepted_steps"],
            "attempts": solution.stats["num_steps"],
            "nfe": 1 + solution.stats["num_steps"] * each,
            "needed": 1 + solution.stats["num_accepted_steps"] * each,
        }
        return jnp.where(failed, jnp.nan, cast(Any, solution.ys)[0]), counts

    return jax.vmap(one, in_axes=(0, 0, None)) if problem.lanes else one


def jax_odeint(ask: Ask) -> End:
    """`jax.experimental.ode.odeint`: Dormand-Prince 5, continuous adjoint. It counts no steps."""
    from jax.experimental.ode import odeint

    problem = ask.problem

    def one(y0: Any, args: Any, tolerance: Any) -> Any:
        times = jnp.asarray([problem.t0, problem.t1], y0.dtype)
        atol = tolerance * problem.atol

        def slope(y: Any, t: Any, args: Any) -> Any:
            return ask.field(t, y, args)

        return odeint(slope, y0, times, args, rtol=tolerance, atol=atol, mxstep=MANY_STEPS)[-1]

    many = jax.vmap(one, in_axes=(0, 0, None)) if problem.lanes else one
    return lambda y0, args, tolerance: (many(y0, args, tolerance), {})
