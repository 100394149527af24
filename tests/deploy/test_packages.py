"""Packages and encryption as files: round trips byte for byte, and nothing of the user's is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from espdl.deploy import decrypt_file, encrypt_file, list_package, pack_files, read_key, unpack_file
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs import ModelFormat, pack, wrap_model
from espdl.fbs.keys import require_key

KEY = bytes(range(100, 116))


@pytest.mark.parametrize("format", ["PDL3", "PDL2"])
def test_unpacking_gives_the_files_that_were_packed(models: list[Path], tmp_path: Path, format: str) -> None:
    package = tmp_path / "models.espdl"
    contents = pack_files(models[::-1], package, format=format, version="v2.7")
    assert [(model.name, model.index) for model in contents.models] == [("first.espdl", 0), ("second.espdl", 1)]
    assert (contents.format, contents.version, contents.sha256_fits) == (
        (format, "v2.7", True) if format == "PDL3" else (format, "", None)
    )
    assert contents == list_package(package)
    written = unpack_file(package, tmp_path / "new" / "place")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in models]
    assert [path.name for path in written] == ["first.espdl", "second.espdl"]


def test_a_directory_is_packed_without_the_package_that_lies_in_it(models: list[Path]) -> None:
    directory = models[0].parent
    for _ in range(2):
        contents = pack_files([directory], directory / "all.espdl", force=True)
        assert [model.name for model in contents.models] == ["first.espdl", "second.espdl"]


@pytest.mark.parametrize("packed", [False, True], ids=["model", "package"])
def test_decrypting_what_was_encrypted_gives_the_file(models: list[Path], tmp_path: Path, packed: bool) -> None:
    plain = models[0]
    if packed:
        plain = tmp_path / "models.espdl"
        pack_files(models, plain, version="v9")
    secret, again = tmp_path / "secret.espdl", tmp_path / "again.espdl"
    encrypt_file(plain, secret, KEY)
    assert all(model.encrypted for model in list_package(secret).models)
    assert Model(secret, key=KEY).test()
    decrypt_file(secret, again, KEY)
    assert again.read_bytes() == plain.read_bytes()
    with pytest.raises(EspdlError, match="wrong key or damaged file"):
        decrypt_file(secret, tmp_path / "no.espdl", KEY[::-1])
    with pytest.raises(EspdlError, match="encrypted already"):
        encrypt_file(secret, tmp_path / "no.espdl", KEY)
    with pytest.raises(EspdlError, match="not encrypted"):
        decrypt_file(plain, tmp_path / "no.espdl", KEY)
    assert not (tmp_path / "no.espdl").exists()


def test_a_package_that_was_changed_is_listed_but_neither_loaded_nor_unpacked(models: list[Path], tmp_path: Path) -> None:
    package = tmp_path / "models.espdl"
    pack_files(models, package)
    content = bytearray(package.read_bytes())
    content[-5] ^= 1
    package.write_bytes(content)
    assert list_package(package).sha256_fits is False
    for attempt in (
        lambda: Model(package),
        lambda: unpack_file(package, tmp_path / "out"),
        lambda: encrypt_file(package, tmp_path / "x", KEY),
    ):
        with pytest.raises(EspdlError, match=r"models\.espdl: the package is damaged or was changed \(it states the SHA-256"):
            attempt()
    assert not (tmp_path / "out").exists()


def test_nothing_is_replaced_unless_told(models: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.espdl"
    out.write_text("precious")
    for attempt in (lambda: pack_files(models, out), lambda: encrypt_file(models[0], out, KEY)):
        with pytest.raises(EspdlError, match="there is something already"):
            attempt()
    assert out.read_text() == "precious"
    pack_files(models, out, force=True)
    target = tmp_path / "place"
    target.mkdir()
    (target / "second.espdl").write_text("precious")
    with pytest.raises(EspdlError, match="there is something already"):
        unpack_file(out, target)
    assert [path.name for path in target.iterdir()] == ["second.espdl"]
    assert (target / "second.espdl").read_text() == "precious"
    unpack_file(out, target, force=True)
    assert (target / "second.espdl").read_bytes() == models[1].read_bytes()
    with pytest.raises(EspdlError, match="this file is read, so it cannot be written"):
        pack_files(models, models[0], force=True)


@pytest.mark.parametrize("name", ["../escape.espdl", "a/b.espdl", "..", "c:x.espdl", "a\\b.espdl", "line\nbreak.espdl"])
def test_names_that_lead_elsewhere_are_refused(models: list[Path], tmp_path: Path, name: str) -> None:
    package = tmp_path / "evil.espdl"
    package.write_bytes(pack([(name, models[0].read_bytes())]))
    with pytest.raises(EspdlError, match="is no plain file name"):
        unpack_file(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_packed(models: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EspdlError, match=r"there is no \*\.espdl file in it"):
        pack_files([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(EspdlError, match="this is a directory"):
        pack_files([models[0], tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(EspdlError, match="EDL2 holds one model"):
        unpack_file(models[0], tmp_path / "out")
    old = tmp_path / "old.espdl"
    old.write_bytes(wrap_model(b"", format=ModelFormat.EDL1))
    with pytest.raises(EspdlError, match="PDL3 cannot hold EDL1 and EDL2 files"):
        pack_files([old, models[0]], tmp_path / "out")


@pytest.mark.parametrize(
    "text", [KEY.hex(), "0x" + ", 0x".join(f"{byte:02X}" for byte in KEY) + "\n", " ".join(f"{b:02x}" for b in KEY)]
)
def test_keys_from_files_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    assert read_key(file) == KEY
    monkeypatch.delenv("ESPDL_KEY", raising=False)
    assert read_key() is None
    with pytest.raises(EspdlError, match="there is no key"):
        require_key()
    monkeypatch.setenv("ESPDL_KEY", text)
    assert read_key() == require_key() == KEY
    file.write_bytes(KEY)
    assert read_key(file) == KEY


def test_a_wrong_key_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hunter2")
    with pytest.raises(EspdlError, match="this is no key") as caught:
        read_key(file)
    assert "hunter2" not in str(caught.value)
