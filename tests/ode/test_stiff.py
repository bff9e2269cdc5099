"""Stiff problems: against references, in batches, their gradients, and how they fail."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from isocline.errors import InputError
from isocline.ode import METHODS, Status, solve
from isocline.ode.tableaus import Rosenbrock

STIFF = [name for name, method in METHODS.items() if isinstance(method, Rosenbrock)]
BOTH = [*STIFF, "auto"]
x64 = pytest.mark.usefixtures("x64")


def robertson(t, y, rates):
    slow, fast, back = rates[0] * y[0], rates[1] * y[1] ** 2, rates[2] * y[1] * y[2]
    return jnp.stack([back - slow, slow - back - fast, fast])


RATES = np.array([0.04, 3e7, 1e4])


def van_der_pol(t, y, mu):
    return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def hires(t, y, _):
    """Photomorphogenesis (Hairer & Wanner 1996, IV.10); eight components."""
    exchange = 280 * y[5] * y[7]
    return jnp.stack(
        [
            -1.71 * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007,
            1.71 * y[0] - 8.75 * y[1],
            -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4],
            8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3],
            -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6],
            -exchange + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6],
            exchange - 1.81 * y[6],
            -exchange + 1.81 * y[6],
        ]
    )


def prothero_robinson(t, y, rate):
    return -rate * (y - jnp.cos(t)) - jnp.sin(t)


PROBLEMS = {
    "robertson": (robertson, [1.0, 0.0, 0.0], RATES, [0.4, 40.0, 1e4], 1e-6),
    "van der pol": (van_der_pol, [2.0, 0.0], 1e3, [500.0, 800.0, 1000.0], 1e-2),
    "hires": (hires, [1.0, 0, 0, 0, 0, 0, 0, 0.0057], 0.0, [1.0, 10.0, 321.8122], 1e-4),
    "prothero-robinson": (prothero_robinson, [1.0], 1e6, [1.0, 2.0, 10.0], 1e-1),
}


@x64
@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("name", PROBLEMS)
def test_stiff_problems_agree_with_scipy(name, method):
    """At and between the steps, with few steps, where an explicit method needs 100,000s."""
    field, y0, args, ts, size = PROBLEMS[name]
    y0, ts = jnp.array(y0), np.array(ts)
    slope = jax.jit(partial(field))
    truth = scipy.integrate.solve_ivp(
        lambda t, y: np.asarray(slope(t, y, args)), (0, ts[-1]), y0, "Radau", ts, rtol=1e-9,
        atol=1e-9 * size,
    ).y.T  # fmt: skip
    loose = METHODS[method].order < 4
    if name == "prothero-robinson" and method == "rodas4":
        ts, truth = ts[-1:], truth[-1:]  # its estimate does not see what happens between steps
    solution = solve(
        field, y0, ts, args, t0=0.0, method=method, rtol=1e-5 if loose else 1e-6, atol=1e-6 * size
    )
    error = np.abs(solution.ys - truth) / (np.abs(truth) + size)
    assert error.max() < (2e-3 if loose else 1e-4)
    assert int(solution.stats.accepted + solution.stats.rejected) < (4000 if loose else 800)
    if not loose:
        np.testing.assert_allclose(solution.ys, truth, rtol=2e-4, atol=1e-5 * size)


@x64
def test_published_values():
    """Robertson at 40 (Hindmarsh 1980, LSODE), HIRES at the end (Hairer & Wanner 1996)."""
    tight = {"method": "rodas5p", "rtol": 1e-10, "atol": 1e-14}
    ys = solve(robertson, jnp.array([1.0, 0, 0]), [40.0], RATES, t0=0.0, **tight).ys[0]
    np.testing.assert_allclose(ys, [0.7158270688, 9.185534765e-6, 0.2841637457], rtol=2e-8)
    field, y0, _, ts, _ = PROBLEMS["hires"]
    ys = solve(field, jnp.array(y0), [ts[-1]], t0=0.0, **tight).ys[0]
    assert float(ys[0]) == pytest.approx(0.7371312573325668e-3, rel=1e-7)
    assert float(ys[7]) == pytest.approx(0.2850001604814231e-2, rel=1e-7)


@x64
@pytest.mark.parametrize("size", [7, 130])
def test_heat_equation(size):
    """A larger system: its own way to solve the linear systems; the solution is an exponential."""
    laplace = np.diff(np.eye(size + 2), 2, axis=0)[:, 1:-1] * (size + 1) ** 2
    y0 = np.sin(np.pi * np.arange(1, size + 1) / (size + 1)) + 0.1
    solution = solve(
        lambda t, y: laplace @ y, jnp.asarray(y0), [0.01, 0.1], t0=0.0, method="rodas5p", rtol=1e-7
    )
    truth = [scipy.linalg.expm(laplace * t) @ y0 for t in (0.01, 0.1)]
    np.testing.assert_allclose(solution.ys, truth, atol=1e-5)
    assert int(solution.stats.accepted) < 60


@pytest.mark.parametrize("method", BOTH)
def test_float32(method):
    """With what float32 resolves: nothing gets stuck, and the answer is good to a percent."""
    y0 = jnp.array([1.0, 0, 0])
    options = {"rtol": 1e-4, "atol": 1e-8, "method": method, "t0": 0.0}
    solution = solve(robertson, y0, [0.4, 40.0], jnp.asarray(RATES), **options)
    assert solution.ys.dtype == jnp.float32
    truth = [[0.98517211, 3.3863954e-5, 0.014794022], [0.71582707, 9.1855348e-6, 0.28416375]]
    np.testing.assert_allclose(solution.ys, truth, rtol=1e-2)


def loss(rates, y0, ts, adjoint="replay", method="rodas5p", **options):
    solution = solve(
        robertson,
        y0,
        ts,
        rates,
        t0=0.0,
        method=method,
        adjoint=adjoint,
        rtol=1e-8,
        atol=1e-12,
        **options,
    )
    return jnp.sum(solution.ys * jnp.array([1.0, 1e4, 2.0]))


@pytest.mark.slow
@x64
@pytest.mark.parametrize("method", ["rodas5p", "ros34pw2", "auto"])
def test_gradient_through_the_record(method):
    """Of the computed solution exactly (forward mode), and of the flow (finite differences)."""
    at = jnp.asarray(RATES), jnp.array([1.0, 1e-5, 0.0]), jnp.array([1.0, 40.0, 400.0])
    value = jax.jit(partial(loss, method=method))
    gradient = jax.jit(jax.grad(partial(loss, method=method), (0, 1, 2)))(*at)
    thinned = jax.jit(jax.grad(partial(loss, method=method, record_bytes=1), (0, 1, 2)))(*at)
    forward = jax.jit(jax.jacfwd(partial(loss, method=method, adjoint="forward"), (0, 1)))(*at)
    for found, same, wanted in zip(gradient, thinned, forward):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
        np.testing.assert_allclose(same, wanted, rtol=1e-9)
    for index in range(3):
        step = jnp.zeros(3).at[index].set(1e-4)
        rates, near = at[0], 1e-4 * RATES[index]
        ahead, behind = (value(rates * (1 + sign * step), *at[1:]) for sign in (1, -1))
        assert float(gradient[0][index]) == pytest.approx(
            float(ahead - behind) / (2 * near), rel=2e-4
        )
    ahead, behind = (value(*at[:2], at[2].at[1].add(sign)) for sign in (1e-2, -1e-2))
    assert float(gradient[2][1]) == pytest.approx(float(ahead - behind) / 2e-2, rel=2e-4)


RATE = np.array([1.0, 30.0, 1e5])


def relax(t, y, rate):
    return -rate * (y - jnp.cos(3 * t))


def total(rate, method, **options):
    solution = solve(
        relax,
        jnp.ones((3, 2)),
        jnp.linspace(0, 3, 4),
        rate,
        method=method,
        rtol=1e-7,
        atol=1e-7,
        batch="independent",
        args_axes=0,
        max_steps=2000,
        **options,
    )
    return jnp.sum(solution.ys), solution


@pytest.mark.slow
@x64
@pytest.mark.parametrize("method", ["rodas5p", "auto"])
def test_each_lane_is_solved_as_it_would_be_alone(method):
    """Stiff beside not stiff; `vmap` is the same; gradients are each lane's own."""
    gradient, batch = jax.jit(jax.grad(partial(total, method=method), has_aux=True))(RATE)
    for lane, rate in enumerate(RATE):

        def alone(rate):
            options = {"method": method, "rtol": 1e-7, "atol": 1e-7, "max_steps": 2000}
            solution = solve(relax, jnp.ones(2), jnp.linspace(0, 3, 4), rate, **options)
            return jnp.sum(solution.ys), solution

        slope, one = jax.grad(alone, has_aux=True)(rate)
        np.testing.assert_allclose(batch.ys[lane], one.ys, rtol=1e-7)
        np.testing.assert_allclose(gradient[lane], slope, rtol=1e-6)
        for name in ("nfe", "accepted", "rejected", "jacobians", "nfe_backward"):
            assert int(getattr(batch.stats, name)[lane]) == int(getattr(one.stats, name))
    many = jax.vmap(alone)(RATE)[1]
    np.testing.assert_allclose(many.ys, batch.ys, rtol=1e-7)
    if method == "auto":
        assert (batch.stats.jacobians[:2] == 0).all() and int(batch.stats.jacobians[2]) > 10


