"""One file a model."""

from __future__ import annotations

from .batch import Context as Context
from .batch import Prediction as Prediction
from .batch import Target as Target
from .gru import GRUForecaster as GRUForecaster
from .latent_ode import LatentODE as LatentODE
from .ensemble import Ensemble as Ensemble
