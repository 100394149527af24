"""Runs a model in three ways: integers written into its input, a tensor, and tensors by name (guide 3.3).

    python examples/run_model.py --target esp32s3

The network reads digits and comes with the package.
"""

from __future__ import annotations

import numpy as np
from common import arguments

from espdl.api import espdl_quantize_onnx
from espdl.demo.pipeline import network_bytes
from espdl.dl import DL_RESCALE, DL_SCALE, Model, TensorBase, dequantize, quantize


def main() -> None:
    options = arguments(__doc__, "esp32s3").parse_args()
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    (output / "digits.onnx").write_bytes(network_bytes())
    samples = np.random.default_rng(0).uniform(0, 1, (32, 1, 1, 8, 8)).astype(np.float32)
    espdl_quantize_onnx(
        onnx_import_file=output / "digits.onnx",
        espdl_export_file=output / "digits.espdl",
        calib_dataloader=list(samples),
        calib_steps=len(samples),
        input_shape=[1, 1, 8, 8],
        target=options.target,
        error_report=False,
        export_test_values=True,
        verbose=0,
    )
    model = Model(output / "digits.espdl")
    model_input, model_output = model.get_input(), model.get_output()
    real = samples[0].reshape(model_input.get_shape())  # channels last, where there are several

    # 1. Integers are written where the input lies
    model_input.data[...] = quantize(real, DL_RESCALE(model_input.exponent), model_input.data.dtype, model.chip.rounding)
    model.run()
    answers = [dequantize(model_output.data, DL_SCALE(model_output.exponent))]

    # 2. A tensor of real numbers; the chip's rounding converts it
    tensor = TensorBase(model_input.get_shape(), real)
    model.run(tensor)
    logits = TensorBase(model_output.get_shape(), None)
    logits.assign(model_output)
    answers.append(logits.data.copy())

    # 3. Tensors by name; outputs, or anything in between, go into tensors of one's own
    (name,) = model.get_outputs()
    logits = TensorBase(model_output.get_shape(), None)
    model.run({"image": tensor}, outputs={name: logits})
    answers.append(logits.data)

    equal = all(np.array_equal(answers[0], other) for other in answers[1:])
    print(f"logits: {answers[0].ravel().tolist()}")
    print(f"three ways, the same answer: {equal}")


if __name__ == "__main__":
    main()
