"""Templates: files beside this one in which ``@name`` and ``@{name}`` stand for values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from string import Template


class _Template(Template):
    delimiter = "@"  # $ belongs to CMake


def render(path: str, values: Mapping[str, object] | None = None) -> str:
    """The template at ``path`` with its values filled in. Raises :class:`KeyError` for a value that is missing."""
    text = resources.files("espdl.deploy.project").joinpath("templates", *path.split("/")).read_text(encoding="utf-8")
    return _Template(text).substitute(values or {})


def render_if_present(path: str, values: Mapping[str, object] | None = None) -> str:
    """As :func:`render`; empty when there is no such template."""
    try:
        return render(path, values)
    except FileNotFoundError:
        return ""


def plain_file_name(name: str) -> str:
    """A name that build tools take without quoting: other characters than letters, digits, dots, dashes become underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def symbol_of(file_name: str) -> str:
    """The linker's name for an embedded file of a plain name: what is no letter or digit becomes an underscore."""
    return re.sub(r"[^A-Za-z0-9]", "_", file_name)
