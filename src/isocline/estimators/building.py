"""The untrained models of a forecaster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

from isocline.models import NO_COVARIATES, Ensemble, GRUForecaster, LatentODE

from .preparing import Scaling

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster


def build_ensemble(forecaster: LatentODEForecaster, kind: str, scaling: Scaling) -> Ensemble:
    """The ensemble of latent ODEs ("latent_ode"), or the one GRU that it is compared with."""
    channels, seasons = len(forecaster.table_.channels), scaling.frequencies
    told = NO_COVARIATES if scaling.covariates is None else scaling.covariates.widths
    sizes = forecaster.latent_size, forecaster.hidden_size

    def make(key: Any) -> Any:
        if kind == "gru":
            return GRUForecaster(channels, sizes[1], seasons, key=key, covariates=told)
        return LatentODE(
            channels,
            *sizes,
            forecaster.encoder,
            seasons,
            key=key,
            anchored=forecaster.anchored,
            forced=forecaster.forced_,
            covariates=told,
        )

    size = 1 if kind == "gru" else forecaster.members
    return Ensemble(make, size, key=jax.random.key(forecaster.seed))
