"""Recognising faces and persons: features of pictures, and databases of them in the chip's file formats (runtime spec 7.8, 7.13)."""

from __future__ import annotations

from espdl.vision.recognize.align import FACE_TEMPLATE, alignment_matrix, similarity_transform
from espdl.vision.recognize.database import FeatureDatabase, Match
from espdl.vision.recognize.feature import FeatureExtractor, HumanFaceFeat, PersonFeat, normalized
from espdl.vision.recognize.identities import Identity, IdentityDatabase
from espdl.vision.recognize.recognizer import HumanFaceRecognizer, PersonReID, Recognition

__all__ = [
    "FACE_TEMPLATE",
    "FeatureDatabase",
    "FeatureExtractor",
    "HumanFaceFeat",
    "HumanFaceRecognizer",
    "Identity",
    "IdentityDatabase",
    "Match",
    "PersonFeat",
    "PersonReID",
    "Recognition",
    "alignment_matrix",
    "normalized",
    "similarity_transform",
]
