"""The guide's overloads of ``Model``: which positional argument is which (guide 4.3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from espdl.dtypes import ModelLocation
from espdl.fbs import FbsModel
from espdl.wording import counted

_BUILD = ("max_internal_size", "mm_type")


def constructor_arguments(source: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the constructor behind ``source``, by name. An index or a name of a package stands before the location, if at all.

    Raises TypeError, as Python does, for too many arguments, unknown names and those given twice.
    """
    if isinstance(source, FbsModel):
        return _by_name("Model", (*_BUILD, "input_shapes"), arguments, named)
    order: tuple[str, ...]
    if arguments and isinstance(arguments[0], ModelLocation):
        order = ("location", *_BUILD, "key", "param_copy", "input_shapes")
    else:
        order = ("model", "location", *_BUILD, "key", "param_copy", "input_shapes")
    return _by_name("Model", order, arguments, named, ("model",))


def load_arguments(source: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The same for ``Model.load``, where an index or a name may stand before the location, or behind it as in the guide."""
    if isinstance(source, FbsModel):
        return _by_name("load", (), arguments, named)
    order: tuple[str, ...] = ("model", "location", "key", "param_copy")
    if arguments and isinstance(arguments[0], ModelLocation):
        picks = len(arguments) > 1 and isinstance(arguments[1], (int, str))
        order = ("location", *(("model",) if picks else ()), "key", "param_copy")
    return _by_name("load", order, arguments, named, ("model",))


def _by_name(
    function: str, order: Sequence[str], arguments: Sequence[Any], named: Mapping[str, Any], by_name_only: Sequence[str] = ()
) -> dict[str, Any]:
    if len(arguments) > len(order):
        raise TypeError(
            f"{function}() takes at most {counted(len(order), 'argument')} behind this source, {len(arguments)} are given"
        )
    found = dict(zip(order, arguments, strict=False))
    for name, value in named.items():
        if name in found:
            raise TypeError(f"{function}() got two values for argument {name!r}")
        if name not in (*order, *by_name_only):
            raise TypeError(f"{function}() got an unexpected argument {name!r}")
        found[name] = value
    return found
