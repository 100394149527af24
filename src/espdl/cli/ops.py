"""``espdl ops``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from espdl.cli.options import Json


def command(
    *,
    op: Annotated[str | None, Parameter(help="Show one operator with its limits in words.")] = None,
    json: Json = False,
    markdown: Annotated[bool, Parameter(help="Print the page docs/operators.md.", show_default=False)] = False,
) -> int:
    """Show which operators run: types, ranks, layout, chips, kernels, limits.

    The table is collected from the operators themselves. Whether the nodes of
    a network meet the limits is told by espdl check.

    Exit code 1 when there is no operator of the name given.

    Example: espdl ops --op Conv
    """
    from espdl.cli.output import print_facts, print_json, print_paragraph, print_table
    from espdl.report import operators, operators_text

    found = [operators.find_operator(op)] if op else operators.supported_operators()
    if json:
        print_json({"operators": [operator.to_dict() for operator in found]})
    elif markdown:
        print(operators_text.markdown(found), end="")
    elif op:
        print_facts(operators_text.operator_facts(found[0]))
        print()
        for line in operators_text.limit_lines(found[0]):
            print_paragraph(line)
    else:
        print_table(operators_text.COLUMNS, map(operators_text.table_row, found), right=("limits",), dense=True)
        print(f"\n{len(found)} operators. espdl ops --op NAME tells the limits of one in words.")
        for line in operators_text.legend(found):
            print_paragraph(line)
    return 0
