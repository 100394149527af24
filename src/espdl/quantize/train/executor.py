"""Runs the float network of a quantized graph in PyTorch, with its tensors rounded as on the chip, and with gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from espdl.errors import EspdlError
from espdl.quantize.assign import module_of
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.parameters import parameter
from espdl.quantize.passes.tools import constant, input_shapes_of
from espdl.quantize.tables import LoweringOptions
from espdl.quantize.train.chip_forms import ChipForm, chip_form
from espdl.quantize.train.fake_quant import Grid
from espdl.quantize.train.inputs import as_input
from espdl.quantize.train.operators import Function, bind
from espdl.quantize.train.operators.recurrent import Inside
from espdl.quantize.train.places import BiasPlace, Place, Scales
from espdl.wording import at_node, nearest

KEEPS_INTEGERS = ("Relu", "Clip", "Identity")
"""Beside the operators that only move values: of integers of a scale they make others of the same scale."""


@dataclass(eq=False)
class Read:
    """One input of a step: a tensor by name, and the place where it is rounded before it is read, if at all."""

    name: str
    is_constant: bool
    place: Place | BiasPlace | None = None


@dataclass(eq=False)
class Step:
    """A node: its function, what it reads, where its results are rounded, how a recurrent one rounds inside, and what the
    chip computes in place of the float function."""

    node: ir.Node
    function: Function
    reads: tuple[Read | None, ...]
    writes: tuple[tuple[str, Place | None], ...]
    inside: Inside | None = None
    form: ChipForm | None = None

    @property
    def name(self) -> str:
        return self.node.name or ""


class QuantExecutor:
    """The float network of ``graph`` in PyTorch, rounded as the exported file is or not at all.

    Weights are rounded when they or their scale change, not in every run. Gradients reach ``parameters`` and the ``log2`` of ``scales``
    where ``requires_grad`` is set on them.

    Args:
        graph: whose every representation has exponents; it is changed by :meth:`write_back` only.
        device: where everything is.
        dtype: float32, or float64 for sums of 16-bit numbers that float32 does not hold.
        lowering: with which the file is made, for tables of 16-bit operators.

    Attributes:
        parameters: real values of the quantized constants by name, as they are to be quantized; leaf tensors.
        scales: see :class:`espdl.quantize.train.places.Scales`.
        substitutes: what gives a constant by name in place of rounding its parameter, for training that rounds by itself.
        input_shapes: of one sample, by name.

    Raises:
        EspdlError: for a device that is not there, and a node that has no form in PyTorch.
    """

    def __init__(
        self,
        graph: QuantGraph,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        lowering: LoweringOptions | None = None,
    ) -> None:
        self.graph = graph
        self._lowering = lowering or LoweringOptions()
        self.device = find_device(device)
        self.dtype = dtype
        self.scales = Scales(graph, self.device, dtype)
        self.parameters: dict[str, torch.Tensor] = {}
        self.constants: dict[str, torch.Tensor] = {}
        self.substitutes: dict[str, Callable[[], torch.Tensor]] = {}
        self._rounded: dict[tuple[str, int], tuple[tuple[int, ...], torch.Tensor]] = {}
        self.inputs = [value.name or "" for value in graph.model.graph.inputs]
        self.input_shapes = input_shapes_of(graph.model)
        self._real = {value.name for value in graph.model.graph.inputs if value.dtype is None or value.dtype.is_floating_point()}
        self.outputs = [value.name or "" for value in graph.model.graph.outputs]
        self._input_places = {
            value.name or "": self.scales.place(info)
            for value in graph.model.graph.inputs
            if (info := graph.output_info(value)) is not None
        }
        self.steps = [self._step(node) for node in graph.nodes()]
        self.values = {name for step in self.steps for name, _ in step.writes} | set(self.inputs)

    # Building

    def _step(self, node: ir.Node) -> Step:
        reads = tuple(self._read(node, index, value) for index, value in enumerate(node.inputs))
        writes = tuple(self._write(node, value) for value in node.outputs)
        form = chip_form(self.graph, node, self.scales, self._lowering)
        return Step(node, bind(node), reads, writes, self._inside(node, writes), form)

    def _inside(self, node: ir.Node, writes: Sequence[tuple[str, Place | None]]) -> Inside | None:
        gates = self.graph.gates.get(node.name or "")
        hidden = next((place for _, place in writes[:2] if place is not None), None)
        if gates is None or hidden is None:
            return None
        return Inside(self.scales.place(gates), hidden, gates.exponent)

    def _read(self, node: ir.Node, index: int, value: ir.Value | None) -> Read | None:
        if value is None:
            return None
        name, info, array = value.name or "", self.graph.input_info(node, index), constant(value)
        if array is None:
            written = self.graph.output_info(value)
            place = None if info is None else self.scales.place(info)
            if place is not None and written is not None and place.same_integers(self.scales.place(written)):
                place = None
            return Read(name, False, place)
        if name not in self.constants:
            self.constants[name] = self._tensor(array)
            if info is not None:
                changed = parameter(self.graph, value)
                assert changed is not None
                self.parameters[name] = self._tensor(changed).clone()
        return Read(name, True, None if info is None else self._constant_place(node, info))

    def _constant_place(self, node: ir.Node, info: QuantInfo) -> Place | BiasPlace:
        if info.role is not Role.BIAS:
            return self.scales.place(info)
        source, weight = self.graph.input_info(node, 0), self.graph.input_info(node, 1)
        assert source is not None and weight is not None
        return BiasPlace(self.scales.of(source), self.scales.of(weight), Grid(info.bits, self.scales.rounding))

    def _write(self, node: ir.Node, value: ir.Value) -> tuple[str, Place | None]:
        info = self.graph.output_info(value)
        if info is None:
            return value.name or "", None
        place = self.scales.place(info)
        keeps = node.op_type in KEEPS_INTEGERS or (module_of(node).quantization.passive and node.op_type != "Neg")
        source = self.graph.input_info(node, 0)
        if keeps and source is not None and place.same_integers(self.scales.place(source)):
            return value.name or "", None
        return value.name or "", place

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.array(array)).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    # Running

    def tensors(self, inputs: Any) -> dict[str, torch.Tensor]:
        """Inputs of any form by name: a tensor or array, a list of them in the network's order, or a mapping."""
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            listed = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(listed) != len(self.inputs):
                raise EspdlError(f"{len(listed)} inputs were given, the network has {len(self.inputs)}")
            given = dict(zip(self.inputs, listed, strict=True))
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise EspdlError(f"input {missing[0]!r} is missing", hint="one of " + ", ".join(self.inputs))
        return {name: self._given(name, given[name]) for name in self.inputs}

    def _given(self, name: str, value: Any) -> torch.Tensor:
        real = self.dtype if name in self._real else None
        return as_input(name, value, self.input_shapes[name], self.device, real)

    def __call__(self, inputs: Any, names: Sequence[str] | None = None, *, quantized: bool = True) -> list[torch.Tensor]:
        """The network's outputs, or the tensors named, with the values that they have in the network before its channels were scaled.

        Args:
            inputs: see :meth:`tensors`; several samples along the first axis where the network's operators take them.
            names: of tensors, intermediate ones included; the outputs when None.
            quantized: rounds as the chip does; False is the float network as it was.
        """
        wanted = self.outputs if names is None else list(names)
        for name in wanted:
            if name not in self.values:
                raise EspdlError(f"the network has no tensor {name!r}", hint=nearest(name, sorted(self.values)))
        given = self.tensors(inputs)
        found = self.run(self.feed(given) if quantized else given, wanted, self.steps, quantized=quantized)
        return [self._unscaled(name, found[name]) for name in wanted]

    def _unscaled(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        scale = self.graph.scales.get(name)
        if scale is None:
            return tensor
        shape = [-1 if axis == 1 else 1 for axis in range(tensor.ndim)]
        offsets, factors = (
            torch.from_numpy(vector).to(tensor.device, tensor.dtype).reshape(shape) for vector in (scale.offsets, scale.factors)
        )
        return (tensor + offsets) / factors

    def feed(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The network's inputs as the chip reads them: rounded."""
        return {
            name: self._input_places[name](tensor) if name in self._input_places else tensor for name, tensor in inputs.items()
        }

    def run(
        self,
        known: Mapping[str, torch.Tensor],
        wanted: Sequence[str],
        steps: Sequence[Step],
        *,
        quantized: bool = True,
    ) -> dict[str, torch.Tensor]:
        """Runs some of the steps.

        Args:
            known: what they read from elsewhere, by name.
            wanted: tensors to return.
            steps: in execution order.
            quantized: as in :meth:`__call__`.
        """
        values = dict(known)
        last = _last_reads(steps, wanted)
        for index, step in enumerate(steps):
            arguments = [self._argument(read, values, quantized) for read in step.reads]
            try:
                if step.inside is not None and quantized:
                    result = step.function(*arguments, inside=step.inside)
                else:
                    result = step.function(*arguments)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                raise EspdlError(
                    "the operator failed on these tensors",
                    where=at_node(step.name, step.node.op_type),
                    why=str(error).splitlines()[0] if str(error) else type(error).__name__,
                ) from error
            if step.form is not None and quantized:
                result = result + (step.form(*arguments) - result).detach()
            results = result if isinstance(result, tuple) else (result,)
            for (name, place), tensor in zip(step.writes, results, strict=False):
                values[name] = tensor if place is None or not quantized else place(tensor)
            for name in last.get(index, ()):
                values.pop(name, None)
        return {name: values[name] for name in wanted}

    def _argument(self, read: Read | None, values: Mapping[str, torch.Tensor], quantized: bool) -> torch.Tensor | None:
        if read is None:
            return None
        if not read.is_constant:
            tensor = values[read.name]
            return tensor if read.place is None or not quantized else read.place(tensor)
        if read.place is None or not quantized:
            return self.constants[read.name]
        if read.name in self.substitutes:
            return self.substitutes[read.name]()
        return self._rounded_parameter(read.name, read.place)

    def _rounded_parameter(self, name: str, place: Place | BiasPlace) -> torch.Tensor:
        tensor = self.parameters[name]
        if torch.is_grad_enabled() and (tensor.requires_grad or place.is_trained):
            return place(tensor)
        key, versions = (name, id(place)), (tensor._version, *place.versions)
        if key not in self._rounded or self._rounded[key][0] != versions:
            with torch.no_grad():
                self._rounded[key] = versions, place(tensor)
        return self._rounded[key][1]

    # Back to the graph

    def write_back(self) -> None:
        """Gives the graph the values of the parameters and the exponents of the scales; the export makes the file of them."""
        self.scales.write_back()
        for name, tensor in self.parameters.items():
            array = tensor.detach().to("cpu", torch.float32).numpy()
            original = self.graph.adjusted.get(name)
            if original is None:
                original = constant(self.graph.model.graph.initializers[name])
            if original is None or not np.array_equal(array, original):
                self.graph.adjusted[name] = np.array(array)


def find_device(device: str | torch.device) -> torch.device:
    """A device that is there. Raises :class:`EspdlError` for any other."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise EspdlError(f"device {str(device)!r} cannot be used", why=str(error).splitlines()[0], hint="device='cpu'") from None
    return found


def outside_reads(steps: Iterable[Step]) -> list[str]:
    """Names of the tensors that steps read from elsewhere, in the order of reading."""
    own = {name for step in steps for name, _ in step.writes}
    reads = (read for step in steps for read in step.reads if read is not None and not read.is_constant)
    return list(dict.fromkeys(read.name for read in reads if read.name not in own))


def _last_reads(steps: Sequence[Step], wanted: Sequence[str]) -> dict[int, list[str]]:
    """By step: tensors that nothing behind it reads."""
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        for name, _ in step.writes:
            last[name] = index
        for read in step.reads:
            if read is not None and not read.is_constant:
                last[read.name] = index
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in wanted:
            found.setdefault(index, []).append(name)
    return found
