"""``QuantizationSetting``: every choice of a quantization, with the names and defaults of the guide (quantizer spec 1.6).

A name that does not exist, and a value that nothing acts upon, raise :class:`EspdlError`: a setting is never ignored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from espdl.errors import EspdlError
from espdl.quantize.setting_group import DispatchingTable, SettingGroup
from espdl.quantize.setting_training import BiasCorrectSetting, BlockwiseReconstructionSetting, LSQSetting, TQTSetting


@dataclass
class GraphFormatSetting(SettingGroup):
    """How the float network is tidied before it is quantized. Always done: these cannot be changed."""

    format_constant_input: bool = True
    fuse_conv_bn: bool = True
    fuse_constant_input: bool = True
    fuse_bias_add: bool = True


@dataclass
class SSDEqualizationSetting(SettingGroup):
    """Equalisation of neighbouring layers where it lowers their error on the data; ``opt_level`` and ``layer_norm`` are fixed."""

    opt_level: int = 1
    channel_ratio: float = 0.5
    loss_threshold: float = 0.8
    layer_norm: bool = False
    iteration: int = 3


@dataclass
class EqualizationSetting(SettingGroup):
    """Equalisation of weights between neighbouring layers (:func:`espdl.quantize.balance.equalize`)."""

    opt_level: int = 1
    iterations: int = 10
    value_threshold: float = 0.5
    including_bias: bool = False
    bias_multiplier: float = 0.5
    including_act: bool = False
    act_multiplier: float = 0.5
    interested_layers: list[str] | None = field(default_factory=list)


@dataclass
class ChannelSplitSetting(EqualizationSetting):
    """Channels that are split in two between layers whose weights both reach ``value_threshold``, on account of weights and biases:
    ``including_act`` is refused."""


@dataclass
class WeightSplitSetting(SettingGroup):
    """Layers that become the sum of two: those named, where weights exceed ``value_threshold``; method ``balance`` or ``random``."""

    interested_layers: list[str] = field(default_factory=list)
    value_threshold: float = 2.0
    method: str = "balance"


@dataclass
class ActivationQuantizationSetting(SettingGroup):
    """The calibration algorithm of activations, for all layers and by the name of a node: output, minmax, percentile, kl, mse, isotone."""

    calib_algorithm: str | None = None
    calib_algorithm_per_layer: dict[str, str] = field(default_factory=dict)


@dataclass
class QuantConfigModifySetting(SettingGroup):
    """Scales set by hand: a power of two by the name of the node that writes the tensor."""

    custom_config: dict[str, float] = field(default_factory=dict)


@dataclass
class ParameterQuantizationSetting(SettingGroup):
    """The calibration algorithm of weights; None takes percentile at 8 bits per tensor, else minmax. The other settings are fixed."""

    calib_algorithm: str | None = None
    calib_algorithm_per_layer: dict[str, str] = field(default_factory=dict)
    quantize_passive_parameter: bool = True
    clip_visiblity: str = "INTERNAL"
    pad_visiblity: str = "INTERNAL"
    baking_parameter: bool = True


@dataclass
class WeightRoundingSetting(SettingGroup):
    """Rounding of weights together (:class:`espdl.quantize.weight_rounding.WeightRounding`), which ESP-PPQ does not have: layers with more
    inputs per output than ``inputs`` are rounded to nearest. 32 takes depthwise layers, which need it most; 4096 takes nearly all."""

    inputs: int = 32


@dataclass
class MixedPrecisionSetting(SettingGroup):
    """How much may go to 16 bits (:mod:`espdl.quantize.mixed`).

    Attributes:
        more_latency: share of the estimated latency in 8 bits that may be added: 0.25 is a quarter more.
        snr_db: no further layers once the outputs have this SNR in dB, on the first calibration samples: what is above it changes no
            answers. Infinity uses the whole budget.
    """

    more_latency: float = 0.25
    snr_db: float = 40.0


@dataclass
class QuantizationFusionSetting(SettingGroup):
    """Which tensors share an exponent (quantizer spec 7.6).

    ``align_elementwise_to`` (Add, Sub, Max, Min) and ``align_concat_to`` are ``Align to Output`` or ``Align to Large``: inputs and output
    have the exponent of the output, or the largest that any of them needs. Not ``None``: the chips work on raw integers there. In ESP-PPQ
    ``Align to Large`` always doubles the largest scale, and leaves the output with another exponent than the inputs; neither is done here.

    ``align_avgpooling_to`` and ``align_resize_to`` are ``None``, ``Align to Input`` or ``Align to Output``.

    ``force_alignment_overlap`` aligns tensors that are read elsewhere, too. The other settings cannot be changed.
    """

    remove_useless_quantization: bool = True
    fuse_activation: bool = True
    fuse_passive_op: bool = True
    align_quantization: bool = True
    align_avgpooling_to: str = "None"
    align_elementwise_to: str = "Align to Large"
    align_concat_to: str = "Align to Output"
    align_resize_to: str = "Align to Output"
    force_alignment_overlap: bool = True


TABLE_OPS = (
    *("Swish", "SiLU", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu", "Erf", "Gelu", "LeakyRelu", "Softplus"),
    *("Exp", "Log", "Sqrt", "Cos", "Sin", "Tan"),
)


@dataclass
class LUTOptimizationSetting(SettingGroup):
    """16-bit tables: distance of their inputs, a power of two, and the operators that become tables."""

    step: int = 32
    target_ops: list[str] = field(default_factory=lambda: list(TABLE_OPS))


@dataclass
class QuantizationSetting(SettingGroup):
    """All settings. ``QuantizationSettingFactory.espdl_setting()`` gives the defaults for ESP chips.

    ``custom_tqc`` gives widths to single tensors, by node: ``{"/Conv": {"output_0": {"bit_width": 16}}}``; see
    :func:`espdl.quantize.widths.custom_platform`. In ESP-PPQ it is an attribute of the quantizer.
    """

    version: str = "0.6.6"
    signature: str = "PPL Quantization Tool"
    dispatcher: str = "conservative"
    dispatching_table: DispatchingTable = field(default_factory=DispatchingTable)
    custom_tqc: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    graph_format_setting: GraphFormatSetting = field(default_factory=GraphFormatSetting)
    ssd_equalization: bool = False
    ssd_setting: SSDEqualizationSetting = field(default_factory=SSDEqualizationSetting)
    equalization: bool = False
    equalization_setting: EqualizationSetting = field(default_factory=EqualizationSetting)
    channel_balancing: bool = False
    weight_rounding: bool = False
    weight_rounding_setting: WeightRoundingSetting = field(default_factory=WeightRoundingSetting)
    mixed_precision: bool = False
    mixed_precision_setting: MixedPrecisionSetting = field(default_factory=MixedPrecisionSetting)
    weight_split: bool = False
    weight_split_setting: WeightSplitSetting = field(default_factory=WeightSplitSetting)
    channel_split: bool = False
    channel_split_setting: ChannelSplitSetting = field(default_factory=ChannelSplitSetting)
    matrix_factorization: bool = False
    quantize_activation: bool = True
    quantize_activation_setting: ActivationQuantizationSetting = field(default_factory=ActivationQuantizationSetting)
    quant_config_modify: bool = False
    quant_config_modify_setting: QuantConfigModifySetting = field(default_factory=QuantConfigModifySetting)
    quantize_parameter: bool = True
    quantize_parameter_setting: ParameterQuantizationSetting = field(default_factory=ParameterQuantizationSetting)
    lsq_optimization: bool = False
    lsq_optimization_setting: LSQSetting = field(default_factory=LSQSetting)
    tqt_optimization: bool = False
    tqt_optimization_setting: TQTSetting = field(default_factory=TQTSetting)
    blockwise_reconstruction: bool = False
    blockwise_reconstruction_setting: BlockwiseReconstructionSetting = field(default_factory=BlockwiseReconstructionSetting)
    bias_correct: bool = False
    bias_correct_setting: BiasCorrectSetting = field(default_factory=BiasCorrectSetting)
    fusion: bool = True
    fusion_setting: QuantizationFusionSetting = field(default_factory=QuantizationFusionSetting)
    espdl_attention_fusion: bool = True
    lut_optimization: bool = True
    lut_optimization_setting: LUTOptimizationSetting = field(default_factory=LUTOptimizationSetting)
    convtranspose_decomposition: bool = True
    extension: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The settings as nested plain values, the dispatching table as names of quantization types: for a recipe in TOML or JSON, see
        :func:`espdl.quantize.recipe.save_recipe`."""
        plain: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, DispatchingTable):
                value = {name: platform.quant_type for name, platform in value.platforms.items()}
            plain[f.name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        return plain


SettingGroup.names_of_all = frozenset(QuantizationSetting.__dataclass_fields__)


class QuantizationSettingFactory:
    """Ready-made settings."""

    @staticmethod
    def espdl_setting(num_of_bits: int = 8) -> QuantizationSetting:
        """The defaults for ESP chips, for 8- or 16-bit activations.

        At 8 bits channels are balanced, weights rounded together, biases corrected, and exponents chosen by what errors do to the outputs,
        which ESP-PPQ does not do: :meth:`esp_ppq_setting` leaves it out. Nothing of it is seen at the network's inputs and outputs; tensors
        in between may be scaled.
        """
        setting = QuantizationSettingFactory.esp_ppq_setting(num_of_bits)
        if num_of_bits == 8:
            setting.channel_balancing = setting.bias_correct = setting.weight_rounding = True
            setting.quantize_activation_setting.calib_algorithm = "output"
        return setting

    @staticmethod
    def accurate_setting(num_of_bits: int = 8) -> QuantizationSetting:
        """As :meth:`espdl_setting`, with the weights of larger layers rounded together, too: takes several times as long, for a little less
        noise."""
        setting = QuantizationSettingFactory.espdl_setting(num_of_bits)
        setting.weight_rounding_setting.inputs = 4096
        return setting

    @staticmethod
    def esp_ppq_setting(num_of_bits: int = 8) -> QuantizationSetting:
        """The defaults of ESP-PPQ: weights and biases stay as they are, activations are calibrated by ``kl`` at 8 bits."""
        if num_of_bits not in (8, 16):
            raise EspdlError(f"there is no quantization to {num_of_bits} bits", hint="8 or 16")
        setting = QuantizationSetting(dispatcher="allin")
        setting.quantize_activation_setting.calib_algorithm = "kl" if num_of_bits == 8 else "minmax"
        parameters = setting.quantize_parameter_setting
        parameters.calib_algorithm = None if num_of_bits == 8 else "minmax"
        parameters.baking_parameter = False
        parameters.clip_visiblity = parameters.pad_visiblity = "EXPORT_WHEN_ACTIVE"
        setting.fusion_setting.align_elementwise_to = "Align to Output"
        setting.fusion_setting.force_alignment_overlap = False
        return setting
