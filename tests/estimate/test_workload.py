"""Counts of work from shapes, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.estimate.workload import Elements, Product, workload
from tests.models import node_file, small_file

TARGET = {"target": "esp32s3"}
S8 = (np.int8, -4)


def model_of(op_type: str, shapes: list[tuple[int, ...]], result: tuple[int, ...], **attributes: object) -> Model:
    file = node_file(op_type, [(shape, *S8) for shape in shapes], [(result, *S8)], metadata=TARGET, **attributes)
    return Model(file)


def test_a_network_of_five_nodes() -> None:
    conv, add, pool, flatten, gemm = workload(Model(small_file("esp32s3", metadata=True)))
    assert conv.products == (Product(36, 9, 3, 20, False, 1, 540),)
    assert conv.macs == 36 * 9 * 3 * 20
    assert (conv.read_bytes, conv.written_bytes, conv.internal_bytes) == (108, 720, 0)
    assert (conv.input_height, conv.reach, conv.input_width) == (6, 3, 6)
    assert conv.parameter_bytes >= 80  # the bias; the filter is in the product
    assert add.elements == Elements(vector_bytes=720)
    assert add.read_bytes == 720  # one tensor, named twice
    assert pool.elements == Elements(windowed=720)
    assert flatten.view
    assert gemm.products == (Product(1, 1, 20, 5, False, 1, 100),)


def test_variables_in_internal_ram_are_no_traffic_of_psram() -> None:
    works = workload(Model(small_file("esp32s3", metadata=True), max_internal_size=1 << 20))
    assert all(work.read_bytes == work.written_bytes == 0 for work in works)
    assert works[0].internal_bytes == 108 + 720


@pytest.mark.parametrize(
    ("op_type", "shapes", "result", "attributes", "expected"),
    [
        ("Transpose", [(1, 4, 6)], (1, 6, 4), {"perm": [0, 2, 1]}, Elements(permuted=24)),
        ("Div", [(1, 24), (1, 24)], (1, 24), {}, Elements(real=24)),
        ("Mul", [(1, 24), (1, 24)], (1, 24), {}, Elements(vector_bytes=24)),
        ("Relu", [(1, 24)], (1, 24), {}, Elements(vector_bytes=24)),
        ("Tanh", [(1, 24)], (1, 24), {}, Elements(real=24)),
        ("RequantizeLinear", [(1, 24)], (1, 24), {}, Elements(vector_bytes=24)),
        ("Concat", [(1, 24), (1, 8)], (1, 32), {"axis": 1}, Elements(copied=32)),
        ("MaxPool", [(1, 4, 4, 2)], (1, 2, 2, 2), {"kernel_shape": [2, 2], "strides": [2, 2]}, Elements(windowed=32)),
        ("ReduceMean", [(1, 24)], (1, 1), {"keepdims": 1}, Elements(real=24)),
    ],
)
def test_elements_of_operators(
    op_type: str,
    shapes: list[tuple[int, ...]],
    result: tuple[int, ...],
    attributes: dict[str, object],
    expected: Elements,
) -> None:
    (work,) = workload(model_of(op_type, shapes, result, **attributes))
    assert work.elements == expected
    assert work.products == ()
    assert work.written_bytes == np.prod(result)


def test_a_table_costs_its_elements_one_by_one() -> None:
    table = np.arange(-128, 128).astype(np.int8)
    (work,) = workload(model_of("Tanh", [(1, 24)], (1, 24), lut=table))
    assert work.elements == Elements(scalar=24)


def test_a_product_of_two_variables_reads_no_file() -> None:
    (work,) = workload(model_of("MatMul", [(2, 5, 16), (2, 16, 32)], (2, 5, 32)))
    assert work.products == (Product(5, 1, 16, 32, False, 1, 512, constant=False),) * 2


def test_every_conformance_model_is_counted(conformance: Path) -> None:
    known = {"imagenet_cls_mobilenetv2_s8_v1": 300.8, "coco_detect_yolo11n_320_s8_v1": 811.9, "human_face_feat_mfn_s8_v1": 221.2}
    files = sorted((conformance / "models").rglob("*.espdl"))
    assert len(files) > 30
    for file in files:
        model = Model(file, target=file.parent.name)
        works = workload(model)
        assert [work.name for work in works] == [module.name for module in model.modules]
        if file.stem in known:
            assert sum(work.macs for work in works) / 1e6 == pytest.approx(known[file.stem], abs=0.1)
        assert all(work.view or work.products or work.elements != Elements() for work in works)


def test_what_the_chip_does_not_load_has_no_latency(conformance: Path) -> None:
    model = Model(conformance / "ops/esp32s3/Network/audio_conv1d_f32.espdl", target="esp32s3")
    with pytest.raises(EspdlError, match="refuses to load"):
        workload(model)
