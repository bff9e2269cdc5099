"""Where reverse mode ends: with words, and not in the depths of a loop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe
from jaxtyping import PyTree

from ..errors import InputError

NO_REVERSE = (
    "adjoint='forward' has no reverse mode, which jax.grad, jax.vjp and jax.jacrev need: use "
    "adjoint='replay' (or 'reversible', 'backsolve'); 'direct' has both modes, to any order."
)
NO_SECOND = (
    "the gradient of this solve has no reverse mode of its own, which jax.grad of jax.grad needs: "
    "take second derivatives by jax.hessian or jax.jacfwd of it, or use adjoint='direct' (with "
    "steps= or grid=), which goes to any order."
)
NO_FORWARD = (
    "this solve has no forward mode, which jax.jvp, jax.jacfwd and jax.linearize need: use "
    "adjoint='forward', or 'direct' (with steps= or grid=), which has both modes."
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


def reverse_only(tree: PyTree) -> PyTree:
    """The tree itself, on its way into a solve that has a reverse mode and no other.

    A first derivative in forward mode, or a second one in reverse mode, raises an InputError where
    it would be computed: also where that is long after this solve has been traced, because it is
    part of a function under `jit`.
    """

    def mark(leaf: Any) -> Any:
        # Plain numbers have no derivative.
        moves = isinstance(leaf, Tracer) and jnp.issubdtype(leaf.dtype, jnp.inexact)
        return _entered.bind(leaf) if moves else leaf

    return jax.tree.map(mark, tree)


def _identity(name: str) -> Primitive:
    """An operation that changes nothing."""
    primitive = Primitive(name)

    def batched(leaves: Any, axes: Any, **words: Any) -> tuple[Any, Any]:
        return primitive.bind(*leaves, **words), axes[0]

    primitive.def_impl(lambda leaf, **_: leaf)
    primitive.def_abstract_eval(lambda leaf, **_: leaf)
    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, lambda _, leaf, **__: [leaf])
    return primitive


def _refuse(*_: Any, words: str = NO_FORWARD) -> Any:
    raise InputError(words)


def _unknown(trace: Any, *tracers: Any, words: str) -> Any:
    """A tangent that is set apart for later, as reverse mode does: so does `jax.linearize`."""
    if words == NO_SECOND:
        _refuse(words=words)
    return trace.default_process_primitive(_marked, tracers, {"words": words})


_marked, _entered, _differentiated = map(
    _identity, ("forward_only", "reverse_only", "differentiated_once")
)
ad.deflinear2(_marked, _refuse)
pe.custom_partial_eval_rules[_marked] = _unknown
# The tangent of a solve in reverse mode, which is transposed and never computed.
_tangent = _identity("tangent_of_reverse_only")
_tangent.def_impl(_refuse)
mlir.register_lowering(_tangent, _refuse)
ad.deflinear2(_tangent, lambda bar, _: [bar])
ad.primitive_jvps[_entered] = lambda leaves, tangents: (
    _differentiated.bind(*leaves),
    tangents[0] if type(tangents[0]) is ad.Zero else _tangent.bind(*tangents),
)
ad.primitive_jvps[_differentiated] = lambda leaves, tangents: (
    leaves[0],
    tangents[0] if type(tangents[0]) is ad.Zero else _marked.bind(*tangents, words=NO_SECOND),
)
