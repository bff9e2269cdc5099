"""ODE-Nets against ResNets (Chen et al. 2018, table 1), on any set of images.

The same stem, head, training and seeds for all; what differs is in between. Besides the paper's six
residual blocks there are the honest baselines: one block, and none at all. The epoch is chosen on
images that are held out of the training set, never on the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .odenet_curves import draw_training, tolerance_curve
from .odenet_runs import learn_and_test
from .odenet_strengths import answers_to_noise, strengths_table, way_back
from .results import answer_of, command_of, markdown_table, run_name, versions, write_results

# Chen et al. (2018), table 1: test error and parameters. The MLP's is LeCun's, of deskewed digits.
PAPER = {
    "mlp": (1.60, 0.24e6),
    "resnet-6": (0.41, 0.60e6),
    "rk-net": (0.47, 0.22e6),
    "ode-net, backsolve": (0.42, 0.22e6),
}
# In the order in which they are trained: what answers the question comes first.
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"network": "mlp"},
    "no block": {"network": "resnet", "blocks": 0},
    "resnet-1": {"network": "resnet", "blocks": 1},
    "ode-net": {"energy": 0.1},
    "resnet-6": {"network": "resnet", "blocks": 6},
    "ode-net, any energy": {"energy": 0.0},
    "rk-net": {"adjoint": "direct", "energy": 0.0},
    "ode-net, augmented": {"augment": 16, "energy": 0.1},
    "ode-net, backsolve": {"adjoint": "backsolve", "energy": 0.0},
}
MAIN = "ode-net"
RIVALS = ("resnet-1", MAIN)  # the honest comparison
QUICK = ("mlp", "no block", *RIVALS)
# Without the variants of the ODE-Net, which are compared on the digits.
PLAIN = {name: MODELS[name] for name in (*QUICK, "resnet-6")}
TITLES = {
    "model": "model",
    "error": "test error, %",
    "interval": "95 % interval",
    "last": "last epoch, %",
    "paper": "paper, %",
    "parameters": "parameters",
    "nfe": "NFE",
    "epoch_seconds": "s an epoch",
    "seeds": "seeds",
}
NOTE = (
    "Test error: of the epoch that is best on the held-out part of the training images, mean over "
    "the seeds; last: of the last epoch. Interval: binomial (Wilson), of all test images of all "
    "seeds. NFE: evaluations of the field in a prediction at tolerance 1e-3 (while it learns the "
    "solve takes 4). 'Any energy' learns without the regularizer (RNODE) of the others, as do "
    "backsolve and RK-Net. Seconds: median of an epoch, on a machine that other work ran on. The "
    "paper's figures are beside for orientation: its stem is another, and its MLP is of deskewed "
    "digits where ours is of raw ones."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        name: of the experiment.
        data: a set of images.
        paper: whether the paper's figures are of these images.
        seeds: for each model.
        rival_seeds: for the ODE-Net and the residual block beside it, if more.
        models: settings by name.
        settings: of all of them.
        small: the set of images of the quick version.
        quick_epochs: of the quick version, whose networks are half as wide.
    """

    name: str
    data: str
    paper: bool = False
    seeds: int = 1
    rival_seeds: int = 0
    models: dict[str, dict[str, Any]] = field(default_factory=lambda: MODELS)
    settings: dict[str, Any] = field(default_factory=dict)
    small: str = "digits"
    quick_epochs: int = 6

    def quick(self) -> Protocol:
        """Few models, images and epochs."""
        models = {name: MODELS[name] for name in QUICK}
        settings = self.settings | {"epochs": self.quick_epochs, "channels": 32}
        return replace(
            self,
            data=self.small,
            paper=False,
            seeds=1,
            rival_seeds=0,
            models=models,
            settings=settings,
        )

    def plan(self, seeds: Sequence[int] | None) -> list[tuple[str, int]]:
        """Models and seeds in the order in which they are run; these seeds for all, if given."""
        # The models of the quick version come first: they answer the question, others refine it.
        order = sorted(self.models, key=lambda model: model not in QUICK)
        planned = [(model, seed) for seed in seeds or range(self.seeds) for model in order]
        if seeds:
            return planned
        more = range(self.seeds, self.rival_seeds)
        return planned + [(model, seed) for seed in more for model in order if model in RIVALS]


