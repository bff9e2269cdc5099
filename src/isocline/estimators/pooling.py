"""Simple rules that have a share in every forecast: the last value, and a linear regression.

They err otherwise than a model does, so a mean of both is often better than either (Bates & Granger
1969). Quantiles are averaged level by level. The validation part chooses the shares, but where its
cases are few, which is usual, it tells good from bad by chance: equal shares are hard to beat
(Smith & Wallis 2009). So shares are drawn towards some that did well on series of many kinds. The
price is paid where a model is far better than the rules and has few cases to show it.

All of it is in anomalies, in units of the spread of each series, so that series of other sizes can
learn from each other: the last value is the last anomaly, and the season goes on. Training rows
have their mean at zero, as later rows need not: a regression that is shown them so learns to expect
a return that never comes. So it is shown each series several times, at levels and with seasons that
its rows leave possible, as the latent ODE is.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self

import numpy as np
from jaxtyping import Bool, Float

from isocline.data import Series, SeriesTable
from isocline.evaluation.autoregression import Autoregression
from isocline.evaluation.baselines import Persistence
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.scores import crps_quantiles

from .anchoring import persistence_of, spans_of
from .preparing import Scaling
from .tables import some_series

MOST_SCORES = 420_000  # of forecasts, of each channel, that shares are chosen by
COPIES = 8  # of a series that a regression is shown
MOST_COPIES = 400  # of all series, but once each


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
        channels: int,
    ) -> Pool:
        """The shares of the lowest CRPS at the targets, drawn towards the prior.

        Args:
            rules: fitted to rows before them.
            forecasts, histories, targets: of the model, what each was made from, and what came;
                all as anomalies.
            prior: of the shares of the rules.
            horizon: rows of one series within it are one case.
            channels: so many there are.
        """
        told = [_told(rule, forecasts, histories) for rule in rules]
        parts = forecasts, told, targets
        shares = [_shares(*parts, k, horizon, prior) for k in range(channels)]
        return cls(np.array(shares).reshape(-1, len(rules)).T, rules)

    def fitted(self, table: SeriesTable, scaling: Scaling) -> Pool:
        """The same shares, with the rules that have any fitted to the anomalies of these rows."""
        used = np.flatnonzero(self.shares.any(axis=1))
        rules = list(self.rules)
        fitted = fitted_rules([rules[k] for k in used], table, scaling)
        for k, rule in zip(used, fitted, strict=True):
            rules[k] = rule
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


def fitted_rules(rules: Sequence[Rule], table: SeriesTable, scaling: Scaling) -> tuple[Rule, ...]:
    """Copies of rules that learnt from the anomalies of a table, or of some series of many."""
    table = table.with_series(some_series(table))
    plain = table.with_series([scaling.anomalies(one) for one in table.series])
    return tuple(
        copy(rule).fit(
            doubted(table, scaling) if isinstance(rule, Autoregression) else plain, scaling.horizon
        )
        for rule in rules
    )


def doubted(table: SeriesTable, scaling: Scaling) -> SeriesTable:
    """The anomalies of each series several times, with other levels and seasons that may be so."""
    random = np.random.default_rng(0)
    levels = persistence_of(table, scaling).doubt(spans_of(table, scaling))
    copies = int(np.clip(MOST_COPIES / len(table.series), 1, COPIES))
    seen = []
    for one, level in zip(table.series, levels, strict=True):
        values, design = scaling.scaled(one), scaling.design(one.times)
        doubt = scaling.scale_of(one).doubt.copy()
        doubt[:, 0, 0] = np.maximum(doubt[:, 0, 0], level)
        for _ in range(copies):
            shift = np.einsum("cpq,cq->pc", doubt, random.normal(size=doubt.shape[:2]))
            seen.append(one.rows(slice(None), values + design @ shift))
    return table.with_series(seen)


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
    """Of one channel; none for a rule that can not tell it."""
    start = np.array(prior.shares)
    if not forecasts:
        return start
    able = [k for k, said in enumerate(told) if any(_tells(one, channel).any() for one in said)]
    shares = np.where(np.isin(np.arange(len(told)), able), start, 0.0)
    models = [forecasts, *(told[k] for k in able)]
    quantiles, truth, cases = _outcomes(models, targets, channel, horizon)
    if not able or not cases:
        return shares
    choices = _simplex(len(able), prior.steps)
    some = np.linspace(0, len(truth) - 1, min(len(truth), MOST_SCORES // len(choices))).astype(int)
    quantiles, truth = quantiles[:, some], truth[some]
    scores = [
        crps_quantiles(np.tensordot([1 - sum(own), *own], quantiles, 1), forecasts[0].levels, truth)
        for own in choices
    ]
    best = choices[int(np.argmin(scores))]
    shares[able] = (best * cases + start[able] * prior.cases) / (cases + prior.cases)
    return shares


def _outcomes(
    models: Sequence[Sequence[Forecast]], targets: Sequence[Series], channel: int, horizon: float
) -> tuple[Float[np.ndarray, "models n levels"], Float[np.ndarray, " n"], int]:
    """What all models said, what came where all of them said something, and how many cases it is.

    Rows of one series within a horizon are one case.
    """
    levels, parts, truths, cases = models[0][0].levels, [], [], set()
    for target, *said in zip(targets, *models, strict=True):
        truth = target.values[:, channel]
        known = np.isfinite(truth) & np.all([_tells(one, channel) for one in said], axis=0)
        parts.append(np.stack([one.at(levels)[known, channel] for one in said]))
        truths.append(truth[known])
        cases |= {(target.name, case) for case in np.floor(target.times[known] / horizon)}
    return np.concatenate(parts, axis=1), np.concatenate(truths), len(cases)


def _tells(one: Forecast, channel: int) -> Bool[np.ndarray, " times"]:
    return np.isfinite(one.mean[:, channel])


def _simplex(rules: int, steps: int) -> Float[np.ndarray, "choices rules"]:
    """All shares in such steps that leave the model the rest, from the model alone on."""
    counts = np.stack(np.meshgrid(*[np.arange(steps + 1)] * rules, indexing="ij"), axis=-1)
    counts = counts.reshape(-1, rules)
    return np.linspace(0, 1, steps + 1)[counts[counts.sum(axis=1) <= steps]]
