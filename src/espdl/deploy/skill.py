"""Installs the agent skill that leads a coding agent through adding an operator (guide 3.5)."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from espdl.errors import EspdlError
from espdl.fbs.files import staging_directory

SKILL = "espdl-operator"
TOOLS = {"claude": ".claude", "cursor": ".cursor", "opencode": ".opencode"}
"""Coding agents, and the directory in a project where each looks for skills."""


def skill_directory() -> Path:
    """Where the skill lies in the installed package. Raises :class:`EspdlError` when it is not in files of its own."""
    place = resources.files("espdl").joinpath("skills", SKILL)
    if not isinstance(place, Path) or not (place / "SKILL.md").is_file():
        raise EspdlError("the skill is not installed as files", why=f"the package lies in {place}", hint="install espdl with pip")
    return place


def install_skill(tool: str, project: str | Path = ".", *, link: bool = False, force: bool = False) -> Path:
    """Puts the skill where a coding agent finds it.

    Args:
        tool: ``claude``, ``cursor`` or ``opencode``.
        project: directory of the project; with the user's home directory it is there for all projects.
        link: whether a symbolic link is made, which follows updates of espdl, instead of a copy.
        force: whether a skill of this name that is there is replaced.

    Returns:
        Where it lies.

    Raises:
        EspdlError: for another tool, a skill that is there already, and where nothing can be written.
    """
    if tool not in TOOLS:
        raise EspdlError(f"there is no tool {tool!r}", hint=f"one of {', '.join(TOOLS)}")
    source = skill_directory()
    target = Path(project) / TOOLS[tool] / "skills" / SKILL
    if (target.exists() or target.is_symlink()) and not force:
        raise EspdlError("there is a skill of this name already", where=str(target), hint="give --force to replace it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staging_directory(target) as staged:
            fresh, former = Path(staged) / "fresh", Path(staged) / "former"
            if link:
                fresh.symlink_to(source, target_is_directory=True)
            else:
                shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("__pycache__"))
            if target.exists() or target.is_symlink():
                os.replace(target, former)
            os.replace(fresh, target)
    except OSError as error:
        raise EspdlError("the skill cannot be installed", where=str(target), why=error.strerror or str(error)) from None
    return target
