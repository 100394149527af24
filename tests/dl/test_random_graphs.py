"""Random networks out of all operators: both backends agree in every bit, live tensors lie apart, only EspdlError is raised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espdl.dl import Model
from espdl.dl.base import get_kernels
from espdl.dl.module import BUILT_IN
from espdl.dl.plan import MemoryPlan
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from tests.dl.drawn_graphs import Drawn
from tests.dl.drawn_movement import MOVEMENT
from tests.dl.drawn_operators import COMPUTING, ELEMENTWISE

RECIPES = {**ELEMENTWISE, **COMPUTING, **MOVEMENT}
FAMILIES = (ELEMENTWISE, COMPUTING, MOVEMENT)
VIEWS = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
TARGETS = ("c", "esp32s3", "esp32p4")


def draw(random: Random, nodes: int) -> Drawn:
    """A network of up to ``nodes`` nodes, at least one."""
    drawn = Drawn(random, random.choice(TARGETS))
    tries = 0
    while len(drawn.nodes) < nodes and tries < 4 * nodes:
        family = drawn.one_of(FAMILIES)
        RECIPES[drawn.one_of(sorted(family))](drawn)
        tries += 1
    while not drawn.nodes:
        MOVEMENT["Identity"](drawn)
    return drawn


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal, -0 told from 0, every NaN like every other."""
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    return one.shape == other.shape and bool(
        np.all((one.view(np.int32) == other.view(np.int32)) | (np.isnan(one) & np.isnan(other)))
    )


def related(plan: MemoryPlan, name: str) -> Iterator[str]:
    """The tensors that ``name`` lies on, itself first."""
    leader: str | None = name
    while leader is not None:
        yield leader
        leader = plan.tensors[leader].leader


def check_plan(model: FbsModel, plan: MemoryPlan) -> None:
    """Two tensors that are alive at the same step lie apart, unless one was put on the other on purpose.

    The chip's own rules leave cases where they do not (runtime spec 5.2): those must be reported.
    """
    reported = {hazard.tensor for hazard in plan.hazards}
    graph = model.record.graph
    born = {value.name: -1 for value in graph.input}
    last = {value.name: len(graph.node) for value in graph.output}
    for step, node in enumerate(graph.node):
        born |= {name: step for name in node.output if name}
        for name in node.input:
            last[name] = max(last.get(name, -1), step)
    roots = {name: list(related(plan, name))[-1] for name in plan.tensors}
    for node in graph.node:
        if node.op_type in VIEWS and node.input[0] in roots:
            source, shown = plan.tensors[node.input[0]], plan.tensors[node.output[0]]
            if (source.internal, source.offset) == (shown.internal, shown.offset):  # it is copied onto itself
                roots[shown.name] = roots[source.name]
    for one, other in combinations(plan.tensors.values(), 2):
        alive_together = born[one.name] <= last.get(other.name, born[other.name]) and born[other.name] <= last.get(
            one.name, born[one.name]
        )
        if alive_together and roots[one.name] != roots[other.name] and not reported & {one.name, other.name}:
            assert not one.overlaps(other), f"{one.name} and {other.name} share memory: {one} {other}"
    for tensor in plan.tensors.values():
        assert tensor.offset >= 0
        assert tensor.offset + tensor.size <= (plan.internal_size if tensor.internal else plan.psram_size)


def load(file: bytes, backend: str, options: dict[str, Any]) -> tuple[Model | None, str]:
    """The model, or why there is none."""
    try:
        return Model(file, backend=backend, **options), ""
    except EspdlError as error:
        return None, str(error)


def check(drawn: Drawn) -> bool:
    """Runs a network every way there is; False where it is refused, by both backends alike."""
    file, feeds = drawn.file(), [drawn.feeds() for _ in range(2)]
    arithmetic = drawn.one_of(("silicon", "reference"))
    limit = drawn.one_of((0, 0, 256, 4096))
    strict = drawn.chance(0.2)
    options = {"arithmetic": arithmetic, "max_internal_size": limit, "strict_onnx": strict}
    model, refusal = load(file, "numpy", options)
    native, other_refusal = load(file, "native", options)
    assert refusal == other_refusal
    if model is None or native is None:
        return False
    check_plan(model.get_fbs_model(), model.memory.plan)
    model.quirks()
    for feed in feeds:
        expected = model.run_arrays(feed, model.variable_names)
        stepwise = native.run_arrays(feed, model.variable_names)
        for name, array in expected.items():
            assert same_bits(array, stepwise[name]), f"{name}: the backends differ"
    model.reset()
    fused = Model(file, backend="native", **options)
    for feed in feeds:
        expected, found = model.run_arrays(feed), fused.run_arrays(feed)
        for name, array in expected.items():
            assert same_bits(array, found[name]), f"{name}: the fused run differs"
    return True


native = pytest.mark.skipif(get_kernels().name != "native", reason="there are no native kernels")


@native
@pytest.mark.parametrize("op_type", sorted(RECIPES))
def test_each_operator(op_type: str) -> None:
    if op_type not in BUILT_IN:
        pytest.skip(f"there is no operator {op_type}")
    ran = 0
    for seed in range(12):
        drawn = Drawn(Random(seed), TARGETS[seed % 3])
        if RECIPES[op_type](drawn):
            ran += check(drawn)
    assert ran >= 3, f"{op_type}: only {ran} of 12 drawn nodes could run"


def test_every_operator_is_drawn() -> None:
    assert set(RECIPES) >= BUILT_IN


@native
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_random_networks(random: Random, nodes: int) -> None:
    check(draw(random, nodes))


@native
@pytest.mark.slow
@settings(max_examples=1500, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 48), st.integers(1, 14))
def test_many_random_networks(seed: int, nodes: int) -> None:
    check(draw(Random(seed), nodes))
