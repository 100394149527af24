"""What every layer's quantization alone does to the results of the network (quantizer spec 14)."""

from __future__ import annotations

from collections.abc import Iterable

from espdl.dl.model import Model
from espdl.errors import EspdlError
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import STEPS
from espdl.quantize.analysis.noise import Means, measure_of
from espdl.quantize.analysis.rows import DisturbedRun
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun
from espdl.wording import nearest


def layerwise(
    compared: Compared, method: str = "snr", steps: int | None = STEPS, outputs: Iterable[str] | None = None
) -> dict[str, float]:
    """Mean error of the network's outputs when one layer alone is quantized, by the layer's name, in running order.

    The layer runs as in the file, on the float network's own tensors; the float network goes on with its result. All layers are done in
    few runs per sample, so that nothing before a layer is computed again (:class:`~espdl.quantize.analysis.rows.DisturbedRun`).

    Args:
        compared: file, network and samples.
        method: ``snr``, ``mse`` or ``cosine``; see :mod:`espdl.quantize.analysis.noise`.
        steps: number of samples; all when None.
        outputs: tensors of the network to look at; its outputs when None. Of several the mean is taken.

    Raises:
        EspdlError: for an output that the network does not have.
    """
    measure, means, layers = measure_of(method), Means(), compared.layers
    names = list(outputs) if outputs else compared.outputs
    known = [value.name or "" for node in compared.network.graph for value in node.outputs]
    for name in names:
        if name not in known:
            raise EspdlError(f"the network has no tensor {name!r}", where="outputs", hint=nearest(name, known))
    if not layers:
        return {}
    disturbed = DisturbedRun(compared.network, [layer.outputs for layer in layers], names)
    needed = dict.fromkeys([*(name for layer in layers for name, _ in layer.inputs), *disturbed.needs, *names])
    floating = FloatRun(compared.network, list(needed), threads=1)

    def work(model: Model, sample: Sample) -> dict[str, list[float]]:
        exact = floating.run(sample)
        given = [layer.run(model, compared.stored, exact) for layer in layers]
        found = disturbed.run(exact, given)
        return {
            layer.name: [measure(found[index].get(name, exact[name]), exact[name]) for name in names]
            for index, layer in enumerate(layers)
        }

    for errors in compared.each(work, steps, "Quantizing one layer at a time"):
        for layer, values in errors.items():
            for value in values:
                means.add(layer, value)
    return means()
