"""A share of the last value in every forecast, as large as the validation part shows.

Where many short series wander, the last value is hard to beat, and it errs otherwise than a model
does: a mean of both is better than either (Bates & Granger 1969). Quantiles are averaged level by
level. With few cases the share says nothing, so it is drawn towards none.

All of it is in anomalies, in units of the spread of each series, so that series of other sizes can
learn from each other: the last value is the last anomaly, and the season goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from isocline.data import Series, SeriesTable
from isocline.evaluation.baselines import Persistence
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.scores import crps_quantiles

from .calibration import DRAWN
from .preparing import Scaling
from .tables import some_series

SHARES = np.linspace(0, 1, 21)
MOST_CELLS = 20_000  # of each channel that a share is chosen by


@dataclass(frozen=True)
class Pool:
    """Persistence with quantiles of its own past errors, and each channel's share of it."""

    shares: Float[np.ndarray, " channels"]
    rule: Persistence

    @classmethod
    def chosen(
        cls,
        rule: Persistence,
        forecasts: Sequence[Forecast],
        histories: Sequence[Series],
        targets: Sequence[Series],
        horizon: float,
    ) -> Pool:
        """The shares of the lowest CRPS at the targets, drawn towards none.

        Args:
            rule: persistence, fitted to rows before them.
            forecasts, histories, targets: of the model, what each was made from, and what came;
                all as anomalies.
            horizon: rows of one series within it are one case.
        """
        last = _of_the_rule(rule, forecasts, histories)
        channels = range(targets[0].values.shape[1] if targets else 0)
        shares = [_share(forecasts, last, targets, channel, horizon) for channel in channels]
        return cls(np.array(shares), rule)

    def fitted(self, table: SeriesTable, scaling: Scaling) -> Pool:
        """The same shares, with the errors that persistence makes on these rows."""
        if not self.shares.any():
            return self
        return replace(self, rule=persistence_of_anomalies(table, scaling))

    def mixed(
        self, forecasts: Sequence[Forecast], histories: Sequence[Series]
    ) -> Sequence[Forecast]:
        """The forecasts of anomalies, each with its share of the last one of its history."""
        if not self.shares.any():
            return forecasts
        last = _of_the_rule(self.rule, forecasts, histories)
        return [_mean(*pair, self.shares) for pair in zip(forecasts, last, strict=True)]


def persistence_of_anomalies(table: SeriesTable, scaling: Scaling) -> Persistence:
    """Persistence with the errors that it makes on the anomalies of a table."""
    seen = [scaling.anomalies(one) for one in some_series(table)]
    return Persistence().fit(table.with_series(seen), scaling.horizon)


def _of_the_rule(
    rule: Persistence, forecasts: Sequence[Forecast], histories: Sequence[Series]
) -> list[Forecast]:
    pairs = zip(histories, forecasts, strict=True)
    return [rule.forecast(history, one.times) for history, one in pairs]


def _mean(one: Forecast, last: Forecast, shares: Float[np.ndarray, " channels"]) -> Forecast:
    """Level by level; of a channel that was never observed, the model's forecast alone."""
    quantiles = last.at(one.levels)
    seen = np.isfinite(last.mean)
    share = shares * seen
    return replace(
        one,
        mean=(1 - share) * one.mean + share * np.where(seen, last.mean, 0),
        quantiles=(1 - share)[..., None] * one.quantiles
        + share[..., None] * np.where(seen[..., None], quantiles, 0),
    )


def _share(
    forecasts: Sequence[Forecast],
    last: Sequence[Forecast],
    targets: Sequence[Series],
    channel: int,
    horizon: float,
) -> float:
    models, rules, truths, cases = [], [], [], set()
    for one, other, target in zip(forecasts, last, targets, strict=True):
        truth = target.values[:, channel]
        known = np.isfinite(truth) & np.isfinite(other.mean[:, channel])
        models.append(one.quantiles[known, channel])
        rules.append(other.at(one.levels)[known, channel])
        truths.append(truth[known])
        cases |= {(target.name, case) for case in np.floor(target.times[known] / horizon)}
    if not cases:
        return 0.0
    model, rule, truth = (np.concatenate(part) for part in (models, rules, truths))
    some = np.linspace(0, len(truth) - 1, min(len(truth), MOST_CELLS)).astype(int)
    model, rule, truth = model[some], rule[some], truth[some]
    scores = [
        crps_quantiles(share * rule + (1 - share) * model, forecasts[0].levels, truth)
        for share in SHARES
    ]
    return float(SHARES[int(np.argmin(scores))] * len(cases) / (len(cases) + DRAWN))
