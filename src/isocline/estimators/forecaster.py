"""`LatentODEForecaster`: irregular time series in, forecasts with quantiles out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from isocline.data import Series
from isocline.errors import InputError
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.windows import Split, rolling_origins
from isocline.models import Ensemble
from isocline.train import Checkpoint

from .asking import asked_times, default_horizon, forecast_frame
from .backtesting import Backtest, deletion_rows, run_backtest
from .calendar import Calendar, require_dates
from .checking import check_deletions, check_settings
from .covariates import CovariateScaling, fit_covariates
from .cross_validation import CrossValidation, chosen_cutoffs, cross_validate
from .fingerprint import fingerprint
from .finishing import finish
from .first_look import first_look
from .future import require_future, require_past, with_future
from .predicting import Predictor
from .preparing import Scaling
from .saving import load_parts, save_parts
from .settings import Configured
from .tables import as_table, table_like
from .training import train_forecaster
from .windows import window_shape

if TYPE_CHECKING:
    import pandas

MOST_CYCLES = 4  # of a season within the horizon, for it to force the latent ODE


class LatentODEForecaster(Configured):
    """A latent ODE for irregular, incomplete time series, in scikit-learn's manner.

    The model is that of Chen et al. (2018), sec. 5. Each series is taken apart into level and
    season (fitted to the training rows) and anomalies, which an ensemble of latent ODEs forecasts:
    an encoder reads the last observations, however they lie, and the ODE is solved from the
    forecast's origin through any times asked.

    Args:
        horizon: how far forecasts reach, in units of the time axis (days for dates); a tenth of the
            median span of the series if not given.
        encoder: "ode_rnn", "rnn", "attention", "mtan" (attention to reference points), "cde" (a
            neural controlled differential equation), "tanh_rnn" (without gates) or "plain_rnn" (not
            told the times).
        latent_size, hidden_size: of the latent state, and of the networks.
        members: of the ensemble.
        periods: of the seasons, in units of the time axis; found in the data if not given.
        epochs, patience, learning_rate: of training; it stops early on the validation part.
        kl_weight: the weight of the KL term of the ELBO at the end of its annealing.
        deletion: up to this share of each training window's context is left out at random.
        growth: the horizon that is trained on grows over this fraction of the training (0: it does
            not).
        shooting: train by multiple shooting, with so many segments of the horizon (0: it is solved
            as one).
        dynamics: "ode", or "sde" for a latent SDE (Li et al. 2020), whose path is random as well;
            it needs Diffrax.
        average: decay of the running average of the weights that forecasts use (0: the last
            weights).
        batch_size: windows a step.
        calendar: what of it is an input: "hour", "weekday", "month", "yearday"; it needs dates.
        interpolation: known inputs go in a straight line ("linear") from where they are given to
            where they are given next, or "hold" their value until then.
        anchored: forecasts build on a level of the latest observations; how far back it reaches,
            and how soon it is forgotten, are learnt.
        linear: a linear regression on the past has a share in the forecasts; it takes from the
            error on most series, and adds to it on some that are smooth (docs/fit.md).
        transform: "auto" takes the logarithm of channels that grow by factors, as the training rows
            show; "none" leaves all as they are.
        seed: of everything random.

    Attributes:
        table_, split_, scaling_, history_, nfe_: after `fit`.
    """

    def __init__(  # noqa: PLR0913 - settings, not a burden
        self,
        *,
        horizon: float | None = None,
        encoder: str = "ode_rnn",
        latent_size: int = 4,
        hidden_size: int = 32,
        members: int = 4,
        periods: Sequence[float] | None = None,
        epochs: int = 60,
        patience: int | None = 15,
        learning_rate: float = 3e-3,
        kl_weight: float = 0.1,
        deletion: float = 0.5,
        growth: float = 0.0,
        shooting: int = 0,
        dynamics: str = "ode",
        average: float = 0.0,
        batch_size: int = 64,
        calendar: Sequence[str] = (),
        interpolation: str = "linear",
        anchored: bool = True,
        linear: bool = True,
        transform: str = "auto",
        seed: int = 0,
    ):
        self.horizon = horizon
        self.encoder = encoder
        self.latent_size = latent_size
        self.hidden_size = hidden_size
        self.members = members
        self.periods = periods
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.kl_weight = kl_weight
        self.deletion = deletion
        self.growth = growth
        self.shooting = shooting
        self.dynamics = dynamics
        self.average = average
        self.batch_size = batch_size
        self.calendar = calendar
        self.interpolation = interpolation
        self.anchored = anchored
        self.linear = linear
        self.transform = transform
        self.seed = seed

    def settings(self) -> dict[str, Any]:
        """All settings by name (scikit-learn's `get_params`)."""
        return self.get_params() | {
            "periods": None if self.periods is None else [float(p) for p in self.periods],
            "calendar": list(self.calendar),
        }

    def fit(
        self,
        data: Any,
        *,
        time: str | None = None,
        series: str | None = None,
        target: str | Sequence[str] | None = None,
        known: str | Sequence[str] | None = None,
        past: str | Sequence[str] | None = None,
        static: str | Sequence[str] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Self:
        """Train on a long table: one row a measurement time.

        Args:
            data: a pandas or polars frame, or a `SeriesTable`.
            time, series, target: its columns; guessed where that is unambiguous.
            known, past, static: its columns of covariates: known ahead of time, known up to the
                origin of a forecast, and the same throughout a series; see docs/forecast.md.
            checkpoint: a folder that keeps the state of training after every epoch.
            resume: go on from there, exactly where it stopped.
            progress: called after every epoch with stage, epoch, loss, validation, nfe and seconds.

        Raises:
            InputError: the data or a setting does not fit; the message says where and how to mend
                it.
        """
        check_settings(self.get_params())
        self.table_ = as_table(
            data, time=time, series=series, target=target, known=known, past=past, static=static
        )
        require_dates(tuple(self.calendar), self.table_)
        require_past(self.table_)
        self.horizon_ = (
            float(self.horizon) if self.horizon is not None else default_horizon(self.table_)
        )
        if self.horizon_ > self.table_.duration:
            raise InputError(
                f"The horizon ({self.horizon_:g}) is longer than the data "
                f"({self.table_.duration:g}), in units of the time axis: give a shorter horizon."
            )
        self.split_ = rolling_origins(self.table_, self.horizon_)
        seen = self.table_.until(self.split_.train_end)
        scaling = first_look(
            seen, self.horizon_, transform=self.transform, periods=self.periods
        ).fitted(seen)
        self.periods_ = scaling.periods
        # Faster seasons are in the season that is taken off: solves need not follow them.
        slow = [k for k, one in enumerate(self.periods_) if self.horizon_ <= MOST_CYCLES * one]
        self.forced_ = tuple(slow)
        self.beside_level_ = self.anchored
        self._folder = None if checkpoint is None else Path(checkpoint)
        self._resume, self._progress = resume, progress
        training_scale = replace(scaling, covariates=self._covariates(scaling))
        self.shape_ = window_shape(self.table_, self.horizon_, self.batch_size)
        model, trained = self._train("latent_ode", training_scale)
        self.history_, self.best_epoch_ = trained.history, trained.best_epoch
        self.gru_: Predictor | None = None
        self.predictor_ = self._finish(model, training_scale)
        self.nfe_ = (
            float(np.mean([row["nfe"] for row in trained.history[-1:]])) if trained.history else 0.0
        )
        return self

    def _train(self, kind: str, scaling: Scaling) -> tuple[Ensemble, Any]:
        kept = None
        if self._folder is not None:
            # The linear rule is none of the training's.
            trained_with = {k: v for k, v in self.settings().items() if k != "linear"}
            print_of_run = fingerprint(trained_with, kind, self.table_)
            kept = Checkpoint(self._folder / f"{kind}.safetensors", print_of_run)
        trained = train_forecaster(self, kind, scaling, kept, self._resume, self._progress)
        return trained.model, trained

    def _finish(self, model: Ensemble, scaling: Scaling) -> Predictor:
        return finish(model, scaling, self.shape_, self.table_, self.split_, self.linear)

    def forecast(self, history: Series, times: Any) -> Forecast:
        """The forecast of one series from its history, at later times: numbers on the time axis."""
        self._require_fitted()
        times = np.asarray(times, np.float64)
        if not times.size:
            raise InputError("There is no time to forecast: times is empty.")
        if not len(history) or not times[0] > history.times[-1]:
            raise InputError(
                f"The time {times.flat[0]:g} is not after the last observation of series "
                f"{history.name!r}: ask for later times, or give only the history up to the time "
                "from which to forecast."
            )
        require_future(self.table_.with_series([history]), {history.name: times})
        return self.predictor_.forecast(history, times)

    def predict(
        self, times: Any = None, *, data: Any = None, future: Any = None
    ) -> pandas.DataFrame:
        """Forecast at any times.

        Args:
            times: dates or numbers after the last observation, the same for every series; or a
                frame with the time column, and the series column if series differ; None for a
                regular grid over the horizon.
            data: newer observations to forecast from, instead of the ones that were fitted.
            future: the known inputs after the last observation: a frame with the time column, the
                series column if series differ, and the columns that `fit` was given as known. Not
                needed where the data have rows for it, with empty targets.

        Returns:
            Columns time, series, channel, mean, q05, q25, q50, q75, q95.

        Raises:
            InputError: a time is not after the last observation, a series is not known, or a known
                input is not given up to the last time asked.
        """
        self._require_fitted()
        table = self.table_ if data is None else table_like(self.table_, data)
        table = table if future is None else with_future(table, future)
        asked = asked_times(table, times, self.horizon_)
        require_future(table, asked)
        forecasts = self.predictor_.forecasts(
            [
                (one, float(one.times[-1]), asked[one.name])
                for one in table.series
                if one.name in asked
            ]
        )
        names = [one.name for one in table.series if one.name in asked]
        return forecast_frame(table, names, forecasts)

    def backtest(self, data: Any = None) -> Backtest:
        """Rolling-origin scores on the last fifth of the rows, beside the baselines'.

        Args:
            data: another table; without it, the one that was fitted (whose last fifth was not
                trained on).
        """
        self._require_fitted()
        table = self.table_ if data is None else table_like(self.table_, data)
        split = self.split_ if data is None else rolling_origins(table, self.horizon_)
        return run_backtest(self.predictor_, self.rival(), table, split)

    def cross_validation(
        self,
        data: Any = None,
        *,
        cutoffs: Any = None,
        count: int | None = None,
        step: float | None = None,
        horizon: float | None = None,
        refit: bool = False,
    ) -> CrossValidation:
        """Forecasts from chosen cut-offs, scored beside the baselines'.

        Args:
            data: another table; without it, the one that was fitted.
            cutoffs: times to forecast from; each forecast knows the rows up to its own.
            count, step: instead of naming them, so many (five, or as many as there is room for),
                one every so many units of the time axis (a horizon); the last one lies a horizon
                before the end.
            horizon: how far to forecast, in units of the time axis; the model's if not given.
            refit: fit a fresh model, with the same settings, to the rows up to each cut-off.
                Without it the weights stay, and cut-offs must follow the rows they were fitted to.

        Raises:
            InputError: a cut-off lies outside of the data, too close to its end, or (without refit)
                among rows that the model has seen.
        """
        self._require_fitted()
        table = self.table_ if data is None else table_like(self.table_, data)
        length = self.horizon_ if horizon is None else float(horizon)
        # Refitted, a model wants some rows; another table may be cut anywhere.
        seen = data is None and not refit
        earliest = self.split_.validation_end if seen else float(np.mean(table.span))
        chosen = chosen_cutoffs(table, cutoffs, count, step, length, earliest=earliest)
        return cross_validate(self, table, chosen, length, refit)

    def rival(self) -> Predictor:
        """The GRU of the baselines, trained the first time that it is asked for."""
        self._require_fitted()
        if self.gru_ is None:
            scaling = self._training_scale()
            self.gru_ = self._finish(self._train("gru", scaling)[0], scaling)
        return self.gru_

    def _training_scale(self) -> Scaling:
        # Anew: seasons that later rows have shown were not taken off in training.
        return self.predictor_.scaling.anew(self.table_.until(self.split_.train_end))

    def _covariates(self, scaling: Scaling) -> CovariateScaling | None:
        """How covariates are seen; by their values up to the end of training, and so for good."""
        calendar = Calendar(tuple(self.calendar), self.table_.axis.timezone)
        end = self.split_.train_end
        return fit_covariates(self.table_, end, scaling, calendar, self.interpolation)

    def robustness(
        self, fractions: Sequence[float] = (0.25, 0.5), repeats: int = 3
    ) -> list[dict[str, float]]:
        """What deleting observations at random from the history costs in the backtest.

        Returns:
            A row for each fraction, 0 first: deleted, rmse (mean over the repeats),
            spread, increase.
        """
        self._require_fitted()
        check_deletions(fractions, repeats)
        seeds = range(self.seed, self.seed + repeats)
        return deletion_rows(self.predictor_, self.table_, self.split_, fractions, seeds)

    def score(self, data: Any = None) -> float:
        """Minus the CRPS of the backtest: higher is better."""
        return -self.backtest(data).metrics["model"]["crps"]

    def latent(self, points: int = 60) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The first member's mean latent trajectories: times and (points, latent), by series."""
        self._require_fitted()
        return self.predictor_.latent(self.table_, points)

    def save(self, directory: str | Path) -> None:
        """Write `config.json` and `weights.safetensors`; if that fails, nothing is lost."""
        self._require_fitted()
        save_parts(self, Path(directory))

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote; InputError says what is wrong with a damaged directory."""
        return load_parts(cls, Path(directory))

    def _require_fitted(self) -> None:
        if not hasattr(self, "predictor_"):
            raise InputError(
                "This LatentODEForecaster is not fitted yet: call fit(frame) first, or load a "
                "model."
            )


__all__ = ["LatentODEForecaster", "Split", "as_table"]
