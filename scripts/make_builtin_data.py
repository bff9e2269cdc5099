"""Makes the data files that come with Isocline, from the published ones.

Usage: ISOCLINE_DATA=<folder> python scripts/make_builtin_data.py

The folder has `sst/elnino_statsmodels/elnino.csv`, `sst/ostia_monthly.nc` (read with xarray and
netCDF4 or h5netcdf) and `series/seattle_weather/seattle-weather.csv`. The output is the same each
time.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
from pathlib import Path

import numpy as np

FILES = Path(__file__).parents[1] / "src" / "isocline" / "data" / "files"
SEED = 2018
ABSENT = 0.2
MOST_LAND = 0.3
BOX_DEGREES_EAST = 20
# Both bands are nine rows of the grid: -5.0 to -0.6 and 0 to 4.4 degrees north.
BANDS = {"3S": slice(0, 9), "2N": slice(9, 18)}
ELNINO_BLOCKS, OSTIA_BLOCKS = 8, 2

SOURCE = """# Where these files come from

`scripts/make_builtin_data.py` makes them.

## sst.csv
Monthly means of sea-surface temperature in deg C, `time,series,sst`; a month's time is its 15th.

- `nino12`: Nino 1+2 (0-10S, 90W-80W), 1950-2010. NOAA Climate Prediction Center, public domain;
  from the Python package statsmodels 0.15.0 (`datasets/elnino`).
- `ostia_<longitude>_<latitude>`: means over boxes of the tropical oceans, 20 degrees of longitude
  wide and about 4.5 degrees of latitude high (named by their centres), 2006-04 to 2010-09. Met
  Office OSTIA, Open Government Licence; from the Python package iris-sample-data 2.5.2
  (`ostia_monthly.nc`). Land cells are left out; boxes with more than 30% land are not used.
  Converted from kelvin.

**The values are real and untouched** (rounded to 0.001 deg C). The sources are complete, so **which
rows are absent is our choice**, to make it irregular: a pseudo-random 20% of the rows of each
series, and on top of that blocks of months ({elnino} of 3 to 9 months in `nino12`, {ostia} of 3 to
5 months in every OSTIA series), drawn by `numpy.random.default_rng({seed})`. {left} of {total}
rows are left.

## seattle_weather.csv
Daily weather of Seattle-Tacoma airport, 2012-2015, as it is: precipitation (mm), highest and lowest
temperature (deg C), wind (m/s), kind of weather. NOAA GHCN daily, public domain; from the Python
package vega-datasets 0.9.0 (`seattle-weather.csv`).

## lynx_hare.csv
Pelts of lynx and snowshoe hare, thousands a year, 1900-1920: the Hudson's Bay Company's records as
Elton & Nicholson (1942) and after them every textbook has them. Public domain; typed in.
"""


def elnino(path: Path) -> tuple[list[str], np.ndarray]:
    """Months (as YYYY-MM-15) and deg C of Nino 1+2."""
    with path.open(newline="") as file:
        years = list(csv.reader(file))[1:]
    days = [f"{year[0]}-{month:02}-15" for year in years for month in range(1, 13)]
    return days, np.array([cell for year in years for cell in year[1:]], float)


def ostia(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Months, and deg C of every box that is mostly sea."""
    import xarray

    with xarray.open_dataset(path) as grid:
        kelvin = grid["surface_temperature"].to_numpy().astype(np.float64)
        days = [f"{month}-15" for month in grid["time"].to_numpy().astype("datetime64[M]")]
    cells = kelvin.shape[2] * BOX_DEGREES_EAST // 360
    boxes = {}
    for west in range(0, 360, BOX_DEGREES_EAST):
        centre = west + BOX_DEGREES_EAST // 2
        east = f"{centre}E" if centre <= 180 else f"{360 - centre}W"
        first = west * kelvin.shape[2] // 360
        for band, rows in BANDS.items():
            box = kelvin[:, rows, first : first + cells].reshape(len(days), -1)
            if np.isnan(box).mean() <= MOST_LAND:
                boxes[f"ostia_{east}_{band}"] = np.nanmean(box, axis=1) - 273.15
    return days, boxes


def present(months: int, blocks: int, longest: int, random: np.random.Generator) -> np.ndarray:
    """Which rows are kept: all but a random fifth, and but some blocks."""
    keep = np.ones(months, bool)
    keep[random.choice(months, round(ABSENT * months), replace=False)] = False
    for _ in range(blocks):
        length = random.integers(3, longest, endpoint=True)
        start = random.integers(0, months - length)
        keep[start : start + length] = False
    return keep


def main() -> None:
    """Writes the files."""
    if "ISOCLINE_DATA" not in os.environ:
        sys.exit("Set ISOCLINE_DATA to the folder that has sst/ and series/.")
    folder = Path(os.environ["ISOCLINE_DATA"])
    FILES.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    elnino_days, elnino_values = elnino(folder / "sst" / "elnino_statsmodels" / "elnino.csv")
    ostia_days, boxes = ostia(folder / "sst" / "ostia_monthly.nc")
    curves = [("nino12", elnino_days, elnino_values, ELNINO_BLOCKS, 9)]
    curves += [(name, ostia_days, values, OSTIA_BLOCKS, 5) for name, values in boxes.items()]
    rows, total = [], 0
    for name, days, values, blocks, longest in curves:
        keep = present(len(days), blocks, longest, random)
        rows += [(days[row], name, f"{values[row]:.3f}") for row in np.flatnonzero(keep)]
        total += len(days)
    with (FILES / "sst.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("time", "series", "sst"), *rows])
    shutil.copyfile(
        folder / "series" / "seattle_weather" / "seattle-weather.csv", FILES / "seattle_weather.csv"
    )
    text = SOURCE.format(
        elnino=ELNINO_BLOCKS, ostia=OSTIA_BLOCKS, seed=SEED, left=len(rows), total=total
    )
    (FILES / "SOURCE.md").write_text(text)
    print(f"{len(curves)} series, {len(rows)} of {total} rows")


if __name__ == "__main__":
    main()
