"""`ContinuousFlow` and `NormalizingFlow`: densities of tables, and tables that have none."""

from __future__ import annotations

import json
import pickle

import jax
import numpy as np
import pandas
import polars
import pytest

from isocline.data import plane_density
from isocline.errors import InputError
from isocline.estimators import ContinuousFlow, NormalizingFlow
from isocline.estimators.density_training import _coupled
from isocline.estimators.storing import in_precision
from isocline.models.solving import Solving

TINY = {"hidden_size": 8, "matching": 2, "likelihood": 0, "batch_size": 64}
MOONS = plane_density("moons")


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory):
    """A fit that is repeated finds its programs again: most of a tiny one is compiling."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture(scope="module")
def rows():
    return MOONS.sample(2000, np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(rows):
    """In single precision, as its rows are."""
    settings = {
        "hidden_size": 32,
        "matching": 80,
        "likelihood": 0,
        "batch_size": 128,
        "average": 0.99,
    }
    return ContinuousFlow(**settings).fit(rows.astype(np.float32))


@pytest.mark.core
def test_it_learns_and_is_not_below_the_floor(fitted):
    """No density is likelier than the one that the data are of, but by chance."""
    fresh = MOONS.sample(4000, np.random.default_rng(1)).astype(np.float32)
    gaps = MOONS.log_prob(fresh) - fitted.score_samples(fresh)
    error = gaps.std() / np.sqrt(len(gaps))
    assert -3 * error < gaps.mean() < 0.3
    assert 10 < fitted.nfe_ < 200


@pytest.mark.slow
def test_what_was_learnt_is_one_by_integration_in_the_units_of_the_rows_and_inverts(fitted):
    """At a tight tolerance to 1e-4 and 1e-5, of a trained flow as of a random one."""
    axis = np.linspace(-5, 5, 100)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    # Where single precision finds next to nothing, there is nothing to add.
    grid = grid[fitted.score_samples(grid.astype(np.float32)) > np.log(1e-9)]
    exact = fitted.with_tolerance(1e-7)
    mass = np.exp(exact.score_samples(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert abs(np.log(mass)) < 1e-4
    with jax.enable_x64(True):
        flow, context = in_precision(fitted.network_, True), np.zeros((100, 0))
        z = np.random.default_rng(0).standard_normal((100, 2))
        solving = Solving("tsit5", 1e-7, 1e-7)
        there = flow.move(z, context, to_data=True, solving=solving).points
        back = flow.move(there, context, to_data=False, solving=solving).points
        assert np.abs(back - z).max() < 1e-5


@pytest.mark.slow
def test_samples_are_of_the_density(fitted):
    sample = fitted.sample(3000, seed=1)
    assert sample.shape == (3000, 2)
    np.testing.assert_array_equal(sample, fitted.sample(3000, seed=1))
    fresh = MOONS.sample(3000, np.random.default_rng(2))
    np.testing.assert_allclose(sample.mean(axis=0), fresh.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(sample.T), np.cov(fresh.T), atol=0.4)
    entropy = -fitted.score(sample.astype(np.float32))
    assert entropy == pytest.approx(MOONS.entropy(20_000)[0], abs=0.5)


@pytest.mark.slow
def test_precision_is_that_of_the_rows(fitted, rows):
    few = rows[:20]
    double, single = fitted.score_samples(few), fitted.score_samples(few.astype(np.float32))
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(double, single, atol=2e-3)
    exact = fitted.with_tolerance(1e-10, "dopri8").score_samples(few)
    errors = [
        np.abs(fitted.with_tolerance(tolerance).score_samples(few) - exact).max()
        for tolerance in (1e-3, 1e-5, 1e-7)
    ]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-5


@pytest.mark.slow
def test_anomalies_have_the_lowest_scores(fitted, rows):
    scores = fitted.score_samples(rows.astype(np.float32))
    strange = fitted.score_samples(np.array([[9.0, 9.0], [-6.0, 5.0]], np.float32))
    assert strange.max() < scores.min()


@pytest.mark.slow
def test_saved_and_loaded(fitted, rows, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = ContinuousFlow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score_samples(rows[:50]), fitted.score_samples(rows[:50]))
    np.testing.assert_array_equal(loaded.sample(5), fitted.sample(5))
    assert loaded.get_params() == fitted.get_params() and loaded.history_ == fitted.history_
    assert pickle.loads(pickle.dumps(fitted)).get_params() == fitted.get_params()
    assert repr(loaded) == (
        "ContinuousFlow(hidden_size=32, matching=80, likelihood=0, batch_size=128, average=0.99)"
    )
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["kind"] == "ContinuousFlow"
    with pytest.raises(InputError, match="not a NormalizingFlow"):
        NormalizingFlow.load(tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        ContinuousFlow.load(tmp_path / "model")


@pytest.mark.slow
def test_numbers_of_numpy_as_a_search_gives_them_can_be_saved(rows, tmp_path):
    sizes = {"hidden_size": np.int64(4), "matching": np.int64(1), "likelihood": 0}
    model = ContinuousFlow(field="hyper", learning_rate=np.float64(0.01), **sizes).fit(rows[:100])
    model.save(tmp_path)
    again = ContinuousFlow.load(tmp_path)
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(again.score_samples(rows[:9]), model.score_samples(rows[:9]))


@pytest.mark.slow
def test_a_potential_of_before_is_to_be_fitted_again(rows, tmp_path):
    settings = {"hidden_size": 4, "matching": 1, "likelihood": 0}
    for field, said in (("potential", "(?s)field='potential'.*Fit it again"), ("gated", None)):
        model = ContinuousFlow(field=field, **settings).fit(rows[:100])
        model.save(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config.pop("format") == 2 and config.pop("config_sha256")
        ContinuousFlow.load(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps(config | {"format": 1}))
        if said is None:
            ContinuousFlow.load(tmp_path)
            continue
        with pytest.raises(InputError, match=said):
            ContinuousFlow.load(tmp_path)


class Stop(Exception):
    """What a user's Ctrl-C is to the loop."""


