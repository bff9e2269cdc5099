"""One file a model."""

from __future__ import annotations

from .batch import Context as Context
from .batch import Prediction as Prediction
from .batch import Target as Target
from .ensemble import Ensemble as Ensemble
from .flow import Flow as Flow
from .gru import GRUForecaster as GRUForecaster
from .latent_ode import LatentODE as LatentODE
from .planar import PlanarFlow as PlanarFlow
