"""Named identities with several features each: the file of ESP-DL's ``feat_database`` component (runtime spec 7.13)."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError
from espdl.fbs.files import open_mapped, write_atomically

HEADER = struct.Struct("<HHH")
IDENTITY = struct.Struct("<HH32sBi")
LABEL_BYTES = 31
MAX_ID = 0xFFFF
SMALLEST_NORM = 1e-10


@dataclass
class Identity:
    """Somebody enrolled.

    Attributes:
        id: from 1; ids of identities that were deleted are not used again while a later one lives.
        label: the name, at most 31 bytes in UTF-8.
        embeddings: of length 1, float32 [dim] each.
        mean, basis, variances: the subspace of the embeddings, float32 [dim], [k, dim], [k]; None until :meth:`IdentityDatabase.build`.
    """

    id: int
    label: str
    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    mean: NDArray[np.float32] | None = None
    basis: NDArray[np.float32] | None = None
    variances: NDArray[np.float32] | None = None

    def forget_subspace(self) -> None:
        self.mean = self.basis = self.variances = None

    def build(self, min_samples: int) -> None:
        """The subspace: mean, and the right singular vectors of the centred embeddings."""
        self.forget_subspace()
        count = len(self.embeddings)
        if count < max(min_samples, 2):
            return
        stacked = np.stack(self.embeddings)
        mean = stacked.mean(axis=0, dtype=np.float32)
        _, values, vectors = np.linalg.svd(stacked - mean, full_matrices=False)
        kept = min(count - 1, stacked.shape[1])
        self.mean, self.basis, self.variances = mean, vectors[:kept], values[:kept]

    def subspace_score(self, query: NDArray[np.float32]) -> float | None:
        """``-sqrt(half the squared distance)`` of a query of length 1 from the subspace; 0 is the best. None without a subspace."""
        if self.mean is None or self.basis is None:
            return None
        off = query - self.mean
        rest = off - self.basis.T @ (self.basis @ off)
        return -float(np.sqrt(np.dot(rest, rest) / np.float32(2)))

    def cosine(self, query: NDArray[np.float32]) -> float:
        """The largest cosine of a query of length 1 with an embedding."""
        return max(float(np.dot(embedding, query)) for embedding in self.embeddings)


class IdentityDatabase:
    """Identities in a file, as the ``feat_database`` component of ESP-DL keeps them.

    A chip writes ``path.tmp``, removes the old file and renames; killed in between it leaves only ``path.tmp``, which is taken then. This
    class writes the file as a whole or not at all, when :meth:`build`, :meth:`save` or a deletion says so; :meth:`enroll` alone does not.

    Args:
        path: of the file; where there is none the database is empty.
        dim: numbers of an embedding; None takes that of the file.

    Raises:
        EspdlError: for a file that is damaged or cut short, or holds embeddings of another length.
    """

    def __init__(self, path: str | os.PathLike[str], dim: int | None = None) -> None:
        self.path = Path(path)
        self.identities: list[Identity] = []
        source = next((one for one in (self.path, self._temporary) if one.is_file()), None)
        if source is None:
            if dim is None or not 0 < dim <= MAX_ID:
                raise EspdlError("there is no database and nothing says how long embeddings are", where=str(path))
            self.dim = dim
            return
        try:
            self._parse(open_mapped(source), dim)
        except EspdlError as error:
            raise error if error.where else error.at(str(source)) from None

    @property
    def labels(self) -> list[str]:
        return [identity.label for identity in self.identities]

    def find(self, label: str) -> Identity:
        """The identity of that name. Raises :class:`EspdlError` when there is none."""
        for identity in self.identities:
            if identity.label == label:
                return identity
        raise EspdlError(
            f"nobody is enrolled as {label!r}", where=str(self.path), why=f"known are {', '.join(self.labels) or 'none'}"
        )

    def enroll(self, label: str, embedding: ArrayLike) -> Identity:
        """Adds an embedding to a name, in memory; the subspace of that name has to be built anew.

        Raises:
            EspdlError: for an embedding of another length or without direction, and a name that is empty or too long.
        """
        values = self._unit(embedding)
        if not label or len(label.encode()) > LABEL_BYTES or "\0" in label:
            raise EspdlError(f"{label!r} is no name for the database", why=f"names have 1 to {LABEL_BYTES} bytes in UTF-8")
        if sum(len(identity.embeddings) for identity in self.identities) >= MAX_ID:
            raise EspdlError("the database is full", where=str(self.path), why=f"it holds {MAX_ID} embeddings")
        if label not in self.labels:
            new_id = max((identity.id for identity in self.identities), default=0) + 1
            if new_id > MAX_ID:
                raise EspdlError("the database is full", where=str(self.path), why="its ids are used up")
            self.identities.append(Identity(new_id, label))
        identity = self.find(label)
        identity.embeddings.append(values)
        identity.forget_subspace()
        return identity

    def build(self, min_samples: int = 2) -> None:
        """Builds the subspaces of all who have that many embeddings (two at least), and saves."""
        for identity in self.identities:
            identity.build(min_samples)
        self.save()

    def delete_embedding(self, label: str, index: int) -> None:
        """Deletes one embedding of a name (its last one deletes the name), builds its subspace anew and saves."""
        identity = self.find(label)
        if not 0 <= index < len(identity.embeddings):
            raise EspdlError(f"{label!r} has no embedding {index}", why=f"there are {len(identity.embeddings)}, counted from 0")
        del identity.embeddings[index]
        if not identity.embeddings:
            self.identities.remove(identity)
        else:
            identity.build(2)
        self.save()

    def delete(self, label: str) -> None:
        """Deletes a name with all its embeddings and saves."""
        self.identities.remove(self.find(label))
        self.save()

    def clear(self) -> None:
        """Deletes everything and saves."""
        self.identities.clear()
        self.save()

    def verify_max_cosine(self, query: ArrayLike, threshold: float = 0.5) -> list[tuple[str, float]]:
        """Names whose most alike embedding has a cosine above ``threshold``, the most alike first."""
        values = self._unit(query)
        scores = [(identity.label, identity.cosine(values)) for identity in self.identities if identity.embeddings]
        return sorted((score for score in scores if score[1] > threshold), key=lambda score: -score[1])

    def verify_subspace(self, query: ArrayLike) -> list[tuple[str, float]]:
        """Names with a subspace and how near the query lies to it (at most 0), the nearest first."""
        values = self._unit(query)
        scores = [(identity.label, identity.subspace_score(values)) for identity in self.identities]
        return sorted(((label, score) for label, score in scores if score is not None), key=lambda score: -score[1])

    def save(self) -> None:
        """Writes the file, as a whole or not at all."""
        write_atomically(self.path, self.to_bytes())
        with suppress(OSError):
            self._temporary.unlink()  # or it would come back to life when the file is deleted

    def to_bytes(self) -> bytes:
        """The content of the file."""
        count = sum(len(identity.embeddings) for identity in self.identities)
        parts = [HEADER.pack(count, count, self.dim)]
        running = 0
        for identity in self.identities:
            ready = identity.mean is not None and identity.basis is not None and identity.variances is not None
            basis = identity.basis if ready and identity.basis is not None else np.zeros((0, self.dim), np.float32)
            kept = len(basis)
            mean = identity.mean if ready and identity.mean is not None else np.zeros(self.dim, np.float32)
            variances = identity.variances if ready and identity.variances is not None else np.zeros(0, np.float32)
            parts.append(IDENTITY.pack(identity.id, len(identity.embeddings), identity.label.encode(), int(ready), kept))
            for values in (mean, basis if kept else np.zeros(self.dim), variances if kept else np.zeros(1)):
                parts.append(np.ascontiguousarray(values, "<f4").tobytes())
            for embedding in identity.embeddings:
                running += 1
                parts.append(struct.pack("<H", running) + embedding.astype("<f4").tobytes())
        return b"".join(parts)

    @property
    def _temporary(self) -> Path:
        return self.path.with_name(self.path.name + ".tmp")

    def _unit(self, embedding: ArrayLike) -> NDArray[np.float32]:
        values = np.asarray(embedding, np.float32).reshape(-1)
        if len(values) != self.dim:
            raise EspdlError(
                f"an embedding of {len(values)} numbers does not fit", why=f"those of {self.path.name} have {self.dim}"
            )
        norm = np.sqrt(np.dot(values, values))
        if not np.isfinite(norm) or norm < SMALLEST_NORM:
            raise EspdlError("an embedding of this length has no direction", why=f"its length is {float(norm):g}")
        return values / norm

    def _parse(self, content: memoryview, dim: int | None) -> None:
        reader = _Reader(content)
        _, valid, self.dim = HEADER.unpack(reader.take(HEADER.size))
        if not self.dim or (dim is not None and dim != self.dim):
            raise EspdlError(
                f"embeddings of this database have {self.dim} numbers",
                why=f"asked for are {dim}" if self.dim else "it is damaged",
            )
        while reader.left:
            number, count, label, ready, kept = IDENTITY.unpack(reader.take(IDENTITY.size))
            if not 0 <= kept <= self.dim:
                raise EspdlError("the database is damaged", why=f"a subspace of {kept} dimensions in {self.dim}")
            mean, basis, variances = reader.floats(self.dim), reader.floats(max(kept, 1) * self.dim), reader.floats(max(kept, 1))
            identity = Identity(number, label.split(b"\0")[0].decode("utf-8", "replace"))
            if ready and kept:
                identity.mean, identity.basis, identity.variances = mean, basis.reshape(kept, self.dim), variances
            for _ in range(count):
                reader.take(2)
                identity.embeddings.append(reader.floats(self.dim))
            self.identities.append(identity)
        found = sum(len(identity.embeddings) for identity in self.identities)
        if found < valid:
            raise EspdlError("the database is cut short", why=f"its header counts {valid} embeddings, there are {found}")


class _Reader:
    """Takes bytes off the front."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._position = content, 0

    @property
    def left(self) -> int:
        return len(self._content) - self._position

    def take(self, size: int) -> memoryview:
        if size > self.left:
            raise EspdlError(
                "the database is cut short", why=f"at byte {self._position} {size} more are needed, {self.left} are left"
            )
        self._position += size
        return self._content[self._position - size : self._position]

    def floats(self, count: int) -> NDArray[np.float32]:
        values = np.frombuffer(self.take(4 * count), "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise EspdlError("the database is damaged", why=f"numbers before byte {self._position} are not finite")
        return values
