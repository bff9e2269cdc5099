"""Each regularizer against its formula on a problem whose solution is known, and its gradient."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.nn import (
    BudgetError,
    JacobianNorm,
    KineticEnergy,
    NFEBudget,
    SolverError,
    Stiffness,
    TaylorOrder,
    regularized_solve,
    steer,
)
from isocline.ode import METHODS, solve

# A rotation at 2 rad: |y| stays 1, each derivative is twice as large as the one before.
TURN = 2 * jnp.array([[0.0, 1.0], [-1.0, 0.0]])
Y0, TS = jnp.array([1.0, 0.0]), jnp.array([0.0, 0.5, 1.5])


def turn(t, y):
    return TURN @ y


EXACT = {
    "KineticEnergy": (KineticEnergy(2.0), 4 * 1.5),
    "JacobianNorm": (JacobianNorm(1.0, exact=True), 8 * 1.5),
    "TaylorOrder 1": (TaylorOrder(1, 1.0), 4 * 1.5),
    "TaylorOrder 3": (TaylorOrder(3, 1.0), 64 * 1.5),
}


@pytest.mark.parametrize("name", EXACT)
def test_integrals_are_those_of_the_formula(name):
    regularizer, value = EXACT[name]
    found = regularized_solve(turn, Y0, TS, regularizers=regularizer, rtol=1e-5)
    (term,) = found.terms.values()
    assert float(term) == pytest.approx(value, rel=1e-3)
    assert float(found.penalty) == pytest.approx(regularizer.weight * value, rel=1e-3)
    plain = solve(turn, Y0, TS, rtol=1e-5)
    np.testing.assert_allclose(found.solution.ys, plain.ys, atol=1e-6)
    # What rides along drives no step.
    assert int(found.solution.stats.nfe) == int(plain.stats.nfe)


def test_time_counts_in_derivatives_along_the_solution():
    """y = t^3 on [0, 1]: y'' = 6 t, although the field does not depend on y."""
    found = regularized_solve(
        lambda t, y: 3 * t**2 * jnp.ones_like(y),
        jnp.zeros(1),
        [0.0, 1.0],
        regularizers=TaylorOrder(2, 1.0),
    )
    assert float(found.penalty) == pytest.approx(12, rel=1e-4)


def test_noise_is_unbiased_and_fixed_within_a_solve():
    keys = jax.random.split(jax.random.key(0), 400)

    def estimate(key):
        return regularized_solve(
            turn, Y0, TS, regularizers=JacobianNorm(1.0), key=key, method="rk4", steps=5
        ).penalty

    found = np.asarray(jax.vmap(estimate)(keys))
    assert found.mean() == pytest.approx(12, rel=0.2) and found.std() > 1
    assert float(estimate(keys[0])) == pytest.approx(float(found[0]), rel=1e-5)
    with pytest.raises(InputError, match="key=None"):
        regularized_solve(turn, Y0, TS, regularizers=JacobianNorm(1.0))


@pytest.mark.slow
def test_gradient_against_differences():
    """Of all terms together, in a parameter that the field closes over; smooth in fixed steps."""
    terms = [
        KineticEnergy(0.5),
        JacobianNorm(0.3),
        TaylorOrder(2, 0.2),
        SolverError(30.0),
        Stiffness(0.1),
    ]

    def penalty(scale):
        found = regularized_solve(
            lambda t, y: jnp.sin(scale * (TURN @ y)),
            Y0,
            TS,
            regularizers=terms,
            key=jax.random.key(1),
            method="heun",
            steps=6,
        )
        return found.penalty

    with jax.enable_x64(True):
        gradient = jax.grad(penalty)(jnp.float32(1.0))
        wide = (penalty(jnp.float32(1.01)) - penalty(jnp.float32(0.99))) / 0.02
    assert float(gradient) == pytest.approx(float(wide), rel=2e-2)


@pytest.mark.slow
def test_sums_over_steps_are_those_of_the_papers():
    """Euler inside Heun: the estimate is h/2 (k2 - k1), and stiffness the size of the Jacobian."""
    h = 1.5 / 6
    found = regularized_solve(
        turn,
        Y0,
        [0.0, 1.5],
        regularizers=[SolverError(1.0), Stiffness(1.0)],
        method="heun",
        steps=6,
    )
    y, error = np.asarray(Y0, float), 0.0
    matrix = np.asarray(TURN, float)
    tableau = METHODS["heun"]
    for _ in range(6):
        slopes = [matrix @ y]
        for row in tableau.matrix[1 : tableau.stages]:
            slopes.append(matrix @ (y + h * sum(a * k for a, k in zip(row, slopes, strict=False))))
        error += h * np.linalg.norm(
            h * sum(b * k for b, k in zip(tableau.b_error, slopes, strict=True))
        )
        y = y + h * sum(b * k for b, k in zip(tableau.b, slopes, strict=True))
    assert float(found.terms["SolverError"]) == pytest.approx(error, rel=1e-3)
    # A multiple of a rotation stretches all differences alike, by 2, in each of the six steps.
    assert float(found.terms["Stiffness"]) == pytest.approx(12, rel=1e-3)


@pytest.mark.slow
def test_few_points_stand_for_many_steps():
    def of(points, key=None):
        return regularized_solve(
            turn, Y0, TS, regularizers=SolverError(1.0), points=points, key=key, rtol=1e-3,
            method="heun",
        )  # fmt: skip

    every, some = of(200), of(8, jax.random.key(0))
    assert int(every.solution.stats.accepted) < 200
    assert float(some.penalty) == pytest.approx(float(every.penalty), rel=0.3)
    np.testing.assert_allclose(
        some.solution.ys, solve(turn, Y0, TS, method="heun", rtol=1e-3).ys, atol=1e-5
    )
    np.testing.assert_allclose(some.solution.ts, TS)


@pytest.mark.slow
def test_independent_trajectories_have_a_penalty_each_also_backwards():
    terms = [KineticEnergy(1.0), JacobianNorm(1.0, exact=True), SolverError(1.0), Stiffness(1.0)]
    spans = jnp.array([[0.0, 1.0], [0.0, -2.0]])
    scales = jnp.array([1.0, 0.5])

    def run(y0, scales):
        return regularized_solve(
            lambda t, y, a: a * (TURN @ y),
            y0,
            spans,
            scales,
            regularizers=terms,
            batch="independent",
            args_axes=0,
        )

    y0 = jnp.stack([Y0, 2 * Y0])
    found = run(y0, scales)
    assert found.penalty.shape == (2,) and found.solution.ys.shape == (2, 2, 2)
    np.testing.assert_allclose(found.terms["KineticEnergy"], [4.0, 8.0], rtol=1e-3)
    np.testing.assert_allclose(found.terms["JacobianNorm"], [8.0, 4.0], rtol=1e-3)
    for lane in (0, 1):
        alone = regularized_solve(
            lambda t, y, a: a * (TURN @ y), y0[lane], spans[lane], scales[lane], regularizers=terms
        )
        for name, term in alone.terms.items():
            assert float(term) == pytest.approx(float(found.terms[name][lane]), rel=1e-2), name
    gradient = jax.jit(jax.grad(lambda scales: jnp.sum(run(y0, scales).penalty)))(scales)
    assert np.isfinite(gradient).all()


def test_structure_of_the_state_is_kept_and_a_new_weight_is_no_new_program():
    field = eqx.nn.MLP(2, 2, 4, 1, jnp.tanh, key=jax.random.key(0))
    traced = []

    @eqx.filter_jit
    def run(field, weight):
        traced.append(1)
        found = regularized_solve(
            lambda t, y: {"a": field(y["a"])},
            {"a": Y0},
            TS,
            regularizers=[KineticEnergy(weight), KineticEnergy(1.0)],
            method="heun",
        )
        return found.penalty, found.terms, found.solution.ys

    one, terms, ys = run(field, jnp.asarray(1.0))
    two, _, _ = run(field, jnp.asarray(3.0))
    assert ys["a"].shape == (3, 2) and set(terms) == {"KineticEnergy", "KineticEnergy_2"}
    assert float(two) == pytest.approx(2 * float(one)) and len(traced) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: TaylorOrder(0, 1.0), "order=0"),
        (lambda: TaylorOrder(0.1, 2), "weight comes second"),
        (lambda: regularized_solve(turn, Y0, TS, regularizers=[0.1]), "regularizers: 0.1"),
        (
            lambda: regularized_solve(
                turn, Y0, TS, regularizers=SolverError(1.0), method="rk4", steps=4
            ),
            "no error estimate",
        ),
        (lambda: steer(TS, 1.0, key=jax.random.key(0)), "width=1"),
        (lambda: NFEBudget(0), "limit=0"),
        (lambda: NFEBudget(9, action="shout"), "action='shout'"),
        (lambda: NFEBudget(9).watch(float("nan")), "nfe="),
    ],
)
def test_what_does_not_fit_is_told(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_steer_moves_the_last_time_only():
    ends = [steer(TS, 0.5, key=key) for key in jax.random.split(jax.random.key(0), 50)]
    last = np.array([float(ts[-1]) for ts in ends])
    assert last.min() < 1.2 < 1.8 < last.max() and (abs(last - 1.5) <= 0.5).all()
    assert all((ts[:-1] == TS[:-1]).all() for ts in ends)


def test_the_weight_follows_the_cost():
    """A model whose cost falls with the weight settles at the budget."""
    budget = NFEBudget(40, weight=0.01, memory=0.5, rate=0.3)
    for _ in range(200):
        budget.watch(60 * (0.01 / budget.weight) ** 0.5)
    assert budget.mean == pytest.approx(40, rel=1e-2)
    assert budget.weight == pytest.approx(0.01 * 1.5**2, rel=5e-2)
    for _ in range(10_000):
        budget.watch(jnp.array([1000, 1200]))
    assert budget.weight == pytest.approx(10.0)


def test_the_tolerance_is_loosened_and_comes_back():
    budget = NFEBudget(40, action="rtol", rtol=1e-4, memory=0.0)
    budget.watch(80)
    assert budget.rtol > 1e-4
    for _ in range(50):
        budget.watch(10)
    assert budget.rtol == pytest.approx(1e-4)


def test_a_budget_warns_once_and_stops():
    budget = NFEBudget(40, action="warn", memory=0.0)
    with pytest.warns(UserWarning, match="budget is 40"):
        budget.watch(50)
    budget.watch(50)
    with pytest.raises(BudgetError, match="60 field evaluations"):
        NFEBudget(40, action="stop").watch(np.array([50, 70]))
    NFEBudget(40, action="stop").watch(39)
