import logging

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import ExponentInfo, TensorBase


def int8(shape, exponent=0):
    return TensorBase(shape, np.arange(np.prod(shape)).astype(np.int8), exponent)


class TestMemory:
    def test_owned_memory_is_aligned_and_zero(self):
        tensor = TensorBase([3, 5], dtype=DType.INT16)
        assert tensor.data.ctypes.data % 16 == 0
        assert not tensor.data.any()
        assert tensor.auto_free
        assert (tensor.size, tensor.get_size(), tensor.get_aligned_size()) == (15, 15, 16)
        assert (tensor.get_bytes(), tensor.get_aligned_bytes()) == (30, 32)
        assert tensor.axis_offset == [5, 1]

    def test_no_dimension_is_one_element(self):
        assert TensorBase([]).size == 1
        assert TensorBase([0]).size == 0

    def test_deep_copies_and_shallow_aliases(self):
        array = np.arange(6, dtype=np.int8)
        copy, alias = TensorBase([2, 3], array), TensorBase([2, 3], array, deep=False)
        array[0] = 9
        assert copy.data[0, 0] == 0
        assert alias.data[0, 0] == 9
        assert not alias.auto_free

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([2], [1, 2, 3]), "3 values do not fill"),
            (([2], b"abc", 0, DType.INT16), "no whole number"),
            (([-1],), "no shape"),
            (([2], np.zeros(2), 0, DType.INT8, False), "contiguous INT8"),
            (([2], np.zeros((2, 2), np.int8)[:, 0], 0, DType.INT8, False), "contiguous INT8"),
            (([1], [300], 0, DType.INT8), "do not fit INT8"),
            (([1], [0.5], 0, DType.INT8), "use assign"),
            (([1], ["a"], 0, DType.INT8), "no INT8 elements"),
            (([1], None, 0, DType.STRING), "holds no numbers"),
        ],
    )
    def test_what_is_no_tensor(self, arguments, message):
        with pytest.raises(EspdlError, match=message):
            TensorBase(*arguments)

    @pytest.mark.parametrize(
        ("dtype", "size", "text"),
        [
            (DType.FLOAT, 4, "float"),
            (DType.UINT32, 4, "unit32"),
            (DType.INT64, 8, "int64"),
            (DType.DOUBLE, 8, "double"),
            (DType.FLOAT16, 2, "float16"),
            (DType.BOOL, 1, "bool"),
        ],
    )
    def test_types(self, dtype, size, text):
        tensor = TensorBase([1], dtype=dtype)
        assert (tensor.get_dtype(), tensor.get_dtype_bytes(), tensor.get_dtype_string()) == (dtype, size, text)

    def test_type_from_the_array(self):
        assert TensorBase([2], np.zeros(2, np.uint16)).dtype is DType.UINT16
        assert TensorBase([2], [1, 2]).dtype is DType.FLOAT
        assert TensorBase([2], b"\x01\x00\x02\x00", 0, DType.INT16).data.tolist() == [1, 2]

    def test_set_element_ptr_and_data_alias(self):
        tensor = int8([4])
        memory = bytearray(32)
        assert tensor.set_element_ptr(memory) is tensor
        tensor.data[...] = 7
        assert memory[:5] == b"\x07\x07\x07\x07\x00"
        other = np.zeros(4, np.int8)
        tensor.data = other
        tensor.memset(1)
        assert other.tolist() == [1] * 4
        with pytest.raises(EspdlError, match="needs that much"):
            tensor.set_element_ptr(bytearray(3))
        with pytest.raises(EspdlError, match="contiguous array"):
            tensor.data = np.zeros(4, np.int16)

    def test_exponents_and_caps(self):
        tensor = TensorBase([2], None, [-1, -2], DType.INT8, caps=5)
        assert tensor.exponent == ExponentInfo([-1, -2])
        assert (tensor.get_exponent(), tensor.get_caps()) == (0, 5)
        tensor.exponent = -4
        assert tensor.get_exponent() == -4

    def test_array_protocol(self):
        tensor = int8([2, 2])
        assert np.asarray(tensor) is not None
        assert np.array(tensor, dtype=np.float32).tolist() == [[0.0, 1.0], [2.0, 3.0]]
        assert repr(tensor) == "TensorBase([2, 2], int8, exponent 0)"


class TestShape:
    def test_set_shape_keeps_the_memory(self):
        tensor = int8([2, 3])
        assert tensor.set_shape([3, 1]).data.tolist() == [[0], [1], [2]]
        assert tensor.set_shape([6]).data.tolist() == [0, 1, 2, 3, 4, 5]
        with pytest.raises(EspdlError, match="takes 17 bytes"):
            tensor.set_shape([17])
        assert tensor.get_shape() == [6]

    def test_reshape(self):
        tensor = int8([2, 6])
        assert tensor.reshape([3, -1]).shape == [3, 4]
        with pytest.raises(EspdlError, match="cannot have shape"):
            tensor.reshape([5])
        assert tensor.shape == [3, 4]

    def test_is_same_shape(self):
        assert int8([2, 3]).is_same_shape(int8([2, 3]))
        assert not int8([2, 3]).is_same_shape(int8([3, 2]))
        assert int8([2, 3]).is_same_shape(np.zeros((2, 3)))


