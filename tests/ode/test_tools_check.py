"""`check_gradient` agrees with what is right, and sees what is wrong."""

from __future__ import annotations

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import Event, SolveError, Status, adjoints, check_gradient
from isocline.ode.tools.differences import along, extrapolated, random_directions
from isocline.ode.tools.opening import array_names, opened
from isocline.ode.tools.problem import Inputs, random_loss, read_problem
from isocline.ode.tools.report import GradientReport, Row

MATRIX = jnp.array([[0.0, 1.0], [-1.0, -0.2]])
Y0, TS = jnp.array([1.0, 0.5]), jnp.array([0.0, 0.7, 1.5])


# A small method: the programs of eight-stage ones take a while to compile.
SMALL = {"method": "heun", "rtol": 1e-3, "repeats": 1, "directions": 1}


def linear(t, y, scale):
    return scale * (MATRIX @ y)


@pytest.fixture(scope="module")
def report():
    return check_gradient(linear, Y0, TS, 1.5, **SMALL)


def test_every_adjoint_has_a_row(report):
    assert [row.adjoint for row in report.rows] == ["differences", *adjoints.ADJOINTS]
    assert all(set(row.errors) == {"y0", "args", "f", "ts"} for row in report.rows)


def test_exact_adjoints_agree_up_to_rounding(report):
    """The reference is in float64 on the same steps, so float32 is all that is between them."""
    rows = {row.adjoint: row for row in report.rows}
    assert rows["differences"].error < 1e-8
    assert rows["replay"].error < 1e-4 and rows["forward"].error < 1e-4
    assert rows["backsolve"].error < 0.1
    assert rows["replay"].mode == "reverse" and rows["forward"].mode.startswith("forward")
    # Each of its accepted steps has two evaluations, and the start one.
    assert rows["replay"].pullbacks == 2 * report.steps + 1
    assert rows["replay"].nfe >= 2 * report.steps + 2
    assert all(row.seconds > 0 for row in report.rows)


@pytest.mark.slow
def test_a_solve_in_double_agrees_better(x64, monkeypatch):
    for name in ("reversible", "backsolve", "direct"):
        monkeypatch.delitem(adjoints.ADJOINTS, name)
    report = check_gradient(linear, np.array([1.0, 0.5]), TS, 1.5, **SMALL)
    assert report.dtype == "float64"
    # The arrays of the field are in float32, and so is their gradient.
    assert {row.adjoint: row.errors["y0"] for row in report.rows}["replay"] < 1e-8


@pytest.mark.slow
def test_a_wrong_gradient_is_seen(report, monkeypatch):
    for name in ("reversible", "direct"):
        monkeypatch.delitem(adjoints.ADJOINTS, name)
    assert "is right" in report.advice and "replay" in report.advice

    def stopped(t, y, scale):
        return scale * (MATRIX @ jax.lax.stop_gradient(y))

    wrong = check_gradient(stopped, Y0, TS, 1.5, **SMALL)
    assert wrong.worst.error > 0.03
    assert "stop_gradient" in wrong.advice and "is right" not in wrong.advice


@pytest.mark.slow
def test_a_new_adjoint_is_picked_up_and_one_without_gradient_says_why(monkeypatch):
    def halved(rules, field, params, task):
        task = task._replace(y0=task.y0 / 2 + jax.lax.stop_gradient(task.y0) / 2)
        return adjoints.ADJOINTS["replay"](rules, field, params, task)

    def none(rules, field, params, task):
        raise NotImplementedError("this one has no gradient")

    monkeypatch.setitem(adjoints.ADJOINTS, "halved", halved)
    monkeypatch.setitem(adjoints.ADJOINTS, "none", none)
    for name in ("reversible", "backsolve", "direct"):
        monkeypatch.delitem(adjoints.ADJOINTS, name)
    # Where the start is a save time, its value comes from no adjoint.
    found = check_gradient(linear, Y0, TS[1:], 1.5, t0=TS[0], **SMALL)
    rows = {row.adjoint: row for row in found.rows}
    assert rows["halved"].errors["y0"] == pytest.approx(0.5, abs=1e-3)
    assert rows["halved"].errors["args"] < 1e-3
    assert rows["none"].mode == "none" and "no gradient" in rows["none"].note
    assert found.worst.adjoint == "halved" and found.worst.group == "y0"
    assert "no gradient" in str(found)


