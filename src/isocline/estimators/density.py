"""What the density estimators share: tables in, log-densities and samples out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from isocline.errors import InputError
from isocline.models.ode_net import count_parameters
from isocline.train import Checkpoint

from .checking import is_whole
from .density_columns import Table, read_numbers, require_same_columns
from .density_context import Encoding
from .density_refusing import require_density
from .density_scaling import Bounds, Scaling, dequantized, read_bounds, tell_lost
from .density_stages import Course, Stage, learn_stages
from .density_training import Points
from .fingerprint import digest_of
from .learning import held_out
from .settings import Configured
from .storing import filled, in_precision, leaves_of, read_model, refusing_damage, write_model

MOST = 4096  # points at a time


class Density(Configured):
    """The base of `ContinuousFlow` and `NormalizingFlow`; see there."""

    bounds: Any
    dequantize: Sequence[Any]
    accept: bool
    batch_size: int
    learning_rate: float
    patience: int | None
    validation: float
    seed: int

    @abstractmethod
    def _check(self) -> None:
        """Refuse settings that do not fit."""

    @abstractmethod
    def _build(self, size: int, context: int) -> Any:
        """An untrained network."""

    @abstractmethod
    def _stages(self) -> list[Stage]:
        """What is trained one after the other."""

    @abstractmethod
    def _densities(self, network: Any, y: Any, context: Any) -> tuple[Any, Any]:
        """Log-densities of standardised points, and what they took."""

    @abstractmethod
    def _images(self, network: Any, z: Any, context: Any) -> tuple[Any, Any]:
        """Standardised points of the density from those of a normal, and what they took."""

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        context: Any = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Self:
        """Learn the density of the rows of a table.

        Args:
            X: an array or data frame of numbers, `(rows, columns)`.
            y: not looked at; there for pipelines.
            context: what the density depends on, one row for each row of X: numbers, words or both.
            checkpoint: a folder that keeps the state of training after every epoch.
            resume: go on from there, exactly where it stopped.
            progress: called after every epoch with stage, epoch, loss, validation and seconds.

        Raises:
            InputError: a setting, a column or a row does not fit; the message says which, why, and
                how to mend it.
        """
        table, bounds, encoding = self.check(X, context=context)
        spread = self._spread(table)
        parts = table.values.tobytes(), repr(encoding.columns).encode()
        self._learn(
            Scaling.of(spread, bounds),
            spread,
            encoding,
            encoding(context, len(table.values)),
            folder=None if checkpoint is None else Path(checkpoint),
            digest=digest_of([self.get_params(), type(self).__name__], parts),
            resume=resume,
            progress=progress,
        )
        self.n_features_in_ = table.values.shape[1]
        for name in {"feature_names_in_"} & vars(self).keys():
            delattr(self, name)
        if table.names is not None:
            self.feature_names_in_ = np.array(table.names, object)
        return self

    def check(self, X: Any, *, context: Any = None) -> tuple[Table, Bounds, Encoding]:
        """Refuse, as `fit` does, what has no density; before a long training, say.

        Args:
            X, context: as in `fit`.

        Returns:
            The numbers of X, the bounds of its columns, and how the context becomes numbers.

        Raises:
            InputError: as in `fit`.
        """
        self._check()
        table = read_numbers(X)
        bounds = read_bounds(self.bounds, table)
        spread = self._spread(table)
        require_density(spread, bounds, self.accept)
        Scaling.of(spread, bounds)
        return table, bounds, Encoding.of(context, len(table.values))

    def _spread(self, table: Table) -> Table:
        """The table with its rounded columns spread over their rounding."""
        return dequantized(table, self.dequantize, self.seed)

    def score_samples(self, X: Any, *, context: Any = None) -> Float[np.ndarray, " rows"]:
        """The log-density of each row in nats, in the units of X: the larger, the more usual.

        Each row is solved with its own steps, so its density does not depend on the rows beside it.
        Rows outside of the bounds of a column have minus infinity, and so have rows that lie too
        far out for their density to be computed, with a warning.

        Args:
            X: an array or data frame `(rows, columns)` with the columns of `fit`.
            context: one row for each of X, or one for all.

        Raises:
            InputError: other columns than in `fit`, or cells that are no finite numbers.
        """
        table = self._table(X)
        y, change = self.scaling_.points(table.values)
        encoded = self.encoding_(context, len(y))
        inside = np.isfinite(change)
        found = self._chunks(self._densities, y, encoded, double=table.double)
        known = inside & np.isfinite(found)
        tell_lost(inside & ~known, np.abs(y).max(axis=1))
        found = np.where(known, found, 0) + np.where(known, change, -np.inf)
        return found.astype(np.float64 if table.double else np.float32)

    def log_prob(self, X: Any, context: Any = None) -> Float[np.ndarray, " rows"]:
        """`score_samples` by the name that libraries of distributions use; see there."""
        return self.score_samples(X, context=context)

    def score(self, X: Any, y: Any = None, *, context: Any = None) -> float:
        """The mean log-density of the rows, in nats: a number to compare models by.

        Args:
            X, context: as in `score_samples`, whose errors it has.
            y: not looked at; there for pipelines.
        """
        return float(np.mean(self.score_samples(X, context=context), dtype=np.float64))

    def sample(
        self, n_samples: int = 1, *, context: Any = None, seed: int = 0
    ) -> Float[np.ndarray, "rows columns"]:
        """Draw rows from the density.

        Args:
            n_samples: how many.
            context: one row for each of them, or one for all.
            seed: of the draw.

        Returns:
            Rows in the units of X, inside of the bounds of its columns.

        Raises:
            InputError: no such number of rows, or a context that does not fit.
        """
        self._require_fitted()
        for name, value, least in (("n_samples", n_samples, 1), ("seed", seed, 0)):
            if not (is_whole(value) and value >= least):
                raise InputError(f"{name}={value!r} must be a whole number of at least {least}.")
        z = np.random.default_rng(seed).standard_normal((n_samples, self.n_features_in_))
        encoded = self.encoding_(context, n_samples)
        found = self._chunks(self._images, z, encoded, double=False)
        broken = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(broken):
            raise InputError(
                f"{len(broken)} of {n_samples} rows can not be drawn: the solves of their ways "
                f"failed. Train longer, or ask for a looser tolerance."
            )
        return self.scaling_.columns(found)

    def save(self, directory: str | Path) -> None:
        """Write `config.json` and `weights.safetensors`; if that fails, nothing is lost."""
        self._require_fitted()
        settings = self.get_params()
        settings["bounds"] = None if self.bounds is None else list(self.bounds.items())
        names = getattr(self, "feature_names_in_", None)
        config = {
            "kind": type(self).__name__,
            "settings": settings,
            "columns": self.n_features_in_,
            "names": None if names is None else names.tolist(),
            "bounds": list(self.scaling_.bounds.items()),
            "context": self.encoding_.columns,
            "context_names": self.encoding_.names,
            "history": self.history_,
        }
        arrays = leaves_of("network", self.network_)
        arrays |= {"mean": self.scaling_.mean, "matrix": self.scaling_.matrix}
        write_model(Path(directory), config, arrays)

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read what `save` wrote; InputError says what is wrong with a damaged directory."""
        config, arrays = read_model(Path(directory), cls.__name__, f"{cls.__name__}.save wrote")
        cls._require_known(config, directory)
        with refusing_damage(directory):
            settings = dict(config["settings"])
            if settings["bounds"] is not None:
                settings["bounds"] = {key: tuple(pair) for key, pair in settings["bounds"]}
            settings["dequantize"] = tuple(settings["dequantize"])
            model = cls(**settings)
            bounds = {key: tuple(pair) for key, pair in config["bounds"]}
            model.scaling_ = Scaling(bounds, arrays["mean"], arrays["matrix"])
            named = config.get("context_names")  # which older models did not keep
            named = None if named is None else tuple(named)
            model.encoding_ = Encoding(tuple(config["context"]), named)
            model.n_features_in_, model.history_ = config["columns"], config["history"]
            if config["names"] is not None:
                model.feature_names_in_ = np.array(config["names"], object)
            network = model._build(model.n_features_in_, model.encoding_.size)
            model.network_ = filled(network, "network", arrays)
            model.n_parameters_ = count_parameters(model.network_)
        return model

    @classmethod
    def _require_known(cls, config: dict[str, Any], directory: str | Path) -> None:
        """Refuse a saved model whose network is not built any more."""

    def _learn(
        self,
        scaling: Scaling,
        table: Table,
        encoding: Encoding,
        encoded: np.ndarray,
        *,
        folder: Path | None,
        digest: str,
        resume: bool,
        progress: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        y, _ = scaling.points(table.values)
        learnt, held = held_out(len(y), self.validation, self.seed)
        network, history = learn_stages(
            self._build(y.shape[1], encoding.size),
            self._stages(),
            Points(y[learnt], encoded[learnt]),
            Points(y[held], encoded[held]),
            Course(self.learning_rate, self.batch_size, self.patience, self.seed),
            checkpoints=lambda stage: (
                None if folder is None else Checkpoint(folder / f"{stage}.safetensors", digest)
            ),
            resume=resume,
            progress=progress,
        )
        self.scaling_, self.encoding_, self.network_ = scaling, encoding, network
        self.history_, self.n_parameters_ = history, count_parameters(network)

    def _chunks(self, compute: Any, points: np.ndarray, context: np.ndarray, double: bool) -> Any:
        """What a function makes of points, so many at a time, in single or double precision."""
        size = min(MOST, max(8, 1 << (len(points) - 1).bit_length()))
        answers, self.nfe_ = [], 0.0
        with jax.enable_x64(double):
            dtype = jnp.float64 if double else jnp.float32
            network = in_precision(self.network_, double)
            for first in range(0, len(points), size):
                part, beside = (array[first : first + size] for array in (points, context))
                # The last part is as long as the others, for the program that is there already.
                missing = size - len(part)
                full = [np.pad(array, ((0, missing), (0, 0)), "edge") for array in (part, beside)]
                found, nfe = compute(network, *(jnp.asarray(array, dtype) for array in full))
                answers.append(np.asarray(found)[: len(part)])
                self.nfe_ += float(np.sum(np.broadcast_to(nfe, size)[: len(part)])) / len(points)
        return np.concatenate(answers)

    def _table(self, X: Any) -> Table:
        self._require_fitted()
        table = read_numbers(X)
        if not len(table.values):
            raise InputError(
                f"Found array with 0 sample(s) (shape={table.values.shape}) while a minimum of 1 "
                f"is required."
            )
        names = getattr(self, "feature_names_in_", None)
        names = None if names is None else tuple(names)
        require_same_columns(table, names, self.n_features_in_, type(self).__name__)
        return table

    def _require_fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise InputError(
                f"This {type(self).__name__} is not fitted yet: call fit(X) first, or load a model."
            )

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: networks hold functions of JAX, which it can not name."""
        state = dict(vars(self))
        if "network_" in state:
            state["_arrays"] = leaves_of("network", state.pop("network_"))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = state.pop("_arrays", None)
        vars(self).update(state)
        if arrays is not None:
            network = self._build(self.n_features_in_, self.encoding_.size)
            self.network_ = filled(network, "network", arrays)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator, which only it calls."""
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type="density_estimator", target_tags=TargetTags(required=False))

    def __repr__(self) -> str:
        changed = {
            name: value
            for name, value in self.get_params().items()
            if value != type(self)().get_params()[name]
        }
        shown = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"{type(self).__name__}({shown})"
