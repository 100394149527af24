"""Trains the network of ``espdl demo`` and writes it as ONNX: the way ``src/espdl/demo/digits.onnx`` was made.

Needs what espdl itself does not: ``pip install torch==2.13.0 onnx scikit-learn``. Takes a minute or two on one core.

    PYTHONPATH=src python examples/train_digits.py src/espdl/demo/digits.onnx

The test images are looked at once, after training; nothing is chosen by them. On another processor the weights, and so the accuracy,
may come out slightly different.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from espdl.demo.digits import Digits, load_digits

EPOCHS = 120
BATCH = 64


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1 (MobileNetV2), with SiLU; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expanded: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, expanded, 1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.SiLU(),
            nn.Conv2d(expanded, expanded, 3, stride, 1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.SiLU(),
            nn.Conv2d(expanded, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


class DigitsNet(nn.Module):
    """[1, 1, 8, 8] pixels in [0, 1] to [1, 10] logits; about 16,000 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.blocks = nn.Sequential(
            InvertedResidual(16, 16, 48, 1),
            InvertedResidual(16, 32, 64, 2),
            InvertedResidual(32, 32, 96, 1),
        )
        self.head = nn.Sequential(nn.Conv2d(32, 64, 1, bias=False), nn.BatchNorm2d(64), nn.SiLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.head(self.blocks(self.stem(x)))), 1))


def jitter(images: Tensor) -> Tensor:
    """Small random rotations, scalings, shears and shifts: what a hand does."""
    count = len(images)
    angle = (torch.rand(count) - 0.5) * math.radians(24)
    scale = 1 + (torch.rand(count, 2) - 0.5) * 0.24
    shear = (torch.rand(count) - 0.5) * 0.3
    shift = (torch.rand(count, 2) - 0.5) * (2.0 / 8)
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [
            torch.stack([cos * scale[:, 0], -sin * scale[:, 1] + shear, shift[:, 0]], dim=1),
            torch.stack([sin * scale[:, 0], cos * scale[:, 1], shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", align_corners=False)


def train(data: Digits) -> nn.Module:
    """AdamW, one cosine, averaged weights; returns the averaged network in eval mode."""
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    network = DigitsNet()
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.02)
    steps = math.ceil(len(data) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=EPOCHS * steps)
    for epoch in range(EPOCHS):
        network.train()
        for chosen in torch.randperm(len(data)).split(BATCH):
            loss = functional.cross_entropy(network(jitter(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            averaged.update_parameters(network)
        if epoch % 20 == 19:
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
    return averaged.module.eval()


def accuracy(network: nn.Module, data: Digits) -> float:
    with torch.no_grad():
        answers = network(torch.from_numpy(data.images)).argmax(dim=1).numpy()
    return float(np.mean(answers == data.labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=Path("digits.onnx"))
    output = parser.parse_args().output
    torch.manual_seed(2026)
    torch.set_num_threads(1)
    training, test = load_digits()
    network = train(training)
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 8, 8),),
        str(output),
        input_names=["image"],
        output_names=["logits"],
        opset_version=18,
        dynamo=False,
    )
    exported = onnx.load(output)
    exported.graph.name = "digits"
    onnx.save(exported, output)
    print(f"accuracy: training {accuracy(network, training):.4f}, test {accuracy(network, test):.4f} of {len(test)} images")
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
