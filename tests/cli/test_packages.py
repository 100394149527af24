"""``espdl pack``, ``list``, ``unpack``, ``encrypt``, ``decrypt`` and ``flash-image``: what they print and how they exit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.models import small_file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.espdl"
    path.write_bytes(small_file("esp32s3", metadata=True))
    return path


def test_from_models_to_a_package_and_back(espdl: Command, model: Path, tmp_path: Path) -> None:
    package = tmp_path / "models.espdl"
    packed = espdl("pack", model, "-o", package, "--package-version", "v3")
    assert packed.code == 0
    assert "version  v3" in packed.out
    assert "fits the bytes" in packed.out
    assert espdl("list", package, "--json").json["models"][0]["name"] == "small.espdl"
    assert espdl("pack", model, "-o", package).code == 1
    assert espdl("unpack", package, "-o", tmp_path / "new").code == 0
    assert (tmp_path / "new" / "small.espdl").read_bytes() == model.read_bytes()
    package.write_bytes(package.read_bytes()[:-1] + b"\1")
    damaged = espdl("list", package)
    assert damaged.code == 1
    assert "DOES NOT FIT" in damaged.out


def test_a_key_comes_from_a_file_or_the_environment(
    espdl: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ESPDL_KEY", raising=False)
    secret, key = tmp_path / "secret.espdl", tmp_path / "key"
    key.write_text("00112233445566778899aabbccddeeff")
    assert "try: give --key-file, or set ESPDL_KEY" in espdl("encrypt", model, "-o", secret).err
    done = espdl("encrypt", model, "-o", secret, "--key-file", key)
    assert "AES-128" in done.out
    assert "0011" not in done.out + done.err
    for verb in ("inspect", "test"):
        assert espdl(verb, secret).code == 1
        assert espdl(verb, secret, "--key-file", key).code == 0
    monkeypatch.setenv("ESPDL_KEY", key.read_text())
    assert espdl("inspect", secret).code == 0
    assert espdl("decrypt", secret, "-o", tmp_path / "plain.espdl").code == 0
    assert (tmp_path / "plain.espdl").read_bytes() == model.read_bytes()


def test_a_flash_image_ends_with_the_command_that_writes_it(espdl: Command, model: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "partitions.csv", tmp_path / "model.bin"
    table.write_text("factory, app, factory, , 1M\n")
    missing = espdl("flash-image", model, "--partitions", table, "-o", out)
    assert missing.code == 1
    assert "add the row  model, data, spiffs, , 4K" in missing.err
    done = espdl("flash-image", model, "--partitions", table, "-o", out, "--update", "--flash", tmp_path / "flash.bin")
    assert done.code == 0
    assert done.out.splitlines()[-1].strip() == f"esptool --chip esp32s3 write-flash 0x110000 {out}"
    found = espdl("flash-image", model, "--partitions", table, "-o", out, "--force", "--json").json
    assert (found["offset"], found["updated"], found["image"]) == (0x110000, False, str(out))


def test_a_project_is_told_with_the_commands_that_build_it(espdl: Command, model: Path, tmp_path: Path) -> None:
    done = espdl("project", "new", tmp_path / "firmware", "--model", model, "--location", "partition")
    assert done.code == 0
    assert done.out.rstrip().endswith("idf.py set-target esp32s3\n  idf.py build flash monitor")
    again = espdl("project", "new", tmp_path / "firmware", "--model", model)
    assert again.code == 1
    assert "the directory is not empty" in again.err
    found = espdl("project", "new", tmp_path / "other", "--model", model, "--json").json
    assert found["chip"] == "esp32s3"
    assert "main/app_main.cpp" in found["files"]
