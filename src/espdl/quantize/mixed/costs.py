"""What 16 bits cost: estimated microseconds of every node in both widths, and of the conversions between them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from espdl.dl.model import Model
from espdl.estimate.latency import Latency, estimate_latency, estimate_work
from espdl.estimate.memory import ROOM_FOR_COPY, MemoryEstimate, estimate_memory
from espdl.estimate.workload import Elements, Work, workload
from espdl.quantize.dataloader import Sample
from espdl.quantize.export import ExportOptions, build_record, file_bytes
from espdl.quantize.graph import QuantGraph
from espdl.quantize.mixed.parts import NARROW, WIDE, Held, Unit
from espdl.quantize.passes.tools import constant
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.quantizer import quantize_graph
from espdl.quantize.setting import QuantizationSetting


def latency_of(model: Model) -> tuple[Latency, MemoryEstimate]:
    """The estimate for the usual module of the model's chip."""
    memory = estimate_memory(model, search_internal=False)
    return estimate_latency(model, memory), memory


@dataclass(frozen=True)
class Costs:
    """Estimated microseconds, and bytes.

    Attributes:
        narrow: microseconds of the whole file in 8 bits.
        more: those that each unit takes more in 16 bits, in the order of the units.
        conversions: those of each tensor from one width to the other.
        parameters: bytes that the parameters of each unit take more in 16 bits.
        arena: bytes of all tensors in 8 bits, as the chip plans them.
    """

    narrow: float
    more: list[float]
    conversions: list[float]
    parameters: list[int]
    arena: int


def costs_of(
    network: ir.Model,
    platform: TargetPlatform,
    setting: QuantizationSetting,
    samples: Sequence[Sample],
    file: bytes,
    units: Sequence[Unit],
    tensors: Sequence[Held],
    export: ExportOptions,
) -> Costs:
    """Estimates from two files: the one in 8 bits, and one with all that can be in 16.

    Args:
        network: prepared.
        platform, setting, export: of the file in 8 bits.
        samples: a few; exponents hardly change how long a node takes.
        file: in 8 bits.
        units, tensors: of :func:`espdl.quantize.mixed.parts.find_parts`.
    """
    model = Model(file, target=platform.chip)
    latency, memory = latency_of(model)
    narrow = {layer.name: layer.time.us for layer in latency.layers}
    names = [name for unit in units if unit.is_free for name in unit.names]
    graph = quantize_graph(network, platform, _plain(wide_setting(setting, names, platform)), samples, lowering=export.lowering)
    wide_model = Model(file_bytes(build_record(graph, export)[0]), target=platform.chip)
    wide = _times(workload(wide_model), graph, memory)
    more = [sum(wide.get(name, 0.0) - narrow.get(name, 0.0) for name in unit.names) for unit in units]
    works = [_conversion(held) for held in tensors]
    conversions = [layer.time.us for layer in estimate_work(works, platform.chip, memory.module, memory.parameters_in).layers]
    return Costs(latency.model.us, more, conversions, [_parameter_bytes(unit) for unit in units], memory.arena)


def room_for_parameters(memory: MemoryEstimate, parameters: int) -> float:
    """Bytes that parameters may take more and still be copied to RAM, as they are now: infinite where they are not.

    Args:
        memory: of a file.
        parameters: bytes of its parameters.
    """
    if not memory.param_copy:
        return math.inf
    room = memory.module.psram or memory.module.free_internal
    return ROOM_FOR_COPY * room - memory.arena - parameters


def _parameter_bytes(unit: Unit) -> int:
    """What a second byte of each weight takes."""
    constants = [array for node in unit.nodes for value in node.inputs[1:2] if (array := constant(value)) is not None]
    return sum(array.size for array in constants)


def _times(works: Sequence[Work], graph: QuantGraph, memory: MemoryEstimate) -> Mapping[str, float]:
    """By node, with parameters where the file in 8 bits has them."""
    layers = estimate_work(works, graph.chip, memory.module, memory.parameters_in).layers
    return {layer.name: layer.time.us for layer in layers}


def _conversion(held: Held) -> Work:
    written, read = held.size * WIDE // 8, held.size * NARROW // 8
    return Work(held.name, "RequantizeLinear", elements=Elements(vector_bytes=written), read_bytes=read, written_bytes=written)


def wide_setting(setting: QuantizationSetting, names: Sequence[str], platform: TargetPlatform) -> QuantizationSetting:
    """The setting with the nodes named in 16 bits."""
    changed = copy.deepcopy(setting)
    for name in names:
        changed.dispatching_table.append(name, TargetPlatform(platform.chip, WIDE, WIDE))
    return changed


def _plain(setting: QuantizationSetting) -> QuantizationSetting:
    """Without what changes numbers only."""
    setting.channel_balancing = setting.weight_rounding = setting.bias_correct = setting.tqt_optimization = False
    return setting
