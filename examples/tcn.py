"""Quantizes a temporal convolutional network from PyTorch, for whole recordings and for chunks (guide 3.9). Needs ``espdl[torch]``.

python examples/tcn.py --target esp32p4
"""

from __future__ import annotations

import numpy as np
import torch
from common import arguments
from torch import nn
from torch.utils.data import DataLoader

from espdl.api import espdl_quantize_torch
from espdl.dl import Model, StreamingSession
from espdl.executor import TorchExecutor

FEATURES, FRAMES, CHUNK = 16, 15, 3


class Block(nn.Module):
    """Two dilated convolutions over time that see the past only, and the input added to them. [N, C, T] -> [N, D, T]."""

    def __init__(self, channels: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.past = nn.ConstantPad1d((2 * dilation, 0), 0.0)
        self.first = nn.Conv1d(channels, outputs, 3, dilation=dilation)
        self.second = nn.Conv1d(outputs, outputs, 3, dilation=dilation)
        self.skip = nn.Conv1d(channels, outputs, 1) if channels != outputs else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.first(self.past(x)))
        y = self.relu(self.second(self.past(y)))
        return self.relu(y + self.skip(x))


class TCN(nn.Module):
    """[N, 16, T] -> [N, 8, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(FEATURES, 32, 1), Block(32, 32, 2), Block(32, 32, 4))
        self.out_conv = nn.Conv1d(32, 8, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.out_conv(self.blocks(frames))


def main() -> None:
    parser = arguments(__doc__, "esp32p4")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = TCN()
    recordings = torch.randn(64, FEATURES, FRAMES)
    loader = DataLoader(list(recordings), batch_size=2, collate_fn=torch.stack)

    quant_ppq_graph = espdl_quantize_torch(
        model=model,
        espdl_export_file=options.output / "tcn.espdl",
        calib_dataloader=loader,
        calib_steps=32,
        input_shape=[1, FEATURES, FRAMES],
        inputs=None,
        target=options.target,
        num_of_bits=8,
        dispatching_override=None,
        device=options.device,
        error_report=True,
        skip_export=False,
        export_test_values=True,
        verbose=1,
    )
    (answers,) = TorchExecutor(graph=quant_ppq_graph, device=options.device)(recordings[:8])
    espdl_quantize_torch(
        model=model,
        espdl_export_file=options.output / "tcn_streaming.espdl",
        calib_dataloader=loader,
        calib_steps=32,
        input_shape=[1, FEATURES, FRAMES],
        target=options.target,
        num_of_bits=8,
        device=options.device,
        error_report=False,
        auto_streaming=True,
        streaming_input_shape=[1, FEATURES, CHUNK],
        streaming_table=None,
    )
    whole = Model(options.output / "tcn.espdl").run_arrays({"frames": recordings[:1].numpy().transpose(0, 2, 1)})
    session = StreamingSession(Model(options.output / "tcn_streaming.espdl"))
    (streamed,) = session.push(recordings[:1].numpy().transpose(0, 2, 1)).values()
    print(f"streamed frames equal the whole recording's: {np.array_equal(streamed, *whole.values())}")
    with torch.no_grad():
        error = (answers - model.eval()(recordings[:8])).abs().max()
    print(f"{list(answers.shape)}, largest difference from float: {error:.3f}")


if __name__ == "__main__":
    main()
