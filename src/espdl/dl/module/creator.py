"""``ModuleCreator``: operators by op_type (guide 4.2.4)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from espdl.dl.module.base import MODULE_TYPES, Module
from espdl.errors import EspdlError
from espdl.wording import nearest

if TYPE_CHECKING:
    from espdl.fbs import FbsModel

Creator = Callable[["FbsModel", str], Module]
"""Makes an operator from a model and the name of a node."""


class ModuleCreator:
    """The one register of what makes an operator from a node of a file. Get it with :meth:`get_instance`.

    Defining a subclass of :class:`Module` with an op_type is enough to have it created; :meth:`register_module` serves creators that are
    no class, or that stand in for one of ours.
    """

    _instance: ClassVar[ModuleCreator | None] = None

    def __init__(self) -> None:
        self._creators: dict[str, Creator] = {}
        self._cleared = False

    @classmethod
    def get_instance(cls) -> ModuleCreator:
        """The singleton, our operators registered."""
        if cls._instance is None:
            cls._instance = cls()
            cls._instance.register_dl_modules()
        return cls._instance

    def register_module(self, op_type: str, creator: Creator | type[Module]) -> None:
        """Registers what makes operators of ``op_type``; replaces what did so before.

        Args:
            op_type: as in a file.
            creator: a function of (fbs_model, node_name), or a subclass of :class:`Module`.
        """
        if isinstance(creator, type):
            assert issubclass(creator, Module)
            creator = creator.deserialize
        self._creators[op_type] = creator

    def register_dl_modules(self) -> None:
        """Registers the operators of this package, and every subclass of :class:`Module` defined by now or later."""
        importlib.import_module("espdl.dl.module")
        self._cleared = False

    def _find(self, op_type: str) -> Creator | None:
        if op_type in self._creators:
            return self._creators[op_type]
        module_type = None if self._cleared else MODULE_TYPES.get(op_type)
        return None if module_type is None else module_type.deserialize

    def registered(self) -> list[str]:
        """Names of everything that :meth:`create` knows, sorted."""
        return sorted({*self._creators, *(() if self._cleared else MODULE_TYPES)})

    def create(self, fbs_model: FbsModel, op_type: str, name: str) -> Module:
        """Makes the operator of node ``name``.

        Raises:
            EspdlError: nothing is registered for ``op_type``, or the node cannot run.
        """
        creator = self._find(op_type)
        if creator is None:
            raise self._unknown(op_type, name)
        return creator(fbs_model, name)

    def _unknown(self, op_type: str, name: str) -> EspdlError:
        remedy = "replace it in the network before quantizing, or define a Module subclass with that op_type"
        if self._cleared:
            why, remedy = "Model.minimize() or clear() has emptied the register", "call register_dl_modules(), or load a model"
        else:
            near = nearest(op_type, self.registered(), 1)
            why = "the chip's runtime has none of that name" + (f"; the nearest is {near}" if near else "")
        return EspdlError(f"operator {op_type!r} is not known", where=f"node {name!r}", why=why, hint=remedy)

    def print(self) -> None:
        """Prints every registered op_type, one a line."""
        for op_type in self.registered():
            print(op_type)

    def clear(self) -> None:
        """Forgets every operator, ours included, until :meth:`register_dl_modules` or :meth:`register_module`."""
        self._creators.clear()
        self._cleared = True
