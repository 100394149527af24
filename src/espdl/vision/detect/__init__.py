"""Finding things in pictures: postprocessors and ready pipelines, equal to the chip's (runtime spec 7.6, 7.9, 7.10)."""

from espdl.vision.detect.components import (
    MNP,
    MSR,
    YOLO26,
    CatDetect,
    COCODetect,
    COCOPose,
    COCOSeg,
    DogDetect,
    HandDetect,
    HumanFaceDetect,
    PedestrianDetect,
    open_detector,
)
from espdl.vision.detect.detector import Detector
from espdl.vision.detect.drawing import draw_detections
from espdl.vision.detect.espdet import ESPDetPostprocessor
from espdl.vision.detect.labels import COCO_IDS, COCO_KEYPOINTS, COCO_LABELS, FACE_KEYPOINTS
from espdl.vision.detect.mnp import MNPPostprocessor
from espdl.vision.detect.msr import MSRPostprocessor
from espdl.vision.detect.outputs import Output, outputs_of
from espdl.vision.detect.pico import PicoPostprocessor
from espdl.vision.detect.placement import Placement, Stage
from espdl.vision.detect.postprocessor import DetectPostprocessor
from espdl.vision.detect.records import Detection
from espdl.vision.detect.yolo11 import Yolo11Postprocessor
from espdl.vision.detect.yolo11pose import Yolo11PosePostprocessor
from espdl.vision.detect.yolo11seg import Yolo11SegPostprocessor
from espdl.vision.detect.yolo26 import Yolo26Postprocessor

__all__ = [
    "COCO_IDS",
    "COCO_KEYPOINTS",
    "COCO_LABELS",
    "FACE_KEYPOINTS",
    "MNP",
    "MSR",
    "YOLO26",
    "COCODetect",
    "COCOPose",
    "COCOSeg",
    "CatDetect",
    "DetectPostprocessor",
    "Detection",
    "Detector",
    "DogDetect",
    "ESPDetPostprocessor",
    "HandDetect",
    "HumanFaceDetect",
    "MNPPostprocessor",
    "MSRPostprocessor",
    "Output",
    "PedestrianDetect",
    "PicoPostprocessor",
    "Placement",
    "Stage",
    "Yolo11PosePostprocessor",
    "Yolo11Postprocessor",
    "Yolo11SegPostprocessor",
    "Yolo26Postprocessor",
    "draw_detections",
    "open_detector",
    "outputs_of",
]
