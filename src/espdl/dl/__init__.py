"""The runtime: loads a model file and runs it bit for bit as a chip would."""

from espdl.dl.context import CONTEXT_PARAMETER_OFFSET, ModelContext
from espdl.dl.machine import Machine
from espdl.dl.memory import MEMORY_MANAGER_GREEDY, MemoryChunk, MemoryManagerBase, MemoryManagerGreedy, TensorInfo
from espdl.dl.model import Model
from espdl.dl.module import Module, ModuleCreator
from espdl.dl.selftest import TestResult
from espdl.tensor import ExponentInfo, TensorBase

__all__ = [
    "CONTEXT_PARAMETER_OFFSET",
    "MEMORY_MANAGER_GREEDY",
    "ExponentInfo",
    "Machine",
    "MemoryChunk",
    "MemoryManagerBase",
    "MemoryManagerGreedy",
    "Model",
    "ModelContext",
    "Module",
    "ModuleCreator",
    "TensorBase",
    "TensorInfo",
    "TestResult",
]
