"""The benchmark of a training step: it runs without the peers, and says what it measured."""

from __future__ import annotations

import json

import pytest

from isocline.cli import main


@pytest.mark.slow
def test_a_step_of_every_network_is_timed(tmp_path):
    assert main(["bench", "odenet", "--quick", "--quiet", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    rows = {row["name"]: row for row in results["summary"]}
    assert rows["isocline, default"]["nfe"] == 4
    assert rows["the same stem, one residual block"]["seconds"] > 0
    assert "ms a step" in (tmp_path / "table.md").read_text()
