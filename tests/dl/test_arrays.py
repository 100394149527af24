"""Named arrays in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.dl.arrays import load_arrays, save_arrays
from espdl.errors import EspdlError


def test_any_name_and_type_survives(tmp_path: Path) -> None:
    arrays = {
        "/block.0/conv/Conv_output_0": np.arange(-4, 4, dtype=np.int8).reshape(2, 4),
        "file": np.float32(3),
        "allow_pickle": np.zeros((0, 3), np.int16),
        "a b:c": np.array([True, False]),
    }
    save_arrays(tmp_path / "new/x.npz", arrays)
    read = load_arrays(tmp_path / "new/x.npz")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    np.testing.assert_array_equal(np.load(tmp_path / "new/x.npz")["file"], 3)


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, {"x": np.ones(3)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    save_arrays(path, {"x": np.ones(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="pickle"):
        save_arrays(path, {"x": np.array([{}], dtype=object)})
    assert path.read_bytes() == before


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name, message in (
        ("one", "without a name"),
        ("objects", "cannot be read"),
        ("text", "cannot be read"),
        ("empty", "cannot be read"),
        ("absent", "cannot be read"),
    ):
        with pytest.raises(EspdlError, match=message) as caught:
            load_arrays(tmp_path / f"{name}.npz")
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 and no more",
        b"\x93NUMPY\x01\x00\x20\x00{'descr': '<f4', (((((((((((((((((\n",
        b"\x93NUMPY\x01\x00\x04\x00{{{\n",
        b"\x93NUMPY\x09\x00\x04\x00{}  \n",
    ],
)
def test_whatever_a_damaged_file_makes_numpy_raise_is_told_as_one_error(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "arrays.npz"
    place.write_bytes(content)
    with pytest.raises(EspdlError, match="cannot be read") as caught:
        load_arrays(place)
    assert "arrays.npz" in str(caught.value)


def test_an_archive_under_a_password_is_told(tmp_path: Path) -> None:
    place = tmp_path / "arrays.npz"
    np.savez(place, x=np.zeros(3))
    content = bytearray(place.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    place.write_bytes(content)
    with pytest.raises(EspdlError, match="cannot be read"):
        load_arrays(place)
