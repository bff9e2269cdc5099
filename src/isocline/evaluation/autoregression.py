"""Later values by linear regression on earlier ones: what straight lines through the past know.

For each of a few leads there is a regression of its own (a direct forecast, as Marcellino, Stock &
Watson 2006 compare it with an iterated one), on a channel's values up to a horizon ago, its values
one period before the time asked, and the latest value of each other channel. Its penalty draws it
either to zero, for series that return to a level, or to the last value and its mean change, for
series that wander (Litterman 1986); blocks of time that were left out in turn choose between the
two and how hard. What is further back, or of another channel, is drawn harder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from isocline.data.table import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.forecast import DENSE_LEVELS, Forecast
from isocline.evaluation.residuals import ErrorsByLead

LAGS = 12  # values of the own channel, over a horizon
LEADS = 12  # that have a regression; between them forecasts are linear in the lead
PAIRS = 24_000  # of an earlier and a later row that are learnt from, at most
FEWEST = 8  # for a regression
FOLDS = 5
PENALTIES = np.geomspace(0.1, 1e4, 11)  # in rows
OTHERS = 0.5  # weight of other channels beside the own one


class _Line(NamedTuple):
    """A regression at one lead."""

    intercept: float
    weights: Float[np.ndarray, " features"]


@dataclass(frozen=True)
class _Channel:
    """The regressions of a channel, none if its rows were too few, and how far they are off."""

    leads: Float[np.ndarray, " lines"]
    lines: tuple[_Line, ...]
    errors: ErrorsByLead | None

    def __call__(
        self, seen: Float[np.ndarray, "n features"], leads: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        if not self.lines:
            return np.full(len(leads), np.nan)
        told = np.stack([seen @ line.weights + line.intercept for line in self.lines])
        place = np.interp(leads, self.leads, np.arange(len(self.leads)))
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, len(self.leads) - 1)
        part, each = place - below, np.arange(len(leads))
        return (1 - part) * told[below, each] + part * told[above, each]


class _Drawn(NamedTuple):
    """Of each feature: the factor that a penalty sees it with; whether it is the own channel's."""

    factors: Float[np.ndarray, " features"]
    own: Bool[np.ndarray, " features"]

    def seen(self, features: Float[np.ndarray, "n features"], moves: bool) -> np.ndarray:
        """What regressions are solved with: values, or how those of the channel differ from now."""
        now = features[:, :1] * self.own * moves
        return (features - now) * self.factors

    def line(self, intercept: float, solved: Float[np.ndarray, " features"], moves: bool) -> _Line:
        """The same regression of the features themselves."""
        weights = solved * self.factors
        weights[0] += moves * (1 - weights[self.own].sum())
        return _Line(intercept, weights)


class _Pairs(NamedTuple):
    """Earlier and later rows of all series: how much later, what was known, and what came."""

    leads: Float[np.ndarray, " pairs"]
    folds: Int[np.ndarray, " pairs"]
    seen: Float[np.ndarray, "channels pairs features"]
    came: Float[np.ndarray, "pairs channels"]
    drawn: _Drawn


