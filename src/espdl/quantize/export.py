"""From a quantized graph to the record, the bytes and the files of a model (quantizer spec 11.9 to 12.4)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True)
class ExportOptions:
    """What goes into a file beside the network.

    Attributes:
        metadata: entries of ``metadata_props``; ``target`` is added.
        model_version: a number of the user's.
        lowering: what settings decide.
    """

    metadata: Mapping[str, str] | None = None
    model_version: int = 0
    lowering: LoweringOptions = field(default_factory=LoweringOptions)


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


def output_places(path: str | os.PathLike[str], config: bool = True, keep: Sequence[str | os.PathLike[str]] = ()) -> list[Path]:
    """The paths that :func:`write_files` writes, the model first.

    Args:
        path, config: as there.
        keep: files that must stay as they are.

    Raises:
        EspdlError: when one of them is no place for a file, is the place of another one, or is among ``keep``.
    """
    target = Path(path)
    places = [target, target.with_suffix(".info"), target.with_suffix(".json")] if config else [target]
    if target in places[1:]:
        raise EspdlError(f"the model cannot be a {target.suffix} file", where=str(target), hint="name it .espdl")
    for place in places:
        require_writable(place, keep)
    return places


def write_files(path: str | Path, data: bytes, record: Model, graph: QuantGraph, config: bool = True) -> list[Path]:
    """Writes a model, and its ``.info`` and ``.json`` beside it.

    Everything is written beside its place first, and each file takes the place of an older one as a whole.

    Args:
        path: of the ``.espdl`` file; its directory is created.
        data: its bytes.
        record: their content.
        graph: what they were made from.
        config: whether to write the other two.

    Returns:
        The paths written.
    """
    target = Path(path)
    places = output_places(target, config)
    contents: list[bytes | str | Iterable[str]] = [data, info_pieces(record), config_json(graph)] if config else [data]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written beside their places first, so that a full disk or a kill leaves all three older files as they were.
        with staging_directory(target) as staging:
            for place, content in zip(places, contents, strict=True):
                write_atomically(Path(staging) / place.name, content)
            for place in reversed(places):
                os.replace(Path(staging) / place.name, os.path.realpath(place))
    except OSError as error:
        raise EspdlError("the files cannot be written", where=str(target), why=error.strerror or str(error)) from None
    return places