@x64
def test_switching_comes_back():
    """Stiff only for a while: the explicit method takes over again, and fewer steps are taken."""

    def pulse(t, y):
        rate = jnp.where((t > 1) & (t < 20), 1e4, 1.0)
        return -rate * (y - jnp.cos(t))

    options = {"rtol": 1e-5, "atol": 1e-5, "max_steps": 200_000}
    auto, explicit = (solve(pulse, jnp.ones(1), [0.0, 40.0], method=m, **options)
                      for m in ("auto", "tsit5"))  # fmt: skip
    np.testing.assert_allclose(auto.ys, explicit.ys, atol=1e-3)
    steps = int(auto.stats.accepted + auto.stats.rejected)
    assert 10 < int(auto.stats.jacobians) < steps - 10
    assert steps < int(explicit.stats.accepted) / 20


@x64
def test_problems_that_are_not_stiff_stay_with_the_explicit_method():
    """The same steps, bit for bit but for rounding, and not one Jacobian."""
    field = lambda t, y: jnp.stack([y[1], -jnp.sin(y[0])])
    for rtol in (1e-2, 1e-4, 1e-8):
        auto, explicit = (
            solve(field, jnp.array([1.5, 0.0]), jnp.linspace(0, 20, 7), method=m, rtol=rtol)
            for m in ("auto", "tsit5")
        )
        assert int(auto.stats.jacobians) == 0
        assert int(auto.stats.nfe) == int(explicit.stats.nfe)
        np.testing.assert_allclose(auto.ys, explicit.ys, rtol=1e-7, atol=1e-9)


