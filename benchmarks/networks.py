"""Float ONNX networks of well-known shapes with random weights: MobileNetV2-1.0, and such as YOLO11n, YOLO11n-pose and YOLO26n."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Grows a network node by node; every method returns the name of its result. Images are [1, C, H, W]."""

    def __init__(self, channels: int, size: int) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, size, size])
        self.channels = {"image": channels}

    def node(self, op_type: str, *inputs: str, channels: int, **attributes: object) -> str:
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        self.channels[name] = channels
        return name

    def constant(self, values: np.ndarray) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, outputs: int, kernel: int = 1, stride: int = 1, group: int = 1, act: str = "") -> str:
        """With bias; the variance of its input is kept."""
        depth = self.channels[x] // group
        scale = (2 / (depth * kernel * kernel)) ** 0.5
        weights = self.constant((self.rng.standard_normal((outputs, depth, kernel, kernel)) * scale).astype(np.float32))
        bias = self.constant((self.rng.standard_normal(outputs) * 0.1).astype(np.float32))
        y = self.node(
            "Conv",
            x,
            weights,
            bias,
            channels=outputs,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=group,
        )
        if act == "relu":
            return self.node("Relu", y, channels=outputs)
        if act == "silu":
            return self.node("Mul", y, self.node("Sigmoid", y, channels=outputs), channels=outputs)
        return y

    def add(self, a: str, b: str) -> str:
        return self.node("Add", a, b, channels=self.channels[a])

    def concat(self, *parts: str) -> str:
        return self.node("Concat", *parts, channels=sum(self.channels[part] for part in parts), axis=1)

    def halves(self, x: str) -> tuple[str, str]:
        half = self.channels[x] // 2
        name = f"split{len(self.nodes)}"
        sizes = self.constant(np.array([half, half], np.int64))
        self.nodes.append(helper.make_node("Split", [x, sizes], [f"{name}a", f"{name}b"], name=name, axis=1))
        self.channels |= {f"{name}a": half, f"{name}b": half}
        return f"{name}a", f"{name}b"

    def enlarge(self, x: str) -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.node(
            "Resize",
            x,
            "",
            scales,
            channels=self.channels[x],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def model(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "network", [self.input], infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        return model


def mobilenet_v2(size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """Width 1.0; Relu in the place of Relu6."""
    net = Builder(3, size)
    x = net.conv("image", 32, 3, 2, act="relu")
    for expansion, outputs, repeats, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for index in range(repeats):
            inner = net.channels[x] * expansion
            y = net.conv(x, inner, act="relu") if expansion > 1 else x
            y = net.conv(y, inner, 3, stride if index == 0 else 1, group=inner, act="relu")
            y = net.conv(y, outputs)
            x = net.add(x, y) if index > 0 else y
    x = net.conv(x, 1280, act="relu")
    x = net.node("GlobalAveragePool", x, channels=1280)
    x = net.node("Flatten", x, channels=1280)
    weights = net.constant((net.rng.standard_normal((1280, classes)) * 0.03).astype(np.float32))
    bias = net.constant((net.rng.standard_normal(classes) * 0.1).astype(np.float32))
    return net.model(net.node("Gemm", x, weights, bias, channels=classes))


def yolo11n(size: int = 320, box: int = 64, classes: int = 80, keypoints: int = 0) -> onnx.ModelProto:
    """Backbone, neck and heads of the nano size; the attention block is replaced by convolutions of its cost.

    Args:
        size: of the image, a multiple of 32.
        box: channels of each box branch.
        classes: channels of each score branch; its inner width stays that of 80.
        keypoints: channels of each branch of key points; 0 for none.

    Returns:
        For each of the strides 8, 16 and 32 boxes, scores and, where there are any, key points.
    """
    net = Builder(3, size)

    def conv(x: str, outputs: int, kernel: int = 1, stride: int = 1, group: int = 1) -> str:
        return net.conv(x, outputs, kernel, stride, group, act="silu")

    def bottleneck(x: str, inner: int) -> str:
        return net.add(x, conv(conv(x, inner, 3), net.channels[x], 3))

    def c3k(x: str) -> str:
        half = net.channels[x] // 2
        a, b = conv(x, half), conv(x, half)
        for _ in range(2):
            a = net.add(a, conv(conv(a, half, 3), half, 3))
        return conv(net.concat(a, b), net.channels[x])

    def c3k2(x: str, outputs: int, hidden: int, deep: bool) -> str:
        a, b = net.halves(conv(x, 2 * hidden))
        return conv(net.concat(a, b, c3k(b) if deep else bottleneck(b, hidden // 2)), outputs)

    x = conv("image", 16, 3, 2)
    x = conv(x, 32, 3, 2)
    x = c3k2(x, 64, 16, False)
    x = conv(x, 64, 3, 2)
    p3 = c3k2(x, 128, 32, False)
    x = conv(p3, 128, 3, 2)
    p4 = c3k2(x, 128, 64, True)
    x = conv(p4, 256, 3, 2)
    x = c3k2(x, 256, 128, True)
    y = conv(x, 128)
    pools = [y]
    for _ in range(3):
        pools.append(net.node("MaxPool", pools[-1], channels=128, kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2]))
    x = conv(net.concat(*pools), 256)
    a, b = net.halves(conv(x, 256))
    b = net.add(b, net.conv(conv(b, 256), 128))
    b = net.add(b, net.conv(conv(b, 256), 128))
    p5 = conv(net.concat(a, b), 256)
    n4 = c3k2(net.concat(net.enlarge(p5), p4), 128, 64, False)
    n3 = c3k2(net.concat(net.enlarge(n4), p3), 64, 32, False)
    n4 = c3k2(net.concat(conv(n3, 64, 3, 2), n4), 128, 64, False)
    n5 = c3k2(net.concat(conv(n4, 128, 3, 2), p5), 256, 128, True)
    outputs = []
    for level in (n3, n4, n5):
        boxes = net.conv(conv(conv(level, 64, 3), 64, 3), box)
        depth = net.channels[level]
        cls = conv(conv(level, depth, 3, group=depth), 80)
        cls = conv(conv(cls, 80, 3, group=80), 80)
        outputs += [boxes, net.conv(cls, classes)]
        if keypoints:
            outputs.append(net.conv(conv(conv(level, keypoints, 3), keypoints, 3), keypoints))
    return net.model(*outputs)


def yolo11n_pose(size: int = 320) -> onnx.ModelProto:
    """As :func:`yolo11n`, of one class, with 17 key points of three numbers."""
    return yolo11n(size, classes=1, keypoints=17 * 3)


def yolo26n(size: int = 640) -> onnx.ModelProto:
    """As :func:`yolo11n`, with four numbers a box instead of distributions."""
    return yolo11n(size, box=4)
