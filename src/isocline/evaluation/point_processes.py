"""Poisson processes in closed form, which any model of events must beat.

Their densities have two factors: that of the number of a sequence's events, by one rate for all
sequences or by a rate of each, gamma distributed; and that of when they are, evenly or along a
course that all sequences have in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

CELLS = (1, 2, 3, 4, 6, 7, 8, 12, 14, 16, 24, 28, 32, 48, 64, 96)
"""Numbers of cells that a common course may have."""
_FARTHEST = 12.0  # logarithm of a gamma distribution's parameters, either way

Sequences = Sequence[Float[np.ndarray, "_"]]


def event_baselines(
    known: Sequences, asked: Sequences, end: float, cells: int
) -> dict[str, Float[np.ndarray, " asked"]]:
    """Log densities of sequences by processes that are fitted to others.

    Args:
        known: the times of the events of each sequence to fit, from 0 to the end.
        asked: of each to score.
        end: how long each was watched.
        cells: of the common course.

    Returns:
        By "constant" (one rate for all), "course" (that times the common course), "own" (a rate of
        each) and "own_course" (that times the common course).
    """
    counts, numbers = (np.array([len(one) for one in part]) for part in (known, asked))
    rate = counts.mean() / end
    constant = numbers * np.log(rate) - rate * end
    own = gamma_mixture(fitted_gamma(counts, end), numbers, end)
    along = log_course(asked, common_course(known, end, cells), end)
    return {
        "constant": constant,
        "course": constant + along,
        "own": own,
        "own_course": own + along,
    }


def common_course(known: Sequences, end: float, cells: int) -> Float[np.ndarray, " cells"]:
    """The rate in each of so many cells of the time, of all sequences; its mean is 1."""
    # An event more in each cell: no sequence may be impossible.
    course = np.histogram(np.concatenate(known), cells, (0, end))[0] + 1.0
    return course / course.mean()


def log_course(
    asked: Sequences, course: Float[np.ndarray, " cells"], end: float
) -> Float[np.ndarray, " asked"]:
    """The logarithm of a course at the events of each sequence, summed."""
    last = len(course) - 1
    cells = [np.minimum(one * len(course) / end, last).astype(int) for one in asked]
    return np.array([np.log(course[one]).sum() for one in cells])


def chosen_cells(learnt: Sequences, held: Sequences, end: float) -> int:
    """The number of cells by which the common course of some sequences foretells others best."""
    scores = [log_course(held, common_course(learnt, end, cells), end).sum() for cells in CELLS]
    return CELLS[int(np.argmax(scores))]


def fitted_gamma(counts: Int[np.ndarray, " sequences"], end: float) -> tuple[float, float]:
    """Shape and hours of the likeliest gamma distribution of the sequences' rates.

    Its mean is `shape / hours`, with hours in the units of the end.
    """
    from scipy.optimize import minimize

    def loss(logs: Float[np.ndarray, " two"]) -> float:
        shape, hours = np.exp(logs)
        return -gamma_mixture((shape, hours), counts, 1.0).mean()

    # In units of the end; where all rates are alike, the shape goes on to infinity.
    start = np.clip([0.0, -np.log(counts.mean())], -_FARTHEST, _FARTHEST)
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-_FARTHEST, _FARTHEST)] * 2)
    shape, hours = np.exp(found.x)
    return float(shape), float(hours * end)


def gamma_mixture(
    gamma: tuple[float, float], counts: Int[np.ndarray, " sequences"], end: float
) -> Float[np.ndarray, " sequences"]:
    """Log densities of so many events, evenly over the time, at a rate that is gamma distributed.

    Args:
        gamma: shape and hours of the rate's distribution, see `fitted_gamma`.
        counts: of events.
        end: how long each sequence was watched.
    """
    from scipy.special import gammaln

    shape, hours = gamma
    ahead = shape * np.log(hours) - gammaln(shape)
    return ahead + gammaln(shape + counts) - (shape + counts) * np.log(hours + end)
