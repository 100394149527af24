"""Choosing a backend: native where it was built, NumPy everywhere."""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings

from espdl.dl.base.kernels import Kernels, MacFilter, MacKernel, ProductKernel, Window
from espdl.dl.base.numpy_mac import NumpyLinear, NumpyMac
from espdl.dl.base.numpy_steps import NumpySteps
from espdl.dl.base.products import NumpyProduct, Product
from espdl.dl.base.statistics import row_ends, tap_moments
from espdl.dl.base.step_kernels import StepKernels
from espdl.dl.base.tables import lookup, shift_round_saturate
from espdl.errors import EspdlError

BACKENDS = ("native", "numpy")
ENVIRONMENT = "ESPDL_BACKEND"


class NumpyKernels(NumpySteps):
    """The readable specification of every kernel."""

    name = "numpy"
    lookup = staticmethod(lookup)
    shift_round_saturate = staticmethod(shift_round_saturate)
    row_ends = staticmethod(row_ends)
    tap_moments = staticmethod(tap_moments)

    def conv2d(self, filter: MacFilter, window: Window) -> MacKernel:
        return NumpyMac(filter, window)

    def linear(self, filter: MacFilter) -> MacKernel:
        return NumpyLinear(filter)

    def product(self, product: Product) -> ProductKernel:
        return NumpyProduct(product, NumpyLinear)


def get_kernels(backend: str | None = None) -> Kernels:
    """The kernels of a backend.

    Args:
        backend: "numpy" or "native". None takes the environment variable ``ESPDL_BACKEND``, else native kernels where the package was
            built with a compiler, else NumPy kernels (with one ``RuntimeWarning`` per process).

    Raises:
        EspdlError: for another name, and for native kernels that were not built.
    """
    wanted = backend or os.environ.get(ENVIRONMENT) or None
    if wanted is None:
        return _default_kernels()
    if wanted == "numpy":
        return _numpy_kernels()
    if wanted == "native":
        kernels, reason = _native_kernels()
        if kernels is None:
            raise EspdlError(
                "the native backend is not available",
                why=reason,
                hint="install espdl where a C++20 compiler is found, or use the numpy backend",
            )
        return kernels
    raise EspdlError(f"there is no backend {wanted!r}", hint="one of " + ", ".join(BACKENDS))


def missing_native_notice() -> str:
    """Why the slow kernels are in use and what to do about it; empty where the native ones are built."""
    kernels, reason = _native_kernels()
    if kernels is not None:
        return ""
    return f"espdl runs its slow NumPy kernels: {reason}. Results are the same; install it again with a C++20 compiler for speed."


@functools.cache
def _default_kernels() -> Kernels:
    kernels, _ = _native_kernels()
    if kernels is not None:
        return kernels
    warnings.warn(missing_native_notice(), RuntimeWarning, stacklevel=3)
    return _numpy_kernels()


@functools.cache
def _numpy_kernels() -> Kernels:
    return NumpyKernels()


@functools.cache
def _native_kernels() -> tuple[Kernels | None, str]:
    """The native kernels, or why there are none."""
    if importlib.util.find_spec("espdl.dl.base._native") is None:
        return None, "the package was installed without a C++ compiler"
    try:
        from espdl.dl.base.native import NativeKernels
    except ImportError as error:
        return None, f"the native extension does not load: {error}"
    return NativeKernels(), ""


def kernel_names() -> frozenset[str]:
    """Names of the methods of :class:`Kernels`: what an operator may ask a backend for."""
    members = {**vars(StepKernels), **vars(Kernels)}
    return frozenset(name for name, value in members.items() if callable(value) and not name.startswith("_"))


def native_kernel_names() -> frozenset[str]:
    """Those of :func:`kernel_names` that the native backend has a C++ form of; none where it was not built."""
    kernels, _ = _native_kernels()
    if kernels is None:
        return frozenset()
    return frozenset(name for name in kernel_names() if getattr(type(kernels), name) is not getattr(NumpyKernels, name))
