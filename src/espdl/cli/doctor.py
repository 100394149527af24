"""``espdl doctor``."""

from __future__ import annotations

from espdl.cli.options import Json


def command(*, json: Json = False) -> int:
    """Show versions, which kernels run and why, and what is missing.

    Exit code 1 when something that espdl needs is missing or too old.

    Example: espdl doctor
    """
    from espdl.cli.output import print_facts, print_json, print_table
    from espdl.report.environment import examine

    found = examine()
    if json:
        print_json(found.to_dict())
        return 0 if found.healthy else 1
    backend = f"{found.backend.name} ({found.backend.reason})" if found.backend.name else f"none: {found.backend.problem}"
    print_facts(
        [
            ("espdl", found.espdl),
            ("python", found.python),
            ("machine", f"{found.machine}, {found.cores} cores"),
            ("kernels", backend),
        ]
    )
    print()
    rows = [(p.name, p.version or "-", p.problem or "ok", p.purpose) for p in found.packages]
    print_table(("package", "version", "state", "for"), rows)
    if found.remedies:
        print("\nTo do:" if not found.healthy else "\nOptional:")
        for line in found.remedies:
            print(f"  {line}")
    else:
        print("\nNothing is missing.")
    return 0 if found.healthy else 1
