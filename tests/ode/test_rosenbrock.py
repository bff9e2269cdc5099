"""Rosenbrock methods: what makes a set of numbers one of its order, and the linear systems."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import METHODS, solve
from isocline.ode.clock import Clock
from isocline.ode.field import Bound, build_field
from isocline.ode.implicit.linear import FACTORS, UNROLLED, eliminate, shifted_solver
from isocline.ode.implicit.rosenbrock import Slope, derivatives, rosenbrock_step
from isocline.ode.rows import as_rows
from isocline.ode.step import Start
from isocline.ode.tableaus import Rosenbrock

from .test_tableaus import density, trees

STIFF = {name: method for name, method in METHODS.items() if isinstance(method, Rosenbrock)}
EMBEDDED = {"rosenbrock23": 2, "ros34pw2": 2, "rodas4": 3, "rodas5p": 4}
OUTPUT = {"rosenbrock23": 2, "ros34pw2": 3, "rodas4": 3, "rodas5p": 4}


def elementary(method, tree):
    """Elementary weights with the exact Jacobian: one branch by beta, more by alpha."""
    value = np.ones(method.implicit_stages)
    matrix = method.alphas + method.gammas if len(tree) == 1 else method.alphas
    for branch in tree:
        value = value * (matrix @ elementary(method, branch))
    return value


def with_any_matrix(method, tree):
    """Elementary weights, and how many of J's own arcs are in each, if J is just any matrix."""
    if len(tree) == 1:
        inner = with_any_matrix(method, tree[0])
        yield from ((method.alphas @ value, arcs) for value, arcs in inner)
        inner = with_any_matrix(method, tree[0])
        yield from ((method.gammas @ value, arcs + 1) for value, arcs in inner)
        return
    found = [(np.ones(method.implicit_stages), 0)]
    for branch in tree:
        found = [
            (value * (method.alphas @ other), arcs + more)
            for value, arcs in found
            for other, more in with_any_matrix(method, branch)
        ]
    yield from found


def plain(method, weights):
    """Weights of the stages k for weights of the stages U = Gamma k."""
    return weights[: method.implicit_stages] @ method.gammas


@pytest.mark.parametrize("name", STIFF)
def test_order_conditions(name):
    """Of the solution, of the embedded one, and of the dense output; and no higher order."""
    method = STIFF[name]
    b, error = plain(method, method.solution), plain(method, method.b_error)
    for order in range(1, method.order + 2):
        miss = [abs(b @ elementary(method, tree) - 1 / density(tree)) for tree in trees(order)]
        assert max(miss) < 1e-12 if order <= method.order else max(miss) > 1e-5
    for order in range(1, EMBEDDED[name] + 2):
        miss = [abs(error @ elementary(method, tree)) for tree in trees(order)]
        assert max(miss) < 1e-12 if order <= EMBEDDED[name] else max(miss) > 1e-5
    assert method.estimate_order == EMBEDDED[name] + 1


@pytest.mark.parametrize("name", STIFF)
def test_dense_output(name):
    method = STIFF[name]
    degrees = np.arange(method.bridge.shape[1])
    for theta in (0.0, 0.3, 0.8, 1.0):
        inner = method.bridge @ theta**degrees
        weights = plain(method, theta * method.solution + theta * (1 - theta) * inner)
        for order in range(1, OUTPUT[name] + 1):
            for tree in trees(order):
                wanted = theta**order / density(tree)
                assert weights @ elementary(method, tree) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", STIFF)
def test_w_methods_keep_their_order_with_any_matrix(name):
    """Sums with arcs of the matrix vanish up to the order, but for the methods that need J."""
    method = STIFF[name]
    b, worst = plain(method, method.solution), 0.0
    for order in range(1, method.order + 1):
        for tree in trees(order):
            for value, arcs in with_any_matrix(method, tree):
                wanted = 0 if arcs else 1 / density(tree)
                worst = max(worst, abs(b @ value - wanted))
    assert (worst < 1e-12) == method.any_matrix
    assert {name for name, method in STIFF.items() if method.any_matrix} == {
        "rosenbrock23",
        "ros34pw2",
    }


@pytest.mark.parametrize("name", STIFF)
def test_infinitely_stiff_components_die_out(name):
    """L-stability: R(infinity) = 0, and |R| <= 1 along the imaginary axis."""
    method = STIFF[name]
    b, beta = plain(method, method.solution), method.alphas + method.gammas
    unit = np.eye(len(b))

    def growth(z):
        return 1 + z * b @ np.linalg.solve(unit - z * beta, np.ones(len(b)))

    assert abs(growth(-1e9)) < 1e-6
    assert max(abs(growth(1j * 10.0**power)) for power in np.linspace(-2, 4, 50)) < 1 + 1e-8


