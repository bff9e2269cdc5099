"""Linear systems of the stages: one matrix a lane and step, one right-hand side a stage.

The inverse is formed and multiplied by: no permutation and no triangular solve a stage, which
are slow on CPU. Measured for 7 stages in float64, microseconds on one core, LU factors / this:
one lane: n=2 3.5 / 0.3, n=8 5.7 / 2.1, n=32 28 / 24, n=256 1800 / 4000; a hundred lanes: n=2
80 / 3, n=8 240 / 100, n=32 1900 / 1500.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Up to so many rows the elimination is written out, which fuses with what stands around it.
UNROLLED = 5
# From so many rows on, factors are cheaper than an inverse.
FACTORS = 128

Vectors = Float[Array, "lanes size"]
Matrices = Float[Array, "lanes size size"]


def shifted_solver(
    jacobian: Matrices, scale: Float[Array, " lanes"]
) -> Callable[[Vectors], Vectors]:
    """A function that solves `(I - scale J) x = right` in each lane.

    Derivatives are those of the solution (one solve with the same matrix, or its transpose), not
    of the elimination. Where a matrix is singular or not finite, so is the solution not finite.
    """
    solve, solve_transposed = _factored(jax.lax.stop_gradient(_shifted(jacobian, scale)))

    def multiply(x: Vectors) -> Vectors:
        return x - scale[:, None] * _times(jacobian, x)

    def solver(right: Vectors) -> Vectors:
        return jax.lax.custom_linear_solve(
            multiply,
            right,
            lambda _, right: solve(right),
            transpose_solve=lambda _, right: solve_transposed(right),
        )

    return solver


def _shifted(jacobian: Matrices, scale: Float[Array, " lanes"]) -> Matrices:
    return jnp.eye(jacobian.shape[1], dtype=jacobian.dtype) - scale[:, None, None] * jacobian


def _factored(matrix: Matrices) -> tuple[Callable[[Vectors], Vectors], ...]:
    """Solvers with the matrix, and with its transpose."""
    size = matrix.shape[1]
    # Infinities have inverses, zero, and a wrong step would look like a good one.
    known = jnp.all(jnp.isfinite(matrix), axis=(1, 2), keepdims=True)
    matrix = jnp.where(known, matrix, jnp.nan)
    if size >= FACTORS:
        factors, pivots = jax.scipy.linalg.lu_factor(matrix)

        def substitute(right: Vectors, trans: int) -> Vectors:
            def lane(matrix, pivots, right):
                return jax.scipy.linalg.lu_solve((matrix, pivots), right, trans=trans)

            return jax.vmap(lane)(factors, pivots, right)

        return (lambda right: substitute(right, 0)), (lambda right: substitute(right, 1))
    inverse = eliminate(matrix) if size <= UNROLLED else jnp.linalg.inv(matrix)
    # A zero pivot leaves infinities: times a zero they would be no number, times others infinite.
    sound = jnp.all(jnp.isfinite(inverse), axis=(1, 2), keepdims=True)
    inverse = jnp.where(sound, inverse, jnp.nan)
    transposed = jnp.swapaxes(inverse, 1, 2)
    return (lambda right: _times(inverse, right)), (lambda right: _times(transposed, right))


def _times(matrix: Matrices, x: Vectors) -> Vectors:
    """The product in each lane; small ones as sums, which fuse."""
    if matrix.shape[1] <= UNROLLED:
        return jnp.sum(matrix * x[:, None, :], axis=2)
    return jnp.einsum("lij,lj->li", matrix, x)


def eliminate(matrix: Matrices) -> Matrices:
    """The inverses, by Gauss-Jordan elimination with row pivoting, written out."""
    size = matrix.shape[1]
    rows = jnp.arange(size)
    unit = jnp.broadcast_to(jnp.eye(size, dtype=matrix.dtype), matrix.shape)
    both = jnp.concatenate([matrix, unit], axis=2)
    for column in range(size):
        candidates = jnp.where(rows >= column, jnp.abs(both[:, :, column]), -1)
        best = jnp.argmax(candidates, axis=1)
        pivot = jnp.take_along_axis(both, best[:, None, None], axis=1)[:, 0]
        here = (rows == best[:, None])[:, :, None]
        both = jnp.where(here, both[:, column][:, None], both)
        pivot /= pivot[:, column, None]
        both -= both[:, :, column, None] * pivot[:, None]
        both = both.at[:, column].set(pivot)
    return both[:, :, size:]
