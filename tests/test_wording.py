import pytest

from espdl.wording import at_node, counted, kilobytes, nearest


@pytest.mark.parametrize(("count", "text"), [(0, "0 outputs"), (1, "1 output"), (2, "2 outputs")])
def test_counts_agree_with_their_noun(count, text):
    assert counted(count, "output") == text


def test_kilobytes_have_1024_bytes():
    assert kilobytes(1536) == "1.5 KB"


def test_a_node_is_named_with_its_type():
    assert at_node("conv1", "Conv") == "node 'conv1' (Conv)"
    assert at_node("conv1", "") == "node 'conv1'"


def test_the_nearest_names_are_offered_and_far_ones_are_not():
    assert nearest("equalisation", ["equalization", "fusion"]) == "equalization"
    assert nearest("zzz", ["equalization", "fusion"]) == ""
