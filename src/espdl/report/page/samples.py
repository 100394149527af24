"""Samples for a file from the data that its float network would be calibrated with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.pictures import PictureOptions
from espdl.report.inspection import AXES, Layouts


@dataclass(frozen=True)
class Samples:
    """Inputs of runs, and where they come from in words.

    Attributes:
        arrays: one by input: real values in the file's order of axes, one sample after the other along a first axis of their own; raw ones
            where they are the test values of the file.
        count: of samples.
        source: in words; empty where there are none.
    """

    arrays: dict[str, NDArray]
    count: int
    source: str

    def __iter__(self) -> Iterator[dict[str, NDArray]]:
        """One mapping from input name to array a sample."""
        for index in range(self.count):
            yield {name: array[index] for name, array in self.arrays.items()}


def find_samples(model: Model, data: str | None, steps: int, pictures: PictureOptions | None) -> Samples:
    """Samples to run a file on.

    Args:
        model: the file.
        data: see :func:`espdl.quantize.calibration_data.open_calibration_data`, arrays in the order of axes of the float network; None
            takes the test values in the file.
        steps: the largest number of samples.
        pictures: how pixels become numbers.

    Raises:
        EspdlError: for data that cannot be read or do not fit.
    """
    inputs = model.get_inputs()
    if data is None:
        held = {tensor.name: tensor.data for tensor in model.fbs_model.record.graph.test_inputs_value}
        if held.keys() != inputs.keys():
            return Samples({}, 0, "")
        return Samples({name: array[None] for name, array in held.items()}, 1, "the test values in the file")
    layouts = Layouts(model.fbs_model.record.graph)
    shapes, orders = {}, {}
    for name, tensor in inputs.items():
        shape = tuple(tensor.shape)
        moved = len(shape) in AXES and layouts.input_is_channels_last(name)
        orders[name] = AXES[len(shape)][1] if moved else tuple(range(len(shape)))
        shapes[name] = tuple(shape[axis] for axis in np.argsort(orders[name]))
    found = open_calibration_data(data, shapes, steps, pictures)
    samples = [{name: array.transpose(orders[name]) for name, array in sample.items()} for sample in found]
    arrays = {name: np.stack([sample[name] for sample in samples]) for name in inputs}
    return Samples(arrays, len(samples), found.source)
