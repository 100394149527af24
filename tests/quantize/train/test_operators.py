"""Every operator in PyTorch: as ONNX Runtime in float, as the file's integers when rounded, with the slope that differences give."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.dl.module import BUILT_IN
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.passes.tools import constant
from espdl.quantize.pipeline import prepare
from espdl.quantize.setting import TABLE_OPS
from espdl.quantize.snr import IntegerRun
from espdl.quantize.tables import LoweringOptions
from tests.quantize.train.networks import ALL, KINKED, SMOOTH, TRUTH, Maker, quantized, samples, single

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch

MADE_BY_THE_EXPORT = {"QuantizeLinear", "DequantizeLinear", "RequantizeLinear", "LUT", "StreamingCache"}
REWRITTEN = ("ConvTranspose", "SpaceToDepth", "Erf")
"""Operators that passes replace in these networks."""
SIXTEEN_BITS = (
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Mul",
    "Sigmoid",
    "Swish",
    "Gelu",
    "Tanh",
    "Softmax",
    "LayerNormalization",
    "LSTM",
)


def executor(model, **options):
    from espdl.quantize.train.executor import QuantExecutor

    return QuantExecutor(model.graph, **options)


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_an_operator_gives_what_runtimes_give(make: Maker, target: str) -> None:
    proto = make()
    model = quantized(proto, target)
    run = executor(model)
    floating, integer = FloatRun(model.graph.model, run.outputs), IntegerRun(model.data, model.graph, model.lowered)
    for sample in samples(proto, 2, seed=5):
        with torch.no_grad():
            exact, rounded = run(sample, quantized=False), run(sample)
        wanted, chip = floating.run(sample), integer.run(sample)
        for name, real, value in zip(run.outputs, exact, rounded, strict=True):
            np.testing.assert_allclose(real.numpy(), wanted[name], rtol=1e-5, atol=1e-5)
            # What the chip leaves in float may differ in the last digit.
            tolerance = 0 if name in model.graph.produced else 2e-6
            np.testing.assert_allclose(value.numpy().astype(np.float64), chip[name].astype(np.float64), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", SIXTEEN_BITS)
def test_an_operator_of_16_bits_gives_the_files_integers(name: str) -> None:
    proto = ALL[name]()
    model = quantized(proto, "esp32p4", 16)
    run = executor(model, dtype=torch.float64, lowering=LoweringOptions(frozenset(TABLE_OPS), 32, 256))
    integer = IntegerRun(model.data, model.graph, model.lowered)
    for sample in samples(proto, 2, seed=5):
        with torch.no_grad():
            values = run(sample)
        for output, value in zip(run.outputs, values, strict=True):
            np.testing.assert_allclose(value.numpy(), integer.run(sample)[output], rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", SMOOTH.values(), ids=SMOOTH)
def test_slopes_are_those_of_differences(make: Maker) -> None:
    proto = make()
    run = executor(quantized(proto), dtype=torch.float64)
    (sample,) = samples(proto, 1, seed=9)
    inputs = [torch.from_numpy(array).double().requires_grad_() for array in sample.values()]
    weights = [name for name in run.constants if run.constants[name].is_floating_point() and name in run.parameters]
    values = [run.constants[name].clone().requires_grad_() for name in weights]

    def function(*tensors):
        run.constants.update(zip(weights, tensors[len(inputs) :], strict=True))
        return tuple(run(list(tensors[: len(inputs)]), quantized=False))

    assert torch.autograd.gradcheck(function, (*inputs, *values), fast_mode=True, eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("make", KINKED.values(), ids=KINKED)
def test_slopes_beside_kinks_are_those_of_differences(make: Maker) -> None:
    proto = make()
    run = executor(quantized(proto), dtype=torch.float64)
    (sample,) = samples(proto, 1, seed=9)
    values = [torch.from_numpy(array).double().requires_grad_() for array in sample.values()]
    directions = [torch.randn(value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) for value in values]

    def total(shift: float):
        moved = [value + shift * direction for value, direction in zip(values, directions, strict=True)]
        return sum(tensor.sin().sum() for tensor in run(moved, quantized=False))

    slopes = torch.autograd.grad(total(0.0), values)
    along = sum(float((slope * direction).sum()) for slope, direction in zip(slopes, directions, strict=True))
    with torch.no_grad():
        difference = float(total(1e-7) - total(-1e-7)) / 2e-7
    assert along == pytest.approx(difference, rel=1e-4, abs=1e-4)


def test_every_operator_of_the_runtime_is_tried() -> None:
    from espdl.quantize.train.operators import OPERATORS

    tried = {node.op_type for make in ALL.values() for node in quantized_nodes(make)}
    assert set(BUILT_IN) - MADE_BY_THE_EXPORT <= set(OPERATORS)
    assert set(BUILT_IN) - MADE_BY_THE_EXPORT - {*REWRITTEN, "Identity"} <= tried


def test_the_slopes_of_every_operator_that_has_any_are_compared_with_differences() -> None:
    """Of all that the quantizer accepts; the network is what passes leave, so what they replace is compared by itself below."""
    compared = {node.op_type for make in {**SMOOTH, **KINKED}.values() for node in quantized_nodes(make)} | set(REWRITTEN)
    assert set(BUILT_IN) - MADE_BY_THE_EXPORT - set(TRUTH) - {"Identity"} <= compared


@pytest.mark.parametrize("op_type", [*REWRITTEN, "Identity"])
def test_slopes_of_an_operator_that_passes_replace_are_those_of_differences(op_type: str) -> None:
    from espdl.quantize.train.operators import bind

    proto = single(op_type)() if op_type in ("Erf", "Identity") else ALL[op_type]()
    (sample,) = samples(proto, 1, seed=9)
    network = load_network(proto) if op_type != "Identity" else None
    node = ir.node("Identity", [ir.val("x")]) if network is None else next(n for n in network.graph if n.op_type == op_type)
    arrays = [sample["x"] if constant(value) is None else constant(value) for value in node.inputs]
    tensors = [torch.from_numpy(np.array(array)).double().requires_grad_() for array in arrays]
    assert torch.autograd.gradcheck(bind(node), tensors, fast_mode=True, eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("op_type", REWRITTEN)
def test_an_operator_that_passes_replace_gives_what_onnx_runtime_gives(op_type: str) -> None:
    from espdl.quantize.train.operators import bind

    proto = single("Erf")() if op_type == "Erf" else ALL[op_type]()
    network = load_network(proto)
    (sample,) = samples(proto, 1, seed=5)
    (node,) = (node for node in network.graph if node.op_type == op_type)
    inputs = [constant(value) for value in node.inputs]
    tensors = [torch.from_numpy(sample["x"] if array is None else np.array(array)) for array in inputs]
    (output,) = FloatRun(network, [node.outputs[0].name]).run(sample).values()
    np.testing.assert_allclose(bind(node)(*tensors).numpy(), output, rtol=1e-5, atol=1e-5)


def quantized_nodes(make: Maker):
    return prepare(load_network(make()), get_chip("esp32s3")).graph
