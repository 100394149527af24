"""Latencies: sums, intervals, what they depend on."""

from __future__ import annotations

from pathlib import Path

import pytest

from espdl.chips import CHIPS, get_chip
from espdl.dl import Model
from espdl.dtypes import RuntimeMode
from espdl.estimate.costs import costs_of
from espdl.estimate.latency import Latency, Time, estimate_latency, estimate_work
from espdl.estimate.memory import estimate_memory
from espdl.estimate.modules import get_module
from tests.estimate.latency_fit import script
from tests.models import small_file


@pytest.fixture(scope="module")
def mobilenet(conformance: Path) -> Model:
    return Model(conformance / "models/esp32s3/imagenet_cls_mobilenetv2_s8_v1.espdl", target="esp32s3")


def test_layers_make_up_the_model(mobilenet: Model) -> None:
    latency = estimate_latency(mobilenet)
    assert [layer.name for layer in latency.layers] == [module.name for module in mobilenet.modules]
    assert sum(layer.time.us for layer in latency.layers) == pytest.approx(latency.model.us)
    assert sum(layer.share for layer in latency.layers) == pytest.approx(1)
    assert sum(latency.by_cause().values()) == pytest.approx(latency.model.us)
    assert latency.macs == pytest.approx(300.8e6, rel=0.001)
    for layer in latency.layers:
        assert sum(layer.causes.values()) == pytest.approx(layer.time.us)
        if layer.time.us:
            assert layer.time.low < layer.time.us < layer.time.high
            assert layer.causes[layer.bound] == max(layer.causes.values())
    assert latency.preprocess is not None
    assert latency.total.us > latency.model.us
    assert latency.total.low < latency.total.us < latency.total.high


def test_the_last_layers_wait_for_their_filters(mobilenet: Model) -> None:
    """153 KB of filter for each of 49 pixels: no cache of this chip holds that."""
    bounds = [layer.bound for layer in estimate_latency(mobilenet).layers if layer.op_type == "Conv"]
    assert bounds.count("filter from PSRAM") > 5
    assert bounds[0] != "filter from PSRAM"


def test_where_parameters_lie_counts(mobilenet: Model) -> None:
    copied, flash = (
        estimate_latency(mobilenet, estimate_memory(mobilenet, None, copy, search_internal=False)) for copy in ("yes", "no")
    )
    assert flash.filters_in == "flash"
    assert flash.model.us > 2 * copied.model.us
    quad = estimate_latency(mobilenet, estimate_memory(mobilenet, "N16R2", "yes", search_internal=False))
    assert quad.model.us > 1.5 * copied.model.us


def test_the_second_core_helps_as_published(mobilenet: Model) -> None:
    one = estimate_latency(mobilenet)
    two = estimate_latency(mobilenet, mode=RuntimeMode.MULTI_CORE)
    assert 0.5 < two.model.us / one.model.us < 1
    assert any(layer.two_cores for layer in two.layers)
    assert not any(layer.two_cores for layer in one.layers)


def test_internal_ram_makes_it_no_slower(conformance: Path) -> None:
    file = conformance / "models/esp32s3/espdet_pico_224_224_face.espdl"
    without, with_internal = (estimate_latency(Model(file, target="esp32s3", max_internal_size=size)) for size in (0, 300 << 10))
    assert with_internal.model.us < without.model.us


@pytest.mark.parametrize("chip", CHIPS)
def test_every_chip_has_figures_with_intervals(chip: str) -> None:
    model = Model(small_file("esp32s3", metadata=True))
    memory = estimate_memory(model, chip=get_chip(chip), search_internal=False)
    latency = estimate_latency(model, memory, chip=get_chip(chip))
    assert latency.chip.name == chip
    assert 0 < latency.model.low < latency.model.us < latency.model.high
    measured = chip in ("esp32s3", "esp32p4")
    assert latency.basis.startswith("fitted to") is measured
    assert (costs_of(get_chip(chip)).borrowed == 0) is measured
    assert latency.to_dict()["interval"] == 0.9


def test_borrowed_costs_have_wider_intervals() -> None:
    works = script("workloads").load()["mobilenetv2"]

    def width(name: str) -> float:
        chip = get_chip(name)
        time = estimate_work(works, chip, get_module(chip), "psram").model
        return time.high / time.low

    assert width("esp32p4") < width("esp32s31") < width("esp32c5")


def test_published_rows_lie_in_the_intervals_of_what_is_kept() -> None:
    """The package itself, not the script, on the published workloads."""
    fit_latency, workloads = script("fit_latency"), script("workloads").load()
    outside = []
    for run in fit_latency.read("published.toml")["run"]:
        chip = get_chip(run["chip"])
        mode = RuntimeMode.parse(run["mode"])
        latency: Latency = estimate_work(workloads[run["workload"]], chip, get_module(chip), run["filters"], mode)
        if not latency.model.low <= run["latency"] * 1000 <= latency.model.high:
            outside.append(run["model"])
        assert abs(latency.model.us / 1000 / run["latency"] - 1) < 0.25
    assert not outside


def test_published_sums_lie_in_the_intervals() -> None:
    """Preprocessing, model and postprocessing, of every published network that takes an ordinary picture."""
    published, workloads = script("fit_latency").read("published.toml"), script("workloads").load()
    before = []
    for run in published["run"]:
        name, chip = run["workload"], get_chip(run["chip"])
        if name not in published["pixels"]:
            continue
        pixels, outputs = published["pixels"][name], published["outputs"].get(name, 0)
        mode = RuntimeMode.parse(run["mode"])
        latency = estimate_work(workloads[name], chip, get_module(chip), run["filters"], mode, pixels=pixels, outputs=outputs)
        assert latency.preprocess is not None
        before.append(latency.preprocess.low <= run["preprocess"] * 1000 <= latency.preprocess.high)
        total = run["preprocess"] + run["latency"] + run["postprocess"]
        assert latency.total.low <= total * 1000 <= latency.total.high
    assert len(before) == 28
    assert sum(before) >= 0.9 * len(before)  # of faces that are also turned upright it takes longer


def test_times_in_words() -> None:
    assert Time(1_234_567, 900_000, 1_700_000).text() == "1235 ms (900 .. 1700)"
    assert Time(12_340, 9_000, 17_000).text() == "12.3 ms (9.00 .. 17.0)"
    assert Time(42, 40, 44).text() == "0.042 ms (0.040 .. 0.044)"
    wide = Time.spread(100, 0.5)
    assert wide.high / 100 == pytest.approx(100 / wide.low)
