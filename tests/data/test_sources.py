"""Built-in, remote and simulated data."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from isocline.data import candidate_periods, load, names, remote, spirals
from isocline.data.pendulum import load_double_pendulum
from isocline.data.real_series import load_series
from isocline.data.tables import load_labelled, load_table
from isocline.errors import InputError

from ..conftest import needs_data


def test_built_in_sea_surface_temperature():
    table = load("sst")
    assert len(table.series) == 25 and table.channels == ("sst",)
    assert table.axis.to_label(table.span[0]) == np.datetime64("1950-01-15")
    assert all(one.values.min() > 18 and one.values.max() < 33 for one in table.series)
    assert len({round(gap) for one in table.series for gap in np.diff(one.times)}) > 5
    assert candidate_periods(table) == (365.2425,)


def test_built_in_seattle():
    table = load("seattle_weather")
    assert len(table.series[0]) == 1461 and len(table.channels) == 4
    assert not np.isnan(table.series[0].values).any()


def test_names():
    expected = "sst", "seattle_weather", "lynx_hare", "sunspots", "stocks", "us_macro"
    classics = "airline", "co2", "electrical_equipment", "nile", "fertility"
    assert names() == (*expected, "us_employment", *classics)
    with pytest.raises(InputError, match="Did you mean 'sst'"):
        load("ssst")


def test_lynx_and_hare():
    table = load("lynx_hare")
    (pelts,) = table.series
    assert len(pelts) == 21 and table.channels == ("lynx", "hare")
    assert pelts.times[0] == 1900 and pelts.values[3].tolist() == [35.2, 77.4]


@pytest.mark.parametrize(
    ("name", "series", "rows", "channels"),
    [
        ("sunspots", 1, 309, 1),
        ("stocks", 5, 560, 1),
        ("us_macro", 1, 203, 4),
        ("us_employment", 1, 120, 6),
        ("airline", 1, 144, 1),
        ("co2", 1, 2225, 1),
        ("electrical_equipment", 1, 257, 1),
        ("nile", 1, 100, 1),
        ("fertility", 52, 2527, 1),
    ],
)
def test_tables_of_economies_and_nature(name, series, rows, channels):
    table = load(name)
    assert len(table.series) == series and len(table.channels) == channels
    assert sum(len(one) for one in table.series) == rows
    assert all(np.isfinite(one.values).all() for one in table.series)


def test_files_are_small():
    folder = Path(remote.__file__).parent / "files"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000


NINO = """ Weekly SST data starts week centered on 3Jan1990

                Nino1+2      Nino3        Nino34        Nino4
 Week          SST SSTA     SST SSTA     SST SSTA     SST SSTA
 03JAN1990     23.4-0.4     25.1-0.3     26.6 0.0     28.6 0.3
 10JAN1990     23.4-0.8     25.2-0.3     26.6 0.1     28.6-1.3
