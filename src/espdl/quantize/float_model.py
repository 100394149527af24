"""A float network as ONNX Runtime takes it: the graph in a few bytes, and its large constants beside it, as the arrays that they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

LARGE = 1 << 12
"""Bytes of a constant from which on it stays out of the graph. Smaller ones may be shapes, which ONNX Runtime wants to see early."""


def serialized(
    model: ir.Model, constants: Mapping[str, NDArray] | None = None
) -> tuple[onnx.ModelProto, dict[str, NDArray[np.float32]]]:
    """A network without its large constants, and these by name.

    A session that is given both (:class:`espdl.quantize.float_parts.Session`) reads the arrays where they are: no copy is made of them
    on the way, and several sessions share them.

    Args:
        model: the network; it is not changed.
        constants: values to use instead of the network's own, by initializer name.
    """
    bare, large = model.clone(), dict[str, NDArray[np.float32]]()
    for name, value in bare.graph.initializers.items():
        tensor = value.const_value
        if tensor is None:
            continue
        if constants and name in constants:
            tensor = value.const_value = ir.Tensor(constants[name].astype(np.float32), name=name)
        if tensor.dtype is not ir.DataType.FLOAT or tensor.nbytes < LARGE:
            continue
        array = np.ascontiguousarray(tensor.numpy())
        large[name] = array
        # ONNX Runtime is given the data under this name, and looks for no file.
        value.const_value = ir.ExternalTensor(
            "given", 0, array.nbytes, ir.DataType.FLOAT, shape=ir.Shape(array.shape), name=name, base_dir=""
        )
    return ir.serde.serialize_model(bare), large
