"""``espdl completion``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def command(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(name="SHELL", help="Whose script to print.")],
    /,
) -> int:
    """Print the script with which a shell completes verbs and options.

    Example: espdl completion bash > ~/.local/share/bash-completion/completions/espdl
    """
    from espdl.cli import make_app

    print(make_app(every_verb=True).generate_completion(shell=shell))
    return 0
