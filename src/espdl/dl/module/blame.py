"""Every failure of an operator names its node, and is an :class:`EspdlError`."""

from __future__ import annotations

from types import TracebackType

from espdl.errors import EspdlError
from espdl.wording import at_node

DAMAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What attributes and tensors that nobody foresaw make Python and NumPy raise."""


class Blame:
    """A context: what goes wrong inside is the fault of one node.

    Args:
        name, op_type: of the node.
    """

    __slots__ = ("name", "op_type")

    def __init__(self, name: str, op_type: str) -> None:
        self.name = name
        self.op_type = op_type

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None:
            return
        place = at_node(self.name, self.op_type)
        if isinstance(error, EspdlError):
            if not error.where.startswith(place):
                error.at(place)
        elif isinstance(error, DAMAGE):
            reason = str(error) or type(error).__name__
            raise EspdlError("its attributes or tensors do not suit the operator", where=place, why=reason) from error
