"""Cross-validation in time: forecasts from chosen cut-offs, with the model refitted at each or not.

What a forecast is scored on must be news to it. Without refitting, that leaves the rows after the
model's training and validation parts; refitted, a model knows the rows up to its cut-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from isocline.data import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.scores import summarize
from isocline.evaluation.windows import comparable

from .backtesting import forecasts_of_rules, frame_of
from .checking import is_positive, is_whole
from .predicting import Request, requests_at

if TYPE_CHECKING:
    import pandas

    from .forecaster import LatentODEForecaster

COUNT = 5  # cut-offs at most, if nobody says how many


@dataclass(frozen=True)
class CrossValidation:
    """What `cross_validation` gives.

    Attributes:
        metrics: scores of the model and of each of the baselines, over all cut-offs; the horizon,
            the cut-offs, the number of forecasts, and whether models were refitted.
        scores: the same at each cut-off: cutoff, model, windows, rmse, mae, crps, coverage_50,
            coverage_90.
        frame: a row a forecast: cutoff, time, series, channel, observed, mean, q05 ... q95, and the
            mean of each baseline.
    """

    metrics: dict[str, Any]
    scores: pandas.DataFrame
    frame: pandas.DataFrame


class Part(NamedTuple):
    """What was asked, what followed, and what every model said; forecast by forecast."""

    requests: list[Request]
    targets: list[Series]
    said: dict[str, list[Forecast]]

    def scores(self) -> dict[str, dict[str, float]]:
        """By model."""
        truth = [
            comparable(request[0], target)
            for request, target in zip(self.requests, self.targets, strict=True)
        ]
        return {name: summarize(forecasts, truth) for name, forecasts in self.said.items()}


def cross_validate(
    forecaster: LatentODEForecaster,
    table: SeriesTable,
    cutoffs: Float[np.ndarray, " cutoffs"],
    horizon: float,
    refit: bool,
) -> CrossValidation:
    """Score from every cut-off; see `LatentODEForecaster.cross_validation`."""
    import pandas

    _check(table, cutoffs, horizon)
    if not refit:
        _require_news(forecaster, table, cutoffs, horizon)
    parts = [_part(forecaster, table, float(cutoff), horizon, refit) for cutoff in cutoffs]
    rows = [
        {"cutoff": label, "model": name, "windows": len(part.requests), **scores}
        for label, part in zip(table.time_column(cutoffs), parts, strict=True)
        for name, scores in part.scores().items()
    ]
    everything = _joined(parts)
    overall = everything.scores()
    model, *_ = everything.said.values()
    rivals = {name: said for name, said in everything.said.items() if name != "model"}
    asked = everything.requests, everything.targets
    metrics = {
        "model": overall.pop("model"),
        "baselines": overall,
        "horizon": horizon,
        "cutoffs": [str(label) for label in table.axis.to_label(cutoffs)],
        "windows": len(everything.requests),
        "refit": refit,
    }
    frame = frame_of(table, asked, model, rivals, "cutoff")
    return CrossValidation(metrics, pandas.DataFrame(rows), frame)


def _joined(parts: list[Part]) -> Part:
    """All cut-offs together."""
    said = {name: [one for part in parts for one in part.said[name]] for name in parts[0].said}
    requests = [one for part in parts for one in part.requests]
    return Part(requests, [one for part in parts for one in part.targets], said)


def _part(
    forecaster: LatentODEForecaster, table: SeriesTable, cutoff: float, horizon: float, refit: bool
) -> Part:
    """All models at one cut-off."""
    requests, targets = requests_at(table, [cutoff], horizon)
    if not requests:
        raise InputError(
            f"From the cut-off {_label(table, cutoff)} there is nothing to score: no series has "
            f"rows before it and within the horizon after it. Give other cut-offs."
        )
    known = cutoff if refit else forecaster.split_.validation_end
    if refit:
        forecaster = _refitted(forecaster, table, cutoff, horizon)
    said = {"model": forecaster.predictor_.forecasts(requests)}
    said |= forecasts_of_rules(table.until(known), forecaster.predictor_, requests, horizon)
    said["gru"] = forecaster.rival().forecasts(requests)
    return Part(requests, targets, said)


def _refitted(
    forecaster: LatentODEForecaster, table: SeriesTable, cutoff: float, horizon: float
) -> LatentODEForecaster:
    """A forecaster of the same settings that knows nothing but the rows up to the cut-off."""
    settings: dict[str, Any] = forecaster.get_params() | {"horizon": horizon}
    fresh = type(forecaster)(**settings)
    try:
        return fresh.fit(table.until(cutoff))
    except InputError as error:
        raise InputError(
            f"The model can not be refitted at the cut-off {_label(table, cutoff)}: {error} Later "
            f"cut-offs leave more rows."
        ) from error


def chosen_cutoffs(
    table: SeriesTable,
    cutoffs: Any,
    count: int | None,
    step: float | None,
    horizon: float,
    *,
    earliest: float,
) -> Float[np.ndarray, " cutoffs"]:
    """Increasing cut-offs on the time axis: those that are named, or `count` every `step`.

    The last one lies a horizon before the end; the step is a horizon if it is not given. Without a
    count there are as many as follow the earliest time that may be one, up to `COUNT`.

    Raises:
        InputError: the arguments do not fit together, or a cut-off is no time.
    """
    if cutoffs is not None:
        if count is not None or step is not None:
            raise InputError("Give cutoffs, or count and step: each says where to forecast from.")
        return _named(table, cutoffs)
    step = horizon if step is None else step
    room = None if count is not None else table.span[1] - horizon - earliest
    return table.span[1] - horizon - _back(table, count, step, room)


def _back(
    table: SeriesTable, count: Any, step: Any, room: float | None
) -> Float[np.ndarray, " cutoffs"]:
    """How long before the last each cut-off is; without a count, as many as there is room for."""
    if not is_positive(step):
        unit = f", in units of the time axis ({table.axis.unit})" if table.axis.unit else ""
        raise InputError(f"step={step!r} must be a positive number{unit}.")
    count = int(np.clip(room // step + 1, 1, COUNT)) if room is not None else count
    if not (is_whole(count) and count >= 1):
        raise InputError(f"count={count!r} must be a whole number of at least 1.")
    return step * np.arange(count - 1, -1, -1.0)


def _named(table: SeriesTable, cutoffs: Any) -> Float[np.ndarray, " cutoffs"]:
    if np.size(np.asarray(cutoffs)) == 0:
        raise InputError("cutoffs is empty: name times to forecast from, or leave it out.")
    return np.unique(table.axis.to_number(cutoffs))


def _check(table: SeriesTable, cutoffs: np.ndarray, horizon: float) -> None:
    """InputError for the first cut-off that has nothing before it, or too little after it."""
    if not 0 < horizon < np.inf:
        raise InputError(f"The horizon ({horizon:g}) must be a positive length of time.")
    first, last = table.span
    for cutoff in cutoffs:
        label = _label(table, cutoff)
        if not first <= cutoff < last:
            raise InputError(
                f"The cut-off {label} lies outside of the data, which reach from "
                f"{_label(table, first)} to {_label(table, last)}. Name times in between."
            )
        # Labels and sums of times are rounded.
        if cutoff + horizon > last + 1e-9 * horizon + 1e-12 * abs(last):
            raise InputError(
                f"The cut-off {label} is too close to the end: the data end at "
                f"{_label(table, last)}, and a horizon of {_length(table, horizon)} follows it. "
                f"Give {_label(table, last - horizon)} at the latest, or a shorter horizon."
            )


def _require_news(
    forecaster: LatentODEForecaster, table: SeriesTable, cutoffs: np.ndarray, horizon: float
) -> None:
    """InputError where a model would be scored on rows that it has seen, or beyond its reach."""
    if horizon > forecaster.horizon_ * (1 + 1e-9):
        raise InputError(
            f"The horizon ({_length(table, horizon)}) is longer than the model's "
            f"({_length(table, forecaster.horizon_)}). Give a shorter one, or refit at each "
            f"cut-off (refit=True)."
        )
    known = {one.name for one in forecaster.table_.series}
    end = forecaster.split_.validation_end
    if any(one.name in known for one in table.series) and cutoffs[0] < end:
        raise InputError(
            f"The cut-off {_label(table, cutoffs[0])} lies before {_label(table, end)}, where the "
            f"model's training and validation rows end: it would be scored on rows that it has "
            f"seen. Give later cut-offs, or refit at each (refit=True)."
        )


def _label(table: SeriesTable, number: float) -> str:
    label = table.axis.to_label(np.array([number]))[0]
    text = str(label) if table.axis.kind == "datetime" else f"{label:g}"
    return text.removesuffix("T00:00:00")


def _length(table: SeriesTable, length: float) -> str:
    return f"{length:.6g}{' ' + table.axis.unit if table.axis.unit else ''}"
