"""Erf."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from espdl.dl.module.contract import INTEGER_AND_FLOAT, Availability, Contract
from espdl.dl.module.unary import Unary, erf


class Erf(Unary, op_type="Erf"):
    """The error function. ESP-PPQ writes it into files in float32, though ESP-DL does not have it."""

    contract: ClassVar[Contract] = Contract(INTEGER_AND_FLOAT, availability=Availability.ABSENT)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return erf(x)
