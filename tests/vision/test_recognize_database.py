"""The database of features: its bytes by hand, its operations against a plain list, and files cut at every byte."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl import EspdlError
from espdl.vision.recognize import FeatureDatabase
from tests.conftest import ROOT

A, B, C = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.8, 0.0]


@pytest.fixture
def three(tmp_path: Path) -> FeatureDatabase:
    database = FeatureDatabase(tmp_path / "faces.db", 3)
    assert [database.enroll_feat(feature) for feature in (A, B, C)] == [1, 2, 3]
    return database


def content(total: int, valid: int, *records: tuple[int, list[float]]) -> bytes:
    return struct.pack("<3H", total, valid, 3) + b"".join(struct.pack("<H3f", number, *values) for number, values in records)


def test_the_file_byte_by_byte(three: FeatureDatabase) -> None:
    assert three.path.read_bytes() == content(3, 3, (1, A), (2, B), (3, C))
    three.delete_feat(2)
    assert three.path.read_bytes() == content(3, 2, (1, A), (0, B), (3, C))
    assert three.enroll_feat(B) == 4
    assert three.path.read_bytes() == content(4, 3, (1, A), (0, B), (3, C), (4, B))
    assert three.delete_last_feat() == 4 and three.delete_last_feat() == 3
    three.clear_all_feats()
    assert three.path.read_bytes() == content(0, 0)
    assert FeatureDatabase(three.path).feat_len == 3


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    FeatureDatabase(tmp_path / "new.db", 512)
    assert (tmp_path / "new.db").read_bytes() == struct.pack("<3H", 0, 0, 512)


def test_queries(three: FeatureDatabase) -> None:
    found = three.query_feat([0.8, 0.6, 0], 0.5, top_k=5)
    assert [match.id for match in found] == [3, 1, 2]
    assert [match.similarity for match in found] == pytest.approx([0.96, 0.8, 0.6])
    assert [match.id for match in three.query_feat([0.8, 0.6, 0], 0.7)] == [3]
    assert three.query_feat([0, 0, 1], 0.5) == []
    assert [match.id for match in three.query_feat(A, np.float32(0.6), 5)] == [1]  # above, not at the threshold


def test_the_position_a_chip_tells_is_no_id_after_a_deletion(three: FeatureDatabase) -> None:
    three.delete_feat(1)
    (match,) = three.query_feat(C, 0.9)
    assert (match.id, match.position) == (3, 2)
    assert match.to_dict() == {"id": 3, "position": 2, "similarity": pytest.approx(1)}


@given(actions=st.lists(st.one_of(st.just("enrol"), st.integers(1, 8)), max_size=12))
def test_operations_are_those_of_a_list(tmp_path_factory: pytest.TempPathFactory, actions: list) -> None:
    path = tmp_path_factory.mktemp("db") / "x.db"
    database, expected = FeatureDatabase(path, 2), {}
    for step, action in enumerate(actions):
        if action == "enrol":
            expected[database.enroll_feat([step, 1])] = step
        elif action in expected:
            database.delete_feat(action)
            del expected[action]
        else:
            with pytest.raises(EspdlError, match="no feature with id"):
                database.delete_feat(action)
        again = FeatureDatabase(path, 2)
        assert {i: again.feature(i)[0] for i in again.ids} == expected == {i: database.feature(i)[0] for i in database.ids}
        assert not again.repairs and len(again) == len(expected)


def test_what_a_chip_left_when_it_lost_power_while_enrolling(three: FeatureDatabase) -> None:
    """A chip writes the header, then appends the record: every byte of it may be the last one that got there."""
    before, whole = content(2, 2, (1, A), (2, B)), content(3, 3, (1, A), (2, B), (3, C))
    for size in range(len(before), len(whole)):
        three.path.write_bytes(whole[:6] + whole[6:size])
        database = FeatureDatabase(three.path, 3)
        assert database.ids == [1, 2] and "last record was not written whole" in database.repairs[0]
        assert database.enroll_feat(C) == 3
        assert three.path.read_bytes() == whole and not FeatureDatabase(three.path).repairs


def test_what_a_chip_left_when_it_lost_power_while_deleting(three: FeatureDatabase) -> None:
    three.path.write_bytes(content(3, 3, (1, A), (0, B), (3, C)))  # the id is 0, the count not yet less
    database = FeatureDatabase(three.path)
    assert database.ids == [1, 3] and database.repairs == ["the header counted 3 features in use, there are 2"]


def test_a_file_cut_at_every_byte(three: FeatureDatabase) -> None:
    whole = three.path.read_bytes()
    for size in range(len(whole)):
        three.path.write_bytes(whole[:size])
        database = FeatureDatabase(three.path, 3)
        assert database.ids == list(range(1, max(0, (size - 6) // 14) + 1))  # the records that are whole, never a wrong one
        assert database.repairs
        for number, feature in zip(database.ids, (A, B, C), strict=False):
            assert database.feature(number).tolist() == pytest.approx(feature)


def test_bytes_behind_the_end_do_not_count(three: FeatureDatabase) -> None:
    three.path.write_bytes(content(2, 2, (1, A), (2, B), (3, C)))
    database = FeatureDatabase(three.path)
    assert database.ids == [1, 2] and database.repairs == ["14 bytes lie behind the last record"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (content(2, 2, (1, A), (5, B)), "record 2"),
        (content(1, 1, (1, [float("nan"), 0, 0])), "record 1"),
        (struct.pack("<3H", 0, 0, 4), "have 4 numbers"),
        (struct.pack("<3H", 0, 0, 0), "damaged"),
    ],
)
def test_files_that_no_chip_left_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "faces.db"
    path.write_bytes(data)
    with pytest.raises(EspdlError, match=message):
        FeatureDatabase(path, 3)
    assert path.read_bytes() == data


def test_what_does_not_fit_changes_nothing(three: FeatureDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    before = three.path.read_bytes()
    for feature, message in (([1, 0], "2 numbers"), ([1, 0, np.inf], "not finite")):
        with pytest.raises(EspdlError, match=message):
            three.enroll_feat(feature)
    with pytest.raises(EspdlError, match="nothing says how long"):
        FeatureDatabase(three.path.with_name("other.db"))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(EspdlError, match="disk full"):
        three.enroll_feat(A)
    assert three.ids == [1, 2, 3] and three.path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by signal")
def test_a_kill_while_saving_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """The process dies right after each part of the new file that reaches the disk."""
    path = tmp_path / "faces.db"
    code = """
