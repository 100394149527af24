"""The postprocessors once more, in scalar loops straight from the specification's tables; slow and independent of the package's."""

from __future__ import annotations

import math

import numpy as np

f32 = np.float32


def rounded(value, rounding):
    """To an integer: half up, or half to even."""
    return math.floor(f32(value) + f32(0.5)) if rounding == "half_up" else round(float(value))


def raw_threshold(value, exponent, bits, rounding):
    if math.isinf(value):
        return (1 << (bits - 1)) - 1 if value > 0 else -(1 << (bits - 1))
    scaled = f32(value) * f32(2.0**-exponent)
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, rounded(scaled, rounding)))


def logit(threshold):
    odds = f32(1.0 / float(f32(threshold)) - 1) if threshold else math.inf
    return f32(-math.log(odds)) if odds else math.inf


def expf(x):
    return f32(math.exp(float(x)))


def sigmoid(x):
    return f32(1) / (f32(1) + expf(-x))


def dfl(values):
    top = max(values)
    powers = [expf(value - top) for value in values]
    total = powers[0]
    for power in powers[1:]:
        total = total + power
    mean = f32(0)
    for index, power in enumerate(powers):
        mean = mean + f32(index) * (power / total)
    return mean


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return f32(0)
    common = width * height
    area = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return f32(common) / f32(area[0] + area[1] - common)


def insert(found, new):
    """Behind all whose score is not lower."""
    at = len(found)
    while at and found[at - 1]["score"] < new["score"]:
        at -= 1
    found.insert(at, new)


def suppressed(found, threshold, top_k):
    kept, left = [], list(found)
    while left:
        best, left = left[0], left[1:]
        kept.append(best)
        if len(kept) >= top_k:
            break
        left = [other for other in left if not overlap(best["box"], other["box"]) > f32(threshold)]
    return kept


def clipped(found, size):
    def into(value, extent):
        return max(0, min(extent - 1, value))

    for one in found:
        one["box"] = [into(value, size[index % 2]) for index, value in enumerate(one["box"])]
        one["keypoints"] = [[into(x, size[0]), into(y, size[1])] for x, y in one.get("keypoints", [])]
    return found


def cells(score):
    _, height, width, channels = score.shape
    return [(y, x, c) for y in range(height) for x in range(width) for c in range(channels)]


