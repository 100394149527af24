"""A model file whose every name tries to leave its place on a page."""

from __future__ import annotations

from espdl.fbs import wrap_model, write_model
from espdl.fbs.records import Attribute
from tests.models import small_records

ATTACKS = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!--<script>",
    "</title></style><svg onload=alert(1)>",
    "${constructor.constructor('alert(1)')()} $data {{1}} \x1b[31m \u202e \u2028 & &lt;",
)


def hostile_file() -> bytes:
    """The bytes of a file for esp32s3 that is otherwise :func:`tests.models.small_records`."""
    model = small_records("esp32s3", metadata=True)
    graph = model.graph
    tensors = [*graph.initializer, *graph.input, *graph.output, *graph.value_info]
    renamed = {name: f"{name}{ATTACKS[i % len(ATTACKS)]}" for i, name in enumerate(dict.fromkeys(t.name for t in tensors))}
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        tensor.name = renamed[tensor.name]
    for index, node in enumerate(graph.node):
        node.name += ATTACKS[index % len(ATTACKS)]
        node.input = [renamed[name] for name in node.input]
        node.output = [renamed[name] for name in node.output]
        node.attribute.append(Attribute("note" + ATTACKS[1], ATTACKS[0]))
    graph.name = model.doc_string = model.producer_name = "".join(ATTACKS)
    model.metadata_props |= {attack: attack for attack in ATTACKS}
    return wrap_model(write_model(model))
