"""The tables of errors."""

from __future__ import annotations

from espdl.quantize.analysis.bars import bar_table, ranked


def test_the_worst_layer_comes_first_with_a_full_bar() -> None:
    text = bar_table({"a": 0.001, "b": 0.21, "c": 0.1055})
    assert text.splitlines() == [
        "Layer | NOISE:SIGNAL POWER RATIO",
        "b:    | ████████████████████ | 21.000%",
        "c:    | ██████████           | 10.550%",
        "a:    |                      | 0.100%",
    ]


def test_the_least_similar_layer_comes_first() -> None:
    assert [name for name, _ in ranked({"a": 0.9, "b": 0.2}, "cosine")] == ["b", "a"]
    assert "COSINE" in bar_table({"a": 0.9}, "cosine") and "MSE" in bar_table({"a": 1e-9}, "MSE")


def test_long_names_keep_their_ends_and_lines_fit() -> None:
    name = "/features/" + "/".join(f"block.{i}" for i in range(20)) + "/Conv"
    lines = bar_table({name: 0.5, "short": 0.1}, limit=1).splitlines()
    assert max(map(len, lines)) <= 100
    assert "/block.19/Conv: |" in lines[1] and lines[1].startswith("…")
    assert lines[-1] == "... and 1 more"


def test_equal_errors_and_no_layers() -> None:
    assert "█" not in bar_table({"a": 0.1, "b": 0.1})
    assert bar_table({}) == "Layer | NOISE:SIGNAL POWER RATIO"
