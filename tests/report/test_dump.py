"""Dumps: written and read back, taken out of a console log, refused when they are broken."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.report.explain.dump import Value, dump_line, read_dump, write_dump

TYPES = st.sampled_from([np.int8, np.int16, np.int32, np.uint8, np.float32, np.bool_])


@given(st.data())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    dtype = data.draw(TYPES)
    array = data.draw(arrays(dtype, array_shapes(max_dims=4, max_side=5)))
    name = data.draw(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
    value = Value(name, DType.of(array.dtype), array, data.draw(st.integers(-30, 30)) if array.dtype.kind in "iu" else 0)
    path = tmp_path_factory.mktemp("dump") / "d.txt"
    write_dump(path, [value])
    (found,) = read_dump(path).values()
    assert (found.name, found.dtype, found.exponent, found.shape) == (value.name, value.dtype, value.exponent, value.shape)
    assert np.array_equal(found.data, value.data, equal_nan=array.dtype.kind == "f")


def test_a_console_log_is_a_dump(tmp_path: Path) -> None:
    encoded = base64.b64encode(np.array([1, -2], "<i2").tobytes()).decode()
    lines = [
        "I (312) boot: ESP-IDF v5.5\r\n",
        '\x1b[0;32mI (400) main: espdl-tensor "a\\"b" int8 -4 1x3 hex 01ff7F\x1b[0m\r\n',
        f'espdl-tensor "s" int16 2 2 base64 {encoded}\n',
        'espdl-tensor "d" int8 0 2x2 dec 1, -2 3 4\n',
        'espdl-tensor "f" float 0 2 dec 0.5 -1e3\n',
        "\xff\xfe noise\n",
    ]
    path = tmp_path / "console.log"
    path.write_bytes("".join(lines).encode("latin-1"))
    found = read_dump(path)
    assert list(found) == ['a"b', "s", "d", "f"]
    assert found['a"b'].data.tolist() == [[1, -1, 127]]
    assert found["s"].real.tolist() == [4.0, -8.0]
    assert found["d"].data.tolist() == [[1, -2], [3, 4]]
    assert found["f"].data.tolist() == [0.5, -1000.0]
    assert dump_line(found["s"]) == 'espdl-tensor "s" int16 2 2 hex 0100feff'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "holds no tensor"),
        ('espdl-tensor "a" int8 0 1x4 hex 0102', "has 2 values, its shape"),
        ('espdl-tensor "a" int8 0 1x2 hex 010', "cannot be read"),
        ('espdl-tensor "a" int16 0 1 hex 010203', "no whole number"),
        ('espdl-tensor "a" int8 0 2 hex 0102\nespdl-tensor "a" int8 0 2 hex 0102', "line 2: tensor 'a' is there twice"),
        ('espdl-tensor "a" int7 0 2 hex 0102', "has type 'int7'"),
        ('espdl-tensor "a" int8 99 2 hex 0102', "has exponent 99"),
        ('espdl-tensor "a" int8 0 0x2 hex 0102', "has shape"),
        ('espdl-tensor "a" int8 0 1xx2 hex 0102', "has shape"),
        ('espdl-tensor "a" int8 0 999999999x999999999 hex 01', "larger than a chip"),
        ('espdl-tensor "a" int8 0 99999999999x2 hex 01', "has shape"),
        ('espdl-tensor "a" int8 0 1x1x1x1x1x1x1x1x1 hex 01', "has shape"),
        ('espdl-tensor "a" int8 0 1 dec 300', "300 is no int8"),
        ('espdl-tensor "a" int8 0 1 dec ' + "9" * 5000, "cannot be read"),
        ('espdl-tensor "a" int8 0 2 dec 1 2 3 4 5', "values, its shape"),
        ('espdl-tensor "a" int8 0 1 octal 7', "is written as"),
        ('espdl-tensor "a" int8 0 1 base64 ####', "cannot be read"),
        ('espdl-tensor "a int8 0 1 hex 00', "the line is no tensor"),
        ("espdl-tensor a", "the line is no tensor"),
    ],
)
def test_broken_dumps_are_refused(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "d.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(EspdlError, match=r"d\.txt") as caught:
        read_dump(path)
    assert says in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("dump") / "d.txt"
    path.write_bytes(b'espdl-tensor "a" int8 0 2 ' + data)
    with contextlib.suppress(EspdlError):
        assert read_dump(path)