def weights(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model.network_)]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["matching", "likelihood"])
def test_a_resumed_run_gives_the_same_bits(rows, tmp_path, stage):
    settings = TINY | {"likelihood": 2, "field": "hyper", "hidden_size": 2, "learning": 1e-2}

    def stop(row):
        if (row["stage"], row["epoch"]) == (stage, 1):
            raise Stop

    few = rows[:300]
    whole = ContinuousFlow(**settings).fit(few)
    assert [row["stage"] for row in whole.history_] == ["matching"] * 2 + ["likelihood"] * 2
    with pytest.raises(Stop):
        ContinuousFlow(**settings).fit(few, checkpoint=tmp_path / "state", progress=stop)
    again = ContinuousFlow(**settings).fit(few, checkpoint=tmp_path / "state", resume=True)
    for one, other in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="belongs to other data or settings"):
        other = ContinuousFlow(**settings, seed=1)
        other.fit(few, checkpoint=tmp_path / "state", resume=True)


@pytest.mark.slow
def test_a_stage_that_makes_it_worse_is_not_kept(rows):
    few = rows[:300].astype(np.float64)
    matched = ContinuousFlow(**TINY).fit(few)
    # Regularizers so heavy that nothing moves any more.
    heavy = ContinuousFlow(**TINY | {"likelihood": 3, "energy": 1e4, "learning": 1e-2}).fit(few)
    before, after = (
        [row["validation"] for row in heavy.history_ if row["stage"] == stage]
        for stage in ("matching", "likelihood")
    )
    assert min(after) > min(before)
    np.testing.assert_array_equal(heavy.score_samples(few), matched.score_samples(few))


