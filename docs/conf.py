"""Settings of Sphinx: ``make docs``."""

from __future__ import annotations

import re
from typing import Any

from espdl.version import __version__

project = "espdl"
author = "The espdl authors"
project_copyright = author
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "espdl"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
nitpicky = False


def as_written(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keeps napoleon from seeing types where there are none: splits ``a, b: what both are`` in sections of attributes, and puts a
    line of nothing in front of the text of a single attribute, so that what stands before its colon is no type."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")
    inside, split = False, []
    for line in lines:
        if re.match(r"\S", line):
            inside = line == "Attributes:"
        names = re.match(r"(\s+)(\w+(?:, \w+)+): (.*)", line) if inside else None
        split += [f"{names[1]}{one}: {names[3]}" for one in names[2].split(", ")] if names else [line]
    lines[:] = split


def is_field_of_tuple(app: Any, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leaves out fields of named tuples: the class tells what they are."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_written, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", is_field_of_tuple)
