"""Identities with names: the bytes of the file, subspaces by definition, files cut at every byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from espdl import EspdlError
from espdl.vision.recognize import IdentityDatabase


@pytest.fixture
def people(tmp_path: Path) -> IdentityDatabase:
    database = IdentityDatabase(tmp_path / "people.db", 3)
    for label, embedding in (("anna", [2, 0, 0]), ("anna", [3, 4, 0]), ("bo", [0, 0, 5])):
        database.enroll(label, embedding)
    return database


def test_the_file_byte_by_byte(people: IdentityDatabase) -> None:
    assert not people.path.exists()  # enrolling alone saves nothing, as on the chip
    people.save()
    zeros = struct.pack("<Bi3f3ff", 0, 0, *[0.0] * 7)
    expected = struct.pack("<3H", 3, 3, 3)
    expected += (
        struct.pack("<HH32s", 1, 2, b"anna") + zeros + struct.pack("<H3f", 1, 1, 0, 0) + struct.pack("<H3f", 2, 0.6, 0.8, 0)
    )
    expected += struct.pack("<HH32s", 2, 1, b"bo") + zeros + struct.pack("<H3f", 3, 0, 0, 1)
    assert people.path.read_bytes() == expected
    people.build()
    assert len(people.path.read_bytes()) == len(expected)  # one dimension takes the place of the zeros
    again = IdentityDatabase(people.path)
    assert again.to_bytes() == people.path.read_bytes() and again.labels == ["anna", "bo"] and again.find("bo").mean is None


def test_a_subspace_by_hand(people: IdentityDatabase) -> None:
    people.build()
    anna = people.find("anna")
    assert anna.mean is not None and anna.basis is not None and anna.variances is not None
    assert anna.mean.tolist() == pytest.approx([0.8, 0.4, 0])
    direction = np.array([0.4, -0.8, 0]) / np.sqrt(0.8)
    assert abs(float(anna.basis[0] @ direction)) == pytest.approx(1)
    assert anna.variances.tolist() == pytest.approx([np.sqrt(0.4)])  # both lie sqrt(0.2) from the mean
    assert people.verify_subspace([1, 0, 0])[0] == ("anna", pytest.approx(0, abs=1e-6))
    label, score = people.verify_subspace([0, 0, 1])[0]
    off = np.array([-0.8, -0.4, 1])
    off = off - direction * (off @ direction)
    assert label == "anna" and score == pytest.approx(-np.sqrt(off @ off / 2))


def test_cosines(people: IdentityDatabase) -> None:
    assert people.verify_max_cosine([0.6, 0.8, 0.1], 0.5) == [("anna", pytest.approx(1 / np.sqrt(1.01)))]
    assert people.verify_max_cosine([0, -1, 0]) == []


def test_deleting(people: IdentityDatabase) -> None:
    people.build()
    people.delete_embedding("anna", 0)
    again = IdentityDatabase(people.path)
    assert len(again.find("anna").embeddings) == 1 and again.find("anna").mean is None
    again.delete_embedding("anna", 0)
    assert again.labels == ["bo"] and again.enroll("cy", [1, 1, 1]).id == 3
    again.delete("bo")
    again.clear()
    assert IdentityDatabase(people.path, 3).labels == []


def test_only_the_temporary_file_of_a_chip_is_left(people: IdentityDatabase) -> None:
    people.build()
    whole = people.path.read_bytes()
    temporary = people.path.with_name("people.db.tmp")
    people.path.rename(temporary)
    again = IdentityDatabase(people.path)
    assert again.to_bytes() == whole
    again.save()
    assert people.path.read_bytes() == whole and not temporary.exists()


def test_a_chip_killed_at_every_byte_of_its_save_harms_nothing(people: IdentityDatabase) -> None:
    people.build()
    whole = people.path.read_bytes()
    people.enroll("cy", [1, 2, 3])
    for size in range(0, len(people.to_bytes()), 7):
        people.path.with_name("people.db.tmp").write_bytes(people.to_bytes()[:size])
        assert IdentityDatabase(people.path).to_bytes() == whole


def test_a_file_cut_at_every_byte_is_told(people: IdentityDatabase) -> None:
    people.build()
    whole = people.path.read_bytes()
    for size in range(len(whole)):
        people.path.write_bytes(whole[:size])
        with pytest.raises(EspdlError, match=r"people\.db: .*(cut short|empty)"):
            IdentityDatabase(people.path)


def test_what_does_not_fit(people: IdentityDatabase) -> None:
    for label, embedding, message in (
        ("x", [1, 2], "2 numbers"),
        ("x", [0, 0, 0], "no direction"),
        ("x", [np.nan, 0, 0], "no direction"),
        ("", [1, 2, 3], "no name"),
        ("ä" * 16, [1, 2, 3], "31 bytes"),
    ):
        with pytest.raises(EspdlError, match=message):
            people.enroll(label, embedding)
    with pytest.raises(EspdlError, match=r"nobody is enrolled as 'cy'.*anna, bo"):
        people.find("cy")
    with pytest.raises(EspdlError, match="no embedding 2"):
        people.delete_embedding("anna", 2)
    people.save()
    with pytest.raises(EspdlError, match="have 3 numbers"):
        IdentityDatabase(people.path, 4)
    damaged = bytearray(people.path.read_bytes())
    damaged[43:47] = struct.pack("<i", 9)
    people.path.write_bytes(damaged)
    with pytest.raises(EspdlError, match="damaged"):
        IdentityDatabase(people.path)
