"""From a quantized graph to the record, the bytes and the files of a model (quantizer spec 11.9 to 12.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from espdl.dl.target import METADATA_KEY
from espdl.errors import EspdlError
from espdl.fbs import info_pieces, wrap_model, write_atomically, write_model
from espdl.fbs.files import require_writable, staging_directory
from espdl.fbs.records import Model
from espdl.quantize.config_json import config_json
from espdl.quantize.graph import QuantGraph
from espdl.quantize.lower import Lowered, lower
from espdl.quantize.scale import METADATA_KEY as SCALES_KEY
from espdl.quantize.scale import checksum
from espdl.quantize.separate import separate_views
from espdl.quantize.tables import LoweringOptions
from espdl.version import __version__

Config: TypeAlias = bool | str | os.PathLike[str]
"""Whether ``.info`` and ``.json`` are written, or where the latter goes."""


@dataclass(frozen=True)
class ExportOptions:
    """What goes into a file beside the network.

    Attributes:
        metadata: entries of ``metadata_props``; ``target`` is added.
        model_version: a number of the user's.
        lowering: what settings decide.

    Raises:
        EspdlError: for metadata that are not texts, and for a version that is no 64-bit integer.
    """

    metadata: Mapping[str, str] | None = None
    model_version: int = 0
    lowering: LoweringOptions = field(default_factory=LoweringOptions)

    def __post_init__(self) -> None:
        metadata = self.metadata or {}
        if not isinstance(metadata, Mapping) or not all(isinstance(text, str) for item in metadata.items() for text in item):
            raise EspdlError(f"metadata_props = {metadata!r} does not map texts to texts", hint='{"author": "me"}')
        if METADATA_KEY in metadata:
            raise EspdlError(
                f"metadata_props cannot set {METADATA_KEY!r}", why="it says which chip the file is for", hint="leave it out"
            )
        version = self.model_version
        if not isinstance(version, int) or isinstance(version, bool) or not -(1 << 63) <= version < 1 << 63:
            raise EspdlError(f"model_version = {version!r} is not a 64-bit integer", hint="0 is the default")


def build_record(graph: QuantGraph, options: ExportOptions) -> tuple[Model, Lowered]:
    """The content of the file of a graph, and where its tensors are in it."""
    lowered = lower(graph, options.lowering)
    marker = {SCALES_KEY: checksum(graph.scales)} if graph.scales else {}
    record = Model(
        lowered.graph,
        ir_version=graph.model.ir_version or 8,
        producer_name="espdl",
        producer_version=__version__,
        model_version=options.model_version,
        metadata_props={**(options.metadata or {}), **marker, METADATA_KEY: graph.chip.name},
    )
    graph.warnings += separate_views(record, graph.chip)
    return record, lowered


def file_bytes(record: Model) -> bytes:
    """The bytes of an ``.espdl`` file."""
    return wrap_model(write_model(record))


def output_places(path: str | os.PathLike[str], config: Config = True, keep: Sequence[str | os.PathLike[str]] = ()) -> list[Path]:
    """The paths that :func:`write_files` writes, the model first.

    Args:
        path, config: as there.
        keep: files that must stay as they are.

    Raises:
        EspdlError: when one of them is no place for a file, is the place of another one, or is among ``keep``.
    """
    target = Path(path)
    places = [target]
    if config:
        places += [target.with_suffix(".info"), target.with_suffix(".json") if isinstance(config, bool) else Path(config)]
    if target in places[1:]:
        raise EspdlError(f"the model cannot be a {target.suffix} file", where=str(target), hint="name it .espdl")
    if len(set(places)) < len(places):
        raise EspdlError("two files would have one name", where=str(places[-1]), hint="choose another config_path")
    for place in places:
        require_writable(place, keep)
    return places


def write_files(
    path: str | Path, data: bytes, record: Model, graph: QuantGraph, config: Config = True, key: bytes | None = None
) -> list[Path]:
    """Writes a model, and its ``.info`` and ``.json`` beside it.

    Everything is written beside its place first, and each file takes the place of an older one as a whole.

    Args:
        path: of the ``.espdl`` file; its directory is created.
        data: its bytes.
        record: their content.
        graph: what they were made from.
        config: whether to write the other two; a path is where the ``.json`` file goes.
        key: 16 bytes to encrypt the model with; ``.info`` and ``.json`` are never encrypted.

    Returns:
        The paths written.

    Raises:
        EspdlError: for places and keys that will not do, and when the files cannot be written.
    """
    target = Path(path)
    places = output_places(target, config)
    model = data if key is None else wrap_model(write_model(record), key)
    contents: list[bytes | str | Iterable[str]] = [model, info_pieces(record), config_json(graph)] if config else [model]
    try:
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
        # Written beside their places first, so that a full disk or a kill leaves all three older files as they were.
        with ExitStack() as stack:
            directories = {place.parent: place for place in reversed(places)}
            staging = {parent: Path(stack.enter_context(staging_directory(place))) for parent, place in directories.items()}
            for place, content in zip(places, contents, strict=True):
                write_atomically(staging[place.parent] / place.name, content)
            for place in reversed(places):
                os.replace(staging[place.parent] / place.name, os.path.realpath(place))
    except OSError as error:
        raise EspdlError("the files cannot be written", where=str(target), why=error.strerror or str(error)) from None
    return places
