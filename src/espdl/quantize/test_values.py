"""Test values: one input and what the integer run makes of it, embedded in the file for the chip's own test (quantizer spec 11.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dl.base import get_kernels
from espdl.dl.model import Model
from espdl.dtypes import Arithmetic, DType
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.quantize.emitter import Stored
from espdl.quantize.lower import Lowered
from espdl.rounding import dequantize


def to_file(array: NDArray, stored: Stored, chip: Chip) -> NDArray:
    """A real tensor in ONNX order as the raw tensor of the file: transposed and quantized."""
    array = np.asarray(array)
    if stored.scale is not None:
        array = stored.scale.float32_of(array)
    if stored.format[0] and array.size:
        integers = np.empty(array.shape, stored.dtype.numpy)
        get_kernels().quantize_step(np.ascontiguousarray(array), integers, stored.format[1], chip.rounding)()
        array = integers  # which are fewer bytes to put in another order
    return np.array(array.transpose(stored.order), stored.dtype.numpy, order="C").reshape(stored.shape or (1,))


def from_file(raw: NDArray, stored: Stored) -> NDArray:
    """A raw tensor of the file as real values in ONNX order."""
    ordered = raw.reshape(stored.shape if stored.order else ())
    if stored.order:
        ordered = np.ascontiguousarray(ordered.transpose(np.argsort(stored.order)))
    values = dequantize(ordered, stored.format[1]) if stored.format[0] else ordered
    return values if stored.scale is None or not stored.order else stored.scale.float32_undo(values)


def with_test_values(
    record: records.Model,
    data: bytes,
    lowered: Lowered,
    chip: Chip,
    sample: Mapping[str, NDArray],
    names: Sequence[str] | None = None,
) -> records.Model:
    """The record with test values, computed by running its bytes in reference arithmetic.

    Args:
        record, data: a model without test values, and its bytes.
        lowered: where the network's tensors are.
        chip: what it is for.
        sample: real inputs in ONNX order by name.
        names: tensors of the network to embed, by default its outputs.

    Raises:
        EspdlError: for a name that the file does not hold.
    """
    graph = record.graph
    inputs = {value.name: to_file(sample[value.name], lowered.stored[value.name], chip) for value in graph.input}
    wanted = [stored_name(lowered, name) for name in names] if names else [value.name for value in graph.output]
    results = Model(data, target=chip, arithmetic=Arithmetic.REFERENCE).run_arrays(inputs, wanted)
    infos = {value.name: value for value in (*graph.input, *graph.value_info)}
    given = [_tensor(infos[name], array) for name, array in inputs.items()]
    expected = [_tensor(infos[name], results[name]) for name in wanted]
    return replace(record, graph=replace(graph, test_inputs_value=given, test_outputs_value=expected))


def stored_name(lowered: Lowered, name: str) -> str:
    """The name in the file of a tensor of the network. Raises :class:`EspdlError` when it is not there, as after a fusion."""
    found = lowered.stored.get(name)
    if found is None:
        raise EspdlError(
            f"the file holds no tensor {name!r}", hint="it may be fused away: name the output of the activation after it"
        )
    return found.name


def _tensor(info: records.ValueInfo, array: NDArray) -> records.Tensor:
    exponents = info.exponents if info.data_type in (DType.INT8, DType.INT16) else (0,)
    return records.Tensor(info.name, tuple(array.shape), info.data_type, np.ascontiguousarray(array), exponents)
