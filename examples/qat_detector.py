"""Trains a small detector without anchors in float, quantizes it, and trains it further as the chip computes it. Needs ``espdl[torch]``.

    python examples/qat_detector.py --target esp32s3 --epochs 4

Pictures are drawn here: discs and squares on a noisy ground. For every cell of 4 x 4 pixels the network puts out the scores of both
shapes, and how far the edges of the box are away. The ranges of its channels are made unequal, which float does not mind, and it is
quantized the plain way, so that there is something to win back.
"""

from __future__ import annotations

import numpy as np
import torch
from common import arguments
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from espdl.quantize.setting import QuantizationSettingFactory
from espdl.quantize.train import QuantModule, QuantTrainer, prepare

SIZE, STRIDE, SHAPES = 48, 4, 2
CELLS = SIZE // STRIDE
CENTRES = (torch.arange(CELLS) + 0.5) * STRIDE


class Detector(nn.Module):
    """[N, 3, 48, 48] to scores before their sigmoid [N, 2, 12, 12], and distances in cells [N, 4, 12, 12]: left, top, right, bottom."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 16, 2), (16, 24, 2), (24, 32, 1), (32, 32, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.backbone = nn.Sequential(*layers)
        self.scores, self.boxes = nn.Conv2d(32, SHAPES, 1), nn.Conv2d(32, 4, 1)
        nn.init.constant_(self.scores.bias, -3.0)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(image)
        return self.scores(features), functional.relu(self.boxes(features))


@torch.no_grad()
def make_unequal(network: Detector, octaves: float = 7.0) -> None:
    """Makes channels up to ``2**octaves`` times smaller and what reads them as much larger: in float the same network."""
    rng = np.random.default_rng(0)
    convolutions, norms = network.backbone[3::3], network.backbone[1::3]
    for norm, reader in zip(norms[:-1], convolutions, strict=True):
        factors = torch.from_numpy(2.0 ** -rng.uniform(0, octaves, norm.num_features)).float()
        norm.weight *= factors
        norm.bias *= factors
        reader.weight /= factors[None, :, None, None]


def draw(count: int, seed: int) -> tuple[Tensor, Tensor, list[NDArray[np.float64]]]:
    """Pictures, what every cell should say [N, 5, 12, 12] (shape + 1 or 0, four distances), and all objects: shape, x0, y0, x1, y1."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.25, (count, 3, SIZE, SIZE)).astype(np.float32)
    targets, objects = torch.zeros(count, 5, CELLS, CELLS), []
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    across, down = CENTRES.expand(CELLS, CELLS), CENTRES[:, None].expand(CELLS, CELLS)
    for image, target in zip(images, targets, strict=True):
        found = []
        for _ in range(rng.integers(1, 4)):
            radius, shape = rng.uniform(4, 9), int(rng.integers(SHAPES))
            x, y = rng.uniform(radius, SIZE - radius, 2)
            far = np.hypot(columns - x, rows - y) if shape == 0 else np.maximum(abs(columns - x), abs(rows - y))
            image[:, far <= radius] = rng.uniform(0.6, 1.4, 3)[:, None] + image[:, far <= radius] / 2
            box = (x - radius, y - radius, x + radius, y + radius)
            found.append((shape, *box))
            middle = ((across - x).abs() < STRIDE) & ((down - y).abs() < STRIDE)
            distances = torch.stack([across - box[0], down - box[1], box[2] - across, box[3] - down]) / STRIDE
            target[0, middle] = shape + 1
            target[1:, middle] = distances[:, middle].float()
        objects.append(np.array(found))
    return torch.from_numpy(images), targets, objects


