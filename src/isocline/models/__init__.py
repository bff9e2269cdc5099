"""One file a model."""

from __future__ import annotations

from .batch import Context as Context
from .batch import Prediction as Prediction
from .batch import Target as Target
from .ensemble import Ensemble as Ensemble
from .exogenous import NO_COVARIATES as NO_COVARIATES
from .exogenous import Drive as Drive
from .exogenous import Exogenous as Exogenous
from .exogenous import Widths as Widths
from .flow import Flow as Flow
from .gru import GRUForecaster as GRUForecaster
from .latent_classifier import LatentClassifier as LatentClassifier
from .latent_ode import LatentODE as LatentODE
from .latent_sde import LatentSDE as LatentSDE
from .planar import PlanarFlow as PlanarFlow
from .point_process import poisson_log_likelihood as poisson_log_likelihood
from .together import Knots as Knots
from .together import solve_together as solve_together
