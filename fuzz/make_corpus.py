"""Writes the seeds of the fuzzers: tiny files of our own writer. ``python -m fuzz.make_corpus`` from the root of the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fuzz.harness import KEY

from espdl.fbs import pack, wrap_model
from tests.models import node_file, small_file

CORPUS = Path(__file__).parent / "corpus"
S8, S16, F32 = np.int8, np.int16, np.float32


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def networks() -> dict[str, bytes]:
    """One node each, and one network."""
    kernel = np.arange(9, dtype=S8).reshape(3, 3, 1, 1)
    plain = {"quant_type": "S8"}
    gru = [np.ones((1, 6, 2), S8), np.ones((1, 6, 2), S8), np.ones((1, 12), S16)]
    return {
        "conv": node_file(
            "Conv",
            [((1, 4, 4, 1), S8, 0), kernel],
            [((1, 4, 4, 1), S8, 0)],
            pads=[1, 1, 1, 1],
            strides=[1, 1],
            group=1,
            activation="Relu",
            **plain,
        ),
        "gemm": node_file("Gemm", [((1, 2), S8, 0), np.ones((1, 1, 2, 3), S8)], [((1, 3), S8, 0)], transB=0, **plain),
        "matmul": node_file("MatMul", [((2, 2), S16, -4), ((2, 2), S16, -4)], [((2, 2), S16, -4)], quant_type="S16"),
        "add": node_file("Add", [((2, 3), S8, -1), ((3,), S8, -1)], [((2, 3), S8, -1)], **plain),
        "div": node_file("Div", [((3,), S8, -1), ((1,), S8, -1)], [((3,), S8, -1)], **plain),
        "lut": node_file("LUT", [((4,), S16, -8)], [((4,), S16, -8)], lut=np.arange(17, dtype=S16), quant_type="S16"),
        "clip": node_file("Clip", [((4,), F32, 0), None, np.float32([2])], [((4,), F32, 0)], quant_type="F32"),
        "softmax": node_file("Softmax", [((2, 3), S8, -2)], [((2, 3), F32, 0)], axis=-1, **plain),
        "norm": node_file("LayerNormalization", [((2, 3), F32, 0), np.ones(3, F32)], [((2, 3), F32, 0)], axis=-1, epsilon=1e-5),
        "reduce": node_file("ReduceMean", [((2, 3), S8, 0), ints(1)], [((2, 1), S8, 0)], keepdims=1, **plain),
        "pool": node_file("AveragePool", [((1, 4, 4, 2), S8, 0)], [((1, 2, 2, 2), S8, 0)], kernel_shape=[2, 2], strides=[2, 2]),
        "resize": node_file(
            "Resize", [((1, 2, 2, 1), S8, 0), None, np.float32([1, 1, 2, 2])], [((1, 4, 4, 1), S8, 0)], mode="linear"
        ),
        "gru": node_file(
            "GRU",
            [((3, 1, 2), S8, 0), *gru],
            [((3, 1, 1, 2), S8, -7), ((1, 1, 2), S8, -7)],
            exponents={3: -8},
            linear_before_reset=1,
            hidden_size=2,
        ),
        "slice": node_file("Slice", [((4, 3), S8, 0), ints(3), ints(-5), ints(0), ints(-1)], [((4, 3), S8, 0)]),
        "pad": node_file("Pad", [((2, 2), S8, 0), ints(1, 0, 0, 1), np.zeros(1, S8)], [((3, 3), S8, 0)], mode="constant"),
        "gather": node_file("Gather", [((4, 2), S8, 0), ints(3, 0)], [((2, 2), S8, 0)], axis=0),
        "concat": node_file("Concat", [((1, 2), S8, 0), ((1, 3), S8, 0)], [((1, 5), S8, 0)], axis=1),
        "split": node_file("Split", [((5,), S8, 0), ints(2, 3)], [((2,), S8, 0), ((3,), S8, 0)], axis=0),
        "cache": node_file("StreamingCache", [((1, 2, 2), S8, 0)], [((1, 4, 2), S8, 0)], window_size=3, frame_axis=1),
        "network": small_file("c", metadata=True),
    }


def containers() -> dict[str, bytes]:
    """Every kind of file."""
    add, clip = networks()["add"], networks()["clip"]
    old = wrap_model(add[16:], format="EDL1")
    secret = wrap_model(add[16:], KEY)
    return {
        "edl1": old,
        "edl2": add,
        "encrypted": secret,
        "pdl1": pack([("a.espdl", old)], "PDL2"),
        "pdl2": pack([("a.espdl", add), ("b.espdl", clip)], "PDL2"),
        "pdl3": pack([("a.espdl", add), ("secret.espdl", secret)], "PDL3"),
        "test_values": small_file("esp32p4", per_channel=True),
        "payload": clip[16:],
    }


def main() -> None:
    for folder, files in (("reader", containers()), ("model", networks())):
        (CORPUS / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (CORPUS / folder / f"{name}.bin").write_bytes(content)


if __name__ == "__main__":
    main()
