"""Amounts of work on a chip: lanes, caches, cores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from espdl.dtypes import RuntimeMode
from espdl.estimate.cost import CAUSES, PARAMETERS, Memories, amounts, by_parameter, missed, splits
from espdl.estimate.workload import Elements, Product, Work

MEMORIES = Memories((1000, 4000), (0.75, 1.5), (1.0, 4.0))
CONV = Work("", "Conv", (Product(100, 9, 8, 32, False, 1, 2304),), input_height=14, reach=3, input_width=14)


def test_every_cause_has_a_parameter() -> None:
    assert set(CAUSES.values()) == set(PARAMETERS)


@pytest.mark.parametrize(("size", "share"), [(0, 0), (750, 0), (1125, 0.5), (1500, 1), (9000, 1)])
def test_a_cache_loses_filters_little_by_little(size: float, share: float) -> None:
    assert missed(size, 1000, (0.75, 1.5)) == pytest.approx(share)


def test_products_in_whole_vectors() -> None:
    found = amounts(CONV, 16, MEMORIES)
    assert found["products"] == 100 * 9 * 8 * 2
    assert found["blocks"] == 100 * 2
    assert found["filter from 2nd cache"] == 99 * 2304  # more than the first cache holds
    assert found["filter from PSRAM"] == 2304  # the second one holds it: read once
    assert found["start of the node"] == 1


def test_channels_beyond_the_last_vector_are_dear() -> None:
    odd = replace(CONV, products=(replace(CONV.products[0], outputs=33),))
    found, whole = amounts(odd, 16, MEMORIES), amounts(CONV, 16, MEMORIES)
    assert found["products"] - whole["products"] == 100 * 9  # 8 inputs fill one vector
    assert found["blocks"] - whole["blocks"] == 200


def test_without_vector_unit_every_product_counts() -> None:
    found = amounts(CONV, 0, MEMORIES)
    assert found["products"] == CONV.macs
    assert found["blocks"] == 100 * 32


def test_wide_elements_halve_the_lanes() -> None:
    wide = replace(CONV, products=(replace(CONV.products[0], itemsize=2),))
    assert amounts(wide, 16, MEMORIES)["products"] == 2 * amounts(CONV, 16, MEMORIES)["products"]


def test_a_filter_beyond_all_caches_comes_again_for_every_pixel() -> None:
    large = replace(CONV, products=(replace(CONV.products[0], filter_bytes=10_000.0),))
    assert amounts(large, 16, MEMORIES)["filter from PSRAM"] == 100 * 10_000
    flash = replace(MEMORIES, filters_in="flash", flash=2.0)
    assert amounts(large, 16, flash)["filter from flash"] == 2 * 100 * 10_000
    internal = amounts(large, 16, replace(MEMORIES, filters_in="internal"))
    assert internal["filter from flash"] == internal["filter from PSRAM"] == 0


def test_a_depthwise_filter_stays() -> None:
    work = Work("", "Conv", (Product(50, 9, 1, 25, True, 1, 225),))
    found = amounts(work, 16, MEMORIES)
    assert found["depthwise products"] == 50 * 9 * (1 + 9)
    assert found["blocks"] == 50 * (1 + 2)
    assert found["products"] == found["filter from 2nd cache"] == 0


def test_only_the_second_core_helps_high_convolutions() -> None:
    found, alone = amounts(CONV, 16, MEMORIES, 2, RuntimeMode.MULTI_CORE), amounts(CONV, 16, MEMORIES)
    assert found["products"] == alone["products"] / 2
    assert found["filter from PSRAM"] == alone["filter from PSRAM"]
    assert amounts(replace(CONV, input_height=12), 16, MEMORIES, 2, RuntimeMode.MULTI_CORE)["products"] == alone["products"]


@pytest.mark.parametrize(
    ("height", "width", "mode", "split"),
    [
        (13, 5, RuntimeMode.MULTI_CORE, True),
        (12, 5, RuntimeMode.MULTI_CORE, False),
        (100, 50, RuntimeMode.AUTO, True),
        (100, 49, RuntimeMode.AUTO, False),
        (99, 50, RuntimeMode.AUTO, False),
        (100, 50, RuntimeMode.SINGLE_CORE, False),
    ],
)
def test_when_a_convolution_is_split(height: int, width: int, mode: RuntimeMode, split: bool) -> None:
    assert splits(replace(CONV, input_height=height, input_width=width), mode) is split


def test_activations_that_stay_in_the_cache_are_free() -> None:
    small, large = (Work("", "Add", (), Elements(vector_bytes=size), 2 * size, size) for size in (1000, 16_000))
    assert amounts(small, 16, MEMORIES)["activations in PSRAM"] == 0
    assert amounts(large, 16, replace(MEMORIES, psram=4.0))["activations in PSRAM"] == 4 * 48_000
    assert amounts(large, 16, MEMORIES)["vector elements"] == 1000


def test_a_view_is_free() -> None:
    assert not any(amounts(Work("", "Reshape", view=True), 16, MEMORIES).values())


def test_causes_of_one_parameter_are_added() -> None:
    sums = by_parameter({"filter from PSRAM": 3.0, "activations in PSRAM": 4.0})
    assert sums[PARAMETERS.index("psram")] == 7
    assert sum(sums) == 7
