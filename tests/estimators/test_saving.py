"""Saved models: the same after loading, and refused in words where they can not be read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil

import jax
import numpy as np
import pandas
import pytest
from safetensors.numpy import load, save

from isocline.errors import InputError
from isocline.estimators import LatentODEForecaster

from .conftest import TINY, small_frame


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    """A folder with a model."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    fitted.save(folder)
    return folder


@pytest.fixture
def model(saved, tmp_path):
    """A copy to be spoilt."""
    return shutil.copytree(saved, tmp_path / "model")


@pytest.mark.slow
@pytest.mark.core
def test_a_loaded_model_predicts_the_same_numbers(fitted, saved):
    again = LatentODEForecaster.load(saved)
    pandas.testing.assert_frame_equal(again.predict(), fitted.predict(), check_exact=True)
    newer = small_frame(seed=2, days=1000)
    pandas.testing.assert_frame_equal(again.predict(data=newer), fitted.predict(data=newer))
    assert again.get_params() == fitted.get_params()
    assert again.history_ == fitted.history_ and again.best_epoch_ == fitted.best_epoch_
    assert again.periods_ == fitted.periods_ and again.horizon_ == fitted.horizon_


def test_a_model_of_the_first_format_predicts_the_same(fitted, model):
    """It knows no covariates: neither among the columns nor among the settings."""
    config = json.loads((model / "config.json").read_text())
    assert config["format"] == 3 and "covariates" not in config
    columns = {name: config["table"]["columns"][name] for name in ("time", "series", "targets")}
    new = ("calendar", "interpolation")
    settings = {name: value for name, value in config["settings"].items() if name not in new}
    table = config["table"] | {"columns": columns}
    rewrite(model, format=1, table=table, settings=settings)
    again = LatentODEForecaster.load(model)
    pandas.testing.assert_frame_equal(again.predict(), fitted.predict(), check_exact=True)


@pytest.mark.slow
@pytest.mark.core
def test_a_loaded_model_backtests_the_same(scored, tmp_path):
    """With the GRU that the backtest trained; it is not trained anew."""
    forecaster, backtest = scored
    forecaster.save(str(tmp_path / "model"))
    again = LatentODEForecaster.load(str(tmp_path / "model"))
    assert again.gru_ is not None
    again._train = None  # it would be called
    found = again.backtest()
    assert found.metrics == backtest.metrics
    pandas.testing.assert_frame_equal(found.frame, backtest.frame)


def test_the_shares_of_the_rules_are_kept(saved, tmp_path):
    forecaster = LatentODEForecaster.load(saved)
    before = forecaster.predict()
    predictor = forecaster.predictor_
    shares = np.linspace(0.2, 0.4, predictor.pool.shares.size).reshape(2, -1)
    known = forecaster.table_.until(forecaster.split_.validation_end)
    pool = dataclasses.replace(predictor.pool, shares=shares).fitted(known, predictor.scaling)
    forecaster.predictor_ = dataclasses.replace(predictor, pool=pool)
    forecaster.save(tmp_path)
    mixed, again = forecaster.predict(), LatentODEForecaster.load(tmp_path).predict()
    pandas.testing.assert_frame_equal(again, mixed, check_exact=True)
    assert (mixed["mean"] - before["mean"]).abs().max() > 1e-3


