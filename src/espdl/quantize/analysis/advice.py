"""What to turn when accuracy is lost: changes of the recipe, each tried on the data and ranked by what it gains.

Nothing is estimated. A change is one recipe: the network is quantized with it as a user would, the file is run on the samples, and the
gain is the difference of its SNR to that without the change.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from espdl.dtypes import QuantType
from espdl.errors import EspdlError
from espdl.progress import track
from espdl.quantize.analysis.bars import ranked
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.assign import module_of
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun
from espdl.quantize.observers import OBSERVERS
from espdl.quantize.passes.neighbours import find_neighbours
from espdl.quantize.passes.tools import constant, input_of, sole_consumer
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.recipe import apply_recipe, recipe_text
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_check import check_setting
from espdl.quantize.tables import has_table
from espdl.wording import counted

LAYERS = 4
"""Layers that changes of single layers are tried on: the worst ones."""
WORTH = 0.2
"""Decibels that a change must gain to be advised."""
LARGEST_DB = 100.0
"""Outputs that are equal count as much, so that a mean exists."""
_ALGORITHMS = ("output", "minmax", "percentile", "kl", "mse")
Recipe = Mapping[str, Any]

_SWITCHES: tuple[tuple[str, Recipe], ...] = (
    (
        "balance channels between layers, as by default",
        {
            "channel_balancing": True,
            "weight_rounding": True,
            "bias_correct": True,
            "quantize_activation_setting": {"calib_algorithm": "output"},
        },
    ),
    ("equalise the weights of neighbouring layers", {"equalization": True}),
    ("correct biases by the mean error on the data", {"bias_correct": True}),
    ("equalise neighbouring layers where it lowers their error", {"ssd_equalization": True}),
)


@dataclass(frozen=True)
class Change:
    """A change of the recipe, and what came of it.

    Attributes:
        what: in words.
        recipe: the lines to add to the recipe, as TOML.
        snr_db: of the outputs with the change, their mean.
        gain_db: against the recipe without it.
        more_bytes: of the file.
    """

    what: str
    recipe: str
    snr_db: float
    gain_db: float
    more_bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Advice:
    """What was tried.

    Attributes:
        snr_db: of the outputs without a change, their mean.
        changes: those that gain at least :data:`WORTH`, the best first.
        together: the best of them in one recipe, where that gains more than the best alone.
        tried: number of changes.
        refused: changes that are not possible here, with the reason.
    """

    snr_db: float
    changes: tuple[Change, ...]
    together: Change | None
    tried: int
    refused: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def advise(
    network: ir.Model,
    samples: Sequence[Sample],
    platform: TargetPlatform,
    setting: QuantizationSetting,
    layerwise: Mapping[str, float],
) -> Advice:
    """Tries changes of a setting.

    Args:
        network: as imported.
        samples: to calibrate and to compare with; kept in memory.
        platform, setting: what the changes start from; the setting is not changed.
        layerwise: error of the outputs by layer, which tells where changes of single layers are tried.

    Raises:
        EspdlError: when the network cannot be quantized without a change.
    """
    trials = _Trials(network, samples, platform, setting)
    worst = [name for name, error in ranked(layerwise) if error > 0][:LAYERS]
    proposals = list(_proposals(trials.base, setting, platform.activation_bits, worst))
    measured: list[tuple[Change, Recipe]] = []
    refused = []
    for what, recipe in track(proposals, "Trying changes", len(proposals)):
        try:
            measured.append((trials.measure(what, recipe), recipe))
        except EspdlError as error:
            refused.append(f"{what}: {error.what}")
    measured.sort(key=lambda item: -item[0].gain_db)
    good = [item for item in measured if item[0].gain_db >= WORTH]
    return Advice(trials.snr, tuple(change for change, _ in good), _together(trials, good), len(proposals), tuple(refused))


class _Trials:
    """Quantizes with one recipe after the other, and measures."""

    def __init__(
        self, network: ir.Model, samples: Sequence[Sample], platform: TargetPlatform, setting: QuantizationSetting
    ) -> None:
        self._network, self._samples, self._platform, self._setting = network, samples, platform, setting
        self.base = self._quantize(setting)
        names = [value.name or "" for value in network.graph.outputs]
        floating = FloatRun(self.base.graph.original, names)
        self._exact = [floating.run(sample) for sample in samples]
        self.snr = self._snr(self.base)

    def _quantize(self, setting: QuantizationSetting) -> QuantizedModel:
        return quantize(self._network, list(self._samples), target=self._platform, setting=setting)

    def _snr(self, model: QuantizedModel) -> float:
        found = model.snr(self._samples, self._exact).values()
        return float(np.mean([min(max(decibels, -LARGEST_DB), LARGEST_DB) for decibels in found]))

    def measure(self, what: str, recipe: Recipe) -> Change:
        setting = copy.deepcopy(self._setting)
        apply_recipe(setting, recipe, self._platform.chip)
        model = self._quantize(setting)
        snr = self._snr(model)
        return Change(what, recipe_text(recipe), snr, snr - self.snr, len(model.data) - len(self.base.data))


def _proposals(
    base: QuantizedModel, setting: QuantizationSetting, bits: int, worst: Sequence[str]
) -> Iterator[tuple[str, Recipe]]:
    nodes = {node.name or "": node for node in base.graph.nodes()}
    layers = [name for name in worst if name in nodes]
    if bits == 8:
        sixteen = [name for name in layers if base.graph.bits[name] == 8 and _runs_in_16_bits(nodes[name])]
        for name in sixteen:
            yield f"{name} in 16 bits", {"dispatching_table": dict.fromkeys(_with_function(nodes[name]), 16)}
        for count in range(2, len(sixteen) + 1, 2):
            together = [part for name in sixteen[:count] for part in _with_function(nodes[name])]
            yield f"the {count} worst layers in 16 bits", {"dispatching_table": dict.fromkeys(together, 16)}
    current = (setting.quantize_activation_setting.calib_algorithm or "").lower()
    for algorithm in _ALGORITHMS:
        if algorithm != current and algorithm in OBSERVERS:
            recipe = {"quantize_activation_setting": {"calib_algorithm": algorithm}}
            yield f"calibrate by {algorithm}", recipe
    for what, lines in _SWITCHES:
        if not any(getattr(setting, switch) is value for switch, value in lines.items()) and _is_acted_upon(setting, lines):
            yield what, lines
    yield from _splits(base, setting, nodes, layers)


def _with_function(node: ir.Node) -> list[str]:
    """Names of a layer and of the function of one value behind it: in 8 bits, that would lose again what the layer keeps."""
    behind = sole_consumer(node.outputs[0])
    follows = behind is not None and has_table(behind) and _runs_in_16_bits(behind)
    return [node.name or "", behind.name or ""] if behind is not None and follows else [node.name or ""]


def _runs_in_16_bits(node: ir.Node) -> bool:
    return QuantType.SYMM_16BIT in module_of(node).contract.quant_types


def _is_acted_upon(setting: QuantizationSetting, recipe: Recipe) -> bool:
    changed = copy.deepcopy(setting)
    changed.update(recipe)
    try:
        check_setting(changed)
    except EspdlError:
        return False
    return True


def _splits(
    base: QuantizedModel, setting: QuantizationSetting, nodes: Mapping[str, ir.Node], layers: Sequence[str]
) -> Iterator[tuple[str, Recipe]]:
    """Splits of the worst layers, at half of what their largest weights are."""
    for name in layers[:2]:
        weight = constant(input_of(nodes[name], 1))
        if weight is None or setting.weight_split or nodes[name].op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        threshold = float(f"{np.abs(weight).max() / 2:.3g}")
        if threshold > 0:
            chosen = {"interested_layers": [name], "value_threshold": threshold}
            yield f"split {name} in two", {"weight_split": True, "weight_split_setting": chosen}
    if setting.channel_split:
        return
    for group in find_neighbours(base.graph.original):
        involved = {node.name: node for node in (*group.above, *group.below)}
        found = next((name for name in layers if name in involved), "")
        weight = constant(input_of(involved[found], 1)) if found else None
        if weight is not None:
            threshold = float(f"{np.abs(weight).max() / 2:.3g}")
            parts = {"interested_layers": [found], "value_threshold": threshold, "iterations": 2}
            yield f"split the largest channels at {found}", {"channel_split": True, "channel_split_setting": parts}
            return


def _together(trials: _Trials, good: Sequence[tuple[Change, Recipe]]) -> Change | None:
    """The best change of every kind in one recipe."""
    joined: dict[str, Any] = {}
    parts = 0
    for _, recipe in good:
        if not joined.keys() & recipe.keys():
            joined |= recipe
            parts += 1
    if parts < 2:
        return None
    try:
        change = trials.measure(f"the best {counted(parts, 'change')} together", joined)
    except EspdlError:
        return None
    return change if change.gain_db >= good[0][0].gain_db + WORTH else None
