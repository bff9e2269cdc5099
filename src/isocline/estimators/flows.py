"""`ContinuousFlow` and `NormalizingFlow`: densities of tables, in scikit-learn's manner."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax

from isocline.errors import InputError
from isocline.models.flow import Flow
from isocline.models.flow_losses import Learning
from isocline.models.planar import PlanarFlow
from isocline.models.solving import Solving
from isocline.nn import FIELDS, TRACES

from .checking import check_continuous_flow, check_normalizing_flow
from .density import Density
from .density_stages import Stage
from .density_training import density_problem

AFTER_MATCHING = 0.3  # of the learning rate


class ContinuousFlow(Density):
    """A continuous normalizing flow (Chen et al. 2018, sec. 4): log-densities and samples.

    First it learns by flow matching (Lipman et al. 2023), which takes no solve and is fast, then by
    maximum likelihood. Columns are standardised inside; densities are in the units
    of X. Categories, rounded values and bounds have no density that a smooth flow could learn: such
    columns are refused, or transformed on request.

    Args:
        field: "gated" (a perceptron with time-dependent gates), "hyper" (the paper's, whose planar
            units come from a hyper-network) or "potential" (a gradient, as in OT-Flow).
        hidden_size: units of the field, the paper's M.
        matching, likelihood: epochs of flow matching, and of maximum likelihood after it.
        coupling: pair noise and data by optimal transport in flow matching (Tong et al. 2024), for
            straighter paths and fewer evaluations, instead of matching the mean velocity of many
            pairs (Xu et al. 2023), which comes nearer to the density. Conditional flows do neither.
        trace: in maximum likelihood: "exact", "hutchinson" or "hutch++".
        energy, jacobian: weights of RNODE's regularizers in maximum likelihood (Finlay et al.
            2020): with them solves take fewer steps.
        hamilton_jacobi: weight of OT-Flow's, of field="potential" (Onken et al. 2021).
        method, tolerance: of the solver that answers (rtol and atol of `isocline.solve`).
        learning: tolerance of the solver while learning.
        bounds: of columns by name or number, as `{"share": (0, 1), "length": (0, None)}`.
        dequantize: columns of rounded values, which are spread over the width of their rounding.
        accept: learn from columns that seem rounded, bounded or repeated as they are.
        batch_size, learning_rate, average: of training (average is the decay of the running average
            of the weights).
        optimizer: "muon", whose steps of matrices are orthogonal, or "adamw", which learns tables
            more slowly.
        patience: stop a stage after so many epochs that were no better (None: never).
        validation: the share of the rows that is held out, to choose the epoch by.
        seed: of everything random.

    Attributes:
        network_, scaling_, encoding_, history_, n_parameters_: after `fit`.
        n_features_in_, feature_names_in_: columns of X, and their names if it was a data frame.
        nfe_: evaluations of the field a row by the last answer.
    """

    def __init__(  # noqa: PLR0913 - settings, not a burden
        self,
        *,
        field: str = "gated",
        hidden_size: int = 64,
        matching: int = 40,
        likelihood: int = 8,
        coupling: bool = False,
        trace: str = "exact",
        energy: float = 0.0,
        jacobian: float = 0.0,
        hamilton_jacobi: float = 0.0,
        method: str = "tsit5",
        tolerance: float = 1e-5,
        learning: float = 1e-4,
        bounds: Mapping[Any, tuple[float | None, float | None]] | None = None,
        dequantize: Sequence[Any] = (),
        accept: bool = False,
        batch_size: int = 256,
        learning_rate: float = 1e-2,
        optimizer: str = "muon",
        average: float = 0.999,
        patience: int | None = 15,
        validation: float = 0.1,
        seed: int = 0,
    ):
        self.field = field
        self.hidden_size = hidden_size
        self.matching = matching
        self.likelihood = likelihood
        self.coupling = coupling
        self.trace = trace
        self.energy = energy
        self.jacobian = jacobian
        self.hamilton_jacobi = hamilton_jacobi
        self.method = method
        self.tolerance = tolerance
        self.learning = learning
        self.bounds = bounds
        self.dequantize = dequantize
        self.accept = accept
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.average = average
        self.patience = patience
        self.validation = validation
        self.seed = seed

    def with_tolerance(self, tolerance: float, method: str | None = None) -> Self:
        """The same density, its answers solved to another tolerance: accuracy for run time."""
        self._require_fitted()
        changed = copy.copy(self).set_params(tolerance=tolerance, method=method or self.method)
        changed._check()
        return changed

    @classmethod
    def _require_known(cls, config: dict[str, Any], directory: str | Path) -> None:
        settings = config.get("settings")
        field = settings.get("field") if isinstance(settings, dict) else None
        if config["format"] < 2 and field == "potential":
            raise InputError(
                f"The model in {directory} is of field='potential' as Isocline built it before "
                f"(format {config['format']}), which this one can not read. Fit it again to the "
                f"same rows."
            )

    def _check(self) -> None:
        check_continuous_flow(self.get_params())

    def _build(self, size: int, context: int) -> Flow:
        make = FIELDS[self.field]
        field = make(size, int(self.hidden_size), context, key=jax.random.key(self.seed))
        return Flow(field, size)

    def _learning(self) -> Learning:
        return Learning(
            Solving(self.method, self.learning, self.learning),
            TRACES[self.trace](),
            self.energy,
            self.jacobian,
            self.hamilton_jacobi,
        )

    def _stages(self) -> list[Stage]:
        found = []
        for name, epochs in (("matching", self.matching), ("likelihood", self.likelihood)):

            def problem(training: Any, validation: Any, steps: int, name: str = name) -> Any:
                return density_problem(
                    training,
                    validation,
                    self._learning(),
                    batch_size=self.batch_size,
                    steps=steps,
                    matching=name == "matching",
                    coupling=self.coupling and not training.context.shape[1],
                )

            # What flow matching has learnt is only touched up: large steps would undo it.
            rate = AFTER_MATCHING if name == "likelihood" and self.matching else 1.0
            found.append(Stage(name, epochs, self.average, rate, self.optimizer, problem))
        return [stage for stage in found if stage.epochs]

    def _solving(self) -> Solving:
        return Solving(self.method, self.tolerance, self.tolerance)

    def _densities(self, network: Flow, y: Any, context: Any) -> tuple[Any, Any]:
        return _log_prob(network, y, context, self._solving())

    def _images(self, network: Flow, z: Any, context: Any) -> tuple[Any, Any]:
        return _push(network, z, context, self._solving())


class NormalizingFlow(Density):
    """A discrete flow of planar layers (Rezende & Mohamed 2015), by maximum likelihood.

    The baseline that the paper compares continuous flows with.

    Args:
        layers: K.
        epochs: of maximum likelihood.
        optimizer: "adamw" or "muon", as in `ContinuousFlow`; deep flows gain most by the second.
        bounds, dequantize, accept, batch_size, learning_rate, average, patience, validation, seed:
            as in `ContinuousFlow`.

    Attributes:
        network_, scaling_, encoding_, history_, n_parameters_: after `fit`.
        n_features_in_, feature_names_in_: columns of X, and their names if it was a data frame.
    """

    def __init__(
        self,
        *,
        layers: int = 32,
        epochs: int = 60,
        bounds: Mapping[Any, tuple[float | None, float | None]] | None = None,
        dequantize: Sequence[Any] = (),
        accept: bool = False,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        optimizer: str = "adamw",
        average: float = 0.99,
        patience: int | None = 15,
        validation: float = 0.1,
        seed: int = 0,
    ):
        self.layers = layers
        self.epochs = epochs
        self.bounds = bounds
        self.dequantize = dequantize
        self.accept = accept
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.average = average
        self.patience = patience
        self.validation = validation
        self.seed = seed

    def _check(self) -> None:
        check_normalizing_flow(self.get_params())

    def _build(self, size: int, context: int) -> PlanarFlow:
        key = jax.random.key(self.seed)
        return PlanarFlow(size, int(self.layers), context, from_data=True, key=key)

    def _stages(self) -> list[Stage]:
        def problem(training: Any, validation: Any, steps: int) -> Any:
            return density_problem(
                training,
                validation,
                Learning(),
                batch_size=self.batch_size,
                steps=steps,
                matching=False,
                coupling=False,
            )

        return [Stage("likelihood", self.epochs, self.average, 1.0, self.optimizer, problem)]

    def _densities(self, network: PlanarFlow, y: Any, context: Any) -> tuple[Any, Any]:
        return eqx.filter_jit(PlanarFlow.log_prob)(network, y, context), 0.0

    def _images(self, network: PlanarFlow, z: Any, context: Any) -> tuple[Any, Any]:
        return eqx.filter_jit(PlanarFlow.push)(network, z, context)[1], 0.0


@eqx.filter_jit
def _log_prob(flow: Flow, y: Any, context: Any, solving: Solving) -> tuple[Any, Any]:
    found, moved = flow.log_prob(y, context, solving=solving, independent=True)
    return _or_nan(found, moved.failed), moved.nfe


@eqx.filter_jit
def _push(flow: Flow, z: Any, context: Any, solving: Solving) -> tuple[Any, Any]:
    _, moved = flow.push(z, context, solving=solving, independent=True)
    return _or_nan(moved.points, moved.failed), moved.nfe


def _or_nan(values: Any, failed: Any) -> Any:
    """Values or rows of them, NaN where the solve has failed."""
    failed = jax.numpy.reshape(failed, failed.shape + (1,) * (values.ndim - failed.ndim))
    return jax.numpy.where(failed, jax.numpy.nan, values)
