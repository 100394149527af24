"""Accuracy on labelled data: the integer file as the chip runs it, and the float network it was made from, side by side."""

from espdl.quantize.labelled import LabelledArrays, LabelledFolder, open_labelled
from espdl.vision.evaluate.classification import Accuracy, evaluate_classifier
from espdl.vision.evaluate.coco import CocoData, coco_metrics
from espdl.vision.evaluate.detection import DetectionAccuracy, evaluate_detector
from espdl.vision.evaluate.float_network import FloatNetwork

__all__ = [
    "Accuracy",
    "CocoData",
    "DetectionAccuracy",
    "FloatNetwork",
    "LabelledArrays",
    "LabelledFolder",
    "coco_metrics",
    "evaluate_classifier",
    "evaluate_detector",
    "open_labelled",
]
