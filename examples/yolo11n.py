"""Quantizes a network of YOLO11n's shape: in 8 bits, or with some layers in 16 bits (guide 3.7).

    python examples/yolo11n.py --method mixed --target esp32p4 --photos PICTURES

Its weights are random. For a network of your own take its file instead, and name the layers that ``error_report`` or the analyses blame.
"""

from __future__ import annotations

import onnx
from common import arguments, name_outputs, networks, photos

from espdl import PictureFolder, QuantizationSetting, QuantizationSettingFactory
from espdl.api import espdl_quantize_onnx, get_target_platform
from espdl.vision.detect import COCODetect

WIDE = ("conv0", "conv3")
"""Layers that get 16 bits with ``--method mixed``."""


def quant_setting(method: str, target: str) -> QuantizationSetting:
    setting = QuantizationSettingFactory.espdl_setting()
    if method == "mixed":
        for layer in WIDE:
            setting.dispatching_table.append(layer, get_target_platform(target, 16))
    return setting


def main() -> None:
    parser = arguments(__doc__, "esp32p4", size=640)
    parser.add_argument("--method", choices=("default", "mixed"), default="default")
    options = parser.parse_args()
    size, output = options.size, options.output
    folder = photos(options.photos, output / "pictures", options.steps, size)
    path = output / "yolo11n.onnx"
    onnx.save(name_outputs(networks.yolo11n(size), "box", "score"), path)

    pictures = PictureFolder(folder, [1, 3, size, size])
    model = espdl_quantize_onnx(
        onnx_import_file=path,
        espdl_export_file=output / "yolo11n.espdl",
        calib_dataloader=pictures,
        calib_steps=options.steps,
        input_shape=[1, 3, size, size],
        target=options.target,
        num_of_bits=8,
        setting=quant_setting(options.method, options.target),
        device="cpu",
        error_report=True,
        export_test_values=True,
    )
    for name, array in model.run({"image": next(iter(pictures))}).items():
        print(f"{name}: {list(array.shape)}, {array.min():.2f} .. {array.max():.2f}")

    detector = COCODetect(model.model())
    for found in detector.run(min(folder.iterdir())):
        print(f"{found.label} {found.score:.2f} {found.box}")


if __name__ == "__main__":
    main()
