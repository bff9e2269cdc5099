"""Methods for stiff problems."""

from __future__ import annotations

from .rosenbrock import rosenbrock_step as rosenbrock_step
from .switching import Mode as Mode
from .switching import switching_pull as switching_pull
from .switching import switching_step as switching_step
