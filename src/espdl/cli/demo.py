"""``espdl demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Path as PathValidator

from espdl.cli.options import Backend, Json, Target

Directory = Annotated[
    Path, Parameter(name=["--output", "-o"], help="Directory to write to.", validator=PathValidator(file_okay=False))
]


def command(
    *,
    target: Target = "esp32s3",
    output: Directory = Path("demo-output"),
    backend: Backend = None,
    json: Json = False,
) -> int:
    """Quantize a trained network and run it on real handwritten digits.

    The network (inverted residuals, Swish, a residual Add, pooling, Gemm) is
    shipped with espdl; the images come from scikit-learn. The file is made
    with 64 of them, run over 450 others, and compared with the float network.
    Writes digits.espdl, .info, .json and .png, the network and calibration
    data to try the other verbs on, and takes less than a minute.

    Example: espdl demo --target esp32p4 -o demo-output
    """
    from espdl.cli.output import print_facts, print_json
    from espdl.demo.drawing import save_picture, text_drawing
    from espdl.demo.pipeline import run_demo
    from espdl.progress import stage
    from espdl.wording import kilobytes

    with stage(f"digits on {target}") as shown:
        result, answers, model = run_demo(target, output, backend, shown)
        picture = output / "digits.png"
        save_picture(picture, result, answers)
    passed = result.embedded_test_passed
    if json:
        print_json(result.to_dict() | {"picture": str(picture), "mistakes": answers.mistakes()})
        return 0 if passed else 1
    print(text_drawing(answers))
    print_facts(
        [
            ("chip", f"{result.target}, {result.arithmetic} arithmetic, {result.backend} kernels"),
            ("held-out images", str(result.test_images)),
            ("float accuracy", f"{result.float_accuracy:.2%} (ONNX Runtime)"),
            ("int8 accuracy", f"{result.int8_accuracy:.2%}"),
            ("same answer", f"{result.agreement:.2%}, logits at {result.snr_db:.1f} dB"),
            ("embedded test", ("passed: " if passed else "FAILED: ") + result.embedded_test),
            ("file", f"{result.file}, {kilobytes(result.espdl_bytes)} (ONNX: {kilobytes(result.onnx_bytes)})"),
            ("picture", str(picture)),
            (
                "time on this PC",
                f"{result.quantize_seconds:.1f} s to quantize with {result.calibration_images} images, "
                f"{result.milliseconds_per_image:.1f} ms an image to run",
            ),
        ]
    )
    for warning in result.warnings:
        print(f"warning: {warning}")
    model.profile_memory()
    return 0 if passed else 1