@pytest.mark.slow
def test_masked_save_times_are_no_part_of_the_loss(monkeypatch):
    for name in ("reversible", "backsolve", "direct"):
        monkeypatch.delitem(adjoints.ADJOINTS, name)
    masked = np.ma.masked_equal([0.0, 9.0, 0.7, 1.5, 9.0], 9.0)
    found = check_gradient(linear, Y0, masked, 1.5, **SMALL)
    plain = check_gradient(linear, Y0, TS, 1.5, loss=lambda ys: _picked(ys, 5), **SMALL)
    np.testing.assert_allclose(found.loss, plain.loss, rtol=1e-5)
    assert found.rows[1].error < 1e-2 and found.rows[1].adjoint == "replay"


def _picked(ys, times):
    """The loss of a solve with gaps between its save times, from the values without gaps."""
    return random_loss(jnp.full((times, 2), jnp.nan).at[np.array([0, 2, 3])].set(ys))


@pytest.mark.slow
def test_independent_trajectories_and_fixed_steps(monkeypatch):
    for name in ("reversible", "backsolve", "direct"):
        monkeypatch.delitem(adjoints.ADJOINTS, name)
    field = eqx.nn.MLP(2, 2, 4, 1, jnp.tanh, key=jax.random.key(0))
    spans = jnp.array([[0.0, 1.0], [0.0, -2.0]])
    found = check_gradient(
        lambda t, y, a: a * field(y),
        jnp.ones((2, 2)),
        spans,
        jnp.array([1.0, 0.5]),
        batch="independent",
        args_axes=0,
        **SMALL,
    )
    assert {row.adjoint: row.error for row in found.rows}["replay"] < 1e-4
    fixed = check_gradient(linear, Y0, TS, 1.0, **(SMALL | {"steps": 8}))
    assert fixed.method == "heun" and fixed.steps == 8
    assert {row.adjoint: row.error for row in fixed.rows}["replay"] < 1e-4


def test_report_is_a_table_and_json(report):
    lines = str(report).splitlines()
    assert lines[1].split()[3:7] == ["y0", "args", "f", "ts"]
    assert len({len(line.rstrip()) for line in lines[2:4]}) == 1
    document = json.loads(json.dumps(report.as_dict()))
    assert document["worst"]["error"] == report.worst.error


def test_advice_prefers_accuracy_unless_another_is_clearly_faster():
    def of(*rows):
        reference = Row("differences", "differences", {"y0": 1e-9}, None, None, 1.0)
        made = [Row(n, "reverse", {"y0": e}, 1, 1, s) for n, e, s in rows]
        return GradientReport([reference, *made], 1.0, "tsit5", 3, "float32", "float64").advice

    assert "'a', right to 1e-06." in of(("a", 1e-6, 1.0), ("b", 1e-4, 0.9))
    assert "or 'b', 2.0x faster and to 1e-04" in of(("a", 1e-6, 1.0), ("b", 1e-4, 0.5))
    assert "'a', right to 1e-06." in of(("a", 1e-6, 1.0), ("b", 1e-2, 0.1))
    assert "debug_gradient" in of(("a", float("nan"), 1.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"f": 3}, "f=3"),
        ({"loss": lambda ys: ys}, "one number"),
        ({"directions": 0}, "directions=0"),
        ({"on_failure": "mask"}, "on_failure="),
        ({"ts": None}, "ts must be"),
        ({"y0": jnp.array([1j])}, "y0 is complex"),
    ],
)
def test_bad_input_is_told(change, words):
    given = {"f": linear, "y0": Y0, "ts": TS, "args": 1.0} | change
    with pytest.raises(InputError, match=words):
        check_gradient(**given)


def test_a_failed_solve_is_told():
    with pytest.raises(SolveError, match="needs a solve that succeeds") as caught:
        check_gradient(lambda t, y: y**2, jnp.ones(1), [0.0, 2.0])
    assert int(caught.value.solution.status) != Status.SUCCESS