@x64
@pytest.mark.parametrize("method", BOTH)
def test_evaluations_and_jacobians_are_counted(method):
    """By a field that counts where it is evaluated, and not where it is differentiated."""
    calls = []

    @jax.custom_jvp
    def field(t, y):
        jax.debug.callback(lambda: calls.append(1))
        return -300 * (y - jnp.cos(t))

    @field.defjvp
    def _(at, tangents):
        (t, y), (t_dot, y_dot) = at, tangents
        return -300 * (y - jnp.cos(t)), -300 * (y_dot + t_dot * jnp.sin(t))

    solution = solve(field, jnp.ones(2), [0.0, 1.0, 2.0], method=method, rtol=1e-3, atol=1e-3)
    jax.block_until_ready(solution)
    jax.effects_barrier()
    stats = solution.stats
    assert len(calls) == int(stats.nfe)
    attempts = int(stats.accepted + stats.rejected)
    assert (int(stats.jacobians) == attempts) == (method != "auto")


@x64
@pytest.mark.parametrize("method", STIFF)
def test_singular_matrix_is_a_rejected_step(method):
    """With y' = a y and h = 1 / (a gamma), the matrix is zero: the step is tried again, shorter."""
    gamma = float(METHODS[method].gamma)
    solution = solve(
        lambda t, y: y / gamma, jnp.ones(1), [0.0, 1.0], method=method, dt0=1.0, rtol=1e-4
    )
    assert int(solution.stats.rejected) > 0
    np.testing.assert_allclose(solution.ys[-1], np.exp(1 / gamma), rtol=2e-2)


def test_infinite_jacobian_is_said():
    """The field is finite at the start, its derivative is not."""
    field = lambda t, y: jnp.sqrt(y) - y
    solution = solve(field, jnp.zeros(1), [0.0, 1.0], method="rodas5p", on_failure="return")
    assert int(solution.status) == Status.NON_FINITE
    assert "or its Jacobian" in solution.explain()


