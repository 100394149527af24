"""Quantizes the trained digits network, runs the file over every held-out image, and compares with the float network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.demo.digits import CALIBRATION_IMAGES, Digits, load_digits
from espdl.dl import Model
from espdl.dl.arrays import save_arrays
from espdl.quantize.api import quantize
from espdl.quantize.snr import Snr

NETWORK = "digits.onnx"
INPUT, OUTPUT = "image", "logits"


@dataclass(frozen=True)
class Answers:
    """Answers of the float and of the integer network to the test images.

    Attributes:
        float_logits, int8_logits: real values, shape [images, 10].
    """

    test: Digits
    float_logits: NDArray[np.float32]
    int8_logits: NDArray[np.float32]

    @property
    def float_classes(self) -> NDArray[np.int64]:
        return self.float_logits.argmax(axis=1)

    @property
    def int8_classes(self) -> NDArray[np.int64]:
        return self.int8_logits.argmax(axis=1)

    @property
    def int8_probabilities(self) -> NDArray[np.float32]:
        """Softmax of the integer network's answers."""
        powers = np.exp(self.int8_logits - self.int8_logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def examples(self) -> list[int]:
        """Indices of one image of each class, the first in the test set."""
        return [int(np.flatnonzero(self.test.labels == digit)[0]) for digit in range(10)]

    def mistakes(self) -> list[int]:
        """Indices of the images that the integer network reads wrongly."""
        return [int(index) for index in np.flatnonzero(self.int8_classes != self.test.labels)]


@dataclass(frozen=True)
class DemoResult:
    """The figures of a demonstration.

    Attributes:
        snr_db: of the integer network's logits against the float network's, over all test images.
        memory: bytes by use and place.
        milliseconds_per_image: on this PC.
    """

    target: str
    arithmetic: str
    backend: str
    file: str
    onnx_bytes: int
    espdl_bytes: int
    test_images: int
    calibration_images: int
    float_accuracy: float
    int8_accuracy: float
    agreement: float
    snr_db: float
    embedded_test: str
    embedded_test_passed: bool
    memory: dict[str, dict[str, int]]
    warnings: tuple[str, ...]
    milliseconds_per_image: float
    quantize_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def network_bytes() -> bytes:
    """The shipped float network; ``examples/train_digits.py`` in the repository made it."""
    return resources.files("espdl.demo").joinpath(NETWORK).read_bytes()


def run_demo(
    target: str, directory: Path, backend: str | None = None, say: Callable[[str], None] = lambda text: None
) -> tuple[DemoResult, Answers, Model]:
    """The whole way.

    Writes ``digits.onnx``, ``digits.espdl``, ``.info`` and ``.json`` into ``directory``, and for trying the other verbs
    ``calibration.npy`` and ``image.npz``, one test image as ``espdl run`` takes it.

    Args:
        target: chip.
        directory: is made when it does not exist.
        backend: kernels; None takes the default.
        say: is told what is being done.

    Raises:
        EspdlError: when scikit-learn, which carries the images, is missing, or a step fails.
    """
    training, test = load_digits()
    directory.mkdir(parents=True, exist_ok=True)
    onnx_file, espdl_file = directory / NETWORK, directory / "digits.espdl"
    onnx_file.write_bytes(network_bytes())
    calibration = training.images[:CALIBRATION_IMAGES]
    np.save(directory / "calibration.npy", calibration)
    save_arrays(directory / "image.npz", {INPUT: _channels_last(test.images[:1])})

    say(f"quantizing for {target} with {CALIBRATION_IMAGES} calibration images")
    started = time.perf_counter()
    quantize(onnx_file, calibration, target=target, test_values=True).save(espdl_file)
    quantized = time.perf_counter()

    say("running the embedded test")
    model = Model(espdl_file, target=target, backend=backend)
    embedded = model.test()

    say(f"running {len(test)} held-out images")
    float_logits = _float_logits(onnx_file, test.images)
    begun = time.perf_counter()
    int8_logits = _int8_logits(model, test.images)
    ended = time.perf_counter()

    answers = Answers(test, float_logits, int8_logits)
    snr = Snr()
    snr.add(float_logits, int8_logits)
    result = DemoResult(
        target=model.chip.name,
        arithmetic=model.machine.arithmetic.value,
        backend=model.machine.kernels.name,
        file=str(espdl_file),
        onnx_bytes=onnx_file.stat().st_size,
        espdl_bytes=espdl_file.stat().st_size,
        test_images=len(test),
        calibration_images=len(calibration),
        float_accuracy=float(np.mean(answers.float_classes == test.labels)),
        int8_accuracy=float(np.mean(answers.int8_classes == test.labels)),
        agreement=float(np.mean(answers.int8_classes == answers.float_classes)),
        snr_db=snr.decibels,
        embedded_test=str(embedded),
        embedded_test_passed=bool(embedded),
        memory={use: asdict(size) for use, size in model.get_memory_info().items()},
        warnings=tuple(model.warnings),
        milliseconds_per_image=1000 * (ended - begun) / len(test),
        quantize_seconds=quantized - started,
    )
    return result, answers, model


def _float_logits(onnx_file: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the network is so small that threads only wait for each other
    session = onnxruntime.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([OUTPUT], {INPUT: image[np.newaxis]})[0] for image in images])


def _int8_logits(model: Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Real images go in (the model quantizes them as the chip does), raw integers come out and are scaled back."""
    scale = np.float32(2.0 ** int(model.get_output(OUTPUT).exponent))
    raw = [model.run_arrays({INPUT: image[np.newaxis]})[OUTPUT] for image in _channels_last(images)]
    return np.concatenate(raw).astype(np.float32) * scale


def _channels_last(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.transpose(0, 2, 3, 1)
