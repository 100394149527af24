"""How the operators that only move elements are drawn."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from tests.dl.drawn_graphs import BOOL, INTEGERS, NUMBERS, Drawn, Value

Recipe = Callable[[Drawn], bool]
ANY = (*NUMBERS, BOOL)


def _same(x: Value) -> list[tuple]:
    return [(x.dtype, x.exponent)]


def _view(g: Drawn, x: Value) -> list[tuple]:
    """Views may change the exponent, too."""
    return [(x.dtype, g.exponent(x.dtype))] if g.chance(0.15) and x.dtype in INTEGERS else _same(x)


def _identity(g: Drawn) -> bool:
    x = g.pick(ANY)
    return g.add("Identity", [x], _view(g, x))


def _flatten(g: Drawn) -> bool:
    x = g.pick(ANY)
    return g.add("Flatten", [x], _view(g, x), axis=g.random.randint(-len(x.shape), len(x.shape)))


def _reshape(g: Drawn) -> bool:
    x = g.pick(ANY)
    total, shape = prod(x.shape), []
    for size in (2, 3, 4):
        if total % size == 0 and g.chance(0.5):
            shape.append(size)
            total //= size
    shape.append(-1 if g.chance(0.5) else total)
    return g.add("Reshape", [x, g.constant(shape)], _view(g, x), allowzero=0)


def _squeeze(g: Drawn) -> bool:
    x = g.pick(ANY)
    axes = [axis for axis, size in enumerate(x.shape) if size == 1 and g.chance(0.7)]
    return g.add("Squeeze", [x, g.constant(axes)] if axes else [x], _view(g, x))


def _unsqueeze(g: Drawn) -> bool:
    x = g.pick(ANY, ranks=(1, 2, 3))
    return g.add("Unsqueeze", [x, g.constant([g.random.randint(-len(x.shape) - 1, len(x.shape))])], _view(g, x))


def _transpose(g: Drawn) -> bool:
    x = g.pick(ANY)
    perm = list(range(len(x.shape)))
    g.random.shuffle(perm)
    return g.add("Transpose", [x], _same(x), perm=perm)


def _concat(g: Drawn) -> bool:
    x = g.pick(ANY)
    axis = g.random.randint(-len(x.shape), len(x.shape) - 1)
    others = []
    for _ in range(g.random.randint(1, 2)):
        shape = list(x.shape)
        shape[axis] = g.random.randint(1, 4)
        others.append(g.beside(x, shape, exponent=x.exponent))
    return g.add("Concat", [x, *others], _same(x), axis=axis)


def _split(g: Drawn) -> bool:
    x = g.pick(ANY)
    axis = g.random.randint(0, len(x.shape) - 1)
    first = g.random.randint(0, x.shape[axis])
    return g.add("Split", [x, g.constant([first, x.shape[axis] - first])], _same(x) * 2, axis=axis)


def _slice(g: Drawn) -> bool:
    x = g.pick(ANY)
    axes = [axis for axis in range(len(x.shape)) if g.chance(0.6)] or [0]
    starts = [g.random.randint(-x.shape[axis], x.shape[axis] - 1) for axis in axes]
    steps = [g.one_of((1, 1, 2, -1, -2)) for _ in axes]
    ends = [10**6 if step > 0 else -(10**6) for step in steps]
    return g.add("Slice", [x, *map(g.constant, (starts, ends, axes, steps))], _same(x))


def _gather(g: Drawn) -> bool:
    x = g.pick(ANY)
    axis = g.random.randint(-len(x.shape), len(x.shape) - 1)
    indices = [g.random.randint(0, x.shape[axis] - 1) for _ in range(g.random.randint(1, 4))]
    return g.add("Gather", [x, g.constant(indices)], _same(x), axis=axis)


def _pad(g: Drawn) -> bool:
    x = g.pick(ANY)
    mode = g.one_of(("constant", "edge", "reflect"))
    most = [2 if mode != "reflect" else min(2, size - 1) for size in x.shape]
    pads = [g.random.randint(0, most[i % len(most)]) for i in range(2 * len(most))]
    value = [g.constant(g.array((1,), x.dtype), x.exponent)] if mode == "constant" and g.chance(0.6) else []
    return g.add("Pad", [x, g.constant(pads), *value], _same(x), mode=mode)


def _reverse(g: Drawn) -> bool:
    x = g.pick(ranks=(2, 3, 4))
    batch = g.one_of((0, 1))
    lengths = [g.random.randint(0, x.shape[1 - batch]) for _ in range(x.shape[batch])]
    return g.add("ReverseSequence", [x, g.constant(lengths)], _same(x), batch_axis=batch, time_axis=1 - batch)


def _scatter(g: Drawn) -> bool:
    import numpy as np

    x = g.pick()
    depth, count = g.random.randint(1, len(x.shape)), g.random.randint(1, 4)
    rows = [[g.random.randint(0, size - 1) for size in x.shape[:depth]] for _ in range(count)]
    updates = g.beside(x, (count, *x.shape[depth:]), exponent=x.exponent)
    reduction = g.one_of(("none", "add", "mul", "max", "min"))
    return g.add("ScatterND", [x, g.constant(np.array(rows, np.int64)), updates], _same(x), reduction=reduction)


def _depth_to_space(g: Drawn) -> bool:
    block = g.one_of((1, 2))
    x = g.pick(ANY, shape=(1, 2, 3, block**2 * g.random.randint(1, 3)))
    return g.add("DepthToSpace", [x], _same(x), blocksize=block, mode="CRD")


def _space_to_depth(g: Drawn) -> bool:
    block = g.one_of((1, 2))
    x = g.pick(ANY, shape=(1, 2 * block, block, g.random.randint(1, 3)))
    return g.add("SpaceToDepth", [x], _same(x), blocksize=block)


def _insert_zeros(g: Drawn) -> bool:
    x = g.image()
    spatial = len(x.shape) - 2
    stride = [g.random.randint(1, 3) for _ in range(spatial)]
    return g.add("InsertZeros", [x], _same(x), stride=stride, output_padding=[g.random.randint(0, 1) for _ in range(spatial)])


def _cache(g: Drawn) -> bool:
    x = g.image()
    return g.add("StreamingCache", [x], _same(x), window_size=g.random.randint(1, 4), frame_axis=1)


MOVEMENT: dict[str, Recipe] = {
    "Identity": _identity,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "ReverseSequence": _reverse,
    "ScatterND": _scatter,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "InsertZeros": _insert_zeros,
    "StreamingCache": _cache,
}
