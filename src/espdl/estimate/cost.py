"""From counts to cycles: what bounds each operator on a chip, as a sum of amounts times a few costs.

The kernels of ESP-DL compute one pixel after the other, all its output channels from the whole filter (spec 3.2, 3.3). Hence the model:

- each vector of products costs ``product`` cycles (``depthwise`` in a depthwise convolution), each block of output channels of each
  pixel ``block`` more for bias, shift and store; a channel that fills no vector is a sum of its own and costs twice that;
- a filter that is larger than a cache is fetched again for every pixel; from the memory behind the last cache this bounds most large
  layers. A filter somewhat smaller than the cache suffers, too, since activations pass through it: see :func:`missed`;
- activations that do not stay in the last cache cost their bytes once;
- other operators cost their elements, and every node ``node`` cycles.

Only convolutions of high pictures use the second core, and memory does not get faster by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from espdl.dtypes import RuntimeMode
from espdl.estimate.workload import Product, Work

PARAMETERS = (
    "product",
    "depthwise",
    "block",
    "cache",
    "psram",
    "flash",
    "scalar",
    "vector",
    "copy",
    "permute",
    "window",
    "real",
    "node",
)
"""Costs in cycles: per vector of products (twice), block, byte (three times), element, vector, element (four times), node."""

CAUSES: Mapping[str, str] = {
    "products": "product",
    "depthwise products": "depthwise",
    "blocks": "block",
    "filter from 2nd cache": "cache",
    "filter from PSRAM": "psram",
    "filter from flash": "flash",
    "activations in PSRAM": "psram",
    "table or conversion": "scalar",
    "vector elements": "vector",
    "moving elements": "copy",
    "changing the order of axes": "permute",
    "pooling windows": "window",
    "binary32": "real",
    "start of the node": "node",
}
"""What can bound an operator, and the parameter that says what a unit of it costs."""

LONE_CHANNEL = 2
"""Blocks that an output channel outside the vector blocks counts for: it is summed across a vector before it is stored."""

AUTO_HEIGHT, AUTO_WIDTH = 100, 50
"""Smallest input that runtime mode AUTO splits (spec 3.3)."""


@dataclass(frozen=True)
class Memories:
    """Where data lie, and through what they come.

    Attributes:
        caches: bytes of the data caches, the one nearest to the core first.
        thrash: between which multiples of a cache's size a filter goes from always found to never found in it.
        spill: likewise for the activations of a node in the last cache.
        filters_in: ``psram``, ``flash`` or ``internal``.
        psram, flash: time that a byte takes, relative to the memories that the costs were fitted on.
    """

    caches: tuple[int, ...]
    thrash: tuple[float, float]
    spill: tuple[float, float]
    filters_in: str = "psram"
    psram: float = 1.0
    flash: float = 1.0


def missed(size: float, cache: float, limits: Sequence[float]) -> float:
    """The share of ``size`` bytes that a cache has lost when they are gone through again: 0 to 1, linear between the limits."""
    low, high = limits[0] * cache, limits[1] * cache
    return min(max((size - low) / (high - low), 0.0), 1.0)


def amounts(
    work: Work, lanes_bytes: int, memories: Memories, cores: int = 1, mode: RuntimeMode = RuntimeMode.SINGLE_CORE
) -> dict[str, float]:
    """What a node does on a chip, by cause (see :data:`CAUSES`).

    Args:
        work: of the node.
        lanes_bytes: width of the chip's vector unit; 0 without one.
        memories: see there.
        cores: that convolutions may use; ``mode`` says whether they do.
    """
    result = dict.fromkeys(CAUSES, 0.0)
    if work.view:
        return result
    share = cores if splits(work, mode) else 1
    for product in work.products:
        _add_product(result, product, lanes_bytes, memories, share)
    vector = lanes_bytes or 1
    result["table or conversion"] += work.elements.scalar
    result["vector elements"] += work.elements.vector_bytes / vector
    result["moving elements"] += work.elements.copied
    result["changing the order of axes"] += work.elements.permuted
    result["pooling windows"] += work.elements.windowed
    result["binary32"] += work.elements.real
    moved = work.read_bytes + work.written_bytes
    result["activations in PSRAM"] += memories.psram * moved * missed(moved, memories.caches[-1], memories.spill)
    _fetch(result, work.parameter_bytes, memories)
    result["start of the node"] += 1
    return result


def splits(work: Work, mode: RuntimeMode) -> bool:
    """Whether a node goes to two cores (spec 3.3)."""
    if mode is RuntimeMode.SINGLE_CORE or not work.reach or work.input_height <= 4 * work.reach:
        return False
    return mode is RuntimeMode.MULTI_CORE or (work.input_height >= AUTO_HEIGHT and work.input_width >= AUTO_WIDTH)


def _add_product(result: dict[str, float], product: Product, lanes_bytes: int, memories: Memories, share: int) -> None:
    lanes = max(lanes_bytes // product.itemsize, 1)
    blocks, lone = divmod(product.outputs, lanes)
    if product.depthwise:
        vectors = product.pixels * product.taps * (blocks + lone)
        stores = product.pixels * (blocks + (LONE_CHANNEL if lone else 0))
    else:
        rows = -(-product.depth // lanes)
        vectors = product.pixels * product.taps * (blocks * product.depth + lone * rows)
        stores = product.pixels * (blocks + LONE_CHANNEL * lone)
    result["depthwise products" if product.depthwise else "products"] += vectors / share
    result["blocks"] += stores / share
    again = 0.0 if product.depthwise else max(product.pixels - 1, 0) * product.filter_bytes
    for cache in memories.caches[:-1]:
        result["filter from 2nd cache"] += again * missed(product.filter_bytes, cache, memories.thrash) / share
    lost = again * missed(product.filter_bytes, memories.caches[-1], memories.thrash)
    if product.constant:
        _fetch(result, product.filter_bytes + lost, memories)
    else:
        result["activations in PSRAM"] += memories.psram * lost


def _fetch(result: dict[str, float], size: float, memories: Memories) -> None:
    if memories.filters_in == "flash":
        result["filter from flash"] += memories.flash * size
    elif memories.filters_in == "psram":
        result["filter from PSRAM"] += memories.psram * size


def by_parameter(causes: Mapping[str, float]) -> list[float]:
    """Amounts in the order of :data:`PARAMETERS`."""
    sums = dict.fromkeys(PARAMETERS, 0.0)
    for cause, amount in causes.items():
        sums[CAUSES[cause]] += amount
    return list(sums.values())
