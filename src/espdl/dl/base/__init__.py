"""Kernels: the arithmetic of the hot operators, once in NumPy as the specification and once in C++."""

from espdl.dl.base.backend import (
    BACKENDS,
    ENVIRONMENT,
    get_kernels,
    kernel_names,
    missing_native_notice,
    native_kernel_names,
)
from espdl.dl.base.kernels import Accumulating, Kernels, LaneOverflows, LaneRule, MacFilter, MacKernel, Step, Window

__all__ = [
    "BACKENDS",
    "ENVIRONMENT",
    "Accumulating",
    "Kernels",
    "LaneOverflows",
    "LaneRule",
    "MacFilter",
    "MacKernel",
    "Step",
    "Window",
    "get_kernels",
    "kernel_names",
    "missing_native_notice",
    "native_kernel_names",
]
