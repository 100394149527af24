"""Packages of models, and their encryption, as files (runtime spec 1.2, 1.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from espdl.errors import EspdlError
from espdl.fbs import ModelFormat, get_model_format, open_mapped, read_container, read_model, wrap_model, write_atomically
from espdl.fbs import pack as pack_models
from espdl.fbs.container import Container, Entry
from espdl.fbs.files import require_writable

SUFFIX = ".espdl"


@dataclass(frozen=True)
class PackagedModel:
    """One model of a file: its name (empty when the file is no package), bytes of its FlatBuffer, and whether it is encrypted."""

    name: str
    index: int
    format: str
    bytes: int
    offset: int
    encrypted: bool


@dataclass(frozen=True)
class PackageContents:
    """What a file holds. ``version`` and ``sha256`` are those of PDL3, else empty; ``sha256_fits`` is None without one."""

    file: str
    format: str
    file_bytes: int
    version: str
    sha256: str
    sha256_fits: bool | None
    models: tuple[PackagedModel, ...]


def pack_files(
    models: Sequence[str | Path],
    out: str | Path,
    *,
    format: str = "PDL3",
    version: str = "v1.0",
    force: bool = False,
) -> PackageContents:
    """Packs model files into one.

    Args:
        models: files, or one directory, whose ``*.espdl`` are taken. They are sorted by name; their names, without directories, are those
            under which the chip loads them.
        out: the package to write. It is not taken as one of the models of its directory.
        format: ``PDL3``, or ``PDL2`` for an ESP-DL that does not know it.
        version: of a PDL3 package, at most 15 ASCII characters.
        force: whether a file that is there is replaced.

    Returns:
        The contents of the package written.

    Raises:
        EspdlError: no models, the same name twice, a file that is no single model, or an output that exists.
    """
    paths = _model_paths([Path(path) for path in models], Path(out))
    require_writable(out, paths)
    require_absent(out, force)
    content = pack_models([(path.name, bytes(open_mapped(path))) for path in paths], format, version)
    write_atomically(out, content)
    return list_package(out)


def list_package(file: str | Path) -> PackageContents:
    """What a model file or package holds; a wrong SHA-256 is told, not raised. Raises :class:`EspdlError` for anything else."""
    container = read_container(open_mapped(file), source=str(file))
    fits = None if container.format is not ModelFormat.PDL3 else container.calculate_sha256() == container.sha256
    return PackageContents(
        file=str(file),
        format=container.format.name,
        file_bytes=len(container.data),
        version=container.package_version,
        sha256=container.sha256.hex(),
        sha256_fits=fits,
        models=tuple(
            PackagedModel(entry.name, index, entry.format.name, entry.length, entry.offset, entry.encrypted)
            for index, entry in enumerate(container.entries)
        ),
    )


def unpack_file(package: str | Path, directory: str | Path, *, force: bool = False) -> list[Path]:
    """Writes every model of a package into a directory, byte for byte as it was packed.

    Args:
        package: a PDL1, PDL2 or PDL3 file.
        directory: made when it is not there.
        force: whether files that are there are replaced.

    Returns:
        The files written.

    Raises:
        EspdlError: for a file that is no package or not whole, names that are no plain file names, and files that exist. Nothing is
            written then.
    """
    container = read_container(open_mapped(package), source=str(package))
    if not container.format.is_package:
        raise EspdlError(f"{container.format.name} holds one model", where=str(package), hint="it needs no unpacking")
    container.require_sha256(str(package))
    targets = [Path(directory) / _plain_name(entry.name, str(package)) for entry in container.entries]
    for target in targets:
        if targets.count(target) > 1:
            raise EspdlError(f"two models have the name {target.name!r}", where=str(package))
        require_writable(target, [package])
        require_absent(target, force)
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EspdlError("the directory cannot be made", where=str(directory), why=error.strerror or str(error)) from None
    for target, entry in zip(targets, container.entries, strict=True):
        write_atomically(target, _file_of(container, entry))
    return targets


def encrypt_file(source: str | Path, out: str | Path, key: bytes, *, force: bool = False) -> None:
    """Encrypts every model of a file or package with AES-128 in counter mode.

    Raises:
        EspdlError: for a file that is encrypted already or holds no model, a key that is not 16 bytes, and an output that exists.
    """

    def encrypted(container: Container, entry: Entry) -> bytes:
        if entry.encrypted:
            raise EspdlError("this model is encrypted already", where=_place(source, entry))
        return wrap_model(container.payload(entry), key, format=entry.format)

    _rewrite(source, out, force, encrypted)


def decrypt_file(source: str | Path, out: str | Path, key: bytes, *, force: bool = False) -> None:
    """Undoes :func:`encrypt_file`.

    Raises:
        EspdlError: for a file that is not encrypted, a wrong key (what it decrypts to is no model), and an output that exists.
    """

    def decrypted(container: Container, entry: Entry) -> bytes:
        if not entry.encrypted:
            raise EspdlError("this model is not encrypted", where=_place(source, entry))
        payload = container.payload(entry, key)
        try:
            read_model(payload)
        except EspdlError:
            raise EspdlError("wrong key or damaged file", where=_place(source, entry)) from None
        return wrap_model(payload, format=entry.format)

    _rewrite(source, out, force, decrypted)


def require_absent(path: str | Path, force: bool) -> None:
    """Raises :class:`EspdlError` when there is something at ``path``, unless ``force``."""
    if not force and Path(path).exists():
        raise EspdlError("there is something already", where=str(path), hint="choose another name, or give --force to replace it")


def _rewrite(source: str | Path, out: str | Path, force: bool, change: Callable[[Container, Entry], bytes]) -> None:
    container = read_container(open_mapped(source), source=str(source))
    container.require_sha256(str(source))
    require_writable(out, [source])
    require_absent(out, force)
    files = [(entry.name, change(container, entry)) for entry in container.entries]
    if not container.format.is_package:
        content = _padded(files[0][1], container)
    else:
        kind = ModelFormat.PDL3 if container.format is ModelFormat.PDL3 else ModelFormat.PDL2
        content = pack_models(files, kind, container.package_version or "v1.0")
    write_atomically(out, content)


def _padded(content: bytes, container: Container) -> bytes:
    """With as many bytes after the model as the original has: so that decrypting what was encrypted gives the original."""
    rest = container.data[len(content) :]
    return content + bytes(rest)


def _file_of(container: Container, entry: Entry) -> bytes:
    end = entry.payload_offset + entry.length
    return bytes(container.data[entry.offset : end])


def _model_paths(given: Sequence[Path], out: Path) -> list[Path]:
    if len(given) == 1 and given[0].is_dir():
        paths = [path for path in sorted(given[0].glob(f"*{SUFFIX}")) if path.resolve() != out.resolve()]
        paths = [path for path in paths if not get_model_format(open_mapped(path)).is_package]
        if not paths:
            raise EspdlError(f"there is no *{SUFFIX} file in it", where=str(given[0]))
        return paths
    for path in given:
        if path.is_dir():
            raise EspdlError("this is a directory", where=str(path), hint="give files, or one directory alone")
    return sorted(given)


def _plain_name(name: str, package: str) -> str:
    """The name of a model as that of a file: one that leads elsewhere is refused."""
    if not name or PurePath(name).name != name or "\\" in name or ":" in name or not name.isprintable() or name in (".", ".."):
        raise EspdlError(f"the model name {name!r} is no plain file name", where=package, hint="such a package is not unpacked")
    return name


def _place(source: str | Path, entry: Entry) -> str:
    return f"{source}[{entry.name}]" if entry.name else str(source)
