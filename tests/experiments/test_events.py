"""Point processes of real events, small."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from isocline.data.physionet import VARIABLES, Stays
from isocline.experiments import events


def drawn(count, seed, rates=lambda rng: rng.gamma(2.0, 0.15)):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, 48, rng.poisson(48 * rates(rng)))) for _ in range(count)]


def test_what_the_samples_were_drawn_by_is_the_best_of_the_simple_models():
    """Where each stay has its rate, one for all is behind; where none has, level."""
    each = events.baselines(drawn(600, 0), drawn(300, 1))
    same = events.baselines(drawn(600, 0, lambda rng: 0.3), drawn(300, 1, lambda rng: 0.3))
    assert each["stay"] > each["constant"] + 0.5
    assert same["stay"] == pytest.approx(same["constant"], abs=0.02)
    # There is no common course: to look for one costs a little, and no more.
    assert each["stay"] - 0.3 < each["stay_course"] < each["stay"] + 0.05


def made_stays():
    """Stays with heart rates, which are no samples of blood, and some of potassium."""
    hours = drawn(40, 2)
    minutes = [np.floor(np.append(one, [0, 47.5]) * 60).astype(int) for one in hours]
    variable = [
        np.append(np.full(len(one), VARIABLES.index("K")), 2 * [VARIABLES.index("HR")])
        for one in hours
    ]
    counts = np.array([len(one) for one in minutes])
    return Stays(
        records=np.arange(40),
        start=np.concatenate([[0], np.cumsum(counts)]),
        minutes=np.concatenate(minutes),
        variable=np.concatenate(variable),
        values=np.ones(counts.sum()),
        died=np.zeros(40, bool),
    )


def test_samples_are_the_minutes_of_laboratory_values_each_once():
    stays = made_stays()
    samples = events.samples_of(stays)
    for own, meant in zip(samples, drawn(40, 2), strict=True):
        np.testing.assert_allclose(own, np.unique(np.floor(meant * 60)) / 60)


@pytest.mark.slow
def test_it_leaves_a_table_a_figure_and_runs_that_are_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "load_physionet", made_stays)
    first = events.run(tmp_path, quick=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"runs", "results.json", "table.md", "events.png", "events.svg"}
    assert len(first["summary"]) == len(events.TITLES)

    def fit(*_, **__):
        raise RuntimeError("fitted again")

    monkeypatch.setattr(events.EventIntensity, "fit", fit)
    assert events.run(tmp_path, quick=True)["summary"] == first["summary"]
    # With another default of the estimator it is another run.
    narrow = functools.partial(events.EventIntensity, hidden_size=8)
    monkeypatch.setattr(events, "EventIntensity", narrow)
    with pytest.raises(RuntimeError, match="fitted again"):
        events.run(tmp_path, quick=True)
