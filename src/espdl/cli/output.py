"""Printing: JSON, and tables of at most 100 columns."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from espdl.report.jsontext import json_text

COLUMNS = 100


def print_json(value: object) -> None:
    """Prints one JSON object; what JSON does not know (paths, enumerations) becomes text, infinities and NaN null."""
    print(json_text(value))


def console() -> Console:
    """Standard output: colour only on a terminal, at most 100 columns."""
    width = None if sys.stdout.isatty() else COLUMNS
    plain = Console(highlight=False, width=width)
    return plain if plain.width <= COLUMNS else Console(highlight=False, width=COLUMNS)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[str] = (), dense: bool = False
) -> None:
    """Prints a table; long cells are folded into several lines, never cut.

    Args:
        columns: the headings.
        rows: one text per column.
        right: headings of the columns that are aligned to the right.
        dense: less space between columns, for tables of many.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=dense)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    _print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Prints name and value pairs in two columns."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), Text(value))
    _print(table)


def print_paragraph(text: str) -> None:
    """Prints text in lines of at most 100 columns; a paragraph that begins with blanks keeps them on every line."""
    blanks = " " * (len(text) - len(text.lstrip()))
    hanging = blanks + ("  " if text.lstrip().startswith("- ") else "")
    print(textwrap.fill(text.strip(), COLUMNS, initial_indent=blanks, subsequent_indent=hanging, break_on_hyphens=False))


def _print(table: Table) -> None:
    """Without the blanks at the ends of lines that fill the last column."""
    output = console()
    with output.capture() as captured:
        output.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
