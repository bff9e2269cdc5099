"""Simple rules that have a share in every forecast: the last value, and a linear regression.

They err otherwise than a model does, so a mean of both is often better than either (Bates & Granger
1969), and hardly ever much worse than the better one. Quantiles are averaged level by level. The
validation part chooses the shares, but where its cases are few, which is usual, it tells good from
bad by chance: equal shares are hard to beat (Smith & Wallis 2009). So shares are drawn towards
some that did well on series of many kinds.

All of it is in anomalies, in units of the spread of each series, so that series of other sizes can
learn from each other: the last value is the last anomaly, and the season goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self

import numpy as np
from jaxtyping import Float

from isocline.data import Series, SeriesTable
from isocline.evaluation.autoregression import Autoregression
from isocline.evaluation.baselines import Persistence
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.scores import crps_quantiles

from .preparing import Scaling
from .tables import some_series

MOST_CELLS = 20_000  # of each channel that shares are chosen by


class Rule(Protocol):
    """A simple forecaster of anomalies."""

    def fit(self, table: SeriesTable, horizon: float) -> Self: ...
    def forecast(self, history: Series, times: Float[np.ndarray, " times"]) -> Forecast: ...


class Prior(NamedTuple):
    """Shares of the rules before any forecast was seen, as good as those that `cases` would tell.

    Attributes:
        shares: of each rule; the rest is the model's.
        cases: how many.
        steps: shares are looked for in such parts of one.
    """

    shares: tuple[float, ...]
    cases: float
    steps: int


ALONE = Prior((0.0,), 10, 20)  # persistence
BESIDE = Prior((0.1, 0.45), 30, 10)  # persistence, autoregression
# The rules know nothing of covariates: where a model does, they have to show what they are for.
UNKNOWING = Prior((0.0, 0.0), 10, 10)


@dataclass(frozen=True)
class Pool:
    """Rules with quantiles of their own past errors, and each channel's share of each."""

    shares: Float[np.ndarray, "rules channels"]
    rules: tuple[Rule, ...]

    @classmethod
    def chosen(
        cls,
        rules: tuple[Rule, ...],
        forecasts: Sequence[Forecast],
        histories: Sequence[Series],
        targets: Sequence[Series],
        *,
        prior: Prior,
        horizon: float,
    ) -> Pool:
        """The shares of the lowest CRPS at the targets, drawn towards the prior.

        Args:
            rules: fitted to rows before them.
            forecasts, histories, targets: of the model, what each was made from, and what came;
                all as anomalies.
            prior: of the shares of the rules.
            horizon: rows of one series within it are one case.
        """
        told = [_told(rule, forecasts, histories) for rule in rules]
        channels = range(targets[0].values.shape[1] if targets else 0)
        shares = [
            _shares(forecasts, told, targets, channel, horizon, prior) for channel in channels
        ]
        return cls(np.array(shares).reshape(-1, len(rules)).T, rules)

    def fitted(self, table: SeriesTable, scaling: Scaling) -> Pool:
        """The same shares, with the rules fitted to the anomalies of these rows."""
        seen = anomalies_of(table, scaling)
        pairs = zip(self.rules, self.shares, strict=True)
        rules = [copy(rule).fit(seen, scaling.horizon) if any(own) else rule for rule, own in pairs]
        return replace(self, rules=tuple(rules))

    def mixed(
        self, forecasts: Sequence[Forecast], histories: Sequence[Series]
    ) -> Sequence[Forecast]:
        """The forecasts of anomalies, each with the shares that the rules have in it."""
        used = [k for k, own in enumerate(self.shares) if own.any()]
        if not used:
            return forecasts
        told = [_told(self.rules[k], forecasts, histories) for k in used]
        return [_mean(one, rules, self.shares[used]) for one, *rules in zip(forecasts, *told)]


def rules_for(periods: Sequence[float], linear: bool) -> tuple[Rule, ...]:
    """What has a share beside a model, not fitted yet."""
    return (Persistence(), Autoregression(periods)) if linear else (Persistence(),)


def prior_for(scaling: Scaling, linear: bool) -> Prior:
    """What shares are drawn towards."""
    if not linear:
        return ALONE
    return BESIDE if scaling.covariates is None else UNKNOWING


def anomalies_of(table: SeriesTable, scaling: Scaling) -> SeriesTable:
    """The anomalies of a table, or of some of its series if they are many."""
    return table.with_series([scaling.anomalies(one) for one in some_series(table)])


def _told(rule: Rule, forecasts: Sequence[Forecast], histories: Sequence[Series]) -> list[Forecast]:
    pairs = zip(histories, forecasts, strict=True)
    return [rule.forecast(history, one.times) for history, one in pairs]


def _mean(
    one: Forecast, rules: Sequence[Forecast], shares: Float[np.ndarray, "rules channels"]
) -> Forecast:
    """Level by level; of a channel that a rule can not tell, without it."""
    means = np.stack([rule.mean for rule in rules])
    quantiles = np.stack([rule.at(one.levels) for rule in rules])
    seen = np.isfinite(means)
    part = shares[:, None] * seen
    rest = 1 - part.sum(axis=0)
    mean = np.sum(part * np.where(seen, means, 0), axis=0)
    spread = np.sum(part[..., None] * np.where(seen[..., None], quantiles, 0), axis=0)
    return replace(
        one,
        mean=rest * one.mean + mean,
        quantiles=rest[..., None] * one.quantiles + spread,
    )


def _shares(
    forecasts: Sequence[Forecast],
    told: Sequence[Sequence[Forecast]],
    targets: Sequence[Series],
    channel: int,
    horizon: float,
    prior: Prior,
) -> Float[np.ndarray, " rules"]:
    levels, start = forecasts[0].levels, np.array(prior.shares)
    parts, truths, cases = [], [], set()
    for one, target, *rules in zip(forecasts, targets, *told, strict=True):
        truth = target.values[:, channel]
        known = np.isfinite(truth) & np.all([rule.mean[:, channel] < np.inf for rule in rules], 0)
        parts.append(np.stack([f.at(levels)[known, channel] for f in (one, *rules)]))
        truths.append(truth[known])
        cases |= {(target.name, case) for case in np.floor(target.times[known] / horizon)}
    if not cases:
        return start
    quantiles, truth = np.concatenate(parts, axis=1), np.concatenate(truths)
    some = np.linspace(0, len(truth) - 1, min(len(truth), MOST_CELLS)).astype(int)
    quantiles, truth = quantiles[:, some], truth[some]
    choices = _simplex(len(told), prior.steps)
    scores = [
        crps_quantiles(np.tensordot([1 - sum(own), *own], quantiles, 1), levels, truth)
        for own in choices
    ]
    best = choices[int(np.argmin(scores))]
    return (best * len(cases) + start * prior.cases) / (len(cases) + prior.cases)


def _simplex(rules: int, steps: int) -> Float[np.ndarray, "choices rules"]:
    """All shares in such steps that leave the model the rest, from the model alone on."""
    counts = np.stack(np.meshgrid(*[np.arange(steps + 1)] * rules, indexing="ij"), axis=-1)
    counts = counts.reshape(-1, rules)
    return counts[counts.sum(axis=1) <= steps] / steps
