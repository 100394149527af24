"""What is fuzzed, without the fuzzer: bytes go in, and nothing but ``EspdlError`` may come out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from espdl.dl import Model
from espdl.dtypes import DType, ModelLocation
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, FbsModel, ModelFormat, get_model_format, records, wrap_model, write_model
from espdl.fbs.text import info_text

KEY = bytes(range(16))
"""Of the encrypted files of the corpus."""

TARGETS = ("c", "esp32s3", "esp32p4")
LARGEST_RUN = 1 << 16
"""Bytes of memory of the models that are run, too: the others only waste the fuzzer's time."""


def as_file(data: bytes) -> bytes:
    """The bytes as they are where they begin as a file does, else as the payload of a file."""
    return data if get_model_format(data) is not ModelFormat.UNK else wrap_model(data)


def exercise_reader(data: bytes) -> bool:
    """Opens a file as bytes and as a partition, loads each of its models and asks for everything; whether any could be loaded."""
    loaded = False
    content = as_file(data)
    for location in (ModelLocation.FLASH_RODATA, ModelLocation.FLASH_PARTITION):
        try:
            loader = FbsLoader(content, location)
        except EspdlError:
            continue
        if loader.get_model_format() is ModelFormat.PDL3:
            loader.verify_package_sha256()
            loader.get_package_version()
        for index in range(min(loader.get_model_num(), 8)):
            try:
                model = loader.load(index, KEY)
            except EspdlError:
                continue
            ask_for_everything(model)
            loaded = True
    return loaded


def ask_for_everything(model: FbsModel) -> None:
    """Every tensor, attribute and property of a model that could be loaded."""
    graph = model.record.graph
    info_text(model.record)
    model.get_model_size()
    for tensor in graph.initializer:
        assert model.get_parameter(tensor.name).size == tensor.data.size
    for node in graph.node:
        model.get_operation_lut(node.name)
        for attribute in node.attribute:
            model.attribute_value(attribute)
        for name in node.output:
            assert not name or model.get_value_info(name)
    for name in model.get_test_outputs_name():
        model.get_test_output_tensor(name)
    # what was read can be written and read again
    again = FbsLoader(wrap_model(write_model(model.record))).load()
    assert [node.op_type for node in again.record.graph.node] == [node.op_type for node in graph.node]


def exercise_model(data: bytes, target: str | None = None) -> bool:
    """Loads a file as a network of a chip, plans and binds it, and runs it where it is small; whether it could be bound."""
    content = as_file(data)
    if target is None and b"target" not in content:  # the file does not say
        target = TARGETS[sum(content) % len(TARGETS)]
    try:
        model = Model(content, target=target, key=KEY, backend="numpy")
    except EspdlError:
        return False
    plan = model.memory.plan
    if plan.internal_size + plan.psram_size <= LARGEST_RUN:
        try:
            model.run_arrays({name: np.ones_like(tensor.data) for name, tensor in model.get_inputs().items()})
            model.quirks()
        except EspdlError:
            pass  # an operator may refuse values that only a run knows
    return True


# Mutations that keep the file whole


