"""Later values by linear regression on earlier ones: what straight lines through the past know.

For each of a few leads there is a regression of its own (a direct forecast, as Marcellino, Stock &
Watson 2006 compare it with an iterated one), on a dozen of a channel's latest values, its values
one period before the time asked, and the latest value of each other channel. Its penalty draws it
either to zero, for series that return to a level, or to the last value and its mean change, for
series that wander (Litterman 1986); blocks of time that were left out in turn choose between the
two and how hard. What is further back, or of another channel, is drawn harder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from isocline.data.table import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.forecast import DENSE_LEVELS, Forecast
from isocline.evaluation.residuals import ErrorsByLead

LAGS = 12  # values of the own channel, over a horizon
LEADS = 12  # that have a regression; between them forecasts are linear in the lead
PAIRS = 2_000  # of an earlier and a later row that each is learnt from, at most
FEW = 8  # channels; with more of them, fewer pairs
FEWEST = 8  # pairs for a regression
FOLDS = 5
PENALTIES = np.geomspace(0.1, 1e4, 11)  # in rows
OTHERS = 0.5  # weight of other channels beside the own one
CLOSE = 1e-4  # of a step: times so close are the same


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
    """Earlier and later rows: which lead they are of, what was known, and what came.

    `folds` are blocks of time, `series` numbers the series.
    """

    leads: Float[np.ndarray, " pairs"]
    nodes: Int[np.ndarray, " pairs"]
    folds: Int[np.ndarray, " pairs"]
    series: Int[np.ndarray, " pairs"]
    own: Float[np.ndarray, "channels pairs lags"]
    came: Float[np.ndarray, "pairs channels"]


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
        self._step = 1.0
        self._channels: tuple[_Channel, ...] = ()

    def fit(self, table: SeriesTable, horizon: float) -> Self:
        """Learn from every pair of rows that are at most a horizon apart, or from some of them.

        Args:
            table: rows for training only.
            horizon: the longest lead, in units of the time axis; beyond it, a forecast is that
                of the horizon.
        """
        table = table.with_series([one.rows(one.measured) for one in table.series])
        gaps = [np.diff(one.times) for one in table.series]
        self._step = float(np.median(np.concatenate([*gaps, [horizon]])))
        self._offsets = np.arange(LAGS) * max(horizon / LAGS, self._step)
        leads = _leads(horizon, self._step)
        pairs, drawn = self._pairs(table, leads, horizon), self._drawn(len(table.channels))
        self._channels = tuple(
            _fit_channel(pairs, channel, leads, drawn) for channel in range(len(table.channels))
        )
        return self

    def forecast(self, history: Series, times: Float[np.ndarray, " times"]) -> Forecast:
        """The forecast at times after the history; NaN for a channel with too few rows to learn.

        Raises:
            InputError: not fitted.
        """
        if self._offsets is None:
            raise InputError("Autoregression is not fitted yet: call fit(table, horizon) first.")
        # A row without values tells nothing: what is known ends before it.
        ends = history.times[history.measured][-1:]
        last = np.full(len(times), ends[0] if len(ends) else history.times[-1])
        own, leads = self._own(history, last, times), times - last
        told = [one(_features(own, k), leads) for k, one in enumerate(self._channels)]
        mean = np.stack(told, axis=-1)
        none = np.zeros((len(times), len(DENSE_LEVELS)))
        errors = [none if one.errors is None else one.errors.at(leads) for one in self._channels]
        return Forecast(times, mean, mean[..., None] + np.stack(errors, axis=1))

    def _pairs(
        self, table: SeriesTable, leads: Float[np.ndarray, " leads"], horizon: float
    ) -> _Pairs:
        chosen = _chosen(table, leads, horizon)
        before, later, nodes, series, own, came = [], [], [], [], [], []
        for k, one in enumerate(table.series):
            i, j, node = chosen[chosen[:, 0] == k, 1:].T
            before.append(one.times[i])
            later.append(one.times[j])
            nodes.append(node)
            series.append(np.full(len(i), k))
            own.append(self._own(one, one.times[i], one.times[j]))
            came.append(one.values[j])
        ends = np.concatenate(later)
        first, last = (ends.min(), ends.max()) if len(ends) else (0.0, 0.0)
        folds = (FOLDS * (ends - first) / max(last - first, 1e-30)).astype(int)
        return _Pairs(
            ends - np.concatenate(before),
            np.concatenate(nodes),
            np.minimum(folds, FOLDS - 1),
            np.concatenate(series),
            np.concatenate(own, axis=1),
            np.concatenate(came),
        )

    def _drawn(self, channels: int) -> _Drawn:
        """Penalties rise with the lag, and are four times as hard on other channels."""
        lags = (1.0 + np.arange(LAGS)) ** -0.5
        factors = [lags, np.ones(len(self.periods)), np.full(channels - 1, OTHERS)]
        own = LAGS + len(self.periods)
        return _Drawn(np.concatenate(factors), np.arange(own + channels - 1) < own)

    def _own(
        self, one: Series, origins: Float[np.ndarray, " n"], later: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "channels n lags"]:
        """Of each channel what is known at the origins: its past, and its seasons before."""
        close = CLOSE * self._step
        ago = [origins[:, None] - self._offsets]
        for period in self.periods:
            turns = np.maximum(np.ceil((later - origins - close) / period), 1)
            ago.append((later - turns * period)[:, None])
        asked = np.concatenate(ago, axis=1)
        columns = [_values_at(one.times, v, asked, origins, close) for v in one.values.T]
        return np.stack(columns)


def _features(
    own: Float[np.ndarray, "channels n lags"], channel: int
) -> Float[np.ndarray, "n features"]:
    """Those of a channel, and the latest value of each other one."""
    others = np.delete(own[:, :, 0], channel, axis=0).T
    return np.concatenate([own[channel], others], axis=-1)


def _values_at(
    times: np.ndarray,
    values: np.ndarray,
    asked: Float[np.ndarray, "n lags"],
    origins: Float[np.ndarray, " n"],
    close: float = 0.0,
) -> Float[np.ndarray, "n lags"]:
    """A channel at earlier times, by what was observed up to each origin: zero before all of it."""
    there = np.isfinite(values)
    times, values = times[there], values[there]
    if not len(times):
        return np.zeros(asked.shape)
    place = np.searchsorted(times, origins, side="right") - 1
    known = np.minimum(asked, times[np.maximum(place, 0)][:, None])
    return np.where(known < times[0] - close, 0.0, np.interp(known, times, values))


def _leads(horizon: float, step: float) -> Float[np.ndarray, " leads"]:
    """Every step ahead; where they are many, the nearer ones are closer to each other."""
    steps = max(int(horizon / step + CLOSE), 1)
    few = np.arange(1.0, steps + 1) if steps <= LEADS else np.geomspace(1, steps, LEADS)
    return np.unique(np.rint(few)) * min(step, horizon)


def _chosen(
    table: SeriesTable, leads: Float[np.ndarray, " leads"], horizon: float
) -> Int[np.ndarray, "pairs 4"]:
    """Series, earlier row, later row and lead of pairs that each regression is learnt from.

    Those that are nearest to its lead; a random choice where they are many. None is from the first
    row of a series, which has no past.
    """
    edges = np.array([0.0, *(leads[1:] + leads[:-1]) / 2, horizon * (1 + 1e-9)])
    most = int(PAIRS / max(1.0, len(table.channels) / FEW))
    series = np.concatenate([np.full(len(one), k) for k, one in enumerate(table.series)])
    rows = np.concatenate([np.arange(len(one)) for one in table.series])
    ends = [
        np.stack([np.searchsorted(one.times, one.times + edge, side="right") for edge in edges])
        for one in table.series
    ]
    ends, found = np.concatenate(ends, axis=1), []
    draw = np.random.default_rng(0)
    for node, (first, end) in enumerate(pairwise(ends)):
        count = np.where(rows > 0, end - first, 0)
        total = np.cumsum(count)
        many = total[-1] > most
        flat = np.unique(draw.integers(total[-1], size=most)) if many else np.arange(total[-1])
        place = np.searchsorted(total, flat, side="right")
        later = first[place] + flat - (total - count)[place]
        found.append(np.stack([series[place], rows[place], later, np.full(len(flat), node)], 1))
    return np.concatenate(found)


def _fit_channel(
    pairs: _Pairs, channel: int, leads: Float[np.ndarray, " leads"], drawn: _Drawn
) -> _Channel:
    features, came = _features(pairs.own, channel), pairs.came[:, channel]
    kept, lines, missed, when = [], [], [], []
    for node, lead in enumerate(leads):
        there = (pairs.nodes == node) & np.isfinite(came)
        folds = pairs.folds[there]
        if len(np.unique(folds)) < 2:
            # Short series that begin together have all of a lead at one time.
            folds = pairs.series[there] % FOLDS
        found = _line(features[there], came[there], folds, drawn)
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