def test_arrays_that_functions_close_over_have_names_and_can_be_moved():
    weight = jnp.eye(2)

    def inner(y):
        return weight @ y

    def outer(t, y):
        return inner(y) + MATRIX @ y

    made = opened(outer)
    assert array_names(made) == ["inner.weight", "MATRIX"]
    moved = jax.tree.map(lambda leaf: 2 * leaf, made)
    np.testing.assert_allclose(moved(0.0, Y0), 2 * outer(0.0, Y0))
    module = eqx.nn.MLP(2, 2, 4, 0, key=jax.random.key(0))
    assert array_names(opened(module)) == ["f.layers[0].weight", "f.layers[0].bias"]
    assert opened(jnp.tanh) is jnp.tanh

    def bare(t, y):
        return -y

    assert opened(bare) is bare


def test_extrapolated_differences_are_right_to_many_digits():
    found = along(lambda leaves: np.sin(leaves[0][0]), [np.array([0.4])], [np.array([1e-3])])
    assert found.value == pytest.approx(1e-3 * np.cos(0.4), rel=1e-10)
    assert found.uncertainty < 1e-10
    rough = along(lambda leaves: abs(leaves[0][0] - 1e-4), [np.zeros(1)], [np.array([5e-4])])
    assert rough.uncertainty > 1e-6
    assert extrapolated([1.0, 1.0]).uncertainty == 0


def test_directions_are_added_without_rounding_and_keep_times_in_order():
    inputs = Inputs(jnp.array([1.0, -3.3, 0.0]), None, None, jnp.array([0.0, 0.3, 0.3, 1.1]))
    (move,) = random_directions(inputs, "y0", 1, seed=0)[0]
    start = np.asarray(inputs.y0)
    for times in (1, 2, 4, 8, 16, -16):
        exact = start.astype(np.float64) + times * move
        np.testing.assert_array_equal(exact.astype(np.float32).astype(np.float64), exact)
    (moved,) = random_directions(inputs, "ts", 1, seed=0)[0]
    ts = np.asarray(inputs.ts) + 16 * moved
    assert ts[1] == ts[2] and (np.diff(ts) >= 0).all() and np.abs(moved).max() > 0


def test_numbers_in_args_become_arrays_unless_the_field_needs_them_as_they_are():
    def branching(t, y, a):
        return y if a > 0 else -y

    assert eqx.is_array(read_problem(linear, Y0, TS, 1.0, None, {}).inputs.args)
    assert read_problem(branching, Y0, TS, 1.0, None, {}).inputs.args == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"breakpoints": [0.5]},
        {"events": Event(lambda t, y, args: y[0] - 0.6)},
        {
            "events": Event(
                lambda t, y, args: y[0] - 0.6,
                terminal=False,
                reset=lambda t, y, args: 0.5 * y,
            )
        },
    ],
    ids=["breakpoint", "end", "reset"],
)
def test_where_steps_end_at_events_the_reference_is_of_a_fine_solve(options):
    """The adjoints agree with it up to their tolerance; that of a field which jumps as well."""

    def jumping(t, y, rate):
        return -rate * y * jnp.where(t > 0.5, 2.0, 1.0)

    report = check_gradient(
        jumping if "breakpoints" in options else lambda t, y, rate: -rate * y,
        jnp.array([1.0, 0.7]),
        np.array([0.0, 0.3, 1.0], np.float32),
        jnp.float32(1.0),
        method="bosh3",
        rtol=1e-5,
        directions=1,
        repeats=1,
        **options,
    )
    by_name = {row.adjoint: row for row in report.rows}
    assert not report.held and "of a solve to a tolerance of 1e-10" in str(report)
    assert np.isfinite(report.loss) and report.rows[0].error < 1e-6
    for name in ("replay", "backsolve"):
        assert by_name[name].error < 2e-3, name
    assert "reversible" in by_name["reversible"].note


@pytest.mark.slow
def test_a_solve_that_fails_with_one_adjoint_alone_has_no_gradient():
    """Said, where zeros would pass for a gradient: two states that drift apart."""
    report = check_gradient(
        lambda t, y, rate: -rate * y * jnp.where(t > 0.5, 2.0, 1.0),
        jnp.ones(2),
        np.array([0.0, 1.0], np.float32),
        jnp.float32(1.0),
        directions=1,
        repeats=1,
    )
    by_name = {row.adjoint: row for row in report.rows}
    assert by_name["direct"].error < 1e-2
    row = by_name["reversible"]
    assert row.mode == "none" and "reversible" in row.note
