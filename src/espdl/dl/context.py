"""``ModelContext``: every tensor of a model by index and name, and the arenas its variables live in (guide 4.3.6, runtime spec 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from espdl.alignment import ALIGNMENT, aligned_zeros
from espdl.dl.profile import MemInfo
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

if TYPE_CHECKING:
    from espdl.dl.machine import Machine

CONTEXT_PARAMETER_OFFSET = 10_000_000
"""Index of the first parameter; variables count from 0."""


class ModelContext:
    """Tensors of one model.

    Variables (inputs and whatever operators produce) have the indices 0, 1, ...; parameters (constants) the indices
    ``CONTEXT_PARAMETER_OFFSET``, ``CONTEXT_PARAMETER_OFFSET + 1``, .... All inputs that a node omits share one parameter, named "" and
    without tensor.

    Attributes:
        m_variables, m_parameters: the tensors, None where there is none yet.
        psram: whether the chip has PSRAM, where copied parameters go then.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.m_variables: list[TensorBase | None] = []
        self.m_parameters: list[TensorBase | None] = []
        self.psram = True
        self._machine = machine
        self._indices: dict[str, int] = {}
        self._internal_root: NDArray[np.uint8] | None = None
        self._psram_root: NDArray[np.uint8] | None = None
        self._sizes = MemInfo()

    @property
    def machine(self) -> Machine:
        """What operators compute with. Raises :class:`EspdlError` when it was never set."""
        if self._machine is None:
            raise EspdlError("the context has no machine", hint="set context.machine before running operators")
        return self._machine

    @machine.setter
    def machine(self, machine: Machine) -> None:
        self._machine = machine

    # Tensors

    def add_tensor(self, name: str, is_paramter: bool = False, tensor: TensorBase | None = None) -> int:
        """Registers a tensor; a name that is known keeps its index and gets the new tensor.

        Args:
            name: unique over variables and parameters; "" for whatever a node omits.
            is_paramter: a constant (the guide's spelling).

        Returns:
            The index. Raises :class:`EspdlError` when the name is a variable and shall be a parameter, or the reverse.
        """
        index = self._indices.get(name)
        if index is None:
            index = self._indices[name] = self.push_back_tensor(tensor, is_paramter)
            return index
        if not name:
            return index
        if (index >= CONTEXT_PARAMETER_OFFSET) != is_paramter:
            raise EspdlError(f"tensor {name!r} is both a constant of the file and the result of a node")
        self.update_tensor(index, tensor)
        return index

    def push_back_tensor(self, tensor: TensorBase | None, is_paramter: bool = False) -> int:
        """Adds a tensor without name and returns its index."""
        if is_paramter:
            self.m_parameters.append(tensor)
            return CONTEXT_PARAMETER_OFFSET + len(self.m_parameters) - 1
        self.m_variables.append(tensor)
        return len(self.m_variables) - 1

    def update_tensor(self, index: int, tensor: TensorBase | None) -> None:
        """Replaces the tensor at ``index``. Raises :class:`EspdlError` when there is no such index."""
        place = self._place(index)
        if place is None:
            raise EspdlError(f"there is no tensor with index {index}")
        tensors, position = place
        tensors[position] = tensor

    def get_tensor(self, index: int | str) -> TensorBase | None:
        """A tensor by index or name; None when there is none."""
        if isinstance(index, str):
            index = self._indices.get(index, -1)
        place = self._place(index)
        return None if place is None else place[0][place[1]]

    def _place(self, index: int) -> tuple[list[TensorBase | None], int] | None:
        if 0 <= index < len(self.m_variables):
            return self.m_variables, index
        if 0 <= index - CONTEXT_PARAMETER_OFFSET < len(self.m_parameters):
            return self.m_parameters, index - CONTEXT_PARAMETER_OFFSET
        return None

    def get_tensor_index(self, name: str) -> int:
        """Index of a variable or parameter; -1 when the name is unknown."""
        return self._indices.get(name, -1)

    def get_variable_index(self, name: str) -> int:
        """Index of a variable; -1 when the name is unknown or a parameter's."""
        index = self._indices.get(name, -1)
        return index if index < CONTEXT_PARAMETER_OFFSET else -1

    def get_variable_count(self) -> int:
        """Number of variables, those without tensor included."""
        return len(self.m_variables)

    def get_parameter_count(self) -> int:
        """Number of parameters; all omitted inputs count as one."""
        return len(self.m_parameters)

    # Memory

    def root_alloc(self, internal_size: int, psram_size: int, alignment: int = ALIGNMENT) -> bool:
        """Allocates the arenas, zero-filled. Sizes in bytes; 0 for none.

        Returns:
            True. Raises :class:`EspdlError` where this machine has not that much memory.
        """
        self.root_free()
        if psram_size > 0:
            self._psram_root = aligned_zeros(psram_size, alignment)
        if internal_size > 0:
            self._internal_root = aligned_zeros(internal_size, alignment)
        self._sizes = MemInfo(internal=internal_size, psram=psram_size)
        return True

    def get_psram_root(self) -> NDArray[np.uint8] | None:
        """The PSRAM arena: flat uint8, None when there is none."""
        return self._psram_root

    def get_internal_root(self) -> NDArray[np.uint8] | None:
        """The internal RAM arena: flat uint8, None when there is none."""
        return self._internal_root

    def get_parameter_memory_size(self, copy: bool, *, file_memory: str = "flash") -> MemInfo:
        """Bytes of parameters, each rounded up to 16 (spec 4.4).

        Args:
            copy: True counts the ones copied to RAM (PSRAM where there is some), False those that point into the file.
            file_memory: where the file lies: ``flash``, ``psram`` or ``internal``.
        """
        memory = ("psram" if self.psram else "internal") if copy else file_memory
        size = sum(t.get_aligned_bytes() for t in self.m_parameters if t is not None and t.auto_free == copy)
        return MemInfo(**{memory: size})

    def get_variable_memory_size(self) -> MemInfo:
        """Bytes of the arenas."""
        return self._sizes

    def root_free(self) -> None:
        """Lets go of the arenas. Tensors that still point into them keep them alive."""
        self._internal_root = self._psram_root = None
        self._sizes = MemInfo()

    def root_reset(self) -> None:
        """Forgets all tensors and names; the arenas stay."""
        self.m_variables.clear()
        self.m_parameters.clear()
        self._indices.clear()

    def minimize(self) -> None:
        """Forgets all names: tensors can be had by index only."""
        self._indices.clear()

    def clear(self) -> None:
        """Forgets tensors, names and arenas."""
        self.root_reset()
        self.root_free()
