"""What rows that were not trained on make of a trained model: a predictor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable
from isocline.evaluation.windows import Split

from .calibration import outcomes
from .pooling import Pool, fitted_rules, prior_for, rules_for
from .predicting import Predictor, Request, requests_at
from .preparing import Scaling
from .windows import Shape

VALIDATION_ORIGINS = 8
MOST_OUTCOMES = 1024  # forecasts that intervals are calibrated by, of each part


def finish(
    model: Any, scaling: Scaling, shape: Shape, table: SeriesTable, split: Split, linear: bool
) -> Predictor:
    """Pool with simple rules and refine level and season by validation; calibrate by all that came.

    Args:
        scaling: that of the training rows.
        linear: whether a linear regression is one of the rules.
    """
    horizon, end = scaling.horizon, split.train_end
    known = table.until(split.validation_end)
    predictor = Predictor(model, scaling, shape)
    origins = np.linspace(end - horizon / 2, split.validation_end, VALIDATION_ORIGINS, False)
    requests, targets = _some(*requests_at(known, origins, horizon))
    # Rows of the training part were fitted: they don't count.
    targets = [_later(one, end) for one in targets]
    seen = predictor.forecasts_seen(requests)
    pool = Pool.chosen(
        fitted_rules(rules_for(scaling.periods, linear), table.until(end), scaling),
        seen,
        predictor.histories_seen(requests),
        [_seen(*pair, scaling) for pair in zip(targets, requests, strict=True)],
        prior=prior_for(scaling, linear),
        horizon=horizon,
        channels=len(table.channels),
    )
    predictor = replace(predictor, pool=pool)
    validated = outcomes(predictor.told(requests, seen), targets, horizon)
    refined = scaling.fitted(known)
    predictor = replace(predictor, scaling=refined, pool=pool.fitted(known, refined))
    requests, targets = _some(*requests_at(table, split.origins, horizon))
    tested = outcomes(predictor.forecasts(requests), targets, horizon)
    return replace(predictor, calibration=validated.joined(tested))


def _seen(target: Series, request: Request, scaling: Scaling) -> Series:
    """What came, as anomalies from what its history had as level and season."""
    history, origin, _ = request
    scale = scaling.scale_of(history.between(-np.inf, origin))
    return scaling.anomalies(target, scale)


def _later(target: Series, end: float) -> Series:
    """The same rows, without the values up to the end."""
    later = (target.times > end)[:, None]
    return target.rows(slice(None), np.where(later, target.values, np.nan))


def _some(requests: list[Request], targets: list[Series]) -> tuple[list[Request], list[Series]]:
    """A thousand series say no more about the width of intervals than some hundreds of them."""
    if len(requests) <= MOST_OUTCOMES:
        return requests, targets
    chosen = np.random.default_rng(0).choice(len(requests), MOST_OUTCOMES, replace=False)
    return [requests[k] for k in sorted(chosen)], [targets[k] for k in sorted(chosen)]