class TestRearranging:
    def test_flip(self):
        assert int8([2, 2]).flip([1]).data.tolist() == [[1, 0], [3, 2]]

    def test_transpose(self):
        source = int8([2, 3])
        assert TensorBase([6], dtype=DType.INT8).transpose(source).data.tolist() == [[0, 3], [1, 4], [2, 5]]
        assert TensorBase([6], dtype=DType.INT8).transpose(source.data, [0, 1]).data.tolist() == source.data.tolist()
        flat = source.data.reshape(-1)
        assert TensorBase([3, 2], dtype=DType.INT8).ttranspose(flat, [2, 3], [3, 1], [1, 0]).data.tolist() == [
            [0, 3],
            [1, 4],
            [2, 5],
        ]
        assert source.transpose(source).data.tolist() == [[0, 3], [1, 4], [2, 5]]
        with pytest.raises(EspdlError, match="INT8 tensor is expected"):
            source.transpose(TensorBase([6]))
        with pytest.raises(EspdlError, match="does not fill"):
            source.transpose(int8([5]))

    def test_slice(self):
        source = int8([3, 4], exponent=-2)
        part = source.slice([1, 0], [3, 4], [0, 1], [1, 2])
        assert part.data.tolist() == [[4, 6], [8, 10]]
        assert (part.exponent, part.dtype, part.auto_free) == (-2, DType.INT8, True)
        target = TensorBase([2], dtype=DType.INT8)
        TensorBase.slice_into(source, target, [0, 3], [1, 1], [0, 1], [1, -1])
        assert target.data.tolist() == [3, 2]
        with pytest.raises(EspdlError, match="does not fill"):
            TensorBase.slice_into(source, target, [0], [3])

    def test_pad(self):
        source = int8([2, 2])
        target = TensorBase([3, 3], dtype=DType.INT8)
        value = TensorBase([1], [9], 0, DType.INT8)
        assert target.pad(source, [0, 0, 1, 1], "constant", value).data.tolist() == [[0, 1, 9], [2, 3, 9], [9, 9, 9]]
        assert target.pad(source, [1, 1, 0, 0], "edge").data.tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3]]
        assert target.pad(source.data, [1, 1, 0, 0], "reflect").data.tolist() == [[3, 2, 3], [1, 0, 1], [3, 2, 3]]

    def test_push(self):
        queue = int8([1, 4])
        queue.push(np.array([[8, 9]], np.int8), 1)
        assert queue.data.tolist() == [[2, 3, 8, 9]]
        wide = TensorBase([3], [1, 2, 3], 0, DType.INT16)
        wide.push(TensorBase([1], [4], 0, DType.INT16), 0)
        assert wide.data.tolist() == [2, 3, 4]
        with pytest.raises(EspdlError, match="cannot be pushed"):
            TensorBase([3]).push(TensorBase([1]), 0)
        with pytest.raises(EspdlError, match="cannot be pushed"):
            wide.push(int8([1]), 0)


class TestElements:
    def test_index_and_coordinates(self):
        tensor = int8([2, 3])
        assert tensor.get_element_index([1, 2]) == 5
        assert tensor.get_element_coordinates(5) == [1, 2]
        assert tensor.get_element([1, 0]) == 3
        assert tensor.get_element(-1) == 5
        assert TensorBase([], [4.0]).get_element([]) == 4
        for bad in ([2, 0], [0], [0, -1]):
            with pytest.raises(EspdlError, match="no element"):
                tensor.get_element(bad)
        with pytest.raises(EspdlError, match="no element 6"):
            tensor.get_element(6)

    def test_memset_fills_bytes(self):
        tensor = TensorBase([2], dtype=DType.INT16)
        tensor.memset(-1)
        assert tensor.data.tolist() == [-1, -1]
        tensor.memset(1)
        assert tensor.data.tolist() == [257, 257]

    def test_rand_fills_bytes(self):
        one, two = TensorBase([64], dtype=DType.INT16), TensorBase([64], dtype=DType.INT16)
        one.rand(np.random.default_rng(1))
        two.rand(np.random.default_rng(1))
        assert one.data.tolist() == two.data.tolist()
        assert len(set(one.data.tolist())) > 32
        truths = TensorBase([64], dtype=DType.BOOL)
        truths.rand()
        assert set(truths.data.view(np.uint8).tolist()) <= {0, 1}


