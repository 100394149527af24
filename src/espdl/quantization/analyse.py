"""Error analysis under ESP-PPQ's names: scripts written for ``esp_ppq.quantization.analyse`` run with the import changed.

The integers are those of the runtime, in the chip's arithmetic, not a simulation in float. ``steps`` is the number of batches, where
ESP-PPQ takes one more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from espdl.errors import EspdlError
from espdl.quantize.analysis.bars import bar_table
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import FETCHES, STEPS, graphwise
from espdl.quantize.analysis.layerwise import layerwise
from espdl.quantize.analysis.statistics import statistics
from espdl.quantize.api import QuantizedModel
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.dataloader import samples_of
from espdl.quantize.passes.tools import input_shapes_of

__all__ = ["graphwise_error_analyse", "layerwise_error_analyse", "statistical_analyse"]


def graphwise_error_analyse(
    graph: QuantizedModel,
    running_device: str = "cpu",
    dataloader: Iterable[Any] | str | os.PathLike[str] | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    method: str = "snr",
    steps: int = STEPS,
    verbose: bool = True,
    fetchs: int = FETCHES,
) -> dict[str, float]:
    """How far the result of every layer is from the float network, all errors before it included.

    Args:
        graph: what quantizing returned.
        running_device: ``cpu``.
        dataloader: batches, or the path of data, as for quantizing.
        collate_fn: turns what the loader yields into arrays.
        method: ``snr`` (noise to signal power), ``mse`` or ``cosine``.
        steps: batches.
        verbose: prints the table.
        fetchs: elements per tensor that are compared.

    Returns:
        The mean error by layer, in running order.

    Raises:
        EspdlError: for a device or measure that does not exist, and for data that do not fit.
    """
    if not isinstance(fetchs, int) or fetchs < 1:
        raise EspdlError(f"fetchs = {fetchs!r} is no number of elements", hint=f"{FETCHES} is the default")
    _check_measure(method)
    compared = _compared(graph, running_device, dataloader, collate_fn, steps)
    errors = graphwise(compared, method, None, fetchs)
    if verbose:
        print(bar_table(errors, method))
    return errors


def layerwise_error_analyse(
    graph: QuantizedModel,
    dataloader: Iterable[Any] | str | os.PathLike[str],
    interested_outputs: str | Sequence[str] | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    running_device: str = "cpu",
    method: str = "snr",
    steps: int = STEPS,
    verbose: bool = True,
) -> dict[str, float]:
    """How far the results of the network are from the float network when one layer alone is quantized.

    Args:
        graph: what quantizing returned.
        dataloader, collate_fn, running_device, method, steps, verbose: as of :func:`graphwise_error_analyse`.
        interested_outputs: tensors of the network to look at; its outputs when None.

    Returns:
        The mean error by layer, in running order.

    Raises:
        EspdlError: for an output, device or measure that does not exist, and for data that do not fit.
    """
    _check_measure(method)
    if interested_outputs is not None and not isinstance(interested_outputs, (str, list, tuple)):
        raise EspdlError(f"interested_outputs = {interested_outputs!r} is no list of tensors", hint="names, as in the network")
    compared = _compared(graph, running_device, dataloader, collate_fn, steps)
    outputs = [interested_outputs] if isinstance(interested_outputs, str) else interested_outputs
    errors = layerwise(compared, method, None, outputs)
    if verbose:
        print(bar_table(errors, method))
    return errors


def statistical_analyse(
    graph: QuantizedModel,
    running_device: str = "cpu",
    dataloader: Iterable[Any] | str | os.PathLike[str] | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    steps: int = STEPS,
) -> list[dict[str, Any]]:
    """What is in every integer tensor, and how it differs from the float network.

    Args:
        graph, running_device, dataloader, collate_fn, steps: as of :func:`graphwise_error_analyse`.

    Returns:
        One mapping per tensor, with the names of :class:`espdl.quantize.analysis.statistics.TensorStatistics`.
    """
    compared = _compared(graph, running_device, dataloader, collate_fn, steps)
    return [item.to_dict() for item in statistics(compared, None)]


def _check_measure(method: object) -> None:
    if not isinstance(method, str):
        raise EspdlError(f"method = {method!r} is no measure", hint="snr, mse or cosine")


def _compared(
    graph: QuantizedModel,
    device: str,
    dataloader: Iterable[Any] | str | os.PathLike[str] | None,
    collate_fn: Callable[[Any], Any] | None,
    steps: int,
) -> Compared:
    if not isinstance(graph, QuantizedModel):
        raise EspdlError(f"a {type(graph).__name__} cannot be analysed", hint="give what espdl_quantize_onnx returned")
    if str(device) != "cpu":
        raise EspdlError(f"device {device!r} is not supported", hint="running_device='cpu'")
    if dataloader is None:
        raise EspdlError("there are no samples to analyse with", hint="give the calibration data")
    network = graph.graph.original
    if isinstance(dataloader, (str, os.PathLike)):
        dataloader = open_calibration_data(dataloader, input_shapes_of(network), steps)
    samples = samples_of(dataloader, network, steps, collate_fn)
    return Compared(graph.data, network, samples, target=graph.graph.chip, stored=graph.lowered.stored)