def run_full_or_quick(
    full: Protocol,
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run a protocol, or its quick version."""
    protocol = full.quick() if quick else full
    return run(protocol, out, quick=quick, seeds=seeds, progress=progress)


def run(
    protocol: Protocol,
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train and test every model with every seed; what is done is not done again."""
    plan = protocol.plan(seeds)
    command = command_of(protocol.name, seeds, quick)
    runs: dict[str, list[dict[str, Any]]] = {}
    results: dict[str, Any] = {}
    for model, seed in plan:
        done = learn_and_test(
            out,
            run_name(model, seed),
            protocol.data,
            protocol.settings | protocol.models[model] | {"seed": seed},
            keep=model in RIVALS and model not in runs,
            progress=progress,
        )
        runs.setdefault(model, []).append(done)
        results = _results(protocol, runs, command)
        write_results(out, results, results["table"])
    if MAIN in runs:
        results["tolerances"] = tolerance_curve(out, protocol.data, runs[MAIN][0], quick)
        draw_training(out, runs)
        results["table"] += "\n\n" + tolerance_table(results["tolerances"])
        kept = {model: runs[model][0]["name"] for model in RIVALS if model in runs}
        told = answers_to_noise(out, protocol.data, kept)
        back = way_back(out, protocol.data, kept[MAIN])
        results |= {"answers_to_noise": told, "way_back": back}
        results["table"] += "\n\n" + strengths_table(told, back)
        write_results(out, results, results["table"])
    return answer_of(results, out)


def _results(
    protocol: Protocol, runs: dict[str, list[dict[str, Any]]], command: str
) -> dict[str, Any]:
    summary = [
        summary_row(model, runs[model], protocol.paper)
        for model in protocol.models
        if model in runs
    ]
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": NOTE,
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [one for done in runs.values() for one in done],
        "table": markdown_table(
            list(TITLES.values()), [tuple(row[key] for key in TITLES) for row in summary]
        ),
        "table_file": "table.md",
    }


def summary_row(model: str, runs: list[dict[str, Any]], paper: bool) -> dict[str, Any]:
    """A row of the table: means over the runs of a model, one a seed."""
    wrong, tested = sum(one["wrong"] for one in runs), sum(one["tested"] for one in runs)
    low, high = (100 * end for end in wilson(wrong, tested))
    last = sum(one["wrong_last"] for one in runs)
    return {
        "model": model,
        "error": f"{100 * wrong / tested:.2f}",
        "interval": f"{low:.2f} to {high:.2f}",
        "last": f"{100 * last / tested:.2f}",
        "paper": f"{PAPER[model][0]:.2f}" if paper and model in PAPER else None,
        "parameters": runs[0]["parameters"],
        "nfe": f"{np.mean([one['nfe'] for one in runs]):.1f}" if runs[0]["nfe"] else None,
        "epoch_seconds": f"{np.median([one['epoch_seconds'] for one in runs]):.1f}",
        "seeds": len(runs),
    }


def wilson(wrong: int, tested: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    from scipy.stats import binomtest

    found = binomtest(wrong, tested).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def tolerance_table(rows: list[dict[str, Any]]) -> str:
    """One trained model at many tolerances."""
    titles = (
        *("tolerance", "test error, %", "NFE", "numerical error", "ms for 1,000 images"),
        "precision",
    )
    return markdown_table(
        titles,
        [
            (
                f"{row['tolerance']:.0e}",
                f"{100 * row['error']:.2f}",
                f"{row['nfe']:.1f}",
                f"{row['numerical_error']:.1e}",
                f"{1e3 * row['seconds']:.0f}",
                row["precision"],
            )
            for row in rows
        ],
    )
