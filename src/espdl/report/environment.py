"""What is installed here, which kernels run, what is missing and what to do about it."""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
import warnings
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from espdl.errors import EspdlError
from espdl.version import __version__


@dataclass(frozen=True)
class Package:
    """An installed or missing package.

    Attributes:
        name: as pip knows it.
        version: empty when it is not installed.
        needed: whether espdl needs it; an optional one is needed for ``purpose`` only.
        purpose: what it is for.
        problem: why it cannot be used; empty when it can.
        remedy: what to type.
    """

    name: str
    version: str
    needed: bool
    purpose: str
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Backend:
    """The kernels that run, and what is known of the others.

    Attributes:
        name: of those that run; empty when none can.
        reason: why these.
        problem, remedy: when they are not the fast ones.
    """

    name: str
    reason: str
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Environment:
    """Everything ``espdl doctor`` tells."""

    espdl: str
    python: str
    machine: str
    cores: int
    backend: Backend
    packages: tuple[Package, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything that is needed can be used."""
        return bool(self.backend.name) and not any(package.needed and package.problem for package in self.packages)

    @property
    def remedies(self) -> list[str]:
        """What to do, most pressing first."""
        broken = [package for package in self.packages if package.remedy]
        lines = [f"{p.name}: {p.problem}: {p.remedy}" for p in sorted(broken, key=lambda p: not p.needed)]
        if self.backend.remedy:
            lines.insert(0, f"{self.backend.problem}: {self.backend.remedy}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"healthy": self.healthy, "remedies": self.remedies}


NATIVE_REMEDY = "install a C++20 compiler, then pip install --force-reinstall --no-cache-dir --no-binary espdl espdl"

_NEEDED = (
    ("numpy", "numpy", "arrays"),
    ("flatbuffers", "flatbuffers", "model files"),
    ("onnx", "onnx", "networks"),
    ("onnx-ir", "onnx_ir", "networks"),
    ("onnxscript", "onnxscript", "simplifying networks"),
    ("onnxruntime", "onnxruntime", "calibration and float results"),
    ("pillow", "PIL", "pictures"),
    ("cryptography", "cryptography", "encrypted models"),
    ("rich", "rich", "this text"),
    ("cyclopts", "cyclopts", "the command line"),
)
_OPTIONAL = (("scikit-learn", "the demonstration", "espdl[demo]"),)


def examine() -> Environment:
    """Looks at this installation. Imports every package that espdl needs, so that one that cannot be loaded is found."""
    minimums = _minimum_versions()
    packages = [_package(name, module, purpose, minimums.get(name, "")) for name, module, purpose in _NEEDED]
    packages += [_optional_package(*entry) for entry in _OPTIONAL]
    return Environment(
        espdl=__version__,
        python=f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})",
        machine=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        backend=_backend(),
        packages=tuple(packages),
    )


def _package(name: str, module: str, purpose: str, minimum: str) -> Package:
    version = _version(name)
    try:
        importlib.import_module(module)
    except ImportError as error:
        problem = f"cannot be loaded ({error})" if version else "not installed"
        return Package(
            name, version, True, purpose, problem, f"pip install --force-reinstall {name}" if version else f"pip install {name}"
        )
    if minimum and _numbers(version) < _numbers(minimum):
        return Package(name, version, True, purpose, f"older than {minimum}", f"pip install --upgrade '{name}>={minimum}'")
    return Package(name, version, True, purpose)


def _optional_package(name: str, purpose: str, extra: str) -> Package:
    """Presence only: loading it would take seconds."""
    version = _version(name)
    if version:
        return Package(name, version, False, purpose)
    return Package(name, "", False, purpose, "not installed", f"pip install '{extra}'")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _minimum_versions() -> dict[str, str]:
    """From espdl's own metadata; nothing when it runs from a source tree that is not installed."""
    try:
        requirements = metadata.requires("espdl") or []
    except metadata.PackageNotFoundError:
        return {}
    found = (re.match(r"([\w-]+)\s*>=\s*([\d.]+)\s*$", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in found if match}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _backend() -> Backend:
    from espdl.dl.base import ENVIRONMENT, get_kernels

    wish = os.environ.get(ENVIRONMENT, "")
    reason = f"{ENVIRONMENT}={wish}" if wish else "the fastest present"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that NumPy kernels are slow is told below, with the remedy
            name = get_kernels().name
    except EspdlError as error:
        return Backend("", reason, f"{error.what} ({error.why})" if error.why else error.what, error.hint)
    if name == "native" or wish:
        return Backend(name, reason)
    try:
        get_kernels("native")
    except EspdlError as error:
        return Backend(name, f"slow: {error.why}", f"the kernels are slow ({error.why})", NATIVE_REMEDY)
    return Backend(name, reason)
