"""The report: one self-contained page, and the picture of the README.

Needs the extra `plot` (matplotlib and Jinja2) and pandas; nothing else of Isocline imports this part.
"""

from __future__ import annotations

from .page import report_page as report_page
from .picture import forecast_figure as forecast_figure

__all__ = ["forecast_figure", "report_page"]
