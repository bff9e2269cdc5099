"""A trained model with the scaling around it: forecasts of series, in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.data import Series, SeriesTable
from isocline.evaluation.forecast import DENSE_LEVELS, Forecast
from isocline.evaluation.windows import history_until, targets_after
from isocline.models import Context

from .calibration import MEMORY, Calibration, widened
from .future import known_ahead
from .pooling import Pool
from .preparing import Scaling
from .windows import Shape, stack_windows, window_at

DRAWS = 32
BATCH = 256

Request = tuple[Series, float, np.ndarray]


@dataclass(frozen=True)
class Predictor:
    """Model, scaling, window shape, and what past forecasts say of its intervals' width.

    With a pool, simple rules have their shares in the forecasts.
    """

    model: Any
    scaling: Scaling
    shape: Shape
    calibration: Calibration = field(default_factory=Calibration)
    pool: Pool | None = None

    def forecast(self, history: Series, times: np.ndarray) -> Forecast:
        """One series, from its last observation on."""
        return self.forecasts([(history, float(history.times[-1]), times)])[0]

    def forecasts(self, requests: list[Request]) -> list[Forecast]:
        """Many at once: each a history, an origin, and increasing times after it."""
        return self.told(requests, self.forecasts_seen(requests))

    def told(self, requests: list[Request], seen: Sequence[Forecast]) -> list[Forecast]:
        """What the model sees ahead: pooled, in the units of the file, and calibrated."""
        if self.pool is not None:
            seen = self.pool.mixed(seen, self.histories_seen(requests))
        made, factors = [], {}
        for request, one in zip(requests, seen, strict=True):
            _, origin, _ = request
            # Origins between the same outcomes know the same.
            known = int(np.sum(self.calibration.times <= origin))
            if known not in factors:
                memory = MEMORY * self.scaling.horizon
                factors[known] = self.calibration.factors(origin, one.mean.shape[-1], memory)
            made.append(widened(self.unscaled(request, one), factors[known]))
        return made

    def forecasts_seen(self, requests: list[Request]) -> list[Forecast]:
        """The model's own, of what it sees: anomalies, in spreads."""
        made: list[Forecast] = []
        for start in range(0, len(requests), BATCH):
            made += self._batch(requests[start : start + BATCH])
        return made

    def histories_seen(self, requests: list[Request]) -> list[Series]:
        """The anomalies up to each origin."""
        pasts = [history.between(-np.inf, origin) for history, origin, _ in requests]
        return [self.scaling.anomalies(past) for past in pasts]

    def _batch(self, requests: list[Request]) -> list[Forecast]:
        windows = [self._window(*request) for request in requests]
        # A full last batch has the shape of the others: one compilation serves all.
        context, target = stack_windows(
            windows + [windows[-1]] * (_round_up(len(windows)) - len(windows)),
            self.scaling.covariates,
        )
        mean, std = _draw(self.model, context, target.times)
        return [
            _mixture(times, mean[:, k, : len(times)], std[:, k, : len(times)])
            for k, (*_, times) in enumerate(requests)
        ]

    def _window(self, history: Series, origin: float, times: np.ndarray) -> tuple[dict, dict]:
        blank = np.full((len(times), history.values.shape[1]), np.nan)
        return window_at(
            history, origin, Series(history.name, times, blank), self.scaling, self.shape
        )

    def unscaled(self, request: Request, seen: Forecast) -> Forecast:
        """Mean and quantiles in the file's units.

        Of a channel whose logarithm is forecast, the mean is that of the logarithm: the mean of
        values that grow by factors would follow the unlikeliest of them.
        """
        history, origin, times = request
        scale = self.scaling.scale_of(history.between(-np.inf, origin))
        season = self.scaling.season(scale, times)
        both = np.concatenate([seen.mean[None], np.moveaxis(seen.quantiles, -1, 0)])
        centre, *quantiles = self.scaling.inverse(season + both * scale.spread)
        return Forecast(times, centre, np.stack(quantiles, axis=-1))

    def latent(self, table: SeriesTable, points: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The mean latent trajectory of the first member over one horizon, by series.

        It ends where known inputs do; a series of which none is known ahead is left out.
        """
        member = jax.tree.map(
            lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, self.model.members
        )
        paths = {}
        for one in table.series:
            origin = float(one.times[-1])
            horizon = known_ahead(one, self.scaling.horizon)
            if horizon <= 0:
                continue
            times = np.linspace(origin, origin + horizon, points)
            window = self._window(one, origin, times[1:])
            context, _ = stack_windows([window], self.scaling.covariates)
            share = horizon / self.scaling.horizon
            steps = jnp.linspace(0.0, share, points, dtype=context.times.dtype)[None]
            paths[one.name] = times, np.asarray(_mean_path(member, context, steps))
        return paths


def _mixture(times: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Forecast:
    """Mean and quantiles of the mixture of all draws, each a normal."""
    from scipy.special import ndtri

    points = mean[..., None] + std[..., None] * ndtri((np.arange(20) + 0.5) / 20)
    points = np.moveaxis(points, -1, 1).reshape(-1, *mean.shape[1:])
    quantiles = np.quantile(points, DENSE_LEVELS, axis=0)
    return Forecast(times, np.mean(mean, axis=0), np.moveaxis(quantiles, 0, -1))


def _round_up(count: int) -> int:
    size = 1
    while size < count:
        size *= 2
    return size


@eqx.filter_jit
def _mean_path(member: Any, context: Context, times: Any) -> Any:
    mean, _ = member.encode(context)
    return member.decode(mean, context.phase, times, context.exogenous).latent[0]


@eqx.filter_jit
def _draws(model: Any, context: Context, times: Any) -> tuple[Any, Any]:
    prediction = model.predict(context, times, jax.random.key(7), DRAWS)
    return prediction.mean, prediction.std


def _draw(model: Any, context: Context, times: Any) -> tuple[np.ndarray, np.ndarray]:
    mean, std = _draws(model, context, times)
    return np.asarray(mean, np.float64), np.asarray(std, np.float64)


def requests_at(
    table: SeriesTable, origins: Any, horizon: float
) -> tuple[list[Request], list[Series]]:
    """What is asked from every origin of every series that has history and targets there."""
    requests, targets = [], []
    for origin in origins:
        for one in table.series:
            history, target = history_until(one, origin), targets_after(one, origin, horizon)
            if len(history) and len(target):
                requests.append((history, float(origin), target.times))
                targets.append(target)
    return requests, targets
