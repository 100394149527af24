"""Softmax and LogSoftmax (runtime spec 3.7). The results are real numbers, whatever the input is."""

from __future__ import annotations

from tests.cases.oracle.floats import divide, expf, logf, total
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import fl32, power_of_two
from tests.cases.oracle.rows import along


@oracle("Softmax", "LogSoftmax")
def softmax(node: Node) -> Array:
    source = node.x()
    if not source.shape:
        return softmax_of_one(node)
    assert isinstance(source.exponent, int)
    scale = power_of_two(source.exponent)
    logarithm = node.op_type == "LogSoftmax"

    def row(values: list[float]) -> list[float]:
        if source.dtype == "int8":  # the largest value is not subtracted
            real = [fl32(value * scale) for value in values]
        else:
            largest = max(values)
            real = [fl32(fl32(value - largest) * scale) for value in values]
        exponentials = [expf(value) for value in real]
        divisor = total(exponentials)
        if logarithm:
            return [fl32(value - logf(divisor)) for value in real]
        return [divide(value, divisor) for value in exponentials]

    return along(source, [node.attributes.get("axis", -1) % len(source.shape)], row)


def softmax_of_one(node: Node) -> Array:
    """A tensor of rank 0 is a row of one element."""
    row = Node(node.op_type, [node.x().reshaped((1,))], {}, node.outputs, node.facts)
    return softmax(row).reshaped(())
