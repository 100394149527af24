"""Streaming: what the file for chunks gives is, bit for bit, what the whole network gives; or it is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from espdl.api import StreamingGraphPass, insert_streaming_cache_on_var
from espdl.dl import StreamingSession
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, records
from espdl.quantize.api import quantize
from espdl.quantize.graph import QuantGraph
from espdl.quantize.streaming import StreamingModel, StreamingOptions
from espdl.report.stream_check import check_streaming
from tests.quantize.graphs import network, op, weights
from tests.quantize.streams import Drawn, proved, quantized

C, T = 4, 24
W3 = weights(C, C, 3) / 3


def line(*nodes: Any, constants: dict[str, Any] | None = None, shape: tuple[int, ...] = (1, C, T)) -> Any:
    return network(list(nodes), {"x": shape}, constants)


def conv(source: str = "x", result: str = "y", *, pads: tuple[int, int] = (2, 0), dilation: int = 1, stride: int = 1) -> Any:
    return op("Conv", f"{source} w", result, kernel_shape=[3], pads=list(pads), dilations=[dilation], strides=[stride])


def caches(stream: StreamingModel) -> list[tuple[str, int, int]]:
    """Tensor, window and axis of every cache."""
    found = []
    for node in stream.record.graph.node:
        if node.op_type == "StreamingCache":
            facts = {attribute.name: attribute.value for attribute in node.attribute}
            found.append((node.input[0], facts["window_size"], facts["frame_axis"]))
    return found


def attributes(stream: StreamingModel, op_type: str) -> dict[str, Any]:
    node: records.Node = next(node for node in stream.record.graph.node if node.op_type == op_type)
    return {attribute.name: attribute.value for attribute in node.attribute}


@pytest.mark.parametrize(
    ("pads", "dilation", "stride", "window", "delay", "warm_up", "ahead"),
    [
        ((2, 0), 1, 1, 3, 0, 0, 0),  # causal
        ((4, 0), 2, 1, 5, 0, 0, 0),
        ((2, 0), 1, 2, 3, 0, 0, 0),
        ((1, 1), 1, 2, 2, 0, 0, 0),  # the pad at the end is not reached
        ((0, 0), 1, 1, 3, 2, 0, 0),  # no pads: the whole run has fewer frames
        ((1, 1), 1, 1, 3, 1, 0, 1),  # looks ahead
        ((3, 0), 1, 1, 3, -1, 1, 0),  # begins with a frame that is all pads
        ((2, 0), 3, 2, 7, 2, 0, 0),
    ],
)
def test_a_convolution_remembers_what_its_kernel_reaches(
    pads: tuple[int, int], dilation: int, stride: int, window: int, delay: int, warm_up: int, ahead: int
) -> None:
    model = quantized(line(conv(pads=pads, dilation=dilation, stride=stride), constants={"w": W3}))
    stream = model.streaming([1, C, 4])
    assert caches(stream) == [("x", window, 1)]
    assert attributes(stream, "Conv")["pads"] == [0, 0]
    for chunk in (2, 4, 24):
        if chunk != T:
            found = proved(model, [1, C, chunk]).outputs["y"]
            assert (found.delay, found.warm_up, found.ahead) == (delay, warm_up, ahead)
    assert any("looks ahead" in text for text in stream.warnings) is (ahead > 0)


@pytest.mark.parametrize("kind", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("counted", [0, 1])
def test_pooling(kind: str, counted: int) -> None:
    extra = {"count_include_pad": counted} if kind == "AveragePool" else {}
    model = quantized(line(op(kind, "x", "y", kernel_shape=[3], pads=[2, 0], strides=[1], **extra)))
    stream = model.streaming([1, C, 3])
    assert caches(stream) == [("x", 3, 1)]
    found = proved(model, [1, C, 3]).outputs["y"]
    # pads that are no zeros, or are not counted, have no counterpart before the first frame of a stream
    assert found.warm_up == (0 if kind == "AveragePool" and counted else 2)


@pytest.mark.parametrize("pads", [[0, 0], [1, 1], [0, 2]])
def test_transposed_convolutions_make_more_frames(pads: list[int]) -> None:
    node = op("ConvTranspose", "x w", "y", kernel_shape=[4], strides=[2], pads=pads)
    model = quantized(line(node, constants={"w": weights(C, 3, 4) / 4}))
    found = proved(model, [1, C, 3]).outputs["y"]
    assert found.compared >= 2 * T - 4
    assert attributes(model.streaming([1, C, 3]), "InsertZeros")["output_padding"] == [1]


def test_frames_are_repeated() -> None:
    node = op("Resize", "x _ s", "u", mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    model = quantized(line(node, conv("u"), constants={"w": W3, "s": np.array([1.0, 1.0, 2.0])}))
    assert proved(model, [1, C, 3]).outputs["y"].compared == 2 * T


BY_FRAME: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "elements": (
        [op("Sigmoid", "x", "a"), op("Tanh", "x", "b"), op("Mul", "a b", "c"), op("Clip", "c l h", "y")],
        {"l": 0.1, "h": 0.7},
    ),
    "constant": ([op("Add", "x k", "y")], {"k": weights(1, C, 1)}),
    "equal constants": ([op("Add", "x k", "y")], {"k": np.repeat(weights(1, C, 1), T, axis=2)}),
    "slopes": (
        [op("Unsqueeze", "x a", "u"), op("PRelu", "u k", "p"), op("Squeeze", "p a", "y")],
        {"k": weights(C, 1, 1, positive=True), "a": [3]},
    ),
    "channels": ([op("ReduceMean", "x k", "m", keepdims=1), op("Sub", "x m", "y")], {"k": [1]}),
    "softmax": ([op("Softmax", "x", "y", axis=1)], {}),
    "split": ([op("Split", "x k", "a b", axis=1), op("Concat", "b a", "y", axis=1)], {"k": [1, 3]}),
    "gather": ([op("Gather", "x k", "y", axis=1)], {"k": [3, 0]}),
    "part of the channels": ([op("Slice", "x s e a", "y")], {"s": [1], "e": [3], "a": [1]}),
    "norm": (
        [op("Transpose", "x", "t", perm=[0, 2, 1]), op("LayerNormalization", "t g", "y", axis=-1)],
        {"g": weights(C, positive=True)},
    ),
    "dense": (
        [op("Transpose", "x", "t", perm=[0, 2, 1]), op("MatMul", "t w2", "m"), op("Add", "m b", "y")],
        {"w2": weights(C, 5), "b": weights(5)},
    ),
    "views": (
        [
            op("Reshape", "x s", "r"),
            op("Relu", "r", "q"),
            op("Reshape", "q u", "z"),
            op("Unsqueeze", "z a", "v"),
            op("Squeeze", "v a", "y"),
        ],
        {"s": [1, 2, C // 2, T], "u": [1, C, T], "a": [1]},
    ),
    "rows": ([op("Transpose", "x", "t", perm=[2, 0, 1]), op("Flatten", "t", "f", axis=1), op("Relu", "f", "y")], {}),
}


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("case", BY_FRAME)
def test_what_treats_every_frame_for_itself_needs_no_cache(case: str, target: str) -> None:
    nodes, constants = BY_FRAME[case]
    model = quantized(line(*nodes, constants=constants), target)
    assert not caches(model.streaming([1, C, 3]))
    assert proved(model, [1, C, 3]).outputs["y"].compared == T
    after_conv = [conv("x0", "x"), *nodes]
    proved(quantized(network(after_conv, {"x0": [1, C, T]}, {"w": W3, **constants}), target), [1, C, 3])


@pytest.mark.parametrize(("pads", "delayed"), [((2, 0), 0), ((1, 1), 1), ((0, 2), 2)])
def test_branches_of_unequal_delay_are_aligned(pads: tuple[int, int], delayed: int) -> None:
    model = quantized(line(conv(pads=pads, result="c"), op("Add", "c x", "y"), constants={"w": W3}))
    stream = model.streaming([1, C, 3])
    assert {window for _, window, _ in caches(stream)} == {3} | ({delayed + 1} if delayed else set())
    assert proved(model, [1, C, 3]).outputs["y"].delay == delayed


def test_a_branch_that_is_cropped_to_fit() -> None:
    """Convolutions without pads and a Slice beside them: the crop is the delay, so nothing is needed."""
    nodes = [conv(pads=(0, 0), result="c"), op("Slice", "x s e a", "p"), op("Add", "c p", "y")]
    constants = {"w": W3, "s": [2], "e": [T], "a": [2]}
    model = quantized(line(*nodes, constants=constants))
    stream = model.streaming([1, C, 3])
    assert [window for _, window, _ in caches(stream)] == [3]
    assert "Slice" not in {node.op_type for node in stream.record.graph.node}
    assert proved(model, [1, C, 3]).outputs["y"].compared == T - 2


def test_readers_of_one_tensor_share_a_cache_and_others_see_the_new_frames() -> None:
    nodes = [conv(result="a"), conv(result="b"), op("Add", "a b", "c"), op("Add", "c x", "y")]
    model = quantized(line(*nodes, constants={"w": W3}))
    assert caches(model.streaming([1, C, 3])) == [("x", 3, 1)]
    proved(model, [1, C, 3])


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize(("chunk", "axis"), [([1, 3, 3, 10], 1), ([1, 3, 12, 2], 1)])
def test_images_stream_by_rows_or_by_columns(chunk: list[int], axis: int, target: str) -> None:
    """In the file rows come first; for columns the cache gets them in front."""
    k = {"w": weights(5, 3, 3, 3) / 5, "d": weights(5, 1, 3, 3) / 3}
    pads = [2, 1, 0, 1] if chunk[3] == 10 else [1, 2, 1, 0]
    nodes = [
        op("Conv", "x w", "a", kernel_shape=[3, 3], pads=pads),
        op("Relu", "a", "b"),
        op("Conv", "b d", "c", kernel_shape=[3, 3], pads=pads, group=5),
        op("Add", "c b", "y"),
    ]
    model = quantized(network(nodes, {"x": [1, 3, 12, 10]}, k), target)
    stream = model.streaming(chunk)
    assert [(window, place) for _, window, place in caches(stream)] == [(3, axis)] * 2
    found = proved(model, chunk).outputs["y"]
    assert (found.frames, found.compared) == ((12, 12) if chunk[3] == 10 else (10, 10))


def test_two_inputs_stream_together() -> None:
    nodes = [conv("a", "c"), op("Add", "c b", "d"), op("Mul", "d s", "y")]
    proto = network(nodes, {"a": [1, C, T], "b": [1, C, T], "s": [1, C, 1]}, {"w": W3})
    model = quantized(proto)
    assert proved(model, {"a": [1, C, 3], "b": [1, C, 3]}).outputs["y"].compared == T
    with pytest.raises(EspdlError, match=r"'b' has 24 frames in every run"):
        model.streaming({"a": [1, C, 3]})


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("bits", [8, 16, "none"])
def test_every_width_on_every_backend(bits: Any, backend: str) -> None:
    from espdl.dl.base import missing_native_notice

    if backend == "native" and missing_native_notice():
        pytest.skip("no native kernels")
    nodes = [conv(result="a", dilation=2, pads=(4, 0)), op("Sigmoid", "a", "b"), op("Mul", "b a", "c"), op("Add", "c x", "y")]
    model = quantized(line(*nodes, constants={"w": W3}), "esp32p4", bits=bits)
    if bits == "none":
        assert caches(model.streaming([1, C, 3]))
    else:
        assert proved(model, [1, C, 3], backend=backend).outputs["y"].compared == T


# Tables of a user


def tail(chunk: int, *entries: dict[str, Any]) -> Any:
    """A network that ends in a Gemm over its last three frames, as the tutorial's."""
    nodes = [conv(result="c"), op("Slice", "c s e a", "p"), op("Flatten", "p", "f", axis=1), op("Gemm", "f g", "y")]
    constants = {"w": W3, "s": [-3], "e": [T], "a": [2], "g": weights(3 * C, 2)}
    return quantized(line(*nodes, constants=constants)), [1, C, chunk], list(entries)


