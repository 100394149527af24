"""What balancing made of tensors, as it is kept beside a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from espdl.errors import EspdlError
from espdl.quantize.scale import METADATA_KEY, Scale, checksum, scales_beside, scales_entry

SCALES = {"b": Scale(np.array([0.1, 3.0]), np.array([0.0, 128.0])), "a": Scale(np.array([7.0]), np.array([-1.5]))}


@pytest.mark.parametrize(("shape", "axis"), [((1, 2, 3, 4), 1), ((5, 2), 1), ((2, 6), 0), ((2,), 0)])
def test_undoing_gives_back_what_was(shape: tuple[int, ...], axis: int) -> None:
    values = np.random.default_rng(0).standard_normal(shape)
    held = SCALES["b"].of(values, axis)
    np.testing.assert_allclose(SCALES["b"].undo(held, axis), values, atol=1e-12)
    second = np.take(values, 1, axis) * 3.0 - 128.0
    np.testing.assert_allclose(np.take(held, 1, axis), second)


def test_scales_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "net.espdl"
    file.with_suffix(".json").write_text(json.dumps({METADATA_KEY: scales_entry(SCALES)}))
    found = scales_beside(file, {METADATA_KEY: checksum(SCALES)})
    assert found.keys() == SCALES.keys()
    for name, scale in SCALES.items():
        np.testing.assert_array_equal(found[name].factors, scale.factors)
        np.testing.assert_array_equal(found[name].offsets, scale.offsets)


def test_files_without_scales_need_none(tmp_path: Path) -> None:
    assert scales_beside(tmp_path / "net.espdl", {"target": "c"}) == {}


@pytest.mark.parametrize("text", [None, "{", "{}", "[]", '{"channel_scales": {"a": 1}}', '{"channel_scales": {}}'])
def test_scales_that_are_missing_or_others_are_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "net.espdl"
    if text is not None:
        file.with_suffix(".json").write_text(text)
    with pytest.raises(EspdlError, match="scaled") as caught:
        scales_beside(file, {METADATA_KEY: checksum(SCALES)})
    assert "net.json" in str(caught.value)
