"""HardSwish."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.unary import Unary


class HardSwish(Unary, op_type="HardSwish"):
    """``x * max(0, min(1, x / 6 + 0.5))``. The chip writes 1/6 with six digits and computes in binary64 (runtime spec 3.6)."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        wide = x.astype(np.float64)
        slope = 1 / 6 if self.strict_onnx else 0.166667
        return (np.clip(slope * wide + 0.5, 0, 1) * wide).astype(x.dtype)
