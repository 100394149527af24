"""What settings ask to equalise before anything is quantized: weights of neighbouring layers, and pairs by their loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import onnx_ir as ir

from espdl.quantize.balance import equalize, tensors_to_equalize
from espdl.quantize.calibrate import run_network
from espdl.quantize.dataloader import Sample
from espdl.quantize.kept_samples import KeptSamples
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.scale import Scale, Scales, joined
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.ssd import SAMPLES, equalize_by_loss
from espdl.quantize.survey import Survey


def equalize_network(
    model: ir.Model, platform: TargetPlatform, setting: QuantizationSetting, samples: Iterable[Sample], total: int | None
) -> tuple[ir.Model, Iterator[Sample], Scales]:
    """Does what ``setting.equalization`` and ``setting.ssd_equalization`` ask for.

    Args:
        model: a prepared network; it is not changed.
        platform: what it is quantized for.
        setting: checked before.
        samples: calibration data.
        total: their number, for the progress bar.

    Returns:
        The network with other weights, or the one given; all samples; what became of tensors, by name.
    """
    waiting = iter(samples)
    if not (setting.equalization or setting.ssd_equalization):
        return model, waiting, {}
    changed, scales = model.clone(), dict[str, Scale]()
    if setting.equalization:
        survey = Survey(tensors_to_equalize(changed, setting.equalization_setting))
        if survey.names:
            kept = KeptSamples(waiting)
            run_network(changed, kept, total, [survey])
            waiting = _once_more(kept)
        scales = equalize(changed, setting.equalization_setting, survey.moments())
    if setting.ssd_equalization:
        first = list(islice(waiting, SAMPLES))
        waiting = chain(first, waiting)
        for _, found in equalize_by_loss(changed, platform, setting, first):
            scales = joined(scales, found)
    return changed, waiting, scales


def _once_more(kept: KeptSamples) -> Iterator[Sample]:
    with kept:
        yield from kept
