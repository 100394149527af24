"""Byte order in which a vector unit with narrow accumulator lanes loads the biases of Conv and Gemm (runtime spec 2.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.alignment import round_up
from espdl.errors import EspdlError

_GROUP_BYTES = 20
"""Bytes that one half of the accumulator register takes at a time; each group starts at a multiple of 16."""


def pack_bias(bias: NDArray, bits: int, lanes: int, depthwise: bool) -> NDArray[np.uint8]:
    """Biases as accumulator lanes: ``bits`` each, without gaps, in groups of 20 bytes padded to 32, and the rest as int64.

    Args:
        bias: flat integers, one per output channel. Each is cut to its low ``bits`` bits.
        bits: lane width: 20 (8-bit activations) or 40 (16-bit activations).
        lanes: channels that the vector unit computes at once; only whole blocks of them are packed.
        depthwise: pack every channel.

    Returns:
        Flat uint8 array, a multiple of 16 bytes long.
    """
    if bits not in (20, 40):
        raise EspdlError(f"biases of {bits} bits are not packed", hint="accumulator lanes have 20 or 40 bits")
    values = np.asarray(bias, dtype=np.int64).reshape(-1)
    packed = _packed_count(values.size, lanes, depthwise)
    per_group = _GROUP_BYTES * 8 // bits
    chunks = []
    for start in range(0, packed, per_group):
        group = values[start : min(start + per_group, packed)]
        low_bits = (group[:, None] >> np.arange(bits)) & 1
        chunk = np.packbits(low_bits.astype(np.uint8).reshape(-1), bitorder="little")
        chunks.append(_padded(chunk, round_up(chunk.size)))
    chunks.append(values[packed:].astype("<i8").view(np.uint8))
    return _padded(np.concatenate(chunks), packed_bytes(values.size, bits, lanes, depthwise))


def packed_bytes(count: int, bits: int, lanes: int, depthwise: bool) -> int:
    """Bytes that the chip takes for ``count`` packed biases; see :func:`pack_bias` for the arguments."""
    packed = _packed_count(count, lanes, depthwise)
    return round_up(packed * bits // 5 + 8 * (count - packed))


def _packed_count(count: int, lanes: int, depthwise: bool) -> int:
    return count if depthwise else count // lanes * lanes


def _padded(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.pad(data, (0, max(size - data.size, 0)))
