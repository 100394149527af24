"""The report page: what is on it, that names cannot leave their place, and how large it is and how long it takes."""

from __future__ import annotations

import hashlib
import json
import re
import time
from base64 import b64encode
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs import wrap_model, write_model
from espdl.fbs.records import Attribute
from espdl.report.markup import escape, plain, script_json, shortened
from espdl.report.page import Report, ReportJob, collect, page
from espdl.report.page.histograms import BINS, histogram
from tests.models import small_file, small_records
from tests.report.hostile import hostile_file

VOID = {"meta", "input", "br", "link", "img"}


class Document(HTMLParser):
    """Elements with their attributes and the text below them; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in VOID:
            self._open.append((tag, found.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.elements if name in attributes.get("class", "").split()]


def report_of(tmp_path: Path, content: bytes, **options: object) -> tuple[Report, str, Document]:
    path = tmp_path / "net.espdl"
    path.write_bytes(content)
    report = collect(ReportJob(path, **options))  # type: ignore[arg-type]
    text = page(report)
    return report, text, Document(text)


def test_what_is_on_the_page(tmp_path: Path) -> None:
    report, text, document = report_of(tmp_path, small_file("esp32s3", metadata=True))
    sections = [attributes["id"] for tag, attributes in document.elements if tag == "section"]
    assert sections == ["summary", "memory", "latency", "errors", "values", "findings", "graph"]
    assert len(document.of_class("row")) == 5
    assert sorted(int(row["data-node"]) for row in document.of_class("row")) == [0, 1, 2, 3, 4]
    assert len(document.of_class("b")) == len(report.model.memory.plan.tensors) == 6
    assert len(document.of_class("finding")) == len(report.findings) > 0
    assert Counter(figure["data-kind"] for figure in document.of_class("hist")) == {"activations": 6, "weights": 2}
    assert len([1 for vertex in document.of_class("n") if "data-node" in vertex]) == 5
    for word in ("small", "esp32s3", "metadata: target", "fits N16R8", "90 % interval", "Not measured"):
        assert word in text
    assert "test values in the file" in document.texts["values"]
    assert report.memory.verdict() in document.texts["memory"]
    modules = [memory.module.name for memory in (report.memory, *report.others)]
    assert len(modules) > 5 and all(name in document.texts["memory"] for name in modules)


def test_the_data_of_the_script(tmp_path: Path) -> None:
    report, _, document = report_of(tmp_path, small_file("esp32s3", metadata=True))
    data = json.loads(document.texts["data"])
    conv = data["nodes"][0]
    facts = dict(conv["facts"])
    assert (conv["name"], conv["op"], conv["title"], conv["kind"]) == ("/conv", "Conv", "Conv 3×3 Relu", "multiply")
    assert report.latency is not None and report.latency.layers[0].time.text() in facts["latency"]
    assert dict(conv["attributes"])["kernel_shape"] == "[3, 3]"
    names = [data["tensors"][number]["name"] for number in (*conv["in"], *conv["out"])]
    assert names == ["x", "conv.weight", "conv.bias", "c"]
    tensor = data["tensors"][conv["out"][0]]
    assert tensor["maker"] == 0 and tensor["readers"] == [1]
    planned = report.model.memory.plan.tensors["c"]
    assert tensor["place"].startswith(f"PSRAM + {planned.offset}, from step 0 to")
    noticed = [finding for node in data["nodes"] for finding in node["findings"]]
    assert sorted(noticed) == [i for i, finding in enumerate(report.findings) if finding.node]


def test_the_page_refers_to_nothing_outside_and_only_its_script_runs(tmp_path: Path) -> None:
    _, text, document = report_of(tmp_path, small_file("esp32s3", metadata=True))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not [tag for tag, attributes in document.elements if tag in ("link", "img", "iframe") or "src" in attributes]
    policy = next(a["content"] for tag, a in document.elements if a.get("http-equiv") == "Content-Security-Policy")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    assert f"'sha256-{b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    plain_tags = Counter(tag for tag, _ in report_of(tmp_path, small_file("esp32s3", metadata=True))[2].elements)
    _, text, document = report_of(tmp_path, hostile_file())
    tags = Counter(tag for tag, _ in document.elements)
    assert tags["script"] == plain_tags["script"] == 2
    assert tags.keys() == plain_tags.keys()
    assert not any(name.startswith("on") for _, attributes in document.elements for name in attributes)
    names = [node["name"] for node in json.loads(document.texts["data"])["nodes"]]
    assert any("</script>" in name for name in names)
    assert "alert(1)" in document.texts["graph"]
    assert "\x1b" not in text and "\u202e" not in text


def test_without_samples_there_are_no_activations(tmp_path: Path) -> None:
    report, _, document = report_of(tmp_path, small_file("esp32s3", metadata=True, test_values=False))
    assert {figure["data-kind"] for figure in document.of_class("hist")} == {"weights"}
    assert report.activations == {}
    assert "--data" in document.texts["values"]
    assert "--data" in document.texts["findings"]


def test_data_in_the_order_of_the_float_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.uniform(-1, 1, (3, 3, 6, 6)).astype(np.float32))
    data = small_file("esp32s3", metadata=True)
    report, _, _ = report_of(tmp_path, data, data=str(tmp_path / "x.npy"), steps=2)
    model = Model(data)
    expected = np.zeros(BINS, np.int64)
    for sample in np.load(tmp_path / "x.npy")[:2]:
        raw = model.run_arrays({"x": sample.transpose(1, 2, 0)[None]}, ["a"])["a"]
        expected += np.bincount((raw.reshape(-1).astype(int) + 128) // 2, minlength=BINS)
    assert report.activations["a"].counts.tolist() == expected.tolist()
    assert "2 samples" in report.samples


def test_internal_memory_has_a_timeline_of_its_own(tmp_path: Path) -> None:
    report, text, _ = report_of(tmp_path, small_file("esp32s3", metadata=True), max_internal_size=400)
    placed = {tensor.internal for tensor in report.model.memory.plan.tensors.values()}
    assert placed == {True, False}
    assert text.count('class="time"') == 2


def test_a_module_without_psram(tmp_path: Path) -> None:
    report, text, _ = report_of(tmp_path, small_file("esp32s3", metadata=True), module="N8")
    assert report.memory.module.psram == 0
    assert all(tensor.internal for tensor in report.model.memory.plan.tensors.values())
    assert text.count('class="time"') == 1


def test_the_float_network_needs_data(tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match="alone gives no errors"):
        collect(ReportJob(tmp_path / "net.espdl", network=tmp_path / "net.onnx"))


def test_a_histogram_counts_every_integer() -> None:
    found = histogram(np.arange(-128, 128, dtype=np.int8))
    assert found is not None
    assert found.counts.tolist() == [2] * BINS
    assert (found.low, found.high, found.at_ends, found.zeros, found.unused_bits) == (-128, 127, 2 / 256, 1 / 256, 0.0)
    wide = histogram(np.array([-32768, -1, 0, 511, 512], np.int16))
    assert wide is not None
    assert np.flatnonzero(wide.counts).tolist() == [0, 63, 64, 65]
    assert (wide.bits, wide.at_ends) == (16, 0.2)
    narrow = histogram(np.array([-32, 31], np.int8))
    assert narrow is not None and narrow.unused_bits == 2.0
    assert histogram(np.zeros(3, np.float32)) is None
    assert histogram(np.zeros(0, np.int8)) is None


def test_markup() -> None:
    assert escape("<a b=\"c\" d='e'>&\x00") == "&lt;a b=&quot;c&quot; d=&#x27;e&#x27;&gt;&amp;\ufffd"
    assert plain("a\ud800\u202eb\tc") == "a\ufffd\ufffdb\tc"
    text = script_json({"</script>": "<!-- & \u2028"})
    assert "<" not in text and json.loads(text) == {"</script>": "<!-- & \u2028"}
    assert shortened("/model.0/conv/Conv", 8) == "…nv/Conv"
    assert shortened("short", 8) == "short"
    assert shortened("exactly8", 8) == "exactly8"
    assert shortened("層層層層層", 5) == "…層層"


def test_long_attributes_are_cut(tmp_path: Path) -> None:
    model = small_records("esp32s3", metadata=True)
    model.graph.node[1].attribute.append(Attribute("long", "x" * 5000))
    _, text, _ = report_of(tmp_path, wrap_model(write_model(model)))
    assert "x" * 160 + "…" in text and "x" * 161 not in text


@pytest.mark.slow
@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_yolo11n_is_small_and_quick(conformance: Path, tmp_path: Path, target: str) -> None:
    file = conformance / f"models/{target}/coco_detect_yolo11n_320_s8_v1.espdl"
    start = time.perf_counter()
    report = collect(ReportJob(file, target, data=str(conformance / "vision"), steps=4))
    text = page(report)
    seconds = time.perf_counter() - start
    assert len(text.encode()) < 2_000_000
    assert seconds < 20
    document = Document(text)
    assert len(document.of_class("row")) == report.inspection.nodes > 250
    assert len(document.of_class("hist")) > 300
