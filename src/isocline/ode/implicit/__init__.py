"""Methods for stiff problems."""

from __future__ import annotations

from .rosenbrock import rosenbrock_step as rosenbrock_step
