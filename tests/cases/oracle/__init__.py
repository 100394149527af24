"""The operators of the runtime specification in Python integers, fractions and math: what the case tables expect.

Every module here registers functions with ``@oracle``. None imports from ``espdl``, and none uses NumPy to compute.
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.cases.oracle.node import ORACLES

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["ORACLES"]