"""


def test_weekly_nino(tmp_path):
    path = tmp_path / "wk.for"
    path.write_text(NINO)
    table = remote.load_weekly_nino(path)
    assert [one.name for one in table.series] == ["nino12", "nino3", "nino34", "nino4"]
    assert list(table.axis.to_label(table.series[0].times).astype(str)) == [
        "1990-01-03T00:00:00",
        "1990-01-10T00:00:00",
    ]
    np.testing.assert_array_equal(table.series[0].values, [[23.4, -0.4], [23.4, -0.8]])
    np.testing.assert_array_equal(table.series[3].values, [[28.6, 0.3], [28.6, -1.3]])
    path.write_text(NINO.replace("25.2-0.3", "25.2 ****"))
    with pytest.raises(InputError, match=r"Row 6 of wk\.for"):
        remote.load_weekly_nino(path)
    path.write_text("t,y\n1,2\n")
    with pytest.raises(InputError, match="not a weekly SST"):
        remote.load_weekly_nino(path)


DELHI = "date,meantemp,humidity,wind_speed,meanpressure\n"


def test_delhi(tmp_path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text(DELHI + "2016-12-31,10,80,1,1015\n2017-01-01,11,81,2,7679\n")
    test.write_text(DELHI + "2017-01-01,12,82,3,59\n2017-01-02,13,83,4,1016\n")
    table = remote.load_delhi(train, test)
    np.testing.assert_array_equal(
        table.series[0].values,
        [[10, 80, 1, 1015], [12, 82, 3, np.nan], [13, 83, 4, 1016]],
    )
    assert "1 impossible pressures" in table.notes[-1]
    test.write_text(DELHI + "2017-01-01,12,82,3,59\n2017-01-02,warm,83,4,1016\n")
    with pytest.raises(InputError, match=r"'warm' in column 'meantemp', row 3 of test\.csv"):
        remote.load_delhi(train, test)


@needs_data
def test_the_real_files():
    nino = remote.load_weekly_nino()
    assert {len(one) for one in nino.series} == {1604}
    assert all(np.isfinite(one.values).all() for one in nino.series)
    delhi = remote.load_delhi()
    assert len(delhi.series[0]) == 1462 + 114 - 1
    assert np.nanmin(delhi.series[0].values[:, 3]) > 950


def hanging(angles):
    """A table of markers of a pendulum with the real lengths, at these angles."""
    arms = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * [[600], [450]]
    pivot = np.full((len(angles), 1, 2), 1200.0)
    markers = np.concatenate([pivot, 1200 + np.cumsum(arms, axis=1)], axis=1)
    return np.rint(markers).astype(int).reshape(-1, 6)


def test_double_pendulum(tmp_path):
    path, angles = tmp_path / "0.csv", np.array([[0, 0], [0.5, -1], [3, 2], [-3, 0]], float)
    np.savetxt(path, hanging(angles), fmt="%d", delimiter=",")
    (found,) = load_double_pendulum([path])
    np.testing.assert_allclose(found, angles, atol=3e-3)
    np.savetxt(path, hanging(angles) // 2, fmt="%d", delimiter=",")
    with pytest.raises(InputError, match=r"Arm 1 of 0\.csv is 300 fifths"):
        load_double_pendulum([path])
    path.write_text("1,2\n3,4\n")
    with pytest.raises(InputError, match="six columns"):
        load_double_pendulum([path])
    path.write_text("<html>not found</html>")
    with pytest.raises(InputError, match="not a table of numbers"):
        load_double_pendulum([path])


def test_double_pendulum_is_downloaded_where_no_folder_holds_it(tmp_path, monkeypatch):
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    monkeypatch.setenv("ISOCLINE_CACHE", str(tmp_path / "cache"))
    for run in range(21):
        known = remote.REGISTRY[f"double_pendulum_{run:02d}"]
        assert known.url.endswith(f"/{run}.csv") and len(known.sha256) == 64
        path = tmp_path / f"{run}.csv"
        np.savetxt(path, hanging(np.full((3, 2), run / 10)), fmt="%d", delimiter=",")
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        mine = remote.Remote(path.as_uri(), checksum, f"physics/{run}.csv", "CC0")
        monkeypatch.setitem(remote.REGISTRY, f"double_pendulum_{run:02d}", mine)
    found = load_double_pendulum()
    assert [round(float(one[0, 0]), 2) for one in found] == [run / 10 for run in range(21)]


@needs_data
def test_the_real_pendulum_loses_its_energy():
    runs = load_double_pendulum()
    assert len(runs) == 21 and all(17_000 < len(one) < 18_500 for one in runs)
    for angles in runs:
        beginning, end = (np.cos(part).mean() for part in (angles[:2000], angles[-2000:]))
        assert end > max(beginning, 0)  # it hangs down more and more


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No data folder, an empty cache, and one known file."""
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    monkeypatch.setenv("ISOCLINE_CACHE", str(tmp_path / "cache"))
    origin = tmp_path / "origin.csv"
    origin.write_text("t,y\n1,2\n")
    known = remote.Remote(
        origin.as_uri(), hashlib.sha256(origin.read_bytes()).hexdigest(), "x/y.csv", "CC0"
    )
    monkeypatch.setitem(remote.REGISTRY, "known", known)
    return tmp_path, origin