import io, os, signal, sys
from espdl.vision.recognize import FeatureDatabase
database = FeatureDatabase(sys.argv[1], 3)
whole, fdopen, left = database.to_bytes(), os.fdopen, int(sys.argv[2])
class Dying(io.FileIO):
    def write(self, data):
        super().write(bytes(data)[:left])
        os.kill(os.getpid(), signal.SIGKILL)
os.fdopen = lambda descriptor, mode: Dying(descriptor, mode)
database.enroll_feat([0.0, 0.0, 1.0])
"""
    database = FeatureDatabase(path, 3)
    database.enroll_feat(A)
    before = path.read_bytes()
    for left in (0, 1, 7, 20, 33, 34):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(left)], env={"PYTHONPATH": str(ROOT / "src")}, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert path.read_bytes() == before and FeatureDatabase(path).ids == [1] and not FeatureDatabase(path).repairs
    database.enroll_feat(B)
    assert FeatureDatabase(path).ids == [1, 2] and [entry.name for entry in tmp_path.iterdir()] == ["faces.db"]


def features(seed: int, count: int, dim: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_a_large_database_answers_like_a_loop(tmp_path: Path) -> None:
    many = features(0, 200, 64)
    database = FeatureDatabase(tmp_path / "x.db", 64)
    database._change(np.arange(1, 201, dtype=np.uint16), many)
    query = features(1, 1, 64)[0]
    expected = sorted(
        ((float(sum(a * b for a, b in zip(one, query, strict=True))), i + 1) for i, one in enumerate(many)), reverse=True
    )
    got = FeatureDatabase(tmp_path / "x.db").query_feat(query, 0.1, 10)
    assert [match.id for match in got] == [i for similarity, i in expected if similarity > 0.1][:10]
