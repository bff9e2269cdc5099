"""How all figures look: one style, time axes, and SVG that follows the colours of the page."""

from __future__ import annotations

import io
import re
from typing import Any

from isocline.data import SeriesTable

MODEL, ACCENT, LATER = "#2f7fc1", "#d1661c", "#1f9d74"
# Matplotlib knows no "currentColor": this stands for it until the SVG is written.
INK = "#0a0b0c"
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.dpi": 100,
}


def new_figure(width: float, height: float) -> Any:
    """An empty figure in the style, without matplotlib's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def styled() -> Any:
    """The context in which axes are made and drawn."""
    from matplotlib import rc_context

    return rc_context(STYLE)


def to_svg(figure: Any, name: str, description: str) -> str:
    """The figure as an SVG element to put into a page; `name` keeps its ids apart from those of others."""
    from html import escape

    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context(STYLE | {"svg.hashsalt": name, "svg.id": f"figure-{name}"}):
        figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg, count=2)
    # Ids of groups ("axes_1") are the same in every figure; nothing refers to them.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    label = escape(description, quote=True)
    return re.sub(r'width="[^"]*pt"', f'role="img" aria-label="{label}"', re.sub(r'height="[^"]*pt" ', "", svg, count=1), count=1)


def time_axis(axis: Any, table: SeriesTable) -> None:
    """Few, short dates; or numbers."""
    if table.axis.kind == "datetime":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=2, maxticks=5)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axis.locator_params(axis="x", nbins=5)


def labels_of(table: SeriesTable, numbers: Any) -> Any:
    """Times for matplotlib: dates without a zone (those of the file), or numbers."""
    column = table.time_column(numbers)
    return column.dt.tz_localize(None).to_numpy() if table.axis.timezone is not None else column.to_numpy()


def plain_times(column: Any) -> Any:
    """A time column of a forecast for matplotlib: dates lose their zone, not their clock."""
    return column.dt.tz_localize(None).to_numpy() if getattr(column.dtype, "tz", None) is not None else column.to_numpy()


def shortened(name: str, most: int = 34) -> str:
    """A name that fits above a panel."""
    return name if len(name) <= most else name[: most - 1] + "…"
