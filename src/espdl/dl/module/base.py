"""``Module``: the base class of every operator, ours and users' (guide 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.blame import Blame
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, LayoutRule, Quantization
from espdl.dl.quirks import Site, wants_float_form
from espdl.dtypes import DType, Inplace, QuantType, RuntimeMode
from espdl.errors import EspdlError
from espdl.rounding import dequantize, quantize
from espdl.tensor import TensorBase

if TYPE_CHECKING:
    from espdl.dl.context import ModelContext
    from espdl.dl.machine import Machine
    from espdl.fbs import FbsModel

Step = Callable[[], None]
"""One bound operator: reads its input arrays, writes its output arrays, allocates as little as it can."""

MODULE_TYPES: dict[str, type[Module]] = {}
"""Every operator class by op_type, ours and users'. Filled by defining a subclass."""


class Module:
    """One operator: everything the project knows of it.

    A subclass names its ``op_type`` as class keyword and is registered by being defined::

        class Mish(Module, op_type="Mish"):
            def get_output_shape(self, input_shapes):
                return [input_shapes[0]]

            def float_forward(self, x):
                return x * np.tanh(np.log1p(np.exp(x)))

    Such an operator runs on integers by dequantizing its inputs, computing in binary32 and quantizing the result with the chip's
    rounding. An operator with integer semantics of its own overrides :meth:`bind`.

    Attributes:
        name: of the node.
        inplace: what it does with its input's memory.
        quant_type: how it computes.
        attributes: of the node, as plain Python values (int, float, str, list, TensorBase).
        parameters: constant inputs by input index.
        m_inputs_index, m_outputs_index: indices of its tensors in the model context.
        strict_onnx: what the machine says, known before shapes are asked for: whether to give what ONNX says where ESP-DL does not.

    A class says in ``optional_outputs`` which outputs a node may omit; :meth:`bind` gets None for those. ``binds_float``: its
    ``bind`` takes binary32 though its contract has no float form, to compute what the chip makes of such files.
    """

    op_type: ClassVar[str] = ""
    op_types: ClassVar[tuple[str, ...]] = ()
    default_inplace: ClassVar[Inplace] = Inplace.NON_INPLACE
    contract: ClassVar[Contract] = Contract(INTEGER_AND_FLOAT)
    quantization: ClassVar[Quantization] = Quantization()
    layout: ClassVar[LayoutRule] = LayoutRule()
    optional_outputs: ClassVar[frozenset[int]] = frozenset()
    binds_float: ClassVar[bool] = False

    def __init_subclass__(cls, *, op_type: str | Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if op_type is None:
            return
        cls.op_types = (op_type,) if isinstance(op_type, str) else tuple(op_type)
        cls.op_type = cls.op_types[0]
        for registered in cls.op_types:
            MODULE_TYPES[registered] = cls

    def __init__(
        self,
        name: str = "",
        inplace: Inplace | None = None,
        quant_type: QuantType = QuantType.NONE,
        *,
        attributes: Mapping[str, Any] | None = None,
        parameters: Mapping[int, TensorBase] | None = None,
        op_type: str | None = None,
    ) -> None:
        self.name = name
        self.op_type = op_type or type(self).op_type  # type: ignore[misc]  # a class with several op_types: the node's
        self.inplace = type(self).default_inplace if inplace is None else inplace
        self.quant_type = quant_type
        self.attributes = dict(attributes or {})
        self.parameters = dict(parameters or {})
        self.m_inputs_index: list[int] = []
        self.m_outputs_index: list[int] = []
        self.strict_onnx = False
        self._bound: tuple[tuple[object, ...], Step] | None = None
        self.configure()

    def configure(self) -> None:
        """Reads ``attributes`` and ``parameters`` into typed fields, once. Raises :class:`EspdlError` for what cannot run."""

    @classmethod
    def deserialize(cls, fbs_model: FbsModel, node_name: str) -> Module:
        """Creates the operator from a node of a file: attributes, quant_type, and the constant inputs."""
        node = fbs_model.get_node(node_name)
        attributes = {a.name: fbs_model.attribute_value(a) for a in node.attribute}
        quant_type = attributes.pop("quant_type", None)
        parameters = {}
        for index, name in enumerate(node.input):
            if name and fbs_model.is_parameter(name):
                parameters[index] = fbs_model.get_parameter(name)
        if isinstance(attributes.get("lut"), str):
            attributes["lut"] = fbs_model.get_operation_lut(node_name)
        with Blame(node_name, node.op_type):
            return cls(
                node_name,
                quant_type=QuantType.parse(quant_type) if isinstance(quant_type, str) else QuantType.NONE,
                attributes=attributes,
                parameters=parameters,
                op_type=node.op_type,
            )

    def get_outputs_index(self) -> list[int]:
        """Context indices of the outputs."""
        return self.m_outputs_index

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        """Shapes of the outputs.

        Args:
            input_shapes: one per input in node order, constants included; ``[]`` for an omitted one. A constant's shape is the one
                in the file (a Conv filter: [KH, KW, Cin, Cout]).
        """
        raise EspdlError(f"operator {type(self).__name__} does not say its output shape", hint="override get_output_shape")

    # "Any" in both places is what lets a subclass name the inputs that it takes
    def float_forward(self, *inputs: Any, **_: Any) -> NDArray | tuple[NDArray, ...]:
        """The operator on real values, binary32 in and out, in the order of the file's layout.

        Args:
            inputs: one array for each input, None for an omitted one; an operator names those that it takes.
        """
        raise EspdlError(f"operator {self.op_type} has no float form", where=self.name, hint="override float_forward or bind")

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        """Resolves everything that does not change between runs and returns the function that runs the operator.

        Args:
            inputs: one per input in node order, constants included; None for an omitted one. The step may keep the array
                ``tensor.data``, whose values it reads at every call; it is bound again when a tensor gets another array.
            outputs: one per output; the step writes ``tensor.data[...]``. For an in-place operator output 0 may share memory with an
                input. None for an omitted one, which happens only to ``optional_outputs``.
            machine: chip, arithmetic and kernels.
        """
        rounding = machine.chip.rounding

        def step() -> None:
            with np.errstate(all="ignore"):
                results = self.float_forward(*(_to_float(tensor) for tensor in inputs))
            for output, result in zip(outputs, results if isinstance(results, tuple) else (results,), strict=True):
                if output.dtype in (DType.INT8, DType.INT16):
                    output.data[...] = quantize(result, int(output.exponent), output.dtype.numpy, rounding)
                else:
                    output.data[...] = result

        return step

    def forward(self, context: ModelContext, mode: RuntimeMode = RuntimeMode.AUTO) -> None:
        """Runs on the tensors of ``context`` that ``m_inputs_index`` and ``m_outputs_index`` name."""
        inputs = [context.get_tensor(index) for index in self.m_inputs_index]
        outputs = [context.get_tensor(index) for index in self.m_outputs_index]
        self._run_bound(inputs, outputs, context.machine)

    def run(
        self,
        inputs: TensorBase | Sequence[TensorBase | None],
        outputs: TensorBase | Sequence[TensorBase | None],
        mode: RuntimeMode = RuntimeMode.SINGLE_CORE,
        *,
        machine: Machine,
    ) -> None:
        """Runs on tensors given directly. Raises :class:`EspdlError` naming the node when their types or shapes do not suit it."""
        self._run_bound(
            [inputs] if isinstance(inputs, TensorBase) else list(inputs),
            [outputs] if isinstance(outputs, TensorBase) else list(outputs),
            machine,
        )

    def bind_outputs(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase | None], machine: Machine) -> Step:
        """:meth:`bind`, once it is sure that no output is missing but those the operator can do without.

        Where the machine asks for ONNX's meaning and the operator's float form has it, that is bound instead.
        """
        for index, output in enumerate(outputs):
            if output is None and index not in self.optional_outputs:
                raise EspdlError(f"output {index} is missing", why=f"{self.op_type} always writes it")
        self.strict_onnx = machine.strict_onnx
        in_float = self.quant_type is QuantType.FLOAT32 and self._refused_in_float() and _is_float(inputs)
        if in_float or wants_float_form(Site(self, inputs, outputs, machine)):
            return Module.bind(self, inputs, cast(Sequence[TensorBase], outputs), machine)
        return self.bind(inputs, cast(Sequence[TensorBase], outputs), machine)

    @classmethod
    def runs_float(cls) -> bool:
        """Whether it computes in binary32 here. Where its contract does not say so, too, ESP-DL refuses the node."""
        return QuantType.FLOAT32 in cls.contract.quant_types or cls._refused_in_float()

    @classmethod
    def _refused_in_float(cls) -> bool:
        has_float_form = cls.float_forward is not Module.float_forward
        return has_float_form and not cls.binds_float and QuantType.FLOAT32 not in cls.contract.quant_types

    def _run_bound(self, inputs: list[TensorBase | None], outputs: list[TensorBase | None], machine: Machine) -> None:
        used = (
            machine,
            *(array for tensor in (*inputs, *outputs) for array in (tensor, None if tensor is None else tensor.data)),
        )
        if (
            self._bound is None
            or len(self._bound[0]) != len(used)
            or any(a is not b for a, b in zip(self._bound[0], used, strict=True))
        ):
            with Blame(self.name, self.op_type):
                self._bound = (used, self.bind_outputs(inputs, outputs, machine))
        with np.errstate(all="ignore"):
            self._bound[1]()

    def forward_args(self, args: object) -> None:
        """Low-level entry that the chip's second core calls (guide 4.2). Nothing calls it here; a subclass may have its own."""

    def set_preload_addr(self, addr: object, size: int) -> None:
        """Offers fast memory for parameters (guide 4.2). Does nothing, as in the chip's runtime: results do not depend on it."""

    def preload(self) -> None:
        """Moves parameters to the memory of :meth:`set_preload_addr` (guide 4.2). Does nothing, as in the chip's runtime."""

    def reset(self) -> None:
        """Forgets state carried between runs. Operators without state do nothing."""

    def print(self) -> None:
        """Prints name, type and quantization type."""
        print(f"{self.op_type} {self.name}: quant_type {self.quant_type.name}")


def _is_float(inputs: Sequence[TensorBase | None]) -> bool:
    return bool(inputs) and inputs[0] is not None and inputs[0].dtype is DType.FLOAT


def _to_float(tensor: TensorBase | None) -> NDArray | None:
    if tensor is None or tensor.dtype not in (DType.INT8, DType.INT16, DType.UINT8, DType.UINT16):
        return None if tensor is None else tensor.data
    return dequantize(tensor.data, int(tensor.exponent))
