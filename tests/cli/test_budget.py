"""``espdl budget`` and the estimates of ``espdl profile``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_a_kept_budget(espdl: Command, digits: Path) -> None:
    result = espdl("budget", digits, "--max-latency-ms", 50, "--max-psram", "64K")
    assert result.code == 0
    for text in ("fits N16R8", "PSRAM", "latency", "at most 50 ms", "90 % interval", "exact plan"):
        assert text in result.out
    assert "BROKEN" not in result.out
    assert max(map(len, result.out.splitlines())) <= 100


def test_a_broken_budget(espdl: Command, digits: Path) -> None:
    result = espdl("budget", digits, "--max-psram", "1K", "--json")
    assert result.code == 1
    assert result.json["kept"] is False
    rows = {row["name"]: row for row in result.json["limits"]}
    assert rows["module"]["kept"]
    assert rows["PSRAM"]["found"] > rows["PSRAM"]["limit"] == 1024
    assert "BROKEN" in espdl("budget", digits, "--max-psram", "1K").out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--min-top1", "0.9"], 2, "--min-top1 without --data"),
        (["--min-top1", "2"], 2, "--min-top1"),
        (["--max-psram", "much"], 2, "write a size as"),
        (["--module", "small"], 2, "as N16R8"),
        (["--module", "N3R3"], 1, "powers of two"),
    ],
)
def test_budgets_that_cannot_be_judged(espdl: Command, digits: Path, arguments: list[str], code: int, text: str) -> None:
    result = espdl("budget", digits, *arguments)
    assert result.code == code
    assert text in result.err


def test_profile_of_a_module(espdl: Command, digits: Path) -> None:
    usual = espdl("profile", digits, "--json").json
    small = espdl("profile", digits, "--json", "--module", "N4").json
    assert usual["memory"]["module"]["name"] == "N16R8"
    assert small["memory_bytes"]["variable"]["psram"] == 0 < small["memory_bytes"]["variable"]["internal"]
    assert small["latency"]["parameters_in"] == "internal"
    assert small["latency"]["latency_us"]["us"] <= usual["latency"]["latency_us"]["us"]
    flash = espdl("profile", digits, "--json", "--param-copy", "no").json
    assert flash["latency"]["parameters_in"] == "flash"


def test_profile_compares(espdl: Command, digits: Path) -> None:
    result = espdl("profile", digits, "--compare", "esp32s3", "esp32p4:N16R16", "esp32c3")
    assert result.code == 0
    for text in ("esp32s3 N16R8", "esp32p4 N16R16", "esp32c3 N4", "relative", "fits", "nothing is published"):
        assert text in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 100
    compared = espdl("profile", digits, "--compare", "esp32s3", "esp32p4", "--json").json["compared"]
    assert [entry["latency"]["target"] for entry in compared] == ["esp32s3", "esp32p4"]
    assert compared[0]["latency"]["latency_us"]["us"] > compared[1]["latency"]["latency_us"]["us"]
    assert espdl("profile", digits, "--compare", "esp32s9").code == 2


def test_profile_of_a_file_that_the_chip_refuses(espdl: Command, conformance: Path) -> None:
    file = conformance / "ops/esp32s3/Network/audio_conv1d_f32.espdl"
    result = espdl("profile", file, "--target", "esp32s3")
    assert result.code == 0
    assert "memory summary" in result.out
    assert "refuses to load" in result.out
    assert espdl("profile", file, "--target", "esp32s3", "--json").json["latency"] is None
