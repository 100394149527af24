"""Every family of postprocessors against scalar loops, hand-computed cells, and outputs that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.errors import EspdlError
from espdl.rounding import Rounding
from espdl.vision.detect.outputs import outputs_of
from espdl.vision.detect.placement import Placement
from espdl.vision.detect.yolo26 import into_picture
from tests.vision.detect import oracle
from tests.vision.detect.networks import POSTPROCESSORS, noisy, quiet, shapes

PLACE = Placement(np.float32(1.4285715), np.float32(1.0 / 3), 4, 7, 80, 58)
ORACLE_PLACE = (PLACE.inverse_x, PLACE.inverse_y, PLACE.left, PLACE.top, PLACE.crop_x, PLACE.crop_y)
SIZE = (60, 50)
KINDS = sorted(POSTPROCESSORS)


def found(kind, arrays, exponents, place=PLACE, size=SIZE, **options):
    return POSTPROCESSORS[kind](**options).postprocess(outputs_of(arrays, exponents), place, size)


def plain(records):
    return [
        {
            "category": r.category,
            "score": np.float32(r.score),
            "box": list(r.box),
            "keypoints": [list(point) for point in r.keypoints],
        }
        for r in records
    ]


@pytest.mark.parametrize("rounding", ["half_up", "half_even"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "yolo26"])
def test_as_in_scalar_loops(kind, seed, rounding):
    arrays, exponents = noisy(kind, seed)
    threshold, top_k = [(0.5, 5), (0.25, 100), (0.7, 30), (0.6, 1)][seed]
    expected = oracle.decode(
        kind, arrays, exponents, ORACLE_PLACE, SIZE, score_thr=threshold, nms_thr=0.5, top_k=top_k, rounding=rounding
    )
    records = found(
        kind, arrays, exponents, score_threshold=threshold, nms_threshold=0.5, top_k=top_k, rounding=Rounding(rounding)
    )
    assert [record | {"keypoints": record.get("keypoints", [])} for record in expected] == plain(records)
    assert records or kind == "mnp"


@pytest.mark.parametrize("kind", ["yolo11", "espdet", "yolo11pose"])
def test_sixteen_bits_as_in_scalar_loops(kind):
    arrays, exponents = noisy(kind, 9, np.int16)
    expected = oracle.decode(
        kind, arrays, exponents, ORACLE_PLACE, SIZE, score_thr=0.8, nms_thr=0.7, top_k=20, rounding="half_up"
    )
    assert [r["box"] for r in expected] == [list(r.box) for r in found(kind, arrays, exponents, score_threshold=0.8, top_k=20)]


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("seed", range(3))
def test_yolo26_as_in_scalar_loops(seed, dtype):
    arrays, exponents = noisy("yolo26", seed, dtype)
    expected = oracle.decode_yolo26(arrays, exponents, score_thr=0.6)
    records = found("yolo26", arrays, exponents, score_threshold=0.6, top_k=1000)
    assert [r | {"keypoints": []} for r in expected] == plain(records)
    few = found("yolo26", arrays, exponents, score_threshold=0.6, top_k=4)
    assert sorted(r.score for r in few) == sorted(float(r["score"]) for r in expected)[-4:]
    assert [r for r in records if r in few] == list(few), "in the order of the cells"


def test_masks_as_in_scalar_loops():
    arrays, exponents = noisy("yolo11seg", 3)
    place = Placement(np.float32(1.25), np.float32(1.25), 2, 0)
    records = found("yolo11seg", arrays, exponents, place, (36, 40), score_threshold=0.5, top_k=6)
    outputs = outputs_of(arrays, exponents)
    prototypes = outputs["p"].real(outputs["p"].values)
    coefficients = POSTPROCESSORS["yolo11seg"](0.5, 0.7, 6)
    picked = coefficients.picked(coefficients.candidates(outputs, place))
    assert len(records) == 6
    for record, row in zip(records, picked.coefficients, strict=True):
        expected = oracle.mask_of(prototypes, row, record.box, (place.inverse_x, place.inverse_y, 2, 0), (32, 32))
        if expected is None:
            assert record.mask is None
        else:
            np.testing.assert_array_equal(record.mask, expected)
    assert any(record.mask is not None for record in records)


def test_masks_of_sixteen_bits_are_those_of_eight():
    arrays, exponents = noisy("yolo11seg", 3)
    wide = {name: array.astype(np.int16) for name, array in arrays.items()}
    for narrow_record, wide_record in zip(
        found("yolo11seg", arrays, exponents, score_threshold=0.6),
        found("yolo11seg", wide, exponents, score_threshold=0.6),
        strict=True,
    ):
        assert narrow_record == wide_record
        np.testing.assert_array_equal(narrow_record.mask, wide_record.mask)


def test_one_cell_of_yolo11_by_hand():
    arrays, exponents = quiet("yolo11")
    arrays["score0"][0, 1, 2, 1] = 16  # 16 / 8 = 2; sigmoid(2) = 0.880797
    box = arrays["box0"][0, 1, 2].reshape(4, 16)
    box[...] = -128
    box[[0, 1, 2, 3], [1, 0, 1, 2]] = 127  # distances of 1, 0, 1 and 2 strides of 8 pixels from (20, 12)
    (record,) = found("yolo11", arrays, exponents, Placement(left=2), (100, 100), score_threshold=0.5)
    assert (record.category, round(record.score, 6), record.box) == (1, 0.880797, (10, 12, 26, 28))


def test_one_cell_of_espdet_by_hand():
    arrays, exponents = quiet("espdet")
    arrays["score2"][0, 0, 0, 0] = 0  # the raw threshold of 0.5 itself: it passes
    arrays["box2"][0, 0, 0] = [2, 4, 2, 4]  # a quarter and half a stride of 32 pixels from (16, 16)
    (record,) = found("espdet", arrays, exponents, Placement(top=6, inverse_y=np.float32(2)), (40, 100), score_threshold=0.5)
    assert (record.score, record.box) == (0.5, (8, 0, 24, 52))
    arrays, exponents = quiet("yolo11")
    arrays["score2"][0, 0, 0, 0] = 0
    assert not found("yolo11", arrays, exponents, score_threshold=0.5), "of all others it does not"


def test_one_cell_of_pico_by_hand():
    arrays, exponents = quiet("pico")
    exponents = dict.fromkeys(exponents, -7)
    arrays["score1"][0, 1, 1, 2] = 100
    box = arrays["bbox1"][0, 1, 1].reshape(4, 8)
    box[...] = 3  # equal logits: the mean of 0..7 is 3.5, 56 pixels from (24, 24)
    (record,) = found("pico", arrays, exponents, Placement(left=5, top=5), (200, 70), score_threshold=0.7)
    assert (record.category, round(record.score, 6), record.box) == (2, 0.883883, (0, 0, 80, 69)), "borders do not count"


def test_one_anchor_of_msr_by_hand():
    arrays, exponents = quiet("msr")
    arrays["score0"][0, 2, 1, 1] = 8  # the anchor of 32 at (17, 25); sigmoid(1) = 0.731059
    arrays["box0"][0, 2, 1, 4:] = [1, 0, -1, 2]  # 4, 0, -4 and 8 pixels
    (record,) = found("msr", arrays, exponents, Placement(np.float32(2), np.float32(1), left=9), (99, 99), score_threshold=0.5)
    assert (round(record.score, 6), record.box) == (0.731059, (10, 9, 58, 49)), "borders do not count"


def test_a_crop_of_mnp_by_hand():
    arrays = {name: np.zeros(shape, np.int8) for name, shape in {"score": (1, 1, 1, 2), "box": (1, 1, 1, 4)}.items()}
    arrays["landmark"] = np.arange(10, dtype=np.int8).reshape(1, 1, 1, 10)
    arrays["score"][..., 0] = 16  # "no face" is likelier: it is kept all the same
    exponents = dict.fromkeys(arrays, -3)
    place = Placement(np.float32(2), np.float32(1), crop_x=10, crop_y=20)
    (record,) = found("mnp", arrays, exponents, place, (300, 300), score_threshold=0.5)
    assert (record.category, round(record.score, 6), record.box) == (0, 0.880797, (10, 20, 106, 68))
    assert record.keypoints == ((10, 26), (34, 38), (58, 50), (82, 62), (106, 74))
    assert record.to_json()["keypoints"]["right_mouth"] == [106, 74]


def test_a_key_point_is_seen_from_a_raw_half_on():
    arrays, exponents = quiet("yolo11pose")
    arrays["score0"][0, 1, 1, 0] = 40
    points = arrays["kpt0"][0, 1, 1].reshape(17, 3)
    points[0], points[1], points[2] = (8, 4, 4), (8, 4, 3), (127, 127, 127)
    (record,) = found("yolo11pose", arrays, exponents, Placement(), (100, 100), score_threshold=0.5)
    assert record.keypoints[:3] == ((24, 16), (0, 0), (99, 99)), "clipped to the picture"


def test_yolo26_in_the_picture():
    arrays, exponents = quiet("yolo26")
    arrays["one2one_p3_cls"][0, 1, 1, 2], arrays["one2one_p4_cls"][0, 0, 1, 0] = 8, 16
    arrays["one2one_p3_box"][...] = arrays["one2one_p4_box"][...] = 4
    records = found("yolo26", arrays, exponents)
    assert [(r.category, r.box) for r in records] == [(2, (8, 8, 16, 16)), (0, (16, 0, 32, 16))]
    placed = into_picture(records, Placement(np.float32(2), np.float32(2), left=6), (48, 60))
    assert [(r.category, r.box) for r in placed] == [(0, (20, 0, 47, 32)), (2, (4, 16, 20, 32))]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_where_nothing_is(kind):
    if kind == "mnp":
        arrays, exponents = noisy(kind, 0)
        assert found(kind, arrays, exponents, score_threshold=1.0) == ()
        return
    arrays, exponents = quiet(kind)
    assert found(kind, arrays, exponents, score_threshold=0.3) == ()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("mnp", "pico")])
def test_a_threshold_that_saturates_lets_nothing_pass(kind):
    arrays, _ = quiet(kind)
    for name in arrays:
        arrays[name][...] = 127
    nothing = found(kind, arrays, dict.fromkeys(arrays, -9), score_threshold=0.7)
    assert bool(nothing) == (kind == "espdet"), "127 is not above 127, but equal to it"


@pytest.mark.parametrize("kind", KINDS)
def test_real_values_are_decoded_like_raw_ones(kind):
    arrays, exponents = noisy(kind, 1)
    reals = {name: array.astype(np.float32) * np.float32(2.0 ** exponents[name]) for name, array in arrays.items()}
    threshold = 0.25 if kind == "pico" else 0.5  # a whole step of the raw scores
    assert found(kind, reals, None, score_threshold=threshold) == found(kind, arrays, exponents, score_threshold=threshold)


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_is_missing_is_named(kind):
    arrays, exponents = quiet(kind)
    for name in arrays:
        rest = {other: array for other, array in arrays.items() if other != name}
        with pytest.raises(EspdlError, match=f"no output '{name}'"):
            found(kind, rest, exponents, score_threshold=0.5)
        with pytest.raises(EspdlError, match=f"no output '{name}'"):
            POSTPROCESSORS[kind].check(outputs_of(rest, exponents))


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_of_another_shape_is_named(kind):
    arrays, exponents = quiet(kind)
    for name, array in arrays.items():
        if name.startswith("score") and kind in ("msr",):
            wrong = array[..., :1]
        elif name == "score":
            continue  # any number of classes
        else:
            wrong = np.concatenate([array, array[..., :1]], axis=3)
        with pytest.raises(EspdlError, match=r"output '\w+' has \d+ channels") as error:
            found(kind, arrays | {name: wrong}, exponents, score_threshold=0.5)
        assert name in str(error.value) or name == "score0" or name.endswith("p3_cls")
        if name != "p" and kind != "mnp":
            with pytest.raises(EspdlError, match="for the same cells"):
                found(kind, arrays | {name: np.concatenate([array, array], axis=1)}, exponents, score_threshold=0.5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 4, 4), np.int8), r"output 'x' of shape \[1, 4, 4\]"),
        (np.zeros((2, 4, 4, 1), np.int8), r"\[2, 4, 4, 1\] cannot be decoded"),
        (np.zeros((1, 4, 4, 1), np.int32), "type int32 cannot be decoded"),
    ],
)
def test_an_output_that_cannot_be_decoded_is_named(array, message):
    with pytest.raises(EspdlError, match=message):
        outputs_of({"x": array}, {"x": 0})
    with pytest.raises(EspdlError, match="output 'x' has no exponent"):
        outputs_of({"x": array})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 1.5}, "score threshold of 1.5"),
        ({"score_threshold": float("nan")}, "score threshold of nan"),
        ({"score_threshold": 0.5, "nms_threshold": -1}, "nms threshold of -1"),
        ({"score_threshold": 0.5, "top_k": 0}, "best 0 of the boxes"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(EspdlError, match=message):
        POSTPROCESSORS["yolo11"](**options)


@pytest.mark.filterwarnings("error")
def test_outputs_of_any_shape_type_and_scale_give_records_or_an_error():
    random = np.random.Generator(np.random.PCG64(1))
    records = refused = 0
    for _ in range(300):
        kind = KINDS[random.integers(len(KINDS))]
        arrays = {}
        for name, shape in shapes(kind, classes=int(random.integers(1, 4))).items():
            odd = list(shape)
            if random.random() < 0.05:
                odd[random.integers(4)] = int(random.integers(6))
            array = random.integers(-100, 100, odd)
            if random.random() < 0.1:
                wild = random.choice([1e-3, 1.0, 1e30, np.inf, np.nan])
                arrays[name] = (array * wild if np.isfinite(wild) else np.full(odd, wild)).astype(np.float32)
            else:
                arrays[name] = array.astype(random.choice([np.int8, np.int16]))
        exponents = {name: int(random.integers(-40, 40)) for name in arrays}
        options = {"score_threshold": random.random(), "nms_threshold": random.random(), "top_k": int(random.integers(1, 9))}
        try:
            for record in found(kind, arrays, exponents, **options):
                assert kind == "yolo26" or (0 <= record.box[0] < SIZE[0] and 0 <= record.box[3] < SIZE[1])
            records += 1
        except EspdlError:
            refused += 1
    assert records > 50 and refused > 50
