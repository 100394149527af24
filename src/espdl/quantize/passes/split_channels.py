"""Channels of large weights are split in two equal ones (quantizer spec 8.2, setting ``channel_split``)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from espdl.errors import EspdlError
from espdl.quantize.passes.neighbours import Neighbours, find_neighbours
from espdl.quantize.passes.tools import Editor, attribute, constant, input_of, shape_of
from espdl.quantize.setting import ChannelSplitSetting
from espdl.quantize.setting_check import check_layer_names, check_layers_fit

LARGEST_GROWTH = 8
"""Times as many channels as a layer may get; a threshold that asks for more is too low."""


class SplitChannels(ir.passes.InPlacePass):
    """Doubles channels between neighbouring layers whose weights reach ``value_threshold`` on both sides.

    With u and d the largest weight of a channel in the layers that write and read it, a channel with u and d both at the threshold or
    above is doubled, and both copies have their weights multiplied by 1 / sqrt 2 on either side: the products add up to the same. This is
    done ``iterations`` times. ``including_bias`` lets u be at least ``bias_multiplier`` times the bias.

    Needs: a finished network. Grouped convolutions stay as they are.
    Leaves: what the network computes, up to float rounding; more channels.

    Raises:
        EspdlError: for a layer that does not exist, where no layer named has such a neighbour, and for a threshold that would make a
            layer more than :data:`LARGEST_GROWTH` times as wide.
    """

    def __init__(self, setting: ChannelSplitSetting) -> None:
        super().__init__()
        self.setting = setting

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        wanted = set(self.setting.interested_layers or ())
        where = "channel_split_setting.interested_layers"
        check_layer_names(wanted, [node.name or "" for node in model.graph], where)
        groups = [(group, {*group.above, *group.below}) for group in find_neighbours(model, self.setting.opt_level)]
        groups = [(group, layers) for group, layers in groups if all(attribute(node, "group", 1) == 1 for node in layers)]
        able = [node.name or "" for _, layers in groups for node in layers]
        check_layers_fit(
            wanted, able, where, "channels are split between Conv and Gemm without groups, with only activations between"
        )
        edit, modified = Editor(model), False
        for group, layers in groups:
            if not wanted or any(node.name in wanted for node in layers):
                modified |= self._split(group, edit)
        if modified:
            RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)

    def _split(self, group: Neighbours, edit: Editor) -> bool:
        """Finds out how often each channel is split, then writes all copies at once."""
        setting = self.setting
        above, below = self._range_above(group), _range_below(group)
        halvings = np.zeros(len(above), np.int64)
        for _ in range(setting.iterations):
            scale = np.sqrt(0.5) ** halvings
            large = (above * scale >= setting.value_threshold) & (below * scale >= setting.value_threshold)
            if not large.any():
                break
            halvings += large
            if (2.0**halvings).sum() > LARGEST_GROWTH * len(above):
                raise EspdlError(
                    f"channel_split_setting.value_threshold = {setting.value_threshold} would split {group.above[0].name!r} into "
                    f"more than {LARGEST_GROWTH} times its channels",
                    why=f"the median of its channels' largest weights is {float(np.median(np.minimum(above, below))):.3g}",
                    hint="raise the threshold, or name layers in interested_layers",
                )
        if not halvings.any():
            return False
        source = np.repeat(np.arange(len(above)), 2**halvings)
        _rewrite(group, source, (np.sqrt(0.5) ** halvings)[source].astype(np.float32), edit)
        return True

    def _range_above(self, group: Neighbours) -> NDArray[np.float64]:
        ranges = [_largest(_by_output(node), 0) for node in group.above]
        if self.setting.including_bias:
            biases = [constant(input_of(node, 2)) for node in group.above]
            ranges += [np.abs(bias.reshape(-1)) * self.setting.bias_multiplier for bias in biases if bias is not None]
        return np.max(ranges, axis=0).astype(np.float64)


def _range_below(group: Neighbours) -> NDArray[np.float64]:
    return np.max([_largest(_by_output(node), 1) for node in group.below], axis=0).astype(np.float64)


def _by_output(node: ir.Node) -> NDArray:
    """The weight as [outputs, inputs, ...]."""
    weight = constant(node.inputs[1])
    assert weight is not None
    return weight if node.op_type == "Conv" or attribute(node, "transB", 0) else weight.T


def _largest(weight: NDArray, axis: int) -> NDArray:
    return np.abs(weight).max(axis=tuple(other for other in range(weight.ndim) if other != axis), initial=0.0)


def _rewrite(group: Neighbours, source: NDArray[np.int64], factor: NDArray[np.float32], edit: Editor) -> None:
    """Channel i becomes a copy of channel ``source[i]``, its weights multiplied by ``factor[i]`` on either side."""
    for node in group.above:
        rows, bias = _by_output(node), constant(input_of(node, 2))
        _set_weight(node, rows[source] * _along(factor, 0, rows.ndim), edit)
        if bias is not None:
            own = np.broadcast_to(bias.reshape(-1), (len(rows),))[source]
            node.replace_input_with(2, edit.constant(f"{node.name}_bias_split", own * factor))
    for node in group.below:
        columns = _by_output(node)
        _set_weight(node, columns[:, source] * _along(factor, 1, columns.ndim), edit)
    for node in group.between:
        slope = constant(input_of(node, 1)) if node.op_type == "PRelu" else None
        if slope is not None and slope.size > 1:
            node.replace_input_with(1, edit.constant(f"{node.name}_slope_split", slope[source]))
    for node in (*group.above, *group.between):
        output = node.outputs[0]
        batch, _, *rest = shape_of(output) or ()
        output.shape = ir.Shape([batch, len(source), *rest])


def _along(factor: NDArray, axis: int, rank: int) -> NDArray:
    return factor.reshape([-1 if other == axis else 1 for other in range(rank)])


def _set_weight(node: ir.Node, by_output: NDArray, edit: Editor) -> None:
    weight = by_output if node.op_type == "Conv" or attribute(node, "transB", 0) else by_output.T
    node.replace_input_with(1, edit.constant(f"{node.name}_weight_split", weight.astype(np.float32)))
