"""Cases of quirks: what ESP-DL gives and what ONNX says. The values are written out, or come from onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.dl.module.test_onnx import onnx_outputs

S8, S16, F32 = np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.float32)
Given = tuple[tuple[int, ...], Any, int]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def s8(*values: Any) -> np.ndarray:
    return np.array(values, np.int8)


def f32(*values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(scale=2, size=shape).astype(np.float32)


@dataclass
class Case:
    """A node that a quirk changes.

    Attributes:
        quirk: id.
        node: arguments of :func:`node_file`.
        feeds: the inputs of a run; several runs in a row where there is a list.
        default: results of the run, or the words of its refusal.
        onnx: results with strict_onnx, of the last run, or the words of its refusal.
        tolerance: of floats.
    """

    quirk: str
    node: tuple[Any, ...]
    feeds: list[dict[str, np.ndarray]]
    default: list[Any] | str
    onnx: list[Any] | str
    attributes: dict[str, Any] = field(default_factory=dict)
    target: str = "esp32s3"
    arithmetic: str = "silicon"
    tolerance: float = 0.0


def by_onnxruntime(op_type: str, arrays: list[np.ndarray | None], outputs: int = 1, **attributes: Any) -> list[np.ndarray]:
    return onnx_outputs(op_type, arrays, outputs, attributes)


def last(array: np.ndarray) -> np.ndarray:
    """Channels last."""
    return np.moveaxis(array, 1, -1)


def quantized(real: np.ndarray, exponent: int) -> np.ndarray:
    return np.clip(np.floor(real * 2.0**-exponent + 0.5), -128, 127).astype(np.int8)


RAMP = (np.arange(60) - 30).astype(np.int8)
IMAGE = draw(1, 2, 4, 5)
IMAGE8 = s8(*range(-12, 12)).reshape(1, 2, 3, 4)
STEPS = draw(5, 1, 4)
GRU = [draw(1, 9, 4) / 2, draw(1, 9, 3) / 2, draw(1, 18) / 2]
ROWS = draw(2, 4, 3)


def assignment_cases() -> list[Case]:
    wide = RAMP.astype(np.int16)
    return [
        Case(
            "unsigned-read-as-signed",
            ("DequantizeLinear", [((3,), np.uint8, -1)], [((3,), F32, 0)]),
            [{"x0": np.array([0, 127, 200], np.uint8)}],
            [f32(0, 63.5, -28)],
            [f32(0, 63.5, 100)],
        ),
        Case(
            "multiplier-overflow",
            ("RequantizeLinear", [((60,), S8, 0)], [((60,), S8, -7)]),
            [{"x0": RAMP}],
            [np.where(RAMP > 0, -128, np.where(RAMP < 0, 127, 0)).astype(np.int8)],
            [np.where(RAMP > 0, 127, np.where(RAMP < 0, -128, 0)).astype(np.int8)],
        ),
        Case(
            "multiplier-overflow",
            ("RequantizeLinear", [((60,), S8, 1)], [((60,), S8, -8)]),
            [{"x0": RAMP}],
            [np.zeros(60, np.int8)],
            [np.where(RAMP > 0, 127, np.where(RAMP < 0, -128, 0)).astype(np.int8)],
        ),
        Case(
            "multiplier-overflow",
            ("RequantizeLinear", [((60,), S16, 0)], [((60,), S8, -15)]),
            [{"x0": wide}],
            [np.where(RAMP > 0, -128, np.where(RAMP < 0, 127, 0)).astype(np.int8)],
            [np.where(RAMP > 0, 127, np.where(RAMP < 0, -128, 0)).astype(np.int8)],
            target="esp32p4",
        ),
    ]


def arithmetic_cases() -> list[Case]:
    dividends = s8(10, -20, 33)
    a, b = f32(5, -5, 5, -5), f32(3, 3, -3, -3)
    x = draw(2, 6)
    return [
        Case(
            "exponents-ignored",
            ("Add", [((3,), S8, 0), ((3,), S8, -1)], [((3,), S8, 0)]),
            [{"x0": s8(1, 2, 3), "x1": s8(4, 5, -6)}],
            [s8(5, 7, -3)],
            [s8(3, 5, 0)],  # 1 + 2, 2 + 2.5 (a tie, rounded up), 3 - 3
        ),
        Case(
            "exponents-ignored",
            ("Concat", [((2,), S8, 0), ((2,), S8, -2)], [((4,), S8, -1)]),
            [{"x0": s8(1, 2), "x1": s8(4, 10)}],
            [s8(1, 2, 4, 10)],
            [s8(2, 4, 2, 5)],
        ),
        Case(
            "logic-bitwise",
            ("And", [((16,), S8, 0), ((16,), S8, 0)], [((16,), S8, 0)]),
            [{"x0": np.full(16, 5, np.int8), "x1": np.full(16, 6, np.int8)}],
            [np.full(16, 4, np.int8)],
            [np.ones(16, np.int8)],
            target="esp32p4",
        ),
        Case(
            "logic-bitwise",
            ("Xor", [((2,), S8, 0), ((2,), S8, 0)], [((2,), S8, 0)]),
            [{"x0": s8(5, 5), "x1": s8(6, 0)}],
            [s8(3, 5)],
            [s8(0, 1)],
            target="c",
        ),
        Case(
            "div-table-kept",
            ("Div", [((3,), S8, 0), ((1,), S8, 0)], [((3,), S8, 0)]),
            [{"x0": dividends, "x1": s8(5)}, {"x0": dividends, "x1": s8(10)}],
            [s8(2, -4, 7)],
            [s8(1, -2, 3)],
        ),
        Case(
            "mod-sign-of-dividend",
            ("Mod", [((4,), F32, 0), ((4,), F32, 0)], [((4,), F32, 0)]),
            [{"x0": a, "x1": b}],
            [f32(2, -2, 2, -2)],
            [f32(2, 1, -1, -2)],
        ),
        Case(
            "mod-sign-of-dividend",
            ("Mod", [((4,), S8, 0), ((4,), S8, 0)], [((4,), S8, 0)]),
            [{"x0": a.astype(np.int8), "x1": b.astype(np.int8)}],
            [s8(2, -2, 2, -2)],
            by_onnxruntime("Mod", [a.astype(np.int8), b.astype(np.int8)]),
        ),
        Case(
            "hard-swish-sixth",
            ("HardSwish", [((4,), F32, 0)], [((4,), F32, 0)]),
            [{"x0": f32(2.9, 2.99, -2.9, 1)}],
            [[np.float32((0.166667 * v + 0.5) * v) for v in map(float, f32(2.9, 2.99, -2.9, 1))]],
            by_onnxruntime("HardSwish", [f32(2.9, 2.99, -2.9, 1)]),
            tolerance=1e-7,
        ),
        Case(
            "clip-float-low",
            ("Clip", [((3,), F32, 0), None, f32(2)], [((3,), F32, 0)]),
            [{"x0": f32(-1, 1, 3)}],
            [f32(np.finfo(np.float32).tiny, 1, 2)],
            by_onnxruntime("Clip", [f32(-1, 1, 3), None, np.float32(2)]),
        ),
        Case(
            "softmax-without-maximum",
            ("Softmax", [((1, 3), S8, 0)], [((1, 3), F32, 0)]),
            [{"x0": s8(s8(100, 99, 0))}],
            [f32(f32(np.nan, np.nan, 0))],
            by_onnxruntime("Softmax", [f32(f32(100, 99, 0))]),
            tolerance=1e-6,
        ),
        Case(
            "softmax-without-maximum",
            ("LogSoftmax", [((1, 3), S8, 0)], [((1, 3), F32, 0)]),
            [{"x0": s8(s8(100, 99, 0))}],
            [np.full((1, 3), -np.inf, np.float32)],
            by_onnxruntime("LogSoftmax", [f32(f32(100, 99, 0))]),
            tolerance=1e-6,
        ),
        Case(
            "newton-root",
            ("LayerNormalization", [((2, 6), F32, 0), np.ones(6, np.float32)], [((2, 6), F32, 0)]),
            [{"x0": x * 1e-7}],
            "differs",
            by_onnxruntime("LayerNormalization", [x * np.float32(1e-7), np.ones(6, np.float32)], epsilon=1e-16),
            {"epsilon": 1e-16},
            tolerance=1e-3,
        ),
        Case(
            "newton-root",
            ("ReduceL2", [((2, 6), F32, 0), ints(1)], [((2, 1), F32, 0)]),
            [{"x0": x * 1e-7}],
            "differs",
            by_onnxruntime("ReduceL2", [x * np.float32(1e-7), ints(1)]),
            tolerance=1e-10,
        ),
        Case(
            "log-sum-exp-without-maximum",
            ("ReduceLogSumExp", [((1, 3), F32, 0), ints(1)], [((1, 1), F32, 0)]),
            [{"x0": f32(f32(100, 99, 0))}],
            [f32(f32(np.inf))],
            by_onnxruntime("ReduceLogSumExp", [f32(f32(100, 99, 0)), ints(1)]),
            tolerance=1e-5,
        ),
        Case(
            "log-sum-exp-without-maximum",
            ("ReduceLogSumExp", [((1, 3), S8, 0), ints(1)], [((1, 1), S8, 0)]),
            [{"x0": s8(s8(100, 100, 0))}],
            [s8(s8(127))],
            [s8(s8(101))],
        ),
    ]


def reduce_cases() -> list[Case]:
    five = draw(2, 2, 2, 2, 3)
    five8 = np.random.default_rng(1).integers(-128, 128, (2, 2, 2, 2, 3)).astype(np.int8)
    sums = five8.astype(int).sum(axis=(1, 3), keepdims=True)
    return [
        Case(
            "reduce-many-groups",
            ("ReduceSum", [(five.shape, F32, 0), ints(1, 3)], [((2, 1, 2, 1, 3), F32, 0)]),
            [{"x0": five}],
            "alternate more than 3 times",
            by_onnxruntime("ReduceSum", [five, ints(1, 3)]),
            tolerance=1e-5,
        ),
        Case(
            "reduce-many-groups",
            ("ReduceSum", [(five.shape, S8, 0), ints(1, 3)], [((2, 1, 2, 1, 3), S8, 1)]),
            [{"x0": five8}],
            "alternate more than 3 times",
            [np.clip((sums + 1) >> 1, -128, 127).astype(np.int8)],
        ),
        Case(
            "reduce-many-groups",
            ("ReduceMean", [(five.shape, S8, 0), ints(1, 3)], [((2, 1, 2, 1, 3), S8, 0)]),
            [{"x0": five8}],
            "alternate more than 3 times",
            [quantized(sums / 4, 0)],
        ),
        Case(
            "reduce-noop",
            ("ReduceSum", [((2, 3), S8, 0)], [((2, 3), S8, -1)]),
            [{"x0": s8(s8(1, 2, 3), s8(-4, 5, 100))}],
            "noop_with_empty_axes",
            [s8(s8(2, 4, 6), s8(-8, 10, 127))],
            {"noop_with_empty_axes": 1},
        ),
        Case(
            "reduce-noop",
            ("ReduceSumSquare", [((3,), F32, 0)], [((3,), F32, 0)]),
            [{"x0": f32(1, -2, 3)}],
            "noop_with_empty_axes",
            [f32(1, 4, 9)],
            {"noop_with_empty_axes": 1},
        ),
        Case(
            "average-pool-counts-pads",
            ("AveragePool", [((1, 4, 5, 2), F32, 0)], [((1, 4, 5, 2), F32, 0)]),
            [{"x0": last(IMAGE)}],
            [last(by_onnxruntime("AveragePool", [IMAGE], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)[0])],
            [last(by_onnxruntime("AveragePool", [IMAGE], kernel_shape=[3, 3], pads=[1, 1, 1, 1])[0])],
            {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
            tolerance=1e-6,
        ),
        Case(
            "average-pool-counts-pads",
            ("AveragePool", [((1, 3, 1), S8, 0)], [((1, 3, 1), S8, -1)]),
            [{"x0": s8(s8([10], [20], [30]))}],
            [s8(s8([20], [40], [33]))],  # 10, 20, 50 / 3 in halves
            [s8(s8([30], [40], [50]))],  # 15, 20, 25
            {"kernel_shape": [3], "pads": [1, 1]},
        ),
    ]


def resize_cases() -> list[Case]:
    def resize(array: np.ndarray, scales: list[float], **attributes: Any) -> np.ndarray:
        return last(by_onnxruntime("Resize", [array, None, f32(*scales)], **attributes)[0])

    found = []
    for attributes, chip in (
        ({"mode": "nearest"}, {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
        (
            {"mode": "nearest", "coordinate_transformation_mode": "align_corners", "nearest_mode": "ceil"},
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ),
        ({"mode": "linear", "coordinate_transformation_mode": "asymmetric"}, {"mode": "linear"}),
    ):
        scales = [1, 1, 2, 4] if attributes["mode"] == "linear" else [1, 1, 1.75, 2.4]
        images = IMAGE8.astype(np.float32).transpose(0, 3, 1, 2)
        wanted, usual = resize(images, scales, **attributes), resize(images, scales, **chip)
        assert not np.array_equal(wanted, usual)
        node = ("Resize", [((1, 2, 3, 4), S8, 0), None, f32(*scales)], [(wanted.shape, S8, 0)])
        results = ([quantized(usual, 0)], [quantized(wanted, 0)])
        found.append(Case("resize-positions", node, [{"x0": IMAGE8}], *results, attributes))
    double = resize(IMAGE8.astype(np.float32).transpose(0, 3, 1, 2), [1, 1, 2, 2], mode="linear")
    found.append(
        Case(
            "resize-int16",
            ("Resize", [((1, 2, 3, 4), S16, 0), None, f32(1, 1, 2, 2)], [(double.shape, S16, -4)]),
            [{"x0": IMAGE8.astype(np.int16)}],
            "no int16 form",
            [(double * 16).astype(np.int16)],
            {"mode": "linear"},
        )
    )
    return found


def movement_cases() -> list[Case]:
    to_depth = last(by_onnxruntime("SpaceToDepth", [IMAGE[:, :, :, :4]], blocksize=2)[0])
    to_space = last(by_onnxruntime("DepthToSpace", [draw(1, 12, 2, 3)], blocksize=2)[0])
    wx = [STEPS, *GRU]
    common = {"linear_before_reset": 1, "hidden_size": 3}
    shape = [((5, 1, 1, 3), F32, 0), ((1, 1, 3), F32, 0)]
    gru = ("GRU", [((5, 1, 4), F32, 0), *GRU], shape)
    reverse = ROWS.copy()
    reverse[0, :3], reverse[1, :4] = ROWS[0, 2::-1], ROWS[1, ::-1]
    cut = reverse.copy()
    cut[0, 2], cut[1, 2:] = np.trunc(cut[0, 2]), np.trunc(cut[1, 2:])
    channel_first = IMAGE[0, :, :, :4].reshape(2, 2, 2, 2, 2).transpose(1, 3, 0, 2, 4).reshape(1, 2, 2, 8)
    return [
        Case(
            "recurrent-reverse",
            gru,
            [{"x0": STEPS}],
            by_onnxruntime("GRU", wx, 2, **common),
            by_onnxruntime("GRU", wx, 2, **common, direction="reverse"),
            common | {"direction": "reverse"},
            tolerance=2e-5,
        ),
        Case(
            "split-count-as-length",
            ("Split", [((6,), S8, 0)], [((2,), S8, 0), ((2,), S8, 0), ((2,), S8, 0)]),
            [{"x0": s8(1, 2, 3, 4, 5, 6)}],
            [s8(1, 2), s8(3, 4), s8(5, 6)],
            "ONNX takes num_outputs for the number of parts",
            {"num_outputs": 2},
        ),
        Case(
            "split-count-as-length",
            ("Split", [((7,), S8, 0)], [((4,), S8, 0), ((3,), S8, 0)]),
            [{"x0": s8(1, 2, 3, 4, 5, 6, 7)}],
            "the chip takes it for their length",
            by_onnxruntime("Split", [s8(1, 2, 3, 4, 5, 6, 7)], 2, num_outputs=2),
            {"num_outputs": 2},
        ),
        Case(
            "gather-negative-index",
            ("Gather", [((3,), S8, 0), ints(-1, 0)], [((2,), S8, 0)]),
            [{"x0": s8(1, 2, 3)}],
            "an index outside",
            by_onnxruntime("Gather", [s8(1, 2, 3), ints(-1, 0)]),
        ),
        Case(
            "reshape-allowzero-unset",
            ("Reshape", [((2, 3), S8, 0), ints(0, 3, 1)], [((2, 3, 1), S8, 0)]),
            [{"x0": s8(s8(1, 2, 3), s8(4, 5, 6))}],
            [s8(s8([1], [2], [3]), s8([4], [5], [6]))],
            [s8(s8([1], [2], [3]), s8([4], [5], [6]))],
        ),
        Case(
            "reverse-sequence-truncates",
            ("ReverseSequence", [((2, 4, 3), F32, 0), ints(3, 4)], [((2, 4, 3), F32, 0)]),
            [{"x0": ROWS}],
            [cut],
            by_onnxruntime("ReverseSequence", [ROWS, ints(3, 4)], batch_axis=0, time_axis=1),
            {"batch_axis": 0, "time_axis": 1},
        ),
        Case(
            "scatter-mul-raw",
            ("ScatterND", [((3,), S8, -2), ints(1).reshape(1, 1), ((1,), S8, -2)], [((3,), S8, -2)]),
            [{"x0": s8(4, 8, 12), "x2": s8(10)}],
            [s8(4, 80, 12)],
            [s8(4, 20, 12)],  # 2 * 2.5 in quarters
            {"reduction": "mul"},
        ),
        Case(
            "depth-to-space-dcr",
            ("DepthToSpace", [((1, 2, 3, 12), F32, 0)], [((1, 4, 6, 3), F32, 0)]),
            [{"x0": last(draw(1, 12, 2, 3))}],
            "mode DCR with 3 output channels",
            [to_space],
            {"blocksize": 2},
        ),
        Case(
            "space-to-depth-order",
            ("SpaceToDepth", [((1, 4, 4, 2), F32, 0)], [((1, 2, 2, 8), F32, 0)]),
            [{"x0": last(IMAGE[:, :, :, :4])}],
            [channel_first],
            [to_depth],
            {"blocksize": 2},
        ),
    ]


CASES = [*assignment_cases(), *arithmetic_cases(), *reduce_cases(), *resize_cases(), *movement_cases()]
