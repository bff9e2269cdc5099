"""Where does it go wrong: the first step and component that is not finite, forward or backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..extra import Extra
from ..solution import Solution
from ..status import Status
from .backward_fault import backward_fault
from .diagnosis import Diagnosis, named_arrays
from .forward_fault import failed_solve
from .nonfinite import culprit_of, is_bad
from .problem import Problem, path_name, read_problem


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
        return failed_solve(problem, solution, int(failed[0]))
    ys_bar = None
    for look in (_bad_loss, _bad_loss_gradient):
        found, ys_bar = look(problem, solution.ys)
        if found is not None:
            return found
    for lane in range(problem.lanes or 1):
        found = backward_fault(problem, solution, ys_bar, lane)
        if found is not None:
            return found
    return _fine(problem, solution)


def _bad_input(problem: Problem) -> Diagnosis | None:
    for name, leaf in named_arrays(problem):
        if is_bad(leaf):
            index = np.argwhere(~np.isfinite(np.asarray(leaf, np.float64)))[0]
            where = name + (f"[{', '.join(map(str, index))}]" if index.size else "")
            message = f"{where} is not finite before anything is solved. Look where it comes from."
            return Diagnosis("input", message, component=where)
    return None


def _bad_loss(problem: Problem, ys: Any) -> tuple[Diagnosis | None, Any]:
    if not is_bad(problem.lost(ys)):
        return None, None
    if problem.there is not None and not is_bad(problem.loss(ys)):
        message = (
            "The states are finite, but the loss is not: it does not leave out the NaN that stand "
            "for masked save times. Remedy: jnp.nansum, or jnp.where before anything else is done."
        )
        return Diagnosis("loss", message), None
    culprit = culprit_of(problem.loss, ys)
    message = f"The states are finite, but the loss is not. It comes from {culprit}"
    return Diagnosis("loss", message), None


def _bad_loss_gradient(problem: Problem, ys: Any) -> tuple[Diagnosis | None, Any]:
    bars = jax.grad(problem.lost)(ys)
    for path, leaf in jax.tree_util.tree_leaves_with_path(bars):
        if is_bad(leaf):
            index = np.argwhere(~np.isfinite(np.asarray(leaf)))[0]
            where = f"ys{path_name(path)}[{', '.join(map(str, index))}]"
            culprit = culprit_of(jax.grad(problem.loss), ys, primal=problem.loss)
            message = (
                f"The loss is finite, but not its slope in {where}: the gradient is lost before "
                f"the solve is reached. It comes from {culprit or 'no single operation'}"
            )
            return Diagnosis("loss gradient", message, component=where), bars
    return None, bars


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
