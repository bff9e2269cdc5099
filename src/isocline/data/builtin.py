"""Small data sets that come with Isocline; `files/SOURCE.md` says where they are from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import Any

from isocline.data.columns import did_you_mean
from isocline.data.reading import read_table
from isocline.data.table import SeriesTable
from isocline.errors import InputError

_OPTIONS: Mapping[str, dict] = MappingProxyType(
    {
        "sst": {"time": "time", "series": "series", "target": ("sst",)},
        "seattle_weather": {
            "time": "date",
            "target": ("precipitation", "temp_max", "temp_min", "wind"),
        },
        "lynx_hare": {"time": "year", "target": ("lynx", "hare")},
        "sunspots": {"time": "year", "target": ("sunspots",)},
        "stocks": {"time": "date", "series": "symbol", "target": ("price",)},
        "us_macro": {"time": "date", "target": None},
        "us_employment": {"time": "month", "target": None},
        "airline": {"time": "month", "target": ("passengers",)},
        "co2": {"time": "date", "target": ("co2",)},
        "electrical_equipment": {"time": "month", "target": ("turnover",)},
        "nile": {"time": "year", "target": ("volume",)},
        "fertility": {"time": "year", "series": "country", "target": ("births",)},
    }
)


def names() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(_OPTIONS)


def load(name: str, **columns: Any) -> SeriesTable:
    """A data set that comes with Isocline.

    Args:
        name: `"sst"`: monthly sea-surface temperature of Nino 1+2 (1950-2010) and of boxes of the
            tropical oceans (2006-2010), deg C, with months missing. `"seattle_weather"`: daily
            precipitation (mm), highest and lowest temperature (deg C) and wind (m/s), 2012-2015.
            `"lynx_hare"`: pelts that the Hudson's Bay Company bought each year, thousands,
            1900-1920. `"sunspots"`: their mean number each year, 1700-2008. `"stocks"`: monthly
            prices of five shares, dollars, 2000-2010. `"us_macro"`: gross domestic product,
            consumer prices, unemployment and the rate of treasury bills, quarterly, 1959-2009.
            `"us_employment"`: thousands of people in six sectors, monthly, 2006-2015. `"airline"`:
            thousands of passengers abroad, monthly, 1949-1960. `"co2"`: in the air of Mauna Loa,
            parts in a million, weekly with gaps, 1958-2001. `"electrical_equipment"`: an index of
            what its makers in Europe sell, monthly, 1995-2016. `"nile"`: its flow at Aswan, 10^8
            cubic metres a year, 1871-1970. `"fertility"`: births a woman in 52 countries, yearly,
            1960-2008.
        columns: other targets, or covariates, as for `SeriesTable.from_frame`.

    Raises:
        InputError: there is no such data set.
    """
    if name not in _OPTIONS:
        raise InputError(
            f"There is no built-in data set '{name}'.{did_you_mean(name, _OPTIONS)} There are: "
            f"{', '.join(_OPTIONS)}."
        )
    with as_file(files("isocline.data") / "files" / f"{name}.csv") as path:
        return read_table(path, **_OPTIONS[name] | columns)
