"""Which kernels of a backend an operator calls, read from the compiled code of its class."""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Iterator

from espdl.dl.base import kernel_names
from espdl.dl.module import Module

_OPERATORS = Module.__module__.rpartition(".")[0]


def kernels_of(module: type[Module]) -> frozenset[str]:
    """Names of the kernels that ``module`` asks ``machine.kernels`` for, itself or through functions that operators share.

    An operator that names none computes in NumPy on every backend.
    """
    own = module.__mro__[: module.__mro__.index(Module)]
    todo = [function for base in own for value in vars(base).values() if (function := _function(value)) is not None]
    known = kernel_names()
    seen: set[types.FunctionType] = set()
    found: set[str] = set()
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        before = ""
        for name in _names(function.__code__):
            if before == "kernels" and name in known:
                found.add(name)
            before = name
            called = _function(function.__globals__.get(name))
            if called is not None and called.__module__.startswith(_OPERATORS):
                todo.append(called)
    return frozenset(found)


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that the instructions use, in order, those of nested functions included."""
    for instruction in dis.get_instructions(code):
        if isinstance(instruction.argval, str):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _function(value: object) -> types.FunctionType | None:
    """The plain Python function in a method, property or decorated function; None where there is none."""
    if isinstance(value, (classmethod, staticmethod)):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    if not callable(value):
        return None
    plain = inspect.unwrap(value)
    return plain if isinstance(plain, types.FunctionType) else None
