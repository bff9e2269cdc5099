"""Figures as inline SVG whose colours and fonts come from the style sheet of the page."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Each role is drawn in a colour that stands for nothing but its CSS variable, so that one figure
# serves the light scheme, the dark one and paper.
ROLES = {
    "ink": "#0a0b01",
    "muted": "#0a0b02",
    "grid": "#0a0b03",
    "paper": "#0a0b04",
    "model": "#0a0b05",
    "truth": "#0a0b06",
    "persistence": "#0a0b07",
    "seasonal_naive": "#0a0b08",
    "climatology": "#0a0b09",
    "gru": "#0a0b0a",
    "linear": "#0a0b0b",
}
# The light scheme in plain colours, for pictures outside of the page. Okabe and Ito's palette.
LIGHT = {
    "ink": "#24292f",
    "muted": "#57606a",
    "grid": "#d8dee4",
    "paper": "#ffffff",
    "model": "#0067a5",
    "truth": "#c44e00",
    "persistence": "#6e7781",
    "seasonal_naive": "#00775a",
    "climatology": "#a8488a",
    "gru": "#9a6700",
    "linear": "#4b4fc4",
}
_DECIMALS = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
# A name is shown as it is, with dollar signs in it too.
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "isocline", "text.parse_math": False}


def settings() -> dict[Any, Any]:
    """matplotlib's own defaults and what SVG needs, whatever the user has set."""
    keep = {"backend", "backend_fallback", "interactive", "toolbar", "webagg.port"}
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if key not in keep}
    return defaults | _SETTINGS


@dataclass(frozen=True)
class Panel:
    """A figure of the page with its caption.

    Args:
        title, channel, note: any text; the template escapes it.
        svgs: of `to_svg`: the same figure drawn once, or first wide and then narrow.
    """

    title: str
    svgs: tuple[str, ...]
    channel: str = ""
    note: str = ""


def to_svg(axes: Axes, name: str, label: str) -> str:
    """The figure of the axes as an SVG element.

    Args:
        axes: drawn in the colours of `ROLES`.
        name: unique in the page: ids inside of the figure begin with it.
        label: what a screen reader says; any text, it is escaped here.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(settings()):
        FigureCanvasSVG(cast(Figure, axes.figure)).print_svg(
            buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    if size is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    body = text[text.index(">", size.end()) + 1 : text.rindex("</svg>")]
    head = (
        f'<svg class="plot" viewBox="0 0 {float(size[1]):g} {float(size[2]):g}" role="img" '
        f'aria-label="{html.escape(label, quote=True)}">'
    )
    return head + _cleaned(body, name) + "</svg>"


def _cleaned(body: str, name: str) -> str:
    for pattern in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<defs>\s*</defs>"):
        body = re.sub(pattern, "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', body))
    # Only tags: the text between them is what the reader sees, 0.595 at a tick for instance.
    body = re.sub(r"<[^>]+>", lambda tag: _cleaned_tag(tag[0], name, used), body)
    return re.sub(r"\s*\n\s*", "\n", body)


def _cleaned_tag(tag: str, name: str, used: set[str]) -> str:
    # Groups are named alike in all figures, but an id may occur only once in a page.
    tag = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
    tag = tag.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    tag = re.sub(r"(font(?:-family)?: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--sans)", tag)
    for role, colour in ROLES.items():
        tag = tag.replace(colour, f"var(--fig-{role.replace('_', '-')})")
    return _DECIMALS.sub(lambda m: f"{round(float(m[0]), 2):g}", tag)
