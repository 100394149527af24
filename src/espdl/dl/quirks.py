"""Where ESP-DL gives something else than ONNX: one row per quirk, with what either of them does.

A run gives what ESP-DL gives. ``Model(..., strict_onnx=True)`` gives what ONNX says instead, wherever both can be had. Sections are those
of the runtime specification.
"""

from __future__ import annotations

from espdl.chips import Chip, get_chip
from espdl.dl import quirk_sites as sites
from espdl.dl.module.contract import REDUCTIONS
from espdl.dl.quirk import Default, NodeQuirk, Quirk, Site, Strict

__all__ = ["QUIRKS", "Default", "NodeQuirk", "Quirk", "Site", "Strict", "in_effect", "quirks_at", "quirks_of", "wants_float_form"]

_ASSIGNMENTS = (
    "QuantizeLinear",
    "DequantizeLinear",
    "RequantizeLinear",
    "Identity",
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
)
_RAW = (
    "Add",
    "Sub",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Concat",
    "Split",
    "Slice",
    "Gather",
    "Pad",
    "Transpose",
    "ScatterND",
    "DepthToSpace",
    "SpaceToDepth",
    "ReverseSequence",
    "InsertZeros",
    "MaxPool",
    "Neg",
    "ReduceMax",
    "ReduceMin",
)

QUIRKS: tuple[Quirk, ...] = (
    Quirk(
        "unsigned-read-as-signed",
        _ASSIGNMENTS,
        "uint8 and uint16 to float",
        "reads the bits as a signed number: 200 becomes -56",
        "the number itself",
        "2.3",
        sites.unsigned_source,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "multiplier-overflow",
        _ASSIGNMENTS,
        "more than 50 integers whose exponent shrinks by 7 or more (int8 to int8) or 15 or more, as the chip's registers are wide",
        "multiplies by a power of two that its register does not hold: by its negative, or by 0",
        "the number in the new exponent, saturated",
        "2.3",
        sites.loses_multiplier,
        strict=Strict.FLOAT_FORM,
        vector_unit=True,
    ),
    Quirk(
        "exponents-ignored",
        _RAW,
        "int8 and int16, where the exponents of inputs and outputs differ; the exporter makes them equal",
        "takes the integers as they are",
        "the real numbers, each in its exponent",
        "3.0.3, 3.1",
        sites.exponents_differ,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "logic-bitwise",
        ("And", "Or", "Xor"),
        "int8 and int16 other than 0 and 1; And and Or only where a vector unit computes them by bits",
        "combines the bits of the integers",
        "0 or 1",
        "3.1",
        sites.combines_bits,
    ),
    Quirk(
        "div-table-kept",
        ("Div",),
        "int8, an operand of one element that the network computes",
        "builds a table for the first value of that element and keeps it for all later runs",
        "divides by, or of, the value of this run",
        "3.1.1",
        sites.divides_by_computed_scalar,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "mod-sign-of-dividend",
        ("Mod",),
        "attribute fmod 0 or absent",
        "gives the remainder the sign of the dividend, as C's fmod",
        "the remainder has the sign of the divisor",
        "3.1",
        sites.takes_sign_of_divisor,
    ),
    Quirk(
        "conv-pads-in-c",
        ("Conv",),
        "C code: filters of 1 x 1 with pads, and pads larger than the filter",
        "reads the wrong pixels",
        "pads are zeros",
        "3.3",
        sites.pads_in_c_code,
        default=Default.ONNX,
        vector_unit=False,
    ),
    Quirk(
        "fused-activation-dropped",
        ("Conv", "Gemm", "MatMul"),
        "attribute activation LeakyRelu or PRelu",
        "computes no activation",
        "the activation behind the sum; the file does not hold its slope",
        "3.3",
        sites.fuses_other_activation,
        strict=Strict.NONE,
    ),
    Quirk(
        "table-nearest-entry",
        ("LUT", "Gelu"),
        "int16 tables with a step",
        'takes the nearest entry (before 2026-07-15: the line between two, int16_lut="interpolating")',
        "the function at every value; the file holds the table only",
        "3.5",
        sites.reads_nearest_entry,
        strict=Strict.NONE,
    ),
    Quirk(
        "hard-swish-sixth",
        ("HardSwish",),
        "int16, float32, and int8 without table",
        "takes 0.166667 for 1/6",
        "1/6",
        "3.6",
        sites.computes_hard_swish,
    ),
    Quirk(
        "clip-float-low",
        ("Clip",),
        "float32, low omitted before a given high",
        "takes the smallest positive normal number, 1.175e-38, as low",
        "no lower bound",
        "3.6",
        sites.clips_float_without_low,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "softmax-without-maximum",
        ("Softmax", "LogSoftmax"),
        "int8, exponent 0 or more",
        "does not subtract the maximum first: large inputs overflow to infinity and NaN",
        "finite probabilities",
        "3.7",
        sites.exponential_overflows,
    ),
    Quirk(
        "newton-root",
        ("LayerNormalization", "ReduceL2"),
        "all types",
        "takes roots by an iteration that stops when a step is below 1e-5: roots of small numbers are wrong",
        "the root",
        "3.8",
        sites.always,
    ),
    Quirk(
        "reduce-many-groups",
        REDUCTIONS,
        "reduced and kept axes alternate more than 3 times",
        "computes nothing and leaves what lay in memory",
        "the reduction",
        "3.9",
        sites.alternates_too_often,
        default=Default.REFUSED,
    ),
    Quirk(
        "reduce-noop",
        REDUCTIONS,
        "noop_with_empty_axes 1 and no axes",
        "reduces everything into the first element and leaves the others as they lay in memory",
        "reduces over no axis: every element by itself",
        "3.9",
        sites.reduces_nothing,
        default=Default.REFUSED,
    ),
    Quirk(
        "log-sum-exp-without-maximum",
        ("ReduceLogSumExp",),
        "inputs whose exponential leaves binary32",
        "does not subtract the maximum first: large inputs overflow",
        "a finite logarithm",
        "3.9",
        sites.exponential_overflows,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "average-pool-counts-pads",
        ("AveragePool",),
        "pads with count_include_pad 0 or absent",
        "divides by the size of the kernel at the borders, too",
        "divides by the number of pixels under the kernel",
        "3.10",
        sites.leaves_pads_out,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "pool-attributes-unread",
        ("AveragePool", "MaxPool"),
        "ceil_mode, dilations, auto_pad",
        "reads none of them",
        "they change the windows and the size of the output, which the plan of the file does not foresee",
        "3.10",
        sites.has_unread_pool_attributes,
        strict=Strict.NONE,
    ),
    Quirk(
        "resize-positions",
        ("Resize",),
        "modes other than asymmetric floor (nearest), half_pixel and align_corners (linear), where they pick other pixels",
        "rounds down from the corner (nearest), or takes half-pixel centres (linear)",
        "coordinate_transformation_mode and nearest_mode decide",
        "3.11",
        sites.places_differ,
    ),
    Quirk(
        "resize-int16",
        ("Resize",),
        "int16",
        "computes nothing and leaves what lay in memory",
        "the resized tensor",
        "3.11",
        sites.is_int16,
        default=Default.REFUSED,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "recurrent-reverse",
        ("GRU", "LSTM"),
        "direction reverse",
        "runs forward",
        "runs from the last step to the first",
        "3.12",
        sites.runs_in_reverse,
    ),
    Quirk(
        "recurrent-parts-ignored",
        ("GRU", "LSTM"),
        "activations, clip, sequence_lens, peepholes",
        "ignores them",
        "they change the cell",
        "3.12",
        sites.has_ignored_recurrent_parts,
        strict=Strict.NONE,
    ),
    Quirk(
        "split-count-as-length",
        ("Split",),
        "no lengths, but attribute num_outputs",
        "takes num_outputs for the length of a part",
        "the number of parts",
        "3.13",
        sites.splits_by_count,
    ),
    Quirk(
        "gather-negative-index",
        ("Gather",),
        "indices below 0",
        "reads in front of the tensor",
        "counts from the end of the axis",
        "3.13",
        sites.has_negative_index,
        default=Default.REFUSED,
    ),
    Quirk(
        "reshape-allowzero-unset",
        ("Reshape",),
        "a 0 in the shape and no attribute allowzero",
        "reads a variable that was never set",
        "0 copies the dimension of the input",
        "3.13",
        sites.leaves_allowzero_open,
        default=Default.ONNX,
    ),
    Quirk(
        "reverse-sequence-truncates",
        ("ReverseSequence",),
        "float32",
        "swaps two entries through an integer: the one that goes to the back loses its fraction",
        "the entries themselves",
        "3.13",
        sites.is_float,
    ),
    Quirk(
        "scatter-mul-raw",
        ("ScatterND",),
        "int8 and int16, reduction mul",
        "multiplies the integers without scaling the product back",
        "the product of the real numbers",
        "3.13",
        sites.multiplies_raw_updates,
        strict=Strict.FLOAT_FORM,
    ),
    Quirk(
        "depth-to-space-dcr",
        ("DepthToSpace",),
        "mode DCR where the number of output channels is not blocksize",
        "writes outside the block of pixels",
        "channels of depth first, then columns, then rows",
        "3.13",
        sites.orders_depth_by_column,
        default=Default.REFUSED,
    ),
    Quirk(
        "space-to-depth-order",
        ("SpaceToDepth",),
        "more than one input channel",
        "puts pixel (row, column) of channel c into channel (c * b + row) * b + column",
        "into channel (row * b + column) * C + c",
        "3.13",
        sites.has_channels,
    ),
)
"""Every quirk of operators. Two more change no run of a model: ``TensorBase.push`` of int16 moves half of its data on the chip (2.1; here
all), and the chip's ``profile_module`` ignores its argument ``sort`` (4.5)."""


