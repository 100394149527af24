import pytest

from espdl.errors import EspdlError
from espdl.exponent import ExponentInfo


def test_one_exponent():
    info = ExponentInfo(-7)
    assert (int(info), info.get(), info.get(3), info.channel_size(), info.is_per_channel()) == (-7, -7, -7, 1, False)
    assert info.data().tolist() == [-7]


@pytest.mark.parametrize(("exponents", "expected"), [([], 0), ([-3], -3)])
def test_a_list_of_none_or_one_is_per_tensor(exponents, expected):
    info = ExponentInfo(exponents)
    assert not info.is_per_channel()
    assert info == expected


def test_one_exponent_per_channel():
    info = ExponentInfo([-7, -8, -9])
    assert info.is_per_channel()
    assert info.channel_size() == 3
    assert info.get(1) == -8
    assert info.get() == int(info) == 0
    assert info.data().tolist() == [-7, -8, -9]
    with pytest.raises(EspdlError, match="channel 3"):
        info.get(3)


def test_equality_and_hash():
    assert ExponentInfo([1, 2]) == ExponentInfo([1, 2]) != ExponentInfo([1, 3])
    assert ExponentInfo([1, 1]) != ExponentInfo(1)
    assert ExponentInfo([1, 1]) != 1
    assert ExponentInfo(ExponentInfo([4, 5])) == ExponentInfo([4, 5])
    assert hash(ExponentInfo(3)) == hash(3)
    assert len({ExponentInfo([1, 2]), ExponentInfo([1, 2])}) == 1


def test_repr():
    assert repr(ExponentInfo(-2)) == "ExponentInfo(-2)"
    assert repr(ExponentInfo([1, 2])) == "ExponentInfo([1, 2])"
