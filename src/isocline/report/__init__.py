"""Figures of forecasts, and one self-contained HTML page about a run."""

from .figures import forecast_figure
from .page import report_page

__all__ = ["forecast_figure", "report_page"]
