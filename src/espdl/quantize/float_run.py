"""Runs a float network in ONNX Runtime, with any of its tensors as outputs; operators of the user's own run in Python in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.free_memory import give_back_memory
from espdl.quantize.assign import is_real
from espdl.quantize.float_model import serialized
from espdl.quantize.float_parts import cut

PIECE = 1 << 23
"""Bytes of tensors and parameters to run a network by, about, so that what is seen of a piece can be let go before the next one runs."""


class FloatRun:
    """A session on the CPU that computes the tensors named.

    Args:
        model: a network that ONNX Runtime can execute.
        names: tensors to compute, intermediate ones and inputs included.
        constants: values to use instead of the network's own, by initializer name.
        threads: that one run may use; None takes all cores.
        piece: the network is run in pieces of about so many bytes of tensors and parameters; None for as few as possible.

    Raises:
        EspdlError: when ONNX Runtime does not accept the network.
    """

    def __init__(
        self,
        model: ir.Model,
        names: Sequence[str],
        constants: Mapping[str, NDArray] | None = None,
        threads: int | None = None,
        piece: int | None = None,
    ) -> None:
        self.names = list(names)
        self.inputs = [value.name or "" for value in model.graph.inputs]
        self._computed = [name for name in self.names if name not in self.inputs]
        self._parts = cut(model, *serialized(model, constants), self._computed, threads, piece) if self._computed else []
        give_back_memory()  # of the graphs on their way to sessions
        last = {name: index for index, part in enumerate(self._parts) for name in (*part.outputs, *part.inputs)}
        self._done = [[name for name, index in last.items() if index == place] for place in range(len(self._parts))]

    def run(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The tensors named, for one set of inputs. Raises :class:`EspdlError` when the inputs do not fit."""
        results: dict[str, NDArray] = {}
        for some in self.pieces(feeds):
            results.update(some)
        return results

    def pieces(self, feeds: Mapping[str, NDArray]) -> Iterator[dict[str, NDArray]]:
        """The same, as soon as each piece of the network has computed some of them; together no more memory than a piece needs."""
        known = {name: np.asarray(array) for name, array in feeds.items()}
        if given := {name: known[name] for name in self.names if name in known}:
            yield given
        wanted = set(self._computed)
        for part, done in zip(self._parts, self._done, strict=True):
            found = part.run(known)
            known.update(found)
            if shown := {name: found[name] for name in part.outputs if name in wanted}:
                del found
                yield shown
            shown = found = {}
            for name in done:
                known.pop(name, None)


def first_bad_node(model: ir.Model, feeds: Mapping[str, NDArray]) -> ir.Node | None:
    """The first node, in execution order, that puts out a NaN or an infinite value for these inputs."""
    nodes = {o.name: node for node in model.graph for o in node.outputs if o.name and is_real(o)}
    results = FloatRun(model, list(nodes)).run(feeds)
    return next((nodes[name] for name in nodes if not np.isfinite(results[name]).all()), None)
