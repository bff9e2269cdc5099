"""Anomalies by their log-density: `score_samples` on labelled tables, beside scikit-learn's.

Every detector sees normal rows alone; what counts is how it ranks other normal rows and anomalous
ones, of which it has seen none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from isocline.data.tables import load_labelled
from isocline.errors import InputError
from isocline.train.checkpoint import write_bytes

from .flow_runs import learn
from .results import (
    answer_of,
    command_of,
    kept_run,
    markdown_table,
    run_name,
    versions,
    write_results,
)
from .tabular import best_mixture

OURS = "ContinuousFlow"
FOREST, NEIGHBOURS = "IsolationForest", "LocalOutlierFactor"
MIXTURE, GAUSSIAN = "GaussianMixture", "Gaussian"
MODELS = (OURS, FOREST, NEIGHBOURS, MIXTURE, GAUSSIAN)
# Readings in whole numbers have no density as they are.
TABLES: dict[str, dict[str, Any]] = {
    "breast cancer": {"accept": True},
    "magic": {"accept": True},
    "shuttle": {"accept": True, "dequantize": tuple(range(9))},
}
TITLES = ("table", "rows", "model", "ROC AUC", "average precision", "seconds")
NOTE = (
    "Means of {seeds} seeds and, behind the sign, their standard deviation; each seed draws rows "
    "of its own. Rows: normal ones to fit to, normal and anomalous ones to test. Anomalous are "
    "malignant tumours among benign ones, hadrons among gammas, and of the shuttle all classes but "
    "its first and its fourth, which ADBench leaves out. Average precision: of the anomalous rows; "
    "by guessing it would be their share of the test rows. ContinuousFlow has its default settings "
    "but accept=True, and dequantize= of all columns of the shuttle; LocalOutlierFactor "
    "novelty=True; the components of GaussianMixture are chosen on a tenth of the rows, and "
    "Gaussian has one. scikit-learn's see standardised columns. Seconds: of fitting, on a noisy "
    "machine."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        tables: settings of the flow that a table asks for, by name.
        most: normal rows to fit to, and rows of each sort to test, at most.
        settings: of all flows.
    """

    tables: dict[str, dict[str, Any]] = field(default_factory=lambda: TABLES)
    most: tuple[int, int] = (4000, 2000)
    settings: dict[str, Any] = field(default_factory=dict)


