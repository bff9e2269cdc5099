"""Counting what is really evaluated, from inside the compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


class Counter:
    """How often the field was evaluated, and how often a cotangent was pulled through it."""

    def __init__(self) -> None:
        self.evaluations = 0
        self.pullbacks = 0

    def counted(self, f: Callable) -> Callable:
        """The same field; each evaluation of it, and each VJP, is counted on the host.

        In a batch of independent trajectories each of them counts. Forward mode can not pass: JAX
        has no forward rule for what has a reverse rule of its own.
        """

        @jax.custom_vjp
        def tap(y: Any) -> Any:
            jax.debug.callback(self._evaluated, _number(y))
            return y

        def tap_forward(y: Any) -> tuple[Any, None]:
            return tap(y), None

        def tap_backward(_: None, cotangent: Any) -> tuple[Any]:
            jax.debug.callback(self._pulled, _number(cotangent))
            return (cotangent,)

        tap.defvjp(tap_forward, tap_backward)
        return lambda t, y, args: f(t, tap(y), args)

    def _evaluated(self, _: Any) -> None:
        self.evaluations += 1

    def _pulled(self, _: Any) -> None:
        self.pullbacks += 1


def _number(tree: Any) -> Any:
    """One number of it: what it differs in between trajectories makes each of them call."""
    return jax.tree.leaves(tree)[0].ravel()[:1]