def decode(kind, arrays, exponents, place, size, *, score_thr, nms_thr, top_k, rounding):
    """Records as dictionaries: category, score, box, keypoints.

    ``place`` holds inverse_x, inverse_y, left, top, crop_x, crop_y.
    """
    ix, iy, left, top, crop_x, crop_y = place
    found = []
    if kind == "msr":
        for i, stride in enumerate((8, 16)):
            score, box = arrays[f"score{i}"], arrays[f"box{i}"]
            anchors = ((16, 32), (64, 128))[i]
            classes = score.shape[3] // 2
            limit = raw_threshold(logit(score_thr), exponents[f"score{i}"], 8, rounding)
            for y, x, channel in cells(score):
                q = int(score[0, y, x, channel])
                if q <= limit:
                    continue
                d = [f32(v) * f32(2.0 ** exponents[f"box{i}"]) for v in box[0, y, x, 4 * channel : 4 * channel + 4]]
                anchor, half = anchors[channel // classes], anchors[channel // classes] >> 1
                cx, cy = x * stride + 9, y * stride + 9
                edges = [
                    (f32(cx - half) + f32(anchor) * d[0]) * ix,
                    (f32(cy - half) + f32(anchor) * d[1]) * iy,
                    (f32(cx + anchor - half) + f32(anchor) * d[2]) * ix,
                    (f32(cy + anchor - half) + f32(anchor) * d[3]) * iy,
                ]
                real = sigmoid(f32(q) * f32(2.0 ** exponents[f"score{i}"]))
                insert(found, {"category": channel % classes, "score": real, "box": [int(e) for e in edges]})
        return clipped(suppressed(found, nms_thr, top_k), size)
    if kind == "mnp":
        logits = [f32(v) * f32(2.0 ** exponents["score"]) for v in arrays["score"][0, 0, 0]]
        powers = [expf(value - max(logits)) for value in logits]
        total = f32(0)
        for power in powers:
            total = total + power
        if f32(1) / total > f32(score_thr):
            d = [f32(v) * f32(2.0 ** exponents["box"]) for v in arrays["box"][0, 0, 0]]
            marks = [f32(v) * f32(2.0 ** exponents["landmark"]) for v in arrays["landmark"][0, 0, 0]]
            w, cx, cy = f32(48), f32(crop_x), f32(crop_y)
            box = [w * d[0] * ix + cx, w * d[1] * iy + cy, (w * d[2] + w) * ix + cx, (w * d[3] + w) * iy + cy]
            points = [[int(w * marks[2 * i] * ix + cx), int(w * marks[2 * i + 1] * iy + cy)] for i in range(5)]
            found.append({"category": 0, "score": f32(1) / total, "box": [int(e) for e in box], "keypoints": points})
        return clipped(suppressed(found, nms_thr, top_k), size)
    bins = {"espdet": 1, "pico": 8}.get(kind, 16)
    for i, stride in enumerate((8, 16, 32)):
        score, box = arrays[f"score{i}"], arrays[("bbox" if kind == "pico" else "box") + str(i)]
        scale = f32(2.0 ** exponents[f"score{i}"])
        bits = score.dtype.itemsize * 8
        limit = raw_threshold(
            f32(score_thr) * f32(score_thr) if kind == "pico" else logit(score_thr), exponents[f"score{i}"], bits, rounding
        )
        for y, x, c in cells(score):
            q = int(score[0, y, x, c])
            if not (q >= limit if kind == "espdet" else q > limit):
                continue
            name = ("bbox" if kind == "pico" else "box") + str(i)
            values = [f32(v) * f32(2.0 ** exponents[name]) for v in box[0, y, x]]
            d = [dfl(values[bins * k : bins * (k + 1)]) if bins > 1 else values[k] for k in range(4)]
            cx, cy, s = f32(x * stride + stride // 2), f32(y * stride + stride // 2), f32(stride)
            bl, bt = (f32(0), f32(0)) if kind == "pico" else (f32(left), f32(top))
            edges = [
                ((cx - d[0] * s) - bl) * ix,
                ((cy - d[1] * s) - bt) * iy,
                ((cx + d[2] * s) - bl) * ix,
                ((cy + d[3] * s) - bt) * iy,
            ]
            one = {
                "category": c,
                "score": np.sqrt(f32(q) * scale) if kind == "pico" else sigmoid(f32(q) * scale),
                "box": [int(e) for e in edges],
            }
            if kind == "yolo11pose":
                marks = [float(v) * 2.0 ** exponents[f"kpt{i}"] for v in arrays[f"kpt{i}"][0, y, x]]
                one["keypoints"] = [
                    [
                        int(((marks[3 * k] * 2.0 * stride + x * stride) - left) * float(ix)),
                        int(((marks[3 * k + 1] * 2.0 * stride + y * stride) - top) * float(iy)),
                    ]
                    if marks[3 * k + 2] >= 0.5
                    else [0, 0]
                    for k in range(17)
                ]
            insert(found, one)
    return clipped(suppressed(found, nms_thr, top_k), size)


def decode_yolo26(arrays, exponents, *, score_thr):
    """All that pass, in the order of cells."""
    found = []
    for level, stride in ((3, 8), (4, 16), (5, 32)):
        score, box = arrays[f"one2one_p{level}_cls"], arrays[f"one2one_p{level}_box"]
        scale = f32(2.0 ** exponents[f"one2one_p{level}_cls"])
        limit = math.floor(logit(score_thr) / scale)
        for y in range(score.shape[1]):
            for x in range(score.shape[2]):
                best, category = f32(-1), -1
                for c in range(score.shape[3]):
                    q = int(score[0, y, x, c])
                    if q > limit and sigmoid(f32(q) * scale) > best:
                        best, category = sigmoid(f32(q) * scale), c
                if best < f32(score_thr):
                    continue
                d = [f32(v) * f32(2.0 ** exponents[f"one2one_p{level}_box"]) for v in box[0, y, x]]
                h, s = f32(0.5), f32(stride)
                edges = [(f32(x) + h - d[0]) * s, (f32(y) + h - d[1]) * s, (f32(x) + h + d[2]) * s, (f32(y) + h + d[3]) * s]
                found.append({"category": category, "score": best, "box": [int(e) for e in edges]})
    return found


def mask_of(prototypes, coefficients, box, place, input_size):
    """Mask of one box from real prototypes [H, W, M] and coefficients [M]; None when it is empty."""
    ix, iy, left, top, *_ = place
    height, width, _ = prototypes.shape
    corners = []
    for value, inverse, border, extent, whole in (
        (box[0], ix, left, width, input_size[0]),
        (box[1], iy, top, height, input_size[1]),
        (box[2], ix, left, width, input_size[0]),
        (box[3], iy, top, height, input_size[1]),
    ):
        in_model = int(f32(value) * (f32(1) / inverse) + f32(border))
        corners.append(max(0, min(extent - 1, int(f32(in_model) * (f32(extent) / f32(whole))))))
    x1, y1, x2, y2 = corners
    if x2 <= x1 or y2 <= y1:
        return None
    rows = []
    for oy in range(box[3] - box[1]):
        y = y1 + oy * (y2 - y1) // (box[3] - box[1])
        rows.append([])
        for ox in range(box[2] - box[0]):
            x = x1 + ox * (x2 - x1) // (box[2] - box[0])
            rows[-1].append(int(sum(float(a) * float(b) for a, b in zip(coefficients, prototypes[y, x], strict=True)) > 0))
    return np.array(rows, np.uint8)
