"""``FbsLoader``: sources, packages, keys and the rules of parameter copies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from espdl.dtypes import MODEL_LOCATION_IN_FLASH_PARTITION, MODEL_LOCATION_IN_SDCARD
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, ModelFormat, pack, wrap_model, write_atomically, write_model
from espdl.fbs.records import Model

KEY = bytes(range(16, 32))


@pytest.fixture(scope="session")
def package(payload: bytes) -> bytes:
    return pack([("b.espdl", wrap_model(payload, KEY)), ("a.espdl", wrap_model(payload))], package_version="v7")


def test_from_bytes_path_and_partition(espdl_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.espdl"
    write_atomically(path, espdl_file)
    loaders = [
        FbsLoader(espdl_file),
        FbsLoader(bytearray(espdl_file)),
        FbsLoader(memoryview(espdl_file)),
        FbsLoader(path),
        FbsLoader(str(path)),
        FbsLoader(path, MODEL_LOCATION_IN_SDCARD),
        FbsLoader("model", MODEL_LOCATION_IN_FLASH_PARTITION, partitions={"model": espdl_file + b"\xff" * 99 + b"old data"}),
        FbsLoader("model", MODEL_LOCATION_IN_FLASH_PARTITION, partitions={"model": path}),
        FbsLoader(str(path), MODEL_LOCATION_IN_FLASH_PARTITION),
    ]
    for loader in loaders:
        assert loader.get_model_num() == 1
        assert loader.get_model_format() is ModelFormat.EDL2
        assert loader.load().get_model_name() == "main_graph"
    assert [loader.get_model_location_string() for loader in loaders[3:7:2]] == [
        "MODEL LOCATION IN FLASH RODATA",
        "MODEL LOCATION IN SDCARD",
    ]
    assert loaders[-1].get_model_location_string() == "MODEL LOCATION IN FLASH PARTITION"


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match="there is no partition 'model'"):
        FbsLoader("model", MODEL_LOCATION_IN_FLASH_PARTITION)
    with pytest.raises(EspdlError, match=r"nothing\.espdl: the file cannot be read"):
        FbsLoader(tmp_path / "nothing.espdl")
    with pytest.raises(EspdlError, match="a model cannot be loaded from int"):
        FbsLoader(7)  # type: ignore[arg-type]
    empty = FbsLoader()
    assert (empty.get_model_num(), empty.get_model_format(), empty.get_package_size(), empty.model_names) == (
        0,
        ModelFormat.UNK,
        0,
        [],
    )
    with pytest.raises(EspdlError, match="the loader was given no file"):
        empty.load()


def test_package_by_index_and_name(package: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    loader = FbsLoader(package)
    assert loader.get_model_format() is ModelFormat.PDL3
    assert loader.model_names == ["a.espdl", "b.espdl"]
    loader.list_models()
    assert capsys.readouterr().out == "model name: a.espdl, index:0\nmodel name: b.espdl, index:1\n"
    assert loader.load().source == "[a.espdl]"
    for model in (loader.load(1, KEY), loader.load("b.espdl", KEY), loader.load("b.espdl", key=list(KEY))):
        assert model.source == "[b.espdl]"
        assert model.record == loader.load("a.espdl").record
    for index in (2, -1):
        with pytest.raises(EspdlError, match=f"there is no model {index}, only 2"):
            loader.load(index)
    with pytest.raises(EspdlError, match=r"there is no model 'c\.espdl'\n  try: one of a\.espdl, b\.espdl"):
        loader.load("c.espdl")


def test_package_facts(package: bytes, espdl_file: bytes) -> None:
    loader = FbsLoader(package)
    assert loader.get_package_version() == "v7"
    assert loader.get_package_size() == len(package)
    assert loader.verify_package_sha256()
    damaged = bytearray(package)
    damaged[-20] ^= 1
    assert not FbsLoader(damaged).verify_package_sha256()
    single = FbsLoader(espdl_file)
    assert single.get_package_size() == 0
    for ask in (single.get_package_version, single.get_package_sha256, single.calc_package_sha256, single.verify_package_sha256):
        with pytest.raises(EspdlError, match="a EDL2 file has neither version nor SHA-256"):
            ask()


def test_single_model_ignores_index_and_name(espdl_file: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    loader = FbsLoader(espdl_file)
    for model in (1, "x.espdl"):
        with pytest.warns(UserWarning, match="EDL2 holds one model"):
            loader.load(model)
    loader.list_models()
    assert "only 1 model" in capsys.readouterr().out


def test_keys(payload: bytes) -> None:
    loader = FbsLoader(wrap_model(payload, KEY))
    record = loader.load(KEY).record
    assert record == loader.load(key=KEY).record == loader.load(None, KEY).record == FbsLoader(wrap_model(payload)).load().record
    with pytest.raises(EspdlError, match="the model is encrypted and there is no key"):
        loader.load()
    with pytest.raises(EspdlError, match="a key is 16 bytes"):
        loader.load(key=b"short")


def test_wrong_keys(payload: bytes) -> None:
    loader = FbsLoader(wrap_model(payload, KEY))
    for number in range(64):
        with pytest.raises(EspdlError, match="wrong key or damaged file"):
            loader.load(key=bytes([number]) * 16)


def test_graph_errors_name_the_file(record: Model, tmp_path: Path) -> None:
    del record.graph.initializer[1]
    path = tmp_path / "net.espdl"
    write_atomically(path, wrap_model(write_model(record)))
    with pytest.raises(EspdlError, match=r"net\.espdl: node '/conv' \(Conv\): input 'w' is missing"):
        FbsLoader(path).load()


@pytest.mark.parametrize(
    ("format", "key", "location", "asked", "copied"),
    [
        ("EDL2", None, "RODATA", True, True),
        ("EDL2", None, "RODATA", False, False),
        ("EDL2", None, "SDCARD", True, False),
        ("EDL2", KEY, "RODATA", True, False),
        ("EDL1", None, "RODATA", False, True),
        ("EDL1", KEY, "RODATA", False, True),
        ("EDL1", None, "SDCARD", False, True),
    ],
)
def test_parameter_copies(
    payload: bytes, tmp_path: Path, format: str, key: bytes | None, location: str, asked: bool, copied: bool
) -> None:
    data = wrap_model(payload, key, format=format)
    path = tmp_path / "model.espdl"
    path.write_bytes(data)
    loader = FbsLoader(path, MODEL_LOCATION_IN_SDCARD) if location == "SDCARD" else FbsLoader(data)
    model = loader.load(key=key, param_copy=asked)
    assert model.m_param_copy == copied
    assert model.get_parameter("w").auto_free == copied


def test_payload_off_a_16_byte_boundary_is_copied(payload: bytes) -> None:
    edl1 = wrap_model(payload, format="EDL1")
    package = pack([("a", edl1), ("b", edl1)], "PDL2")
    assert FbsLoader(package).load(1, param_copy=False).m_param_copy


def test_cryptography_is_imported_only_for_a_key(tmp_path: Path, espdl_file: bytes) -> None:
    path = tmp_path / "model.espdl"
    path.write_bytes(espdl_file)
    script = (
        "import sys; from espdl.fbs import FbsLoader; FbsLoader(sys.argv[1]).load()\n"
        "assert not {'cryptography', 'onnx', 'onnxruntime', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
