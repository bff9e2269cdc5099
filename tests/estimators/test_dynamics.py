"""Multiple shooting and a latent SDE as settings of the forecaster."""

from __future__ import annotations

import sys

import numpy as np
import pandas
import pytest

from isocline.errors import InputError
from isocline.estimators import LatentODEForecaster

from .conftest import QUANTILES, TINY


@pytest.mark.parametrize("setting", [{"shooting": 3, "growth": 0.5}, {"dynamics": "sde"}])
@pytest.mark.slow
def test_a_setting_is_trained_saved_and_loaded(frame, tmp_path, setting):
    made = LatentODEForecaster(**TINY | {"members": 2}, **setting).fit(frame)
    part = "path_kl" if "dynamics" in setting else "gap"
    assert all(np.isfinite(row[part]) and row[part] > 0 for row in made.history_)
    forecast = made.predict()
    assert np.isfinite(forecast[["mean", *QUANTILES]].to_numpy()).all()
    assert {name: points.shape for name, (_, points) in made.latent(10).items()} == {
        "north": (10, 2),
        "south": (10, 2),
    }
    made.save(tmp_path)
    again = LatentODEForecaster.load(tmp_path)
    assert again.get_params() == made.get_params()
    pandas.testing.assert_frame_equal(again.predict(), forecast, check_exact=True)


@pytest.mark.slow
def test_shooting_leaves_the_other_weights_as_they_were(frame):
    """The first validation is that of the same untrained model, trained for one epoch or not."""
    plain, shot = (LatentODEForecaster(**TINY | {"epochs": 1, "shooting": n}) for n in (0, 1))
    scores = [one.fit(frame).history_[0]["validation"] for one in (plain, shot)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_settings_that_do_not_go_together_are_refused(frame):
    with pytest.raises(InputError, match=r"^shooting=2 cuts the paths of an ODE"):
        LatentODEForecaster(**TINY, shooting=2, dynamics="sde").fit(frame)


def test_an_sde_without_diffrax_is_refused_before_training(frame, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(InputError, match=r"^dynamics='sde'.*isocline\[diffrax\]"):
        LatentODEForecaster(**TINY, dynamics="sde").fit(frame)
