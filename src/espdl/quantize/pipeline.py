"""The way from an imported network to one made of the chip's operators: still float, still run by any ONNX runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import onnx_ir as ir

from espdl.chips import Chip
from espdl.quantize.passes.attention import TidyAttention
from espdl.quantize.passes.canonical import WriteAxes, WriteSizes
from espdl.quantize.passes.clean import RemoveNeutral, RemoveNoOps
from espdl.quantize.passes.decompose_conv_transpose import DecomposeConvTranspose
from espdl.quantize.passes.evaluate import Evaluate
from espdl.quantize.passes.expand_attention import ExpandAttention
from espdl.quantize.passes.flatten import ReshapeToFlatten
from espdl.quantize.passes.fold_batchnorm import FoldBatchNorm, IsolatedBatchNorm
from espdl.quantize.passes.fuse_attention import FuseAttention
from espdl.quantize.passes.fuse_bias import FuseBias, MatMulToGemm
from espdl.quantize.passes.fuse_gelu import FuseGelu
from espdl.quantize.passes.fuse_hardswish import FuseHardSigmoid, FuseHardSwish
from espdl.quantize.passes.fuse_norm import FuseLayerNorm, FuseLpNorm, FuseRMSNorm
from espdl.quantize.passes.fuse_pad import FusePad
from espdl.quantize.passes.fuse_scale import FuseScale
from espdl.quantize.passes.fuse_swish import FuseSwish
from espdl.quantize.passes.legalise_arithmetic import LegaliseArithmetic, LegaliseExpand
from espdl.quantize.passes.legalise_depth import LegaliseDepth
from espdl.quantize.passes.legalise_pool import CountedPool, GlobalPool
from espdl.quantize.passes.legalise_recurrent import LegaliseRecurrent
from espdl.quantize.passes.legalise_resize import LegaliseResize
from espdl.quantize.passes.merge_slices import MergeSlices
from espdl.quantize.passes.name_nodes import NameNodes
from espdl.quantize.passes.normalise_clip import NormaliseClip
from espdl.quantize.passes.normalise_gemm import NormaliseGemm
from espdl.quantize.passes.recurrent import NameStates, TidyRecurrent
from espdl.quantize.passes.spell_out import SpellOut
from espdl.quantize.passes.split_channels import SplitChannels
from espdl.quantize.passes.split_groups import SplitGroups
from espdl.quantize.passes.split_weight import SplitWeights
from espdl.quantize.passes.transposes import FuseTransposes
from espdl.quantize.setting import QuantizationSetting


class FloatPass(NamedTuple):
    """One row of the table: its name, how it is made for a chip, what it does, and the setting that switches it off."""

    name: str
    make: Callable[[Chip], ir.passes.InPlacePass]
    does: str
    switch: str = ""


FLOAT_PASSES: tuple[FloatPass, ...] = (
    FloatPass("spell_out", lambda chip: SpellOut(), "pads, strides and kernel of every convolution and pooling as numbers"),
    FloatPass("write_axes", lambda chip: WriteAxes(), "axes explicit and non-negative"),
    FloatPass("write_sizes", lambda chip: WriteSizes(), "sizes of Reshape, Split, Slice, Pad explicit"),
    FloatPass("merge_slices", lambda chip: MergeSlices(), "Slices into consecutive parts -> Split"),
    FloatPass("normalise_clip", lambda chip: NormaliseClip(), "Clip, Min, Max with numbers -> Clip with two bounds, or Relu"),
    FloatPass("fuse_swish", lambda chip: FuseSwish(), "x * sigmoid(x) -> Swish"),
    FloatPass("fuse_gelu", lambda chip: FuseGelu(), "the formulas with Erf and Tanh -> Gelu"),
    FloatPass("fuse_hard_swish", lambda chip: FuseHardSwish(), "x * clip(x + 3, 0, 6) / 6 -> HardSwish"),
    FloatPass("fuse_hard_sigmoid", lambda chip: FuseHardSigmoid(), "clip(a x + b, 0, m) / m -> HardSigmoid"),
    FloatPass("fuse_layer_norm", lambda chip: FuseLayerNorm(), "mean, variance, root, quotient -> LayerNormalization"),
    FloatPass("fuse_rms_norm", lambda chip: FuseRMSNorm(), "mean of squares, root, quotient -> RMSNormalization"),
    FloatPass("fuse_lp_norm", lambda chip: FuseLpNorm(), "x / norm(x) -> LpNormalization"),
    FloatPass("normalise_gemm", lambda chip: NormaliseGemm(), "alpha, beta, transA, matrix addend of Gemm"),
    FloatPass(
        "matmul_to_gemm", lambda chip: MatMulToGemm(chip.per_channel_weights), "MatMul by a constant + Add of a vector -> Gemm"
    ),
    FloatPass("fuse_bias", lambda chip: FuseBias(), "Add of one constant per channel -> bias of the layer before"),
    FloatPass("fold_batchnorm", lambda chip: FoldBatchNorm(), "BatchNormalization -> weights and bias of the layer before"),
    FloatPass("fuse_scale", lambda chip: FuseScale(), "Mul by one constant per channel -> weights of the layer before"),
    FloatPass("isolated_batchnorm", lambda chip: IsolatedBatchNorm(), "BatchNormalization alone -> depthwise 1x1 Conv"),
    FloatPass("fuse_pad", lambda chip: FusePad(), "Pad with zeros -> pads of the layer behind"),
    FloatPass(
        "conv_transpose",
        lambda chip: DecomposeConvTranspose(),
        "ConvTranspose -> InsertZeros, Conv",
        "convtranspose_decomposition",
    ),
    FloatPass("split_groups", lambda chip: SplitGroups(), "grouped Conv -> Split, Conv per group, Concat"),
    FloatPass("global_pool", lambda chip: GlobalPool(), "ReduceMean over space -> GlobalAveragePool, GlobalMaxPool -> ReduceMax"),
    FloatPass("counted_pool", lambda chip: CountedPool(), "AveragePool that leaves pads out -> AveragePool, Mul"),
    FloatPass("depth", lambda chip: LegaliseDepth(), "DepthToSpace and SpaceToDepth in the chip's channel order"),
    FloatPass("resize", lambda chip: LegaliseResize(), "Resize modes in the chip's words"),
    FloatPass(
        "arithmetic",
        lambda chip: LegaliseArithmetic(),
        "Pow, Reciprocal, Sum, Abs, Max of many -> Mul, Sqrt, Div, Add, Relu, Max",
    ),
    FloatPass("expand", lambda chip: LegaliseExpand(), "Expand and Tile -> broadcasting, or Concat"),
    FloatPass("recurrent", lambda chip: TidyRecurrent(), "zero initial states and full sequence lengths of GRU and LSTM"),
    FloatPass(
        "turn_recurrent", lambda chip: LegaliseRecurrent(), "GRU and LSTM with the batch first or from the end of the sequence"
    ),
    FloatPass("fuse_attention", lambda chip: FuseAttention(), "MatMul, Softmax, MatMul -> Attention", "espdl_attention_fusion"),
    FloatPass("attention", lambda chip: TidyAttention(), "Attention on heads, masks of 0 and -inf as truth values"),
    FloatPass(
        "expand_attention", lambda chip: ExpandAttention(), "Attention beyond the chip's limits -> MatMul, Softmax, MatMul"
    ),
    FloatPass("transposes", lambda chip: FuseTransposes(), "Transposes in a row -> one"),
    FloatPass("flatten", lambda chip: ReshapeToFlatten(), "Reshape to [1, K] -> Flatten"),
    FloatPass("remove_neutral", lambda chip: RemoveNeutral(), "x + 0, x * 1 -> x"),
    FloatPass("remove_no_ops", lambda chip: RemoveNoOps(), "nodes that leave their input as it is"),
    FloatPass("evaluate", lambda chip: Evaluate(), "shapes of every value, constants"),
    FloatPass("name_states", lambda chip: NameStates(), "every output of GRU and LSTM, which the chip writes in any case"),
    FloatPass("name_nodes", lambda chip: NameNodes(), "a name of its own for each node"),
)
"""Every pass over the float network, in order."""


class OptionalPass(NamedTuple):
    """One row of the table of passes that are off by default: its name, how it is made, what it does, and what switches it on."""

    name: str
    make: Callable[[QuantizationSetting], ir.passes.InPlacePass]
    does: str
    switch: str


OPTIONAL_PASSES: tuple[OptionalPass, ...] = (
    OptionalPass(
        "split_weights",
        lambda setting: SplitWeights(setting.weight_split_setting),
        "one layer -> the sum of two with smaller weights",
        "weight_split",
    ),
    OptionalPass(
        "split_channels",
        lambda setting: SplitChannels(setting.channel_split_setting),
        "channels with large weights -> two channels each",
        "channel_split",
    ),
)
"""Passes over the finished network that a setting asks for, in order."""


def prepare(model: ir.Model, chip: Chip, setting: QuantizationSetting | None = None) -> ir.Model:
    """Fuses and legalises an imported network for ``chip``.

    Args:
        model: of :func:`espdl.quantize.importer.load_network`; it is not changed.
        chip: whose operators the result is made of.
        setting: a quantization setting; a pass with a switch is left out where the setting has it false, and optional ones are done where
            it has theirs true.

    Returns:
        A network that computes the same, up to float rounding, with the chip's operators: standard ones, or calls in domain ``espdl`` of
        functions that the model carries. What the chip does not have is left for :func:`espdl.quantize.check.check_network` to report.
    """
    prepared = model.clone()
    for row in FLOAT_PASSES:
        if not row.switch or getattr(setting, row.switch, True):
            row.make(chip)(prepared)
    if setting is not None:
        for option in OPTIONAL_PASSES:
            if getattr(setting, option.switch):
                option.make(setting)(prepared)
    return prepared
