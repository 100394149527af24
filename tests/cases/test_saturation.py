"""The 20-bit lanes of the ESP32-S3: networks whose partial sums leave them, against every product added on its own (spec 3.2.2).

Three layers in a row, so that what a lane loses in one reaches the next: a convolution with a full vector block and remainder channels,
a depthwise convolution, a Gemm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import pytest

from espdl.dl import Model
from espdl.dl.base import missing_native_notice
from espdl.dl.module.mac import MacModule
from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from tests.cases.build import to_numpy
from tests.cases.data import make_values
from tests.cases.oracle import ORACLES, convolution, matrices
from tests.cases.oracle.accumulator import accumulate, finish
from tests.cases.oracle.node import Array, Facts, Node, Result, facts
from tests.cases.oracle.rounding import clamp, wrap
from tests.cases.packing import packed

TARGET, LANES, INPUT_SHAPE = "esp32s3", 16, (1, 4, 4, 16)
BACKENDS = ["numpy"] + ([] if missing_native_notice() else ["native"])


@dataclass(frozen=True)
class Layer:
    """One node with its constants; ``packing`` of the filter."""

    op_type: str
    packing: str
    weights: Array
    bias: Array
    attributes: dict[str, int | list[int] | str]
    exponent: int


def layer(
    name: str, op_type: str, shape: tuple[int, ...], exponent: int, biases: list[int], **attributes: int | list[int] | str
) -> Layer:
    """A layer whose weights are mostly extremes."""
    depthwise = "group" in attributes
    channels = shape[-2] if depthwise else shape[-1]
    weights = Array(shape, make_values("extreme", name, prod(shape), "int8", {}), "int8", -7)
    bias = Array((channels,), [biases[n % len(biases)] for n in range(channels)], "int32", 0)
    return Layer(op_type, "depthwise" if depthwise else "conv", weights, bias, attributes, exponent)


def network(name: str) -> list[Layer]:
    return [
        layer(name + " 1", "Conv", (3, 3, 16, 20), 5, [0, 400_000, -400_000, 524_288, -600_000], pads=[1, 1, 1, 1]),
        layer(name + " 2", "Conv", (3, 3, 20, 1), 7, [500_000, -500_000, 7], group=20, pads=[0, 1, 1, 0], activation="Relu"),
        layer(name + " 3", "Gemm", (1, 1, 20, 18), 9, [520_000, -521_000, 1_048_576]),
    ]


def file(layers: Sequence[Layer]) -> bytes:
    """The network for the S3; ``x`` in, ``y0``, ``y1`` ... out of every layer."""
    constants, nodes = [], []
    values = [records.ValueInfo("x", DType.INT8, INPUT_SHAPE, (0,))]
    for number, part in enumerate(layers):
        weights, tag = packed(part.weights, part.packing, LANES)
        data = to_numpy(weights, "int8", part.weights.shape)
        constants += [
            records.Tensor(f"w{number}", part.weights.shape, DType.INT8, data, (-7,), f"layout ==> {tag}"),
            records.Tensor(
                f"b{number}", part.bias.shape, DType.INT32, to_numpy(part.bias.values, "int32", part.bias.shape), (-7,)
            ),
        ]
        attributes = [records.Attribute(key, value) for key, value in {**part.attributes, "quant_type": "S8"}.items()]
        inputs = [values[-1].name, f"w{number}", f"b{number}"]
        nodes.append(records.Node(part.op_type, f"/{number}", inputs, [f"y{number}"], attributes))
        values.append(records.ValueInfo(f"y{number}", DType.INT8, None, (part.exponent,)))
    return wrap_model(write_model(records.Model(records.Graph("net", nodes, constants, values[:1], values[1:], values))))


def brute_force(layers: Sequence[Layer], x: Array, on: Facts) -> list[Array]:
    """The outputs of all layers."""
    results = []
    for part in layers:
        result = Result("int8", part.exponent)
        y = ORACLES[part.op_type](Node(part.op_type, [x, part.weights, part.bias], dict(part.attributes), [result], on))
        x = Array(y.shape, y.values, "int8", part.exponent)
        results.append(x)
    return results


def image(name: str) -> Array:
    return Array(INPUT_SHAPE, make_values("random", name + " x", prod(INPUT_SHAPE), "int8", {}), "int8", 0)


def run(layers: Sequence[Layer], x: Array, arithmetic: str, backend: str) -> tuple[list[list[int]], list[int]]:
    """The outputs of all layers, flat, and how many sums of each left their lanes."""
    model = Model(file(layers), target=TARGET, arithmetic=arithmetic, backend=backend)
    got = model.run_arrays({"x": to_numpy(x.values, "int8", x.shape)})
    counts = [module.lane_overflows.count for module in model.modules if isinstance(module, MacModule)]
    return [got[f"y{i}"].reshape(-1).tolist() for i in range(len(layers))], counts


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_networks_that_leave_20_bits(name: str) -> None:
    layers, x = network(name), image(name)
    on_chip, exact = (brute_force(layers, x, facts(TARGET, arithmetic)) for arithmetic in ("silicon", "reference"))
    for number, (left, stayed) in enumerate(zip(on_chip, exact, strict=True)):
        assert left.values != stayed.values, f"layer {number} stays inside its lanes and proves nothing"
    for backend in BACKENDS:
        silicon, _ = run(layers, x, "silicon", backend)
        assert silicon == [list(y.values) for y in on_chip], backend
        reference, none = run(layers, x, "reference", backend)
        assert reference == [list(y.values) for y in exact], backend
        assert none == [0, 0, 0]


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_every_sum_that_leaves_is_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [0, 0, 0]
    number = -1

    def counting(taps: Sequence[Sequence[int]], bias: int, channel: int, channels: int, **how: Any) -> int:
        value = accumulate(taps, bias, channel, channels, **how)
        in_lane = how.get("depthwise") or channel < channels - channels % LANES
        left[number] += value != sum(map(sum, taps)) + (wrap(bias, 20) if in_lane else bias)
        return value

    monkeypatch.setattr(convolution, "accumulate", counting)
    monkeypatch.setattr(matrices, "accumulate", counting)
    layers, x = network(name), image(name)
    inputs = [x, *brute_force(layers, x, facts(TARGET, "silicon"))]
    left[:] = [0, 0, 0]
    for number in range(len(layers)):
        brute_force(layers[number : number + 1], inputs[number], facts(TARGET, "silicon"))
    assert min(left) > 0
    for backend in BACKENDS:
        assert run(layers, x, "silicon", backend)[1] == left, backend


def test_the_order_of_the_products_counts() -> None:
    """Height, then width, then input channel: any other order gives other sums on the same data."""
    part, x = network("first")[0], image("first")
    patch = [(h, w, c) for h in range(3) for w in range(3) for c in range(16)]
    orders: dict[str, Callable[[tuple[int, int, int]], tuple[int, ...]]] = {
        "width first": lambda at: (at[1], at[0], at[2]),
        "channel first": lambda at: (at[2], at[0], at[1]),
        "backwards": lambda at: (-at[0], -at[1], -at[2]),
    }

    def sums(key: Callable[[tuple[int, int, int]], tuple[int, ...]]) -> list[int]:
        result = []
        for channel in range(16):
            total = wrap(part.bias.values[channel], 20)
            for h, w, c in sorted(patch, key=key):
                total = clamp(total + x[(0, 1 + h, 1 + w, c)] * part.weights[(h, w, c, channel)], 20)
            result.append(total)
        return result

    silicon = run([part], x, "silicon", BACKENDS[-1])[0][0]
    node = Node("Conv", [x], {}, [Result("int8", part.exponent)], facts(TARGET, "silicon"))

    def finished(key: Callable[[tuple[int, int, int]], tuple[int, ...]]) -> list[int]:
        return [finish(node, total, -7) for total in sums(key)]

    chip = finished(lambda at: at)
    place = (2 * 4 + 2) * 20
    assert silicon[place : place + 16] == chip
    for name, key in orders.items():
        assert finished(key) != chip, name
