"""How many cases each table has at least: the counts of the chip maker's own operator tests (runtime spec 9.3).

Its "Requantize" is RequantizeLinear here. Operators that it does not test have at least one case here.
"""

from __future__ import annotations

_COUNTS = """
Conv 26, Gemm 3, Add 27, Sub 28, Mul 28, Div 21, GlobalAveragePool 4, AveragePool 10, MaxPool 10, Resize 14,
Sigmoid 3, Tanh 3, Relu 3, LeakyRelu 3, HardSigmoid 3, HardSwish 1, PRelu 2, Softmax 3, LogSoftmax 3,
RMSNormalization 5, LpNormalization 5, Exp 3, Log 3, Sqrt 3, Neg 3, Concat 3, Clip 2,
Flatten 3, Reshape 3, Transpose 3, Squeeze 3, Unsqueeze 4, Slice 10, Pad 13, MatMul 19, Split 2, Gather 3,
RequantizeLinear 7, Elu 1, Equal 6, Greater 6, GreaterOrEqual 6, Less 6, LessOrEqual 6, ReverseSequence 2, Swish 2,
ReduceL1 10, ReduceL2 10, ReduceMin 10, ReduceMax 10, ReduceSum 10, ReduceProd 5, ReduceMean 10, ReduceSumSquare 10,
ReduceLogSum 10, ReduceLogSumExp 10, GRU 6, LSTM 6, DepthToSpace 4, SpaceToDepth 4, Pow 5, Mod 6, ScatterND 6,
ConvTranspose 7, LayerNormalization 3
"""

COUNTS: dict[str, int] = {name: int(count) for name, count in (entry.split() for entry in _COUNTS.split(","))}
"""By table."""


def least(table: str) -> int:
    """Cases that the table must have."""
    return COUNTS.get(table, 1)
