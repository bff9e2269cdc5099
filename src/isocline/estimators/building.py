"""Untrained models by the settings of a forecaster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isocline.models import Ensemble, GRUForecaster, LatentODE, Widths

from .preparing import Scaling

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster


def build_model(forecaster: LatentODEForecaster, kind: str, scaling: Scaling) -> Ensemble:
    """An ensemble of latent ODEs, or the one GRU of the baselines (kind "gru")."""
    import jax

    channels, seasons = len(forecaster.table_.channels), scaling.frequencies
    told = Widths() if scaling.covariates is None else scaling.covariates.widths
    width = forecaster.hidden_size

    def make(key: Any) -> Any:
        if kind == "gru":
            return GRUForecaster(channels, width, seasons, key=key, covariates=told)
        return LatentODE(
            channels,
            forecaster.latent_size,
            width,
            forecaster.encoder,
            seasons,
            key=key,
            anchored=forecaster.anchored,
            forced=forecaster.forced_,
            covariates=told,
        )

    size = 1 if kind == "gru" else forecaster.members
    return Ensemble(make, size, key=jax.random.key(forecaster.seed))
