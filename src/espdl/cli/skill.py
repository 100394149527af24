"""``espdl skill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Path as PathValidator

from espdl.cli.options import Force


def command(
    action: Annotated[Literal["install", "show"], Parameter(name="ACTION", help="install, or show its text.")],
    /,
    *,
    tool: Annotated[Literal["claude", "cursor", "opencode"], Parameter(help="The coding agent.")] = "claude",
    project: Annotated[
        Path,
        Parameter(help="Directory; your home for all projects.", validator=PathValidator(exists=True, file_okay=False)),
    ] = Path("."),
    link: Annotated[bool, Parameter(help="Link it, so that it follows updates of espdl.", show_default=False)] = False,
    force: Force = False,
) -> int:
    """Install the skill with which a coding agent adds operators to espdl.

    It leads from the ONNX specification to a tested, documented operator in
    nine phases, with templates. Afterwards ask the agent, for example, to
    "implement the operator Mish".

    Example: espdl skill install --tool claude
    """
    from espdl.deploy.skill import install_skill, skill_directory

    if action == "show":
        print((skill_directory() / "SKILL.md").read_text(encoding="utf-8"), end="")
    else:
        print(install_skill(tool, project, link=link, force=force))
    return 0
