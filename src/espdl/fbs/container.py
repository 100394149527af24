"""Containers: EDL1 and EDL2 hold one model, PDL1, PDL2 and PDL3 hold several (runtime spec 1.2, 1.3).

All numbers are little-endian and 32 bits wide.

===========  ========================================================================================================
EDL1, EDL2   magic, mode (0 plain, 1 AES-128-CTR), payload bytes; EDL2 a zero; payload
PDL1, PDL2   magic, number of models, entries (data offset, name offset, name bytes), names, EDL1 or EDL2 files
PDL3         magic, package version (16), package bytes, SHA-256 (32), then as PDL2 from the number of models on
===========  ========================================================================================================
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import iter_unpack, pack_into, unpack_from
from struct import pack as pack_struct

from espdl.alignment import round_up
from espdl.errors import EspdlError
from espdl.fbs.crypt import crypt


class ModelFormat(enum.IntEnum):
    """Kinds of files, with the numbers of the C++ loader."""

    UNK = 0
    EDL1 = 1
    PDL1 = 2
    EDL2 = 3
    PDL2 = 4
    PDL3 = 5

    @property
    def is_package(self) -> bool:
        return self in (ModelFormat.PDL1, ModelFormat.PDL2, ModelFormat.PDL3)


_EDL_HEADER = {ModelFormat.EDL1: 12, ModelFormat.EDL2: 16}
_TABLE = {ModelFormat.PDL1: 4, ModelFormat.PDL2: 4, ModelFormat.PDL3: 56}  # where the number of models stands
_INNER = {ModelFormat.PDL1: ModelFormat.EDL1, ModelFormat.PDL2: ModelFormat.EDL2, ModelFormat.PDL3: ModelFormat.EDL2}
_PLAIN, _ENCRYPTED = 0, 1
_VERSION_AT, _VERSION_BYTES, _SIZE_AT, _DIGEST_AT, _DIGEST_BYTES = 4, 16, 20, 24, 32
_MAX_FILE = 0xFFFFFFFF


@dataclass(frozen=True)
class Entry:
    """One model in a file.

    Attributes:
        name: in a package the base name of its file, with suffix; else empty.
        format: EDL1 or EDL2.
        offset: of its EDL header in the file. payload_offset: of its FlatBuffer. length: bytes of the FlatBuffer.
        encrypted: whether the FlatBuffer is encrypted.
    """

    name: str
    format: ModelFormat
    offset: int
    payload_offset: int
    length: int
    encrypted: bool


@dataclass(frozen=True)
class Container:
    """A file and the models in it. ``package_version``, ``package_size`` and ``sha256`` are those of PDL3, else empty."""

    data: memoryview
    format: ModelFormat
    entries: tuple[Entry, ...]
    package_version: str = ""
    package_size: int = 0
    sha256: bytes = b""

    def payload(self, entry: Entry, key: bytes | Sequence[int] | None = None) -> memoryview:
        """The FlatBuffer of a model, decrypted when need be.

        Raises:
            EspdlError: when it is encrypted and there is no key, or the key is not 16 bytes.
        """
        content = self.data[entry.payload_offset : entry.payload_offset + entry.length]
        if not entry.encrypted:
            return content
        if key is None:
            raise EspdlError("the model is encrypted and there is no key", where=entry.name, hint="pass key= with its 16 bytes")
        return memoryview(crypt(content, key))

    def calculate_sha256(self) -> bytes:
        """SHA-256 over the package, its own place taken as zero. Raises :class:`EspdlError` when the file is not PDL3."""
        if self.format is not ModelFormat.PDL3:
            raise EspdlError(f"a {self.format.name} file has no SHA-256", hint="pack it as PDL3")
        return _digest(self.data[: self.package_size])

    def require_sha256(self, source: str = "") -> None:
        """Raises :class:`EspdlError` when the bytes of a PDL3 package have not the SHA-256 that it states; other files state none."""
        if self.format is ModelFormat.PDL3 and self.calculate_sha256() != self.sha256:
            raise EspdlError(
                "the package is damaged or was changed",
                where=source,
                why=f"it states the SHA-256 {self.sha256.hex()[:16]}..., and its bytes have {self.calculate_sha256().hex()[:16]}...",
                hint="pack it again from its models",
            )


def get_model_format(data: bytes | bytearray | memoryview) -> ModelFormat:
    """The kind of a file by its first four bytes; ``UNK`` when they are none of ours."""
    magic = bytes(memoryview(data).cast("B")[:4])
    return next((f for f in ModelFormat if f and f.name.encode() == magic), ModelFormat.UNK)


def read_container(data: bytes | bytearray | memoryview, *, source: str = "", padding_only: bool = True) -> Container:
    """Finds the models in a file.

    Args:
        data: the whole file.
        source: its name, for error messages.
        padding_only: whether after the last model only padding may follow (zeros or erased flash), no other bytes. False for the
            image of a flash partition, which is larger than the file written to it.

    Raises:
        EspdlError: wrong magic, lengths or offsets outside the file, overlapping models. Names the byte.
    """
    view = memoryview(data).cast("B").toreadonly()
    try:
        kind = get_model_format(view)
        if kind is ModelFormat.UNK:
            raise EspdlError(
                "this is not an ESP-DL model",
                where="byte 0",
                why=f"it begins with {bytes(view[:4])!r}",
                hint="it must begin with EDL1, EDL2, PDL1, PDL2 or PDL3",
            )
        container = _read_package(view, kind) if kind.is_package else Container(view, kind, (_read_edl(view, 0, len(view), ""),))
        end = max((_end(entry) for entry in container.entries), default=len(view))
        if padding_only and not _is_padding(view[max(end, container.package_size) :]):
            raise EspdlError("there are other bytes after the last model", where=f"byte {max(end, container.package_size)}")
        return container
    except EspdlError as error:
        raise (error.at(source) if source else error) from None


def wrap_model(
    payload: bytes | memoryview, key: bytes | Sequence[int] | None = None, *, format: ModelFormat | str = ModelFormat.EDL2
) -> bytes:
    """Puts a FlatBuffer into an EDL1 or EDL2 file, encrypted when there is a key (16 bytes)."""
    kind = ModelFormat[format] if isinstance(format, str) else format
    if kind not in _EDL_HEADER:
        raise EspdlError(f"{kind.name} does not hold a single model", hint="use EDL2")
    if len(payload) > _MAX_FILE - 64:
        raise EspdlError("a model cannot be larger than 4 GiB")
    header = kind.name.encode() + pack_struct("<II", _PLAIN if key is None else _ENCRYPTED, len(payload))
    return header.ljust(_EDL_HEADER[kind], b"\0") + (bytes(payload) if key is None else crypt(payload, key))


def pack(
    models: Sequence[tuple[str, bytes]], format: ModelFormat | str = ModelFormat.PDL3, package_version: str = "v1.0"
) -> bytes:
    """Packs single-model files into a package.

    Args:
        models: base name (with ``.espdl``) and content of each file; they are sorted by name.
        format: PDL3 or PDL2. EDL1 files in PDL2 give PDL1.
        package_version: of a PDL3 package, at most 15 ASCII characters.

    Raises:
        EspdlError: names missing or used twice, a file that is no single model, EDL1 and EDL2 mixed or EDL1 in PDL3.
    """
    kind = ModelFormat[format] if isinstance(format, str) else format
    if kind not in (ModelFormat.PDL2, ModelFormat.PDL3):
        raise EspdlError(f"packages are PDL3 or PDL2, not {kind.name}")
    ordered = sorted((name, bytes(content)) for name, content in models)
    kind = _package_kind(ordered, kind)
    names = [name.encode() for name, _ in ordered]
    table_at = _TABLE[kind] + 4
    names_at = table_at + 12 * len(ordered)
    align = 1 if kind is ModelFormat.PDL1 else 16
    data_at = round_up(names_at + sum(map(len, names)), align)
    contents = [content.ljust(round_up(len(content), align), b"\0") for _, content in ordered]
    if data_at + sum(map(len, contents)) > _MAX_FILE:
        raise EspdlError("a package cannot be larger than 4 GiB")
    package = bytearray(data_at)
    package[:4] = kind.name.encode()
    pack_into("<I", package, _TABLE[kind], len(ordered))
    offset, name_offset = data_at, names_at
    for index, (name, content) in enumerate(zip(names, contents, strict=True)):
        pack_into("<III", package, table_at + 12 * index, offset, name_offset, len(name))
        package[name_offset : name_offset + len(name)] = name
        offset, name_offset = offset + len(content), name_offset + len(name)
    for content in contents:
        package += content
    if kind is ModelFormat.PDL3:
        package[_VERSION_AT:_SIZE_AT] = _version(package_version)
        pack_into("<I", package, _SIZE_AT, len(package))
        package[_DIGEST_AT : _DIGEST_AT + _DIGEST_BYTES] = _digest(memoryview(package))
    return bytes(package)


def _package_kind(models: Sequence[tuple[str, bytes]], kind: ModelFormat) -> ModelFormat:
    """PDL1, PDL2 or PDL3, by what is packed. Checks names and files."""
    if not models:
        raise EspdlError("there is nothing to pack")
    formats = set()
    for index, (name, content) in enumerate(models):
        if not name:
            raise EspdlError("a model has no name")
        if index and models[index - 1][0] == name:
            raise EspdlError(f"two models have the name {name!r}", hint="rename one of the files")
        formats.add(read_container(content, source=name).format)
    if formats == {ModelFormat.EDL2}:
        return kind
    if formats == {ModelFormat.EDL1} and kind is ModelFormat.PDL2:
        return ModelFormat.PDL1
    raise EspdlError(f"{kind.name} cannot hold {' and '.join(sorted(f.name for f in formats))} files", hint="export them as EDL2")


def _version(text: str) -> bytes:
    if not text.isascii() or len(text) >= _VERSION_BYTES or "\0" in text:
        raise EspdlError(f"package version {text!r} is not at most 15 ASCII characters")
    return text.encode().ljust(_VERSION_BYTES, b"\0")


def _digest(package: memoryview) -> bytes:
    digest = hashlib.sha256(package[:_DIGEST_AT])
    digest.update(bytes(_DIGEST_BYTES))
    digest.update(package[_DIGEST_AT + _DIGEST_BYTES :])
    return digest.digest()


def _read_package(view: memoryview, kind: ModelFormat) -> Container:
    table_at = _TABLE[kind] + 4
    if len(view) < table_at:
        raise EspdlError("the file ends inside its header", where=f"byte {len(view)}")
    size, version, sha256 = len(view), "", b""
    if kind is ModelFormat.PDL3:
        size = unpack_from("<I", view, _SIZE_AT)[0]
        if not table_at <= size <= len(view):
            raise EspdlError(f"the package says it has {size} bytes, the file has {len(view)}", where=f"byte {_SIZE_AT}")
        version = _ascii(bytes(view[_VERSION_AT:_SIZE_AT]))
        sha256 = bytes(view[_DIGEST_AT : _DIGEST_AT + _DIGEST_BYTES])
    count = unpack_from("<I", view, _TABLE[kind])[0]
    names_at = table_at + 12 * count
    if names_at > size:
        raise EspdlError(f"the table of {count} models reaches beyond the end of the file", where=f"byte {_TABLE[kind]}")
    entries, used = [], []
    for index, (offset, name_at, name_bytes) in enumerate(iter_unpack("<III", view[table_at:names_at])):
        place = f"byte {table_at + 12 * index}"
        if name_at < names_at or name_at + name_bytes > size or offset < names_at:
            raise EspdlError(f"name or data of model {index} lies outside its place", where=place)
        try:
            name = str(view[name_at : name_at + name_bytes], "utf-8")
        except UnicodeDecodeError:
            raise EspdlError(f"the name of model {index} is not UTF-8 text", where=f"byte {name_at}") from None
        entry = _read_edl(view, offset, size, name, _INNER[kind])
        entries.append(entry)
        used += [(name_at, name_at + name_bytes), (offset, _end(entry))]
    used.sort()
    for before, after in pairwise(used):
        if after[0] < before[1]:
            raise EspdlError("two models or names overlap", where=f"byte {after[0]}")
    return Container(view, kind, tuple(entries), version, size if kind is ModelFormat.PDL3 else 0, sha256)


def _read_edl(view: memoryview, offset: int, limit: int, name: str, wanted: ModelFormat = ModelFormat.UNK) -> Entry:
    place = f"model {name!r}, byte {offset}" if name else f"byte {offset}"
    kind = get_model_format(view[offset : offset + 4])
    if kind not in _EDL_HEADER or (wanted and kind is not wanted):
        raise EspdlError(f"there is no {wanted.name if wanted else 'EDL'} model here", where=place)
    payload_at = offset + _EDL_HEADER[kind]
    if payload_at > limit:
        raise EspdlError("the file ends inside the header of the model", where=place)
    mode, length = unpack_from("<II", view, offset + 4)
    if mode not in (_PLAIN, _ENCRYPTED):
        raise EspdlError(f"encryption mode {mode} is unknown", where=place, hint="0 is plain, 1 is AES-128-CTR")
    if payload_at + length > limit:
        raise EspdlError(
            f"the model has {length} bytes by its header, and {limit - payload_at} are there",
            where=place,
            why="the file is truncated",
            hint="copy it again from where it is whole",
        )
    return Entry(name, kind, offset, payload_at, length, mode == _ENCRYPTED)


def _end(entry: Entry) -> int:
    return entry.payload_offset + entry.length


def _is_padding(rest: memoryview) -> bool:
    content = bytes(rest)
    return not content.strip(b"\0") or not content.strip(b"\xff")


def _ascii(field: bytes) -> str:
    text, _, rest = field.partition(b"\0")
    if not text.isascii() or rest.strip(b"\0"):
        raise EspdlError("the package version is not ASCII text", where=f"byte {_VERSION_AT}")
    return text.decode("ascii")
