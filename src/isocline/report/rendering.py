"""A page from its template."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from isocline._version import __version__


def rendered(template: str, parts: dict[str, Any]) -> str:
    """The page that a template makes of its parts; what it asks for and is not there is a fault."""
    environment = Environment(
        loader=PackageLoader("isocline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(parts | {"version": __version__})
