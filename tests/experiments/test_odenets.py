"""The experiments on images: a tiny one from end to end, and what its table says."""

from __future__ import annotations

import json
import shutil

import pytest

from isocline.cli import main
from isocline.errors import InputError
from isocline.experiments import digits, fashion, mnist, names, odenets
from isocline.experiments.odenets import MAIN, QUICK, Protocol, wilson

# The quick run takes minutes, and the test that comes first waits for it.
pytestmark = pytest.mark.timeout(1200)
COMMAND = ["reproduce", "digits", "--quick", "--quiet", "--out"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder of a quick run, as the command line makes it."""
    out = tmp_path_factory.mktemp("digits")
    assert main([*COMMAND, str(out)]) == 0
    return out


@pytest.mark.slow
def test_an_experiment_leaves_numbers_figures_and_a_model(out):
    results = json.loads((out / "results.json").read_text())
    assert results["command"] == "isocline reproduce digits --quick"
    assert [row["model"] for row in results["summary"]] == list(QUICK)
    errors = {row["model"]: float(row["error"]) for row in results["summary"]}
    assert errors[MAIN] < min(errors["mlp"], errors["no block"], 15)
    runs = {run["name"]: run for run in results["runs"]}
    run = runs["ode-net-0"]
    assert run["tested"] == 360 and run["nfe"] > 0
    assert len(run["history"]) == 20 and run["history"][0]["seconds"] > 0
    tolerances = results["tolerances"]
    assert [row["tolerance"] for row in tolerances] == sorted(
        (row["tolerance"] for row in tolerances), reverse=True
    )
    assert len(tolerances) == 8 and tolerances[-1]["numerical_error"] < 1e-6
    assert all(row["error"] < 0.15 and row["seconds"] > 0 for row in tolerances)
    assert [row["precision"] for row in tolerances] == ["single"] * 6 + ["double"] * 2
    told = {row["model"]: row for row in results["answers_to_noise"]}
    assert set(told) == {"resnet-1", MAIN}
    for row in told.values():
        assert row["clean"] > 0.85 and 0 < row["FGSM 0.3"] < row["FGSM 0.15"] < row["clean"]
        assert row["noise 100"] < row["clean"]
    back = [row["error"] for row in results["way_back"]]
    assert back[-1] < 1e-4 and back[-1] < back[0]
    for file in ("table.md", "tolerances.png", "tolerances.svg", "training.png"):
        assert (out / file).stat().st_size > 100
    assert (out / "models" / "ode-net-0" / "config.json").is_file()
    assert not list((out / "checkpoints").iterdir())


@pytest.mark.slow
def test_what_is_done_is_not_done_again(out, monkeypatch):
    monkeypatch.setattr(odenets, "tolerance_curve", lambda *_: [])
    told = []
    before = json.loads((out / "results.json").read_text())["summary"]
    assert digits.run(out, quick=True, progress=told.append)["summary"] == before
    assert not told


@pytest.mark.slow
def test_a_run_whose_model_is_gone_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(odenets, "tolerance_curve", lambda *_: [])
    settings = {"epochs": 1, "channels": 8}
    protocol = Protocol("x", "digits", models={MAIN: {}}, settings=settings)
    odenets.run(protocol, tmp_path)
    shutil.rmtree(tmp_path / "models")
    odenets.run(protocol, tmp_path)
    assert (tmp_path / "models" / "ode-net-0" / "config.json").is_file()


def test_rivals_have_more_seeds_unless_the_seeds_are_told():
    models = {"resnet-6": {}, "resnet-1": {}, MAIN: {}}
    protocol = Protocol("x", "digits", rival_seeds=2, models=models)
    first = [("resnet-1", 0), (MAIN, 0), ("resnet-6", 0)]
    assert protocol.plan(None) == [*first, ("resnet-1", 1), (MAIN, 1)]
    assert protocol.plan([3]) == [(name, 3) for name, _ in first]


@pytest.mark.parametrize("experiment", [mnist, fashion, digits])
def test_quick_versions_take_images_that_are_shipped(experiment):
    full, quick = experiment.FULL, experiment.FULL.quick()
    assert quick.data in ("mnist_small", "fashion_mnist_small", "digits")
    assert quick.settings["epochs"] < full.settings["epochs"] and set(quick.models) == set(QUICK)


def test_the_interval_is_wilsons():
    low, high = wilson(42, 10_000)
    assert low == pytest.approx(0.0031, abs=1e-4) and high == pytest.approx(0.0057, abs=1e-4)


def test_they_are_listed():
    assert {"mnist", "fashion", "digits"} <= set(names("reproduce"))


def test_a_set_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCLINE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="There is no image set"):
        odenets.run(Protocol("x", "mnits", models={MAIN: {}}), tmp_path)
