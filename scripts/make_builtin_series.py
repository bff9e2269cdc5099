"""Makes the small tables that come with Isocline of economies, the sun, and textbooks.

Usage: python scripts/make_builtin_series.py

The packages statsmodels 0.15.0, vega-datasets 0.9.0 and sktime 1.2.0 must be installed. Values are
theirs, untouched; columns are chosen and named, dates are written as YYYY-MM-DD, and rows without a
value are left out.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
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


EVERY = 4  # which countries of the table, by the alphabet
AGGREGATES = (
    "Latin America & Caribbean (all income levels)",
    "OECD members",
    "Other small states",
    "Pacific island small states",
    "Sub-Saharan Africa (IFC classification)",
)


def main() -> None:
    """Writes the files."""
    statsmodels, vega = files("statsmodels.datasets"), files("vega_datasets") / "_data"
    _economies(statsmodels, vega)
    _classics(statsmodels, files("sktime.datasets") / "data")


def _economies(statsmodels: Traversable, vega: Traversable) -> None:
    """Of economies and of the sun."""
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


def _classics(statsmodels: Traversable, sktime: Traversable) -> None:
    """What textbooks have, and births."""
    airline = pd.read_csv(str(sktime / "Airline" / "Airline.csv"))
    airline.columns = ["month", "passengers"]
    airline["month"] = pd.to_datetime(airline["month"], format="%Y-%m")
    _write(airline, "airline")
    air = pd.read_csv(str(statsmodels / "co2" / "co2.csv"))
    air["date"] = pd.to_datetime(air["date"].astype(str))
    _write(air.dropna(), "co2")
    orders = pd.read_csv(str(statsmodels / "elec_equip" / "elec_equip.csv"))
    orders.columns = ["month", "turnover"]
    orders["month"] = pd.to_datetime(orders["month"], format="%b-%d-%Y")
    _write(orders, "electrical_equipment")
    _write(pd.read_csv(str(statsmodels / "nile" / "nile.csv")), "nile")
    wide = pd.read_csv(str(statsmodels / "fertility" / "fertility.csv"))
    wide = wide.rename(columns={"Country Name": "country"}).set_index("country").iloc[:, 3:]
    long = wide.stack().rename("births").rename_axis(["country", "year"]).dropna().reset_index()
    chosen = sorted(set(long["country"]).difference(AGGREGATES))[::EVERY]
    long = long[long["country"].isin(chosen)].astype({"year": int})
    _write(long.sort_values(["country", "year"]), "fertility")


def _write(frame: pd.DataFrame, name: str) -> None:
    frame.to_csv(FILES / f"{name}.csv", index=False, lineterminator="\n", date_format="%Y-%m-%d")
    print(name, *frame.shape)


if __name__ == "__main__":
    main()
