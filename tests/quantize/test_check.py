"""The verdict on every node: what it becomes, what stops it, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from espdl.chips import CHIPS, get_chip
from espdl.dl.module.base import MODULE_TYPES, Module
from espdl.dl.module.contract import Quantization
from espdl.errors import EspdlError
from espdl.quantize.api import quantize
from espdl.quantize.check import NodeVerdict, check_network, require_supported
from espdl.quantize.facts import node_facts
from espdl.quantize.importer import load_network
from espdl.quantize.setting import QuantizationSettingFactory
from tests.quantize.graphs import network, op, weights

X = {"x": [1, 4, 6, 5]}


def verdicts(source: onnx.ModelProto, target: str = "esp32s3") -> dict[str, NodeVerdict]:
    found = check_network(load_network(source), get_chip(target))
    assert [verdict.name for verdict in found] == [node.name for node in load_network(source).graph]
    return {verdict.name: verdict for verdict in found}


def test_supported() -> None:
    found = verdicts(network([op("Conv", "x w", "h"), op("Relu", "h", "y")], X, {"w": weights(6, 4, 3, 3)}))
    assert found["Conv_h"] == NodeVerdict("Conv_h", "Conv", "supported")
    assert found["Relu_y"].status == "supported"


def test_fused_nodes_say_into_what() -> None:
    found = verdicts(
        network([op("Conv", "x w", "h"), op("Sigmoid", "h", "s"), op("Mul", "s h", "y")], X, {"w": weights(6, 4, 3, 3)})
    )
    assert found["Sigmoid_s"].status == found["Mul_y"].status == "supported"
    assert found["Mul_y"].detail == "becomes part of Swish 'Swish_s'"


def test_decomposed_nodes_say_into_what() -> None:
    found = verdicts(network([op("ConvTranspose", "x w", "y", strides=[2, 2])], X, {"w": weights(4, 2, 3, 3)}))
    assert found["ConvTranspose_y"].status == "decomposed"
    assert found["ConvTranspose_y"].detail == "into InsertZeros, Conv"


def test_groups_are_counted() -> None:
    found = verdicts(network([op("Conv", "x w", "y", group=2)], X, {"w": weights(4, 2, 3, 3)}))
    assert found["Conv_y"].status == "decomposed"
    assert found["Conv_y"].detail == "into Split, 2 x Conv, Concat"


def test_an_unknown_operator_names_its_producers_and_a_remedy() -> None:
    found = verdicts(network([op("Relu", "x", "h"), op("Softplus", "h", "s"), op("Tanh", "s", "y")], X))
    verdict = found["Softplus_s"]
    assert verdict.status == "unsupported"
    assert verdict.detail == "there is no operator Softplus on the chip, fed by Relu 'Relu_h' <- input 'x'"
    assert "Swish" in verdict.remedy
    assert found["Tanh_y"].status == "supported"


def test_steps_behind_the_network_are_left_to_the_program() -> None:
    source = network([op("Relu", "x", "h"), op("TopK", "h k", "y i")], X, {"k": [2]})
    assert "program around" in verdicts(source)["TopK_y i"].remedy


def test_an_operator_of_another_domain() -> None:
    source = network([op("Odd", "x", "o", domain="acme"), op("Tanh", "o", "y")], X, domains={"acme": 1})
    assert verdicts(source)["Odd_o"].detail.startswith("there is no operator Odd on the chip (domain acme), fed by input 'x'")


def test_a_limit_that_does_not_hold_is_quoted_with_its_remedy() -> None:
    found = verdicts(network([op("Conv", "x w", "y")], {**X, "w": [6, 4, 3, 3]}))
    assert found["Conv_y"].status == "unsupported"
    assert "the filter is a constant" in found["Conv_y"].detail
    assert found["Conv_y"].remedy


def test_rank() -> None:
    found = verdicts(network([op("Conv", "x w", "y")], {"x": [1, 4, 5, 5, 5]}, {"w": weights(6, 4, 3, 3, 3)}))
    assert "its input has rank 5, it must be 3 or 4" in found["Conv_y"].detail


def test_idle_nodes_are_removed() -> None:
    found = verdicts(network([op("Relu", "x", "h"), op("Mul", "h one", "m"), op("Tanh", "m", "y")], X, {"one": np.float32(1)}))
    assert found["Mul_m"].status == "supported"
    assert "removed" in found["Mul_m"].detail or "part of" in found["Mul_m"].detail


def test_require_supported_lists_every_node_at_once() -> None:
    source = network([op("Softplus", "x", "a"), op("Mish", "a", "b"), op("Tanh", "b", "y")], X)
    with pytest.raises(EspdlError) as caught:
        require_supported(check_network(load_network(source), get_chip("c")), get_chip("c"))
    text = str(caught.value)
    assert "2 nodes of the network cannot run on c" in text
    assert "Softplus 'Softplus_a'" in text
    assert "Mish 'Mish_b'" in text
    assert "Tanh" not in text
    require_supported(check_network(load_network(network([op("Tanh", "x", "y")], X)), get_chip("c")), get_chip("c"))


def test_of_many_unsupported_nodes_the_first_are_listed() -> None:
    names = ["x", *"abcdefghij", "y"]
    source = network([op("Softplus", one, other) for one, other in pairwise(names)], X)
    with pytest.raises(EspdlError, match=r"11 nodes of the network(.|\n)*and 3 more: espdl check lists every node"):
        require_supported(check_network(load_network(source), get_chip("c")), get_chip("c"))


def test_an_operator_that_only_newer_firmware_has_is_limited() -> None:
    source = network([op("Attention", "x x x", "y")], {"x": [1, 2, 5, 4]}, opset=23)
    verdict = verdicts(source)["Attention_y"]
    assert verdict.status == "limited"
    assert verdict.detail == "needs an ESP-DL newer than 3.3.9"


def test_an_operator_that_no_chip_has_is_unsupported_though_files_with_it_run() -> None:
    verdict = verdicts(network([op("Erf", "x", "e"), op("Tanh", "e", "y")], X))["Erf_e"]
    assert verdict.status == "unsupported"
    assert verdict.detail.startswith("ESP-DL has no such operator")
    assert "use Gelu" in verdict.remedy


def test_an_operator_of_the_users_own_runs() -> None:
    class Odd(Module, op_type="OddForThisTest"):
        def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
            return [input_shapes[0]]

    try:
        source = network([op("OddForThisTest", "x", "o", domain="acme"), op("Tanh", "o", "y")], X, domains={"acme": 1})
        found = verdicts(source)["OddForThisTest_o"]
        assert found.status == "limited" and "the program on the chip must register it" in found.detail
        Odd.quantization = Quantization(table=True)
        assert verdicts(source)["OddForThisTest_o"].status == "supported"
    finally:
        del MODULE_TYPES[Odd.op_type]


def test_facts_are_plain_values() -> None:
    model = load_network(network([op("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 1])], X, {"w": weights(6, 4, 3, 3)}))
    facts = node_facts(model.graph.node(0))
    assert facts.op_type == "Conv"
    assert facts.attributes == {"auto_pad": "SAME_UPPER", "strides": [2, 1]}
    assert facts.input_shapes == ((1, 4, 6, 5), (6, 4, 3, 3))
    assert facts.output_shapes == ((1, 6, 3, 5),)
    assert list(facts.constants) == [1]


def test_facts_of_omitted_inputs() -> None:
    model = load_network(network([op("Resize", "x _ s", "y")], X, {"s": np.array([1, 1, 2, 2], np.float32)}))
    facts = node_facts(model.graph.node(0))
    assert facts.input_shapes[1] is None
    assert list(facts.constants) == [2]


@pytest.mark.parametrize("export", ["op13", "op18", "dynamo18"])
@pytest.mark.parametrize(
    "name",
    [
        "attention_block",
        "audio_conv1d",
        "autoencoder",
        "gates",
        "mobilenetv2_stack",
        "sin_mlp",
        "small_cnn",
        "tcn_stream",
        "yolo_like",
    ],
)
def test_every_network_runs(conformance: Path, name: str, export: str) -> None:
    model = load_network(conformance / "networks" / name / f"{name}_{export}.onnx")
    for target in ("c", "esp32s3", "esp32p4"):
        found = check_network(model, get_chip(target))
        require_supported(found, get_chip(target))
        assert len(found) == len(list(model.graph))


def test_a_recurrent_form_that_the_chip_does_not_have_is_refused_before_any_work() -> None:
    shapes = {"w": weights(1, 12, 4), "r": weights(1, 12, 4)}
    nodes = [op("GRU", "x w r", "h", hidden_size=4), op("Relu", "h", "y")]
    source = network(nodes, {"x": [5, 1, 4]}, shapes)

    def never() -> Iterator[np.ndarray]:
        raise AssertionError("calibration data was read")
        yield

    with pytest.raises(EspdlError, match=r"GRU 'GRU_h': does not hold: linear_before_reset is 1"):
        quantize(source, never(), target="esp32s3")


def test_float_results_are_a_limit() -> None:
    verdict = verdicts(network([op("Softmax", "x", "y")], X))["Softmax_y"]
    assert verdict.status == "limited"
    assert "float" in verdict.detail


def test_check_of_every_chip_leaves_the_network_as_it_is() -> None:
    model = load_network(network([op("Sigmoid", "x", "s"), op("Mul", "s x", "y")], X))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    for chip in CHIPS.values():
        check_network(model, chip)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_a_setting_that_keeps_what_the_chip_lacks() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.convtranspose_decomposition = False
    model = load_network(network([op("ConvTranspose", "x w", "y")], X, {"w": weights(4, 2, 3, 3)}))
    assert check_network(model, get_chip("c"), setting)[0].status == "unsupported"


def test_a_quantized_network_is_sent_back() -> None:
    nodes = [op("QuantizeLinear", "x s", "q"), op("DequantizeLinear", "q s", "y")]
    found = verdicts(network(nodes, X, {"s": 0.1}))
    assert [verdict.status for verdict in found.values()] == ["unsupported", "unsupported"]
    assert found["QuantizeLinear_q"].remedy == "export the network before it is quantized"
