"""Which nodes a quirk changes: one question per quirk, asked of an operator, its tensors and its machine (see :mod:`espdl.dl.quirks`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from espdl.dl.quirk import Site
from espdl.dtypes import Activation, DType, Int16Lut

if TYPE_CHECKING:
    from espdl.dl.machine import Machine

INTEGER_TYPES = (DType.INT8, DType.INT16)
VECTORIZED_FROM = 51
"""Elements from which on the vector unit changes exponents; fewer are converted in float (runtime spec 2.3)."""
_LOG_OF_LARGEST = 88.0
"""Beyond it an exponential leaves binary32."""


def lost_multiplier(source: DType, target: DType, shift: int, size: int, machine: Machine) -> int | None:
    """The factor by which the vector unit multiplies when it raises the precision of integers, where that is not ``2 ** -shift``.

    Args:
        shift: exponent of the target minus that of the source, negative here.
        size: number of elements.

    Returns:
        The factor as its register holds it (runtime spec 2.3), None where nothing is lost or no vector unit is at work.
    """
    if shift >= 0 or size < VECTORIZED_FROM or not machine.is_silicon or source is target is DType.INT16:
        return None
    bits = machine.chip.multiplier_bits(source.itemsize, target.itemsize)
    if not bits or -shift < bits - 1:
        return None
    return -(1 << (bits - 1)) if -shift == bits - 1 else 0


def unsigned_source(site: Site) -> bool:
    return site.source.dtype in (DType.UINT8, DType.UINT16) and site.target.dtype in (DType.FLOAT, DType.DOUBLE)


def loses_multiplier(site: Site) -> bool:
    source, target = site.source, site.target
    if source.dtype not in INTEGER_TYPES or target.dtype not in INTEGER_TYPES:
        return False
    shift = int(target.exponent) - int(source.exponent)
    return lost_multiplier(source.dtype, target.dtype, shift, source.size, site.machine) is not None


def exponents_differ(site: Site) -> bool:
    tensors = [tensor for tensor in (*site.inputs, *site.outputs) if tensor is not None and tensor.dtype in INTEGER_TYPES]
    return len({int(tensor.exponent) for tensor in tensors}) > 1


def divides_by_computed_scalar(site: Site) -> bool:
    if site.target.dtype is not DType.INT8:
        return False
    scalar = next((index for index, tensor in enumerate(site.inputs[:2]) if tensor is not None and tensor.size == 1), None)
    return scalar is not None and scalar not in site.module.parameters


def combines_bits(site: Site) -> bool:
    first, second = site.inputs[:2]
    if first is None or second is None or first.dtype not in INTEGER_TYPES:
        return False
    return bool(site.module.combines_bits(first, second, site.target, site.machine))  # type: ignore[attr-defined]  # of And, Or, Xor


def pads_in_c_code(site: Site) -> bool:
    """A 1 x 1 filter with pads, or pads that reach beyond the filter, where there is no vector unit."""
    if site.machine.chip.vector_bytes:
        return False
    filters, pads = site.module.parameters.get(1), list(site.attribute("pads", ()))
    if filters is None or not any(pads) or site.source.dtype not in INTEGER_TYPES:
        return False
    kernel = filters.shape[:-2]
    dilations = list(site.attribute("dilations", ())) or [1] * len(kernel)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=False)]
    return max(kernel) == 1 or any(pad > extents[index % len(extents)] for index, pad in enumerate(pads))


def fuses_other_activation(site: Site) -> bool:
    return Activation.parse(site.attribute("activation", "None")) not in (Activation.LINEAR, Activation.RELU)


def clips_float_without_low(site: Site) -> bool:
    return site.source.dtype is DType.FLOAT and len(site.inputs) > 1 and site.inputs[1] is None


def alternates_too_often(site: Site) -> bool:
    return bool(site.module.too_many_groups(len(site.source.shape)))  # type: ignore[attr-defined]  # of the Reduce family


def reduces_nothing(site: Site) -> bool:
    return bool(site.module.is_noop)  # type: ignore[attr-defined]  # of the Reduce family


def splits_by_count(site: Site) -> bool:
    module = site.module
    if 1 in module.parameters:
        return False
    axis = int(site.attribute("axis", 0))
    return int(site.attribute("num_outputs", -1)) ** 2 != site.source.shape[axis]


def leaves_allowzero_open(site: Site) -> bool:
    shape = site.module.parameters.get(1)
    return "allowzero" not in site.module.attributes and shape is not None and bool(np.any(np.asarray(shape.data) == 0))


def is_float(site: Site) -> bool:
    return site.source.dtype is DType.FLOAT


def orders_depth_by_column(site: Site) -> bool:
    if site.attribute("mode", "DCR") != "DCR":
        return False
    block = int(site.attribute("blocksize", 1))
    return site.source.shape[-1] != block**3


def has_channels(site: Site) -> bool:
    return site.source.shape[-1] > 1


def takes_sign_of_divisor(site: Site) -> bool:
    return not site.attribute("fmod", 0)


def leaves_pads_out(site: Site) -> bool:
    return not site.attribute("count_include_pad", 0) and any(site.attribute("pads", ()))


def has_unread_pool_attributes(site: Site) -> bool:
    dilated = any(d != 1 for d in site.attribute("dilations", ()))
    return dilated or bool(site.attribute("ceil_mode", 0)) or site.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def places_differ(site: Site) -> bool:
    return bool(site.module.departs_from_onnx(site.source.shape))  # type: ignore[attr-defined]  # of Resize


def is_int16(site: Site) -> bool:
    return site.source.dtype is DType.INT16


def exponential_overflows(site: Site) -> bool:
    """Whether the largest input has no exponential in binary32 for an operator that does not subtract the maximum first."""
    source = site.source
    if source.dtype is DType.FLOAT:
        return site.module.op_type == "ReduceLogSumExp"
    if source.dtype is DType.INT16 and site.module.op_type != "ReduceLogSumExp":
        return False
    return float(np.iinfo(source.dtype.numpy).max) * 2.0 ** int(source.exponent) > _LOG_OF_LARGEST


def computes_hard_swish(site: Site) -> bool:
    return not (site.source.dtype is DType.INT8 and "lut" in site.module.attributes)


def has_negative_index(site: Site) -> bool:
    indices = site.module.parameters.get(1)
    return indices is not None and bool(np.any(np.asarray(indices.data) < 0))


def multiplies_raw_updates(site: Site) -> bool:
    return site.attribute("reduction", "none") == "mul" and site.source.dtype in INTEGER_TYPES and int(site.source.exponent) != 0


def runs_in_reverse(site: Site) -> bool:
    return site.attribute("direction", "forward") == "reverse"


def has_ignored_recurrent_parts(site: Site) -> bool:
    warnings: Sequence[str] = getattr(site.module, "warnings", ())
    return any("has no effect on the chip" in text for text in warnings)


def reads_nearest_entry(site: Site) -> bool:
    if site.source.dtype is not DType.INT16 or site.machine.int16_lut is not Int16Lut.NEAREST:
        return False
    table = site.attribute("lut", None)
    return table is not None and not isinstance(table, str) and table.size < 1 << 16


def always(site: Site) -> bool:
    return True
