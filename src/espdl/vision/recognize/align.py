"""Bringing faces upright: the similarity transform that lays five landmarks on a template (runtime spec 7.8)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError

LANDMARKS = ("left_eye", "left_mouth", "nose", "right_eye", "right_mouth")
"""The order of landmarks; left is left in the picture."""
TEMPLATE_SIZE = 112
FACE_TEMPLATE = np.array(
    [(38.2946, 51.6963), (41.5493, 92.3655), (56.0252, 71.7366), (73.5318, 51.5014), (70.7299, 92.2041)], np.float32
)
"""Where the landmarks lie in a face of 112 x 112 pixels."""


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float32]:
    """The rotation, scale and shift that lead ``source`` nearest to ``target`` in the sense of least squares (Umeyama 1991).

    Args:
        source, target: points [n, 2], n at least 2.

    Returns:
        Float32 [2, 3]: ``target = M[:, :2] @ source + M[:, 2]``.

    Raises:
        EspdlError: when the points do not fit each other, are not finite or are all one.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise EspdlError(
            "a transform needs two equal lists of points", why=f"they have shapes {list(a.shape)} and {list(b.shape)}, not [n, 2]"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise EspdlError("a transform needs points that are finite")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    off_a, off_b = a - mean_a, b - mean_b
    variance = (off_a**2).sum() / len(a)
    if variance == 0 or not (off_b**2).sum():
        raise EspdlError("all landmarks are one point, no transform leads there", hint="look at what the detector found")
    u, values, vt = np.linalg.svd(off_b.T @ off_a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])  # a rotation, never a mirror
    rotation = (u * sign) @ vt
    linear = rotation * ((values * sign).sum() / variance)
    return np.column_stack((linear, mean_b - linear @ mean_a)).astype(np.float32)


def alignment_matrix(landmarks: ArrayLike, width: int = TEMPLATE_SIZE, height: int = TEMPLATE_SIZE) -> NDArray[np.float32]:
    """The warp from a face of ``width`` x ``height`` pixels to the picture with these landmarks, float32 [2, 3].

    Args:
        landmarks: five points (x, y) in the order of ``LANDMARKS``, [5, 2] or flat.

    Raises:
        EspdlError: for other landmarks.
    """
    points = np.asarray(landmarks, np.float32)
    if points.size != 2 * len(FACE_TEMPLATE):
        raise EspdlError(
            f"a face has five landmarks, given are {points.size / 2:g}",
            why="they are " + ", ".join(LANDMARKS) + ", x and y of each",
        )
    scale = np.array([width, height], np.float32) / np.float32(TEMPLATE_SIZE)
    return similarity_transform(FACE_TEMPLATE * scale, points.reshape(-1, 2))
