"""The encoders by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .attention_encoder import AttentionEncoder
from .controlled_encoder import ControlledEncoder
from .encoding import AbstractEncoder
from .recurrent_encoders import ODERNNEncoder, RNNEncoder
from .reference_encoder import ReferenceEncoder

ENCODERS: dict[str, Callable[..., AbstractEncoder]] = {
    "rnn": RNNEncoder,
    "plain_rnn": partial(RNNEncoder, gaps=False),
    "tanh_rnn": partial(RNNEncoder, cell="tanh"),
    "ode_rnn": ODERNNEncoder,
    "attention": AttentionEncoder,
    "mtan": ReferenceEncoder,
    "cde": ControlledEncoder,
}