def quirks_of(op_type: str, chip: str | Chip | None = None) -> tuple[Quirk, ...]:
    """The quirks of an operator, in the order of the table.

    Args:
        op_type: as in a file; one without quirks, or unknown, has none.
        chip: leaves out those that the chip cannot have in silicon arithmetic.
    """
    facts = None if chip is None else get_chip(chip)
    return tuple(quirk for quirk in QUIRKS if op_type in quirk.op_types and (facts is None or quirk.may_show_on(facts)))


def quirks_at(site: Site) -> tuple[Quirk, ...]:
    """The quirks that change results of a bound operator, whether or not the machine asks for ONNX's meaning."""
    return tuple(quirk for quirk in QUIRKS if site.module.op_type in quirk.op_types and quirk.affects(site))


def in_effect(site: Site) -> tuple[Quirk, ...]:
    """Those of :func:`quirks_at` that the run of this machine has."""
    strict = site.machine.strict_onnx
    return tuple(quirk for quirk in quirks_at(site) if not strict or quirk.strict is Strict.NONE)


def wants_float_form(site: Site) -> bool:
    """Whether ONNX's meaning is asked for and is that of the operator's float form on real numbers."""
    if not site.machine.strict_onnx:
        return False
    return any(quirk.strict is Strict.FLOAT_FORM for quirk in quirks_at(site))
