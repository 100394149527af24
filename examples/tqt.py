"""Quantizes a MobileNetV2 with and without training its thresholds and weights (guide 3.10). Needs ``espdl[torch]``.

    python examples/tqt.py --size 96 --tqt-steps 50

The network has random weights, so what counts is how near its outputs come to the float network's.
"""

from __future__ import annotations

import onnx
from common import arguments, networks, photos

from espdl import PictureFolder, QuantizationSettingFactory
from espdl.api import espdl_quantize_onnx


def main() -> None:
    parser = arguments(__doc__, "esp32s3", size=96)
    parser.add_argument("--tqt-steps", type=int, default=50, help="updates per block")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    network = options.output / "mobilenet_v2.onnx"
    onnx.save(networks.mobilenet_v2(options.size), network)
    folder = photos(options.photos, options.output / "photos", options.steps, options.size)
    shape = [1, 3, options.size, options.size]
    pictures = PictureFolder(folder, shape, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

    for name, train in (("plain", False), ("tqt", True)):
        setting = QuantizationSettingFactory.esp_ppq_setting()
        setting.tqt_optimization = train
        setting.tqt_optimization_setting.steps = options.tqt_steps
        setting.tqt_optimization_setting.block_size = 4
        model = espdl_quantize_onnx(
            network,
            options.output / f"mobilenet_v2_{name}.espdl",
            pictures,
            options.steps,
            shape,
            target=options.target,
            setting=setting,
            error_report=False,
            export_test_values=True,
        )
        (decibels,) = model.snr({"image": sample} for sample in pictures).values()
        print(f"{name}: {decibels:.1f} dB against float")


if __name__ == "__main__":
    main()
