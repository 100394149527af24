"""Containers: byte for byte as specified, there and back, and every lie about offsets and lengths."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from espdl.errors import EspdlError
from espdl.fbs import ModelFormat, crypt, get_model_format, pack, read_container, wrap_model

KEY = bytes(range(16))


def test_edl2_bytes() -> None:
    assert wrap_model(b"payload") == b"EDL2" + struct.pack("<III", 0, 7, 0) + b"payload"


def test_edl1_bytes() -> None:
    assert wrap_model(b"payload", format="EDL1") == b"EDL1" + struct.pack("<II", 0, 7) + b"payload"


def test_encryption_is_aes_128_ctr_with_the_fixed_counter() -> None:
    """Key stream from AES-128 of the counter blocks 10 11 ... 1f and its successor, computed with ECB."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    counter = int.from_bytes(bytes(range(0x10, 0x20)), "big")
    stream = encryptor.update(b"".join((counter + i).to_bytes(16, "big") for i in range(3)))
    data = bytes(range(100, 140))
    expected = bytes(a ^ b for a, b in zip(data, stream, strict=False))
    assert crypt(data, KEY) == expected
    assert crypt(expected, list(KEY)) == data
    assert wrap_model(data, KEY) == b"EDL2" + struct.pack("<III", 1, 40, 0) + expected


@pytest.mark.parametrize("key", [b"", b"short", bytes(17), [0] * 15, [256] * 16, [-1] * 16, "0123456789abcdef"])
def test_key_that_is_none(key: bytes) -> None:
    with pytest.raises(EspdlError, match="a key is 16 bytes"):
        crypt(b"data", key)


@pytest.mark.parametrize("format", ["EDL1", "EDL2"])
@pytest.mark.parametrize("key", [None, KEY])
def test_single_model_there_and_back(format: str, key: bytes | None) -> None:
    payload = np.random.default_rng(1).bytes(1234)
    container = read_container(wrap_model(payload, key, format=format))
    (entry,) = container.entries
    assert (container.format.name, entry.name, entry.encrypted) == (format, "", key is not None)
    assert container.payload(entry, key) == payload


def test_payload_is_not_copied(espdl_file: bytes) -> None:
    container = read_container(espdl_file)
    payload = container.payload(container.entries[0])
    assert np.shares_memory(np.frombuffer(payload, np.uint8), np.frombuffer(espdl_file, np.uint8))


def test_padding_may_follow_and_nothing_else(espdl_file: bytes) -> None:
    for padding in (b"\0" * 15, b"\0" * 4096, b"\xff" * 4096):
        assert read_container(espdl_file + padding).entries == read_container(espdl_file).entries
    for rest in (b"x", b"\0\xff", espdl_file):
        with pytest.raises(EspdlError, match=f"byte {len(espdl_file)}: there are other bytes after the last model"):
            read_container(espdl_file + rest)
        assert len(read_container(espdl_file + rest, padding_only=False).entries) == 1


def test_pdl3_bytes() -> None:
    a, b = wrap_model(b"A" * 20), wrap_model(b"B" * 16)
    package = pack([("b.espdl", b), ("a.espdl", a)], package_version="v2.1")
    names_at = 60 + 2 * 12
    data_at = 112  # 84 + 14 names, rounded up to 16
    expected = bytearray(b"PDL3" + b"v2.1".ljust(16, b"\0") + struct.pack("<I", data_at + 48 + 32) + bytes(32))
    expected += struct.pack("<IIIIIII", 2, data_at, names_at, 7, data_at + 48, names_at + 7, 7)
    expected += b"a.espdlb.espdl".ljust(data_at - names_at, b"\0")
    expected += a.ljust(48, b"\0") + b
    expected[24:56] = hashlib.sha256(expected).digest()
    assert package == bytes(expected)