@pytest.mark.slow
def test_both_losses_train_every_field(rows):
    few = rows[:300]
    for field in ("hyper", "potential"):
        residual = {"hamilton_jacobi": 0.1} if field == "potential" else {"trace": "hutch++"}
        model = ContinuousFlow(
            field=field, hidden_size=8, matching=1, likelihood=1, energy=0.01, jacobian=0.01,
            batch_size=32, **residual,
        ).fit(few)  # fmt: skip
        assert np.isfinite(model.score(few))


@pytest.mark.slow
def test_likelihood_alone_lowers_the_held_out_loss(rows):
    model = ContinuousFlow(
        hidden_size=16, matching=0, likelihood=4, trace="hutchinson", batch_size=64, learning=1e-2
    ).fit(rows[:600])
    losses = [row["validation"] for row in model.history_]
    assert {row["stage"] for row in model.history_} == {"likelihood"}
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.slow
def test_transport_pairs_noise_with_points_near_it(rows):
    noise = np.random.default_rng(0).standard_normal((256, 2), np.float32)
    y = rows[:256].astype(np.float32)
    paired = _coupled(noise, y, np.arange(256))
    np.testing.assert_array_equal(np.sort(paired, axis=0), np.sort(noise, axis=0))
    before, after = (np.mean((y - ends) ** 2) for ends in (noise, paired))
    assert after < 0.5 * before
    model = ContinuousFlow(
        coupling=True, hidden_size=16, matching=20, likelihood=0, batch_size=64
    ).fit(y)
    assert model.history_[-1]["validation"] < model.history_[0]["validation"] - 0.1


def test_a_discrete_flow_may_be_conditional():
    draw = np.random.default_rng(0)
    side = draw.normal(size=(800, 1))
    place = 2 * side + 0.5 * draw.normal(size=(800, 1))
    model = NormalizingFlow(layers=8, epochs=30, batch_size=128, learning_rate=1e-2)
    model.fit(place, context=side)
    told, mistaken = model.score(place, context=side), model.score(place, context=-side)
    assert told > mistaken + 1


def test_rows_far_out_are_given_no_density(fitted):
    with pytest.warns(
        UserWarning, match=r"2 rows, row 1 \(counted from 0\) first, lie more than 10000 standard"
    ):
        found = fitted.score_samples(np.array([[0.0, 0.0], [1e30, 0.0], [0.0, -1e30]], np.float32))
    assert np.isfinite(found[0]) and np.isneginf(found[1:]).all() and found.dtype == np.float32


def test_the_discrete_baseline(rows, tmp_path):
    model = NormalizingFlow(layers=8, epochs=60, batch_size=128, learning_rate=1e-2).fit(rows)
    gaps = MOONS.log_prob(rows) - model.score_samples(rows)
    assert 0 < gaps.mean() < 0.45  # a normal distribution: 0.89
    sample = model.sample(500)
    assert -model.score(sample) == pytest.approx(-model.score(rows), abs=0.3)
    model.save(tmp_path / "model")
    loaded = NormalizingFlow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score_samples(rows[:9]), model.score_samples(rows[:9]))


@pytest.mark.slow
def test_the_discrete_baseline_is_trained_by_either_optimizer(rows):
    settings = {"layers": 2, "epochs": 1, "batch_size": 64}
    by_default, adamw, muon = (
        NormalizingFlow(**settings, **chosen).fit(rows[:300]).score(rows)
        for chosen in ({}, {"optimizer": "adamw"}, {"optimizer": "muon"})
    )
    assert by_default == adamw != muon and np.isfinite(muon)
    with pytest.raises(InputError, match="optimizer='sgd' must be one of: adamw, muon"):
        NormalizingFlow(optimizer="sgd").fit(rows)


