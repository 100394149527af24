"""The runtime: loads a model file and runs it bit for bit as a chip would."""

from espdl.dl.context import CONTEXT_PARAMETER_OFFSET, ModelContext
from espdl.dl.machine import Machine
from espdl.dl.memory import MEMORY_MANAGER_GREEDY, MemoryChunk, MemoryManagerBase, MemoryManagerGreedy, TensorInfo
from espdl.dl.model import Model
from espdl.dl.module import Module, ModuleCreator
from espdl.dl.names import *  # noqa: F403  # DATA_TYPE_FLOAT, RUNTIME_MODE_AUTO and so on
from espdl.dl.profile import MemInfo, ModuleInfo
from espdl.dl.scaling import DL_RESCALE, DL_SCALE, dequantize, quantize
from espdl.dl.selftest import TestResult
from espdl.dl.streaming import StreamingSession
from espdl.tensor import ExponentInfo, TensorBase

__all__ = [
    "CONTEXT_PARAMETER_OFFSET",
    "DL_RESCALE",
    "DL_SCALE",
    "MEMORY_MANAGER_GREEDY",
    "ExponentInfo",
    "Machine",
    "MemInfo",
    "MemoryChunk",
    "MemoryManagerBase",
    "MemoryManagerGreedy",
    "Model",
    "ModelContext",
    "Module",
    "ModuleCreator",
    "ModuleInfo",
    "StreamingSession",
    "TensorBase",
    "TensorInfo",
    "TestResult",
    "dequantize",
    "quantize",
]
