"""One self-contained HTML page about a run, and a picture of its forecasts.

Both need matplotlib, and the page Jinja2: the extra `plot`.
"""

from __future__ import annotations

from .page import report_page as report_page
from .picture import forecast_figure as forecast_figure
