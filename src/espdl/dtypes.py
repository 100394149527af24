"""Element types, quantization types and the other enumerations of the runtime, with the values that files and chips use."""

from __future__ import annotations

import enum

import numpy as np

from espdl.errors import EspdlError


class DType(enum.IntEnum):
    """Element type of a tensor; the values are those of ``TensorDataType`` in a file, and of ONNX (runtime spec 1.1)."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13

    @property
    def numpy(self) -> np.dtype:
        """The little-endian NumPy type. Raises :class:`EspdlError` for STRING and UNDEFINED, which hold no numbers."""
        try:
            return _NUMPY[self]
        except KeyError:
            raise EspdlError(f"a tensor of type {self.name} holds no numbers") from None

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in memory on the chip (spec 2.1: 1 for every type that is not listed there)."""
        return _NUMPY[self].itemsize if self in _NUMPY else 1

    @classmethod
    def of(cls, dtype: np.dtype | type) -> DType:
        """The element type of a NumPy type. Raises :class:`EspdlError` when the runtime has none like it."""
        wanted = np.dtype(dtype).newbyteorder("<")
        for element_type, numpy_type in _NUMPY.items():
            if numpy_type == wanted:
                return element_type
        raise EspdlError(
            f"arrays of type {np.dtype(dtype)} cannot be tensors", hint="convert to int8, int16, int32, int64 or float32"
        )


_NUMPY: dict[DType, np.dtype] = {
    DType.FLOAT: np.dtype("<f4"),
    DType.UINT8: np.dtype("u1"),
    DType.INT8: np.dtype("i1"),
    DType.UINT16: np.dtype("<u2"),
    DType.INT16: np.dtype("<i2"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.BOOL: np.dtype("?"),
    DType.FLOAT16: np.dtype("<f2"),
    DType.DOUBLE: np.dtype("<f8"),
    DType.UINT32: np.dtype("<u4"),
    DType.UINT64: np.dtype("<u8"),
}


class QuantType(enum.IntEnum):
    """How a node computes: the ``quant_type`` attribute (spec 1.1)."""

    NONE = 0
    FLOAT32 = 1
    SYMM_8BIT = 2
    SYMM_16BIT = 3
    SYMM_32BIT = 4

    @classmethod
    def parse(cls, text: str) -> QuantType:
        """From the attribute's spelling: S8, S16, S32, F32, or SYMM_S8 and so on; W8A16 is S16 with 8-bit weights."""
        try:
            return _QUANT_TYPE_NAMES[text.removeprefix("SYMM_")]
        except KeyError:
            raise EspdlError(f"unknown quant_type {text!r}", hint="one of " + ", ".join(_QUANT_TYPE_NAMES)) from None

    @property
    def attribute(self) -> str:
        """The spelling in a file."""
        return next(text for text, value in _QUANT_TYPE_NAMES.items() if value is self)


_QUANT_TYPE_NAMES = {
    "F32": QuantType.FLOAT32,
    "S8": QuantType.SYMM_8BIT,
    "S16": QuantType.SYMM_16BIT,
    "S32": QuantType.SYMM_32BIT,
    "W8A16": QuantType.SYMM_16BIT,
}


class Activation(enum.IntEnum):
    """Activation fused into Conv, Gemm or MatMul: the ``activation`` attribute."""

    LINEAR = 0
    RELU = 1
    LEAKY_RELU = 2
    PRELU = 3

    @classmethod
    def parse(cls, text: str) -> Activation:
        """From the attribute's spelling: None, Linear, Relu, LeakyRelu, PRelu."""
        try:
            return _ACTIVATION_NAMES[text]
        except KeyError:
            raise EspdlError(f"unknown activation {text!r}", hint="one of " + ", ".join(_ACTIVATION_NAMES)) from None


_ACTIVATION_NAMES = {
    "None": Activation.LINEAR,
    "Linear": Activation.LINEAR,
    "Relu": Activation.RELU,
    "LeakyRelu": Activation.LEAKY_RELU,
    "PRelu": Activation.PRELU,
}


class RuntimeMode(enum.IntEnum):
    """On which cores a model runs."""

    AUTO = 0
    SINGLE_CORE = 1
    MULTI_CORE = 2

    @classmethod
    def parse(cls, text: str | RuntimeMode) -> RuntimeMode:
        """A mode by its name: ``auto``, ``single`` or ``multi``, with or without ``_core``."""
        if isinstance(text, RuntimeMode):
            return text
        found = next((mode for mode in cls if text.lower() in (mode.name.lower(), mode.name.lower().removesuffix("_core"))), None)
        if found is None:
            raise EspdlError(f"there is no runtime mode {text!r}", hint="auto, single or multi")
        return found


class Inplace(enum.IntEnum):
    """What a module does with its input's memory (spec 3.0.3 column IP)."""

    NON_INPLACE = 0
    UNCHANGED_BUFFER = 1
    CHANGED_BUFFER = 2


class Arithmetic(enum.Enum):
    """``SILICON``: the chip's vector unit, lane widths and saturation included. ``REFERENCE``: the C code with wide accumulators."""

    SILICON = "silicon"
    REFERENCE = "reference"


class Int16Lut(enum.Enum):
    """How 16-bit tables with a step are read (runtime spec 3.5): ``NEAREST``: the entry nearest to the value, as ESP-DL 3.3.9 does.
    ``INTERPOLATING``: on the line between two entries, as it did before; files and expected values of that time hold for this rule.
    """

    NEAREST = "nearest"
    INTERPOLATING = "interpolating"

    @classmethod
    def parse(cls, rule: str | Int16Lut) -> Int16Lut:
        """From its name. Raises :class:`EspdlError` with the list of names."""
        try:
            return cls(rule)
        except ValueError:
            raise EspdlError(f"there is no int16_lut {rule!r}", hint="one of " + ", ".join(r.value for r in cls)) from None


class ModelLocation(enum.IntEnum):
    """Where the bytes of a model lie."""

    FLASH_RODATA = 0
    FLASH_PARTITION = 1
    SDCARD = 2


MODEL_LOCATION_IN_FLASH_RODATA = ModelLocation.FLASH_RODATA
MODEL_LOCATION_IN_FLASH_PARTITION = ModelLocation.FLASH_PARTITION
MODEL_LOCATION_IN_SDCARD = ModelLocation.SDCARD
