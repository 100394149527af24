"""Streaming: a network with StreamingCache, fed in chunks, gives the very integers of the same network over the whole sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from espdl.chips import get_chip
from espdl.dl import Model
from espdl.dl.base import missing_native_notice
from espdl.dtypes import Arithmetic, DType
from espdl.fbs import records, wrap_model, write_model
from espdl.fbs.packing import pack_filter, packing_doc_string, packing_tag

BACKENDS = ["numpy"] + ([] if missing_native_notice() else ["native"])
FRAMES, CHANNELS = 30, 5
CHUNKS = (1, 2, 3, 5, 6, 10, 15, 30)
X_EXPONENT = -4


@dataclass
class Net:
    """A network over ``frames`` frames [1, frames, channels], built node by node.

    Attributes:
        streams: whether what lies before the first frame comes from StreamingCache; else it is padded with zeros.
    """

    frames: int
    streams: bool
    target: str
    dtype: DType
    nodes: list[records.Node] = field(default_factory=list)
    constants: list[records.Tensor] = field(default_factory=list)
    values: list[records.ValueInfo] = field(default_factory=list)

    def value(self, name: str, frames: int, channels: int = CHANNELS) -> str:
        self.values.append(records.ValueInfo(name, self.dtype, (1, frames, channels), (X_EXPONENT,)))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        given = [records.Attribute(name, value) for name, value in attributes.items()]
        given.append(records.Attribute("quant_type", "S8" if self.dtype is DType.INT8 else "S16"))
        self.nodes.append(records.Node(op_type, f"/{output}", inputs, [output], given))
        return output

    def integers(self, name: str, *values: int) -> str:
        self.constants.append(records.Tensor(name, (len(values),), DType.INT64, np.array(values, np.int64), (0,)))
        return name

    def history(self, source: str, count: int, channels: int = CHANNELS) -> str:
        """``source`` behind the ``count`` frames before it."""
        result = self.value(f"{source}_past{count}", self.frames + count, channels)
        if self.streams:
            return self.node("StreamingCache", [source], result, window_size=count + 1, frame_axis=1)
        return self.node("Pad", [source, self.integers(f"{result}_pads", 0, count, 0, 0, 0, 0)], result, mode="constant")

    def causal_conv(
        self,
        source: str,
        output: str,
        *,
        taps: int,
        dilation: int,
        inputs: int,
        outputs: int,
        exponent: int = -7,
        depthwise: bool = False,
    ) -> str:
        """A convolution of the present and past frames, with bias and Relu; it gives as many frames as come in."""
        rng = np.random.default_rng(len(self.nodes) + 1)
        chip, kind = get_chip(self.target), self.dtype.numpy
        limits = np.iinfo(kind)
        shape = (taps, outputs) if depthwise else (outputs, taps, inputs)
        dims = (taps, outputs, 1) if depthwise else (taps, inputs, outputs)
        lanes = chip.lanes(kind.itemsize)
        data = pack_filter(rng.integers(limits.min, limits.max, shape).astype(kind), chip.packing, lanes, depthwise)
        doc = packing_doc_string(packing_tag(chip.packing, lanes, outputs, spatial=1, depthwise=depthwise))
        exponent -= 8 * (kind.itemsize - 1)
        self.constants.append(records.Tensor(f"{output}.weight", dims, self.dtype, data.reshape(dims), (exponent,), doc))
        wide, bias = (DType.INT32, np.int32) if kind.itemsize == 1 else (DType.INT64, np.int64)
        values = rng.integers(-3000, 3000, outputs).astype(bias)
        self.constants.append(records.Tensor(f"{output}.bias", (outputs,), wide, values, (exponent + X_EXPONENT,)))
        before = self.history(source, (taps - 1) * dilation, inputs)
        attributes = {
            "activation": "Relu",
            "dilations": [dilation],
            "group": outputs if depthwise else 1,
            "kernel_shape": [taps],
            "pads": [0, 0],
            "strides": [1],
        }
        names = [before, f"{output}.weight", f"{output}.bias"]
        return self.node("Conv", names, self.value(output, self.frames, outputs), **attributes)

    def file(self, output: str) -> bytes:
        x = records.ValueInfo("x", self.dtype, (1, self.frames, CHANNELS), (X_EXPONENT,))
        last = next(value for value in self.values if value.name == output)
        graph = records.Graph("stream", self.nodes, self.constants, [x], [last], [x, *self.values])
        return wrap_model(write_model(records.Model(graph)))


def two_convolutions(net: Net) -> str:
    """Each with frames of its own to remember, the second one with a dilation; 17 channels between them."""
    hidden = net.causal_conv("x", "a", taps=3, dilation=1, inputs=CHANNELS, outputs=17)
    return net.causal_conv(hidden, "y", taps=4, dilation=2, inputs=17, outputs=CHANNELS)


def residual_branch(net: Net) -> str:
    """A depthwise convolution beside its input, and beside its input of three frames ago."""
    convolved = net.causal_conv("x", "a", taps=5, dilation=1, inputs=CHANNELS, outputs=CHANNELS, exponent=-8, depthwise=True)
    near = net.node("Add", [convolved, "x"], net.value("near", net.frames))
    ends = [net.integers(f"slice_{name}", value) for name, value in (("starts", 0), ("ends", net.frames), ("axes", 1))]
    delayed = net.node("Slice", [net.history("x", 3), *ends], net.value("delayed", net.frames))
    return net.node("Add", [near, delayed], net.value("y", net.frames))


Build = Callable[[Net], str]
NETWORKS = [two_convolutions, residual_branch]


def model(build: Build, frames: int, streams: bool, target: str, dtype: DType, arithmetic: str, backend: str) -> Model:
    net = Net(frames, streams, target, dtype)
    output = build(net)
    return Model(net.file(output), target=target, arithmetic=arithmetic, backend=backend)


def sequence(dtype: DType, seed: int = 5) -> np.ndarray:
    limits = np.iinfo(dtype.numpy)
    values = np.random.default_rng(seed).integers(limits.min, limits.max + 1, (1, FRAMES, CHANNELS))
    return values.astype(dtype.numpy)


def in_chunks(stream: Model, x: np.ndarray, chunk: int) -> np.ndarray:
    parts = [x[:, start : start + chunk] for start in range(0, x.shape[1], chunk)]
    return np.concatenate([stream.run_arrays({"x": part})["y"].copy() for part in parts], axis=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("arithmetic", list(Arithmetic), ids=lambda a: a.value)
@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT16], ids=["int8", "int16"])
@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("build", NETWORKS)
def test_chunked_is_whole(build: Build, target: str, dtype: DType, arithmetic: Arithmetic, backend: str) -> None:
    settings = (target, dtype, arithmetic.value, backend)
    x = sequence(dtype)
    whole = model(build, FRAMES, False, *settings).run_arrays({"x": x})["y"].copy()
    assert len(np.unique(whole)) > 20  # neither saturated nor zero throughout
    for chunk in CHUNKS:
        stream = model(build, chunk, True, *settings)
        np.testing.assert_array_equal(in_chunks(stream, x, chunk), whole, err_msg=f"chunks of {chunk}")


@pytest.mark.parametrize("build", NETWORKS)
def test_a_reset_forgets_the_frames_and_nothing_else_does(build: Build) -> None:
    stream = model(build, 5, True, "esp32s3", DType.INT8, "silicon", "numpy")
    x, other = sequence(DType.INT8), sequence(DType.INT8, 6)
    first = in_chunks(stream, x, 5)
    carried = in_chunks(stream, x, 5)
    assert not np.array_equal(carried[:, :6], first[:, :6])  # the frames of the run before still act
    np.testing.assert_array_equal(carried[:, 9:], first[:, 9:])  # and have left after the receptive field
    in_chunks(stream, other, 5)
    stream.reset()
    np.testing.assert_array_equal(in_chunks(stream, x, 5), first)