def test_published_nodes():
    """They follow from the other coefficients, and are printed with them."""
    method = STIFF["rodas5p"]
    nodes = [0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664]
    d = [0.21193756319429014, -0.42387512638858027, -0.3384627126235924, 1.8046452872882734]
    np.testing.assert_allclose(method.nodes, [*nodes, 1, 1, 1], atol=1e-12)
    np.testing.assert_allclose(method.d, [*d, 2.325825639765069, 0, 0, 0], atol=1e-11)
    np.testing.assert_allclose(STIFF["rodas4"].nodes, [0, 0.386, 0.21, 0.63, 1, 1], atol=1e-12)
    assert STIFF["rosenbrock23"].evaluations == 2 and method.evaluations == 8


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [1, 3, UNROLLED, UNROLLED + 3, FACTORS])
def test_linear_systems_and_their_derivatives(size):
    """All three ways to solve them; derivatives against those through `jnp.linalg.solve`."""
    rng = np.random.default_rng(size)
    jacobian = jnp.asarray(rng.normal(size=(2, size, size)))
    right, scale = jnp.asarray(rng.normal(size=(2, size))), jnp.asarray([0.7, -0.4])

    def ours(jacobian, scale, right):
        solve = shifted_solver(jacobian, scale)
        return jnp.sum(jnp.sin(solve(right) + solve(2 * right)))

    def theirs(jacobian, scale, right):
        matrix = jnp.eye(size) - scale[:, None, None] * jacobian
        x = jnp.linalg.solve(matrix, right[..., None])[..., 0]
        return jnp.sum(jnp.sin(3 * x))

    at = jacobian, scale, right
    for found, wanted in zip(*(jax.grad(f, (0, 1, 2))(*at) for f in (ours, theirs))):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)
    tangents = jax.tree.map(jnp.ones_like, at)
    found, wanted = (jax.jvp(f, at, tangents)[1] for f in (ours, theirs))
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


@pytest.mark.usefixtures("x64")
def test_elimination_pivots():
    """Zeros on the diagonal, rows of very different size; a singular matrix is not finite."""
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(50, 4, 4)) * 10.0 ** rng.integers(-5, 5, (50, 4, 1))
    matrices[:10, 0, 0] = 0
    matrices[10:20] = np.eye(4)[rng.permuted(np.tile(np.arange(4), (10, 1)), axis=1)]
    np.testing.assert_allclose(
        eliminate(matrices) @ matrices, np.tile(np.eye(4), (50, 1, 1)), atol=1e-9
    )
    solve = shifted_solver(jnp.ones((1, 1, 1)), jnp.ones(1))
    assert not np.isfinite(solve(jnp.ones((1, 1)))).any()


def field(t, y, args):
    return jnp.stack([-args * y[0] * y[1] + jnp.sin(t), y[0] ** 2 - y[1]])


def observed_error(method, steps, derive):
    rows, clock = as_rows(jnp.array([1.0, 0.5]), False), Clock(jnp.zeros(()), 1.0)
    args = (jnp.asarray(2.0), (None,), (False,))
    bound = Bound(*build_field(field, rows, clock, args, frozenset()))
    h = jnp.asarray(2.0 / steps)

    def body(index, carry):
        y, slopes = rosenbrock_step(method, bound, Start(index * h, *carry), h, derive)
        return y, slopes[-1]

    carry = rows.rows, bound(jnp.zeros(()), rows.rows)
    y, _ = jax.lax.fori_loop(0, steps, body, carry)
    start, options = jnp.array([1.0, 0.5]), {"method": "dopri8", "rtol": 1e-13, "atol": 1e-13}
    truth = solve(field, start, [2.0], 2.0, t0=0.0, **options).ys[0]
    return float(jnp.max(jnp.abs(y - truth)))


def wrong(bound, t, y):
    """No Jacobian, but a matrix of the right shape; and no derivative by time."""
    exact = derivatives(bound, t, y)
    off = jnp.array([[0.3, -1.0], [0.5, 0.2]])
    return Slope(0.5 * exact.by_state + off, jnp.zeros_like(exact.by_time))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", STIFF)
@pytest.mark.parametrize("derive", [derivatives, wrong])
def test_observed_order_with_the_jacobian_and_with_a_wrong_one(name, derive):
    """The W-methods converge at their order whatever the matrix; the others need the Jacobian."""
    method = STIFF[name]
    coarse, fine = (observed_error(method, steps, derive) for steps in (64, 128))
    if derive is derivatives or method.any_matrix:
        assert np.log2(coarse / fine) > method.order - 0.3
    else:
        assert np.log2(coarse / fine) < method.order - 1.5
