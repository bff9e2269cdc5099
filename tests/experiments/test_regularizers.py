"""The experiment on what straightens flows: what it measures, and what its results say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from isocline.experiments import regularizers
from isocline.models import Flow
from isocline.nn import AbstractFlowField

RESULTS = Path(__file__).parents[2] / "results" / "regularizers" / "results.json"


class Turn(AbstractFlowField):
    """A quarter turn about the origin, beside a shift."""

    angle: float
    shift: float

    def __call__(self, t, z, context):
        return self.angle * jnp.stack([-z[1], z[0]]) + self.shift


def test_straight_ways_of_the_best_pairs_have_ratios_of_one():
    found = regularizers.travelled(Flow(Turn(0.0, 3.0), 2))
    assert found == pytest.approx({"energy": 18.0, "bend": 1.0, "excess": 1.0}, rel=1e-4)


def test_a_quarter_turn_is_bent_and_for_nothing():
    """An arc beside its chord: pi / 2 to the root of two, squared; the ends hardly differ."""
    found = regularizers.travelled(Flow(Turn(np.pi / 2, 0.0), 2))
    assert found["energy"] == pytest.approx(2 * np.pi**2 / 4, rel=0.1)  # E|z|^2 of 1,000 points
    assert found["bend"] == pytest.approx(np.pi**2 / 8, rel=1e-3)
    assert found["excess"] > 20


@pytest.mark.slow
def test_regularizers_leaves_numbers_and_a_figure(tmp_path):
    models = {regularizers.COUPLED: regularizers.QUICK.models[regularizers.COUPLED]}
    protocol = replace(regularizers.QUICK, models=models)
    found = regularizers.run(tmp_path, quick=True, protocol=protocol)
    assert [row["model"] for row in found["summary"]] == [regularizers.COUPLED]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["command"] == "isocline reproduce regularizers --seeds 1 --quick"
    (row,) = results["runs"]
    assert row["bend"] >= 1 and row["excess"] > row["bend"] - 1e-9 and row["inverse_error"] < 1e-5
    for end in ("png", "svg"):
        assert (tmp_path / f"ways.{end}").stat().st_size > 1000


def test_the_committed_results_are_right_and_straighter_where_asked():
    results = json.loads(RESULTS.read_text())
    assert all(row["gap"] > -3 * row["gap_error"] for row in results["runs"])
    assert all(row["mass_error"] < 1e-4 for row in results["runs"])
    assert all(row["inverse_error"] < 1e-5 for row in results["runs"])
    found = {(row["density"], row["model"]): row for row in results["summary"]}
    protocol = regularizers.PROTOCOL
    assert found.keys() == {(d, m) for d in protocol.densities for m in protocol.models}
    for density in protocol.densities:
        for plain, straight in (
            (regularizers.LIKELIHOOD, regularizers.RNODE),
            (regularizers.LIKELIHOOD, regularizers.OT_FLOW),
            (regularizers.MATCHING, regularizers.COUPLED),
        ):
            for measure in ("nfe", "energy", "excess"):
                assert found[density, straight][measure] < found[density, plain][measure]
        rnode, ot_flow = found[density, regularizers.RNODE], found[density, regularizers.OT_FLOW]
        assert ot_flow["gap"] < rnode["gap"] and ot_flow["excess"] < rnode["excess"]
