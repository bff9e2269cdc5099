"""The hopper: kept files, what is wrong with others, and a simulation where dm-control is there."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from isocline.data import hopper, load_hopper
from isocline.errors import InputError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    return tmp_path / "cache" / "physics" / "hopper"


def made(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4, 14)).astype(np.float32)


def write(folder, name, values):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / name, values)


def test_fewer_are_the_first_of_a_kept_file(cache):
    values = made(6)
    write(cache, "stand-123.npy", values)
    found = load_hopper(4)
    np.testing.assert_array_equal(found.values, values[:4])
    np.testing.assert_allclose(found.times, [0, 0.005, 0.01, 0.015])
    assert len(hopper.CHANNELS) == found.values.shape[2]


def test_the_data_folder_comes_before_the_cache(cache, tmp_path, monkeypatch):
    write(cache, "stand-123.npy", made(3))
    write(tmp_path / "data" / "physics" / "hopper", "stand-123.npy", made(3, seed=1))
    monkeypatch.setenv("ISOCLINE_DATA", str(tmp_path / "data"))
    np.testing.assert_array_equal(load_hopper(3).values, made(3, seed=1))


@pytest.mark.parametrize(
    ("values", "fault"), [(made(2), "shape"), (made(4)[:, :, :13], "shape"), (None, "no array")]
)
def test_another_file_is_refused(cache, values, fault):
    write(cache, "stand-123.npy", values)
    if values is None:
        (cache / "stand-123.npy").write_bytes(b"not an array")
    with pytest.raises(InputError, match=rf"stand-123\.npy .*{fault}.*Delete it"):
        load_hopper(3)


def test_without_dm_control_a_message_says_what_to_install(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(InputError, match=r"isocline\[hopper\].*ISOCLINE_DATA"):
        load_hopper(3)
    assert not cache.exists()


@pytest.mark.parametrize("count", [0, 10_001])
def test_a_wrong_number_is_named(count):
    with pytest.raises(InputError, match=f"not {count}"):
        load_hopper(count)


@pytest.mark.slow
def test_the_simulation_is_the_papers_and_the_same_by_seed(cache):
    pytest.importorskip("dm_control")
    found = load_hopper(3).values
    assert found.shape == (3, hopper.POINTS, 14) and np.isfinite(found).all()
    # The first draws of the generator are the first initial state.
    random = np.random.RandomState(hopper.SEED)
    np.testing.assert_allclose(found[0, 0, :2], random.uniform(0, 0.5, 2), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 2:7], random.uniform(-2, 2, 5), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 7:], random.uniform(-5, 5, 7), rtol=1e-6)
    # Positions move by the velocities that are recorded beside them (semi-implicit Euler).
    moved = np.diff(found[:, :, :7], axis=1)
    np.testing.assert_allclose(moved, hopper.STEP * found[:, 1:, 7:], atol=1e-5)
    assert (cache / "stand-123-3.npy").is_file()
    np.testing.assert_array_equal(hopper.simulate(2, hopper.SEED), found[:2])
    assert (hopper.simulate(2, 1) != found[:2]).any()
    np.testing.assert_array_equal(load_hopper(3).values, found)
