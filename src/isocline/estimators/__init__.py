"""The scikit-learn style front."""

from __future__ import annotations

from .backtesting import Backtest as Backtest
from .forecaster import LatentODEForecaster as LatentODEForecaster
