"""A classifier that 8 bits with one exponent a layer do not suit, with data and labels, all made here. Needs PyTorch.

Layers are depthwise separable with ReLU6; channels between them differ in range by factors that a float network does not mind. They are
there in training already, so that ReLU6 cuts where the network is used to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

SIZE, CLASSES = 16, 8
SHAPES = ((1, 16, 3, 2, 1), (16, 16, 3, 1, 16), (16, 32, 1, 1, 1), (32, 32, 3, 2, 32), (32, 32, 1, 1, 1))
"""Of each layer: inputs, outputs, kernel, stride, groups."""


@dataclass(frozen=True)
class Labelled:
    """Pictures [N, 1, 16, 16] and their classes [N]."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


def pictures(count: int, seed: int) -> Labelled:
    """Stripes of eight directions, of any phase and width, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, count)
    angle = (y * np.pi / CLASSES + rng.uniform(-0.16, 0.16, count))[:, None, None]
    phase, wave = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.uniform(0.5, 1.1, (count, 1, 1))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    stripes = np.sin(wave * (columns * np.cos(angle) + rows * np.sin(angle)) + phase)
    x = stripes + 0.5 * rng.standard_normal((count, SIZE, SIZE))
    return Labelled(x[:, None].astype(np.float32), y.astype(np.int64))


class HardNetwork(torch.nn.Module):
    """[N, 1, 16, 16] to [N, 8].

    Args:
        octaves: channels are up to ``2**octaves`` times smaller than others of their layer.
        seed: of the ranges.
    """

    def __init__(self, octaves: float, seed: int = 0) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
            for inputs, outputs, kernel, stride, groups in SHAPES
        )
        self.classifier = torch.nn.Linear(SHAPES[-1][1], CLASSES)
        rng = np.random.default_rng(seed)
        self.ranges = [torch.from_numpy(2.0 ** -rng.uniform(0, octaves, shape[1])).float() for shape in SHAPES]

    def folded(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight and bias of every layer, the classifier last, as they are computed with."""
        found, before = [], torch.ones(1)
        for layer, after in zip(self.layers, self.ranges, strict=True):
            weight = layer.weight * 3 * after[:, None, None, None]
            weight = weight / (before[:, None, None, None] if layer.groups > 1 else before[None, :, None, None])
            found.append((weight, layer.bias * 3 * after))
            before = after
        return [*found, (self.classifier.weight / before, self.classifier.bias)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *folded, (weight, bias) = self.folded()
        for layer, numbers in zip(self.layers, folded, strict=True):
            x = functional.relu6(functional.conv2d(x, *numbers, layer.stride, layer.padding, 1, layer.groups))
        return functional.linear(x.mean((2, 3)), weight, bias)

    @torch.no_grad()
    def onnx(self) -> onnx.ModelProto:
        """Conv, Clip ... GlobalAveragePool, Flatten, Gemm; input ``x``, output ``y``."""
        *folded, last = [[tensor.numpy() for tensor in pair] for pair in self.folded()]
        arrays = {"low": np.float32(0), "high": np.float32(6), "w": last[0], "b": last[1]}
        nodes, name = [], "x"
        for index, ((_, _, kernel, stride, groups), (weight, bias)) in enumerate(zip(SHAPES, folded, strict=True)):
            arrays |= {f"w{index}": weight, f"b{index}": bias}
            attributes = {"pads": [kernel // 2] * 4, "strides": [stride] * 2, "group": groups, "kernel_shape": [kernel] * 2}
            nodes.append(helper.make_node("Conv", [name, f"w{index}", f"b{index}"], [f"c{index}"], f"conv{index}", **attributes))
            nodes.append(helper.make_node("Clip", [f"c{index}", "low", "high"], [f"r{index}"], f"relu6_{index}"))
            name = f"r{index}"
        nodes.append(helper.make_node("GlobalAveragePool", [name], ["pooled"], "pool"))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"))
        nodes.append(helper.make_node("Gemm", ["flat", "w", "b"], ["y"], "classifier", transB=1))
        graph = helper.make_graph(
            nodes,
            "hard",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIZE, SIZE])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES])],
            [numpy_helper.from_array(np.array(array), name) for name, array in arrays.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def trained(data: Labelled, octaves: float, epochs: int = 12, seed: int = 0) -> HardNetwork:
    """The network after training in float."""
    torch.manual_seed(seed)
    network = HardNetwork(octaves, seed)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    steps = epochs * (-(-len(x) // 64))
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(64):
            loss = functional.cross_entropy(network(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()