def test_a_download_is_kept(alone, monkeypatch):
    folder, origin = alone
    path = remote.fetch("known")
    assert path == folder / "cache" / "x" / "y.csv" and path.read_bytes() == origin.read_bytes()
    assert [other.name for other in path.parent.iterdir()] == ["y.csv"]
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked again"))
    assert remote.fetch("known") == path
    path.write_text("spoilt")
    with pytest.raises(InputError, match="not the file that Isocline knows"):
        remote.fetch("known")


def test_the_data_folder_comes_first(alone, monkeypatch):
    folder, origin = alone
    (folder / "mine" / "x").mkdir(parents=True)
    (folder / "mine" / "x" / "y.csv").write_bytes(origin.read_bytes())
    monkeypatch.setenv("ISOCLINE_DATA", str(folder / "mine"))
    assert remote.fetch("known") == folder / "mine" / "x" / "y.csv"


@pytest.mark.parametrize("packed", [True, False])
def test_vowels_are_read_as_published_and_packed(alone, monkeypatch, packed):
    folder, _ = alone
    text = b"#\n@data\n" + b":".join([b"1,2,3", b"4,5,6", b"7,8,9", b"0,0,1", b"9,9,9"]) + b":a\n"
    origin = folder / "vowels.ts"
    origin.write_bytes(gzip.compress(text) if packed else text)
    checksum = hashlib.sha256(text).hexdigest()
    known = remote.Remote(origin.as_uri(), checksum, "series/vowels.ts.gz", "CC0")
    monkeypatch.setitem(remote.REGISTRY, "vowels", known)
    table = load_series("vowels")
    assert table.channels == tuple(f"coefficient{k}" for k in (1, 2, 3, 4))
    assert table.series[0].values.tolist() == [[1, 4, 7, 0], [2, 5, 8, 0], [3, 6, 9, 1]]


@needs_data
@pytest.mark.parametrize("name", ["ett", "flu_regions", "illness", "vowels", "nino_weekly"])
def test_checksums_are_of_the_files_that_are_there(name):
    assert remote.fetch(name).is_file()


def test_a_table_is_downloaded_where_no_folder_holds_it(alone, monkeypatch):
    folder, _ = alone
    np.savez(folder / "22_magic.npz", X=np.eye(3), y=np.zeros(3))
    content = (folder / "22_magic.npz").read_bytes()
    published = (folder / "22_magic.npz").as_uri()
    known = remote.Remote(published, hashlib.sha256(content).hexdigest(), "tabular/m.npz", "CC0")
    monkeypatch.setitem(remote.REGISTRY, "magic", known)
    table = load_table("magic")
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, np.eye(3))
    with pytest.raises(InputError, match="Did you mean 'magic'"):
        load_table("magik")
    values, strange = load_labelled("magic")
    np.testing.assert_array_equal(values, table)
    assert strange.tolist() == [False] * 3
    with pytest.raises(InputError, match=r"'protein' has no labels. There are: magic, shuttle"):
        load_labelled("protein")


@needs_data
@pytest.mark.parametrize(("name", "strange"), [("magic", 6688), ("shuttle", 3511)])
def test_the_rarer_rows_of_a_table_are_the_anomalous_ones(name, strange):
    values, labels = load_labelled(name)
    assert labels.dtype == bool and labels.sum() == strange and len(labels) == len(values)


@needs_data
@pytest.mark.parametrize(("name", "columns"), [("magic", 10), ("protein", 10), ("shuttle", 9)])
def test_tables_are_those_of_the_repository(name, columns):
    table = load_table(name)
    assert table.shape[1] == columns and len(table) > 19_000 and np.isfinite(table).all()


