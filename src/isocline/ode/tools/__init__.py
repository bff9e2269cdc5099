"""Tools that answer what users ask of a solve: is its gradient right, where does it break, what
does it cost."""

from __future__ import annotations

from .check import check_gradient as check_gradient
from .debug import debug_gradient as debug_gradient
from .diagnosis import Diagnosis as Diagnosis
from .profiling import Cost as Cost
from .profiling import Profile as Profile
from .profiling import profile as profile
from .report import GradientReport as GradientReport
from .report import Row as Row
