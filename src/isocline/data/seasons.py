"""Periods that a table may have: the calendar's, or the one its values show."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from isocline.data.table import SeriesTable

YEAR, WEEK, DAY = 365.2425, 7.0, 1.0
_CYCLES_NEEDED = 2
_TIMES_A_PERIOD = 3
# A periodogram peak counts if chance would bring it once in a thousand tables of white noise, ...
_FALSE_ALARM = 1e-3
# ... and if its sine explains this much of the variance, in all and in each half of the time:
# slow wandering (red noise) also has peaks, but rarely the same ones twice.
_SHARE_EXPLAINED = 0.3
_SHARE_OF_HALF = 0.2
_MOST_FREQUENCIES = 4_000
_MOST_ROWS = 4_000
_MOST_CURVES = 64


def candidate_periods(table: SeriesTable) -> tuple[float, ...]:
    """Periods worth modelling, longest first, in units of the time axis; maybe none.

    On an axis of dates: a year, a week and a day, as far as the table lasts two of them and has
    three rows in each. On an axis of numbers: the strongest peak of the Lomb-Scargle periodogram
    of the detrended values (mean over series and channels), if it is significant, explains 30% of
    the variance, lasts three periods and shows in both halves of the time.
    """
    if table.axis.kind == "number":
        return _strongest_period(table)
    duration, spacing = table.duration, table.median_spacing
    return tuple(
        period
        for period in (YEAR, WEEK, DAY)
        if duration >= _CYCLES_NEEDED * period and spacing <= period / _TIMES_A_PERIOD
    )


def _strongest_period(table: SeriesTable) -> tuple[float, ...]:
    curves = [curve for one in table.series for curve in _curves(one.times, one.values)]
    if len(curves) > _MOST_CURVES:
        # Evenly spaced ones: more would take minutes and hardly move the mean.
        curves = [curves[k] for k in np.linspace(0, len(curves) - 1, _MOST_CURVES).astype(int)]
    if not curves:
        return ()
    first, last = table.span
    fastest = 1 / (_TIMES_A_PERIOD * table.median_spacing)
    slowest = 3 / (last - first)
    # Peaks are as wide as 1 / duration: five frequencies across each do not miss one.
    count = min(int(5 * (fastest - slowest) * (last - first)), _MOST_FREQUENCIES)
    if count < 3:
        return ()
    frequencies = np.linspace(slowest, fastest, count)
    power = _mean_power(curves, frequencies)
    best = int(np.argmax(power))
    if best in (0, count - 1) or not _convincing(curves, power[best], frequencies[best], count):
        return ()
    return (float(1 / _peak(frequencies, power, best)),)


def _curves(times: np.ndarray, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Observed times and detrended values of each channel that says anything."""
    curves = []
    for channel in values.T:
        rows = np.flatnonzero(~np.isnan(channel))[:_MOST_ROWS]
        if len(rows) < 10:
            continue
        scaled = (times[rows] - times[rows[0]]) / (times[rows[-1]] - times[rows[0]])
        rest = channel[rows] - np.polyval(np.polyfit(scaled, channel[rows], 1), scaled)
        if np.std(rest) > 1e-9 * (1 + np.abs(channel[rows]).max()):
            curves.append((times[rows], rest))
    return curves


def _mean_power(curves: list, frequencies: np.ndarray) -> Float[np.ndarray, "frequencies"]:
    """Share of variance that a sine of each frequency explains, mean over the curves."""
    from scipy.signal import lombscargle

    angular = 2 * np.pi * frequencies
    shares = [
        lombscargle(times, rest, angular, normalize=True, floating_mean=True)
        for times, rest in curves
    ]
    # SciPy makes a number of one frequency.
    return np.atleast_1d(np.mean(shares, axis=0))


def _convincing(curves: list, share: float, frequency: float, tried: int) -> bool:
    rows = max(len(times) for times, _ in curves)
    by_chance = tried * (1 - min(share, 1.0)) ** ((rows - 3) / 2)
    of_halves = [_mean_power(half, np.array([frequency]))[0] for half in _halves(curves)]
    return (
        share >= _SHARE_EXPLAINED and by_chance < _FALSE_ALARM and min(of_halves) >= _SHARE_OF_HALF
    )


def _halves(curves: list) -> list[list]:
    middles = [len(times) // 2 for times, _ in curves]
    early = [(times[:half], rest[:half]) for half, (times, rest) in zip(middles, curves)]
    late = [(times[half:], rest[half:]) for half, (times, rest) in zip(middles, curves)]
    return [early, late]


def _peak(frequencies: np.ndarray, power: np.ndarray, best: int) -> float:
    """The top of the parabola through the highest point and its neighbours."""
    before, at, after = power[best - 1 : best + 2]
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return frequencies[best] + shift * (frequencies[1] - frequencies[0])
