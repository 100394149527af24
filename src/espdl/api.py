"""The user guide's function names, with their parameters: scripts written for ``esp_ppq.api`` run with the import changed."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espdl.chips import DEFAULT_TARGET
from espdl.errors import EspdlError
from espdl.fbs.crypt import KEY_BYTES
from espdl.quantize.platform import TargetPlatform, get_target_platform

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from espdl.quantize.api import QuantizedModel
    from espdl.quantize.setting import QuantizationSetting
    from espdl.quantize.streaming import StreamingGraphPass, StreamingOptions

__all__ = [
    "ENABLE_CUDA_KERNEL",
    "StreamingGraphPass",
    "espdl_quantize_onnx",
    "espdl_quantize_torch",
    "get_target_platform",
    "insert_streaming_cache_on_var",
]


def espdl_quantize_onnx(
    onnx_import_file: str | os.PathLike[str] | onnx.ModelProto | ir.Model,
    espdl_export_file: str | os.PathLike[str],
    calib_dataloader: Iterable[Any] | str | os.PathLike[str],
    calib_steps: int,
    input_shape: Sequence[Any] | None,
    inputs: Sequence[Any] | None = None,
    target: str = DEFAULT_TARGET,
    num_of_bits: int = 8,
    collate_fn: Callable[[Any], Any] | None = None,
    dispatching_override: Mapping[str, TargetPlatform] | None = None,
    dispatching_method: str = "allin",
    setting: QuantizationSetting | None = None,
    device: str = "cpu",
    error_report: bool = True,
    skip_export: bool = False,
    export_config: bool = True,
    export_test_values: bool = False,
    test_output_names: Sequence[str] | None = None,
    auto_streaming: bool = False,
    streaming_table: Any = None,
    streaming_input_shape: Any = None,
    streaming_custom_passes: Any = None,
    verbose: int = 0,
    quant_type: str | None = None,
    debug: bool = False,
    **kwargs: Any,
) -> QuantizedModel:
    """Quantizes an ONNX network for a chip and writes the ``.espdl`` file (quantizer spec 1.1). The ONNX file is not changed.

    Args:
        onnx_import_file: path of the network, or the network in memory.
        espdl_export_file: the file to write; its directory is created, ``.info`` and ``.json`` are written beside it.
        calib_dataloader: yields batches: arrays, tensors, lists of them in the order of the inputs, or mappings by input name; or the
            path of an ``.npy`` or ``.npz`` file, or of a folder of pictures (:class:`espdl.PictureFolder` crops and normalises them).
        calib_steps: number of batches to use.
        input_shape: shape of the input, or a list of shapes; None takes those in the file.
        inputs: one array per input, for the test values; the first calibration sample when None.
        target: chip.
        num_of_bits: 8 or 16.
        collate_fn: turns what the loader yields into arrays.
        dispatching_override: platform by node name; as ``setting.dispatching_table``.
        dispatching_method: ``allin``.
        setting: of ``QuantizationSettingFactory.espdl_setting()``; it is not changed.
        device: where training runs that the setting asks for: ``cpu``, ``cuda``; everything else runs on the CPU.
        error_report: prints how close the integer run is to the float network on calibration data, with the guide's tables of
            errors by layer.
        skip_export: writes nothing.
        export_config: writes ``.info`` and ``.json``.
        export_test_values: embeds test values in the file.
        test_output_names: tensors to embed instead of the outputs.
        auto_streaming: writes the network for chunks of a stream, quantized as the whole one (quantizer spec 13); the model that is
            returned is the whole one, and its ``stream`` the one for chunks. The other three mean it, too.
        streaming_table: windows by hand: an entry of :func:`insert_streaming_cache_on_var`, or a list of them.
        streaming_input_shape: shape of a chunk in the order of the ONNX network, or shapes by input name; only time differs.
        streaming_custom_passes: one or several callables, :class:`StreamingGraphPass` objects say, that change the graph before.
        verbose: no effect.
        quant_type: ``w8a8``, ``w8a16`` (16-bit activations, 8-bit weights in Conv, Gemm and MatMul), ``w16a16``, or ``none`` (float);
            wins over ``num_of_bits``.
        debug: with ``w16a16`` only. 16-bit files are computed with the chip's integers here in any case, so that only the platform's
            name in the ``.json`` file differs; ``hi_precision`` is its older name.
        **kwargs: ``metadata_props`` (texts by name, kept in the file), ``model_version``, ``int16_lut_step``, ``config_path`` (where
            the ``.json`` file goes), ``encrypt_data`` (the 16 bytes of an AES-128 key, or True for the one in the environment
            variable ``ESPDL_KEY``).

    Returns:
        The quantized model.

    Raises:
        EspdlError: for everything that cannot be done as asked, before any work wherever it can be told then.
    """
    key = _key(kwargs.pop("encrypt_data", False))
    config = _config(export_config, kwargs.pop("config_path", None))
    metadata, version, step = (
        kwargs.pop("metadata_props", None),
        kwargs.pop("model_version", 0),
        kwargs.pop("int16_lut_step", 256),
    )
    older = {name: kwargs.pop(name) for name in ("float", "hi_precision") if name in kwargs}
    if kwargs:
        raise EspdlError(f"espdl_quantize_onnx has no parameter {', '.join(sorted(kwargs))}")
    if test_output_names is not None and not export_test_values:
        raise EspdlError("test_output_names without test values", hint="export_test_values=True")
    platform = get_target_platform(target, num_of_bits if quant_type is None else quant_type, debug, **older)
    from espdl.quantize.api import quantize
    from espdl.quantize.export import output_places
    from espdl.quantize.setting import QuantizationSettingFactory
    from espdl.quantize.setting_types import check_types

    streaming = _streaming(auto_streaming, streaming_input_shape, streaming_table, streaming_custom_passes)
    setting = (
        QuantizationSettingFactory.espdl_setting(platform.activation_bits or 8) if setting is None else copy.deepcopy(setting)
    )
    check_types(setting)
    setting.dispatching_table.platforms.update(dispatching_override or {})
    if dispatching_method != "allin":
        setting.dispatcher = dispatching_method
    if not skip_export:
        kept = [onnx_import_file] if isinstance(onnx_import_file, (str, os.PathLike)) else []
        output_places(espdl_export_file, config, kept)
    model = quantize(
        onnx_import_file,
        calib_dataloader,
        target=platform,
        setting=setting,
        calib_steps=calib_steps,
        input_shapes=_shapes(input_shape),
        collate_fn=collate_fn,
        test_values=export_test_values,
        test_inputs=inputs,
        test_output_names=test_output_names,
        metadata=metadata,
        model_version=version,
        table_step=step,
        device=str(device),
        streaming=streaming,
    )
    if error_report:
        print(model.report())
    if not skip_export:
        (model.stream or model).save(espdl_export_file, config, key)
    return model


def espdl_quantize_torch(
    model: Any,
    espdl_export_file: str | os.PathLike[str],
    calib_dataloader: Iterable[Any] | str | os.PathLike[str],
    calib_steps: int,
    input_shape: Sequence[Any] | None,
    inputs: Sequence[Any] | None = None,
    target: str = DEFAULT_TARGET,
    num_of_bits: int = 8,
    collate_fn: Callable[[Any], Any] | None = None,
    dispatching_override: Mapping[str, TargetPlatform] | None = None,
    dispatching_method: str = "allin",
    setting: QuantizationSetting | None = None,
    device: str = "cpu",
    error_report: bool = True,
    skip_export: bool = False,
    export_config: bool = True,
    export_test_values: bool = False,
    test_output_names: Sequence[str] | None = None,
    verbose: int = 0,
    opset_version: int = 18,
    auto_streaming: bool = False,
    streaming_table: Any = None,
    streaming_input_shape: Any = None,
    streaming_custom_passes: Any = None,
    quant_type: str | None = None,
    debug: bool = False,
    *,
    dynamo: bool | None = None,
    **kwargs: Any,
) -> QuantizedModel:
    """Quantizes a PyTorch module: exports it to ONNX, then does as :func:`espdl_quantize_onnx` (quantizer spec 1.2).

    The ONNX network is written beside the ``.espdl`` file as ``.onnx``.

    Args:
        model: ``torch.nn.Module``, ``torch.jit.ScriptModule`` or ``torch.export.ExportedProgram``; see
            :func:`espdl.quantize.torch_import.export_network`.
        espdl_export_file, calib_dataloader, calib_steps: as there; inputs are named after the arguments of ``forward``.
        input_shape: shape of the input, or a list of shapes; None where ``inputs`` are given.
        inputs: one tensor or array per input: for the export (inputs that are not float32 need them) and the test values.
        device: where the module runs while it is exported, and is afterwards, and where training runs that the setting asks for;
            everything else runs on the CPU.
        opset_version: of the ONNX network.
        dynamo: which of PyTorch's two exporters; None tries the older one, whose node names are ESP-PPQ's, then the newer one.
        **kwargs: these and all others as there.

    Returns:
        The quantized model.

    Raises:
        EspdlError: without PyTorch, when the module cannot be exported, and as :func:`espdl_quantize_onnx`.
    """
    from espdl.fbs.files import require_writable, write_atomically
    from espdl.quantize.torch_import import export_network
    from espdl.quantize.train import trains

    beside = Path(espdl_export_file).with_suffix(".onnx")
    if not skip_export:
        if beside == Path(espdl_export_file):
            raise EspdlError("the model cannot be an .onnx file", where=str(beside), hint="name it .espdl")
        require_writable(beside)
    network = export_network(model, _shapes(input_shape), inputs, device=str(device), opset_version=opset_version, dynamo=dynamo)
    quantized = espdl_quantize_onnx(
        network,
        espdl_export_file,
        calib_dataloader,
        calib_steps,
        None,
        inputs=inputs,
        target=target,
        num_of_bits=num_of_bits,
        collate_fn=collate_fn,
        dispatching_override=dispatching_override,
        dispatching_method=dispatching_method,
        setting=setting,
        device=str(device) if setting is not None and trains(setting) else "cpu",
        error_report=error_report,
        skip_export=skip_export,
        export_config=export_config,
        export_test_values=export_test_values,
        test_output_names=test_output_names,
        auto_streaming=auto_streaming,
        streaming_table=streaming_table,
        streaming_input_shape=streaming_input_shape,
        streaming_custom_passes=streaming_custom_passes,
        verbose=verbose,
        quant_type=quant_type,
        debug=debug,
        **kwargs,
    )
    if not skip_export:
        write_atomically(beside, network.SerializeToString())
    return quantized


@contextmanager
def ENABLE_CUDA_KERNEL() -> Iterator[None]:
    """Changes nothing: there are no kernels to compile here. For scripts that quantize inside of it."""
    yield


def insert_streaming_cache_on_var(
    var_name: str, window_size: int, op_name: str | None = None, frame_axis: int = 1
) -> dict[str, dict[str, Any]]:
    """One entry of a ``streaming_table`` (quantizer spec 1.4).

    What reads the tensor then sees the ``window_size - 1`` frames before a chunk's own in front of them, and makes one result of all in
    every run: a Slice of the last frames, a pooling over time, a Gemm. Convolutions and poolings along time need no entry.

    Args:
        var_name: tensor to remember frames of.
        window_size: how many, plus one; 1 remembers none.
        op_name: the only operator to see them; all that read the tensor when None.
        frame_axis: its time axis in the exported model; checked unless it is 1.
    """
    return {var_name: {"window_size": window_size, "op_name": op_name, "frame_axis": frame_axis}}


def _shapes(input_shape: Sequence[Any] | None) -> list[list[int]] | None:
    if input_shape is None:
        return None
    lists = [isinstance(item, (list, tuple)) for item in input_shape]
    if any(lists) and not all(lists):
        raise EspdlError(
            f"input_shape {list(input_shape)!r} mixes sizes and shapes", hint="[1, 3, 224, 224], or a list of such lists"
        )
    return [list(item) for item in input_shape] if any(lists) else [list(input_shape)]


def _streaming(auto: bool, shape: Any, table: Any, passes: Any) -> StreamingOptions | None:
    if not auto and table is None and not passes:
        if shape is not None:
            raise EspdlError("streaming_input_shape without streaming", hint="auto_streaming=True")
        return None
    from espdl.quantize.streaming import StreamingOptions, read_table

    read_table(table)
    if shape is None:
        raise EspdlError(
            "streaming_input_shape is missing",
            why="auto_streaming needs to know the frames of a chunk",
            hint="the input's shape with fewer",
        )
    return StreamingOptions(shape, table, passes)


def __getattr__(name: str) -> Any:
    if name != "StreamingGraphPass":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from espdl.quantize.streaming import StreamingGraphPass  # quantizing is loaded by those who quantize

    return StreamingGraphPass


def _key(encrypt_data: object) -> bytes | None:
    """What to encrypt with; checked before any work."""
    if encrypt_data is None or encrypt_data is False:
        return None
    from espdl.fbs.keys import require_key

    if encrypt_data is True:
        try:
            return require_key()
        except EspdlError as error:
            raise error.at("encrypt_data") from None
    if not isinstance(encrypt_data, (bytes, bytearray)) or len(encrypt_data) != KEY_BYTES:
        raise EspdlError("encrypt_data is no key", hint=f"{KEY_BYTES} bytes, or True for the key in ESPDL_KEY")
    return bytes(encrypt_data)


def _config(export_config: bool, config_path: object) -> bool | str | os.PathLike[str]:
    """Whether ``.info`` and ``.json`` are written, or where the latter goes."""
    if config_path is None:
        return bool(export_config)
    if not isinstance(config_path, (str, os.PathLike)):
        raise EspdlError(f"config_path is a {type(config_path).__name__}, not a path")
    if not export_config:
        raise EspdlError("config_path without the file", hint="export_config=True")
    return config_path
