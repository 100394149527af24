"""Runs a float network in ONNX Runtime, with any of its tensors as outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.assign import is_real


class FloatRun:
    """A session on the CPU that computes the tensors named.

    Args:
        model: a network that ONNX Runtime can execute.
        names: tensors to compute, intermediate ones and inputs included.
        constants: values to use instead of the network's own, by initializer name.

    Raises:
        EspdlError: when ONNX Runtime does not accept the network.
    """

    def __init__(self, model: ir.Model, names: Sequence[str], constants: Mapping[str, NDArray] | None = None) -> None:
        self.names = list(names)
        self.inputs = [value.name or "" for value in model.graph.inputs]
        self._computed = [name for name in self.names if name not in self.inputs]
        proto = ir.serde.serialize_model(model)
        for tensor in proto.graph.initializer:
            if constants and tensor.name in constants:
                tensor.CopyFrom(onnx.numpy_helper.from_array(constants[tensor.name].astype(np.float32), tensor.name))
        present = {output.name for output in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._computed if name not in present)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception class of its own for every failure
            raise EspdlError("ONNX Runtime cannot run the float network", why=_first_line(error)) from None

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The tensors named, for one set of inputs. Raises :class:`EspdlError` when the inputs do not fit."""
        results = {name: np.asarray(feeds[name]) for name in self.names if name in feeds}
        if self._computed:
            try:
                arrays = self._session.run(self._computed, {name: np.asarray(array) for name, array in feeds.items()})
            except Exception as error:  # as above
                raise EspdlError("ONNX Runtime failed on the float network", why=_first_line(error)) from None
            results.update(zip(self._computed, arrays, strict=True))
        return results


def first_bad_node(model: ir.Model, feeds: Mapping[str, NDArray]) -> ir.Node | None:
    """The first node, in execution order, that puts out a NaN or an infinite value for these inputs."""
    nodes = {o.name: node for node in model.graph for o in node.outputs if o.name and is_real(o)}
    results = FloatRun(model, list(nodes)).run(feeds)
    return next((nodes[name] for name in nodes if not np.isfinite(results[name]).all()), None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
