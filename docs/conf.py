"""Sphinx settings. Build with: sphinx-build -W docs docs/_build/html"""

from __future__ import annotations

from isocline._version import __version__

project = "Isocline"
author = "The Isocline authors"
copyright = "The Isocline authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Isocline {__version__}"

# Shapes are written as jaxtyping's strings, which are no names to look up.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes as fields of the docstring, not as documents of their own beside the class's.
napoleon_use_ivar = True
napoleon_attr_annotations = False
# Docstrings are written with Markdown's single backticks: show them as code.
default_role = "code"
myst_heading_anchors = 3