def detection_loss(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """Focal loss of the scores (Lin and others, 2017), and 1 - overlap of the boxes of cells with an object."""
    scores, boxes = outputs
    wanted = functional.one_hot(targets[:, 0].long(), SHAPES + 1)[..., 1:].permute(0, 3, 1, 2).float()
    plain = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    has_object = targets[:, 0] > 0
    count = has_object.sum().clamp(min=1)
    got, given = boxes.permute(0, 2, 3, 1)[has_object], targets[:, 1:].permute(0, 2, 3, 1)[has_object]
    common = torch.minimum(got, given)
    inner = (common[:, 0] + common[:, 2]) * (common[:, 1] + common[:, 3])
    areas = [(b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (got, given)]
    overlap = inner / (areas[0] + areas[1] - inner + 1e-6)
    return ((1 - torch.exp(-plain)).square() * plain).sum() / count + (1 - overlap).mean()


def detections(scores: Tensor, boxes: Tensor) -> NDArray[np.float64]:
    """Of one picture [n, 6]: shape, score, x0, y0, x1, y1; of cells that score higher than their neighbours."""
    found = []
    peaks = functional.max_pool2d(scores[None], 3, 1, 1)[0] == scores
    for shape, row, column in peaks.nonzero().tolist():
        left, top, right, bottom = (boxes[:, row, column] * STRIDE).tolist()
        x, y = float(CENTRES[column]), float(CENTRES[row])
        found.append((shape, float(scores[shape, row, column]), x - left, y - top, x + right, y + bottom))
    return np.array(found, np.float64).reshape(-1, 6)


def overlaps(box: NDArray, others: NDArray) -> NDArray:
    """Intersection over union of one box with several."""
    inner = np.prod(np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
    return inner / np.maximum(area + areas - inner, 1e-9)


@torch.no_grad()
def mean_average_precision(network: nn.Module, images: Tensor, objects: list[NDArray[np.float64]]) -> float:
    """At half overlap; the area under precision over recall, mean of both shapes."""
    scores, boxes = network(images)
    found = [detections(*pair) for pair in zip(scores, boxes, strict=True)]
    precisions = []
    for shape in range(SHAPES):
        wanted = [boxes[boxes[:, 0] == shape][:, 1:] for boxes in objects]
        taken = [np.zeros(len(boxes), bool) for boxes in wanted]
        ranked = sorted(
            ((row[1], at, row[2:]) for at, rows in enumerate(found) for row in rows if row[0] == shape), key=lambda r: -r[0]
        )
        hits = []
        for _, at, box in ranked:
            shares = np.where(taken[at], 0, overlaps(box, wanted[at]))
            hits.append(len(shares) > 0 and shares.max() >= 0.5)
            if hits[-1]:
                taken[at][shares.argmax()] = True
        right = np.cumsum(hits)
        precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
        precisions.append(float((precision * hits).sum() / sum(len(boxes) for boxes in wanted)))
    return float(np.mean(precisions))


def trained(images: Tensor, targets: Tensor, epochs: int) -> Detector:
    """In float."""
    network = Detector()
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    loader = DataLoader(TensorDataset(images, targets), batch_size=32, shuffle=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * len(loader))
    for _ in range(epochs):
        for batch, wanted in loader:
            loss = detection_loss(network(batch), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def main() -> None:
    parser = arguments(__doc__, "esp32s3")
    parser.add_argument("--pictures", type=int, default=800, help="to train on")
    parser.add_argument("--float-epochs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=4, help="of training as the chip computes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, targets, _ = draw(options.pictures, 1)
    held, _, held_objects = draw(100, 2)
    test, _, test_objects = draw(200, 3)
    network = trained(images, targets, options.float_epochs)
    make_unequal(network)

    model = prepare(
        network,
        list(images[:32, None].numpy()),
        [1, 3, SIZE, SIZE],
        target=options.target,
        setting=QuantizationSettingFactory.esp_ppq_setting(),
    )

    def precision(model: QuantModule) -> float:
        return mean_average_precision(model, held, held_objects)

    before = mean_average_precision(model, test, test_objects)
    # One learning rate for all would be too much for small channels; Adam's steps are as large as the rate.
    groups = [{"params": [p], "lr": 4e-3 * float(p.detach().abs().mean())} for p in model.parameters()]
    trainer = QuantTrainer(model, torch.optim.Adam(groups), detection_loss, precision, folder=options.output / "checkpoints")
    record = trainer.fit(DataLoader(TensorDataset(images, targets), batch_size=16, shuffle=True), options.epochs)
    print("held-out mAP before and after every epoch: " + ", ".join(f"{metric:.3f}" for metric in record.metrics))
    after = mean_average_precision(model, test, test_objects)
    files = model.export(options.output / "detector_qat.espdl", test_values=True)
    floating = mean_average_precision(network, test, test_objects)
    print(f"test mAP: float {floating:.3f}, quantized {before:.3f}, trained {after:.3f}, in {files[0].name}")


if __name__ == "__main__":
    main()
