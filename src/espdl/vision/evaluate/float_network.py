"""The float network that a file was made from, on the same samples."""

from __future__ import annotations

import os

import numpy as np
import onnx
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.float_parts import Session
from espdl.vision.image import Image, ImagePreprocessor, ImageTransformer


class FloatNetwork:
    """An ONNX network with one input, in ONNX Runtime on the CPU.

    Args:
        path: of the .onnx file.

    Attributes:
        input_name: of its input.

    Raises:
        EspdlError: when the file is no network that ONNX Runtime can execute, or it has several inputs.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            proto = onnx.load(path)
        except Exception as error:  # of protobuf or of ONNX, whichever notices first
            raise EspdlError("the file is no ONNX network", where=os.fspath(path), why=str(error).partition("\n")[0]) from None
        constants = {tensor.name for tensor in proto.graph.initializer}
        inputs = [value for value in proto.graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise EspdlError(f"the network has {len(inputs)} inputs", where=os.fspath(path), why="one is evaluated")
        self.input_name = inputs[0].name
        self._shape = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
        self._session = Session(proto)

    def run(self, sample: NDArray) -> dict[str, NDArray]:
        """Outputs by name for one input in the network's order of axes. Raises :class:`EspdlError` when it does not fit."""
        return self._session.run({self.input_name: sample.astype(np.float32, copy=False)})

    def run_pixels(self, pixels: NDArray[np.uint8], mean: NDArray[np.float32], std: NDArray[np.float32]) -> dict[str, NDArray]:
        """Outputs by name for ``(pixel - mean) / std``.

        Args:
            pixels: [H, W, C], of the network's size and in its order of channels.
            mean, std: [C], of pixels in 0..255.
        """
        real = (pixels.astype(np.float32) - mean) / std
        channels_last = len(self._shape) == 4 and self._shape[3] == pixels.shape[2] != self._shape[1]
        return self.run(real[np.newaxis] if channels_last else np.moveaxis(real, 2, 0)[np.newaxis])


class Pixels:
    """What a preprocessor makes of pictures, before it normalises and quantizes: what the float network gets."""

    def __init__(self, preprocessor: ImagePreprocessor) -> None:
        self._preprocessor = preprocessor
        made = preprocessor.transformer
        assert made.norm is not None, "a preprocessor quantizes"
        self.mean, self.std = (np.array(values, np.float32) for values in (made.norm.mean, made.norm.std))
        self._transformer = ImageTransformer(
            made.width, made.height, made.pix_type.plain, background=made.background, resampling=made.resampling
        )

    def of(self, picture: Image) -> NDArray[np.uint8]:
        """Pixels [H, W, C] of the picture that was preprocessed last, in the order of the model's channels."""
        geometry = self._preprocessor.geometry
        image, _ = self._transformer.transform(picture, geometry.crop, geometry.border)
        return image.data
