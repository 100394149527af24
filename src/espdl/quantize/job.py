"""Quantizing from files to files: a network, calibration data and a recipe on disk in, a model on disk out, with its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espdl.quantize.api import quantize
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.export import output_places
from espdl.quantize.importer import load_network
from espdl.quantize.mixed import MixedPrecision
from espdl.quantize.passes.tools import input_shapes_of
from espdl.quantize.pictures import PictureOptions
from espdl.quantize.platform import TargetPlatform, get_target_platform
from espdl.quantize.recipe import load_recipe
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.streaming import StreamingModel, StreamingOptions


@dataclass(frozen=True)
class Job:
    """What to quantize, and how.

    Attributes:
        network: the ``.onnx`` file.
        output: the ``.espdl`` file to write; ``.info`` and ``.json`` are written beside it.
        target: chip.
        calibration: see :func:`espdl.quantize.calibration_data.open_calibration_data`; may be None for a float file.
        steps: the largest number of samples to use.
        quant_type: ``w8a8``, ``w8a16``, ``w16a16``, or ``none`` for a float file.
        recipe: TOML file of settings; the defaults when None.
        test_values: embeds the first sample and the outputs of the integer run.
        pictures: how pixels become numbers.
        input_shapes: of inputs with dynamic axes, by name or in input order.
        streaming: writes a second file, for chunks, too: ``NAME_streaming.espdl`` beside ``output``.
        mixed_precision: puts the layers in 16 bits that gain most for their time, as the setting of that name does.
        more_latency: its budget; that of the recipe when None.
    """

    network: Path
    output: Path
    target: str
    calibration: str | None
    steps: int = 32
    quant_type: str = "w8a8"
    recipe: Path | None = None
    test_values: bool = False
    pictures: PictureOptions | None = None
    input_shapes: Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None = None
    streaming: StreamingOptions | None = None
    mixed_precision: bool = False
    more_latency: float | None = None

    @property
    def streaming_output(self) -> Path:
        """Where the file for chunks goes."""
        return self.output.with_name(f"{self.output.stem}_streaming{self.output.suffix}")


@dataclass(frozen=True)
class StreamingFacts:
    """What came of the file for chunks.

    Attributes:
        chunk: frames of a run by input name.
        latency: in frames of the first input.
        caches: StreamingCache operators.
        delay: of the frames of each output, None for outputs without frames.
    """

    files: tuple[str, ...]
    file_bytes: int
    chunk: dict[str, int]
    latency: int
    caches: int
    delay: dict[str, int | None]


@dataclass(frozen=True)
class JobResult:
    """What came of it.

    Attributes:
        bits: of activations; 0 in a float file.
        files: written, the model first.
        snr_db: of each output of the integer run against the float network, over ``compared`` calibration samples, by ONNX name.
        test_passed: outcome of the embedded test on the file that was written; None without test values.
        test: the same in words.
        measures: what was done to weights and biases so that less is lost.
        mixed_precision: which layers went to 16 bits, and why; None where it was not asked for.
    """

    target: str
    bits: int
    quant_type: str
    files: tuple[str, ...]
    file_bytes: int
    network_bytes: int
    operators: int
    samples: int
    calibration: str
    snr_db: dict[str, float]
    compared: int
    test_passed: bool | None
    test: str
    warnings: tuple[str, ...]
    measures: tuple[str, ...]
    streaming: StreamingFacts | None = None
    mixed_precision: MixedPrecision | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_job(job: Job, say: Callable[[str], None] = lambda text: None) -> JobResult:
    """Quantizes, writes the files, and tries the file that was written.

    Args:
        job: what to do.
        say: is told what is being done.

    Raises:
        EspdlError: naming the file, setting, node or sample concerned. Nothing is written then.
    """
    data_place = None if job.calibration is None else Path(job.calibration)
    kept = [path for path in (job.network, data_place, job.recipe) if path is not None]
    output_places(job.output, keep=kept)
    if job.streaming is not None:
        output_places(job.streaming_output, keep=kept)
    platform = get_target_platform(job.target, job.quant_type)
    setting = _setting(job, platform)
    say(f"reading {job.network.name}")
    network = load_network(job.network, job.input_shapes)
    data = None
    if job.calibration is not None:
        data = open_calibration_data(job.calibration, input_shapes_of(network), job.steps, job.pictures)
    say(f"quantizing {job.network.name}")
    steps = None if data is None else len(data)
    quantized = quantize(
        network,
        data,
        target=platform,
        setting=setting,
        calib_steps=steps,
        test_values=job.test_values,
        streaming=job.streaming,
    )
    files = quantized.save(job.output)
    streaming = None if quantized.stream is None else _streaming_facts(quantized.stream, job.streaming_output)
    say("comparing with the float network")
    snr = quantized.snr(quantized.samples) if quantized.samples else {}
    verdict = quantized.model().test() if job.test_values else None
    return JobResult(
        target=quantized.graph.chip.name,
        bits=platform.activation_bits,
        quant_type=platform.quant_type,
        files=tuple(map(str, files)),
        file_bytes=len(quantized.data),
        network_bytes=job.network.stat().st_size,
        operators=len(quantized.record.graph.node),
        samples=steps or 0,
        calibration="none" if data is None else data.source,
        snr_db=snr,
        compared=len(quantized.samples),
        test_passed=None if verdict is None else bool(verdict),
        test="" if verdict is None else str(verdict),
        warnings=tuple(quantized.warnings),
        measures=tuple(quantized.measures),
        streaming=streaming,
        mixed_precision=quantized.mixed,
    )


def _setting(job: Job, platform: TargetPlatform) -> QuantizationSetting | None:
    if job.recipe is None and not job.mixed_precision:
        return None
    bits = platform.activation_bits or 8
    setting = load_recipe(job.recipe, platform) if job.recipe else QuantizationSettingFactory.espdl_setting(bits)
    setting.mixed_precision |= job.mixed_precision
    if job.more_latency is not None:
        setting.mixed_precision_setting.more_latency = job.more_latency
    return setting


def _streaming_facts(stream: StreamingModel, place: Path) -> StreamingFacts:
    """Writes the file for chunks."""
    session = stream.session()
    caches = sum(node.op_type == "StreamingCache" for node in stream.record.graph.node)
    files = tuple(map(str, stream.save(place)))
    return StreamingFacts(files, len(stream.data), session.chunk, session.latency, caches, session.delay)
