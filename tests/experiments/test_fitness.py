"""The sets of the fitness experiment, its table and figure; and the benchmark of many series."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data.real_series import load_series, names_of_series, simulated_series
from isocline.errors import InputError
from isocline.estimators.asking import default_horizon
from isocline.evaluation import rolling_origins
from isocline.experiments import bench_series, fitness

from ..conftest import needs_data

TINY = {"epochs": 1, "members": 1, "hidden_size": 4, "latent_size": 2, "batch_size": 8}
SHAPES = {  # series, rows, channels
    "delhi": (1, 1575, 4),
    "nino": (4, 4277, 1),
    "flu": (10, 7850, 1),
    "covid": (1, 1781, 3),
    "pacific": (15, 5985, 1),
    "lynx_hare": (1, 21, 2),
    "ett": (1, 1440, 7),
    "illness": (1, 966, 4),
    "measles": (7, 7301, 1),
    "vowels": (270, 4274, 4),
    "delhi_gaps": (1, 1050, 4),
    "pendulum": (166, 11122, 4),
}


@needs_data
@pytest.mark.parametrize("name", SHAPES)
def test_real_series_are_what_they_should_be(name):
    table = load_series(name)
    found = len(table.series), sum(len(one) for one in table.series), len(table.channels)
    assert found == SHAPES[name]
    assert all(np.isfinite(one.values).any(axis=1).mean() > 0.9 for one in table.series)


def test_sets_are_known_by_name_and_asked_for_in_words(monkeypatch):
    assert set(fitness.TITLES) <= set(names_of_series())
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    with pytest.raises(InputError, match=r"pacific_sst.*ISOCLINE_DATA"):
        load_series("pacific")
    with pytest.raises(InputError, match="Did you mean 'covid'"):
        load_series("covit")


def test_simulated_series_are_irregular_and_the_same_again():
    table = simulated_series(3, (20, 30), 2, days=100)
    assert [one.name for one in table.series] == ["series0000", "series0001", "series0002"]
    assert all(20 <= len(one) <= 30 and np.ptp(np.diff(one.times)) > 0 for one in table.series)
    again = simulated_series(3, (20, 30), 2, days=100)
    for one, other in zip(table.series, again.series, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_scaling_for_the_table_knows_the_training_rows_alone():
    table = simulated_series(2, 60, 2, days=200)
    horizon = default_horizon(table)
    known = fitness.standardized(table, horizon).until(rolling_origins(table, horizon).train_end)
    values = np.concatenate([one.values for one in known.series])
    np.testing.assert_allclose(values.std(axis=0), 1)


@pytest.mark.slow
def test_the_table_has_a_row_a_set_and_nothing_is_done_twice(tmp_path, monkeypatch):
    """Without the folder of real data its sets are left out, and said to be."""
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    monkeypatch.setattr(fitness, "load_series", lambda name: _small(name))
    protocol = fitness.Protocol(data=("simulated", "pacific"), settings=TINY)
    result = fitness.run(tmp_path, protocol=protocol)
    (row,) = result["summary"]
    assert (row["data"], row["half"], row["series"]) == ("simulated", "reported", 2)
    assert all(row[f"crps_{model}"] > 0 for model in fitness.MODELS)
    assert "Left out" in result["note"]
    text = (tmp_path / "table.md").read_text()
    assert text.count("**") == 4 and "2 series, 120 rows, 2 channels" in text
    assert (tmp_path / "fitness.png").stat().st_size > 10_000
    monkeypatch.setattr(fitness, "standardized", lambda *_: pytest.fail("fitted again"))
    assert fitness.run(tmp_path, protocol=protocol)["summary"] == result["summary"]


def _small(name):
    if name != "simulated":
        return load_series(name)
    return simulated_series(2, 60, 2, days=300)


@pytest.mark.slow
def test_the_benchmark_of_many_series_has_a_row_a_size(tmp_path):
    protocol = bench_series.Protocol(sizes=(2,), fewest=20, most=30, epochs=1)
    result = bench_series.run(tmp_path, protocol=protocol)
    (row,) = result["summary"]
    assert row["series"] == 2 and 40 <= row["rows"] <= 60
    assert row["grown"] > 0 and row["predict_each"] > 0 and row["epoch"] > 0
    assert (tmp_path / "series.png").stat().st_size > 10_000
