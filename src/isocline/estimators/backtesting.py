"""The backtest: model and baselines from the same origins, at the same times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.data import Series, SeriesTable
from isocline.evaluation.autoregression import Autoregression
from isocline.evaluation.baselines import Climatology, Persistence, SeasonalNaive
from isocline.evaluation.forecast import LEVELS, Forecast
from isocline.evaluation.scores import rmse, summarize
from isocline.evaluation.windows import Split, comparable

from .pooling import Pool, fitted_rules
from .predicting import Predictor, Request, requests_at

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Backtest:
    """`metrics` as in metrics.json, and `frame`: each forecast beside what was observed.

    The frame has a row a forecast, with its origin, and a column with the mean of each baseline.
    """

    metrics: dict[str, Any]
    frame: pandas.DataFrame


def run_backtest(
    predictor: Predictor,
    gru: Predictor,
    table: SeriesTable,
    split: Split,
) -> Backtest:
    """Score the model and every baseline on the same windows."""
    horizon = predictor.scaling.horizon
    requests, targets = requests_at(table, split.origins, horizon)
    truth = [comparable(history, target) for (history, *_), target in zip(requests, targets)]
    forecasts = predictor.forecasts(requests)
    rivals = forecasts_of_rules(table.until(split.validation_end), predictor, requests, horizon)
    rivals["gru"] = gru.forecasts(requests)
    metrics = {
        "model": summarize(forecasts, truth),
        "baselines": {name: summarize(made, truth) for name, made in rivals.items()},
        "horizon": horizon,
        "origins": [str(label) for label in table.axis.to_label(split.origins)],
        "windows": len(requests),
        "period": max(predictor.scaling.periods, default=None),
        "shares": shares_of(predictor),
        "interval_width": predictor.calibration.width(),
    }
    if len(table.channels) > 1:
        metrics["channels"] = _by_channel(table, forecasts, truth)
    return Backtest(metrics, frame_of(table, (requests, targets), forecasts, rivals))


def forecasts_of_rules(
    known: SeriesTable, predictor: Predictor, requests: list[Request], horizon: float
) -> dict[str, list[Forecast]]:
    """What the simple baselines, fitted to the rows that are known, say to all requests.

    The linear one sees what the predictor does, anomalies by its scaling.
    """
    scaling = predictor.scaling
    period = max(scaling.periods, default=None)
    # A file without a season has none to repeat: the horizon stands in, and says so in the
    # settings.
    rules = {
        "persistence": Persistence(),
        "seasonal_naive": SeasonalNaive(period or horizon),
        "climatology": Climatology(period),
    }
    made = {}
    for name, rule in rules.items():
        rule.fit(known, horizon)
        made[name] = [rule.forecast(history, times) for history, _, times in requests]
    made["linear"] = _linear(known, predictor, requests)
    return made


def _linear(known: SeriesTable, predictor: Predictor, requests: list[Request]) -> list[Forecast]:
    """A linear regression; the last anomaly in channels with too few rows for one."""
    scaling, histories = predictor.scaling, predictor.histories_seen(requests)
    last, linear = fitted_rules((Persistence(), Autoregression(scaling.periods)), known, scaling)
    pairs = zip(histories, requests, strict=True)
    simple = [last.forecast(history, times) for history, (*_, times) in pairs]
    seen = Pool(np.ones((1, len(known.channels))), (linear,)).mixed(simple, histories)
    return [predictor.unscaled(*pair) for pair in zip(requests, seen, strict=True)]


def shares_of(predictor: Predictor) -> dict[str, float]:
    """What each rule has in a forecast of the predictor, a mean over the channels."""
    pool = predictor.pool
    if pool is None or not pool.shares.size:
        return {}
    names = {Persistence: "persistence", Autoregression: "linear"}
    return {names[type(rule)]: float(np.mean(own)) for rule, own in zip(pool.rules, pool.shares)}


def _by_channel(
    table: SeriesTable, forecasts: list[Forecast], truth: list[np.ndarray]
) -> dict[str, Any]:
    scores = {}
    for index, channel in enumerate(table.channels):
        part = slice(index, index + 1)
        narrowed = [
            Forecast(one.times, one.mean[:, part], one.quantiles[:, part]) for one in forecasts
        ]
        values = [value[:, part] for value in truth]
        scores[channel] = (
            summarize(narrowed, values) if any(np.isfinite(v).any() for v in values) else None
        )
    return scores


def frame_of(
    table: SeriesTable,
    asked: tuple[list[Request], list[Series]],
    forecasts: list[Forecast],
    rivals: dict[str, list[Forecast]],
    start: str = "origin",
) -> pandas.DataFrame:
    """A row a forecast: where and when, what was observed, mean, quantiles, baselines.

    `start` names the column of the origins.
    """
    import pandas

    parts = []
    for place, ((history, origin, times), target) in enumerate(zip(*asked, strict=True)):
        quantiles = forecasts[place].at(LEVELS)
        labels = table.time_column(np.append(times, origin))
        for index, channel in enumerate(table.channels):
            columns = {
                start: labels.iloc[-1],
                "time": labels.iloc[:-1],
                "series": history.name,
                "channel": channel,
                "observed": target.values[:, index],
                "mean": forecasts[place].mean[:, index],
            }
            columns |= {
                f"q{round(100 * level):02d}": quantiles[:, index, k]
                for k, level in enumerate(LEVELS)
            }
            columns |= {name: made[place].mean[:, index] for name, made in rivals.items()}
            parts.append(pandas.DataFrame(columns))
    return pandas.concat(parts, ignore_index=True)


def deletion_rows(
    predictor: Predictor,
    table: SeriesTable,
    split: Split,
    fractions: Sequence[float],
    seeds: Sequence[int],
) -> list[dict[str, float]]:
    """A row for each share of the history that is withheld, 0 first; means over the seeds."""
    whole = model_rmse(predictor, table, split, 0.0, 0)
    rows = [{"deleted": 0.0, "rmse": whole, "spread": 0.0, "increase": 0.0}]
    for fraction in fractions:
        scores = [model_rmse(predictor, table, split, fraction, seed) for seed in seeds]
        mean, spread = float(np.mean(scores)), float(np.std(scores))
        rows.append(
            {"deleted": fraction, "rmse": mean, "spread": spread, "increase": mean / whole - 1}
        )
    return rows


def model_rmse(
    predictor: Predictor, table: SeriesTable, split: Split, deleted: float, seed: int
) -> float:
    """RMSE of the backtest when a random share of every history's observations is withheld.

    The targets stay whole, so that the same cells are scored; at least one observation stays.
    """
    requests, targets = requests_at(table, split.origins, predictor.scaling.horizon)
    random = np.random.default_rng(seed)
    thinned = []
    for history, origin, times in requests:
        kept = random.random(history.values.shape) >= deleted
        values = np.where(kept, history.values, np.nan)
        rows = np.array(history.rows(slice(None), values).observed)
        rows[-1] |= not rows.any()
        values[-1] = history.values[-1] if not kept[rows].any() else values[-1]
        thinned.append((history.rows(rows, values), origin, times))
    forecasts = predictor.forecasts(thinned)
    mean = np.concatenate([one.mean.ravel() for one in forecasts])
    return rmse(mean, np.concatenate([target.values.ravel() for target in targets]))