@pytest.mark.parametrize(("chunk", "window"), [(1, 3), (2, 2), (3, 1), (6, 1)])
def test_the_refusal_of_a_gemm_over_frames_names_the_entry_that_helps(chunk: int, window: int) -> None:
    model, shape, _ = tail(chunk)
    with pytest.raises(EspdlError) as caught:
        model.streaming(shape)
    assert caught.value.hint.startswith(
        f"streaming_table=[insert_streaming_cache_on_var('c', {window}, 'Slice_p')]: each run then sees the last 3 frames"
    )
    assert "Flatten 'Flatten_f'" in str(caught.value)
    result = proved(model, shape, insert_streaming_cache_on_var("c", window, "Slice_p"))
    assert result.outputs["y"].why_not == ""
    if window > 1:
        with pytest.raises(EspdlError, match="a window larger by 1"):
            model.streaming(shape, insert_streaming_cache_on_var("c", window - 1, "Slice_p"))


def test_the_guides_table_names_a_tensor_that_only_its_exporter_has() -> None:
    model, shape, _ = tail(3)
    table = [insert_streaming_cache_on_var("c", 2), insert_streaming_cache_on_var("PPQ_Variable_0", 1, "Slice_p")]
    assert [entry for entry in caches(model.streaming(shape, table)) if entry[0] == "c"] == [("c", 2, 1)]
    proved(model, shape, table)


