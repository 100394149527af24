"""The drawing of a network as SVG: for a file of its own, or for a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from espdl.report.graph.kinds import KINDS
from espdl.report.graph.network import Network, Vertex
from espdl.report.graph.placing import Placement, place
from espdl.report.markup import escape, shortened

WIDTH, HEIGHT = 176.0, 42.0
PORT_HEIGHT = 34.0
TITLE_COLUMNS, NAME_COLUMNS = 24, 28
MARGIN = 16.0
LEGEND_ITEM, LEGEND_ROW = 190.0, 24.0

STYLE = """
.net { font: 12px system-ui, "Segoe UI", Roboto, sans-serif; --edge: #98a2b3; --note: #667085; --ink: #1b2027; --paper: #fff;
  --multiply: #cfe0ff; --multiply-line: #3f6fd1; --table: #d5f2dd; --table-line: #2f8f55; --elementwise: #fdeac2;
  --elementwise-line: #b27a0c; --window: #e7dcfa; --window-line: #7a52c0; --moves: #e9ecf1; --moves-line: #7c8798;
  --converts: #fddcd4; --converts-line: #c2543a; --recurrent: #d0f1f3; --recurrent-line: #1b858d; --other: #f7f7f9;
  --other-line: #7c8798; --port: #1b2027; --port-line: #1b2027; --port-ink: #fff; }
@media (prefers-color-scheme: dark) { .net { --edge: #667085; --note: #98a2b3; --ink: #e4e8ee; --paper: #14181d;
  --multiply: #22376a; --multiply-line: #7ea3ef; --table: #1b4029; --table-line: #6cc08c; --elementwise: #4a370f;
  --elementwise-line: #dcae4e; --window: #38285c; --window-line: #ad8be6; --moves: #2b323b; --moves-line: #7c8798;
  --converts: #54281d; --converts-line: #e5886f; --recurrent: #15434a; --recurrent-line: #62c3cb; --other: #20262d;
  --other-line: #7c8798; --port: #e4e8ee; --port-line: #e4e8ee; --port-ink: #14181d; } }
.net .e { fill: none; stroke: var(--edge); stroke-width: 1.3; }
.net .a { fill: var(--edge); }
.net text { fill: var(--ink); text-anchor: middle; }
.net .t { font-weight: 600; }
.net .m { font-size: 10px; opacity: .75; }
.net .s { font-size: 10px; fill: var(--note); text-anchor: start; stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }
.net .k-port text { fill: var(--port-ink); }
""" + "\n".join(f".net .k-{kind} rect {{ fill: var(--{kind}); stroke: var(--{kind}-line); }}" for kind in KINDS)
"""Style of the drawing; everything hangs on the class ``net`` of the svg element."""


def draw_graph(network: Network, *, alone: bool = True) -> str:
    """The drawing of a network.

    Args:
        network: see :func:`espdl.report.graph.network.network_of`.
        alone: for a file of its own, with style, background and legend; else for a page that has :data:`STYLE` and its own legend, with
            nodes that can be reached by keyboard and carry ``data-node``.

    Returns:
        An svg element.
    """
    sizes = [(WIDTH, PORT_HEIGHT if vertex.kind == "port" else HEIGHT) for vertex in network.vertices]
    placement = place(sizes, [(source, sink) for source, sink, _ in network.edges])
    used = [kind for kind in KINDS if any(vertex.kind == kind for vertex in network.vertices)]
    legend, legend_width, legend_height = _legend(used) if alone else ("", 0.0, 0.0)
    width = max(placement.width, legend_width) + 2 * MARGIN
    height = placement.height + legend_height + 2 * MARGIN
    left = (width - placement.width) / 2
    body = "\n".join([*_edges(network, placement, alone=alone), *_vertices(network.vertices, placement, alone=alone)])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="net" viewBox="0 0 {_n(width)} {_n(height)}"'
    head += f' width="{_n(width)}" height="{_n(height)}" role="img" aria-label="{escape(f"graph of {network.name}")}">'
    style = f'<style>{STYLE}</style><rect width="100%" height="100%" fill="var(--paper)"/>' if alone else ""
    top = f'<g transform="translate({_n(left)},{_n(MARGIN + legend_height)})">'
    return f"{head}{style}{legend}{top}\n{body}\n</g></svg>\n"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _vertices(vertices: Sequence[Vertex], placement: Placement, *, alone: bool) -> Iterator[str]:
    for vertex, (x, y) in zip(vertices, placement.centres, strict=True):
        height = PORT_HEIGHT if vertex.kind == "port" else HEIGHT
        hook = ""
        if not alone and vertex.node is not None:
            hook = f' data-node="{vertex.node}" tabindex="0" role="button"'
        title = f"<title>{escape(vertex.title)}: {escape(vertex.name)}</title>" if alone or vertex.node is None else ""
        radius = _n(PORT_HEIGHT / 2) if vertex.kind == "port" else "7"
        shapes = ""
        if vertex.shapes:
            shapes = (
                f'<text class="s" x="{_n(WIDTH / 2 + 6)}" y="{_n(height + 13)}">{escape(shortened(vertex.shapes, 34))}</text>'
            )
        first, second = height / 2 - 4, height / 2 + 11
        yield (
            f'<g class="n k-{vertex.kind}"{hook} transform="translate({_n(x - WIDTH / 2)},{_n(y)})">{title}'
            f'<rect width="{_n(WIDTH)}" height="{_n(height)}" rx="{radius}"/>'
            f'<text class="t" x="{_n(WIDTH / 2)}" y="{_n(first)}">{escape(shortened(vertex.title, TITLE_COLUMNS))}</text>'
            f'<text class="m" x="{_n(WIDTH / 2)}" y="{_n(second)}">{escape(shortened(vertex.name, NAME_COLUMNS))}</text>'
            f"{shapes}</g>"
        )


def _edges(network: Network, placement: Placement, *, alone: bool) -> Iterator[str]:
    for (source, sink, _), route in zip(network.edges, placement.routes, strict=True):
        x, _, y = route[0]
        path = [f"M{_n(x)} {_n(y)}"]
        for to, upper, lower in route[1:]:
            last = (to, upper, lower) == route[-1]
            end = upper - 5 if last else upper
            middle = (y + end) / 2
            if abs(to - x) < 0.05:
                path.append(f"V{_n(end)}")
            else:
                path.append(f"C{_n(x)} {_n(middle)} {_n(to)} {_n(middle)} {_n(to)} {_n(end)}")
            if not last:
                path.append(f"V{_n(lower)}")
            x, y = to, lower
        tip = f"M{_n(route[-1][0])} {_n(route[-1][1])}l-3.5 -7h7z"
        ends = f' data-from="{_index(network.vertices[source])}" data-to="{_index(network.vertices[sink])}"'
        hook = "" if alone else ends
        yield f'<path class="e"{hook} d="{"".join(path)}"/><path class="a" d="{tip}"/>'


def _index(vertex: Vertex) -> str:
    return "" if vertex.node is None else str(vertex.node)


def _legend(kinds: Sequence[str]) -> tuple[str, float, float]:
    """Swatches in rows of four, with their width and height."""
    items = []
    for index, kind in enumerate(kinds):
        x, y = MARGIN + index % 4 * LEGEND_ITEM, MARGIN + index // 4 * LEGEND_ROW
        text = f'<text class="s" x="22" y="11">{escape(KINDS[kind])}</text>'
        items.append(
            f'<g class="k-{kind}" transform="translate({_n(x)},{_n(y)})"><rect width="16" height="14" rx="3"/></g>'
            f'<g transform="translate({_n(x)},{_n(y)})">{text}</g>'
        )
    rows = -(-len(kinds) // 4)
    return "".join(items), min(len(kinds), 4) * LEGEND_ITEM, rows * LEGEND_ROW + MARGIN / 2