@pytest.mark.slow
def test_a_model_of_before_loads_as_it_was(frame, tmp_path):
    """Without a level, transforms, persistence, and factors but those of the 90 % interval."""
    settings = TINY | {"epochs": 1, "anchored": False, "transform": "none", "linear": False}
    plain = LatentODEForecaster(**settings).fit(frame)
    plain.predictor_ = dataclasses.replace(plain.predictor_, pool=None)
    plain.save(tmp_path)
    arrays = load((tmp_path / "weights.safetensors").read_bytes())
    newer = [name for name in arrays if name.endswith((".inner", ".channels", ".above"))]
    assert len(newer) == 3
    content = save({name: array for name, array in arrays.items() if name not in newer})
    (tmp_path / "weights.safetensors").write_bytes(content)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("forced", "transforms", "config_sha256"):
        del config[name]
    for name in ("anchored", "transform", "linear"):
        del config["settings"][name]
    config["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = LatentODEForecaster.load(tmp_path)
    assert again.anchored is False and again.transform == "none" and again.linear is False
    before, after = plain.predict(), again.predict()
    pandas.testing.assert_frame_equal(before[["time", "mean"]], after[["time", "mean"]])
    wide = [(one.q95 - one.q05).mean() for one in (before, after)]
    assert 0.3 < wide[1] / wide[0] < 3


@pytest.mark.slow
def test_a_model_of_before_the_linear_rule_has_a_share_of_the_last_value(frame, tmp_path):
    plain = LatentODEForecaster(**TINY | {"epochs": 1, "linear": False}).fit(frame)
    pool = dataclasses.replace(plain.predictor_.pool, shares=np.array([[0.3]]))
    known = plain.table_.until(plain.split_.validation_end)
    pool = pool.fitted(known, plain.predictor_.scaling)
    plain.predictor_ = dataclasses.replace(plain.predictor_, pool=pool)
    plain.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["settings"]["linear"]
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 2}))
    rewrite(tmp_path, lambda arrays: arrays.update({"latent_ode.pool": np.array([0.3])}))
    again = LatentODEForecaster.load(tmp_path)
    pandas.testing.assert_frame_equal(again.predict(), plain.predict(), check_exact=True)


def test_a_folder_holds_two_files_without_pickle(saved, model):
    assert {file.name for file in saved.iterdir()} == {"config.json", "weights.safetensors"}
    config = json.loads((saved / "config.json").read_text())
    assert config["settings"]["horizon"] == TINY["horizon"]
    content = (saved / "weights.safetensors").read_bytes()
    assert config["sha256"] == hashlib.sha256(content).hexdigest()
    assert all(np.isfinite(a).any() for a in load(content).values() if a.size)


def test_saving_twice_writes_the_same_bytes_and_replaces(fitted, saved, model):
    (model / "weights.safetensors").write_bytes(b"old")
    fitted.save(model)
    for name in ("config.json", "weights.safetensors"):
        assert (model / name).read_bytes() == (saved / name).read_bytes()
    assert len(list(model.iterdir())) == 2


def test_a_loaded_model_saves_the_same_bytes(saved, tmp_path):
    LatentODEForecaster.load(saved).save(tmp_path / "again")
    weights = "weights.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (saved / weights).read_bytes()


