"""``FbsModel``: the content of one model file by name (guide 4.4.4, runtime spec 6.2)."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

from espdl.dtypes import DType, ModelLocation
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.fbs.reader import read_model
from espdl.fbs.text import info_text
from espdl.fbs.validate import validate_model
from espdl.tensor import TensorBase
from espdl.wording import at_node

_REQUIRED: Any = object()
_Named = TypeVar("_Named")


class ModelSize(NamedTuple):
    """Bytes that the model's FlatBuffer takes on the chip, by memory."""

    internal: int
    psram: int
    psram_rodata: int
    flash: int


class FbsModel:
    """One model, without its container.

    Args:
        data: the FlatBuffer.
        size: its bytes; all of ``data`` when None.
        location: where it lies on the chip.
        encrypt: whether it was encrypted there (``data`` is not any more).
        rodata_move: whether the chip copies its read-only data to PSRAM at start.
        auto_free: whether the model owns ``data``; kept for the record.
        param_copy: True makes every parameter tensor a copy, False a read-only view of ``data``.
        source: name of the file, for error messages.

    Attributes:
        record: everything in the file, as plain records.
        m_param_copy: as given.

    Raises:
        EspdlError: when the file is damaged, or its graph cannot run (a missing initializer, a cycle ...).
    """

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        size: int | None = None,
        location: ModelLocation = ModelLocation.FLASH_RODATA,
        encrypt: bool = False,
        rodata_move: bool = False,
        auto_free: bool = False,
        param_copy: bool = True,
        *,
        source: str = "",
    ) -> None:
        view = memoryview(data).cast("B")
        if size is not None and not 0 <= size <= len(view):
            raise EspdlError(f"there are {len(view)} bytes, not {size}", where=source)
        self.size = len(view) if size is None else size
        self.source = source
        self.location = ModelLocation(location)
        self.encrypt = encrypt
        self.rodata_move = rodata_move
        self.auto_free = auto_free
        self.m_param_copy = param_copy
        self.record = read_model(view[: self.size], source=source)
        try:
            validate_model(self.record)
        except EspdlError as error:
            raise (error.at(source) if source else error) from None
        self.load_map()

    def load_map(self) -> None:
        """Builds the maps from names to nodes, initializers, value_info and test values. Done once by the constructor."""
        graph = self.record.graph
        self._nodes = {node.name: node for node in graph.node}
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        self._test_inputs = {tensor.name: tensor for tensor in graph.test_inputs_value}
        self._test_outputs = {tensor.name: tensor for tensor in graph.test_outputs_value}

    def clear_map(self) -> None:
        """Drops the maps. What is asked for by name afterwards raises :class:`EspdlError` until :meth:`load_map`."""
        self._nodes, self._initializers, self._values = {}, {}, {}
        self._test_inputs, self._test_outputs = {}, {}

    # nodes

    def topological_sort(self) -> list[str]:
        """Names of the nodes in running order, which is the order of the file."""
        return [node.name for node in self.record.graph.node]

    def get_node(self, node_name: str) -> records.Node:
        """A node by name. Raises :class:`EspdlError` when there is none."""
        return self._nodes.get(node_name) or self._missing("node", node_name)

    def get_operation_type(self, node_name: str) -> str:
        """The op_type of a node; empty when there is no such node."""
        node = self._nodes.get(node_name)
        return node.op_type if node else ""

    def get_operation_inputs_and_outputs(self, node_name: str) -> tuple[list[str], list[str]]:
        """Names of the inputs and of the outputs; an omitted optional one is the empty string."""
        node = self.get_node(node_name)
        return list(node.input), list(node.output)

    def get_operation_attribute(
        self, node_name: str, attribute_name: str, default: Any = _REQUIRED, *, as_type: Any = None
    ) -> Any:
        """An attribute as int, float, str, list or :class:`TensorBase`.

        Args:
            default: returned when the node has no such attribute; without it that is an error.
            as_type: the type wanted: int, float, str, list, TensorBase, or an enumeration with a ``parse`` method
                (QuantType, Activation).

        Raises:
            EspdlError: no such node or attribute, or the attribute is of another type.
        """
        node = self.get_node(node_name)
        for attribute in node.attribute:
            if attribute.name == attribute_name:
                break
        else:
            if default is _REQUIRED:
                raise EspdlError(f"there is no attribute {attribute_name!r}", where=self._where(at_node(node_name, node.op_type)))
            return default
        value = self.attribute_value(attribute)
        if as_type is None or (isinstance(as_type, type) and type(value) is as_type):
            return value
        if isinstance(value, str) and hasattr(as_type, "parse"):
            return as_type.parse(value)
        raise EspdlError(
            f"attribute {attribute_name!r} is {type(value).__name__}, not {as_type.__name__}",
            where=self._where(at_node(node_name, node.op_type)),
        )

    def attribute_value(self, attribute: records.Attribute) -> Any:
        """The value of an attribute; a tensor as :class:`TensorBase`."""
        value = attribute.value
        return self._tensor(value, self.m_param_copy) if isinstance(value, records.Tensor) else value

    def get_operation_input_shape(self, node_name: str, index: int) -> list[int]:
        """Shape of input ``index``, from value_info, or of the constant there."""
        return self._shape_of(node_name, self.get_node(node_name).input, index, "input")

    def get_operation_output_shape(self, node_name: str, index: int) -> list[int]:
        """Shape of output ``index``, from value_info."""
        return self._shape_of(node_name, self.get_node(node_name).output, index, "output")

    def _shape_of(self, node_name: str, names: list[str], index: int, kind: str) -> list[int]:
        if not 0 <= index < len(names):
            raise EspdlError(f"there is no {kind} {index}, only {len(names)}", where=self._where(f"node {node_name!r}"))
        name = names[index]
        return list(self._initializers[name].dims) if name in self._initializers else self.get_value_info_shape(name)

    def get_operation_parameter(self, node_name: str, index: int = 1, caps: int = 0) -> TensorBase | None:
        """The constant that is input ``index`` of a node; None when that is omitted or not constant."""
        inputs = self.get_node(node_name).input
        if not 0 <= index < len(inputs) or not self.is_parameter(inputs[index]):
            return None
        return self.get_parameter(inputs[index], caps)

    def get_operation_lut(self, node_name: str, caps: int = 0, attribute_name: str = "lut") -> TensorBase | None:
        """The table that the attribute of a node names; None when it has no such attribute or there is no such constant."""
        name = self.get_operation_attribute(node_name, attribute_name, None)
        return self.get_parameter(name, caps) if isinstance(name, str) and self.is_parameter(name) else None

    # constants

    def is_parameter(self, name: str) -> bool:
        """Whether a value is a constant."""
        return name in self._initializers

    def get_parameter(self, tensor_name: str, caps: int = 0) -> TensorBase:
        """A constant: a copy, or a read-only view of the file when ``m_param_copy`` is False.

        Exponents per channel are kept; ``doc_string`` tells the packing of filters. Raises :class:`EspdlError` for an unknown name.
        """
        return self._tensor(self._initializer(tensor_name), self.m_param_copy, caps)

    def get_tensor_raw_data(self, tensor_name: str) -> memoryview:
        """The bytes of a constant, little-endian, without padding."""
        return _raw(self._initializer(tensor_name))

    def get_tensor_dtype(self, tensor_name: str) -> DType:
        """Element type of a constant. Raises :class:`EspdlError` for an unknown name, as its neighbours do."""
        return self._initializer(tensor_name).data_type

    def get_tensor_shape(self, tensor_name: str) -> list[int]:
        """Shape of a constant as in the file: of a filter [KH, KW, Cin, Cout]."""
        return list(self._initializer(tensor_name).dims)

    def get_tensor_exponents(self, tensor_name: str) -> list[int]:
        """One exponent per tensor, or one per output channel."""
        return list(self._initializer(tensor_name).exponents)

    def _initializer(self, name: str) -> records.Tensor:
        return self._initializers.get(name) or self._missing("constant", name)

    # variables

    def get_value_info(self, var_name: str) -> records.ValueInfo:
        """Type, shape and exponents of a variable. Raises :class:`EspdlError` when there is none."""
        return self._values.get(var_name) or self._missing("value_info", var_name)

    def get_value_info_dtype(self, var_name: str) -> DType:
        """Element type of a variable."""
        return self.get_value_info(var_name).data_type

    def get_value_info_shape(self, var_name: str) -> list[int]:
        """Shape of a variable. Raises :class:`EspdlError` when the file does not say."""
        shape = self.get_value_info(var_name).shape
        if shape is None:
            raise EspdlError("the file does not say its shape", where=self._where(f"value {var_name!r}"))
        return list(shape)

    def get_value_info_exponent(self, var_name: str) -> int:
        """Exponent of a variable, which has one only: of a longer list the first is returned, with a warning; of no exponent 0.

        Raises:
            EspdlError: an integer variable without exponent, or an unknown name.
        """
        value = self.get_value_info(var_name)
        if len(value.exponents) > 1:
            warnings.warn(f"value {var_name!r} has {len(value.exponents)} exponents, the first is used", stacklevel=2)
        elif not value.exponents and value.data_type in (DType.INT8, DType.INT16):
            raise EspdlError("the file does not say its exponent", where=self._where(f"value {var_name!r}"))
        return value.exponents[0] if value.exponents else 0

    def get_graph_inputs(self) -> list[str]:
        """Names of the inputs in the order of the file, without constants."""
        return [value.name for value in self.record.graph.input if not self.is_parameter(value.name)]

    def get_graph_outputs(self) -> list[str]:
        """Names of the outputs in the order of the file."""
        return [value.name for value in self.record.graph.output]

    # test values

    def get_test_input_tensor(self, tensor_name: str) -> TensorBase | None:
        """A new tensor with the embedded value of an input; None when there is none."""
        tensor = self._test_inputs.get(tensor_name)
        return None if tensor is None else self._tensor(tensor, copy=True)

    def get_test_output_tensor(self, tensor_name: str) -> TensorBase | None:
        """A new tensor with the expected value of an output or intermediate; None when there is none."""
        tensor = self._test_outputs.get(tensor_name)
        return None if tensor is None else self._tensor(tensor, copy=True)

    def get_test_input_tensor_raw_data(self, tensor_name: str) -> memoryview | None:
        """The bytes of an embedded input value; None when there is none."""
        tensor = self._test_inputs.get(tensor_name)
        return None if tensor is None else _raw(tensor)

    def get_test_output_tensor_raw_data(self, tensor_name: str) -> memoryview | None:
        """The bytes of an expected value; None when there is none."""
        tensor = self._test_outputs.get(tensor_name)
        return None if tensor is None else _raw(tensor)

    def get_test_outputs_name(self) -> list[str]:
        """Names of the expected values, in the order of the file."""
        return [tensor.name for tensor in self.record.graph.test_outputs_value]

    # the model

    def get_model_name(self) -> str:
        """Name of the graph."""
        return self.record.graph.name

    def get_model_version(self) -> int:
        """The version number that the model's author gave."""
        return self.record.model_version

    def get_model_doc_string(self) -> str:
        """The description; empty when there is none."""
        return self.record.doc_string

    def get_model_metadata_prop(self, key: str) -> str:
        """A metadata entry; empty when there is none."""
        return self.record.metadata_props.get(key, "")

    def get_model_size(self) -> ModelSize:
        """Bytes of the FlatBuffer by memory.

        In flash unless it was read from an SD card; in PSRAM when it was read or decrypted into RAM; in PSRAM as read-only data when
        the chip moves it there.
        """
        in_flash = self.location is not ModelLocation.SDCARD
        in_ram = self.encrypt or not in_flash
        moved = self.rodata_move and self.location is ModelLocation.FLASH_RODATA
        return ModelSize(0, self.size * in_ram, self.size * moved, self.size * in_flash)

    def print(self) -> None:
        """Prints the model in the form of the ``.info`` file, without the elements of its tensors."""
        print(info_text(self.record, data=False), end="")

    def _tensor(self, tensor: records.Tensor, copy: bool, caps: int = 0) -> TensorBase:
        result = TensorBase(tensor.dims, tensor.data, tensor.exponents, tensor.data_type, copy, caps)
        result.doc_string = tensor.doc_string
        return result

    def _where(self, place: str) -> str:
        return f"{self.source}: {place}" if self.source else place

    def _missing(self, kind: str, name: str) -> NoReturn:
        hint = "" if self._nodes else "clear_map() was called: call load_map() first"
        raise EspdlError(f"the model has no {kind} {name!r}", where=self.source, hint=hint)


def _raw(tensor: records.Tensor) -> memoryview:
    return memoryview(tensor.data.reshape(-1).view(np.uint8))
