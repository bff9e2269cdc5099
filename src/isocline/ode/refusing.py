"""Where reverse mode ends: with words, and not in the depths of a loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import PyTree

from ..errors import InputError

NO_REVERSE = (
    "adjoint='forward' has no reverse mode, which jax.grad, jax.vjp and jax.jacrev need: use "
    "adjoint='replay' (or 'reversible', 'backsolve'); 'direct' has both modes, to any order."
)
NO_SECOND = (
    "the gradient of this solve has no reverse mode of its own, which jax.grad of jax.grad needs: "
    "take second derivatives by jax.hessian or jax.jacfwd of it, or use adjoint='direct', which "
    "goes to any order."
)
NO_FORWARD = (
    "this solve has no forward mode, which jax.jvp, jax.jacfwd and jax.linearize need: use "
    "adjoint='forward', or 'direct', which has both modes."
)


def in_words(error: Exception) -> Exception:
    """The same error; or, where JAX can not differentiate a solve in a mode, one that says why."""
    if isinstance(error, InputError):
        return error
    if "forward-mode" in str(error):
        return InputError(NO_FORWARD)
    return InputError(NO_SECOND) if "Linearization failed" in str(error) else error


def forward_only(tree: PyTree, words: str) -> PyTree:
    """The tree itself; differentiated in reverse, it raises an InputError with these words."""

    def mark(leaf: Any) -> Any:
        return _marked.bind(leaf, words=words) if jnp.issubdtype(leaf, jnp.inexact) else leaf

    return jax.tree.map(mark, tree)


def _refuse(*_: Any, words: str) -> Any:
    raise InputError(words)


def _batched(leaves: Any, axes: Any, words: str) -> tuple[Any, Any]:
    return _marked.bind(*leaves, words=words), axes[0]


def _same(leaf: Any, **_: Any) -> Any:
    return leaf


_marked = Primitive("forward_only")
_marked.def_impl(_same)
_marked.def_abstract_eval(_same)
ad.deflinear2(_marked, _refuse)
batching.primitive_batchers[_marked] = _batched
mlir.register_lowering(_marked, lambda _, leaf, **__: [leaf])
