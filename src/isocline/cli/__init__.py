"""The command line: `isocline COMMAND`; `commands.COMMANDS` lists them."""

from __future__ import annotations

from .app import main as main
