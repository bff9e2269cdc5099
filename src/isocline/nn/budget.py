"""A budget of field evaluations, kept in training."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from isocline.errors import InputError, IsoclineError

Action = Literal["weight", "rtol", "warn", "stop"]


class BudgetError(IsoclineError, RuntimeError):
    """Solves cost more evaluations than the budget allows."""


@dataclass
class NFEBudget:
    """Watches what solves cost while a model trains, and acts when it is too much.

    In training::

        budget = NFEBudget(40, weight=0.01)
        for batch in batches:
            model, nfe = train_step(model, batch, jnp.asarray(budget.weight))
            budget.watch(nfe)

    With "weight", the weight of a regularizer follows the cost: after each solve it is multiplied
    by `(nfe / limit) ** rate`. That is an integral controller on the logarithms (dual ascent on
    the constraint nfe <= limit): above the limit the weight grows until fields become easy enough,
    below it shrinks and the fit has its way. The papers choose a fixed weight by a sweep (Finlay
    et al. 2020, Kelly et al. 2020) or anneal it (Pal et al. 2021); here the cost is chosen instead.
    With "rtol", the tolerance is loosened by the same rule: cheaper at once, but less accurate.

    Pass weight or rtol to a compiled function as an array: a Python number would be compiled anew.

    Attributes:
        limit: evaluations of one solve that are welcome.
        action: "weight", "rtol", "warn" (once each time the limit is newly passed) or "stop" (a
            BudgetError).
        weight, rtol: where they start, and where they are.
        rate: how fast they follow.
        range: how far they may go from where they start, as factors; the tolerance is never
            tightened below its start.
        memory: share of the running mean of nfe that a new solve does not replace.
        mean: that running mean; None before the first solve.
    """

    limit: float
    action: Action = "weight"
    weight: float = 0.01
    rtol: float = 1e-4
    rate: float = 0.1
    range: tuple[float, float] = (1e-3, 1e3)
    memory: float = 0.9
    mean: float | None = None
    _start: tuple[float, float] = field(init=False, repr=False)
    _over: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.action not in ("weight", "rtol", "warn", "stop"):
            raise InputError(
                f"action={self.action!r} is not known; choose one of: weight, rtol, warn, stop."
            )
        for name in ("limit", "weight", "rtol", "rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name}={value!r} must be a positive number.")
        if not 0 <= self.memory < 1:
            raise InputError(f"memory={self.memory!r} must be at least 0 and below 1.")
        self._start = self.weight, self.rtol

    def watch(self, nfe: Any) -> None:
        """Take in what a solve cost (`solution.stats.nfe`; of a batch, the mean counts), and act.

        Raises:
            BudgetError: over the limit, with `action="stop"`.
        """
        cost = float(np.mean(np.asarray(nfe)))
        if not math.isfinite(cost) or cost <= 0:
            raise InputError(f"nfe={nfe!r} must be a count of evaluations, as solution.stats.nfe.")
        kept = self.memory if self.mean is not None else 0.0
        self.mean = kept * (self.mean or 0.0) + (1 - kept) * cost
        factor = (self.mean / self.limit) ** self.rate
        if self.action == "weight":
            self.weight = self._within(self.weight * factor, self._start[0], self.range[0])
        elif self.action == "rtol":
            self.rtol = self._within(self.rtol * factor, self._start[1], 1.0)
        else:
            self._say()

    def _within(self, value: float, start: float, least: float) -> float:
        return min(max(value, start * least), start * self.range[1])

    def _say(self) -> None:
        over = self.mean is not None and self.mean > self.limit
        newly, self._over = over and not self._over, over
        if not over:
            return
        message = (
            f"Solves cost {self.mean:.0f} field evaluations, where the budget is {self.limit:g}. "
            "Regularize the field (KineticEnergy, TaylorOrder), loosen rtol, or raise the limit."
        )
        if self.action == "stop":
            raise BudgetError(message)
        if newly:
            warnings.warn(message, stacklevel=3)