def test_offline_says_what_to_put_where(alone):
    folder, origin = alone
    origin.unlink()
    with pytest.raises(InputError) as caught:
        remote.fetch("known")
    known = remote.REGISTRY["known"]
    for part in (known.url, known.sha256, str(folder / "cache" / "x" / "y.csv"), "ISOCLINE_DATA"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="Did you mean 'nino_weekly'"):
        remote.fetch("nino_weekli")


def test_changed_content_is_not_kept(alone):
    folder, origin = alone
    origin.write_text("t,y\n1,3\n")
    with pytest.raises(InputError, match="has changed"):
        remote.fetch("known")
    assert not (folder / "cache").exists()


def test_spirals_follow_their_formula():
    data = spirals(curves=200, noise=0.0, observations=30, seed=3)
    assert data.values.shape == (200, 30, 2) and data.mask.all()
    assert data.clockwise.sum() == 100
    assert (np.diff(data.times, axis=1) > 0).all()
    assert data.future_times[0] > data.times.max()
    # Counter-clockwise, the radius grows by 0.3 for each radian, whatever the turn.
    step = data.future_times[1] - data.future_times[0]
    for sense, centre in ((False, 5.0), (True, -5.0)):
        curves = data.future[data.clockwise == sense] - [centre, 0]
        radius = np.hypot(*np.moveaxis(curves, -1, 0))
        turned = np.diff(np.unwrap(np.arctan2(curves[..., 1], curves[..., 0])), axis=1)
        np.testing.assert_allclose(turned, -step if sense else step, rtol=1e-6)
        if sense:
            np.testing.assert_allclose(np.diff(15 / radius, axis=1), -step, rtol=1e-6)
        else:
            np.testing.assert_allclose(np.diff(radius, axis=1), 0.3 * step, rtol=1e-6)
    starts = data.future[~data.clockwise, 0] - [5.0, 0]
    assert np.std(np.arctan2(starts[:, 1], starts[:, 0])) > 1  # every curve has its own turn


def test_spirals_have_a_past():
    """All 300 points are of one curve: equal steps of the angle through both ends of the window."""
    data = spirals(curves=60, noise=0.0, observations=100, seed=3)
    times = np.concatenate([data.past_times, data.times[0], data.future_times])
    np.testing.assert_allclose(np.diff(times), times[-1] - times[-2], rtol=1e-9)
    whole = np.concatenate([data.past, data.values, data.future], axis=1)
    whole = whole - np.where(data.clockwise, -5.0, 5.0)[:, None, None] * [1, 0]
    turned = np.diff(np.unwrap(np.arctan2(whole[..., 1], whole[..., 0])), axis=1)
    step = np.where(data.clockwise, -1, 1)[:, None] * (times[1] - times[0])
    np.testing.assert_allclose(turned, np.broadcast_to(step, turned.shape), rtol=1e-6)
    radius = np.hypot(whole[..., 0], whole[..., 1])
    assert (np.diff(radius, axis=1) > 0).all()


def test_spirals_are_random_as_said():
    data, same, other = spirals(seed=1), spirals(seed=1), spirals(seed=2)
    np.testing.assert_array_equal(data.values, same.values)
    assert not np.array_equal(data.values, other.values)
    clean = spirals(seed=1, noise=0.0)
    np.testing.assert_array_equal(clean.times, data.times)
    assert np.std(data.values - clean.values) == pytest.approx(0.1, rel=0.02)
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [800, 100, 100]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    for wrong in ({"curves": 11}, {"observations": 101}, {"observations": 0}, {"noise": -1}):
        with pytest.raises(InputError):
            spirals(**wrong)


def test_imports_stay_light():
    code = (
        "import sys, isocline\n"
        "before = set(sys.modules)\n"
        "import isocline.data, isocline.evaluation, isocline.data.remote\n"
        "heavy = {'jax', 'pandas', 'polars', 'scipy', 'pooch'} & (set(sys.modules) - before)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    path = str(Path(remote.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
