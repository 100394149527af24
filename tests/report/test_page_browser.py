"""The report page in a headless Chromium: opened, pointed at and clicked through, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from espdl.report.page import ReportJob, collect, page
from tests.browser import Page, browser, find_chromium
from tests.models import small_file
from tests.report.hostile import ATTACKS, hostile_file

DETAILS = "document.getElementById('details')"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: install one, or set ESPDL_CHROMIUM to its path")
    with browser(chromium, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pages of a small model, and of the same one with names that try to leave their place."""
    directory = tmp_path_factory.mktemp("pages")
    found = {}
    for name, data in (("small", small_file("esp32s3", metadata=True)), ("hostile", hostile_file())):
        file = directory / f"{name}.espdl"
        file.write_bytes(data)
        file.with_suffix(".html").write_text(page(collect(ReportJob(file))), encoding="utf-8")
        found[name] = file.with_suffix(".html").as_uri()
    return found


@pytest.fixture
def desk(window: Page, urls: dict[str, str]) -> Page:
    window.size(1280, 900)
    window.open("about:blank")
    window.open(urls["small"])
    return window


def details(window: Page) -> str:
    window.wait(f"!{DETAILS}.hidden")
    return window.ask(f"{DETAILS}.innerText")


def test_a_click_on_a_node_shows_its_details(desk: Page) -> None:
    assert desk.ask(f"{DETAILS}.hidden")
    desk.click('.n[data-node="0"]')
    text = details(desk)
    for words in (
        "Conv 3×3 Relu",
        "/conv",
        "latency",
        "90 % interval",
        "conv.weight",
        "kernel_shape",
        "[3, 3]",
        "2^-4",
        "PSRAM +",
    ):
        assert words in text
    assert desk.ask("document.querySelector('.n.chosen').dataset.node") == "0"
    assert desk.ask("location.hash") == "#node-0"
    assert desk.ask(f"{DETAILS}.querySelectorAll('.hist svg').length") == 3  # input, weights, output
    desk.click('#content .link[data-node="1"]')
    desk.wait(f"{DETAILS}.innerText.includes('/add')")
    desk.click("#close")
    desk.wait(f"{DETAILS}.hidden")
    assert desk.ask("document.querySelectorAll('.chosen').length") == 0
    assert desk.troubles == []


def test_a_layer_leads_to_its_node(desk: Page) -> None:
    desk.click('#latency .row[data-node="4"]')
    assert "Gemm" in details(desk)
    desk.click("#show")
    desk.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    inside = "(r => r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth)"
    assert desk.ask(f"{inside}(document.querySelector('.n.chosen').getBoundingClientRect())")


def test_search_finds_nodes_and_tensors(desk: Page) -> None:
    desk.click("#search")
    desk.type("fc")
    desk.wait("document.querySelectorAll('#hits button').length === 1")
    desk.press("Enter", 13)
    assert "Gemm" in details(desk)
    desk.ask("search.value = 'conv.weight'; search.oninput()")
    assert desk.ask("document.querySelector('#hits').innerText").strip() == "Conv /conv"
    desk.ask("search.value = 'no such thing'; search.oninput()")
    assert desk.ask("document.querySelector('#hits').innerText") == "nothing found"


def test_the_timeline_tells_what_lies_where(desk: Page) -> None:
    assert desk.ask("document.getElementById('tip').hidden")
    for number, name in ((0, "x"), (1, "c")):
        desk.hover(f'.time .b[data-tensor="{number}"]', 0.1)  # later, what is computed in place lies on it
        desk.wait("!document.getElementById('tip').hidden")
        text = desk.ask("document.getElementById('tip').innerText")
        assert text.startswith(name + "\n") and "KB" in text and "from step 0" in text
    assert desk.ask("document.querySelector('.time .b.chosen').dataset.tensor") == "1"


def test_lists_are_sorted_and_filtered(desk: Page) -> None:
    order = "[...document.querySelectorAll('#latency-rows .row')].map(row => +row.dataset.{})"
    assert desk.ask(order.format("rank")) == [0, 1, 2, 3, 4]
    desk.click('#latency [data-by="step"]')
    assert desk.ask(order.format("step")) == [0, 1, 2, 3, 4]
    shown = "[...document.querySelectorAll('.hists .hist')].filter(h => h.offsetParent).map(h => h.dataset.kind)"
    assert set(desk.ask(shown)) == {"weights", "activations"}
    desk.click('button[data-only="weights"]')
    assert set(desk.ask(shown)) == {"weights"}
    desk.click('button[data-only="weights"]')
    assert set(desk.ask(shown)) == {"weights", "activations"}


def test_colours_and_zoom(desk: Page) -> None:
    fill = "getComputedStyle(document.querySelector('.n[data-node=\"{}\"] rect')).fill"
    by_kind = desk.ask(fill.format(0))
    desk.ask("c = document.getElementById('colours'); c.value = 'share'; c.dispatchEvent(new Event('change'))")
    assert desk.ask(fill.format(0)) != by_kind
    assert desk.ask(fill.format(0)) != desk.ask(fill.format(3))
    width = desk.ask("document.querySelector('#canvas svg').getBoundingClientRect().width")
    desk.click('[data-zoom="in"]')
    assert desk.ask("document.querySelector('#canvas svg').getBoundingClientRect().width") == pytest.approx(1.3 * width, abs=0.1)
    desk.click('[data-zoom="one"]')
    assert desk.ask("document.querySelector('#canvas svg').getBoundingClientRect().width") == pytest.approx(
        desk.ask("box.width"), abs=0.1
    )


def test_an_address_leads_to_a_node(desk: Page, urls: dict[str, str]) -> None:
    desk.open(urls["small"] + "#node-2")
    assert "GlobalAveragePool" in details(desk)


def test_on_a_phone(window: Page, urls: dict[str, str]) -> None:
    window.size(390, 844, phone=True)
    window.open("about:blank")
    window.open(urls["small"])
    assert window.ask("document.documentElement.scrollWidth") == 390
    window.tap('.time .b[data-tensor="1"]', 0.1)
    window.wait("!document.getElementById('tip').hidden")
    assert window.ask("document.getElementById('tip').innerText").startswith("c\n")
    window.tap('#latency .row[data-node="0"]')
    assert "Conv" in details(window)
    box = window.ask(f"(r => [r.left, r.right, r.bottom])({DETAILS}.getBoundingClientRect())")
    assert box == [0, 390, 844]
    window.tap("#show")
    window.tap('.n[data-node="0"]')
    assert "/conv" in details(window)
    assert window.troubles == []


def test_hostile_names_do_nothing(window: Page, urls: dict[str, str]) -> None:
    window.size(1280, 900)
    window.open(urls["hostile"])
    assert window.ask("document.querySelectorAll('script').length") == 2
    assert window.ask("document.querySelectorAll('img, iframe, [onerror], [onload], [onmouseover]').length") == 0
    for index in range(5):
        window.ask(f"openNode({index}, true)")
        assert ATTACKS[index].split("\x1b")[0] in details(window)
    window.ask("search.value = 'alert'; search.oninput()")
    assert window.ask("document.querySelectorAll('#hits button').length") == 5
    window.hover('.time .b[data-tensor="0"]')
    window.wait("!document.getElementById('tip').hidden")
    assert window.ask("document.querySelectorAll('img, [onerror], [onload], [onmouseover]').length") == 0
    assert window.troubles == []


def test_it_prints(desk: Page) -> None:
    pdf = desk.pdf()
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000
