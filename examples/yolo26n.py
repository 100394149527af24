"""Quantizes a network of YOLO26n's shape with finer class scores: focused logits (guide 3.10).

    python examples/yolo26n.py --target esp32p4 --photos PICTURES

What goes into a Sigmoid matters between about -4 and 4 only: the last layers of the class branches get steps of 1/16, whatever their
range. The weights are random; training of thresholds, which the guide adds, is not part of this.
"""

from __future__ import annotations

import onnx
from common import arguments, networks, photos

from espdl import PictureFolder, QuantizationSettingFactory
from espdl.api import ENABLE_CUDA_KERNEL, espdl_quantize_onnx

CLASSES = 80
STEP = 0.0625


def main() -> None:
    options = arguments(__doc__, "esp32p4", size=640).parse_args()
    size, output = options.size, options.output
    folder = photos(options.photos, output / "pictures", options.steps, size)
    path = output / "yolo26n.onnx"
    network = networks.yolo26n(size)
    onnx.save(network, path)

    results = {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in network.graph.output}
    layers = {node.output[0]: node.name for node in network.graph.node}
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quantize_activation_setting.calib_algorithm = "percentile"
    setting.quant_config_modify = True
    setting.quant_config_modify_setting.custom_config = {
        layers[name]: STEP for name, channels in results.items() if channels == CLASSES
    }
    with ENABLE_CUDA_KERNEL():
        model = espdl_quantize_onnx(
            onnx_import_file=path,
            espdl_export_file=output / "yolo26n.espdl",
            calib_dataloader=PictureFolder(folder, [1, 3, size, size]),
            calib_steps=options.steps,
            input_shape=[1, 3, size, size],
            target=options.target,
            num_of_bits=8,
            setting=setting,
            device="cpu",
            error_report=True,
            export_test_values=True,
        )
    for name, tensor in model.model().get_outputs().items():
        print(f"{name}: {tensor.get_shape()}, steps of {2.0 ** int(tensor.exponent)}")


if __name__ == "__main__":
    main()
