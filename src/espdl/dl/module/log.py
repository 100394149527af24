"""Log."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.contract import Quantization
from espdl.dl.module.unary import Unary, log


class Log(Unary, op_type="Log"):
    """Natural logarithm. What a chip makes of a negative argument on integers is undefined; here it is 0, and of 0 the lowest value."""

    quantization = Quantization(table=True, prefers_float=True)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return log(x)
