"""Settings of what is trained, or corrected, block by block (quantizer spec 8.7 to 8.10)."""

from __future__ import annotations

from dataclasses import dataclass, field

from espdl.quantize.setting_group import SettingGroup


@dataclass
class BlockSetting(SettingGroup):
    """What every training of blocks has.

    Attributes:
        steps: updates per block.
        interested_layers: trains the blocks that have one of these nodes; all when empty.
        block_size: largest difference of depth in a block.
        collecting_device: where tensors are kept between blocks: ``cpu``, ``cuda``, or ``executor`` for where training runs.
        holdout: share of the samples that a block does not learn from: how far it goes is decided by them.
        seed: of the order of samples, and of which are held out.
    """

    steps: int = 500
    interested_layers: list[str] = field(default_factory=list)
    block_size: int = 4
    collecting_device: str = "cpu"
    holdout: float = 0.25
    seed: int = 0


@dataclass
class LSQSetting(BlockSetting):
    """Training of weights and scales by LSQ, block by block (:mod:`espdl.quantize.train.lsq`). Needs PyTorch.

    Attributes, beside those of :class:`BlockSetting`:
        lr: learning rate of weights and biases, as in ESP-PPQ; ``weight_reach`` is added to it.
        is_scale_trainable: trains scales, too; False trains weights and biases only.
        gamma: weight of the mean squared error of rounded weights in the loss.
        scale_lr: learning rate of the logarithms of scales, in which an exponent moves when half of 1 is passed; here of the one in a
            block that has the largest gradients.
        weight_reach: steps of its integers that a weight moves at most, about, beside what ``lr`` lets it; 0 is ESP-PPQ's way.
        evidence: numbers of a layer's results per number of its weights, in all samples learned from, at which weights have ``lr`` and
            ``weight_reach``; with fewer they have less, in proportion. 0 is ESP-PPQ's way: then a layer of many weights learns few
            samples by heart.
        batch_size: samples per update, where the network can run several at once.
        patience: updates without a lower loss after which a block is left; 0 never does.
    """

    lr: float = 1e-5
    is_scale_trainable: bool = True
    gamma: float = 0.0
    scale_lr: float = 0.1
    weight_reach: float = 2.0
    evidence: float = 10.0
    batch_size: int = 1
    patience: int = 0


@dataclass
class TQTSetting(LSQSetting):
    """Training of weights and scales, block by block (:mod:`espdl.quantize.train.tqt`). Needs PyTorch.

    Attributes, beside those of :class:`LSQSetting`:
        scale_lr: learning rate of the logarithms of scales, in which an exponent moves when half of 1 is passed; of every one.
        int_lambda: weight of the distance of the scales' logarithms from whole numbers in the loss.
        gain_steps: updates of the factors that channels between layers get before blocks are trained, where outputs are far off
            (:mod:`espdl.quantize.train.gains`); 0 leaves channels as they are.
        whole_steps: updates of the whole network, behind those of its blocks, where its outputs are still far off.
        output_room: how many times the largest value met an output is to hold, where that costs next to nothing
            (:mod:`espdl.quantize.train.room`); 0 leaves outputs alone, as ESP-PPQ does.
    """

    scale_lr: float = 0.03
    weight_reach: float = 0.5
    int_lambda: float = 0.0
    gain_steps: int = 300
    whole_steps: int = 2000
    output_room: float = 2.0


@dataclass
class BlockwiseReconstructionSetting(BlockSetting):
    """Training of how weights are rounded, block by block (:mod:`espdl.quantize.train.reconstruction`). Needs PyTorch.

    Attributes, beside those of :class:`BlockSetting`:
        is_scale_trainable: trains the scales of activations, too.
        lr: learning rate of where a weight lies between two integers, as in ESP-PPQ; ``rounding_reach`` is added to it.
        steps: updates per block.
        gamma: weight of the regulariser that drives every weight to one of its integers.
        rounding_reach: how far weights move beside what ``lr`` lets them, all updates together: from one integer to the other is 4.8. 0
            is ESP-PPQ's way, which needs thousands of updates.
        firmness: where weights start between their real value, 0, which is the paper's way, and the integer that they are rounded to
            before training, 1: with few samples those that have no strong reason to change do not.
        bias_reach: steps of its result's integers that a bias moves at most, about; 0 leaves biases as they are, as ESP-PPQ does.
        scale_lr: learning rate of the logarithms of scales.
        batch_size: samples per update, where the network can run several at once.
    """

    is_scale_trainable: bool = False
    lr: float = 1e-3
    steps: int = 5000
    gamma: float = 1.0
    rounding_reach: float = 10.0
    firmness: float = 0.8
    bias_reach: float = 1.0
    scale_lr: float = 0.03
    batch_size: int = 4


@dataclass
class BiasCorrectSetting(BlockSetting):
    """Correction of biases, of the layers named or of all.

    It is computed in closed form (:class:`espdl.quantize.bias_correction.BiasCorrection`), for each layer by itself and from all
    calibration data. With ``on_blocks`` it is done a second time, behind all training, by the means that the rounded network has
    (:class:`espdl.quantize.train.bias.BlockBias`), as in ESP-PPQ: that needs PyTorch, and only then the other settings mean anything.

    Attributes, beside those of :class:`BlockSetting`:
        steps: samples that means are taken of, at most.
        on_blocks: see above.
    """

    collecting_device: str = "executor"
    steps: int = 32
    on_blocks: bool = False