@pytest.mark.slow
def test_conditional_densities_follow_words_and_numbers():
    draw = np.random.default_rng(0)
    side = draw.choice(["left", "right"], 1500)
    place = np.where(side == "left", -2.0, 2.0)[:, None] + 0.3 * draw.normal(size=(1500, 1))
    model = ContinuousFlow(hidden_size=16, matching=20, likelihood=0, batch_size=128, average=0.98)
    model.fit(place, context=side)
    # One row of context stands for all.
    assert model.sample(200, context=["left"]).mean() == pytest.approx(-2, abs=0.3)
    right = np.full(5, "right")
    assert model.score(np.full((5, 1), 2.0), context=right) > 2 + model.score(
        np.full((5, 1), -2.0), context=right
    )
    frame = pandas.DataFrame({"side": side, "size": draw.normal(size=1500)})
    both = ContinuousFlow(**TINY).fit(place, context=frame)
    assert both.encoding_.size == 3
    for context, message in (
        (["up"], "'up', which was not in fit"),
        (None, "0 columns, and the model learnt from 1"),
        (["left"] * 3, "3 rows: one for each of the 7 rows"),
    ):
        with pytest.raises(InputError, match=message):
            model.sample(7, context=context)
    with pytest.raises(
        InputError, match=r"Context column 0 is not finite \(nan\) in row 3 \(counted"
    ):
        ContinuousFlow(**TINY).fit(place, context=np.where(np.arange(1500) == 3, np.nan, 1.0))


@pytest.mark.slow
def test_bounded_columns_are_transformed_on_request():
    draw = np.random.default_rng(0)
    table = pandas.DataFrame({"share": draw.beta(1, 2, 1500), "wait": draw.exponential(size=1500)})
    with pytest.raises(InputError, match=r"Column 'share' seems to be bounded .*bounds=\{'share'"):
        ContinuousFlow(**TINY).fit(table)
    bounds = {"share": (0, 1), "wait": (0, None)}
    model = ContinuousFlow(
        hidden_size=16, matching=10, likelihood=0, batch_size=128, bounds=bounds
    ).fit(table)
    sample = model.sample(1000)
    assert (sample > 0).all() and (sample[:, 0] < 1).all()
    outside = pandas.DataFrame({"share": [1.2, 0.5, 0.5], "wait": [1.0, -1.0, 1.0]})
    np.testing.assert_array_equal(np.isneginf(model.score_samples(outside)), [True, True, False])
    # The determinant of the transform is in it: the density in the units of the rows is one.
    share, wait = (np.arange(80) + 0.5) / 80, 9 * (np.arange(160) + 0.5) / 160
    grid = pandas.DataFrame(np.stack(np.meshgrid(share, wait), axis=-1).reshape(-1, 2))
    grid.columns = table.columns
    assert np.exp(model.score_samples(grid)).sum() * 9 / 12_800 == pytest.approx(1, abs=0.03)
    with pytest.raises(InputError, match=r"Column 'wait' is .* not inside of its bounds"):
        ContinuousFlow(**TINY, bounds={"wait": (0.5, None)}).fit(table)
    ContinuousFlow(**TINY, accept=True).fit(table)


def test_rounded_columns_are_spread_on_request():
    draw = np.random.default_rng(0)
    table = np.stack([draw.poisson(4, 500), draw.normal(size=500)], axis=1)
    with pytest.raises(InputError, match=r"Column 0 .* name it by --dequantize"):
        ContinuousFlow(**TINY).fit(table)
    assert np.isfinite(ContinuousFlow(**TINY, dequantize=(0,), accept=True).fit(table).score(table))


def normal(rows=60, columns=3):
    return np.random.default_rng(0).normal(size=(rows, columns))


def changed(place, value):
    table = normal()
    table[place] = value
    return table


