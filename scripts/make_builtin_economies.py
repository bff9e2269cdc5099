"""Makes the small tables of economies and of the sun that come with Isocline, from two packages.

Usage: python scripts/make_builtin_economies.py

The packages statsmodels 0.15.0 and vega-datasets 0.9.0 must be installed. Values are theirs,
untouched; columns are chosen and named, and dates are written as YYYY-MM-DD.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pandas as pd

FILES = Path(__file__).parents[1] / "src" / "isocline" / "data" / "files"
SECTORS = (
    "construction",
    "manufacturing",
    "information",
    "leisure_and_hospitality",
    "government",
    "nonfarm",
)


def main() -> None:
    """Writes the files."""
    statsmodels, vega = files("statsmodels.datasets"), files("vega_datasets") / "_data"
    macro = pd.read_csv(str(statsmodels / "macrodata" / "macrodata.csv"))
    month = 3 * macro["quarter"].astype(int) - 2
    date = [f"{year:.0f}-{first:02d}-01" for year, first in zip(macro["year"], month, strict=True)]
    columns = {"realgdp": "gdp", "cpi": "prices", "unemp": "unemployment", "tbilrate": "bill_rate"}
    macro = macro[list(columns)].rename(columns=columns)
    macro.insert(0, "date", date)
    _write(macro, "us_macro")
    sun = pd.read_csv(str(statsmodels / "sunspots" / "sunspots.csv"))
    sun = sun.rename(columns={"YEAR": "year", "SUNACTIVITY": "sunspots"})
    _write(sun.astype({"year": int}), "sunspots")
    stocks = pd.read_csv(str(vega / "stocks.csv"), parse_dates=["date"])
    _write(stocks[["date", "symbol", "price"]], "stocks")
    employment = pd.read_csv(str(vega / "us-employment.csv"), parse_dates=["month"])
    _write(employment[["month", *SECTORS]], "us_employment")


def _write(frame: pd.DataFrame, name: str) -> None:
    frame.to_csv(FILES / f"{name}.csv", index=False, lineterminator="\n", date_format="%Y-%m-%d")
    print(name, *frame.shape)


if __name__ == "__main__":
    main()
