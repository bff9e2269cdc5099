"""Vector fields and encoders: the layers that the models are made of."""

from __future__ import annotations

from .encoders import ENCODERS as ENCODERS
from .encoders import AbstractEncoder as AbstractEncoder
from .encoders import AttentionEncoder as AttentionEncoder
from .encoders import ODERNNEncoder as ODERNNEncoder
from .encoders import RNNEncoder as RNNEncoder
from .fields import ForcedField as ForcedField
