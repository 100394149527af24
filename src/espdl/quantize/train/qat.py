"""A quantized network as a PyTorch module: for training on labels, with a loop of one's own (quantizer spec 16, guide 3.7)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import onnx_ir as ir
import torch

from espdl.chips import DEFAULT_TARGET
from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.assign import module_of
from espdl.quantize.export import build_record, file_bytes, output_places
from espdl.quantize.imported_names import imported_names
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.test_values import with_test_values
from espdl.quantize.torch_import import export_network
from espdl.quantize.train.executor import QuantExecutor
from espdl.quantize.train.inputs import samples_in


class Layer(torch.nn.Module):
    """Holds the parameters whose names begin alike, so that they have dots in their names. It computes nothing."""

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        _stay()


def _stay() -> NoReturn:
    raise EspdlError("a prepared network stays where it is, in float32", hint="prepare(..., device='cuda')")


def _enter(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> None:
    """Registers a parameter by a name with dots. A part that is taken by something else gets ``_`` behind it."""
    *path, last = [part or "_" for part in name.split(".")]
    for part in path:
        while not isinstance(getattr(module, part, None), Layer):
            if not hasattr(module, part):
                module.add_module(part, Layer())
                break
            part += "_"
        module = getattr(module, part)
    while hasattr(module, last):
        last += "_"
    module.register_parameter(last, parameter)


class QuantModule(torch.nn.Module):
    """The network of a quantized model, rounded in ``forward`` as the chip rounds it.

    Its parameters are the weights, biases and other constants that become integers. ``named_parameters()`` calls them as the network that
    was given does, where they are in it: ``head.weight`` of a PyTorch module is ``head.weight`` here. What passes or exporters made is
    called after its layer: ``conv1.weight`` with a batch normalisation in it, ``conv1.bias``. Exponents stay as calibration chose them.
    Batch normalisation is part of the weights, there is no dropout: ``train()`` and ``eval()`` change nothing.

    Args:
        model: what quantizing returned; :meth:`export` changes its graph.
        device: where the parameters are, and inputs are put.
    """

    def __init__(self, model: QuantizedModel, device: str | torch.device = "cpu") -> None:
        super().__init__()
        self._quantized = model
        self._executor = QuantExecutor(model.graph, device, lowering=model.export.lowering)
        self._batches: bool | None = None
        names = imported_names(model.graph.model)
        for name, (node, index) in _learning(self._executor).items():
            parameter = torch.nn.Parameter(self._executor.parameters[name])
            self._executor.parameters[name] = parameter
            _enter(self, names.constant(name, node, index), parameter)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        _stay()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._executor.device

    def forward(self, *inputs: Any) -> Any:
        """The outputs as the chip gives them, with gradients.

        Args:
            inputs: float tensors [N, ...] in the network's order, any N: where the network computes one sample only, they are run one
                after the other. One mapping of names to tensors does, too.

        Returns:
            A tensor, or a tuple of them where the network has several outputs.

        Raises:
            EspdlError: for inputs that do not fit.
        """
        return self._run(inputs, True)

    def float_forward(self, *inputs: Any) -> Any:
        """As :meth:`forward`, of the float network before training: a teacher that needs no labels. Without gradients."""
        with torch.no_grad():
            return self._run(inputs, False)

    def _run(self, inputs: tuple[Any, ...], quantized: bool) -> Any:
        executor = self._executor
        given = executor.tensors(inputs[0] if len(inputs) == 1 else list(inputs))
        counts = {samples_in(tensor, executor.input_shapes[name]) for name, tensor in given.items()}
        count = counts.pop()
        if counts:
            raise EspdlError(f"inputs of {count} and {counts.pop()} samples were given")
        if count == 0:
            raise EspdlError("the batch holds no samples")
        if count > 1 and not self._runs_batches(given):
            singles = [executor(self._samples(given, i, i + 1), quantized=quantized) for i in range(count)]
            found = [torch.cat(parts) for parts in zip(*singles, strict=True)]
        else:
            found = executor(given, quantized=quantized)
        return found[0] if len(found) == 1 else tuple(found)

    def _samples(self, given: Mapping[str, torch.Tensor], start: int, stop: int) -> dict[str, torch.Tensor]:
        """Some of the samples; one may be several entries of the first axis, as of a recurrent network."""
        units = {name: (self._executor.input_shapes[name] or (1,))[0] for name in given}
        return {name: tensor[start * units[name] : stop * units[name]] for name, tensor in given.items()}

    @torch.no_grad()
    def _runs_batches(self, given: Mapping[str, torch.Tensor]) -> bool:
        """Whether two samples at once give what each gives; found out once, as networks may rearrange the batch away."""
        if self._batches is None:
            one, other, both = (self._samples(given, a, b) for a, b in ((0, 1), (1, 2), (0, 2)))
            try:
                pairs = zip(self._executor(both), self._executor(one), self._executor(other), strict=True)
                self._batches = all(
                    got.shape == (wanted := torch.cat(parts)).shape
                    and float((got - wanted).float().abs().mean()) <= _near(wanted)
                    for got, *parts in pairs
                )
            except EspdlError:
                self._batches = False
        return self._batches

    def quantized_model(self) -> QuantizedModel:
        """The model with the parameters as they are now: for its report, its integer run, and to save it."""
        self._executor.write_back()
        model = self._quantized
        record, lowered = build_record(model.graph, model.export)
        return QuantizedModel(model.graph, record, file_bytes(record), lowered, model.samples, model.export)

    def export(self, path: str | os.PathLike[str], *, config: bool = True, test_values: bool = False) -> list[Path]:
        """Writes the ``.espdl`` file, and ``.info`` and ``.json`` beside it. Returns their paths.

        Args:
            path: of the ``.espdl`` file.
            config: whether to write the ``.json`` file.
            test_values: embeds the first calibration sample and the integer run's answer.
        """
        output_places(path, config, [])
        model = self.quantized_model()
        if test_values:
            if not model.samples:
                raise EspdlError("test values need an input", hint="calibration data")
            model.record = with_test_values(model.record, model.data, model.lowered, model.graph.chip, model.samples[0], None)
            model.data = file_bytes(model.record)
        return model.save(path, config)


def prepare(
    network: Any,
    calibration: Iterable[Any] | str | os.PathLike[str] | None = None,
    input_shape: Sequence[Any] | None = None,
    *,
    target: str = DEFAULT_TARGET,
    bits: int | str = 8,
    setting: QuantizationSetting | None = None,
    calib_steps: int | None = None,
    device: str = "cpu",
) -> QuantModule:
    """Quantizes a network for training it further.

    Args:
        network: a ``torch.nn.Module``, an ONNX network or its path, or what quantizing returned; that one is taken as it is.
        calibration: data as for :func:`espdl.quantize.api.quantize`; not for a quantized model.
        input_shape: of a PyTorch module's input, or a list of shapes.
        target, bits, setting, calib_steps: as for quantizing.
        device: where it is trained.

    Raises:
        EspdlError: for a device that is not there, and everything that quantizing refuses.
    """
    if isinstance(network, QuantizedModel):
        return QuantModule(network, device)
    if isinstance(network, torch.nn.Module):
        if input_shape is None:
            raise EspdlError("a PyTorch module needs the shape of its input", hint="input_shape=[1, 3, 224, 224]")
        shapes = [input_shape] if input_shape and isinstance(input_shape[0], int) else list(input_shape)
        network = export_network(network, shapes, None)
    model = quantize(network, calibration, target=target, bits=bits, setting=setting, calib_steps=calib_steps)
    return QuantModule(model, device)


def _learning(executor: QuantExecutor) -> dict[str, tuple[ir.Node, int]]:
    """Constants that are numbers of a layer, with the node and input that read them first: bounds of a Clip and what Pad fills in, which
    have the integers of its input, are not."""
    found: dict[str, tuple[ir.Node, int]] = {}
    bound: set[str] = set()
    for step in executor.steps:
        like_first = module_of(step.node).quantization.inputs_like_first
        for index, read in enumerate(step.reads):
            if read is not None and read.is_constant and read.place is not None:
                found.setdefault(read.name, (step.node, index))
                bound |= {read.name} if index in like_first else set()
    return {name: where for name, where in found.items() if name not in bound and executor.parameters[name].is_floating_point()}


def _near(tensor: torch.Tensor) -> float:
    return 1e-2 * float(tensor.float().abs().max()) + 1e-12 if tensor.numel() else 0.0
