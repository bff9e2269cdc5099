"""The floor: what no solver can go below, the bare evaluations of the field and their VJPs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .contestant import first_call
from .problems import Problem


def evaluations(problem: Problem, count: int, y0: Any, args: Any) -> Any:
    """So many evaluations of the field, each needing the one before, in a bare loop.

    Each is checkpointed, so a gradient evaluates it again and pulls a cotangent through, as the
    adjoint of an accepted step must. (The state moves by Euler steps, to stay finite.)
    """
    h = (problem.t1 - problem.t0) / count
    field = jax.checkpoint(problem.batched_field())

    def body(y: Any, _: Any) -> tuple[Any, None]:
        return y + h * field(jnp.asarray(problem.t0, y.dtype), y, args), None

    return jax.lax.scan(body, y0, length=count)[0]


class Floor:
    """The bare evaluations, forward and with the gradient, compiled.

    Attributes:
        first_call: seconds of the parts of the first call of the gradient, the least of so many.
    """

    def __init__(self, problem: Problem, count: int, dtype: str, first_calls: int = 1):
        self._inputs = problem.arrays(dtype)

        def end(y0: Any, args: Any) -> Any:
            return evaluations(problem, count, y0, args)

        def gradient() -> Any:
            def loss(y0: Any, args: Any) -> Any:
                return jnp.sum(evaluations(problem, count, y0, args) ** 2)

            return jax.grad(loss, argnums=(0, 1))

        self._forward = jax.jit(end).lower(*self._inputs).compile()
        self._gradient, self.first_call = first_call(gradient, self._inputs, first_calls)

    def forward(self) -> Any:
        """The evaluations alone; blocks."""
        return jax.block_until_ready(self._forward(*self._inputs))

    def gradient(self) -> Any:
        """The evaluations, and again with their VJPs; blocks."""
        return jax.block_until_ready(self._gradient(*self._inputs))
