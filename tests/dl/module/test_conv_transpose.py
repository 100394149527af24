"""ConvTranspose in float32: what does not fit it. Its values are compared with onnxruntime's in test_onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.errors import EspdlError
from tests.dl.module.harness import make, run, tensor


@pytest.mark.parametrize(
    ("shapes", "attributes", "text"),
    [
        ([[1, 4, 4, 3], [2, 4, 3, 3]], {}, "do not fit"),
        ([[1, 4, 4, 3], [3, 4, 3]], {}, "do not fit"),
        ([[2, 4, 4, 3], [3, 4, 3, 3]], {}, "batch must be 1"),
        ([[1, 4, 4, 3], [3, 4, 3, 3]], {"group": 2}, "2 groups"),
        ([[1, 4, 4, 3], [3, 4, 3, 3]], {"strides": [2]}, "2 numbers of at least 1"),
        ([[1, 4, 4, 3], [3, 4, 3, 3]], {"pads": [-1, 0, 0, 0]}, "4 numbers of at least 0"),
        ([[1, 1, 1, 3], [3, 4, 2, 2]], {"pads": [1, 1, 1, 1]}, "leave nothing"),
    ],
)
def test_what_does_not_fit(shapes: list[list[int]], attributes: dict[str, Any], text: str) -> None:
    with pytest.raises(EspdlError, match=text):
        make("ConvTranspose", **attributes).get_output_shape(shapes)


@pytest.mark.parametrize("attributes", [{"auto_pad": "SAME_UPPER"}, {"output_shape": [8, 8]}])
def test_pads_that_depend_on_the_input(attributes: dict[str, Any]) -> None:
    with pytest.raises(EspdlError, match="pads that depend on the input"):
        make("ConvTranspose", **attributes)
    with pytest.raises(EspdlError, match="0 groups"):
        make("ConvTranspose", group=0)


def test_a_pixel_paints_the_filter() -> None:
    x = np.zeros((1, 3, 3, 1), np.float32)
    x[0, 1, 1, 0] = 2
    weights = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    result = run(make("ConvTranspose", {1: tensor(weights)}, pads=[1, 1, 1, 1]), tensor(x))
    assert np.array_equal(result[0, :, :, 0], 2 * weights[0, 0])
