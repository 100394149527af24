"""The trainings that a setting can ask for, in their order. Needs no PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from espdl.quantize.setting import BlockSetting, QuantizationSetting


class Training(NamedTuple):
    """One row of the table of trainings.

    Attributes:
        name: for people.
        switch: the setting that asks for it.
        group: the settings that say how.
        module: of :mod:`espdl.quantize.train`, which holds it.
        method: its class there.
    """

    name: str
    switch: str
    group: str
    module: str
    method: str

    def setting(self, setting: QuantizationSetting) -> BlockSetting:
        """How it is to be done."""
        found: BlockSetting = getattr(setting, self.group)
        return found


TRAININGS = (Training("TQT", "tqt_optimization", "tqt_optimization_setting", "tqt", "TQT"),)
"""In the order in which they are done (quantizer spec 5)."""


def trainings_of(setting: QuantizationSetting) -> list[Training]:
    """Those that a setting asks for, in order."""
    return [training for training in TRAININGS if getattr(setting, training.switch)]


def trains(setting: QuantizationSetting) -> bool:
    """Whether a setting asks for training."""
    return bool(trainings_of(setting))


def leave_out_training(setting: QuantizationSetting) -> None:
    """Switches every training off."""
    for training in TRAININGS:
        setattr(setting, training.switch, False)
