"""Features of enrolled faces in ESP-DL's file format (runtime spec 7.8).

The file is a header of three 16-bit numbers (records, records in use, length of a feature) and the records: a 16-bit id, which is the
number of the record from 1 or 0 for a deleted one, and the feature in float32, all little-endian.

A chip changes the file in place and may lose power in between; this class writes it as a whole or not at all. What a chip has left half
written is read: see :attr:`FeatureDatabase.repairs`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError
from espdl.fbs.files import open_mapped, write_atomically
from espdl.vision.sorting import best_first

HEADER = struct.Struct("<HHH")
MAX_RECORDS = 0xFFFF


@dataclass(frozen=True)
class Match:
    """An enrolled feature that is like the one asked for.

    Attributes:
        id: of its record in the file.
        position: its number among the records in use, from 1: what ESP-DL's ``query_feat`` calls the id. The two differ once a feature
            has been deleted.
        similarity: cosine, in [-1, 1].
    """

    id: int
    position: int
    similarity: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class FeatureDatabase:
    """Enrolled features, in a file.

    Args:
        path: of the file; where there is none an empty one is made, as a chip does.
        feat_len: length of features; None takes that of the file.

    Attributes:
        path, feat_len: as given, or found.
        repairs: what was half-written in the file, in words; empty for a whole one. The next change writes it anew.

    Raises:
        EspdlError: for a file of features of another length, one that no interrupted chip can have left, or no file and no length.
    """

    def __init__(self, path: str | os.PathLike[str], feat_len: int | None = None) -> None:
        self.path = Path(path)
        self.repairs: list[str] = []
        if feat_len is not None and not 0 < feat_len <= MAX_RECORDS:
            raise EspdlError(f"a feature cannot have {feat_len} numbers", why=f"it has 1 to {MAX_RECORDS}")
        size = self.path.stat().st_size if self.path.is_file() else None
        if size:
            self._read(open_mapped(self.path), feat_len)
            return
        if feat_len is None:
            raise EspdlError("there is no database and nothing says how long features are", where=str(path))
        self.feat_len = feat_len
        self._start()
        if size == 0:
            self.repairs.append("the file was empty")
        self._save()

    def __len__(self) -> int:
        """Features in use."""
        return int(np.count_nonzero(self._ids))

    @property
    def ids(self) -> list[int]:
        """Of the records in use, in their order."""
        return [int(i) for i in self._ids[self._ids > 0]]

    @property
    def total(self) -> int:
        """Records in the file, deleted ones included."""
        return len(self._ids)

    def feature(self, feature_id: int) -> NDArray[np.float32]:
        """A copy of an enrolled feature, float32 [feat_len].

        Raises:
            EspdlError: when no record in use has this id.
        """
        return self._features[self._row(feature_id)].copy()

    def enroll_feat(self, feature: ArrayLike) -> int:
        """Adds a feature [feat_len] and returns its id.

        Raises:
            EspdlError: for a feature that does not fit, a full database, or a file that cannot be written: then nothing was added.
        """
        values = self._checked(feature)
        if self.total == MAX_RECORDS:
            raise EspdlError("the database is full", where=str(self.path), why=f"it has {MAX_RECORDS} records", hint="clear it")
        self._change(np.append(self._ids, np.uint16(self.total + 1)), np.vstack((self._features, values)))
        return self.total

    def delete_feat(self, feature_id: int) -> None:
        """Marks a record as deleted; its id is not used again.

        Raises:
            EspdlError: when no record in use has this id.
        """
        ids = self._ids.copy()
        ids[self._row(feature_id)] = 0
        self._change(ids, self._features)

    def delete_last_feat(self) -> int:
        """Deletes the last feature in use and returns its id. Raises :class:`EspdlError` when there is none."""
        if not self.ids:
            raise EspdlError("there is nothing to delete, the database is empty", where=str(self.path))
        last = self.ids[-1]
        self.delete_feat(last)
        return last

    def clear_all_feats(self) -> None:
        """Forgets all records; ids begin with 1 again."""
        self._change(np.empty(0, np.uint16), np.empty((0, self.feat_len), np.float32))

    def query_feat(self, feature: ArrayLike, threshold: float = 0.5, top_k: int = 1) -> list[Match]:
        """The features whose dot product with this one is above ``threshold``, the most alike first, at most ``top_k``.

        Raises:
            EspdlError: for a feature that does not fit.
        """
        values = self._checked(feature)
        rows = np.flatnonzero(self._ids)
        similarities = self._features[rows] @ values
        above = np.flatnonzero(similarities > threshold)
        best = above[best_first(similarities[above], max(top_k, 0))]
        return [Match(int(self._ids[rows[i]]), int(i) + 1, float(similarities[i])) for i in best]

    def to_bytes(self) -> bytes:
        """The content of the file."""
        records = np.zeros(self.total, self._record())
        records["id"], records["feature"] = self._ids, self._features
        return HEADER.pack(self.total, len(self), self.feat_len) + records.tobytes()

    def _record(self) -> np.dtype:
        return np.dtype([("id", "<u2"), ("feature", "<f4", (self.feat_len,))])

    def _start(self) -> None:
        self._ids = np.empty(0, np.uint16)
        self._features = np.empty((0, self.feat_len), np.float32)

    def _row(self, feature_id: int) -> int:
        if feature_id not in self.ids:
            raise EspdlError(f"there is no feature with id {feature_id}", where=str(self.path), why=f"ids are {self.ids}")
        return feature_id - 1

    def _checked(self, feature: ArrayLike) -> NDArray[np.float32]:
        values = np.asarray(feature, np.float32).reshape(-1)
        if len(values) != self.feat_len:
            raise EspdlError(
                f"a feature of {len(values)} numbers does not fit", why=f"those of {self.path.name} have {self.feat_len}"
            )
        if not np.isfinite(values).all():
            raise EspdlError("the feature holds numbers that are not finite")
        return values

    def _change(self, ids: NDArray[np.uint16], features: NDArray[np.float32]) -> None:
        before = self._ids, self._features
        self._ids, self._features = ids, features
        try:
            self._save()
        except EspdlError:
            self._ids, self._features = before
            raise

    def _save(self) -> None:
        write_atomically(self.path, self.to_bytes())

    def _read(self, content: memoryview, feat_len: int | None) -> None:
        """Reads a file, and what an interrupted chip may have left of one.

        Enrolling, a chip writes the header and then appends the record; deleting, it writes the id and then the count. So the record that
        the header promises may be missing or cut, and the count may be off.
        """
        if len(content) < HEADER.size:
            if feat_len is None:
                raise EspdlError(
                    "the database is cut short within its header", where=str(self.path), hint="say the length of features"
                )
            self.feat_len = feat_len
            self._start()
            self.repairs.append(f"the header was cut short after {len(content)} bytes")
            return
        total, valid, self.feat_len = HEADER.unpack_from(content)
        if not self.feat_len or (feat_len is not None and feat_len != self.feat_len):
            raise EspdlError(
                f"features of this database have {self.feat_len} numbers",
                where=str(self.path),
                why="it is no database, or damaged" if not self.feat_len else f"those of the model have {feat_len}",
            )
        body = content[HEADER.size :]
        whole = min(total, len(body) // self._record().itemsize)
        records = np.frombuffer(body, self._record(), count=whole)
        self._ids, self._features = records["id"].astype(np.uint16), records["feature"].astype(np.float32)
        expected = np.arange(1, whole + 1)
        damaged = np.flatnonzero(((self._ids != 0) & (self._ids != expected)) | ~np.isfinite(self._features).all(axis=1))
        if damaged.size:
            raise EspdlError("the database is damaged", where=f"{self.path}: record {int(damaged[0]) + 1}")
        if whole < total:
            missing = "the last record was" if whole == total - 1 else f"the last {total - whole} records were"
            self.repairs.append(f"{missing} not written whole")
        if len(self) != valid:
            self.repairs.append(f"the header counted {valid} features in use, there are {len(self)}")
        if len(body) > total * self._record().itemsize:
            self.repairs.append(f"{len(body) - total * self._record().itemsize} bytes lie behind the last record")
