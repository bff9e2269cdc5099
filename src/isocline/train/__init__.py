"""One training loop for all models."""

from __future__ import annotations

from .checkpoint import Checkpoint as Checkpoint
from .curriculum import growing_horizon as growing_horizon
from .loop import Problem as Problem
from .loop import Settings as Settings
from .loop import Trained as Trained
from .loop import train as train
from .optimizers import OPTIMIZERS as OPTIMIZERS