@pytest.mark.parametrize(
    "nodes", [[op("GlobalAveragePool", "c", "y")], [op("Softmax", "c", "y", axis=2)], [op("ReduceMax", "c a", "y")]]
)
def test_what_needs_all_frames_is_refused_or_given_them(nodes: list[Any]) -> None:
    model = quantized(line(conv(result="c"), *nodes, constants={"w": W3, "a": [2]}))
    entry = f"insert_streaming_cache_on_var('c', {T - 3 + 1}, '{model.graph.model.graph[-1].name}')"
    with pytest.raises(EspdlError, match="cannot be streamed") as caught:
        model.streaming([1, C, 3])
    assert entry in caught.value.hint
    table = eval(entry, {"insert_streaming_cache_on_var": insert_streaming_cache_on_var})  # as a user would paste it
    proved(model, [1, C, 3], [table])


def test_a_short_window_of_a_pooling_is_told() -> None:
    model = quantized(line(conv(result="c"), op("GlobalAveragePool", "c", "y"), constants={"w": W3}))
    stream = model.streaming([1, C, 3], insert_streaming_cache_on_var("c", 6))
    assert stream.warnings == ["GlobalAveragePool 'GlobalAveragePool_y' sees the last 8 frames, in a whole run 24"]
    with pytest.raises(EspdlError, match="nothing to compare"):
        proved(model, [1, C, 3], insert_streaming_cache_on_var("c", 6))


REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "stride": ([conv(stride=2)], {}, "chunks that are 2 times as long"),
    "positions": ([op("Add", "x k", "y")], {"k": weights(1, C, T)}, "another one for every frame"),
    "time as channels": (
        [op("Transpose", "x", "t", perm=[0, 2, 1]), op("Conv", "t v", "y")],
        {"v": weights(3, T, 1)},
        "'Conv_y'",
    ),
    "attention": (
        [op("Transpose", "x", "t", perm=[0, 2, 1]), op("MatMul", "t x", "s"), op("Softmax", "s", "p"), op("MatMul", "p t", "y")],
        {},
        "cannot be streamed",
    ),
    "strides of branches": (
        [op("AveragePool", "x", "b", kernel_shape=[3], strides=[3]), op("Slice", "x s e a", "p"), op("Add", "b p", "y")],
        {"s": [0], "e": [T // 3], "a": [2]},
        "'b' 1 frame, 'p' 3 frames",
    ),
    "frames behind frames": (
        [op("Concat", "x x", "y", axis=2)],
        {},
        "it puts frames behind frames",
    ),
    "backwards": ([op("Slice", "x s e a t", "y")], {"s": [T], "e": [-T - 1], "a": [2], "t": [-1]}, "turns time around"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_streamed_is_refused_by_name(case: str) -> None:
    nodes, constants, text = REFUSED[case]
    model = quantized(line(*nodes, constants={"w": W3, **constants}))
    with pytest.raises(EspdlError, match="cannot be streamed") as caught:
        model.streaming([1, C, 3])
    assert text in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"input_shape": [1, C, T]}, "as long as the whole input"),
        ({"input_shape": [1, C - 1, 3]}, "exactly one axis"),
        ({"input_shape": [1, 3]}, "exactly one axis"),
        ({"input_shape": [1, C, 0]}, "exactly one axis"),
        ({"input_shape": [1, C, 2.5]}, "whole numbers"),
        ({"input_shape": {"z": [1, C, 3]}}, "no input 'z'"),
        ({"input_shape": None}, "streaming_input_shape is missing"),
        ({"table": {"q": {"window_size": 2}}}, "no tensor 'q'"),
        ({"table": {"x": {"window_size": 0}}}, "window_size 0"),
        ({"table": {"x": 3}}, "insert_streaming_cache_on_var"),
        ({"table": 3}, "no list of entries"),
        ({"table": insert_streaming_cache_on_var("x", 2, "Conv_q")}, "no operator 'Conv_q'"),
        ({"table": insert_streaming_cache_on_var("y", 2)}, "no operator reads it"),
        ({"table": insert_streaming_cache_on_var("x", 2)}, "its kernel needs 3"),
        ({"table": insert_streaming_cache_on_var("x", 3, frame_axis=0)}, "frame_axis 0"),
        ({"custom_passes": 3}, "a callable"),
        ({"custom_passes": [lambda graph: 3]}, "returned int"),
    ],
)
def test_what_is_asked_wrongly_is_refused(options: dict[str, Any], text: str) -> None:
    model = quantized(line(conv(), constants={"w": W3}))
    with pytest.raises(EspdlError) as caught:
        model.streaming(**{"input_shape": [1, C, 3], **options})
    assert text in str(caught.value)


