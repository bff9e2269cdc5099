"""`debug_gradient` finds where NaN begins, forward and backward, and names the line at fault."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import debug_gradient, solve
from isocline.ode.tools.nonfinite import culprit_of
from isocline.ode.tools.problem import read_problem

TS = jnp.array([0.0, 1.0, 2.0])
# A small method: the programs of larger ones take a while to compile.
SMALL = {"method": "heun", "rtol": 1e-2}
TURN = jnp.array([[0.0, 1.0], [-1.0, 0.0]])


def test_root_at_zero_is_finite_forward_and_not_backward():
    def field(t, y):
        return TURN @ y + jnp.sqrt(jnp.maximum(y - 5, 0))  # the root

    found = debug_gradient(field, jnp.array([1.0, 0.0]), TS, **SMALL)
    assert found.kind == "vjp" and not found.ok
    assert "`sqrt`" in found.message and "# the root" in found.message
    assert "test_tools_debug.py" in found.message and "infinite" in found.message
    assert found.component == "y[0]" and 0 <= found.time <= 2


def test_norm_of_a_zero_part_of_the_state():
    def field(t, y):
        return {"x": y["v"], "v": -y["v"] * jnp.linalg.norm(y["v"])}

    found = debug_gradient(field, {"x": jnp.ones(2), "v": jnp.zeros(2)}, TS, **SMALL)
    assert found.kind == "vjp" and found.component == "y['v'][0]"
    assert "the norm of a zero vector" in found.message


def test_division_under_where_names_the_parameter_or_state():
    def field(t, y, a):
        return jnp.where(y > 2, a / (y * 0), -a * y)

    found = debug_gradient(field, jnp.array([1.0]), TS, 1.0, **SMALL)
    assert found.kind == "vjp" and "`div`" in found.message and "*before* dividing" in found.message


def test_a_parameter_alone_is_named():
    net = eqx.nn.MLP(1, 1, 4, 0, key=jax.random.key(0))
    scale = jnp.zeros(())

    def field(t, y):
        return net(y) + jnp.sqrt(scale)

    found = debug_gradient(field, jnp.array([1.0]), TS, **SMALL)
    assert found.kind == "vjp" and found.component == "scale"


def test_the_step_that_the_way_back_meets_first_is_told():
    """y[1] comes to 0 at t=1, in the last stage of step 3; there the root is switched on."""

    def field(t, y):
        return jnp.where(t < 1.0, -jnp.ones_like(y), jnp.sqrt(jnp.maximum(y, 0)) * (t >= 1.0))

    found = debug_gradient(
        field, jnp.array([3.0, 1.0]), jnp.array([0.0, 2.0]), method="rk4", steps=8
    )
    assert found.kind == "vjp" and found.component == "y[1]" and found.step == 3 and found.time == 1


@pytest.mark.parametrize("direction", [1, -1])
def test_forward_failure_is_found_with_time_and_operation(direction):
    def field(t, y):
        return jnp.log(1.5 - direction * t) * y

    found = debug_gradient(field, jnp.array([1.0, 0.5]), direction * TS, **SMALL)
    assert found.kind == "field" and "`log`" in found.message
    assert found.time == pytest.approx(1.5 * direction, abs=1e-2) and found.component == "y[0]"


def test_other_failures_are_those_of_explain():
    found = debug_gradient(lambda t, y: y**2, jnp.array([1.0]), TS, **SMALL)
    assert found.kind == "solve" and "sign of the field" in found.message.lower()


def test_loss_and_its_gradient():
    def spin(t, y):
        return TURN @ y

    y0 = jnp.array([1.0, 0.0])
    bad = debug_gradient(spin, y0, TS, **SMALL, loss=lambda ys: jnp.log(ys[-1, 0] - 5))
    assert bad.kind == "loss" and "`log`" in bad.message
    steep = debug_gradient(
        spin, y0, TS, **SMALL, loss=lambda ys: jnp.sqrt(jnp.sum((ys[0] - ys[0]) ** 2))
    )
    assert steep.kind == "loss gradient" and steep.component == "ys[0, 0]"
    assert "`sqrt`" in steep.message


def test_overflow_on_the_way_back():
    def steep(t, y):
        return 10 * jnp.tanh(1e3 * y) - 10 * y

    found = debug_gradient(steep, jnp.zeros(1), [0.0, 0.2], loss=lambda ys: 1e30 * ys[-1, 0])
    assert found.kind == "cotangent" and "overflows" in found.message and found.time < 0.2


def test_inputs_that_are_not_finite():
    found = debug_gradient(
        lambda t, y, a: a["k"] * y, jnp.ones(2), TS, {"k": jnp.array([1, np.inf])}
    )
    assert found.kind == "input" and found.component == "args['k'][1]"


def test_nothing_wrong():
    found = debug_gradient(lambda t, y: TURN @ y, jnp.array([1.0, 0.0]), TS, **SMALL)
    assert found.ok and "Nothing is wrong" in str(found) and found.as_dict()["ok"]


@pytest.mark.slow
def test_save_times_that_are_masked_are_as_in_a_solve():
    """What there is not is NaN to the loss, and no solve knows of it."""
    options = {"batch": "independent", **SMALL}
    y0, rows = jnp.array([[1.0], [2.0]]), [[0.0, 1.0], [0.0, 0.5, 2.0]]

    def decay(t, y, rate):
        return -rate * y

    found = debug_gradient(decay, y0, rows, 1.5, **options)
    assert found.ok, found
    assert debug_gradient(decay, y0, rows, 1.5, loss=jnp.nansum, **options).ok
    found = debug_gradient(decay, y0, rows, 1.5, loss=jnp.sum, **options)
    assert found.kind == "loss" and "masked save times" in found.message

    def total(rate):
        return jnp.nansum(solve(decay, y0, rows, rate, **options).ys ** 2)

    problem = read_problem(decay, y0, rows, 1.5, lambda ys: jnp.nansum(ys**2), options)
    value, slope = jax.value_and_grad(
        lambda rate: problem.value(problem.inputs._replace(args=rate))[0]
    )(1.5)
    np.testing.assert_allclose([value, slope], jax.value_and_grad(total)(1.5), rtol=1e-6)


def test_the_trajectory_of_a_batch_is_named():
    def field(t, y, a):
        return y * a + jnp.sqrt(jnp.maximum(y - 5, 0))

    found = debug_gradient(
        field,
        jnp.array([[9.0], [1.0]]),
        jnp.array([[0.0, 0.1], [0.0, -0.1]]),
        jnp.array([1.0, 2.0]),
        batch="independent",
        args_axes=0,
        **SMALL,
    )
    assert found.kind == "vjp" and found.trajectory == 1 and str(found).startswith("Trajectory 1: ")
    late = debug_gradient(
        lambda t, y: y**2,
        jnp.array([[-1.0], [1.0]]),
        TS,
        batch="independent",
        max_steps=2000,
        **SMALL,
    )
    assert late.kind == "solve" and late.trajectory == 1


def test_culprits_inside_calls_and_none():
    @jax.jit
    def inside(x):
        return jnp.log(x)

    assert culprit_of(lambda x: 1 + inside(x), jnp.array(-1.0)).operation == "`log`"
    assert culprit_of(lambda x: 1 + inside(x), jnp.array(1.0)) is None


def test_bad_input_is_told():
    with pytest.raises(InputError, match="f=None"):
        debug_gradient(None, jnp.ones(1), TS)
