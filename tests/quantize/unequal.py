"""A network whose channels have very different ranges, which 8 bits with one exponent for all do not suit."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from tests.quantize.graphs import network, op, weights


def unequal(*, depthwise: bool = False, gemm: bool = False) -> onnx.ModelProto:
    """Input x [1, 3, 8, 8], output y; layers Conv_c0, then Conv_c1 or, with ``gemm``, a Gemm on top."""
    ranges = 2.0 ** np.random.default_rng(3).uniform(-6, 0, 12)
    first = weights(12, 3, 3, 3, seed=1) * 0.3 * ranges[:, None, None, None]
    below = weights(12, 1, 3, 3, seed=2) if depthwise else weights(8, 12, 3, 3, seed=2) * 0.2
    second = below / (ranges[:, None, None, None] if depthwise else ranges[None, :, None, None])
    width = 12 if depthwise else 8
    nodes = [
        op("Conv", "x w0 b0", "c0", pads=[1, 1, 1, 1]),
        op("Relu", "c0", "r0"),
        op("Conv", "r0 w1 b1", "c1", pads=[1, 1, 1, 1], group=12 if depthwise else 1),
        op("Relu", "c1", "r1" if gemm else "y"),
    ]
    constants = {"w0": first, "b0": weights(12, seed=4) * 0.1 * ranges, "w1": second, "b1": weights(width, seed=5) * 0.1}
    if gemm:
        nodes += [op("GlobalAveragePool", "r1", "p"), op("Flatten", "p", "f"), op("Gemm", "f w2 b2", "y")]
        constants |= {"w2": weights(width, 5, seed=6), "b2": weights(5, seed=7)}
    return network(nodes, {"x": (1, 3, 8, 8)}, constants)


def samples(count: int) -> list[NDArray[np.float32]]:
    return list(np.random.default_rng(0).standard_normal((count, 1, 3, 8, 8)).astype(np.float32))
