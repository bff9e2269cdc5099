"""Vector fields and encoders: the layers that the models are made of."""

from __future__ import annotations

from .attention_encoder import AttentionEncoder as AttentionEncoder
from .budget import BudgetError as BudgetError
from .budget import NFEBudget as NFEBudget
from .controlled_encoder import ControlledEncoder as ControlledEncoder
from .divergence import TRACES as TRACES
from .divergence import AbstractFlowField as AbstractFlowField
from .divergence import AbstractTrace as AbstractTrace
from .divergence import ExactTrace as ExactTrace
from .divergence import Hutchinson as Hutchinson
from .divergence import HutchPlusPlus as HutchPlusPlus
from .encoders import ENCODERS as ENCODERS
from .encoding import AbstractEncoder as AbstractEncoder
from .fields import ForcedField as ForcedField
from .flow_fields import FIELDS as FIELDS
from .flow_fields import GatedField as GatedField
from .flow_fields import HyperField as HyperField
from .flow_fields import PotentialField as PotentialField
from .level import Level as Level
from .recurrent_encoders import ODERNNEncoder as ODERNNEncoder
from .recurrent_encoders import RNNEncoder as RNNEncoder
from .reference_encoder import ReferenceEncoder as ReferenceEncoder
from .regularized import Regularized as Regularized
from .regularized import regularized_solve as regularized_solve
from .regularizers import AbstractIntegral as AbstractIntegral
from .regularizers import AbstractRegularizer as AbstractRegularizer
from .regularizers import AbstractStepTerm as AbstractStepTerm
from .regularizers import JacobianNorm as JacobianNorm
from .regularizers import KineticEnergy as KineticEnergy
from .regularizers import SolverError as SolverError
from .regularizers import Stiffness as Stiffness
from .regularizers import TaylorOrder as TaylorOrder
from .regularizers import steer as steer
from .surroundings import Surroundings as Surroundings