def test_remedies_name_methods():
    """An explicit method at a stiff problem names stiff ones; they themselves do not."""
    options = {"on_failure": "return", "max_steps": 99}
    explicit = solve(prothero_robinson, jnp.ones(1), [0.0, 4.0], 1e6, **options)
    assert "method='auto'" in explicit.explain() and "'rodas5p'" in explicit.explain()
    jump = lambda t, y: -1e5 * (y - jnp.sign(jnp.sin(1e3 * t)))
    stiff = solve(jump, jnp.ones(1), [0.0, 4.0], method="rodas5p", **options)
    assert int(stiff.status) == Status.MAX_STEPS and "rodas5p" not in stiff.explain()


def test_failed_lane_has_no_gradient_and_harms_no_other():
    """One blows up, one is stiff and fine."""

    def field(t, y, args):
        return args[0] * y**2 - args[1] * (y - jnp.cos(t))

    def total(args, shared):
        solution = solve(
            lambda t, y, a: shared * field(t, y, a),
            jnp.ones((2, 1)),
            [0.0, 3.0],
            args,
            args_axes=0,
            batch="independent",
            method="auto",
            on_failure="mask",
        )
        return jnp.sum(solution.ys), solution.status

    args = (jnp.array([1.0, 0.0]), jnp.array([0.0, 1e4]))
    (bars, shared), status = jax.grad(total, (0, 1), has_aux=True)(args, 1.0)
    assert status[0] != Status.SUCCESS and status[1] == Status.SUCCESS
    assert bars[0][0] == 0 and bars[1][0] == 0 and np.isfinite(shared)
    assert np.isfinite(bars[0]).all() and bars[0][1] > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto"])
def test_sharded(method):
    """Each device at its own pace, forward and gradient."""
    spec = jax.sharding.PartitionSpec
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def ends(shared, rate):
        field = lambda t, y, args: args[0] * relax(t, y, args[1])
        options = {"batch": "independent", "args_axes": (None, 0), "on_failure": "return"}
        args = shared, rate
        return solve(field, jnp.ones((1, 2)), [0.0, 2.0], args, method=method, **options).ys[:, -1]

    def apart(shared):
        return jnp.concatenate([ends(shared, rate[:1]), ends(shared, rate[1:])])

    run = jax.shard_map(ends, mesh=mesh, in_specs=(spec(), spec("data")), out_specs=spec("data"))
    rate, shared = jnp.array([1.0, 1e4]), jnp.ones(())
    np.testing.assert_allclose(jax.jit(run)(shared, rate), apart(shared), rtol=1e-5)
    slope = jax.jit(jax.grad(lambda shared: jnp.sum(run(shared, rate))))(shared)
    wanted = jax.grad(lambda shared: jnp.sum(apart(shared)))(shared)
    np.testing.assert_allclose(slope, wanted, rtol=1e-4)


BAD = {
    "backsolve.*replay": {"method": "rodas5p", "adjoint": "backsolve"},
    "switching needs": {"method": "rk4+rodas5p"},
    "is not known; choose": {"method": "rodas5p+tsit5"},
    "is not known": {"method": "tsit5+tsit5"},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    with pytest.raises(InputError, match=words):
        solve(lambda t, y: -y, jnp.ones(1), [0.0, 1.0], **BAD[words])


@pytest.mark.slow
@x64
def test_notes_of_one_method_are_no_points_of_the_other():
    """A field that is not finite away from its states, in lanes of both methods at once."""

    def field(t, y, args):
        return -args[0] * jnp.log(y) * args[1] + 0 * t

    def total(shared, rate):
        solution = solve(
            field,
            2 * jnp.ones((2, 2)),
            jnp.linspace(0, 2, 4),
            (shared, rate),
            method="auto",
            args_axes=(None, 0),
            batch="independent",
            rtol=1e-6,
            atol=1e-6,
        )
        return jnp.sum(solution.ys), solution.stats.jacobians

    rate = jnp.array([1.0, 1e4])
    slope, jacobians = jax.grad(total, has_aux=True)(1.0, rate)
    assert int(jacobians[0]) == 0 and int(jacobians[1]) > 5
    ahead, behind = (total(1.0 + step, rate)[0] for step in (1e-4, -1e-4))
    assert float(slope) == pytest.approx(float(ahead - behind) / 2e-4, rel=1e-4)
