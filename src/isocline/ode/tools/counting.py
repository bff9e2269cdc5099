"""Counting what is really evaluated, from inside the compiled program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.custom_batching import custom_vmap


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
            return _telling(self._evaluated, y)

        def tap_forward(y: Any) -> tuple[Any, None]:
            return tap(y), None

        def tap_backward(_: None, cotangent: Any) -> tuple[Any]:
            return (_telling(self._pulled, cotangent),)

        tap.defvjp(tap_forward, tap_backward)
        return lambda t, y, args: f(t, tap(y), args)

    def _evaluated(self, times: int) -> None:
        self.evaluations += times

    def _pulled(self, times: int) -> None:
        self.pullbacks += times


def _telling(tell: Callable[[int], None], tree: Any, times: int = 1) -> Any:
    """The tree itself; wherever it is computed, the host is told of how many trajectories it is.

    It is told a number that is known before, and no array: JAX would put that on the device first,
    which is busy with this very program (with one core, it has one thread), and a call for each
    trajectory would cost as many times more.
    """

    @custom_vmap
    def told(tree: Any) -> Any:
        jax.debug.callback(partial(tell, times))
        return tree

    @told.def_vmap
    def _(count: int, mapped: list[Any], tree: Any) -> tuple[Any, Any]:
        return _telling(tell, tree, times * count), mapped[0]

    return told(tree)
