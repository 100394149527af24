"""Quantizes a network of YOLO11n-pose's shape and finds people and their key points with it (guide 3.8).

    python examples/yolo11n_pose.py --target esp32p4 --photos PICTURES

Its weights are random, so what it finds means nothing. For a network of your own take its file instead, cut behind the last convolutions
of its branches and with outputs named box0, score0, kpt0, box1 ... from the finest level to the coarsest.
"""

from __future__ import annotations

import onnx
from common import arguments, name_outputs, networks, photos

from espdl import PictureFolder, QuantizationSettingFactory
from espdl.api import espdl_quantize_onnx
from espdl.vision.detect import COCO_KEYPOINTS, COCOPose, draw_detections


def main() -> None:
    parser = arguments(__doc__, "esp32p4", size=640)
    parser.add_argument("--score", type=float, default=0.25, help="least score of a person")
    options = parser.parse_args()
    size, output = options.size, options.output
    folder = photos(options.photos, output / "pictures", options.steps, size)
    path = output / "yolo11n_pose.onnx"
    onnx.save(name_outputs(networks.yolo11n_pose(size), "box", "score", "kpt"), path)

    model = espdl_quantize_onnx(
        onnx_import_file=path,
        espdl_export_file=output / "yolo11n_pose.espdl",
        calib_dataloader=PictureFolder(folder, [1, 3, size, size]),
        calib_steps=options.steps,
        input_shape=[1, 3, size, size],
        target=options.target,
        num_of_bits=8,
        setting=QuantizationSettingFactory.espdl_setting(),
        device="cpu",
        error_report=True,
        export_test_values=True,
    )

    pose = COCOPose(model.model(), score_threshold=options.score)
    picture = min(folder.iterdir())
    people = pose.run(picture)
    for person in people:
        seen = [name for name, (x, y) in zip(COCO_KEYPOINTS, person.keypoints, strict=True) if (x, y) != (0, 0)]
        print(f"{person.label} {person.score:.2f} {person.box}: {', '.join(seen) or 'no key points'}")
    print(f"{len(people)} found, drawn in {output / 'pose.png'}")
    draw_detections(picture, people).save(output / "pose.png")


if __name__ == "__main__":
    main()
