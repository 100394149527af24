"""How each operator is drawn: shapes, types, exponents and attributes that its contract allows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from espdl.chips import get_chip
from espdl.dtypes import DType
from espdl.fbs.packing import pack_filter, pack_matmul, packing_doc_string, packing_tag
from tests.dl.drawn_graphs import BOOL, F32, I8, I16, INTEGERS, NUMBERS, Drawn, Value

Recipe = Callable[[Drawn], bool]


def _table(g: Drawn, dtype: DType, exponent: int) -> str:
    entries = 256 if dtype is I8 else g.one_of((17, 257, 2049))
    return g.constant(g.array((entries,), dtype), exponent).name


def _unary(g: Drawn, op_type: str, types: tuple[DType, ...] = NUMBERS, lut: float = 0.4, **attributes: float) -> bool:
    x = g.pick(types)
    exponent = g.exponent(x.dtype)
    if x.dtype in INTEGERS and g.chance(lut) and (x.dtype is I8 or lut == 1):
        attributes["lut"] = _table(g, x.dtype, exponent)  # type: ignore[assignment]
    return g.add(op_type, [x], [(x.dtype, exponent)], **attributes)


def _clip(g: Drawn) -> bool:
    x = g.pick()
    bounds = [g.constant(g.array((1,), x.dtype), x.exponent) if g.chance(0.7) else None for _ in range(2)]
    return g.add("Clip", [x, *bounds][: g.random.randint(1, 3)], [(x.dtype, g.exponent(x.dtype))])


def _prelu(g: Drawn) -> bool:
    x = g.pick(ranks=(4,))
    slope = g.constant(g.array((x.shape[-1], 1, 1) if g.chance(0.7) else (1,), x.dtype), g.exponent(x.dtype))
    return g.add("PRelu", [x, slope], [(x.dtype, g.exponent(x.dtype))])


def _assign(g: Drawn, op_type: str) -> bool:
    x = g.pick((F32,) if op_type == "QuantizeLinear" else INTEGERS)
    dtype = F32 if op_type == "DequantizeLinear" else g.one_of(INTEGERS)
    return g.add(op_type, [x], [(dtype, g.exponent(dtype))])


def _second(g: Drawn, x: Value) -> tuple[int, ...]:
    """A shape that broadcasts with that of ``x``."""
    choice = g.random.random()
    if choice < 0.35:
        return x.shape
    if choice < 0.5:
        return (1,)
    shape = list(x.shape)
    for axis in range(len(shape)):
        if g.chance(0.4):
            shape[axis] = 1
    return tuple(shape[g.random.randint(0, len(shape) - 1) :]) if choice < 0.75 else tuple(shape)


def _binary(g: Drawn, op_type: str, types: tuple[DType, ...] = NUMBERS, same: bool = False, output: DType | None = None) -> bool:
    x = g.pick(types)
    other = g.beside(x, _second(g, x), exponent=x.exponent if same else None)
    pair = [x, other] if g.chance(0.7) else [other, x]
    dtype = output or x.dtype
    return g.add(op_type, pair, [(dtype, x.exponent if same and dtype in INTEGERS else g.exponent(dtype))])


def _softmax(g: Drawn, op_type: str) -> bool:
    x = g.pick()
    return g.add(op_type, [x], [(F32, 0)], axis=g.random.randint(-len(x.shape), len(x.shape) - 1))


def _normalization(g: Drawn, op_type: str) -> bool:
    x = g.pick()
    axis = g.random.randint(0, len(x.shape) - 1)
    output = [(x.dtype, g.exponent(x.dtype))]
    if op_type == "LpNormalization":
        return g.add(op_type, [x], output, axis=axis, p=g.one_of((1, 2)))
    kind = F32 if op_type == "RMSNormalization" else x.dtype
    extra = [g.constant(g.array(x.shape[axis:], kind), g.exponent(kind)) for _ in range(1 + (kind is x.dtype and g.chance(0.5)))]
    if op_type == "RMSNormalization":
        extra = extra[:1]
    return g.add(op_type, [x, *extra], output, axis=axis, epsilon=1e-5)


def _reduce(g: Drawn, op_type: str) -> bool:
    x = g.pick()
    axes = [axis for axis in range(len(x.shape)) if g.chance(0.5)]
    signed = [axis - len(x.shape) if g.chance(0.3) else axis for axis in axes]
    raw = op_type in ("ReduceMax", "ReduceMin")
    inputs = [x, g.constant(signed)] if signed else [x]
    return g.add(op_type, inputs, [(x.dtype, x.exponent if raw else g.exponent(x.dtype))], keepdims=int(g.chance(0.6)))


def _pool(g: Drawn, op_type: str) -> bool:
    x = g.image(INTEGERS if op_type == "MaxPool" else NUMBERS)
    spatial = len(x.shape) - 2
    kernel = [g.random.randint(1, 3) for _ in range(spatial)]
    pads = [g.random.randint(0, kernel[i % spatial] - 1) for i in range(2 * spatial)] if g.chance(0.5) else []
    attributes = (
        {}
        if op_type == "GlobalAveragePool"
        else {
            "kernel_shape": kernel,
            "strides": [g.random.randint(1, 2) for _ in range(spatial)],
            "pads": pads or [0] * 2 * spatial,
        }
    )
    exponent = x.exponent if op_type == "MaxPool" else g.exponent(x.dtype)
    return g.add(op_type, [x], [(x.dtype, exponent)], **attributes)


def _resize(g: Drawn) -> bool:
    x = g.image((I8,))
    spatial = len(x.shape) - 2
    if g.chance(0.6):
        scales = np.array([1, 1, *(g.one_of((0.5, 1, 1.5, 2, 3)) for _ in range(spatial))], np.float32)
        inputs = [x, None, g.constant(scales)]
    else:
        sizes = [g.random.randint(1, 9) for _ in range(spatial)]
        inputs = [x, None, None, g.constant([1, x.shape[-1], *sizes])]
    transform = g.one_of(("half_pixel", "align_corners", "asymmetric"))
    mode = g.one_of(("nearest", "linear"))
    return g.add("Resize", inputs, [(I8, g.exponent(I8))], mode=mode, coordinate_transformation_mode=transform)


def _recurrent(g: Drawn, op_type: str) -> bool:
    x = g.input((g.random.randint(1, 5), 1, g.one_of((1, 3, 8, 16))), g.one_of(NUMBERS))
    gates, hidden, directions = (3 if op_type == "GRU" else 4), g.one_of((1, 2, 5, 8)), g.one_of((1, 2))
    kind = F32 if x.dtype is F32 else I16
    weights = [
        g.constant(g.array((directions, gates * hidden, size), x.dtype), g.one_of((-8, -6)) if x.dtype in INTEGERS else 0)
        for size in (x.shape[-1], hidden)
    ]
    bias = g.constant(g.array((directions, 2 * gates * hidden), kind), -8) if g.chance(0.7) else None
    states: list[Value | None] = []
    if g.chance(0.3):
        states = [None, g.constant(g.array((directions, 1, hidden), x.dtype), -7)]
    outputs = [(x.dtype, -7 if x.dtype in INTEGERS else 0)] * 2 + ([(kind, -8 if kind is I16 else 0)] if gates == 4 else [])
    attributes = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward", "gate_exponent": -8}
    if op_type == "GRU":
        attributes["linear_before_reset"] = 1
    return g.add(op_type, [x, *weights, bias, *states], outputs, **attributes)


def _filter(g: Drawn, ohwi: np.ndarray, depthwise: bool = False) -> Value:
    chip = get_chip(g.target)
    lanes = chip.lanes(ohwi.itemsize)
    dims = [*ohwi.shape, 1] if depthwise else [*ohwi.shape[1:], ohwi.shape[0]]
    channels = ohwi.shape[-1 if depthwise else 0]
    tag = packing_tag(chip.packing, lanes, channels, spatial=len(dims) - 2, depthwise=depthwise)
    return g.constant(pack_filter(ohwi, chip.packing, lanes, depthwise), -6, packing_doc_string(tag), dims)


def _bias(g: Drawn, x: Value, channels: int) -> list[Value]:
    if g.chance(0.4):
        return []
    limit = 1 << (19 if x.dtype is I8 else 30)
    values = [g.random.randint(-limit, limit) // g.one_of((1, 64, 4096)) for _ in range(channels)]
    return [g.constant(np.array(values, np.int32 if x.dtype is I8 else np.int64), x.exponent - 6)]


def _activation(g: Drawn) -> str:
    return g.one_of(("Linear", "Relu"))


def _output(g: Drawn, *inputs: Value, exponent: int = -6) -> list[tuple[DType, int]]:
    """An exponent that shifts the sum to the right by a little."""
    total = sum(value.exponent for value in inputs) + exponent
    return [(inputs[0].dtype, total + g.random.randint(0, 12))]


def _conv(g: Drawn) -> bool:
    x = g.image(INTEGERS)
    spatial, depth = len(x.shape) - 2, x.shape[-1]
    depthwise = g.chance(0.3) and depth > 1
    kernel = [g.random.randint(1, min(3, size)) for size in x.shape[1:-1]]
    count = depth if depthwise else g.one_of((1, 3, 8, 16, 20))
    weights = g.array([*kernel, depth] if depthwise else [count, *kernel, depth], x.dtype)
    attributes = {
        "strides": [g.random.randint(1, 2) for _ in range(spatial)],
        "dilations": [1] * spatial,
        "pads": [g.random.randint(0, kernel[i % spatial] - 1) for i in range(2 * spatial)],
        "group": depth if depthwise else 1,
        "activation": _activation(g),
    }
    return g.add("Conv", [x, _filter(g, weights, depthwise), *_bias(g, x, count)], _output(g, x), **attributes)


def _gemm(g: Drawn) -> bool:
    x = g.pick(INTEGERS)
    count = g.one_of((1, 5, 8, 16, 19))
    weights = _filter(g, g.array((count, 1, 1, x.shape[-1]), x.dtype))
    return g.add("Gemm", [x, weights, *_bias(g, x, count)], _output(g, x), activation=_activation(g))


def _matmul(g: Drawn) -> bool:
    x = g.pick(INTEGERS)
    depth, columns = x.shape[-1], g.one_of((1, 4, 8, 17))
    if g.chance(0.5):
        other = g.beside(x, (*x.shape[:-2], depth, columns), exponent=-5)
        if other.data is None:  # a computed matrix lies in memory as a filter does; which one makes no difference here
            return g.add("MatMul", [x, other], _output(g, x, exponent=-5), activation=_activation(g))
    chip = get_chip(g.target)
    lanes = chip.lanes(x.dtype.itemsize)
    matrix = g.array((depth, columns), x.dtype)
    tag = packing_doc_string(packing_tag(chip.packing, lanes, columns))
    right = g.constant(pack_matmul(matrix, chip.packing, lanes), -6, tag, matrix.shape)
    return g.add("MatMul", [x, right], _output(g, x), activation=_activation(g))


def _transposed(g: Drawn) -> bool:
    x = g.image((F32,))
    kernel = [g.random.randint(1, 3) for _ in x.shape[1:-1]]
    weights = g.constant(g.array((x.shape[-1], 3, *kernel), F32))
    return g.add("ConvTranspose", [x, weights], [(F32, 0)], strides=[2] * len(kernel))


def _attention(g: Drawn) -> bool:
    batch, heads, length, depth = 1, g.one_of((1, 2, 4)), g.random.randint(1, 5), g.one_of((2, 4, 8))
    x = g.pick(shape=(batch, heads, length, depth))
    keys = [g.beside(x, (batch, g.one_of((1, heads)), length, depth), exponent=-5)]
    keys.append(g.beside(x, keys[0].shape, exponent=-5))
    return g.add("Attention", [x, *keys], [(x.dtype, g.exponent(x.dtype))], is_causal=int(g.chance(0.5)))


ELEMENTWISE: dict[str, Recipe] = {
    **{op: partial(_unary, op_type=op) for op in ("Relu", "Sigmoid", "Tanh", "Swish", "HardSwish", "Exp", "Log", "Sqrt", "Erf")},
    "LeakyRelu": partial(_unary, op_type="LeakyRelu", alpha=0.25),
    "Elu": partial(_unary, op_type="Elu", alpha=0.5),
    "HardSigmoid": partial(_unary, op_type="HardSigmoid", alpha=0.3, beta=0.4),
    "Neg": partial(_unary, op_type="Neg", lut=0),
    "Gelu": partial(_unary, op_type="Gelu", types=INTEGERS, lut=1),
    "LUT": partial(_unary, op_type="LUT", types=INTEGERS, lut=1),
    "Clip": _clip,
    "PRelu": _prelu,
    **{op: partial(_assign, op_type=op) for op in ("QuantizeLinear", "DequantizeLinear", "RequantizeLinear")},
    **{op: partial(_binary, op_type=op, same=True) for op in ("Add", "Sub")},
    **{op: partial(_binary, op_type=op) for op in ("Mul", "Div", "Pow", "Mod")},
    **{op: partial(_binary, op_type=op, types=INTEGERS, same=True) for op in ("Max", "Min")},
    **{
        op: partial(_binary, op_type=op, types=INTEGERS, same=True, output=BOOL)
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    **{op: partial(_binary, op_type=op, types=(BOOL, I8, I16), same=True) for op in ("And", "Or", "Xor")},
    "Not": partial(_unary, op_type="Not", types=(BOOL, I8, I16), lut=0),
}

COMPUTING: dict[str, Recipe] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "ConvTranspose": _transposed,
    "Attention": _attention,
    **{op: partial(_recurrent, op_type=op) for op in ("GRU", "LSTM")},
    **{op: partial(_pool, op_type=op) for op in ("AveragePool", "GlobalAveragePool", "MaxPool")},
    "Resize": _resize,
    **{op: partial(_softmax, op_type=op) for op in ("Softmax", "LogSoftmax")},
    **{op: partial(_normalization, op_type=op) for op in ("LayerNormalization", "LpNormalization", "RMSNormalization")},
    **{
        f"Reduce{name}": partial(_reduce, op_type=f"Reduce{name}")
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
}
