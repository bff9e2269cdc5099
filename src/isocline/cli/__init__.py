"""The command line: `isocline forecast | predict | evaluate | info | reproduce | bench`."""

from __future__ import annotations

from .app import main as main