def test_pdl2_and_pdl1_bytes() -> None:
    a = wrap_model(b"A" * 5)
    package = pack([("a.espdl", a)], "PDL2")
    assert package == b"PDL2" + struct.pack("<IIII", 1, 32, 20, 7) + b"a.espdl".ljust(12, b"\0") + a.ljust(32, b"\0")
    a, b = wrap_model(b"A" * 5, format="EDL1"), wrap_model(b"B", format="EDL1")
    package = pack([("a", a), ("b", b)], ModelFormat.PDL2)
    assert package == b"PDL1" + struct.pack("<IIIIIII", 2, 34, 32, 1, 34 + len(a), 33, 1) + b"ab" + a + b


@pytest.mark.parametrize(("format", "inner"), [("PDL3", "EDL2"), ("PDL2", "EDL2"), ("PDL2", "EDL1")])
@pytest.mark.parametrize("key", [None, KEY])
def test_package_there_and_back(format: str, inner: str, key: bytes | None) -> None:
    rng = np.random.default_rng(2)
    payloads = {f"model{i}.espdl": rng.bytes(int(rng.integers(1, 200))) for i in (3, 1, 2)}
    container = read_container(pack([(name, wrap_model(data, key, format=inner)) for name, data in payloads.items()], format))
    assert container.format.name == ("PDL1" if inner == "EDL1" else format)
    assert [entry.name for entry in container.entries] == sorted(payloads)
    for entry in container.entries:
        assert container.payload(entry, key) == payloads[entry.name]
    if format == "PDL3":
        assert container.package_version == "v1.0"
        assert container.package_size == len(container.data)
        assert container.calculate_sha256() == container.sha256


def test_digest_sees_every_byte() -> None:
    package = pack([("a.espdl", wrap_model(b"A" * 16))])
    for position in (4, 100, len(package) - 1):
        damaged = bytearray(package)
        damaged[position] ^= 1
        container = read_container(damaged)
        assert container.calculate_sha256() != container.sha256
    with pytest.raises(EspdlError, match="a EDL2 file has no SHA-256"):
        read_container(wrap_model(b"A")).calculate_sha256()