BAD_TABLES = {
    "one row": (normal(1), "1 sample"),
    "fewer rows than columns": (normal(3, 4), "more rows than columns, 6 at least"),
    "no rows": (normal(0), "more rows than columns"),
    "a constant column": (changed((slice(None), 1), 4.0), r"Column 1 .* is constant \(4 in all 60"),
    "nearly constant": (normal() * 1e-9 + 1e3, "Column 0 .* is constant"),
    "NaN": (changed((17, 2), np.nan), r"Column 2 .* holds NaN in row 17 \(counted from 0\)"),
    "infinity": (changed((3, 0), np.inf), "Column 0 .* holds infinity in row 3"),
    "duplicates": (np.repeat(normal(20), 5, axis=0), "80 of 100 rows are duplicates"),
    "few values": (changed((slice(None), 0), np.arange(60) % 3), "only 3 values .* categorical"),
    "a pile": (changed((slice(20), 0), 0.25), "0.25 in 33 % of the rows"),
    "a pile at the bound": (
        np.maximum(normal(), [-0.5, -9, -9]), "its lower bound -0.5 in 3. % of the rows"
    ),
    "dependent columns": (normal() @ np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0.0]]), "linearly"),
    "words": (np.array([["a"], ["b"]]), "Column 0 .* holds text .* categorical"),
    "a frame with words": (
        pandas.DataFrame({"x": normal()[:, 0], "kind": ["a"] * 60}), "Column 'kind' holds text"
    ),
    "a polars frame with truth values": (
        polars.DataFrame({"x": normal()[:, 0], "wet": [True] * 60}), "Column 'wet' holds truth"
    ),
    "flat": (normal()[:, 0], "Reshape your data"),
    "complex": (normal() + 1j, "Complex data not supported"),
    "no columns": (np.zeros((9, 0)), r"0 feature\(s\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TABLES)
@pytest.mark.parametrize("kind", [ContinuousFlow, NormalizingFlow])
def test_tables_without_a_density_are_refused(kind, name):
    table, message = BAD_TABLES[name]
    with pytest.raises(InputError, match=message):
        kind().fit(table)


BAD_SETTINGS = {
    "field": "planar", "hidden_size": 0, "matching": -1, "trace": "exactly", "energy": -1.0,
    "method": "tsit6", "tolerance": 0, "learning": -1, "bounds": [0, 1], "dequantize": "x",
    "accept": "yes", "batch_size": 0, "validation": 0, "patience": -1, "seed": -1,
    "likelihood": True,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(name):
    with pytest.raises(InputError, match=name):
        ContinuousFlow(**{name: BAD_SETTINGS[name]}).fit(normal())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matching": 0, "likelihood": 0}, "no epoch"),
        ({"hamilton_jacobi": 1.0}, "field='potential'"),
        ({"energy": 0.05, "likelihood": 0}, "energy=0.05 is a weight in maximum likelihood"),
        ({"method": "rk4"}, "can not adapt"),
        ({"bounds": {"x": (0, 1)}}, "bounds: there is no column 'x'; there are: 0 to 2"),
        ({"bounds": {0: (2, 1)}}, "a lower and an upper bound"),
        ({"dequantize": (7,)}, "dequantize: there is no column 7"),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(InputError, match=message):
        ContinuousFlow(**settings).fit(normal())


def test_what_is_asked_later_is_checked_too(fitted):
    for call, message in (
        (lambda: ContinuousFlow().sample(1), "not fitted yet"),
        (lambda: fitted.sample(0), "at least 1"),
        (lambda: fitted.sample(1.5), "whole number"),
        (lambda: fitted.sample(True), "n_samples=True must be a whole number"),
        (lambda: fitted.sample(3, seed=-1), "seed=-1 must be a whole number of at least 0"),
        (lambda: fitted.score_samples(normal()), "3 features, but ContinuousFlow is expecting 2"),
        (lambda: fitted.score_samples([[np.nan, 0]]), "holds NaN in row 0"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    far = fitted.score_samples(np.array([[1e6, 0.0]]))
    assert np.isfinite(far).all() and far[0] < -1e6
