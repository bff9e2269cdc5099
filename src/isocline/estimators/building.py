"""The untrained models of a forecaster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

from isocline.models import NO_COVARIATES, Ensemble, GRUForecaster, LatentODE, LatentSDE
from isocline.models.latent_sde import STEPS

from .preparing import Scaling

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster


def build_ensemble(forecaster: LatentODEForecaster, kind: str, scaling: Scaling) -> Ensemble:
    """The ensemble of latent ODEs or SDEs ("latent_ode"), or the GRU it is compared with."""
    channels, seasons = len(forecaster.table_.channels), scaling.frequencies
    told = NO_COVARIATES if scaling.covariates is None else scaling.covariates.widths
    sizes = forecaster.latent_size, forecaster.hidden_size

    def make(key: Any) -> Any:
        if kind == "gru":
            return GRUForecaster(channels, sizes[1], seasons, key=key, covariates=told)
        ode = LatentODE(
            channels,
            *sizes,
            forecaster.encoder,
            seasons,
            key=key,
            anchored=forecaster.anchored,
            beside_level=forecaster.beside_level_,
            forced=forecaster.forced_,
            covariates=told,
            shooting=forecaster.shooting,
        )
        if forecaster.dynamics == "ode":
            return ode
        # Steps as short as the pieces of a path that drives it.
        steps = max(STEPS, 0 if scaling.covariates is None else scaling.covariates.steps)
        return LatentSDE(ode, key=jax.random.fold_in(key, 6), steps=steps)

    size = 1 if kind == "gru" else forecaster.members
    return Ensemble(make, size, key=jax.random.key(forecaster.seed))