@pytest.mark.parametrize(
    ("models", "arguments", "message"),
    [
        ([], {}, "there is nothing to pack"),
        ([("", wrap_model(b"A"))], {}, "a model has no name"),
        ([("a", wrap_model(b"A")), ("a", wrap_model(b"B"))], {}, "two models have the name 'a'"),
        ([("a", b"no model")], {}, "a: byte 0: this is not an ESP-DL model"),
        ([("a", wrap_model(b"A", format="EDL1"))], {}, "PDL3 cannot hold EDL1 files"),
        (
            [("a", wrap_model(b"A", format="EDL1")), ("b", wrap_model(b"A"))],
            {"format": "PDL2"},
            "PDL2 cannot hold EDL1 and EDL2 files",
        ),
        ([("a", pack([("b", wrap_model(b"A"))]))], {}, "PDL3 cannot hold PDL3 files"),
        ([("a", wrap_model(b"A"))], {"format": "EDL2"}, "packages are PDL3 or PDL2, not EDL2"),
        ([("a", wrap_model(b"A"))], {"package_version": "sixteen letters!"}, "is not at most 15 ASCII characters"),
        ([("a", wrap_model(b"A"))], {"package_version": "vä"}, "is not at most 15 ASCII characters"),
    ],
)
def test_what_cannot_be_packed(models: list, arguments: dict, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        pack(models, **arguments)


@pytest.mark.parametrize("data", [b"", b"EDL", b"EDL3" + bytes(60), b"ELF\x7f" + bytes(60), b"UNK\0" + bytes(60)])
def test_wrong_magic(data: bytes) -> None:
    assert get_model_format(data) is ModelFormat.UNK
    with pytest.raises(EspdlError, match=r"net\.espdl: byte 0: this is not an ESP-DL model"):
        read_container(data, source="net.espdl")


def test_wrap_into_a_package() -> None:
    with pytest.raises(EspdlError, match="PDL3 does not hold a single model"):
        wrap_model(b"A", format="PDL3")


def put(position: int, number: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into("<I", data, position, number)


def test_header_of_a_single_model_lies() -> None:
    good = wrap_model(b"A" * 100)
    for number in (101, 2**31, 2**32 - 1, 2**32 - 16):
        damaged = bytearray(good)
        put(8, number)(damaged)
        with pytest.raises(EspdlError, match=f"byte 0: the model has {number} bytes by its header, and 100 are there"):
            read_container(damaged)
    damaged = bytearray(good)
    put(4, 2)(damaged)
    with pytest.raises(EspdlError, match="encryption mode 2 is unknown"):
        read_container(damaged)
    for size in range(4, 16):
        with pytest.raises(EspdlError):
            read_container(good[:size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put(20, 0), "byte 20: the package says it has 0 bytes"),
        (put(20, 2**32 - 1), "byte 20: the package says it has 4294967295 bytes"),
        (put(56, 2**32 - 1), "byte 56: the table of 4294967295 models reaches beyond the end"),
        (put(56, 100), "byte 56: the table of 100 models reaches beyond the end"),
        (put(60, 2**32 - 4), r"model 'a', byte 4294967292: there is no EDL2 model here"),
        (put(60, 0), "byte 60: name or data of model 0 lies outside its place"),
        (put(60, 116), r"model 'a', byte 116: there is no EDL2 model here"),
        (put(64, 2**32 - 1), "byte 60: name or data of model 0 lies outside its place"),
        (put(68, 2**32 - 1), "byte 60: name or data of model 0 lies outside its place"),
        (put(72, 96), "byte 96: two models or names overlap"),
        (put(96 + 8, 33), "byte 128: two models or names overlap"),
        (put(96 + 8, 2**32 - 1), r"model 'a', byte 96: the model has 4294967295 bytes by its header"),
        (put(96, int.from_bytes(b"EDL1", "little")), r"model 'a', byte 96: there is no EDL2 model here"),
        (put(4, 0x80), "the package version is not ASCII text"),
        (lambda data: data.__setitem__(84, 0xFF), "byte 84: the name of model 0 is not UTF-8 text"),
        (lambda data: data.extend(b"more"), "byte 160: there are other bytes after the last model"),
    ],
)
def test_package_lies(damage: Callable[[bytearray], None], message: str) -> None:
    package = bytearray(pack([("a", wrap_model(b"A" * 16)), ("b", wrap_model(b"B" * 16))]))
    assert len(package) == 160
    read_container(package)
    damage(package)
    with pytest.raises(EspdlError, match=message):
        read_container(package)


def test_truncated_packages() -> None:
    for format in ("PDL2", "PDL3"):
        package = pack([("a", wrap_model(b"A" * 16)), ("b", wrap_model(b"B" * 16))], format)
        for size in range(len(package)):
            with pytest.raises(EspdlError):
                read_container(package[:size])


def test_flipped_packages() -> None:
    rng = np.random.default_rng(3)
    package = pack([(f"{i}.espdl", wrap_model(rng.bytes(40))) for i in range(5)])
    for _ in range(1000):
        damaged = bytearray(package)
        for _ in range(rng.integers(1, 5)):
            damaged[rng.integers(130)] ^= int(rng.integers(1, 256))
        with suppress(EspdlError):
            container = read_container(damaged)
            for entry in container.entries:
                assert len(container.payload(entry, KEY)) == entry.length


def test_missing_key() -> None:
    container = read_container(wrap_model(b"A" * 16, KEY))
    with pytest.raises(EspdlError, match="the model is encrypted and there is no key"):
        container.payload(container.entries[0])


def test_real_files(conformance: Path) -> None:
    files = sorted(conformance.glob("models/esp32p4/*.espdl"))
    assert files
    packed = read_container(pack([(path.name, path.read_bytes()) for path in files]))
    assert packed.calculate_sha256() == packed.sha256
    for path, entry in zip(files, packed.entries, strict=True):
        single = read_container(path.read_bytes())
        assert entry.name == path.name
        assert entry.payload_offset % 16 == 0
        assert packed.payload(entry) == single.payload(single.entries[0])
