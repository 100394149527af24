"""The pages under ``docs`` do what they say: their code is run, their outputs compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import blocks, run_page

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_page(page: Path, tmp_path: Path) -> None:
    code = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language in ("python", "sh")]
    assert run_page(page, tmp_path) == len(code)


def test_a_wrong_output_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:6: it prints\n2"):
        run_page(page, tmp_path)


def test_a_failing_command_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nespdl test nothing.espdl\n```\n")
    with pytest.raises(AssertionError, match="exits with 2"):
        run_page(page, tmp_path)
