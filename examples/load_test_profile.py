"""Loads a model from the program, a flash partition and a directory, tests it, and shows its memory and time (guide 3.2).

    python examples/load_test_profile.py --target esp32s3

The network reads digits and comes with the package. ``--max-internal-size`` is how much internal RAM its tensors may take.
"""

from __future__ import annotations

import numpy as np
from common import arguments

from espdl.api import espdl_quantize_onnx
from espdl.demo.pipeline import network_bytes
from espdl.deploy.flash import write_model_partition
from espdl.deploy.packages import pack_files
from espdl.dl import Model
from espdl.estimate.latency import estimate_latency
from espdl.estimate.memory import estimate_memory
from espdl.fbs import MODEL_LOCATION_IN_FLASH_PARTITION, MODEL_LOCATION_IN_FLASH_RODATA, MODEL_LOCATION_IN_SDCARD

PARTITIONS = "factory, app, factory, 0x10000, 1M\nmodel, data, spiffs, , 128K\n"


def main() -> None:
    parser = arguments(__doc__, "esp32s3")
    parser.add_argument(
        "--max-internal-size", type=int, default=0, help="bytes of internal RAM for tensors; the rest is in PSRAM"
    )
    options = parser.parse_args()
    output, size = options.output, options.max_internal_size
    output.mkdir(parents=True, exist_ok=True)
    (output / "digits.onnx").write_bytes(network_bytes())
    samples = np.random.default_rng(0).uniform(0, 1, (32, 1, 1, 8, 8)).astype(np.float32)
    path = output / "digits.espdl"
    espdl_quantize_onnx(
        onnx_import_file=output / "digits.onnx",
        espdl_export_file=path,
        calib_dataloader=list(samples),
        calib_steps=len(samples),
        input_shape=[1, 1, 8, 8],
        target=options.target,
        error_report=False,
        export_test_values=True,
        verbose=0,
    )

    # As the chip would find it in its program, in a partition of its flash, and on an SD card
    table = output / "partitions.csv"
    table.write_text(PARTITIONS)
    flash = output / "flash.bin"
    flash.unlink(missing_ok=True)
    write_model_partition([path], table, out=output / "model.bin", flash=flash, force=True)
    models = {
        "rodata": Model(path.read_bytes(), MODEL_LOCATION_IN_FLASH_RODATA, size),
        "partition": Model("model", MODEL_LOCATION_IN_FLASH_PARTITION, size, flash=flash),
        "SD card": Model(path, MODEL_LOCATION_IN_SDCARD, size),
    }

    # Several models in one file: by name, or by number
    package = output / "models.package"
    pack_files([path], package, force=True)
    models["package, by name"] = Model(package, "digits.espdl", max_internal_size=size)
    models["package, by number"] = Model(package, 0, max_internal_size=size)
    for name, model in models.items():
        print(f"{name}: {model.test()}")

    model = models["rodata"]
    model.profile_memory()
    model.profile_module(sort_module_by_latency=True)  # microseconds on this PC
    print(f"on the chip: {estimate_latency(model, estimate_memory(model)).model.text()}")


if __name__ == "__main__":
    main()
