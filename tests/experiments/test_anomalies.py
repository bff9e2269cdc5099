"""The experiment on anomalies: what it measures, and what its results say."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from isocline.experiments import anomalies

RESULTS = Path(__file__).parents[2] / "results" / "anomalies" / "results.json"


def test_lower_scores_of_anomalous_rows_are_right():
    normal = np.array([0.0, -1.0, -2.0])
    found = anomalies.ranked(normal, np.array([-3.0, -np.inf]))
    assert found == {"auc": 1.0, "precision": 1.0}
    assert anomalies.ranked(normal, np.array([1.0, 2.0]))["auc"] == 0
    # One of two before all normal ones, the other behind the lowest of them.
    found = anomalies.ranked(normal, np.array([-3.0, -1.5]))
    assert found == pytest.approx({"auc": 5 / 6, "precision": (1 + 2 / 3) / 2})


def test_no_anomalous_row_is_fitted_to_and_none_is_tested_that_was():
    values = np.stack([np.arange(100.0), np.ones(100)], axis=1)
    strange = np.arange(100) >= 90
    parts = anomalies.split(values, strange, (50, 7), 0)
    assert [part.shape for part in parts.values()] == [(50, 1), (7, 1), (7, 1)]
    assert parts["strange"].min() >= 90
    assert max(parts["train"].max(), parts["normal"].max()) < 90
    assert not set(parts["train"].ravel()) & set(parts["normal"].ravel())
    other = anomalies.split(values, strange, (50, 7), 1)
    assert set(other["train"].ravel()) != set(parts["train"].ravel())


@pytest.mark.slow
def test_anomalies_leaves_a_table(tmp_path):
    found = anomalies.run(tmp_path, quick=True)
    assert [row["model"] for row in found["summary"]] == list(anomalies.MODELS)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["command"] == "isocline reproduce anomalies --quick"
    assert all(row["auc"] > 0.7 and 0 < row["precision"] <= 1 for row in results["runs"])
    assert "| breast cancer |" in (tmp_path / "table.md").read_text()
    told = []
    anomalies.run(tmp_path, quick=True, progress=told.append)
    assert not told  # what is done is not done again


def test_the_committed_results_are_of_all_detectors_and_better_than_guessing():
    results = json.loads(RESULTS.read_text())
    found = {(row["table"], row["model"]): row for row in results["summary"]}
    assert found.keys() == set(product(anomalies.TABLES, anomalies.MODELS))
    assert all(0.5 < row["auc"] <= 1 for row in found.values())
    flows = [row for row in results["runs"] if row["model"] == anomalies.OURS]
    for row in results["runs"]:
        if row["table"] == "magic" and row["model"] != anomalies.OURS:
            ours = next(
                one for one in flows if (one["table"], one["seed"]) == ("magic", row["seed"])
            )
            assert ours["auc"] > row["auc"] and ours["precision"] > row["precision"]
        train, normal, strange = row["rows"]
        assert train >= 2 * normal and row["precision"] > strange / (normal + strange)