class Autoregression:
    """Linear forecasts of anomalies: of values around zero, in comparable units in all series.

    Args:
        periods: of the seasons, in units of the time axis.

    Raises:
        InputError: a period is not positive.
    """

    def __init__(self, periods: Sequence[float] = ()) -> None:
        if not all(0 < period < np.inf for period in periods):
            raise InputError(f"Periods must be positive and finite, not {tuple(periods)}.")
        self.periods = tuple(periods)
        self._offsets: Float[np.ndarray, " lags"] | None = None
        self._channels: tuple[_Channel, ...] = ()

    def fit(self, table: SeriesTable, horizon: float) -> Self:
        """Learn from every pair of rows that are at most a horizon apart, or from some of them.

        Args:
            table: rows for training only.
            horizon: the longest lead, in units of the time axis; beyond it, a forecast is that
                of the horizon.
        """
        gaps = [np.diff(one.times) for one in table.series]
        step = float(np.median(np.concatenate([*gaps, [horizon]])))
        self._offsets = np.arange(LAGS) * max(horizon / LAGS, step)
        pairs = self._pairs(table, horizon)
        leads = _leads(pairs.leads, step)
        self._channels = tuple(
            _fit_channel(pairs, channel, leads) for channel in range(len(table.channels))
        )
        return self

    def forecast(self, history: Series, times: Float[np.ndarray, " times"]) -> Forecast:
        """The forecast at times after the history; NaN for a channel with too few rows to learn.

        Raises:
            InputError: not fitted.
        """
        if self._offsets is None:
            raise InputError("Autoregression is not fitted yet: call fit(table, horizon) first.")
        last = np.full(len(times), history.times[-1])
        seen, leads = self._seen(history, last, times), times - last
        mean = np.stack([one(part, leads) for one, part in zip(self._channels, seen)], axis=-1)
        none = np.zeros((len(times), len(DENSE_LEVELS)))
        errors = [none if one.errors is None else one.errors.at(leads) for one in self._channels]
        return Forecast(times, mean, mean[..., None] + np.stack(errors, axis=1))

    def _pairs(self, table: SeriesTable, horizon: float) -> _Pairs:
        chosen = _chosen(table, horizon)
        seen = [self._seen(one, one.times[i], one.times[j]) for one, i, j in chosen]
        came = [one.values[j] for one, _, j in chosen]
        leads = [one.times[j] - one.times[i] for one, i, j in chosen]
        later = np.concatenate([one.times[j] for one, _, j in chosen])
        span = max(float(np.ptp(later)), 1e-30) if len(later) else 1.0
        folds = (FOLDS * (later - later.min(initial=np.inf)) / span).astype(int)
        return _Pairs(
            np.concatenate(leads),
            np.minimum(folds, FOLDS - 1),
            np.concatenate(seen, axis=1),
            np.concatenate(came),
            self._drawn(len(table.channels)),
        )

    def _drawn(self, channels: int) -> _Drawn:
        """Penalties rise with the lag, and are four times as hard on other channels."""
        lags = (1.0 + np.arange(LAGS)) ** -0.5
        factors = [lags, np.ones(len(self.periods)), np.full(channels - 1, OTHERS)]
        own = LAGS + len(self.periods)
        return _Drawn(np.concatenate(factors), np.arange(own + channels - 1) < own)

    def _seen(
        self, one: Series, origins: Float[np.ndarray, " n"], later: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "channels n features"]:
        """What is known at the origins of each channel: its own past, its seasons, the others."""
        ago = [origins[:, None] - self._offsets]
        for period in self.periods:
            turns = np.maximum(np.ceil((later - origins) / period - 1e-9), 1)
            ago.append((later - turns * period)[:, None])
        asked = np.concatenate(ago, axis=1)
        own = np.stack([_values_at(one.times, v, asked, origins) for v in one.values.T])
        latest = own[:, :, 0]
        others = [np.delete(latest, channel, axis=0).T for channel in range(len(own))]
        return np.concatenate([own, np.stack(others)], axis=-1)


