"""Runs a quantized model on PyTorch tensors, with the chip's integers (guide 3.1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel
from espdl.quantize.dataloader import split_batch
from espdl.quantize.passes.tools import input_shapes_of
from espdl.quantize.snr import IntegerRun
from espdl.quantize.torch_import import require_torch


class TorchExecutor:
    """Tensors in, tensors out: real values in the order of axes of the float network, computed by the integer runtime in between.

    Args:
        graph: what quantizing returned.
        device: where the answers are put; the run on integers is on the CPU, that with gradients there.
        arithmetic: ``silicon`` (what the chip will answer) or ``reference`` (what test values hold).

    Raises:
        EspdlError: without PyTorch, for anything but a quantized model, and for a device that is not there.
    """

    def __init__(self, graph: QuantizedModel, device: str = "cpu", *, arithmetic: str | Arithmetic = Arithmetic.SILICON) -> None:
        self._torch = require_torch()
        if not isinstance(graph, QuantizedModel):
            raise EspdlError(f"a {type(graph).__name__} cannot be run", hint="give what espdl_quantize_torch returned")
        from espdl.quantize.train.executor import find_device

        network = graph.graph.model.graph
        self._graph, self._lowering = graph.graph, graph.export.lowering
        self._differentiable: Any = None
        self.device = str(find_device(device))
        self._shapes = input_shapes_of(graph.graph.model)
        self._outputs = [value.name or "" for value in network.outputs]
        self._run = IntegerRun(graph.data, graph.graph, graph.lowered, Arithmetic(arithmetic))

    def __call__(self, inputs: Any, output_names: Sequence[str] | None = None) -> list[Any]:
        return self.forward(inputs, output_names)

    def forward(self, inputs: Any, output_names: Sequence[str] | None = None) -> list[Any]:
        """Runs every sample of a batch, one after the other.

        Args:
            inputs: one tensor or array, a list of them in the order of the network's inputs, or a mapping by input name. Each may hold
                several samples along its first axis.
            output_names: tensors of the network, intermediate ones included; its outputs when None.

        Returns:
            One tensor per name, in that order; the results of several samples are joined along the first axis.

        Raises:
            EspdlError: for inputs that do not fit, and for a tensor that the file does not hold.
        """
        names = self._outputs if output_names is None else list(output_names)
        results = [self._run.run(sample, names) for sample in split_batch(inputs, self._shapes)]
        if not results:
            raise EspdlError("the batch holds no samples")
        return [self._tensor([result[name] for result in results]) for name in names]

    def forward_with_gradient(self, inputs: Any, output_names: Sequence[str] | None = None) -> list[Any]:
        """Runs the float network with its tensors rounded as the chip does, so that gradients reach the inputs.

        Values are those of :meth:`forward` in reference arithmetic, up to what float sums of 16-bit numbers lose.

        Args:
            inputs: tensors on ``device``, in any form that :meth:`forward` takes; the batch may hold several samples where the network's
                operators allow it.
            output_names: as there.

        Returns:
            Tensors on ``device``.

        Raises:
            EspdlError: for a device that is not there, inputs that do not fit, and a tensor that the network does not have.
        """
        if self._differentiable is None:
            from espdl.quantize.train.executor import QuantExecutor

            self._differentiable = QuantExecutor(self._graph, self.device, lowering=self._lowering)
        return self._differentiable(inputs, output_names)

    def _tensor(self, arrays: list[NDArray]) -> Any:
        joined = arrays[0] if len(arrays) == 1 else np.concatenate([np.atleast_1d(array) for array in arrays])
        return self._torch.from_numpy(np.array(joined)).to(self.device)