def mutate(data: bytes, seed: int, otherwise: Callable[[bytes], bytes]) -> bytes:
    """Another file: with one to three parts of its graph changed, or, where that cannot be, what ``otherwise`` makes of the bytes."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return otherwise(data)
    try:
        record = FbsLoader(as_file(data)).load(0, KEY).record
        for _ in range(rng.randint(1, 3)):
            if record.graph.node and _values(record.graph):
                rng.choice(MUTATIONS)(record.graph, rng)
        return wrap_model(write_model(record))
    except EspdlError:
        return otherwise(data)


NUMBERS = (-(2**31), -129, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 17, 127, 128, 1 << 20, 2**31 - 1, 2**40)


def _values(graph: records.Graph) -> list[records.ValueInfo]:
    return [*graph.value_info, *graph.input, *graph.output]


def _shape(graph: records.Graph, rng: random.Random) -> None:
    """Another extent, or one more or less, of every entry of a value."""
    name = rng.choice(_values(graph)).name
    old = next(value.shape for value in _values(graph) if value.name == name)
    shape = list(old or ())
    choice = rng.random()
    if shape and choice < 0.6:
        shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 3, 4, 5, 8, 16, 1 << 12))
    elif shape and choice < 0.8:
        shape.pop(rng.randrange(len(shape)))
    else:
        shape.insert(rng.randint(0, len(shape)), rng.choice((1, 2, 3)))
    for value in _values(graph):
        if value.name == name:
            value.shape = tuple(shape)


def _type(graph: records.Graph, rng: random.Random) -> None:
    name, kind = rng.choice(_values(graph)).name, rng.choice(list(DType))
    for value in _values(graph):
        if value.name == name:
            value.data_type = kind


def _exponent(graph: records.Graph, rng: random.Random) -> None:
    name, exponents = rng.choice(_values(graph)).name, tuple(rng.choice(NUMBERS) for _ in range(rng.choice((0, 1, 1, 1, 4))))
    for value in _values(graph):
        if value.name == name:
            value.exponents = tuple(max(-(2**31), min(2**31 - 1, e)) for e in exponents)


def _attribute(graph: records.Graph, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    if not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    value: Any = attribute.value
    choice = rng.random()
    if choice < 0.1:
        node.attribute.remove(attribute)
    elif isinstance(value, list) and value and choice < 0.8:
        place = rng.randrange(len(value))
        attribute.value = [*value[:place], *([rng.choice(NUMBERS)] if choice < 0.6 else []), *value[place + 1 :]]
    elif isinstance(value, int) and choice < 0.9:
        attribute.value = rng.choice(NUMBERS)
    else:
        attribute.value = rng.choice(
            (0, 1.5, float("nan"), float("inf"), "S8", "S16", "F32", "", [1, 2], [0.5], "Relu", "linear")
        )


def _operator(graph: records.Graph, rng: random.Random) -> None:
    from espdl.dl.module import MODULE_TYPES

    rng.choice(graph.node).op_type = rng.choice(sorted(MODULE_TYPES))


def _wiring(graph: records.Graph, rng: random.Random) -> None:
    """An input omitted, doubled, or taken from elsewhere."""
    node = rng.choice(graph.node)
    names = ["", *(value.name for value in _values(graph)), *(tensor.name for tensor in graph.initializer)]
    if not node.input or rng.random() < 0.2:
        node.input.append(rng.choice(names))
    else:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)


def _constant(graph: records.Graph, rng: random.Random) -> None:
    """Other values, another shape or another type of a constant."""
    if not graph.initializer:
        return
    tensor = rng.choice(graph.initializer)
    data = np.array(tensor.data)
    choice = rng.random()
    if data.size and choice < 0.6 and data.dtype.kind in "iuf":
        limits = (np.iinfo if data.dtype.kind != "f" else np.finfo)(data.dtype)
        number = max(limits.min, min(limits.max, rng.choice(NUMBERS)))
        data.reshape(-1)[rng.randrange(data.size)] = number
    elif choice < 0.8:
        data = data.reshape(-1)[: rng.randint(0, data.size)]
    else:
        data = data.astype(rng.choice((np.int8, np.int16, np.int32, np.int64, np.float32)))
    tensor.data, tensor.dims, tensor.data_type = data, data.shape, DType.of(data.dtype)


def _exponents_of_constant(graph: records.Graph, rng: random.Random) -> None:
    if graph.initializer:
        rng.choice(graph.initializer).exponents = tuple(rng.choice((-300, -8, 0, 3, 200)) for _ in range(rng.choice((0, 1, 4))))


MUTATIONS: Sequence[Callable[[records.Graph, random.Random], None]] = (
    _shape,
    _type,
    _exponent,
    _attribute,
    _attribute,
    _operator,
    _wiring,
    _constant,
    _exponents_of_constant,
)
