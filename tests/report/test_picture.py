"""The picture of the README."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from isocline.errors import InputError
from isocline.report import forecast_figure
from isocline.report.svg import LIGHT


@pytest.fixture(scope="module")
def table(make):
    return make(["a", "b", "c", "d"], ["level", "flow"], dates=True)


@pytest.fixture(scope="module")
def frame(table, backtest_of):
    return backtest_of(table)


def test_three_series_are_shown_if_none_are_named(table, frame):
    figure = forecast_figure(table, frame, titles={"a": "The first"}, unit="m")
    assert [axes.get_title("left") for axes in figure.axes] == ["The first", "c", "d"]
    assert {axes.get_ylabel() for axes in figure.axes} == {"m"}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_dots_are_there_in_every_format(table, frame, kind):
    figure = forecast_figure(table, frame, series=["b"], channel="flow")
    if kind == "svg":
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg")
        assert LIGHT["truth"] in buffer.getvalue()
        return
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    truth = np.abs(pixels - to_rgb(LIGHT["truth"])).max(axis=-1) < 0.01
    # Those of the legend would be at the top.
    assert truth[len(truth) // 4 :].sum() > 50


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"series": ["a", "x"]}, "series 'x' of channel 'level'"),
        ({"channel": "depth"}, "channel 'depth'"),
        ({"series": []}, "channel 'level'"),
    ],
)
def test_what_has_no_backtest_is_named(table, frame, asked, named):
    with pytest.raises(InputError, match=named):
        forecast_figure(table, frame, **asked)
