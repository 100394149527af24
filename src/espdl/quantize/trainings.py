"""The trainings that a setting can ask for, in their order. Needs no PyTorch."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_training import BlockSetting


class Training(NamedTuple):
    """One row of the table of trainings.

    Attributes:
        name: for people.
        switches: paths of the settings that ask for it, all together.
        group: the settings that say how.
        module: of :mod:`espdl.quantize.train`, which holds it.
        method: its class there.
    """

    name: str
    switches: tuple[str, ...]
    group: str
    module: str
    method: str

    def setting(self, setting: QuantizationSetting) -> BlockSetting:
        """How it is to be done."""
        found: BlockSetting = getattr(setting, self.group)
        return found


TRAININGS = (
    Training("LSQ", ("lsq_optimization",), "lsq_optimization_setting", "lsq", "LSQ"),
    Training("TQT", ("tqt_optimization",), "tqt_optimization_setting", "tqt", "TQT"),
    Training(
        "Block-wise reconstruction",
        ("blockwise_reconstruction",),
        "blockwise_reconstruction_setting",
        "reconstruction",
        "Reconstruction",
    ),
    Training(
        "Bias correction on blocks",
        ("bias_correct", "bias_correct_setting.on_blocks"),
        "bias_correct_setting",
        "bias",
        "BlockBias",
    ),
)
"""In the order in which they are done: that of the quantizer spec (5), but for biases, which make up for what the others leave."""


def trainings_of(setting: QuantizationSetting) -> list[Training]:
    """Those that a setting asks for, in order."""
    return [training for training in TRAININGS if all(_read(setting, path) for path in training.switches)]


def trains(setting: QuantizationSetting) -> bool:
    """Whether a setting asks for training."""
    return bool(trainings_of(setting))


def leave_out_training(setting: QuantizationSetting) -> None:
    """Switches every training off."""
    for training in TRAININGS:
        *groups, name = training.switches[-1].split(".")
        setattr(_read(setting, ".".join(groups)), name, False)


def _read(setting: QuantizationSetting, path: str) -> Any:
    return reduce(getattr, path.split(".") if path else (), setting)
