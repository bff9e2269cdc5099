"""`isocline info`: what a model or a table is, or what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from .common import Talk
from .saved import is_model, model_folder

_LIBRARIES = ("jax", "jaxlib", "equinox", "optax", "numpy", "pandas", "polars", "safetensors")


def info(
    what: Annotated[
        str | None, Parameter(help="Folder of a model, file of a table, or built-in data.")
    ] = None,
    /,
    *,
    time: Annotated[str | None, Parameter(help="Column of the times of a table.")] = None,
    series: Annotated[str | None, Parameter(help="Column that names the series.")] = None,
    target: Annotated[
        tuple[str, ...] | None, Parameter(help="Columns to forecast.", consume_multiple=True)
    ] = None,
    sort: Annotated[bool, Parameter(help="Put rows in order of time.")] = False,
    duplicates: Annotated[
        Literal["error", "mean", "first", "last"],
        Parameter(help="What to make of rows of the same series and time."),
    ] = "error",
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Describe something; see `commands.COMMANDS`."""
    if what is None:
        _tell_installed(talk)
    elif is_model(folder := model_folder(Path(what))) or Path(what).name == "model":
        from .describing import tell_model

        tell_model(folder, talk)
    else:
        from .describing import tell_table
        from .sources import open_table

        table = open_table(
            what, time=time, series=series, target=target, sort=sort, duplicates=duplicates
        )
        tell_table(what, table, talk)


def _tell_installed(talk: Talk) -> None:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import jax

    from isocline._version import __version__
    from isocline.data import names

    versions = {"isocline": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    devices = [str(device) for device in jax.devices()]
    talk.result(
        {"versions": versions, "devices": devices, "builtin_data": list(names())},
        *(f"{library:12} {number}" for library, number in versions.items()),
        f"{'devices':12} {', '.join(devices)}",
        f"{'data':12} {', '.join(names())}",
    )