def test_an_entry_that_says_what_is_known_changes_nothing() -> None:
    model = quantized(line(conv(), constants={"w": W3}))
    table = insert_streaming_cache_on_var("x", 3, "Conv_y", frame_axis=2)
    assert model.streaming([1, C, 3], table).data == model.streaming([1, C, 3]).data


class CutTheTail(StreamingGraphPass):
    """Ends the network before its Softmax over time."""

    def apply(self, graph: QuantGraph) -> None:
        network = graph.model.graph
        network.outputs[0] = network[-1].inputs[0]
        network.remove(network[-1], safe=False)


def test_a_pass_of_the_user_changes_the_network_first() -> None:
    model = quantized(line(conv(result="c"), op("Softmax", "c", "y", axis=2), constants={"w": W3}))
    stream = model.streaming([1, C, 3], custom_passes=CutTheTail())
    assert list(stream.model().get_outputs()) == ["c"]
    assert [node.op_type for node in model.graph.model.graph] == ["Conv", "Softmax"]  # a copy was changed


def test_a_node_that_a_pass_adds_needs_a_width() -> None:
    def add(graph: QuantGraph) -> None:
        network = graph.model.graph
        network.append(ir.node("Relu", [network.outputs[0]], name="more"))

    model = quantized(line(conv(), constants={"w": W3}))
    with pytest.raises(EspdlError, match="added Relu 'more'"):
        model.streaming([1, C, 3], custom_passes=[add])


def test_recurrent_networks_hand_their_state_on() -> None:
    """With the state as input and output a stream is the whole run; without, every run would begin anew."""
    size = 3
    constants = {"w": weights(1, 3 * size, C), "r": weights(1, 3 * size, size)}
    whole = network(
        [op("Transpose", "x", "t", perm=[2, 0, 1]), op("GRU", "t w r", "y", hidden_size=size, linear_before_reset=1)],
        {"x": [1, C, T]},
        constants,
    )
    with pytest.raises(EspdlError, match="begins with zeros in every run"):
        quantized(whole).streaming([1, C, 3])
    nodes = [
        op("Transpose", "x", "t", perm=[2, 0, 1]),
        op("GRU", "t w r _ _ h", "y last", hidden_size=size, linear_before_reset=1),
    ]
    given = network(nodes, {"x": [1, C, T], "h": [1, 1, size]}, constants, outputs="y last")
    model = quantized(given)
    offline, stream = model.model(), model.streaming({"x": [1, C, 3]})
    x = np.random.default_rng(0).integers(-128, 128, offline.get_input("x").shape).astype(np.int8)
    expected = offline.run_arrays({"x": x, "h": np.zeros((1, 1, size), np.int8)})
    checked = check_streaming(model.model(), model.streaming({"x": [1, C, 3]}).model(), states={"last": "h"})
    assert checked.passed
    assert {name: output.compared for name, output in checked.outputs.items()} == {"y": T, "last": 0}
    assert not check_streaming(model.model(), model.streaming({"x": [1, C, 3]}).model()).passed
    session = StreamingSession(stream.model(), states={"last": "h"})
    axis = session.streaming.inputs["x"].axis
    got = np.concatenate([session.push(part)["y"] for part in np.split(x, 6, axis)], 0)
    np.testing.assert_array_equal(got, expected["y"])


def test_test_values_are_those_of_the_first_chunk() -> None:
    model = quantized(line(conv(), constants={"w": W3}), test_values=True, streaming=StreamingOptions([1, C, 3]))
    assert model.stream is not None
    assert model.stream.model(arithmetic="reference").test()
    assert [list(tensor.dims) for tensor in model.stream.record.graph.test_inputs_value] == [[1, 3, C]]


