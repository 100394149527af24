"""Kernels: the arithmetic of the hot operators, once in NumPy as the specification and once in C++."""

from espdl.dl.base.backend import BACKENDS, ENVIRONMENT, get_kernels, missing_native_notice
from espdl.dl.base.kernels import Kernels, LaneOverflows, LaneRule, MacFilter, MacKernel, Step, Window

__all__ = [
    "BACKENDS",
    "ENVIRONMENT",
    "Kernels",
    "LaneOverflows",
    "LaneRule",
    "MacFilter",
    "MacKernel",
    "Step",
    "Window",
    "get_kernels",
    "missing_native_notice",
]