class TestComparison:
    def test_facts_must_agree(self):
        tensor = int8([2, 3], -1)
        assert tensor.equal(int8([2, 3], -1))
        assert not tensor.equal(None)
        assert not tensor.equal(int8([2, 3], -2))
        assert not tensor.equal(int8([3, 2], -1))
        assert not tensor.equal(TensorBase([2, 3], range(6), -1, DType.INT16))
        assert tensor.equal(tensor.data.copy())
        assert tensor.difference(int8([2, 3], -2)).reason == "exponent is ExponentInfo(-1), expected ExponentInfo(-2)"

    def test_tolerance(self):
        one, two = TensorBase([2], [1, 5], 0, DType.INT16), TensorBase([2], [2, 5], 0, DType.INT16)
        assert not one.equal(two)
        assert one.equal(two, 1 + 1e-5)
        assert TensorBase([1], [1.0]).equal(TensorBase([1], [1.0 + 5e-7]))
        assert not TensorBase([1], [1.0]).equal(TensorBase([1], [1.00001]))

    def test_nan_equals_nan_only(self):
        nan, number = TensorBase([1], [np.nan]), TensorBase([1], [1.0])
        assert nan.equal(TensorBase([1], [np.nan]))
        assert not nan.equal(number, 1e9)
        assert not number.equal(nan, 1e9)
        assert TensorBase([1], [np.inf]).equal(TensorBase([1], [np.inf]))

    def test_bytes_are_compared_without_tolerance(self):
        assert not TensorBase([1], [0.0]).equal(TensorBase([1], [-0.0]), 0)
        assert TensorBase([1], [0.0]).equal(TensorBase([1], [-0.0]), 0, verbose=True)
        assert TensorBase([1], [7], 0, DType.INT64).equal(TensorBase([1], [7], 0, DType.INT64), 0)

    def test_int64_is_never_equal_with_a_tolerance(self, caplog):
        big = TensorBase([1], [2**62], 0, DType.INT64)
        with caplog.at_level(logging.ERROR, "espdl.tensor"):
            assert not big.equal(TensorBase([1], [2**62], 0, DType.INT64), verbose=True)
        assert "not compared" in caplog.text
        assert not big.difference(TensorBase([1], [2**62], 0, DType.INT64))
        assert big.difference(TensorBase([1], [-(2**62)], 0, DType.INT64)).max_abs == 2.0**63

    def test_difference_names_the_first_wrong_element(self, caplog):
        got, expected = int8([2, 3]), int8([2, 3])
        got.data[1] += [0, 4, -9]
        difference = got.difference(expected)
        assert difference
        assert (difference.index, difference.coordinates, difference.count) == (4, (1, 1), 2)
        assert (difference.expected, difference.got, difference.max_abs) == (4, 8, 9)
        assert str(difference) == "2 of 6 values differ by up to 9, the first at [1, 1]: expected 4, got 8"
        assert not got.difference(expected, 9)
        assert got.difference(expected, 9).max_abs == 9
        with caplog.at_level(logging.ERROR, "espdl.tensor"):
            assert not got.equal(expected, verbose=True)
        assert "first at [1, 1]" in caplog.text
        assert "0.0000010000" in caplog.text

    def test_unsigned_and_bool(self):
        assert TensorBase([1], [200], 0, DType.UINT8).difference(np.array([10], np.uint8)).max_abs == 190
        assert TensorBase([2], [True, False], 0, DType.BOOL).difference(np.array([True, True])).index == 1

    def test_compare_elements(self):
        tensor = int8([2, 2])
        assert tensor.compare_elements([0, 1, 2, 3])
        assert tensor.compare_elements([0, 1, 2, 4], 1)
        assert not tensor.compare_elements([0, 1, 2, 4])
        with pytest.raises(EspdlError, match="3 elements"):
            tensor.compare_elements([0, 1, 2])


class TestPreload:
    def test_preload_copies_into_given_memory(self):
        tensor = int8([2, 3])
        memory = np.zeros(32, np.uint8)
        assert tensor.set_preload_addr(memory, 32) == 16
        tensor.preload()
        tensor.data[...] = 0
        assert tensor.get_element_ptr().tolist() == [[0, 1, 2], [3, 4, 5]]
        assert memory[:6].tolist() == [0, 1, 2, 3, 4, 5]

    def test_memory_that_is_too_small(self):
        tensor = TensorBase([16], dtype=DType.INT16)
        assert tensor.set_preload_addr(np.zeros(64, np.uint8), 15) == 0
        assert tensor.set_preload_addr(None, 64) == 0
        assert tensor.cache is None
        with pytest.raises(EspdlError, match="does not fit"):
            tensor.set_preload_addr(np.zeros(16, np.uint8), 16)


def test_print(capsys):
    tensor = TensorBase([18], range(18), [1, 2], DType.INT8)
    tensor.print(True)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("shape: [18], dtype: int8, exponent: [1, 2], auto_free: 1, data: 0x")
    assert lines == ["0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, ", "16, 17, "]
    TensorBase([1], [0.5]).print(True)
    assert capsys.readouterr().out.endswith("0.500000, \n")
