"""Trains a network to give sin(x) on [0, 2 pi] and quantizes it from PyTorch and from ONNX (guide 3.1). Needs ``espdl[torch]``.

python examples/sin_torch.py --target esp32s3
"""

from __future__ import annotations

import math

import torch
from common import arguments
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from espdl.api import espdl_quantize_onnx, espdl_quantize_torch
from espdl.executor import TorchExecutor


class Sin(nn.Module):
    """[N, 1] -> [N, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def train(x: torch.Tensor, epochs: int) -> Sin:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # more threads only wait for each other in so small a network
    model = Sin()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), torch.sin(x)).backward()
        optimizer.step()
    return model


def main() -> None:
    parser = arguments(__doc__, "esp32p4")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    x = torch.linspace(0, 2 * math.pi, 1000)[:, None]
    model = train(x, options.epochs)

    loader = DataLoader(TensorDataset(x[::5]), batch_size=1)
    common = {
        "calib_dataloader": loader,
        "calib_steps": len(loader),
        "input_shape": [1, 1],
        "target": options.target,
        "num_of_bits": 8,
        "collate_fn": lambda batch: batch[0].to(options.device),
        "device": options.device,
        "error_report": True,
        "export_test_values": True,
    }
    graph = espdl_quantize_torch(model=model, espdl_export_file=options.output / "sin_torch.espdl", **common)
    executor = TorchExecutor(graph=graph, device=options.device)
    (answers,) = executor(x[::50])
    print(f"largest error of sin on {options.target}: {(answers - torch.sin(x[::50])).abs().max():.3f}")

    exported = options.output / "sin_torch.onnx"
    again = espdl_quantize_onnx(onnx_import_file=exported, espdl_export_file=options.output / "sin_onnx.espdl", **common)
    print(f"from ONNX: {'the same file' if again.data == graph.data else 'another file'}")


if __name__ == "__main__":
    main()
