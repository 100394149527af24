"""``quantize``: a float network and data in, a quantized model out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import DEFAULT_TARGET
from espdl.errors import EspdlError
from espdl.free_memory import give_back_memory
from espdl.quantize.analysis.bars import bar_table
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import graphwise
from espdl.quantize.analysis.layerwise import layerwise
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.check import judge, require_supported
from espdl.quantize.dataloader import Sample, samples_of
from espdl.quantize.equalization import equalize_network
from espdl.quantize.export import ExportOptions, build_record, file_bytes
from espdl.quantize.file_model import FileModel
from espdl.quantize.graph import QuantGraph
from espdl.quantize.imported_names import remember_names
from espdl.quantize.importer import load_network
from espdl.quantize.kept_samples import KeptSamples
from espdl.quantize.layer_names import with_prepared_names
from espdl.quantize.layout import Order
from espdl.quantize.left_over import free_left_over
from espdl.quantize.lower import Lowered
from espdl.quantize.mixed import MixedPrecision, choose_precision, require_mixable
from espdl.quantize.passes.tools import input_shapes_of
from espdl.quantize.pipeline import prepare
from espdl.quantize.platform import TargetPlatform, get_target_platform
from espdl.quantize.quantizer import quantize_graph
from espdl.quantize.scale import joined
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.setting_check import check_places, check_setting
from espdl.quantize.snr import IntegerRun, output_snr
from espdl.quantize.streaming import StreamingModel, StreamingOptions, require_streamable, streaming_model
from espdl.quantize.tables import DEFAULT_STEP, LoweringOptions
from espdl.quantize.test_values import with_test_values
from espdl.quantize.train import require_training
from espdl.wording import counted

KEPT_SAMPLES = 8
"""Calibration samples that the finished file is run on to be compared with the float network."""

Network: TypeAlias = str | os.PathLike[str] | onnx.ModelProto | ir.Model


@dataclass(repr=False)
class QuantizedModel(FileModel):
    """A quantized network, ready to be saved or run.

    Attributes:
        samples: the first few calibration samples.
        export: what else the file was made with.
        stream: the same network as a file for chunks, where it was asked for.
        mixed: which layers went to 16 bits for ``mixed_precision``, and why; None where it was not asked for.
    """

    samples: list[Sample]
    export: ExportOptions = field(default_factory=ExportOptions)
    stream: StreamingModel | None = None
    mixed: MixedPrecision | None = None

    @property
    def warnings(self) -> list[str]:
        """What a user should know, one sentence each."""
        return [*self.graph.warnings, *(self.stream.warnings if self.stream is not None else ())]

    @property
    def measures(self) -> list[str]:
        """What was done to weights and biases so that less is lost, one sentence each."""
        return list(self.graph.measures)

    def run(self, sample: Sample, names: Iterable[str] | None = None) -> dict[str, NDArray]:
        """Real outputs of the integer run for real inputs, both in the order and under the names of the ONNX network."""
        return IntegerRun(self.data, self.graph, self.lowered).run(sample, names)

    def snr(self, samples: Iterable[Sample], references: Iterable[Sample] | None = None) -> dict[str, float]:
        """SNR in dB of every output against the float network; see :func:`espdl.quantize.snr.output_snr`."""
        return output_snr(self.data, self.graph, self.lowered, samples, references)

    def streaming(
        self,
        input_shape: Sequence[int] | Mapping[str, Sequence[int]],
        table: Any = None,
        custom_passes: Any = None,
    ) -> StreamingModel:
        """The same network as a file for chunks of a stream, with the same weights and exponents (quantizer spec 13).

        Args:
            input_shape: shape of a chunk in the order of the ONNX network, or shapes by input name; only time differs from the network's.
            table: windows by hand, of :func:`espdl.api.insert_streaming_cache_on_var`.
            custom_passes: callables that change the graph before.

        Raises:
            EspdlError: naming the node that cannot be streamed, why, and what can be done.
        """
        options = StreamingOptions(input_shape, table, custom_passes)
        return streaming_model(self.graph, options, self.export, _output_orders(self.graph, self.lowered))

    def report(self) -> str:
        """How close the run of the file is to the float network on the first calibration samples, layer by layer and because of every
        layer, and what a user should know; as text."""
        lines = []
        if self.samples:
            lines = [f"Run of the file against the float network, {counted(len(self.samples), 'calibration sample')}:"]
            lines += [f"  {name}: {decibels:.1f} dB" for name, decibels in self.snr(self.samples).items()]
        lines += [f"  {measure}" for measure in self.measures]
        lines += [f"    {line}" for line in (self.mixed.lines() if self.mixed is not None else ())]
        lines += [f"  note: {warning}" for warning in self.warnings]
        compared = Compared(self.data, self.graph.original, self.samples, target=self.graph.chip, stored=self.lowered.stored)
        if self.samples and compared.layers:
            lines += ["", "Noise in every layer's result, from all layers so far:", bar_table(graphwise(compared, steps=None))]
            lines += ["", "Noise in the outputs when one layer alone is quantized:", bar_table(layerwise(compared, steps=None))]
        return "\n".join(lines)


def quantize(
    network: Network,
    calibration: Iterable[Any] | str | os.PathLike[str] | None,
    *,
    target: str | TargetPlatform = DEFAULT_TARGET,
    bits: int | str = 8,
    setting: QuantizationSetting | None = None,
    calib_steps: int | None = None,
    input_shapes: Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    test_values: bool = False,
    test_inputs: Any = None,
    test_output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    model_version: int = 0,
    table_step: int = DEFAULT_STEP,
    device: str = "cpu",
    streaming: StreamingOptions | None = None,
) -> QuantizedModel:
    """Quantizes a float network for a chip.

    Args:
        network: path of an ``.onnx`` file, ModelProto or onnx_ir model.
        calibration: yields batches of real inputs; see :func:`espdl.quantize.dataloader.samples_of`. Or the path of a folder of
            pictures or of an array file; see :func:`espdl.quantize.calibration_data.open_calibration_data`. May be None where all is
            float.
        target: chip name, or a platform of :func:`espdl.quantize.platform.get_target_platform`.
        bits: of weights and activations, 8 or 16, or a name of a quantization type (``w8a16``, ``none``), when ``target`` is a name.
        setting: algorithms and exceptions; the defaults for ``bits`` when None.
        calib_steps: number of batches to use; every batch once when None.
        input_shapes: for networks whose file leaves sizes open.
        collate_fn: turns what ``calibration`` yields into arrays.
        test_values: embeds an input and the outputs of the integer run.
        test_inputs: that input, in any form a batch may have; the first calibration sample when None.
        test_output_names: tensors of the network to embed instead of its outputs.
        metadata: entries for the file; ``target`` is added.
        model_version: a number of the user's.
        table_step: distance of the inputs of 16-bit tables, a power of two, for operators that ``setting.lut_optimization_setting``
            does not name.
        device: where training runs that the setting asks for; the rest runs on the CPU.
        streaming: makes a file for chunks, too.

    Raises:
        EspdlError: naming the setting, node, tensor or sample concerned; before any work wherever it can be told then.
    """
    platform = target if isinstance(target, TargetPlatform) else get_target_platform(target, bits)
    setting = setting or QuantizationSettingFactory.espdl_setting(platform.activation_bits or 8)
    check_setting(setting)
    check_places(setting, platform)
    require_mixable(platform, setting)
    tables = setting.lut_optimization_setting
    fused = tables.target_ops if platform.activation_bits == 16 and setting.lut_optimization else ()
    export = ExportOptions(metadata, model_version, LoweringOptions(frozenset(fused), tables.step, table_step))
    require_training(setting, device)
    loaded = load_network(network, input_shapes)
    free_left_over(loaded)
    model = prepare(loaded, platform.chip, setting)
    require_supported(judge(loaded, model), platform.chip)
    places = (platform, *setting.dispatching_table.platforms.values())
    is_needed = calibration is not None or not all(place.is_float for place in places)
    if isinstance(calibration, (str, os.PathLike)):
        calibration = open_calibration_data(calibration, input_shapes_of(loaded), calib_steps or sys.maxsize)
    samples = iter(samples_of(() if calibration is None else calibration, loaded, calib_steps, collate_fn) if is_needed else ())
    if streaming is not None:
        require_streamable(model, platform.chip, streaming)
    setting = with_prepared_names(setting, loaded, model)
    remember_names(loaded, model)
    given = [] if test_inputs is None else [next(samples_of([test_inputs], loaded))]
    if test_values and not given and not is_needed:
        raise EspdlError("test values need an input", hint="give test_inputs, or calibration data")
    kept: list[Sample] = []
    equalized, samples, scales = equalize_network(model, platform, setting, samples, calib_steps)
    mixed = None

    def graph_of(changed: QuantizationSetting, data: Iterable[Sample]) -> QuantGraph:
        return quantize_graph(equalized, platform, changed, data, calib_steps, device, export.lowering)

    if setting.mixed_precision:
        with KeptSamples(_keep(samples, kept)) as again:
            graph, mixed = choose_precision(equalized, platform, setting, kept, export, lambda changed: graph_of(changed, again))
        graph.measures.append(mixed.sentence())
    else:
        graph = graph_of(setting, _keep(samples, kept))
    if equalized is not model:
        graph.reference, graph.scales = model, joined(scales, graph.scales)
        graph.measures.insert(0, f"weights equalised around {counted(len(scales), 'tensor')}")
    kept += islice(samples, 0 if kept else KEPT_SAMPLES)
    record, lowered = build_record(graph, export)
    data = file_bytes(record)
    if test_values:
        record = with_test_values(record, data, lowered, platform.chip, (given or kept)[0], test_output_names)
        data = file_bytes(record)
    stream = None
    if streaming is not None:
        sample = (given or kept)[0] if test_values else None
        stream = streaming_model(graph, streaming, export, _output_orders(graph, lowered), sample, test_output_names)
    give_back_memory()
    return QuantizedModel(graph, record, data, lowered, kept, export, stream, mixed)


def _output_orders(graph: QuantGraph, lowered: Lowered) -> dict[str, Order]:
    return {name: lowered.stored[name].order for value in graph.model.graph.outputs if (name := value.name or "")}


def _keep(samples: Iterable[Sample], kept: list[Sample]) -> Iterable[Sample]:
    """Passes samples on, and adds the first few to ``kept``."""
    for sample in samples:
        if len(kept) < KEPT_SAMPLES:
            kept.append(sample)
        yield sample
