"""One file a model."""

from __future__ import annotations

from .batch import Context as Context
from .batch import Prediction as Prediction
from .batch import Target as Target
from .ensemble import Ensemble as Ensemble
from .flow import Flow as Flow
from .gru import GRUForecaster as GRUForecaster
from .latent_classifier import LatentClassifier as LatentClassifier
from .latent_ode import LatentODE as LatentODE
from .planar import PlanarFlow as PlanarFlow
from .point_process import poisson_log_likelihood as poisson_log_likelihood
from .together import Knots as Knots
from .together import solve_together as solve_together
