"""Quantizes a network of MobileNetV2's shape: in 8 bits, or with the first layers in 16 bits (guide 3.6).

    python examples/mobilenet_v2.py --method mixed --target esp32s3 --photos PICTURES

Its weights are random. For a network of your own take its file instead, and name the layers that ``error_report`` or the analyses blame.
"""

from __future__ import annotations

import onnx
from common import arguments, networks, photos

from espdl import PictureFolder, QuantizationSetting, QuantizationSettingFactory
from espdl.api import espdl_quantize_onnx, get_target_platform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WIDE = ("conv0", "relu1", "conv2", "relu3")
"""Layers that get 16 bits with ``--method mixed``."""


def quant_setting(method: str, target: str) -> QuantizationSetting:
    setting = QuantizationSettingFactory.espdl_setting()
    if method == "mixed":
        for layer in WIDE:
            setting.dispatching_table.append(layer, get_target_platform(target, 16))
    return setting


def main() -> None:
    parser = arguments(__doc__, "esp32p4", size=224)
    parser.add_argument("--method", choices=("default", "mixed"), default="default")
    options = parser.parse_args()
    size, output = options.size, options.output
    folder = photos(options.photos, output / "pictures", options.steps, size * 256 // 224)
    path = output / "mobilenet_v2.onnx"
    onnx.save(networks.mobilenet_v2(size), path)

    pictures = PictureFolder(folder, [1, 3, size, size], mean=MEAN, std=STD, resize=size * 256 // 224)
    model = espdl_quantize_onnx(
        onnx_import_file=path,
        espdl_export_file=output / "mobilenet_v2.espdl",
        calib_dataloader=pictures,
        calib_steps=options.steps,
        input_shape=[1, 3, size, size],
        target=options.target,
        num_of_bits=8,
        setting=quant_setting(options.method, options.target),
        device="cpu",
        error_report=True,
        skip_export=False,
        export_test_values=True,
        verbose=1,
    )
    ((_, logits),) = model.run({"image": next(iter(pictures))}).items()
    best = logits[0].argsort()[::-1][:5]
    print("best classes of the first picture: " + ", ".join(f"{index} ({logits[0, index]:.2f})" for index in best))


if __name__ == "__main__":
    main()
