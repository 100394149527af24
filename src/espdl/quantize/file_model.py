"""``FileModel``: a graph and the file made from it, to be written or run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espdl.dl.model import Model
from espdl.fbs import records
from espdl.quantize.export import Config, write_files
from espdl.quantize.graph import QuantGraph
from espdl.quantize.lower import Lowered
from espdl.wording import counted, kilobytes


@dataclass(repr=False)
class FileModel:
    """A quantized network and its file.

    Attributes:
        graph: the prepared float network with the representation of every tensor.
        record: the content of the file.
        data: the bytes of the file.
        lowered: where the network's tensors are in the file.
    """

    graph: QuantGraph
    record: records.Model
    data: bytes
    lowered: Lowered

    def __repr__(self) -> str:
        """In a few words: the network inside would fill pages."""
        operators = counted(len(self.record.graph.node), "operator")
        return f"<{type(self).__name__} {self.record.graph.name!r}: {operators}, {kilobytes(len(self.data))} for {self.graph.chip.name}>"

    def save(self, path: str | os.PathLike[str], config: Config = True, key: bytes | None = None) -> list[Path]:
        """Writes the ``.espdl`` file, and ``.info`` and ``.json`` beside it; all of them or none. Returns their paths.

        Arguments and errors as of :func:`espdl.quantize.export.write_files`.
        """
        return write_files(Path(path), self.data, self.record, self.graph, config, key)

    def model(self, **options: Any) -> Model:
        """The file, loaded; keyword arguments as of :class:`espdl.dl.Model`."""
        return Model(self.data, target=self.graph.chip, **options)
