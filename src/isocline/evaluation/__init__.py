"""Forecasts, their scores, rolling origins, and the baselines to beat."""

from __future__ import annotations

from isocline.evaluation.baselines import Climatology, Persistence, SeasonalNaive
from isocline.evaluation.forecast import DENSE_LEVELS, LEVELS, Forecast
from isocline.evaluation.scores import (
    coverage,
    crps_gaussian,
    crps_quantiles,
    crps_samples,
    mae,
    rmse,
    summarize,
)
from isocline.evaluation.windows import (
    Forecaster,
    Split,
    backtest,
    history_until,
    rolling_origins,
    targets_after,
)

__all__ = [
    "DENSE_LEVELS",
    "LEVELS",
    "Climatology",
    "Forecast",
    "Forecaster",
    "Persistence",
    "SeasonalNaive",
    "Split",
    "backtest",
    "coverage",
    "crps_gaussian",
    "crps_quantiles",
    "crps_samples",
    "history_until",
    "mae",
    "rmse",
    "rolling_origins",
    "summarize",
    "targets_after",
]
