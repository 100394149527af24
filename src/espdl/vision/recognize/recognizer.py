"""Who is in the picture: features, a database of them, and whatever finds the faces (runtime spec 7.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError
from espdl.vision.detect import Detection
from espdl.vision.detect.detector import Finder
from espdl.vision.image import Source
from espdl.vision.recognize.database import FeatureDatabase, Match
from espdl.vision.recognize.feature import FeatureExtractor, HumanFaceFeat

FACE_THRESHOLD = 0.5
PERSON_THRESHOLD = 0.001
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Recognition:
    """What was recognised in a picture.

    Attributes:
        box: of the face or person, None when it was given by landmarks.
        matches: who it may be, the most alike first.
    """

    box: Box | None
    matches: tuple[Match, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"box": None if self.box is None else list(self.box), "matches": [match.to_dict() for match in self.matches]}


class _Recognizer:
    """Features that are enrolled in a database and looked up there."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        database: FeatureDatabase | None,
        detector: Finder | None,
        threshold: float,
        top_k: int,
    ):
        if database is not None and database.feat_len != extractor.feat_len:
            raise EspdlError(
                f"features of the database have {database.feat_len} numbers", why=f"those of the model have {extractor.feat_len}"
            )
        self.extractor = extractor
        self.database = database
        self.detector = detector
        self.threshold = threshold
        self.top_k = top_k

    def _query(self, feature: NDArray[np.float32]) -> tuple[Match, ...]:
        return tuple(self._store().query_feat(feature, self.threshold, self.top_k))

    def _store(self) -> FeatureDatabase:
        if self.database is None:
            raise EspdlError("there is no database to enrol in or to ask")
        return self.database

    def _detect(self, image: Source) -> list[Detection]:
        if self.detector is None:
            raise EspdlError("nothing finds the faces in the picture", hint="give landmarks or a box, or a detector")
        return list(self.detector.run(image))


class HumanFaceRecognizer(_Recognizer):
    """Recognises faces, as ESP-DL's component of that name.

    Args:
        feat: the model of features.
        database: where faces are enrolled.
        detector: finds faces with five key points, from the left eye to the right mouth corner (``HumanFaceDetect``); not needed where
            landmarks are given.
        threshold: faces count as alike above this cosine. top_k: the largest number of matches.

    Raises:
        EspdlError: when model and database do not fit each other.
    """

    def __init__(
        self,
        feat: HumanFaceFeat,
        database: FeatureDatabase | None = None,
        detector: Finder | None = None,
        *,
        threshold: float = FACE_THRESHOLD,
        top_k: int = 1,
    ) -> None:
        super().__init__(feat, database, detector, threshold, top_k)
        self.feat = feat

    def feature(self, image: Source, landmarks: ArrayLike | None = None) -> NDArray[np.float32]:
        """The feature of the face with these landmarks, or of the largest one in the picture: float32 [feat_len]."""
        if landmarks is None:
            landmarks = self._largest(image).keypoints
        return self.feat.of_face(image, landmarks)

    def enroll(self, image: Source, landmarks: ArrayLike | None = None) -> int:
        """Enrols a face and returns its id. Raises :class:`EspdlError` when there is no face."""
        return self._store().enroll_feat(self.feature(image, landmarks))

    def recognize(self, image: Source, landmarks: ArrayLike | None = None, *, every: bool = False) -> list[Recognition]:
        """Who is in the picture: the face with these landmarks, or the largest that the detector finds, as on the chip; all of them with
        ``every``. Empty where there is no face.
        """
        if landmarks is not None:
            return [Recognition(None, self._query(self.feature(image, landmarks)))]
        faces = self._detect(image)
        if faces and not every:
            faces = [max(faces, key=lambda face: face.area)]
        return [Recognition(face.box, self._query(self.feat.of_face(image, face.keypoints))) for face in faces]

    def _largest(self, image: Source) -> Detection:
        faces = self._detect(image)
        if not faces:
            raise EspdlError("there is no face in the picture")
        return max(faces, key=lambda face: face.area)


class PersonReID(_Recognizer):
    """Recognises persons by their whole figure, as ESP-DL's component of that name.

    Args:
        feat: the model of features (:class:`PersonFeat`). The other arguments are those of :class:`HumanFaceRecognizer`; the detector
            finds persons.
    """

    def __init__(
        self,
        feat: FeatureExtractor,
        database: FeatureDatabase | None = None,
        detector: Finder | None = None,
        *,
        threshold: float = PERSON_THRESHOLD,
        top_k: int = 1,
    ) -> None:
        super().__init__(feat, database, detector, threshold, top_k)

    def enroll(self, image: Source, box: Box | None = None) -> list[int]:
        """Enrols the person in ``box``, or each that the detector finds; returns ids."""
        return [self._store().enroll_feat(self.extractor.run(image, one)) for one in self._boxes(image, box)]

    def recognize(self, image: Source, box: Box | None = None) -> list[Recognition]:
        """Who is in ``box``, or in each that the detector finds."""
        return [Recognition(one, self._query(self.extractor.run(image, one))) for one in self._boxes(image, box)]

    def _boxes(self, image: Source, box: Box | None) -> list[Box]:
        return [box] if box is not None else [found.box for found in self._detect(image)]
