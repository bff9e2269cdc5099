"""Regularizers: terms that make a learnt field easy to solve, as options of one solve.

    solution, penalty, terms = regularized_solve(
        f, y0, ts, args, regularizers=[KineticEnergy(0.01), JacobianNorm(0.01)], key=key
    )
    loss = error(solution.ys) + jnp.mean(penalty)

Each has a weight, which may be a traced number (see `NFEBudget`). Those with an integrand are
integrated along with the state, and do not drive the step size; those of the solver look at its
accepted steps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from isocline.errors import InputError
from isocline.ode.arguments import known
from isocline.ode.stages import Stages, error_of
from isocline.ode.tableaus import Tableau

Slope = Callable[[Float[Array, ""], PyTree], PyTree]


def square_norm(tree: PyTree) -> Float[Array, ""]:
    """The sum of the squares of all numbers in a tree."""
    return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), jnp.zeros(()))


class AbstractRegularizer(eqx.Module):
    """A term with a weight."""

    weight: eqx.AbstractVar[ArrayLike]


class AbstractIntegral(AbstractRegularizer):
    """A term `integral of integrand(t, y(t)) dt` over the span of the solve."""

    def noise(self, y0: PyTree, key: PRNGKeyArray | None) -> PyTree:
        """What stays fixed within a solve; None for most."""
        return None

    @abstractmethod
    def integrand(
        self, t: Float[Array, ""], y: PyTree, slope: PyTree, f: Slope, noise: PyTree
    ) -> Float[Array, ""]:
        """The term at one time.

        Args:
            t, y: time and state.
            slope: `f(t, y)`, computed already.
            f: the field with its arguments filled in.
            noise: what `noise` gave.
        """


class AbstractStepTerm(AbstractRegularizer):
    """A sum over the accepted steps of the solve."""

    @abstractmethod
    def of_step(self, tableau: Tableau, stages: Stages, h: Float[Array, ""]) -> Float[Array, ""]:
        """The term of one step, from its stages and its size."""


class KineticEnergy(AbstractIntegral):
    """`integral of |f|^2 dt`: trajectories run straight and slowly (RNODE, Finlay et al. 2020).

    The norm is over all of the state: in a coupled batch over all trajectories.
    """

    weight: ArrayLike

    def integrand(self, t, y, slope, f, noise):
        return square_norm(slope)


class JacobianNorm(AbstractIntegral):
    """`integral of |df/dy|_F^2 dt` (RNODE, Finlay et al. 2020).

    Estimated without bias by `|e^T df/dy|^2`, one VJP, with a normal e that is drawn once a solve
    (Hutchinson); or exactly, by as many Jacobian-vector products as there are components.

    Attributes:
        exact: no noise; for small states.
    """

    weight: ArrayLike
    exact: bool = eqx.field(static=True, default=False)

    def noise(self, y0, key):
        if self.exact:
            return None
        if key is None:
            raise InputError(
                "key=None, but JacobianNorm draws noise: give a new key=jax.random.key(...) to "
                "each solve, or use JacobianNorm(..., exact=True)."
            )
        leaves, treedef = jax.tree.flatten(y0)
        keys = jax.random.split(key, len(leaves))
        draws = [jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves)]
        return jax.tree.unflatten(treedef, draws)

    def integrand(self, t, y, slope, f, noise):
        if self.exact:
            return square_norm(jax.jacfwd(lambda y: f(t, y))(y))
        _, pull = jax.vjp(lambda y: f(t, y), y)
        return square_norm(pull(noise)[0])


class TaylorOrder(AbstractIntegral):
    """`integral of |d^K y/dt^K|^2 dt` (TayNODE, Kelly et al. 2020: R_K).

    A solver of order K - 1 is exact where this is zero, so large steps will do. K = 1 is the
    kinetic energy.

    The K-th derivative comes from nested Jacobian-vector products. `jax.experimental.jet`, which
    the paper uses, fails in JAX 0.10 on functions with a derivative rule of their own (relu,
    softplus), and is not faster below K = 5: the gradient of an MLP 3-64-64-3 on 64 points takes
    0.11, 0.17, 0.37, 0.85 ms for K = 2 to 5, and 0.14, 0.26, 0.47, 0.76 ms with jet (2 cores).

    Attributes:
        order: K, at least 1.
    """

    weight: ArrayLike
    order: int = eqx.field(static=True)

    def __init__(self, order: int, weight: ArrayLike):
        if isinstance(order, bool) or not isinstance(order, int) or order < 1:
            raise InputError(
                f"TaylorOrder: order={order!r} must be an integer of at least 1; the weight "
                "comes second."
            )
        self.order, self.weight = order, weight

    def integrand(self, t, y, slope, f, noise):
        derivative = f
        for _ in range(self.order - 1):
            derivative = _along_flow(derivative, f)
        return square_norm(derivative(t, y) if self.order > 1 else slope)


def _along_flow(function: Slope, f: Slope) -> Slope:
    """The derivative of a function of time and state along the solution."""

    def derivative(t, y):
        return jax.jvp(function, (t, y), (jnp.ones_like(t), f(t, y)))[1]

    return derivative


class SolverError(AbstractStepTerm):
    """`sum of |h| * E` over accepted steps, E the local error estimate (Pal et al. 2021, R_E).

    E is the Euclidean norm of the embedded error estimate (of the first, for the 8(5,3) pair), not
    divided by the tolerance: the weight need not change with that.
    """

    weight: ArrayLike

    def of_step(self, tableau, stages, h):
        if not tableau.adaptive:
            raise InputError(f"SolverError: method={tableau.name!r} has no error estimate.")
        return jnp.abs(h) * _norm(error_of(tableau, stages.slopes, h))


class Stiffness(AbstractStepTerm):
    """`sum of S` over accepted steps, S Shampine's estimate of stiffness (Pal et al. 2021, R_S).

    `S = |k_s - k_r| / |g_s - g_r|` with the slopes k and points g of the last two stages, which in
    `tsit5` and `dopri5` are at one time: how strongly the field pulls there (an estimate of the
    largest eigenvalue of its Jacobian).
    """

    weight: ArrayLike

    def of_step(self, tableau, stages, h):
        rise = _norm(stages.slopes[-1] - stages.slopes[-2])
        run = _norm(stages.points[-1] - stages.points[-2])
        near = jnp.finfo(run.dtype).eps * (1 + _norm(stages.points[-1]))
        # Points that rounding can not tell apart say nothing of the slope between them.
        return jnp.where(run > near, rise / jnp.maximum(run, near), 0)


def _norm(tree: PyTree) -> Float[Array, ""]:
    """A Euclidean norm whose slope at zero is zero, not NaN."""
    row = ravel_pytree(tree)[0]
    square = jnp.sum(row * row)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def steer(
    ts: Float[ArrayLike, " times"], width: ArrayLike, *, key: PRNGKeyArray
) -> Float[Array, " times"]:
    """Save times with a random last one, `U(t1 - width, t1 + width)` (STEER, Ghosh et al. 2020).

    Raises:
        InputError: the last time could come before the one before it.
    """
    ts, far = jnp.asarray(ts), known(width)
    times = known(ts)
    if times is not None and far is not None:
        room = float(abs(times[-1] - times[-2])) if times.size > 1 else float("inf")
        if not 0 <= float(far) < room:
            raise InputError(
                f"width={float(far):g} must be at least 0 and below the distance of the last two "
                f"save times, {room:g}."
            )
    move = jax.random.uniform(key, (), ts.dtype, -1, 1) * width
    return ts.at[-1].add(move)


def read_regularizers(regularizers: Any) -> tuple[AbstractRegularizer, ...]:
    """The regularizers of an option.

    Raises:
        InputError: one is of another type, or two have the same class.
    """
    single = isinstance(regularizers, AbstractRegularizer)
    found = (regularizers,) if single else tuple(regularizers)
    for one in found:
        if not isinstance(one, (AbstractIntegral, AbstractStepTerm)):
            raise InputError(f"regularizers: {one!r} is none; for example KineticEnergy(0.01) is.")
    return found
