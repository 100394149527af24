"""The rules and ingredients in which two runs of a node may differ, each as a change that can be tried alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espdl.chips import CHIPS, Accumulator, Macs, Overflow
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module
from espdl.dl.module.lut import Lut
from espdl.dl.module.mac import MacModule
from espdl.dl.module.unary import Unary
from espdl.dl.quirks import quirks_of
from espdl.dtypes import Arithmetic, DType, Int16Lut
from espdl.report.explain.trial import Change
from espdl.rounding import Rounding, dequantize, quantize
from espdl.tensor import TensorBase
from espdl.wording import counted

_WIDE = Accumulator(64, Overflow.WRAP)
WIDE = Macs(_WIDE, _WIDE)
"""Accumulators of reference arithmetic."""

ASSIGNMENTS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "RequantizeLinear", "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
)

_NAMES = {Rounding.HALF_UP: "half up", Rounding.HALF_EVEN: "half to even"}


def rule_changes(modules: Sequence[Module], machine: Machine, other: Machine | None) -> list[Change]:
    """Rules of ``machine`` that the second side may have otherwise, the commonest first.

    Args:
        modules: those of the segment.
        other: what the second side computes with; None where nobody knows, as with a dump: then every rule is tried.
    """
    return list(_rules(modules, machine, other))


def _rules(modules: Sequence[Module], machine: Machine, other: Machine | None) -> Iterator[Change]:
    if other is None or other.chip.rounding is not machine.chip.rounding:
        rounding = Rounding.HALF_EVEN if machine.chip.rounding is Rounding.HALF_UP else Rounding.HALF_UP
        yield Change(
            "rounding",
            f"ties are rounded {_NAMES[rounding]} instead of {_NAMES[machine.chip.rounding]}",
            lambda m: replace(m, chip=replace(m.chip, rounding=rounding)),
        )
    macs = frozenset(place for place, module in enumerate(modules) if isinstance(module, MacModule))
    if macs:
        yield from _accumulators(machine, other, macs)
    rest = frozenset(range(len(modules))) - macs
    if rest and (other is None or other.arithmetic is not machine.arithmetic):
        yield from _vector_unit(modules, machine, rest)
    if any(isinstance(module, Lut) for module in modules) and (other is None or other.int16_lut is not machine.int16_lut):
        rule = Int16Lut.INTERPOLATING if machine.int16_lut is Int16Lut.NEAREST else Int16Lut.NEAREST
        yield Change(
            "lut-rule",
            f"16-bit tables are read {_LUT_TEXT[rule]} instead of {_LUT_TEXT[machine.int16_lut]}",
            lambda m: replace(m, int16_lut=rule),
        )
    tables = frozenset(place for place, module in enumerate(modules) if "lut" in module.attributes and isinstance(module, Unary))
    if tables and other is None:
        yield Change(
            "lut-recomputed", "the function is computed, not looked up in the file's table", compute=recomputed, only=tables
        )
    if any(quirks_of(module.op_type, machine.chip) for module in modules) and (
        other is None or other.strict_onnx is not machine.strict_onnx
    ):
        ids = [quirk.id for module in modules for quirk in quirks_of(module.op_type)]
        does = "does not do" if not machine.strict_onnx else "does"
        yield Change(
            "quirk",
            f"the second side {does} what ESP-DL does otherwise than ONNX here ({', '.join(dict.fromkeys(ids))})",
            lambda m: replace(m, strict_onnx=not m.strict_onnx),
        )


_LUT_TEXT = {Int16Lut.NEAREST: "by their nearest entry", Int16Lut.INTERPOLATING: "on the line between two entries"}


def _macs_of(machine: Machine) -> list[Macs]:
    return [machine.chip.macs8, machine.chip.macs16] if machine.is_silicon else [WIDE, WIDE]


def _accumulators(machine: Machine, other: Machine | None, only: frozenset[int]) -> Iterator[Change]:
    own = _macs_of(machine)
    if other is not None:
        candidates = [_macs_of(other)]
    else:
        known = [[chip.macs8, chip.macs16] for chip in (machine.chip, *CHIPS.values())]
        candidates = [[WIDE, WIDE]]
        candidates += [pair for place, pair in enumerate(known) if pair not in known[:place]]
    seen: list[object] = [[(macs.block, macs.remainder) for macs in own]]
    for pair in candidates:
        lanes = [(macs.block, macs.remainder) for macs in pair]
        if lanes not in seen:
            seen.append(lanes)
            yield _lane_change(own, pair, only)
    widths: list[object] = [[macs.bias_bits for macs in own]]
    for pair in candidates:
        bits = [macs.bias_bits for macs in pair]
        if bits not in widths:
            widths.append(bits)
            narrow = min(b for macs in (*own, *pair) if (b := macs.bias_bits))
            where = "on the second side" if any(bits) else "on the first side"
            yield Change("bias-wrap", f"biases are cut to {narrow} bits {where}", _bias_setter(pair), only=only)


def _lane_change(own: Sequence[Macs], pair: Sequence[Macs], only: frozenset[int]) -> Change:
    mine, theirs = own[0].block, pair[0].block
    narrow, where = (theirs, "second") if theirs.bits < mine.bits else (mine, "first")
    if narrow.overflow is Overflow.SATURATE:
        return Change(
            "lane-saturation", f"sums saturate in lanes of {narrow.bits} bits on the {where} side", _lane_setter(pair), only=only
        )
    return Change("accumulator-wrap", f"sums wrap at {narrow.bits} bits on the {where} side", _lane_setter(pair), only=only)


def _lane_setter(pair: Sequence[Macs]) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        made = as_silicon(machine)
        macs = [replace(m, block=p.block, remainder=p.remainder) for m, p in zip(_macs_of(made), pair, strict=True)]
        return replace(made, chip=replace(made.chip, macs8=macs[0], macs16=macs[1]))

    return change


def _bias_setter(pair: Sequence[Macs]) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        made = as_silicon(machine)
        macs = [replace(m, bias_bits=p.bias_bits) for m, p in zip(_macs_of(made), pair, strict=True)]
        return replace(made, chip=replace(made.chip, macs8=macs[0], macs16=macs[1]))

    return change


def as_silicon(machine: Machine) -> Machine:
    """The same sums with the accumulators told: reference arithmetic as a vector unit with wide ones."""
    if machine.is_silicon:
        return machine
    return replace(machine, arithmetic=Arithmetic.SILICON, chip=replace(machine.chip, macs8=WIDE, macs16=WIDE))


def _vector_unit(modules: Sequence[Module], machine: Machine, rest: frozenset[int]) -> Iterator[Change]:
    flipped = Arithmetic.REFERENCE if machine.is_silicon else Arithmetic.SILICON
    types = {modules[place].op_type for place in rest}
    where = "first" if machine.is_silicon else "second"
    if types & ASSIGNMENTS:
        cause, text = "requantize-overflow", f"the factor of a left shift does not fit its register on the {where} side"
    elif types & {"Mul"}:
        cause, text = (
            "float-product",
            f"products are rounded to binary32 on the {'second' if machine.is_silicon else 'first'} side",
        )
    else:
        cause, text = "vector-unit", f"the vector unit computes otherwise than the C code, on the {where} side"
    yield Change(cause, text, lambda m: replace(m, arithmetic=flipped), only=rest)
    if cause == "requantize-overflow" and not machine.is_silicon:
        for bits in dict.fromkeys(chip.factor_bits for chip in CHIPS.values() if any(chip.factor_bits)):
            yield Change(cause, text, _factor_setter(bits), only=rest)


def _factor_setter(bits: tuple[int, int]) -> Callable[[Machine], Machine]:
    return lambda machine: replace(machine, arithmetic=Arithmetic.SILICON, chip=replace(machine.chip, factor_bits=bits))


def recomputed(
    module: Module, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase | None], machine: Machine
) -> dict[int, NDArray] | None:
    """A function of one value computed without its table (runtime spec 3.6)."""
    source, target = inputs[0], outputs[0]
    if source is None or target is None or target.dtype not in (DType.INT8, DType.INT16):
        return None
    limits = np.iinfo(source.dtype.numpy)
    values = np.arange(limits.min, limits.max + 1)
    with np.errstate(all="ignore"):
        results = np.asarray(module.float_forward(dequantize(values, int(source.exponent))))
    table = quantize(results, int(target.exponent), target.dtype.numpy, machine.chip.rounding)
    return {0: table[source.data.astype(np.int64) - int(limits.min)].reshape(target.data.shape)}


def file_changes(
    mine: Module, theirs: Module, place: int, names: Sequence[str], exponents: dict[str, tuple[int, int]]
) -> list[Change]:
    """What differs between a node of one file and the same node of another.

    Args:
        place: of the node in the segment.
        names: of the node's inputs.
        exponents: those of the outputs that differ: of the first file and of the second.
    """
    return list(_ingredients(mine, theirs, place, names, exponents))


def _ingredients(
    mine: Module, theirs: Module, place: int, names: Sequence[str], exponents: dict[str, tuple[int, int]]
) -> Iterator[Change]:
    only = frozenset({place})
    if exponents:
        text = ", ".join(f"{a} instead of {b} of {name!r}" for name, (b, a) in exponents.items())
        yield Change(
            "exponents", f"the exponent is {text}", exponents={name: new for name, (_, new) in exponents.items()}, only=only
        )
    for index in sorted(mine.parameters.keys() & theirs.parameters.keys()):
        one, two = mine.parameters[index], theirs.parameters[index]
        if difference := parameter_difference(one, two):
            name = names[index] if index < len(names) else f"input {index}"
            cause, text = difference
            yield Change(cause, f"{name!r}: {text}", edit=_parameter_setter(index, two), only=only)
    table, second = mine.attributes.get("lut"), theirs.attributes.get("lut")
    if isinstance(table, TensorBase) and isinstance(second, TensorBase):
        if table.data.shape != second.data.shape or not np.array_equal(table.data, second.data):
            count = int((table.data != second.data).sum()) if table.data.shape == second.data.shape else second.size
            yield Change(
                "lut-table",
                f"{counted(count, 'entry').replace('entrys', 'entries')} of the table differ",
                edit=_attribute_setter("lut", second),
                only=only,
            )
    elif (table is None) is not (second is None):
        have, lack = ("the first file", "the second") if second is None else ("the second file", "the first")
        yield Change(
            "lut-recomputed",
            f"{have} holds a table, {lack} has the function computed",
            edit=_attribute_setter("lut", second),
            only=only,
        )
    for name in sorted((mine.attributes.keys() | theirs.attributes.keys()) - {"lut"}):
        before, after = mine.attributes.get(name), theirs.attributes.get(name)
        if not isinstance(before, TensorBase) and not isinstance(after, TensorBase) and before != after:
            yield Change(
                "graph", f"attribute {name} is {after!r} instead of {before!r}", edit=_attribute_setter(name, after), only=only
            )


def parameter_difference(one: TensorBase, two: TensorBase) -> tuple[str, str] | None:
    """Cause and words for two constants that differ; None for equal ones."""
    if one.exponent != two.exponent:
        same = one.data.shape == two.data.shape and np.array_equal(one.data, two.data)
        return (
            "exponents" if same else "weights",
            f"exponent {two.exponent.data().tolist()} instead of {one.exponent.data().tolist()}",
        )
    if one.data.shape != two.data.shape:
        return "weights", f"shape {list(two.data.shape)} instead of {list(one.data.shape)}"
    differs = one.data != two.data
    if not differs.any():
        return None
    if one.size > 1 and np.array_equal(np.sort(one.data, axis=None), np.sort(two.data, axis=None)):
        return "packing", f"the same {one.size} numbers in another order"
    largest = float(np.abs(one.data.astype(np.float64) - two.data.astype(np.float64)).max())
    return "weights", f"{int(differs.sum())} of {one.size} differ, by {largest:g} at most"


def _parameter_setter(index: int, tensor: TensorBase) -> Callable[[Module], None]:
    def edit(module: Module) -> None:
        module.parameters[index] = tensor

    return edit


def _attribute_setter(name: str, value: object) -> Callable[[Module], None]:
    def edit(module: Module) -> None:
        if value is None:
            module.attributes.pop(name, None)
        else:
            module.attributes[name] = value

    return edit


def joined(first: Change, second: Change) -> Change | None:
    """Two changes at once; None where they cannot be."""
    if first.compute or second.compute:
        return None
    only = first.only if second.only is None else second.only if first.only is None else first.only & second.only
    if only is not None and not only:
        return None
    machines = [change.machine for change in (first, second) if change.machine is not None]
    edits = [change.edit for change in (first, second) if change.edit is not None]

    def machine(given: Machine) -> Machine:
        for change in machines:
            given = change(given)
        return given

    def edit(module: Module) -> None:
        for change in edits:
            change(module)

    return Change(
        f"{first.cause} + {second.cause}",
        f"{first.text}, and {second.text}",
        machine if machines else None,
        edit if edits else None,
        {**first.exponents, **second.exponents},
        only=only,
    )
