"""Trains a quantized classifier of digits further, on labels, and writes the best one. Needs ``espdl[torch]`` and scikit-learn.

python examples/qat_classifier.py --target esp32s3 --epochs 3
"""

from __future__ import annotations

from pathlib import Path

import torch
from common import arguments
from torch.utils.data import DataLoader, TensorDataset

import espdl.demo
from espdl.demo.digits import load_digits
from espdl.quantize.setting import QuantizationSettingFactory
from espdl.quantize.train import QuantModule, QuantTrainer, prepare


def main() -> None:
    parser = arguments(__doc__, "esp32s3")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    training, test = load_digits()
    x, y = torch.from_numpy(training.images), torch.from_numpy(training.labels)
    held = torch.arange(len(x)) % 5 == 0
    learned = TensorDataset(x[~held], y[~held])

    network = Path(espdl.demo.__file__).with_name("digits.onnx")
    model = prepare(
        network, list(x[:32, None].numpy()), target=options.target, setting=QuantizationSettingFactory.esp_ppq_setting()
    )

    def sureness(model: QuantModule) -> float:
        return -float(torch.nn.functional.cross_entropy(model(x[held]), y[held]))

    trainer = QuantTrainer(
        model,
        torch.optim.Adam(model.parameters(), 2e-4),
        torch.nn.functional.cross_entropy,
        sureness,
        folder=options.output / "checkpoints",
    )
    record = trainer.fit(DataLoader(learned, batch_size=64, shuffle=True), options.epochs)
    print("held-out loss before and after every epoch: " + ", ".join(f"{-metric:.5f}" for metric in record.metrics))
    with torch.no_grad():
        right = (model(torch.from_numpy(test.images)).argmax(1).numpy() == test.labels).mean()
    files = model.export(options.output / "digits_qat.espdl", test_values=True)
    print(f"test accuracy of epoch {record.best_epoch}: {right:.4f}, in {files[0].name}")


if __name__ == "__main__":
    main()
