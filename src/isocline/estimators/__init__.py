"""The scikit-learn style front."""

from __future__ import annotations

from .backtesting import Backtest as Backtest
from .classifier import ODENetClassifier as ODENetClassifier
from .forecaster import LatentODEForecaster as LatentODEForecaster
