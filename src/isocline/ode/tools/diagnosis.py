"""What `debug_gradient` says, and the names it calls things by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .opening import array_names
from .problem import Problem, path_name


@dataclass(frozen=True)
class Diagnosis:
    """What `debug_gradient` found; `print` it.

    Attributes:
        kind: "fine", or what is not finite first: "input", "field" (forward), "solve" (failed for
            another reason), "loss", "loss gradient", "vjp" (of the field) or "cotangent".
        message: what, where, and what to do, in words.
        time: where in the solve; None if that has no meaning.
        step: number of the accepted step that begins there or reaches over it.
        component: of the state, argument or parameter: as one writes it in Python.
        trajectory: of an independent batch.
    """

    kind: str
    message: str
    time: float | None = None
    step: int | None = None
    component: str | None = None
    trajectory: int | None = None

    @property
    def ok(self) -> bool:
        """Whether all is finite."""
        return self.kind == "fine"

    def as_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON can hold it."""
        return asdict(self) | {"ok": self.ok}

    def __str__(self) -> str:
        who = "" if self.trajectory is None else f"Trajectory {self.trajectory}: "
        return who + self.message


def named_arrays(problem: Problem) -> list[tuple[str, Any]]:
    """All floating arrays of a problem, by name."""
    inputs = problem.inputs
    named = [
        (name + path_name(path), leaf)
        for name, tree in (("y0", inputs.y0), ("args", inputs.args))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if eqx.is_inexact_array(leaf)
    ]
    leaves = jax.tree.leaves(eqx.filter(inputs.f, eqx.is_inexact_array))
    return [*named, *zip(array_names(inputs.f), leaves, strict=True)]


def component_name(problem: Problem, index: int) -> str:
    """A number of the raveled state, as one writes it in Python."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(problem.inputs.y0):
        if index < leaf.size:
            place = np.unravel_index(index, leaf.shape) if leaf.shape else ()
            return "y" + path_name(path) + (f"[{', '.join(map(str, place))}]" if place else "")
        index -= leaf.size
    raise AssertionError


def read_names(problem: Problem) -> list[str]:
    """Names of the arrays that the field reads, in the order of `Local.reads`."""
    return [name for name, _ in named_arrays(problem) if not name.startswith("y0")]