@pytest.mark.parametrize("seed", range(24))
def test_drawn_networks(seed: int) -> None:
    """Convolutions of any pads, strides and dilations, residual branches, poolings, gates, up and down, in chunks of several lengths."""
    drawn = Drawn(seed, 36)
    model = quantized(drawn.proto, ["esp32s3", "esp32p4", "c"][seed % 3])
    lengths = {drawn.step, 12} if 12 % drawn.step == 0 else {drawn.step}
    for length in sorted(lengths):
        proved(model, [1, drawn.inputs["x"][1], length])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24, 400))
def test_more_drawn_networks(seed: int) -> None:
    try:
        test_drawn_networks(seed)
    except EspdlError as error:
        if "the whole run is shorter than what the stream needs" not in str(error):
            raise
        pytest.skip("its whole run is too short to be compared")


@pytest.mark.parametrize(
    ("nodes", "constants", "compared"),
    [
        ([conv(result="c"), op("Slice", "c s e a", "y")], {"s": [2], "e": [T], "a": [2]}, T - 2),
        ([op("Pad", "x p", "y")], {"p": [0, 0, 2, 0, 0, 0]}, T),
        ([op("Slice", "x s e a t", "y")], {"s": [1, 1], "e": [T, 3], "a": [2, 1], "t": [2, 1]}, T // 2),
    ],
)
def test_outputs_that_only_begin_with_another_frame(nodes: list[Any], constants: dict[str, Any], compared: int) -> None:
    model = quantized(line(*nodes, constants={"w": W3, **constants}))
    assert proved(model, [1, C, 4]).outputs["y"].compared == compared


def test_an_entry_of_one_frame_says_that_nothing_is_needed() -> None:
    """For what the tool of the guide does not know: here the rules do, and the entry changes nothing."""
    nodes = [op("Transpose", "x", "t", perm=[0, 2, 1]), op("Reshape", "t s", "r"), op("Relu", "r", "y")]
    model = quantized(line(*nodes, constants={"s": [1, T, 2, C // 2]}))
    table = [insert_streaming_cache_on_var("x", 1, "Transpose_t"), insert_streaming_cache_on_var("t", 1)]
    assert model.streaming([1, C, 3], table).data == model.streaming([1, C, 3]).data
    assert proved(model, [1, C, 3], table).outputs["y"].compared == T


def test_windows_of_both_branches() -> None:
    nodes = [conv(result="a"), op("Relu", "x", "b"), op("Mul", "a b", "y")]
    model = quantized(line(*nodes, constants={"w": W3}))
    entries = [insert_streaming_cache_on_var(name, T - 2, "Mul_y") for name in "ab"]
    stream = model.streaming([1, C, 3], entries)
    assert stream.model().get_output("y").shape == [1, T, C]
    proved(model, [1, C, 3], entries)
    with pytest.raises(EspdlError, match="the last frames of all, and others the newest"):
        model.streaming([1, C, 3], entries[0])


def test_a_window_goes_through_views() -> None:
    nodes = [conv(result="c"), op("Transpose", "c", "t", perm=[0, 2, 1]), op("Reshape", "t s", "r"), op("Slice", "r b e a", "y")]
    constants = {"w": W3, "s": [T, C], "b": [T - 5], "e": [T], "a": [0]}
    model = quantized(line(*nodes, constants=constants))
    stream = model.streaming([1, C, 3], insert_streaming_cache_on_var("c", 3))
    assert [cache for cache in caches(stream) if cache[0] == "c"] == [("c", 3, 1)]
    proved(model, [1, C, 3], insert_streaming_cache_on_var("c", 3))


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_the_windows_of_a_real_export_are_those_of_esp_ppq(conformance: Path, target: str) -> None:
    """Window by window and pad by pad; its Add reads frames of a cache, though, so that its file does not load."""
    folder = conformance / "networks" / "tcn_stream"
    with np.load(folder / "tcn_stream.npz") as arrays:
        samples = [[arrays[name]] for name in arrays.files if name.startswith("calib")]
    model = quantize(folder / "tcn_stream_op18.onnx", samples, target=target)
    theirs = FbsLoader((conformance / "ops" / target / "Network" / "tcn_stream_streaming_s8.espdl").read_bytes()).load().record
    found = [
        [
            (node.op_type, attribute.name, attribute.value)
            for node in record.graph.node
            for attribute in node.attribute
            if attribute.name in ("window_size", "frame_axis", "pads")
        ]
        for record in (model.streaming([1, 16, 3]).record, theirs)
    ]
    assert found[0] == found[1]
    for chunk in (1, 3, 5):
        assert proved(model, [1, 16, chunk]).outputs["output"].compared == 15
