"""Networks over time made from draws, and the proof that their streams give the frames of their whole runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from espdl.dl.base import missing_native_notice
from espdl.quantize.api import QuantizedModel, quantize
from espdl.report.stream_check import StreamCheck, check_streaming
from tests.quantize.graphs import network, op, weights

BACKEND = "numpy" if missing_native_notice() else "native"


def quantized(proto: onnx.ModelProto, target: str = "esp32s3", **options: Any) -> QuantizedModel:
    """Quantized on four random recordings."""
    generator = np.random.default_rng(3)
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in proto.graph.input}
    samples = [{name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(4)]
    return quantize(proto, samples, target=target, **options)


def proved(model: QuantizedModel, chunk: Any, table: Any = None, backend: str = BACKEND, **options: Any) -> StreamCheck:
    """The comparison of the stream of a network with its whole run, in silicon arithmetic; fails on the first difference."""
    stream = model.streaming(chunk, table, **options)
    result = check_streaming(model.model(backend=backend), stream.model(backend=backend))
    assert result.passed, (result.difference, result.cause)
    return result


class Drawn:
    """A network [1, C, T] of layers along time, and the number of frames that chunks are multiples of.

    Attributes:
        step: product of the strides.
    """

    def __init__(self, seed: int, frames: int) -> None:
        self.random = random.Random(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}
        self.step = 1
        self.channels, self.frames = self.random.choice([3, 5, 8]), frames
        self.inputs = {"x": [1, self.channels, frames]}
        self.value = "x"
        for _ in range(self.random.randint(2, 5)):
            self.random.choice(
                [self.conv, self.conv, self.residual, self.pool, self.gate, self.down, self.up, self.pad, self.delay]
            )()
        self.nodes.append(op("Relu", self.value, "y"))

    @property
    def proto(self) -> onnx.ModelProto:
        return network(self.nodes, self.inputs, self.constants)

    def add(self, op_type: str, inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(op(op_type, inputs, name, **attributes))
        return name

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def pads(self, reach: int) -> list[int]:
        """Causal, on both sides, none, or any."""
        half = reach // 2
        most = self.random.randint(0, reach)
        return self.random.choice(
            [[reach, 0], [reach, 0], [half, reach - half], [0, 0], [most, self.random.randint(0, reach - most)]]
        )

    def conv(
        self, source: str = "", outputs: int = 0, stride: int = 1, pads: Sequence[int] | None = None, kernel: int = 0
    ) -> None:
        source, outputs = source or self.value, outputs or self.random.choice([self.channels, 4, 7])
        kernel, dilation = kernel or self.random.randint(1, 4), self.random.randint(1, 3)
        reach = (kernel - 1) * dilation
        pads = list(pads if pads is not None else self.pads(reach))
        if self.frames + sum(pads) <= reach + stride:
            return
        depthwise = outputs == self.channels and self.random.random() < 0.4
        shape = (outputs, 1 if depthwise else self.channels, kernel)
        w = self.constant(weights(*shape, seed=len(self.nodes)) / (kernel * shape[1]) ** 0.5)
        b = self.constant(weights(outputs, seed=len(self.nodes) + 1))
        self.value = self.add(
            "Conv",
            f"{source} {w} {b}",
            kernel_shape=[kernel],
            dilations=[dilation],
            pads=pads,
            strides=[stride],
            group=self.channels if depthwise else 1,
        )
        self.channels, self.frames = outputs, (self.frames + sum(pads) - reach - 1) // stride + 1

    def residual(self) -> None:
        before, channels, frames, step = self.value, self.channels, self.frames, self.step
        for _ in range(self.random.randint(1, 2)):
            kernel = self.random.randint(1, 3)
            self.conv(outputs=channels, pads=None, kernel=kernel)
            if self.random.random() < 0.5:
                self.value = self.add("Relu", self.value)
        lost = frames - self.frames
        if lost and self.channels == channels and self.step == step:
            begin = self.random.randint(0, lost)
            bounds = [self.constant([begin]), self.constant([begin + self.frames]), self.constant([2])]
            before = self.add("Slice", " ".join([before, *bounds]))
        self.value = self.add(self.random.choice(["Add", "Sub", "Mul"]), f"{self.value} {before}")

    def pool(self) -> None:
        kernel = self.random.randint(2, 3)
        pads = self.random.choice([[kernel - 1, 0], [0, 0], [1, kernel - 2]])
        if self.frames + sum(pads) < kernel:
            return
        kind = self.random.choice(["AveragePool", "MaxPool"])
        extra = {"count_include_pad": self.random.randint(0, 1)} if kind == "AveragePool" else {}
        self.value = self.add(kind, self.value, kernel_shape=[kernel], pads=pads, strides=[1], **extra)
        self.frames += sum(pads) - kernel + 1

    def gate(self) -> None:
        function = self.random.choice(["Sigmoid", "Tanh", "Relu"])
        gate = self.add(function, self.value)
        self.value = self.add("Mul", f"{self.value} {gate}")

    def down(self) -> None:
        if self.frames < 12 or self.step > 2:
            return
        before = self.value
        self.conv(stride=2, kernel=self.random.randint(1, 4))
        if self.value != before:
            self.step *= 2

    def up(self) -> None:
        kernel, stride = self.random.choice([(2, 2), (3, 2), (4, 2), (3, 3)])
        outputs = self.random.choice([4, self.channels])
        w = self.constant(weights(self.channels, outputs, kernel, seed=len(self.nodes)) / (kernel * self.channels) ** 0.5)
        crop = self.random.choice([[0, kernel - stride], [0, 0], [(kernel - stride) // 2] * 2])
        self.value = self.add("ConvTranspose", f"{self.value} {w}", kernel_shape=[kernel], strides=[stride], pads=crop)
        self.channels, self.frames = outputs, (self.frames - 1) * stride + kernel - sum(crop)

    def pad(self) -> None:
        amount = self.random.randint(1, 3)
        self.value = self.add("Pad", f"{self.value} {self.constant([0, 0, amount, 0, 0, 0])}")
        self.value = self.add(self.random.choice(["Relu", "Sigmoid"]), self.value)
        self.frames += amount

    def delay(self) -> None:
        """The tensor beside itself of some frames ago."""
        amount = self.random.randint(1, 3)
        if amount >= self.frames:
            return
        longer = self.add("Pad", f"{self.value} {self.constant([0, 0, amount, 0, 0, 0])}")
        later = self.add("Slice", " ".join([longer, *(self.constant([number]) for number in (0, self.frames, 2))]))
        self.value = self.add("Concat", f"{self.value} {later}", axis=1)
        self.channels *= 2
