"""Help is everywhere, quick, and true; wrong usage ends with exit code 2 and a hint."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import typing

import pytest

import isocline as package
from isocline.cli.commands import COMMANDS
from isocline.cli.density_settings import DensitySettings
from isocline.cli.events_settings import EventsSettings
from isocline.cli.forecast import with_data_apart
from isocline.cli.settings import ForecastSettings

NAMES = (
    "forecast",
    "density",
    "predict",
    "evaluate",
    "score",
    "events",
    "info",
    "reproduce",
    "bench",
    "check-gradient",
    "debug-gradient",
    "profile",
)


def test_there_are_the_promised_commands(isocline):
    assert set(COMMANDS) == set(NAMES)
    shown = isocline("--help")
    assert shown.code == 0
    assert all(name in shown.out for name in NAMES)
    assert shown.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help_with_examples_and_json(isocline, name):
    shown = isocline(name, "--help")
    assert shown.code == 0
    assert "--json" in shown.out
    for example in COMMANDS[name].examples:
        assert f"isocline {example}\n" in shown.out + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_examples_use_options_that_exist(isocline, name):
    shown = isocline(name, "--help").out
    table = shown[: shown.index("Examples:")]
    for example in COMMANDS[name].examples:
        assert example.split()[0] == name
        for option in re.findall(r"--[a-z-]+", example):
            assert option in table


def test_help_of_a_command_does_not_load_heavy_libraries():
    code = (
        "import sys\nfrom isocline.cli import main\n"
        f"for name in {NAMES}: assert main([name, '--help']) == 0\n"
        "heavy = {'jax', 'numpy', 'pandas', 'polars', 'matplotlib', 'scipy'}\n"
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_answers_at_once():
    def seconds() -> float:
        """Of the processor: that it was busy with others is not the program's fault."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "isocline", "--help"]
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)

    assert min(seconds() for _ in range(3)) < 0.5


def test_version(isocline):
    assert isocline("--version").out.strip() == package.__version__


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["forcast"], 'Did you mean "forecast"'),
        (["forecast", "--horizn", "3d"], "Did you mean --horizon"),
        (["forecast", "--members", "0"], "--members = '0': must be greater than or equal to 1"),
        (["forecast", "--members", "two"], "--members = 'two': must be a valid integer"),
        (["forecast", "--encoder", "rn"], "must be 'attention', 'cde', 'mtan', 'ode_rnn',"),
        (["forecast", "--seed", "-1"], "--seed = '-1': must be greater"),
        (["forecast", "a.csv", "b.csv"], "b.csv"),
        (["forecast", "--horizon"], "--horizon"),
        (["predict"], "MODEL"),
        (["info", "sst", "--nonsense"], "--nonsense"),
        (["evaluate", "--data"], "--data"),
    ],
)
def test_wrong_usage_is_told_in_words(isocline, arguments, hint):
    ended = isocline(*arguments)
    assert ended.code == 2
    assert hint in ended.err
    assert "Traceback" not in ended.err
    assert "pydantic" not in ended.err
    assert ended.out == ""


def test_an_option_of_several_words_gives_the_file_back(tmp_path):
    file = tmp_path / "my.csv"
    file.touch()
    settings = with_data_apart({"target": ("a", str(file))}, None)
    assert settings == {"target": ("a",), "data": str(file.resolve())}
    assert with_data_apart({"target": ("a", "b")}, None) == {"target": ("a", "b")}


def test_defaults_are_those_of_the_estimators():
    from isocline.estimators import ContinuousFlow, EventIntensity, LatentODEForecaster

    for estimator, settings in (
        (LatentODEForecaster(), ForecastSettings()),
        (ContinuousFlow(), DensitySettings()),
        (EventIntensity(), EventsSettings()),
    ):
        own = estimator.get_params()
        assert own == own | settings.estimator()


def choices(kind, name) -> set[str]:
    """The words that an option takes."""
    return set(typing.get_args(kind.model_fields[name].annotation))


def test_options_offer_what_there_is():
    """They are written out, since help does not wait for the libraries, and compared here."""
    from isocline import nn
    from isocline.data.rows import DUPLICATES
    from isocline.estimators.calendar import CALENDAR
    from isocline.estimators.covariates import INTERPOLATIONS
    from isocline.train import OPTIMIZERS

    assert choices(ForecastSettings, "encoder") == set(nn.ENCODERS)
    assert choices(EventsSettings, "encoder") == set(nn.ENCODERS)
    assert choices(ForecastSettings, "interpolation") == set(INTERPOLATIONS)
    assert choices(ForecastSettings, "duplicates") == set(DUPLICATES)
    assert choices(DensitySettings, "field") == set(nn.FIELDS)
    assert choices(DensitySettings, "optimizer") == set(OPTIMIZERS)
    described = ForecastSettings.model_fields["calendar"].description
    assert f"{', '.join(CALENDAR)};" in (described or "")


@pytest.mark.parametrize("function", [package.solve, package.odeint])
def test_signatures_name_all_adjoints(function):
    from isocline.ode.adjoints import ADJOINTS

    named = typing.get_type_hints(function)["adjoint"]
    assert set(typing.get_args(named)) == {"auto", *ADJOINTS}


def test_public_names_are_listed():
    assert set(package.__all__) <= set(dir(package))
