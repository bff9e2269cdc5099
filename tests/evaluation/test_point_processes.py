"""Poisson processes that models of events are compared with: their densities are right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, nbinom, poisson

from isocline.evaluation.point_processes import (
    chosen_cells,
    common_course,
    event_baselines,
    fitted_gamma,
    gamma_mixture,
    log_course,
)

END = 48.0


def evenly(count, seed, rates=lambda rng: 0.3):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, END, rng.poisson(END * rates(rng)))) for _ in range(count)]


def test_a_rate_of_each_is_the_integral_over_its_gamma_distribution():
    """In closed form as by numbers: a prior of shape 2 and 5 hours, and 7 events."""
    weight = gamma(2.0, scale=1 / 5.0).pdf
    likelihood, _ = quad(lambda rate: weight(rate) * rate**7 * np.exp(-END * rate), 0, 3)
    found = gamma_mixture((2.0, 5.0), np.array([7]), END)
    np.testing.assert_allclose(found, np.log(likelihood), rtol=1e-6)


@pytest.mark.parametrize("end", [1.0, END, 1e6])
def test_the_gamma_distribution_is_found_in_any_units(end):
    counts = nbinom(3.0, 3.0 / (3.0 + 14)).rvs(4000, random_state=0)
    shape, hours = fitted_gamma(counts, end)
    assert shape == pytest.approx(3.0, rel=0.1)
    assert shape / hours * end == pytest.approx(counts.mean(), rel=0.01)


@pytest.mark.parametrize("counts", [[0, 0, 1, 0, 0], [5000, 5100, 4900], [3, 3, 3, 3]])
def test_where_rates_are_alike_it_is_as_one_rate_for_all(counts):
    counts = np.array(counts)
    found = gamma_mixture(fitted_gamma(counts, END), counts, END).mean()
    rate = counts.mean() / END
    assert found == pytest.approx((counts * np.log(rate) - rate * END).mean(), abs=0.02)


def test_densities_are_those_of_numbers_and_places():
    """A Poisson number, and places that are drawn from the course."""
    known, asked = evenly(40, 0), [np.array([]), np.array([1.0, 30.0, END])]
    found = event_baselines(known, asked, END, 4)
    mean = np.mean([len(one) for one in known])
    course = common_course(known, END, 4)
    places = np.log(course[[0, 2, 3]] / END).sum()
    number = poisson(mean).logpmf([0, 3])
    orders = np.log(6.0)  # of the three
    np.testing.assert_allclose(found["course"], [number[0], number[1] + orders + places])
    np.testing.assert_allclose(found["constant"][1], number[1] + orders - 3 * np.log(END))
    np.testing.assert_allclose(
        found["own_course"] - found["own"], found["course"] - found["constant"]
    )


def test_a_course_has_mean_one_and_cells_are_chosen_by_others():
    half = [one[one < END / 2] for one in evenly(60, 0)]
    assert common_course(half, END, 8).mean() == pytest.approx(1.0)
    assert chosen_cells(half[:40], half[40:], END) % 2 == 0
    assert chosen_cells(evenly(200, 0), evenly(60, 100), END) == 1
    assert log_course([np.array([])], common_course(half, END, 8), END) == 0
