"""PyTorch modules as ONNX networks. This is the one place where PyTorch is imported, and only when a function of it is called."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx

from espdl.errors import EspdlError
from espdl.quantize.dataloader import as_array

DEFAULT_OPSET = 18


def require_torch() -> Any:
    """The ``torch`` package. Raises :class:`EspdlError` where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise EspdlError("PyTorch is not installed", why=str(error), hint="pip install 'espdl[torch]'") from None
    return torch


def export_network(
    model: Any,
    input_shapes: Sequence[Sequence[int]] | None,
    inputs: Sequence[Any] | None = None,
    *,
    device: str = "cpu",
    opset_version: int = DEFAULT_OPSET,
    dynamo: bool | None = None,
) -> onnx.ModelProto:
    """Exports a module with ``torch.onnx.export``; its inputs are named after the arguments of ``forward``.

    Args:
        model: ``torch.nn.Module``, ``torch.jit.ScriptModule`` or ``torch.export.ExportedProgram``. A module is moved to ``device`` and
            exported in evaluation mode; which of its parts train is afterwards as before.
        input_shapes: one shape per input; they are fed with float32 zeros.
        inputs: one array or tensor per input to feed instead, for inputs that are not float32.
        device: where it runs during the export.
        opset_version: of the ONNX network.
        dynamo: False takes the exporter that traces TorchScript, which names nodes after modules (``/features/0/Conv``), True the one
            built on ``torch.export``. None tries the first, then the second.

    Raises:
        EspdlError: without PyTorch, for something that is not a module, or when the exporters refuse it, with their reasons.
    """
    torch = require_torch()
    program = getattr(torch.export, "ExportedProgram", ())
    if isinstance(model, program):
        if dynamo is False:
            raise EspdlError("an ExportedProgram goes through torch.export's exporter only", hint="leave dynamo out")
        return _export(torch, model, (), [], opset_version, dynamo=True)
    if not isinstance(model, torch.nn.Module):
        raise EspdlError(f"a {type(model).__name__} is not a PyTorch module", hint="give a torch.nn.Module")
    try:
        model.to(device)
        examples = _examples(torch, input_shapes, inputs, device)
    except (RuntimeError, AssertionError) as error:  # a device that is not there
        raise EspdlError(f"the module cannot run on device {device!r}", why=_first_line(error), hint="device='cpu'") from None
    names = _input_names(model, len(examples))
    reasons = []
    with _evaluating(model):
        for newer in (False, True) if dynamo is None else (dynamo,):
            try:
                return _export(torch, model, examples, names, opset_version, newer)
            except Exception as error:  # each exporter has many error types of its own
                reasons.append(f"{'torch.export' if newer else 'TorchScript'}: {_first_line(error)}")
    raise EspdlError(
        "the module cannot be exported to ONNX",
        where=type(model).__name__,
        why="; ".join(reasons),
        hint="check input_shape, or export it with torch.onnx.export and quantize the .onnx file",
    )


def _export(torch: Any, model: Any, examples: tuple[Any, ...], names: list[str], opset: int, dynamo: bool) -> onnx.ModelProto:
    options: dict[str, Any] = {"input_names": names} if names else {}
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # about the exporters themselves; those about the module stay
            warnings.simplefilter("ignore", category)
        if dynamo:
            exported = torch.onnx.export(model, examples, opset_version=opset, dynamo=True, verbose=False, **options)
            return exported.model_proto
        stream = io.BytesIO()
        torch.onnx.export(model, examples, stream, opset_version=opset, dynamo=False, do_constant_folding=True, **options)
    return onnx.ModelProto.FromString(stream.getvalue())


def _examples(torch: Any, shapes: Sequence[Sequence[int]] | None, inputs: Sequence[Any] | None, device: str) -> tuple[Any, ...]:
    if inputs is not None:
        arrays = [as_array(value) for value in inputs]
        arrays = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in arrays]
        return tuple(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
    if shapes is None:
        raise EspdlError("the shape of the module's input is not given", hint="input_shape=[1, 3, 224, 224], or inputs=[...]")
    return tuple(torch.zeros(tuple(shape), dtype=torch.float32, device=device) for shape in shapes)


def _input_names(model: Any, count: int) -> list[str]:
    """The arguments of ``forward``; names that parameters have too get a trailing underscore. Empty where they cannot be told."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in plain][:count]
    taken = set(model.state_dict())
    free = []
    for name in names:
        while name in taken:
            name += "_"
        taken.add(name)
        free.append(name)
    return free


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode for all of a module, and the mode of each of its parts back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
