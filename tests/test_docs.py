"""README.md and the pages under ``docs`` do what they say: their code is run, their outputs compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from espdl.cli import VERBS
from tests.pages import alike, blocks, is_shown, rewrite_page, run_page

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path) -> None:
    code = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language in ("python", "sh")]
    assert run_page(page, tmp_path) == len(code)


def test_readme_names_every_verb() -> None:
    table = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    verbs = re.findall(r"`([a-z-]+)`", " ".join(table))
    assert sorted(verbs) == sorted(VERBS)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)", README))))
def test_links_of_readme(link: str) -> None:
    assert (ROOT / link).exists()


def test_a_wrong_output_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:6: it prints\n2"):
        run_page(page, tmp_path)


def test_last_places_of_decimals_do_not_count() -> None:
    assert alike("SNR 25.0 dB in 3 places", "SNR 25.4 dB in 3 places")
    assert not alike("SNR 25.0 dB in 3 places", "SNR 26.0 dB in 3 places")
    assert not alike("SNR 25.0 dB in 3 places", "SNR 25.0 dB in 4 places")


def test_a_failing_command_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nespdl test nothing.espdl\n```\n")
    with pytest.raises(AssertionError, match="exits with 2"):
        run_page(page, tmp_path)


@pytest.mark.parametrize("shown", ["a b c d", "a b ...", "... c d", "a ... d", "... b c ...", "..."])
def test_lines_left_out(shown: str) -> None:
    assert is_shown(list("abcd"), shown.split())


@pytest.mark.parametrize("shown", ["a b c", "b ...", "... c", "... c b ...", "a ... x", ""])
def test_other_lines(shown: str) -> None:
    assert not is_shown(list("abcd"), shown.split())


def test_rewriting(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "```python\nprint(*{lines}, sep='\\n')\n```\n\n```text\n{shown}\n```\n"
    page.write_text(text.format(lines=[1, 2, 3], shown="1\n5") + text.format(lines=[1, 2, 3], shown="0\n...\n0"))
    assert rewrite_page(page) == ["page.md:6", "page.md:14"]
    assert page.read_text() == text.format(lines=[1, 2, 3], shown="1\n2\n3") + text.format(lines=[1, 2, 3], shown="1\n...\n3")
    assert rewrite_page(page) == []
