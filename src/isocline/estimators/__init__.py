"""The scikit-learn style front."""

from __future__ import annotations

from .backtesting import Backtest as Backtest
from .classifier import ODENetClassifier as ODENetClassifier
from .cross_validation import CrossValidation as CrossValidation
from .events import EventIntensity as EventIntensity
from .flows import ContinuousFlow as ContinuousFlow
from .flows import NormalizingFlow as NormalizingFlow
from .forecaster import LatentODEForecaster as LatentODEForecaster
