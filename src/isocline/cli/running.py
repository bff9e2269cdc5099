"""One run of `isocline forecast`, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isocline.data import SeriesTable

from .common import COMMAND, Talk, plain
from .progress import Progress
from .scores import score_table
from .settings import ForecastSettings
from .sources import (
    asked_at,
    covariate_notes,
    length_of,
    open_future,
    open_table,
    trained_for,
)
from .staged_run import StagedRun, Work, short

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from isocline.estimators import Backtest, LatentODEForecaster


@dataclass
class Outcome:
    """What a run found out."""

    forecaster: LatentODEForecaster
    frame: pandas.DataFrame
    backtest: Backtest
    metrics: dict[str, Any]


class Run(StagedRun[Outcome]):
    """A run of `isocline forecast`."""

    def __init__(self, settings: ForecastSettings, talk: Talk, **options: Any) -> None:
        super().__init__(settings, talk, **options)
        self.settings = settings

    def prepared(self) -> Work[Outcome]:
        """Read the table and what is asked."""
        from isocline.estimators.calendar import require_dates
        from isocline.estimators.checking import check_settings
        from isocline.estimators.future import require_future, require_past

        table = self._table()
        asked = self._asked(table)
        forecaster = self._forecaster(table, asked)
        check_settings(forecaster.get_params())
        require_dates(tuple(forecaster.calendar), table)
        # That known inputs end too early should not be found after the training.
        require_past(table)
        require_future(table, self._times(table, forecaster, asked))
        return partial(self._work, forecaster, table, asked)

    def metrics_of(self, outcome: Outcome) -> dict[str, Any]:
        """Those of the backtest, and of the run."""
        return outcome.metrics

    def table_of(self, metrics: dict[str, Any]) -> Any:
        """Scores of model and baselines."""
        return score_table(metrics)

    def write(self, outcome: Outcome, new: Path) -> None:
        """The forecast, the backtest and the model."""
        outcome.frame.to_csv(new / "forecast.csv", index=False)
        outcome.backtest.frame.to_csv(new / "backtest.csv", index=False)
        outcome.forecaster.save(new / "model")

    def page(self, outcome: Outcome) -> str:
        """Forecasts, backtest, scores and training."""
        from isocline.report import report_page

        return report_page(
            outcome.forecaster,
            forecast=outcome.frame,
            backtest=outcome.backtest,
            robustness=outcome.metrics["robustness"],
            metrics=outcome.metrics,
            command=COMMAND.get(),
            source=short(self.settings.data),
        )

    def _table(self) -> SeriesTable:
        chosen = self.settings
        table = open_table(chosen.data, **chosen.columns())
        if chosen.future is not None:
            table = open_future(table, chosen.future)
        rows = sum(map(len, table.series))
        self.talk.note(
            f"{short(chosen.data)}: {len(table.series)} series, {rows} rows, "
            f"{', '.join(table.channels)}",
            *covariate_notes(table),
            *table.notes,
        )
        return table

    def _asked(self, table: SeriesTable) -> dict[str, np.ndarray] | None:
        from isocline.estimators.asking import asked_times

        if not self.settings.at:
            return None
        # Asked here for its complaints, which should not wait for the training.
        return asked_times(table, asked_at(table, self.settings.at), 1.0)

    def _times(
        self, table: SeriesTable, forecaster: LatentODEForecaster, asked: Any
    ) -> dict[str, np.ndarray]:
        """What will be forecast, if nothing is asked over the whole horizon."""
        from isocline.estimators.asking import asked_times, default_horizon

        horizon = forecaster.horizon
        return asked_times(table, asked, default_horizon(table) if horizon is None else horizon)

    def _forecaster(self, table: SeriesTable, asked: Any) -> LatentODEForecaster:
        from isocline.estimators import LatentODEForecaster

        horizon, note = trained_for(table, self.settings.horizon, asked)
        if note:
            self.talk.note(note)
        periods = self.settings.period
        if periods is not None:
            words = () if periods == ("none",) else periods
            periods = tuple(length_of("--period", word, table) for word in words)
        return LatentODEForecaster(horizon=horizon, periods=periods, **self.settings.estimator())

    def _work(
        self,
        forecaster: LatentODEForecaster,
        table: SeriesTable,
        asked: Any,
        checkpoints: Path,
        progress: Progress,
    ) -> Outcome:
        forecaster.fit(table, checkpoint=checkpoints, resume=self.resume, progress=progress)
        backtest = forecaster.backtest()
        frame = forecaster.predict(asked)
        metrics = dict(backtest.metrics)
        metrics["robustness"] = forecaster.robustness()
        metrics |= self._circumstances(forecaster, table)
        return Outcome(forecaster, frame, backtest, plain(metrics))

    def _circumstances(self, forecaster: LatentODEForecaster, table: SeriesTable) -> dict[str, Any]:
        return self.circumstances() | {
            "nfe": forecaster.nfe_,
            "epochs": len(forecaster.history_),
            "best_epoch": forecaster.best_epoch_,
            "training_seconds": sum(row["seconds"] for row in forecaster.history_),
            "seed": self.settings.seed,
            "settings": self.settings.model_dump(mode="json", exclude={"data", "at"}),
            "data": {
                "source": short(self.settings.data),
                "series": len(table.series),
                "rows": sum(map(len, table.series)),
                "channels": list(table.channels),
                **{
                    role: list(names)
                    for role in ("known", "past", "static")
                    if (names := getattr(table.columns, role))
                },
                "time_unit": table.axis.unit,
                "notes": list(table.notes),
            },
        }
