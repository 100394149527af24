"""One layer becomes the sum of two, so that its large weights are halved (quantizer spec 8.3, setting ``weight_split``)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from espdl.errors import EspdlError
from espdl.quantize.passes.tools import Editor, constant, input_of
from espdl.quantize.setting import WeightSplitSetting
from espdl.quantize.setting_check import check_layer_names
from espdl.wording import at_node

_TYPES = ("Conv", "Gemm", "MatMul")
_METHODS = ("balance", "random")
_SEED = 10086


class SplitWeights(ir.passes.InPlacePass):
    """Splits the layers named in ``interested_layers``: ``W = (W - S) + S``, S nonzero where ``|W| > value_threshold``.

    ``balance`` takes S = W / 2 there, ``random`` W times a number of its own between 0 and 1. The layer keeps its name, its bias and
    W - S; a layer ``NAME_split`` has S; an Add writes the result. With half the range, weights can have twice the resolution.

    Needs: a finished network of Conv, Gemm and MatMul.
    Leaves: what the network computes, up to float rounding.

    Raises:
        EspdlError: without layers, for one that does not exist or has no constant weight, and where no weight exceeds the threshold.
    """

    def __init__(self, setting: WeightSplitSetting) -> None:
        super().__init__()
        self.setting = setting

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        setting, where = self.setting, "weight_split_setting"
        nodes = {node.name or "": node for node in model.graph}
        if not setting.interested_layers:
            raise EspdlError(
                "weight_split is on without layers", where=where, hint="name them: interested_layers = ['/features.1/Conv']"
            )
        if setting.method not in _METHODS:
            raise EspdlError(f"there is no method {setting.method!r}", where=where, hint="one of " + ", ".join(_METHODS))
        check_layer_names(setting.interested_layers, nodes, f"{where}.interested_layers")
        edit, random = Editor(model), np.random.default_rng(_SEED)
        for name in dict.fromkeys(setting.interested_layers):
            node = nodes[name]
            weight = constant(input_of(node, 1))
            if node.op_type not in _TYPES or weight is None:
                raise EspdlError(
                    "this layer has no weights to split",
                    where=at_node(name, node.op_type),
                    why=f"{where} is for {', '.join(_TYPES)}",
                )
            large = np.abs(weight) > setting.value_threshold
            if not large.any():
                raise EspdlError(
                    f"no weight is larger than value_threshold = {setting.value_threshold}",
                    where=at_node(name, node.op_type),
                    why=f"the largest is {np.abs(weight).max(initial=0.0):.4g}",
                )
            share = 0.5 if setting.method == "balance" else random.random(weight.shape)
            _split(node, weight, np.where(large, weight * share, 0).astype(weight.dtype), edit)
        RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, True)


def _split(node: ir.Node, weight: NDArray, part: NDArray, edit: Editor) -> None:
    name, op_type = node.name or "", node.op_type
    attributes = {key: attr.value for key, attr in node.attributes.items()}
    x, *bias = (node.inputs[0], *node.inputs[2:])
    own = edit.constant(f"{name}_weight_rest", weight - part)
    other = edit.constant(f"{name}_weight_split", part)
    rest = edit.before(node, op_type, [x, own, *bias], attributes, name=f"{name}_rest")
    split = edit.before(node, op_type, [x, other], attributes, name=f"{name}_split")
    edit.replace(node, "Add", [rest, split], name=f"{name}_sum")
    layer = rest.producer()
    assert layer is not None
    layer.name = name