def _values_at(
    times: np.ndarray,
    values: np.ndarray,
    asked: Float[np.ndarray, "n lags"],
    origins: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n lags"]:
    """A channel at earlier times, by what was observed up to each origin: zero before all of it."""
    there = np.isfinite(values)
    times, values = times[there], values[there]
    if not len(times):
        return np.zeros(asked.shape)
    place = np.searchsorted(times, origins, side="right") - 1
    known = np.minimum(asked, times[np.maximum(place, 0)][:, None])
    return np.where(known < times[0], 0.0, np.interp(known, times, values))


def _chosen(table: SeriesTable, horizon: float) -> list[tuple[Series, np.ndarray, np.ndarray]]:
    """Earlier and later rows of each series, a random share where they are many."""
    all_pairs = [(one, *_rows_within(one, horizon)) for one in table.series]
    share = PAIRS / max(sum(len(i) for _, i, _ in all_pairs), 1)
    if share >= 1:
        return all_pairs
    draw = np.random.default_rng(0)
    kept = [draw.uniform(size=len(i)) < share for _, i, _ in all_pairs]
    return [(one, i[k], j[k]) for (one, i, j), k in zip(all_pairs, kept)]


def _rows_within(one: Series, horizon: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows at most a horizon apart; not from the first row, which has no past."""
    end = np.searchsorted(one.times, one.times + horizon * (1 + 1e-9), side="right")
    count = end - np.arange(len(one)) - 1
    count[:1] = 0
    earlier = np.repeat(np.arange(len(one)), count)
    ahead = np.arange(len(earlier)) - np.repeat(np.cumsum(count) - count, count)
    return earlier, earlier + 1 + ahead


def _leads(leads: Float[np.ndarray, " pairs"], step: float) -> Float[np.ndarray, " leads"]:
    """All that there are on a regular grid, if they are few; else spread over what there are."""
    if not len(leads):
        return np.empty(0)
    grid = np.unique(np.round(leads / step, 3)) * step
    if len(grid) <= LEADS:
        return grid
    return np.unique(np.quantile(leads, np.linspace(0, 1, LEADS)))


def _fit_channel(pairs: _Pairs, channel: int, leads: Float[np.ndarray, " leads"]) -> _Channel:
    nearest = np.searchsorted((leads[1:] + leads[:-1]) / 2, pairs.leads)
    came = pairs.came[:, channel]
    kept, lines, missed, when = [], [], [], []
    for index, lead in enumerate(leads):
        there = (nearest == index) & np.isfinite(came)
        found = _line(pairs.seen[channel, there], came[there], pairs.folds[there], pairs.drawn)
        if found is not None:
            line, errors = found
            kept.append(lead)
            lines.append(line)
            missed.append(errors)
            when.append(pairs.leads[there])
    if not lines:
        return _Channel(np.empty(0), (), None)
    errors = ErrorsByLead.estimate(np.concatenate(when), np.concatenate(missed))
    return _Channel(np.array(kept), tuple(lines), errors)


def _line(
    features: Float[np.ndarray, "n features"],
    came: Float[np.ndarray, " n"],
    folds: Int[np.ndarray, " n"],
    drawn: _Drawn,
) -> tuple[_Line, Float[np.ndarray, " n"]] | None:
    """The regression whose left-out errors are smallest, and these errors; none from few rows."""
    if len(came) < FEWEST or len(np.unique(folds)) < 2:
        return None
    found = []
    for moves in (False, True):
        design, target = drawn.seen(features, moves), came - features[:, 0] * moves
        missed = np.empty((len(PENALTIES), len(came)))
        for fold in np.unique(folds):
            out = folds == fold
            missed[:, out] = _missed(design, target, out, moves)
        best = int(np.argmin(np.mean(missed**2, axis=1)))
        intercept, solved = _ridge(design, target, moves)(PENALTIES[best])
        found.append((drawn.line(intercept, solved, moves), missed[best]))
    return min(found, key=lambda one: np.mean(one[1] ** 2))


def _missed(
    design: Float[np.ndarray, "n features"],
    target: Float[np.ndarray, " n"],
    out: np.ndarray,
    moves: bool,
) -> Float[np.ndarray, "penalties out"]:
    """What rows that are left out are missed by, with each penalty."""
    solve = _ridge(design[~out], target[~out], moves)
    fits = [solve(penalty) for penalty in PENALTIES]
    return np.stack([target[out] - start - design[out] @ weights for start, weights in fits])


def _ridge(
    design: Float[np.ndarray, "n features"], target: Float[np.ndarray, " n"], free: bool
) -> Callable[[float], tuple[float, Float[np.ndarray, " features"]]]:
    """Least squares for any penalty: `(penalty) -> intercept, weights`.

    Args:
        design, target: what is told by what.
        free: whether there is an intercept, which no penalty draws.
    """
    centre, level = (design.mean(axis=0), target.mean()) if free else (0 * design[0], 0.0)
    around = design - centre
    power, axes = np.linalg.eigh(around.T @ around)
    along = axes.T @ (around.T @ (target - level))

    def solve(penalty: float) -> tuple[float, Float[np.ndarray, " features"]]:
        weights = axes @ (along / (np.maximum(power, 0) + penalty))
        return float(level - centre @ weights), weights

    return solve
