"""Byte orders of filters in a file, by the index formulas of runtime spec 1.5."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tests.cases.oracle.node import Array, positions


def packed(array: Array, kind: str, lanes: int) -> tuple[list[int], str]:
    """The elements of a filter in file order, and its tag.

    Args:
        array: ``conv``: [KH, KW, C, N] or [KW, C, N]; ``depthwise``: [KH, KW, C, 1] or [KW, C, 1]; ``matmul``: [..., K, N].
        lanes: elements of the chip's vector for the activations; 1 for a chip without vector unit.
    """
    if kind == "matmul":
        return _matrices(array, lanes)
    spatial = array.shape[:-2]
    taps, extents = prod(spatial), "HW" if len(spatial) == 2 else "W"
    if kind == "depthwise":
        channels = array.shape[-2]
        tag = f"{extents}CN" if lanes == 1 else _blocked_tag(extents, lanes, channels)
        return _depthwise(array.values, taps, channels, lanes), tag
    c, n = array.shape[-2:]
    tag = f"N{extents}C" if lanes == 1 else _blocked_tag(extents, lanes, n)
    return _convolution(array.values, taps, c, n, lanes), tag


def _blocked_tag(extents: str, lanes: int, channels: int) -> str:
    return f"(N/{lanes}){extents}C{lanes}" + ("_UNALIGNED" if channels % lanes else "")


def _convolution(values: Sequence[int], taps: int, c: int, n: int, lanes: int) -> list[int]:
    result = [0] * (taps * c * n)
    blocked = n - n % lanes if lanes > 1 else 0
    for t, ci, ni in positions((taps, c, n)):
        if ni < blocked:
            place = ((ni // lanes * taps + t) * c + ci) * lanes + ni % lanes
        else:
            place = blocked * taps * c + ((ni - blocked) * taps + t) * c + ci
        result[place] = values[(t * c + ci) * n + ni]
    return result


def _depthwise(values: Sequence[int], taps: int, channels: int, lanes: int) -> list[int]:
    result = [0] * (taps * channels)
    blocked = channels - channels % lanes if lanes > 1 else 0
    for t, ci in positions((taps, channels)):
        if ci < blocked:
            place = (ci // lanes * taps + t) * lanes + ci % lanes
        else:
            place = blocked * taps + t * (channels - blocked) + ci - blocked
        result[place] = values[t * channels + ci]
    return result


def _matrices(array: Array, lanes: int) -> tuple[list[int], str]:
    if len(array.shape) < 2:
        return list(array.values), "UNK"
    k, n = array.shape[-2:]
    result: list[int] = []
    for start in range(0, array.size, k * n):
        result += _convolution(array.values[start : start + k * n], 1, k, n, lanes)
    return result, "NHWC" if lanes == 1 else _blocked_tag("HW", lanes, n)
