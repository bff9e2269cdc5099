"""What depth costs, and a training step beside torchdiffeq's: small versions."""

from __future__ import annotations

import json

import pytest

from isocline.experiments import bench_odenet, depth


@pytest.mark.slow
def test_memory_and_evaluations(tmp_path, monkeypatch):
    kept = ("replay, all states", "reversible")
    monkeypatch.setattr(depth, "COLOURS", {name: depth.COLOURS[name] for name in kept})
    monkeypatch.setattr(depth, "ADJOINTS", ("reversible",))
    protocol = depth.Protocol(
        channels=2, batch=4, depths=(2, 90), deepest_resnet=2, tolerances=(1e-2, 1e-4)
    )
    depth.run(tmp_path, protocol=protocol)
    results = json.loads((tmp_path / "results.json").read_text())
    memory = {(row["block"], row["depth"]): row["megabytes"] for row in results["memory"]}
    assert memory["replay, all states", 90] > 1.5 * memory["replay, all states", 2]
    # Of 88 steps more it keeps their times.
    assert memory["reversible", 90] - memory["reversible", 2] < 0.01
    looser, tighter = results["evaluations"]
    assert 0 < looser["backward"] < looser["forward"] < tighter["forward"]
    assert (tmp_path / "depth.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_training_step_is_timed(tmp_path):
    bench_odenet.run(tmp_path, quick=True)
    rows = json.loads((tmp_path / "results.json").read_text())["summary"]
    names = [row["name"] for row in rows]
    public = "isocline, the example's network"
    assert names[:4] == [
        public,
        f"{public}, whole",
        "isocline, default to 1e-3",
        "isocline, default",
    ]
    assert all(row["seconds"] > 0 for row in rows)
    assert [row["nfe"] for row in rows[2:7]] == [4, 4, 6, 1, 0]
    assert rows[0]["parameters"] == 208_266
