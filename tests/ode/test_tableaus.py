"""Laws of the tableaus: what makes a set of numbers a Runge-Kutta method of its order."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.integrate

from isocline import InputError
from isocline.ode import METHODS, Tableau
from isocline.ode.tableaus import find

RUNGE_KUTTA = [name for name, method in METHODS.items() if type(method) is Tableau]
EXACT = [
    *("euler", "midpoint", "heun", "ralston", "bosh3", "ssprk3", "rk4", "three_eighths"),
    *("fehlberg", "cash_karp", "dopri5", "bosh5", "vern7"),
]
EMBEDDED = {
    "midpoint": 1,
    "heun": 1,
    "ralston": 1,
    "bosh3": 2,
    "ssprk3": 2,
    "rdpk3sp35": 2,
    "fehlberg": 4,
    "cash_karp": 4,
    "dopri5": 4,
    "tsit5": 4,
    "bosh5": 4,
    "vern7": 6,
    "dopri8": 5,
}
OUTPUT = {
    "euler": 1,
    "midpoint": 2,
    "heun": 2,
    "ralston": 2,
    "bosh3": 3,
    "ssprk3": 3,
    "rdpk3sp35": 3,
    "rk4": 3,
    "three_eighths": 3,
    "ck54": 3,
    "fehlberg": 4,
    "cash_karp": 4,
    "dopri5": 4,
    "tsit5": 4,
    "bosh5": 4,
    "vern7": 6,
    "dopri8": 7,
}


def trees(order):
    """Rooted trees with `order` nodes, each the sorted tuple of its branches."""
    if order == 1:
        return [()]
    found = set()
    for first in range(1, order):
        for branch, rest in itertools.product(trees(first), trees(order - first)):
            found.add(tuple(sorted((*rest, branch))))
    return sorted(found)


def nodes_of(tree):
    return 1 + sum(map(nodes_of, tree))


def density(tree):
    return nodes_of(tree) * math.prod(map(density, tree))


def elementary(matrix, tree):
    """The elementary weights of the stages."""
    value = matrix[:, 0] * 0 + 1
    for branch in tree:
        value = value * (matrix @ elementary(matrix, branch))
    return value


def exact_matrix(tableau):
    rows = [(), *tableau.rows]
    full = [[*row, *[Fraction(0)] * (len(rows) - len(row))] for row in rows]
    return np.array(full, dtype=object)


def test_number_of_rooted_trees():
    assert [len(trees(order)) for order in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("name", EXACT)
def test_order_conditions_hold_exactly(name):
    tableau = METHODS[name]
    matrix = exact_matrix(tableau)
    for order in range(1, tableau.order + 1):
        for tree in trees(order):
            assert matrix[-1] @ elementary(matrix, tree) == Fraction(1, density(tree))


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_order_is_the_one_claimed_and_no_more(name):
    tableau = METHODS[name]
    matrix = tableau.matrix[: tableau.stages, : tableau.stages]
    worst = {
        order: max(
            abs(tableau.b @ elementary(matrix, tree) - 1 / density(tree)) for tree in trees(order)
        )
        for order in range(1, min(tableau.order + 1, 8) + 1)
    }
    assert max(value for order, value in worst.items() if order <= tableau.order) < 1e-13
    if tableau.order < 8:
        assert worst[tableau.order + 1] > 1e-6


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_nodes_are_row_sums_and_last_stage_is_the_new_point(name):
    tableau = METHODS[name]
    np.testing.assert_allclose(tableau.matrix.sum(axis=1), tableau.nodes, atol=2e-15)
    assert tableau.nodes[tableau.stages - 1] == pytest.approx(1, abs=1e-14)
    np.testing.assert_array_equal(tableau.matrix[tableau.stages - 1, : tableau.stages], tableau.b)
    assert tableau.b[-1] == 0
    assert isinstance(hash(tableau), int)
    assert np.all(np.triu(tableau.matrix) == 0)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_method_has_its_order(name):
    tableau = METHODS[name]
    matrix = tableau.matrix[: tableau.stages, : tableau.stages]
    estimates = [(tableau.b_error, EMBEDDED[name])]
    if tableau.b_error_low is not None:
        estimates.append((tableau.b_error_low, 3))
    for weights, embedded in estimates:
        assert abs(weights.sum()) < 1e-14
        for order in range(1, embedded + 1):
            for tree in trees(order):
                assert abs(weights @ elementary(matrix, tree)) < 1e-14
        assert max(abs(weights @ elementary(matrix, tree)) for tree in trees(embedded + 1)) > 1e-5


def test_methods_without_estimate_are_known():
    without = {name for name in RUNGE_KUTTA if not METHODS[name].adaptive}
    assert without == {"euler", "rk4", "three_eighths", "ck54"}


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_output_ends_in_the_step_with_the_slopes_of_both_ends(name):
    tableau = METHODS[name]
    polynomials = tableau.polynomials
    whole = np.zeros(len(polynomials))
    whole[: tableau.stages] = tableau.b
    np.testing.assert_allclose(polynomials.sum(axis=1), whole, atol=2e-13)
    degrees = np.arange(1, polynomials.shape[1] + 1)
    np.testing.assert_allclose(polynomials[:, 0], np.eye(len(polynomials))[0], atol=1e-13)
    np.testing.assert_allclose(
        polynomials @ degrees, np.eye(len(polynomials))[tableau.stages - 1], atol=2e-12
    )


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_output_order_conditions(name):
    tableau = METHODS[name]
    matrix, polynomials = tableau.matrix, tableau.polynomials
    matrix = matrix[: len(polynomials), : len(polynomials)]
    for theta in (0.2, 0.55, 0.9):
        weights = polynomials @ theta ** np.arange(1, polynomials.shape[1] + 1)
        for order in range(1, OUTPUT[name] + 1):
            for tree in trees(order):
                assert weights @ elementary(matrix, tree) == pytest.approx(
                    theta**order / density(tree), abs=1e-13
                )


@pytest.mark.parametrize("name, peer", [("dopri5", "RK45"), ("bosh3", "RK23")])
def test_agrees_with_scipy(name, peer):
    tableau, peer = METHODS[name], getattr(scipy.integrate, peer)
    stages = tableau.stages
    matrix = tableau.matrix[: stages - 1, : peer.A.shape[1]]
    np.testing.assert_allclose(matrix, peer.A, atol=1e-15)
    np.testing.assert_allclose(tableau.b[:-1], peer.B, atol=1e-15)
    np.testing.assert_allclose(tableau.nodes[: stages - 1], peer.C, atol=1e-15)
    np.testing.assert_allclose(np.abs(tableau.b_error), np.abs(peer.E), atol=1e-15)
    if name == "dopri5":
        np.testing.assert_allclose(tableau.polynomials, peer.P, atol=1e-14)


def test_dopri8_agrees_with_scipy():
    tableau, peer = METHODS["dopri8"], scipy.integrate.DOP853
    np.testing.assert_allclose(tableau.matrix[:12, :12], peer.A, atol=1e-14)
    np.testing.assert_allclose(tableau.b[:12], peer.B, atol=1e-14)
    np.testing.assert_allclose(tableau.nodes[:12], peer.C, atol=1e-14)
    np.testing.assert_allclose(tableau.nodes[13:], peer.C_EXTRA, atol=1e-14)
    np.testing.assert_allclose(tableau.matrix[13:], peer.A_EXTRA, atol=1e-14)
    np.testing.assert_allclose(tableau.b_error, peer.E5, atol=1e-14)
    np.testing.assert_allclose(tableau.b_error_low, peer.E3, atol=1e-14)


def test_no_method_that_is_built_in_has_a_fault():
    explicit = [method for method in METHODS.values() if type(method) is Tableau]
    assert len(explicit) > 15 and all(find(method) is method for method in explicit)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lower": ((0.5,), (0.0, 0.75, 0.0))}, "row 1 of lower.*must hold 2 numbers"),
        ({"lower": [[0.5], [0.0, 0.75]]}, "tuples of numbers"),
        ({"lower": (("1/2",), ("0", "x"))}, "tuples of numbers"),
        ({"weights": ("2/9", "1/3")}, "weights must hold 3 numbers"),
        ({"weights": ("2/9", "1/3", "5/9")}, "weights must sum to 1 "),
        ({"lower": (("1/2",), (0, "4/3"))}, "row sums of lower must sum to 0.5"),
        ({"error": ("-5/72", "1/12", "1/9", "1/8")}, "error must sum to 0 "),
        ({"error": 6 * (0,)}, "error has 6 entries for 4 stages"),
        ({"output": ((1,), (0,), (0,), (0,))}, "each row of output"),
    ],
)
def test_a_slip_of_the_pen_is_told(changes, words):
    """The method of Bogacki and Shampine with one mistake."""
    right = Tableau(
        "mine", 3, (("1/2",), (0, "3/4")), ("2/9", "1/3", "4/9"), ("-5/72", "1/12", "1/9", "-1/8")
    )
    assert find(right) is right
    with pytest.raises(InputError, match=f"method='mine' is no Runge-Kutta method: .*{words}"):
        find(replace(right, **changes))
