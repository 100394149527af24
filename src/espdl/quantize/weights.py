"""Constants as they lie in a file: integers, weights in the byte order of the chip (quantizer spec 11.6)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.fbs.packing import pack_filter, pack_matmul, packing_doc_string, packing_tag
from espdl.quantize.assign import module_of
from espdl.quantize.emitter import Emitter
from espdl.quantize.graph import QuantInfo, Role
from espdl.quantize.parameters import to_integers
from espdl.quantize.passes.tools import attribute, shape_of


def emit_constant(out: Emitter, node: ir.Node, index: int, array: NDArray, info: QuantInfo | None, bits: int) -> str:
    """Adds a constant input of a node to a file; returns its name there.

    Args:
        out: takes the constant.
        node, index: who reads it, and as which input.
        array: its real values in the order of the file; weights in that of the ONNX network.
        info: how it is represented; None for what is not quantized.
        bits: activation width of the node.
    """
    value = node.inputs[index]
    name = (value.name if value is not None else "") or f"{node.name}/input{index}"
    if info is None:
        return out.plain_constant(array.astype(np.float32) if array.dtype.kind == "f" else array, name)
    if info.role is Role.BIAS:
        channels = (shape_of(node.outputs[0]) or ())[1 if node.op_type == "Conv" else -1]
        array = np.broadcast_to(array.reshape(-1), (channels,))
    integers = to_integers(array, info, out.chip)
    if info.role is Role.WEIGHT and module_of(node).quantization.computing:
        return out.constant(packed_weight(node, integers, info, out.chip, bits), name)
    return out.constant(_tensor(integers.shape, integers, info, packing_doc_string()), name)


def packed_weight(node: ir.Node, integers: NDArray, info: QuantInfo, chip: Chip, activation_bits: int) -> records.Tensor:
    """The weight of a quantized Conv, Gemm or MatMul as a constant of the file, without a name.

    Args:
        node: its operator.
        integers: in the shape of the ONNX network.
        info: of the weight.
        chip: whose packing is wanted.
        activation_bits: their width decides the size of blocks.
    """
    lanes = chip.lanes(activation_bits // 8)
    if node.op_type == "MatMul":
        dims = integers.shape
        if integers.ndim < 2:
            return _tensor(dims, integers.reshape(-1), info, packing_doc_string())
        flat = pack_matmul(integers, chip.packing, lanes)
        tag = packing_tag(chip.packing, lanes, dims[-1])
        return _tensor(dims, flat, info, packing_doc_string(tag))
    if node.op_type == "Gemm":
        by_output = integers if attribute(node, "transB", 0) else integers.T
        filters = by_output[:, None, None, :]
        depthwise = False
    elif node.op_type == "Conv":
        depthwise = attribute(node, "group", 1) != 1
        filters = np.moveaxis(integers, 1, -1)
        if depthwise:
            filters = np.moveaxis(filters[..., 0], 0, -1)
    else:
        raise EspdlError(f"weights of {node.op_type} have no packing", where=f"node {node.name!r}")
    channels = filters.shape[-1] if depthwise else filters.shape[0]
    spatial = filters.shape[:-1] if depthwise else filters.shape[1:-1]
    dims = (*spatial, channels, 1) if depthwise else (*spatial, filters.shape[-1], channels)
    tag = packing_tag(chip.packing, lanes, channels, spatial=len(spatial), depthwise=depthwise)
    return _tensor(dims, pack_filter(filters, chip.packing, lanes, depthwise), info, packing_doc_string(tag))


def _tensor(dims: tuple[int, ...], flat: NDArray, info: QuantInfo, doc_string: str) -> records.Tensor:
    data = np.ascontiguousarray(flat).reshape(dims)
    return records.Tensor("", tuple(dims), DType.of(data.dtype), data, info.exponents, doc_string)