def test_a_model_is_not_lost_when_writing_fails(fitted, model, monkeypatch):
    before = {file.name: file.read_bytes() for file in model.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        fitted.save(model)
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before


def test_a_place_that_can_not_be_written_is_named(fitted, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        fitted.save(tmp_path / "file" / "model")


def rewrite(model, change=None, **entries):
    """A config that was changed by hand, or arrays with a checksum that fits them."""
    config = json.loads((model / "config.json").read_text()) | entries
    # The checksum of the config itself goes, to come to what the reader checks beyond it.
    del config["config_sha256"]
    if change is not None:
        arrays = load((model / "weights.safetensors").read_bytes())
        change(arrays)
        content = save(arrays)
        (model / "weights.safetensors").write_bytes(content)
        config["sha256"] = hashlib.sha256(content).hexdigest()
    (model / "config.json").write_text(json.dumps(config))


def cut(model):
    file = model / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def flip(model):
    file = model / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def weights_of_junk(model):
    (model / "weights.safetensors").write_bytes(b"junk")
    rewrite(model, sha256=hashlib.sha256(b"junk").hexdigest())


def nan_weight(arrays):
    arrays["latent_ode.000"] = np.full_like(arrays["latent_ode.000"], np.nan)


def wrong_shape(arrays):
    arrays["latent_ode.001"] = np.zeros((3, 3, 3), np.float32)


def edit(model, old, new):
    """The config as somebody might leave it who opens it in an editor."""
    text = (model / "config.json").read_text()
    assert old in text
    (model / "config.json").write_text(text.replace(old, new))


def unsorted_times(arrays):
    arrays["data.00000.times"] = arrays["data.00000.times"][::-1].copy()


DAMAGE = {
    "no folder": (shutil.rmtree, "no model", "config.json"),
    "no config": (lambda m: (m / "config.json").unlink(), "no model", "config.json"),
    "empty config": (lambda m: (m / "config.json").write_text(""), "can not be read", ""),
    "binary config": (
        lambda m: (m / "config.json").write_bytes(b"\xff\xfe\x00"),
        "not be read",
        "",
    ),
    "config of others": (lambda m: (m / "config.json").write_text('{"a": 1}'), "format", "config"),
    "config is a list": (lambda m: (m / "config.json").write_text("[1]"), "format", "config.json"),
    "newer": (lambda m: rewrite(m, format=4, isocline="9.9"), "format 4.*9.9.*Upgrade", ""),
    "no number as format": (lambda m: rewrite(m, format="1"), "format", "config.json"),
    "format before the first": (lambda m: rewrite(m, format=0), "format", "config.json"),
    "nested without end": (
        lambda m: (m / "config.json").write_text("[" * 100_000),
        "not be read",
        "config.json",
    ),
    "other horizon": (
        lambda m: edit(m, '"horizon": 60', '"horizon": 61'),
        "checksum",
        "config.json",
    ),
    "no weights": (
        lambda m: (m / "weights.safetensors").unlink(),
        "be read",
        "weights.safetensors",
    ),
    "cut": (cut, "damaged", "weights.safetensors"),
    "flipped": (flip, "damaged", "weights.safetensors"),
    "junk": (weights_of_junk, "damaged", "weights.safetensors"),
    "NaN": (lambda m: rewrite(m, nan_weight), "damaged", "not finite"),
    "wrong shape": (lambda m: rewrite(m, wrong_shape), "damaged", "shape"),
    "array gone": (lambda m: rewrite(m, lambda a: a.pop("latent_ode.002")), "damaged", "config"),
    "times mixed up": (lambda m: rewrite(m, unsorted_times), "damaged.*increasing", "north"),
    "settings": (lambda m: rewrite(m, settings={"colour": 1}), "damaged", "colour"),
    "no settings": (lambda m: rewrite(m, settings=None), "damaged", "config.json"),
    "table": (lambda m: rewrite(m, table={}), "damaged", "columns"),
    "split": (lambda m: rewrite(m, split=[1]), "damaged", "config.json"),
    "shape": (lambda m: rewrite(m, shape="wide"), "damaged", "config.json"),
    "unknown encoder": (lambda m: rewrite(m, settings={"encoder": "lstm"}), "damaged", "lstm"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_model_is_refused_and_named(model, case):
    """InputError, with the folder or the file in its words."""
    spoil, *words = DAMAGE[case]
    spoil(model)
    with pytest.raises(InputError, match=words[0]) as caught:
        LatentODEForecaster.load(model)
    message = str(caught.value)
    assert words[1] in message
    assert str(model) in message
    assert len(message) < 600


def test_a_file_is_not_a_model(saved):
    with pytest.raises(InputError, match=r"config\.json"):
        LatentODEForecaster.load(saved / "config.json")


@pytest.mark.slow
@pytest.mark.core
def test_an_interrupted_fit_resumes_to_the_bit(fitted, frame, tmp_path):
    """Stopped after the first epoch, gone on with, and bitwise the one that nothing stopped."""

    class Stop(Exception):
        pass

    def stop(row):
        raise Stop

    rows = []
    with pytest.raises(Stop):
        LatentODEForecaster(**TINY).fit(frame, checkpoint=tmp_path, progress=stop)
    again = LatentODEForecaster(**TINY)
    again.fit(frame, checkpoint=tmp_path, resume=True, progress=rows.append)
    assert [(row["stage"], row["epoch"]) for row in rows] == [("latent_ode", 2)]
    leaves = (jax.tree.leaves(one.predictor_.model) for one in (again, fitted))
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, other)
    pandas.testing.assert_frame_equal(again.predict(), fitted.predict(), check_exact=True)
    # A checkpoint belongs to its data and settings; others do not go on from it.
    changed = frame.assign(level=frame.level + 1)
    for data, settings in ((changed, TINY), (frame, TINY | {"seed": 1})):
        with pytest.raises(InputError, match="other data or settings"):
            LatentODEForecaster(**settings).fit(data, checkpoint=tmp_path, resume=True)
