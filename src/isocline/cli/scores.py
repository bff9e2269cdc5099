"""The scores of model and baselines, as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    from rich.console import Group
    from rich.table import Table

_NAMES = {
    "persistence": "persistence",
    "seasonal_naive": "seasonal naive",
    "climatology": "climatology",
    "linear": "linear regression",
    "gru": "GRU",
}
_COLUMNS = (("rmse", "RMSE"), ("mae", "MAE"), ("crps", "CRPS"))
_SHARES = (("coverage_50", "in 50%"), ("coverage_90", "in 90%"))


def score_table(metrics: dict[str, Any]) -> Table:
    """A row for the model and each baseline; `in 90%` is the share inside the 90% interval."""
    rows = {"latent ODE, pooled": metrics["model"]}
    rows |= {_NAMES.get(name, name): scores for name, scores in metrics["baselines"].items()}
    table = plain_table("", *(title for _, title in (*_COLUMNS, *_SHARES)))
    for name, scores in rows.items():
        numbers = [_number(scores[key]) for key, _ in _COLUMNS]
        table.add_row(name, *numbers, *(_share(scores[key]) for key, _ in _SHARES))
    return table


def cutoff_tables(scores: pandas.DataFrame) -> Group:
    """The model's scores from each cut-off, and the RMSE of each baseline below them."""
    from rich.console import Group

    names = [name for name in scores.model.unique() if name != "model"]
    own = plain_table("cut-off", *(title for _, title in (*_COLUMNS, *_SHARES)))
    # A word a line, so that all of them are seen in eighty columns.
    heads = [f"RMSE {_NAMES.get(name, name)}".replace(" ", "\n") for name in names]
    others = plain_table("cut-off", *heads)
    for cutoff, rows in scores.groupby("cutoff"):
        by_model = rows.set_index("model")
        one = by_model.loc["model"]
        numbers = [_number(one[key]) for key, _ in _COLUMNS]
        own.add_row(str(cutoff), *numbers, *(_share(one[key]) for key, _ in _SHARES))
        others.add_row(str(cutoff), *(_number(by_model.rmse[name]) for name in names))
    return Group(own, others)


def _number(score: float | None) -> str:
    return "-" if score is None else f"{score:.4g}"


def _share(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}%"


def plain_table(*titles: str) -> Table:
    """An empty table with its first column to the left and numbers to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left", no_wrap=True)
    return table
