"""The experiments on flows: tiny ones from end to end, and what their tables say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isocline.data import plane_densities, plane_density
from isocline.experiments import (
    bench_cnf,
    bench_ffjord,
    densities,
    flow_targets,
    flows,
    logdet,
    tabular,
)
from isocline.experiments.bench.torch_ffjord import TOY, Trainer, make_trainer
from isocline.experiments.flow_runs import race, time_to

from ..conftest import needs_data

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    out = tmp_path_factory.mktemp("densities")
    models = {densities.PLANAR: ("planar", {"layers": 2, "epochs": 1})}
    models[densities.CNF] = (
        "continuous",
        {"field": "hyper", "hidden_size": 2, "matching": 1, "likelihood": 0, "batch_size": 64},
    )
    protocol = densities.Protocol(("moons",), models, train=600, test=200, grid=20)
    found = densities.run(out, quick=True, protocol=protocol)
    return out, protocol, found


@pytest.mark.slow
def test_densities_leaves_numbers_and_a_figure(ran):
    out, protocol, found = ran
    results = json.loads((out / "results.json").read_text())
    assert results["command"] == "isocline reproduce densities --seeds 1 --quick"
    assert [row["model"] for row in results["summary"]] == list(protocol.models)
    for row in results["runs"]:
        assert row["gap"] == pytest.approx(row["nll"] - row["floor"], abs=1e-3)
        assert row["gap"] > -3 * row["gap_error"] and 0.5 < row["mass"] < 1.1
    assert all((out / f"densities.{end}").stat().st_size > 1000 for end in ("png", "svg"))
    assert found["out"] == str(out)


def test_what_is_done_is_not_done_again(ran):
    out, protocol, _ = ran
    told = []
    densities.run(out, quick=True, protocol=protocol, progress=told.append)
    assert not told


@pytest.mark.slow
def test_flows_leaves_numbers_and_figures(tmp_path):
    protocol = replace(
        flows.QUICK, planar=1, fit_planar={"epochs": 1}, train=300, test=100, grid=16
    )
    found = flows.run(tmp_path, quick=True, protocol=protocol)
    assert [row["target"] for row in found["summary"]] == ["U1", "U1", "moons", "moons"]
    assert all(row["gap"] > -3 * row["gap_error"] for row in found["summary"])
    for name in ("matching", "likelihood", "particles"):
        for end in ("png", "svg"):
            assert (tmp_path / f"{name}.{end}").stat().st_size > 1000


@pytest.mark.parametrize("name", flow_targets.TARGETS)
def test_the_constant_of_a_target_does_not_depend_on_the_grid(name):
    coarse, fine = (flow_targets.log_constant(name, points) for points in (300, 600))
    assert coarse == pytest.approx(fine, abs=1e-3)


@pytest.mark.slow
def test_logdet_leaves_a_table(tmp_path):
    found = logdet.run(tmp_path, quick=True)
    assert [row["size"] for row in found["summary"]] == [2, 8]
    errors = json.loads((tmp_path / "results.json").read_text())["errors"]
    assert all(row["integral"] < 1e-4 and row["inverse"] < 1e-5 for row in errors)


def test_a_table_is_split_and_standardised():
    draw = np.random.default_rng(0)
    table = np.stack([draw.normal(5, 3, 400), draw.poisson(3, 400), np.ones(400)], axis=1)
    parts = tabular.split(table, tabular.Protocol(), seed=0)
    assert parts["train"].shape[1] == 2 and len(parts["test"]) == len(parts["train"]) // 4
    np.testing.assert_allclose(parts["train"].mean(axis=0), 0, atol=1e-5)
    assert len(np.unique(parts["train"][:, 1])) == len(parts["train"])


@pytest.mark.slow
@needs_data
def test_tabular_leaves_a_table(tmp_path):
    found = tabular.run(tmp_path, quick=True)
    models = [row["model"] for row in found["summary"]]
    assert {"Gaussian", *tabular.QUICK.flows} < set(models)
    assert all(np.isfinite(row["nll"]) for row in found["summary"])


@pytest.mark.slow
def test_bench_cnf_leaves_a_table(tmp_path):
    found = bench_cnf.run(tmp_path, quick=True)
    names = [row["name"] for row in found["summary"]]
    ours = "the example's network", "ContinuousFlow by matching", "ContinuousFlow by likelihood"
    assert names[-3:] == [f"isocline, {name}" for name in ours]
    assert all(np.isfinite(row["nll"]) and row["seconds"] > 0 for row in found["summary"])


@pytest.mark.slow
def test_bench_ffjord_leaves_a_table(tmp_path):
    found = bench_ffjord.run(tmp_path, quick=True)
    ours = found["summary"][-1]
    assert ours["model"] == "ContinuousFlow by matching"
    assert all(np.isfinite(row["nll"]) and np.isfinite(row["test"]) for row in found["summary"])
    assert "| circles | ContinuousFlow by matching |" in (tmp_path / "table.md").read_text()


def test_ffjord_is_held_against_the_very_rows_that_ours_holds_out(tmp_path, monkeypatch):
    """With a normal in its place, whose likelihood of all rows is known."""
    seen, kept = [], []

    def log_prob(points):
        seen.append(points)
        return -0.5 * np.sum(points**2, axis=1) - np.log(2 * np.pi)

    normal = Trainer(lambda points: 0.0, log_prob, lambda: kept.append(1), lambda: None, 0)
    monkeypatch.setattr(bench_ffjord, "make_trainer", lambda recipe, size: normal)
    monkeypatch.setattr(bench_ffjord, "on_faster_threads", lambda steps: 1)
    monkeypatch.setattr(bench_ffjord, "find_spec", lambda name: True)
    protocol = replace(bench_ffjord.QUICK, seconds=1e-3, rows=400)
    bench_ffjord.run(tmp_path, protocol=protocol)
    theirs, ours = json.loads((tmp_path / "results.json").read_text())["runs"]
    rows = plane_density("circles").sample(400, np.random.default_rng(0)).astype(np.float32)
    train, test = rows[80:], rows[:80]
    held = train[np.random.default_rng(0).permutation(len(train))[:32]]
    root = np.linalg.inv(np.linalg.cholesky(np.cov(train, rowvar=False, bias=True)))
    for nll, part in ((theirs["nll"], held), (theirs["test"], test)):
        # A normal of the covariance of what was learnt from, whatever root of it whitens.
        white = (part - train.mean(axis=0)) @ root.T
        exact = np.mean(0.5 * np.sum(white**2, axis=1)) + np.log(2 * np.pi)
        assert abs(nll - (exact - np.linalg.slogdet(root)[1])) < 1e-3
    assert len(seen[0]) == 32 and len(kept) == 1
    best = min(score for _, score in ours["course"])
    assert (ours["until"] is None) == (best > theirs["marks"][1][1])


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"speedup": [4.0, 20.4], "until": 2.0}, ["2.0", "20", "4"]),
        ({"speedup": [None, None], "until": None}, ["never", None, None]),
        ({"speedup": [], "until": None}, [None, None, None]),
    ],
)
def test_what_was_never_as_good_or_not_compared_says_so(row, shown):
    common = {"case": "t", "model": "m", "parameters": 1, "compiling": 0.5, "nll": 1.0}
    common |= {"test": 1.0, "seconds": 3.0}
    assert bench_ffjord._cells(common | row, bool(row["speedup"]))[3:6] == shown


def test_the_committed_comparison_is_what_the_page_says_of_it():
    """Flow matching as good as FFJORD in a tenth of its time, on every case."""
    results = json.loads((RESULTS / "bench-ffjord" / "results.json").read_text())
    matching = [row for row in results["summary"] if row["model"].endswith("by matching")]
    assert [row["case"] for row in matching] == list(bench_ffjord.Protocol().cases)
    assert all(ratio > 10 for row in matching for ratio in row["speedup"])


def test_ffjord_learns_and_its_density_has_a_mass_of_one():
    pytest.importorskip("torchdiffeq")
    trainer = make_trainer(TOY._replace(widths=(16,)), 2)
    points = np.random.default_rng(0).normal(3, 0.5, (200, 2)).astype(np.float32)
    before = trainer.log_prob(points).mean()
    for _ in range(60):
        trainer.step(points)
    assert trainer.log_prob(points).mean() > before + 0.3
    axis = np.linspace(-3, 9, 61, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert abs(np.exp(trainer.log_prob(grid)).sum() * 0.2**2 - 1) < 0.01


def course(model, *pairs):
    rows = [
        {"stage": "likelihood", "epoch": index + 1, "seconds": seconds, "validation": score}
        for index, (seconds, score) in enumerate(pairs)
    ]
    return {"model": model, "table": "t", "history": rows}


def test_times_to_a_likelihood_leave_out_what_compiles():
    slow = course("slow", (90, 3.0), (10, 2.05), (10, 2.0))
    fast = course("fast", (20, 3.0), (1, 1.9), (1, 1.8))
    assert time_to(slow["history"], 2.0) == 30 and time_to(slow["history"], 1.0) is None
    (found,) = race([slow, fast], "table", "slow", "fast")
    assert found["ratio at the best"] == f"{30 / 2:.1f}"
    assert found["slow, s to 0.1 above it"] == "20.0"


@pytest.mark.parametrize("name", ["densities", "flows"])
def test_no_committed_result_is_below_the_entropy_floor(name):
    """No density is likelier than the true one, but by chance: three standard errors."""
    results = json.loads((RESULTS / name / "results.json").read_text())
    assert len(results["runs"]) >= 24
    below = [r["model"] for r in results["runs"] if r["gap"] < -3 * r["gap_error"]]
    assert below == []


def test_the_targets_are_met_by_the_committed_results():
    """Within 0.05 nats of the floor on each; a CNF of 8 units better than 32 planar layers."""
    runs = json.loads((RESULTS / "densities" / "results.json").read_text())["runs"]
    assert {row["density"] for row in runs} == set(plane_densities())
    for density in plane_densities():
        gaps = {row["model"]: row["gap"] for row in runs if row["density"] == density}
        assert min(gaps.values()) < 0.05
        assert gaps[densities.CNF] < gaps[densities.PLANAR]


def test_the_committed_cost_of_a_log_determinant_is_that_of_the_slope():
    """At most linear in the size, where that of a layer without structure is a power more."""
    found = json.loads((RESULTS / "logdet" / "results.json").read_text())["exponents"]
    ours = max(found[way] for way in logdet.WAYS if way.startswith("closed form"))
    assert ours < 1.1 and found["determinant of a discrete layer"] > ours + 1