QUICK = Protocol(
    tables={"breast cancer": TABLES["breast cancer"]},
    settings={"hidden_size": 8, "matching": 2, "likelihood": 0, "batch_size": 64},
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit every detector to every table that is there; what is done is not done again."""
    protocol = protocol or (QUICK if quick else Protocol())
    chosen = seeds or range(1 if quick else 3)
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    tables, missing = _tables(protocol)
    # Seed after seed: the first of them says something of every table.
    for seed, table in product(chosen, tables):
        parts = split(*tables[table], protocol.most, seed)
        found = _simple(out, table, parts, seed)
        settings: dict[str, Any] = protocol.settings | protocol.tables[table] | {"seed": seed}
        if "dequantize" in settings:  # of the columns that are left
            width = parts["train"].shape[1]
            settings["dequantize"] = tuple(one for one in settings["dequantize"] if one < width)
        found[OURS] = _flow(out, run_name(table, OURS, seed), settings, parts, progress)
        about = {"table": table, "seed": seed, "rows": [len(part) for part in parts.values()]}
        rows += [about | {"model": model} | found[model] for model in MODELS]
        results = _results(protocol, rows, missing, command_of("anomalies", seeds, quick))
        write_results(out, results, results["table"])
    return answer_of(results, out)


def _tables(protocol: Protocol) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """The tables that can be had, and what is said of the others."""
    found, missing = {}, []
    for table in protocol.tables:
        try:
            found[table] = labelled(table)
        except InputError as error:
            missing.append(f"{table}: {error}")
    if not found:
        raise InputError(f"None of the tables is there. {missing[0]}")
    return found, missing


def labelled(name: str) -> tuple[Float[np.ndarray, "rows columns"], Bool[np.ndarray, " rows"]]:
    """A table, and which of its rows are anomalous.

    Raises:
        InputError: it is neither at hand nor can be downloaded, or scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise InputError(
            "scikit-learn, whose detectors these are, is not installed: pip install scikit-learn."
        ) from None
    if name != "breast cancer":
        return load_labelled(name)
    values, benign = load_breast_cancer(return_X_y=True)
    return np.asarray(values, np.float32), np.asarray(benign) == 0


def split(
    values: Float[np.ndarray, "rows columns"],
    strange: Bool[np.ndarray, " rows"],
    most: tuple[int, int],
    seed: int,
) -> dict[str, Float[np.ndarray, "some kept"]]:
    """Normal rows to fit to ("train"), others ("normal"), and anomalous ones ("strange").

    Columns that are constant in the first are left out. A third of the normal rows are for the
    test, but no more than `most` says.
    """
    draw = np.random.default_rng(seed)
    usual, odd = (draw.permutation(np.flatnonzero(one)) for one in (~strange, strange))
    held = min(len(usual) // 3, most[1])
    chosen = {
        "train": usual[held : held + most[0]],
        "normal": usual[:held],
        "strange": odd[: most[1]],
    }
    kept = np.ptp(values[chosen["train"]], axis=0) > 0
    return {name: values[some][:, kept] for name, some in chosen.items()}


def ranked(
    normal: Float[np.ndarray, " one"], strange: Float[np.ndarray, " other"]
) -> dict[str, float]:
    """How well scores tell anomalous rows, which ought to have the lower ones.

    Args:
        normal, strange: scores of both sorts of rows; minus infinity is one.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    # Ranks: the measures look at nothing else, and refuse infinities.
    oddness = rankdata(-np.concatenate([normal, strange]))
    truth = np.arange(len(oddness)) >= len(normal)
    return {
        "auc": float(roc_auc_score(truth, oddness)),
        "precision": float(average_precision_score(truth, oddness)),
    }


def _flow(
    out: Path,
    name: str,
    settings: dict[str, Any],
    parts: dict[str, np.ndarray],
    progress: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    def more(model: Any) -> dict[str, Any]:
        return ranked(*(model.score_samples(parts[sort]) for sort in ("normal", "strange")))

    data = {"train": parts["train"], "test": parts["normal"]}
    return learn(out, name, "continuous", settings, data, progress=progress, more=more)


def _simple(
    out: Path, table: str, parts: dict[str, np.ndarray], seed: int
) -> dict[str, dict[str, Any]]:
    """What scikit-learn's detectors make of the rows."""
    from sklearn.ensemble import IsolationForest
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import LocalOutlierFactor

    identity = json.dumps([seed, *(list(part.shape) for part in parts.values())])
    path = out / "runs" / f"{run_name(table, 'simple', seed)}.json"
    if (done := kept_run(path, identity)) is not None:
        return done["found"]
    train = parts["train"].astype(np.float64)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    points = {sort: (part - mean) / spread for sort, part in parts.items()}
    fits: dict[str, Callable[[np.ndarray], Any]] = {
        FOREST: IsolationForest(random_state=seed).fit,
        NEIGHBOURS: LocalOutlierFactor(novelty=True).fit,
        MIXTURE: lambda rows: best_mixture(rows, seed),
        GAUSSIAN: GaussianMixture(1, reg_covar=1e-5).fit,
    }
    found = {}
    for model, fit in fits.items():
        begun = time.perf_counter()
        fitted = fit(points["train"])
        seconds = time.perf_counter() - begun
        scores = (fitted.score_samples(points[sort]) for sort in ("normal", "strange"))
        found[model] = ranked(*scores) | {"seconds": seconds}
    write_bytes(path, json.dumps({"identity": identity, "found": found}).encode())
    return found


def _results(
    protocol: Protocol, rows: list[dict[str, Any]], missing: list[str], command: str
) -> dict[str, Any]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["table"], row["model"]), []).append(row)
    summary, cells = [], []
    for (table, model), group in groups.items():
        means, spreads = (
            {name: float(of([row[name] for row in group])) for name in ("auc", "precision")}
            for of in (np.mean, np.std)
        )
        seconds = float(np.mean([row["seconds"] for row in group]))
        summary.append({"table": table, "model": model} | means | {"seconds": seconds})
        shown = [f"{means[name]:.3f} ± {spreads[name]:.3f}" for name in means]
        counts = "{:,} / {:,} + {:,}".format(*group[0]["rows"])
        cells.append((table, counts, model, *shown, f"{seconds:.1f}"))
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": " ".join([NOTE.format(seeds=len({row["seed"] for row in rows})), *missing]),
        "versions": versions("equinox", "optax", "scikit-learn"),
        "summary": summary,
        "runs": rows,
        "table": markdown_table(TITLES, cells),
        "table_file": "table.md",
    }
