"""What the operators of a model have to do on a chip, counted from shapes: products, elements and bytes (runtime spec 3).

Counts only, no times: they hold for every chip. :mod:`espdl.estimate.cost` makes them the work of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

from espdl.dl import Model
from espdl.dl.memory import MemoryPlan
from espdl.dl.module import Module
from espdl.dl.module.attention import Attention
from espdl.dl.module.binary import Binary
from espdl.dl.module.concat import Concat
from espdl.dl.module.conv import Conv
from espdl.dl.module.div import Div
from espdl.dl.module.logic import Not
from espdl.dl.module.lut import Lut
from espdl.dl.module.mac import MacModule
from espdl.dl.module.pool import AveragePool, GlobalAveragePool, MaxPool
from espdl.dl.module.pow import Mod, Pow
from espdl.dl.module.quantize_linear import QuantizeLinear
from espdl.dl.module.recurrent import Recurrent
from espdl.dl.module.reduce import ReduceMax, ReduceMin
from espdl.dl.module.reshape import View
from espdl.dl.module.resize import Resize
from espdl.dl.module.scatter_nd import ScatterND
from espdl.dl.module.transpose import Transpose
from espdl.dl.module.unary import Unary
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

Tensors = Sequence[TensorBase | None]


@dataclass(frozen=True)
class Product:
    """Sums of products of one filter, as a kernel walks them: pixel by pixel, all output channels of each (spec 3.2).

    Attributes:
        pixels: positions of the result.
        taps: of the filter, height times width.
        depth: input channels of one sum; 1 of a depthwise filter.
        outputs: output channels.
        depthwise: whether channel i reads channel i only.
        itemsize: bytes of an activation.
        filter_bytes: of the whole filter, read again for every pixel.
        constant: whether the filter lies in the file, not in the arena.
    """

    pixels: float
    taps: int
    depth: int
    outputs: int
    depthwise: bool
    itemsize: int
    filter_bytes: float
    constant: bool = True

    @property
    def macs(self) -> float:
        """Multiply-accumulate operations."""
        return self.pixels * self.taps * self.depth * self.outputs


@dataclass(frozen=True)
class Elements:
    """Elements that an operator handles one by one or a vector at a time.

    Attributes:
        scalar: read, computed on integers and written one by one: tables, changes of type.
        vector_bytes: bytes of results that vector instructions make.
        copied: moved only. permuted: moved to another order of axes, each with its own index.
        windowed: compared or added inside windows of pooling.
        real: computed in binary32.
    """

    scalar: float = 0
    vector_bytes: float = 0
    copied: float = 0
    permuted: float = 0
    windowed: float = 0
    real: float = 0


@dataclass(frozen=True)
class Work:
    """What one node does.

    Attributes:
        name, op_type: of the node.
        products, elements: see there.
        read_bytes, written_bytes: activations that it reads from and writes to PSRAM.
        internal_bytes: of those in internal RAM, both ways.
        parameter_bytes: constants other than filters.
        input_height, reach: rows of the input, and of it under a filter: a convolution goes to two cores where the height is more than
            four times that (spec 3.3); 0 for other operators.
        input_width: columns of the input of a convolution.
        view: whether it only gives a new shape to the same bytes.
    """

    name: str
    op_type: str
    products: tuple[Product, ...] = ()
    elements: Elements = field(default_factory=Elements)
    read_bytes: float = 0
    written_bytes: float = 0
    internal_bytes: float = 0
    parameter_bytes: float = 0
    input_height: float = 0
    reach: int = 0
    input_width: float = 0
    view: bool = False

    @property
    def macs(self) -> float:
        return sum(product.macs for product in self.products)


def workload(model: Model) -> list[Work]:
    """The work of every node of a built model, in running order.

    Raises:
        EspdlError: naming a node that computes in binary32 what ESP-DL does not load: there is no chip to speak of.
    """
    plan = model.memory.plan
    names = {module.name: model.fbs_model.get_node(module.name) for module in model.modules}
    return [
        _node_work(module, inputs, outputs, _Traffic(plan, names[module.name].input, names[module.name].output))
        for module, inputs, outputs in model.walk()
    ]


class _Traffic:
    """Bytes of a node's variables by memory."""

    def __init__(self, plan: MemoryPlan, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        read = [plan.tensors[name] for name in dict.fromkeys(inputs) if name in plan.tensors]
        written = [plan.tensors[name] for name in outputs if name in plan.tensors]
        self.read = sum(tensor.size for tensor in read if not tensor.internal)
        self.written = sum(tensor.size for tensor in written if not tensor.internal)
        self.internal = sum(tensor.size for tensor in (*read, *written) if tensor.internal)


def _node_work(module: Module, inputs: Tensors, outputs: Tensors, traffic: _Traffic) -> Work:
    if isinstance(module, View):
        return Work(module.name, module.op_type, view=True)
    if isinstance(module, MacModule) and module.is_float:
        raise EspdlError(
            "a latency cannot be estimated",
            where=f"node {module.name!r} ({module.op_type})",
            why="it computes in binary32, which ESP-DL refuses to load",
        )
    products = _products(module, inputs, outputs)
    filters = {id(inputs[1])} if isinstance(module, MacModule) else set()
    parameters = sum(
        tensor.get_aligned_bytes()
        for index, tensor in enumerate(inputs)
        if tensor is not None and index in module.parameters and id(tensor) not in filters
    )
    height, reach, width = _split(module, inputs)
    return Work(
        module.name,
        module.op_type,
        products,
        _elements(module, inputs, outputs),
        traffic.read,
        traffic.written,
        traffic.internal,
        parameters,
        height,
        reach,
        width,
    )


def _shape(tensor: TensorBase | None) -> list[int]:
    return [] if tensor is None else tensor.shape


def _itemsize(tensor: TensorBase | None) -> int:
    return 1 if tensor is None else tensor.dtype.numpy.itemsize


def _sizes(tensors: Tensors) -> int:
    return sum(prod(tensor.shape) for tensor in tensors if tensor is not None)


def _split(module: Module, inputs: Tensors) -> tuple[int, int, int]:
    if not isinstance(module, Conv) or module.spatial != 2:
        return 0, 0, 0
    x, w = _shape(inputs[0]), _shape(inputs[1])
    return x[1], w[0] * module.window.dilations[0], x[2]


def _products(module: Module, inputs: Tensors, outputs: Tensors) -> tuple[Product, ...]:
    if isinstance(module, Conv):
        return (_convolution(module, inputs, outputs),)
    if isinstance(module, MacModule):
        return _matrices(module, inputs, outputs)
    if isinstance(module, Attention):
        return _attention(module, inputs)
    if isinstance(module, Recurrent):
        return _recurrent(module, inputs, outputs)
    return ()


def _convolution(module: Conv, inputs: Tensors, outputs: Tensors) -> Product:
    dims, result = _shape(inputs[1]), _shape(outputs[0])
    depth, columns = (1, dims[-2]) if module.depthwise else (dims[-2], dims[-1])
    return Product(prod(result[:-1]), prod(dims[:-2]), depth, columns, module.depthwise, _itemsize(inputs[0]), _bytes(inputs[1]))


def _bytes(tensor: TensorBase | None) -> int:
    return 0 if tensor is None else prod(tensor.shape) * tensor.dtype.numpy.itemsize


def _matrices(module: Module, inputs: Tensors, outputs: Tensors) -> tuple[Product, ...]:
    """One product for each matrix of the second input: rows of the first are its pixels."""
    depth, b = _shape(inputs[0])[-1], _shape(inputs[1])
    columns = b[-1] if len(b) > 1 else 1
    count = max(prod(b[:-2]), 1)
    rows = max(prod(_shape(outputs[0])) // (columns * count), 1)
    size = depth * columns * _itemsize(inputs[1])
    return (Product(rows, 1, depth, columns, False, _itemsize(inputs[0]), size, 1 in module.parameters),) * count


def _attention(module: Attention, inputs: Tensors) -> tuple[Product, ...]:
    q, k = _shape(inputs[0]), _shape(inputs[1])
    queries, keys = (q[1], k[1]) if module.heads_last else (q[2], k[2])
    heads, depth, item = prod(q) // (queries * q[-1]), q[-1], _itemsize(inputs[0])
    scores = Product(queries, 1, depth, keys, False, item, keys * depth * item, False)
    values = Product(queries, 1, keys, depth, False, item, keys * depth * item, False)
    return (scores, values) * heads


def _recurrent(module: Recurrent, inputs: Tensors, outputs: Tensors) -> tuple[Product, ...]:
    """Both matrices of a step for each direction; every step reads them again."""
    w, r = _shape(inputs[1]), _shape(inputs[2])
    x = _shape(inputs[0])
    steps, item = x[1] if module.batch_first else x[0], _itemsize(inputs[0])
    return tuple(
        Product(steps, 1, matrix[2], matrix[1], False, item, matrix[1] * matrix[2] * item)
        for _ in range(module.directions)
        for matrix in (w, r)
    )


def _elements(module: Module, inputs: Tensors, outputs: Tensors) -> Elements:
    for types, count in _RULES:
        if isinstance(module, types):
            return count(module, inputs, outputs)
    if isinstance(module, MacModule):
        return Elements()
    if module.quantization.passive:
        return Elements(copied=_sizes(outputs))
    return _real(module, inputs, outputs)


def _real(module: Module, inputs: Tensors, outputs: Tensors) -> Elements:
    variables = [tensor for index, tensor in enumerate(inputs) if index not in module.parameters]
    return Elements(real=max(_sizes(variables[:1]), _sizes(outputs)))


def _vectors(module: Module, inputs: Tensors, outputs: Tensors) -> Elements:
    if outputs[0] is not None and outputs[0].dtype is DType.FLOAT:
        return _real(module, inputs, outputs)
    return Elements(vector_bytes=sum(_bytes(tensor) for tensor in outputs))


def _unary(module: Module, inputs: Tensors, outputs: Tensors) -> Elements:
    """A table where the chip reads one (spec 3.5), vector instructions for those that compare and multiply, else binary32."""
    reads_table = "lut" in module.attributes and _itemsize(outputs[0]) == 1
    if isinstance(module, Lut) or (reads_table and isinstance(module, Unary) and module.reads_table):
        return Elements(scalar=_sizes(outputs))
    if module.op_type in ("Relu", "PRelu", "LeakyRelu", "Clip", "Neg"):
        return _vectors(module, inputs, outputs)
    return _real(module, inputs, outputs)


def _conversion(module: Module, inputs: Tensors, outputs: Tensors) -> Elements:
    tensors = (inputs[0], outputs[0])
    if any(tensor is not None and tensor.dtype is DType.FLOAT for tensor in tensors):
        return Elements(scalar=_sizes(outputs))
    return Elements(vector_bytes=_bytes(outputs[0]))


def _windows(module: Module, inputs: Tensors, outputs: Tensors) -> Elements:
    assert isinstance(module, (AveragePool, MaxPool))
    return Elements(windowed=_sizes(outputs) * prod(axis.kernel for axis in module.windows))


_RULES: tuple[tuple[tuple[type, ...], Callable[[Module, Tensors, Tensors], Elements]], ...] = (
    ((AveragePool, MaxPool), _windows),
    ((GlobalAveragePool,), lambda module, inputs, outputs: Elements(windowed=_sizes(inputs[:1]))),
    ((ReduceMax, ReduceMin), lambda module, inputs, outputs: Elements(windowed=_sizes(inputs[:1]))),
    ((Recurrent,), lambda module, inputs, outputs: Elements(real=_sizes(outputs[:1]) * 4)),
    ((Attention,), lambda module, inputs, outputs: Elements(real=_scores(module, inputs))),
    ((Div, Pow, Mod), _real),
    ((Binary, Not), _vectors),
    ((Unary,), _unary),
    ((QuantizeLinear,), _conversion),
    ((Transpose,), lambda module, inputs, outputs: Elements(permuted=_sizes(outputs))),
    ((Concat, Resize, ScatterND), lambda module, inputs, outputs: Elements(copied=_sizes(outputs))),
)
"""The first that fits counts; operators of other classes copy where they are passive, and compute in binary32 where they are not."""


def _scores(module: Module, inputs: Tensors) -> float:
    assert isinstance(module, Attention)
    return sum(product.pixels * product.outputs for product in _attention(module, inputs)[::2])
