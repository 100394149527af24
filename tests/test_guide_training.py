"""The guide's scripts that train run with ``esp_ppq`` replaced by ``espdl`` in their imports, on networks made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.quantize.setting import QuantizationSettingFactory
from tests.conftest import ROOT
from tests.quantize.graphs import network, op, weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch

CLASSIFIER = """
from esp_ppq import QuantizationSettingFactory
from esp_ppq.api import espdl_quantize_onnx, get_target_platform
from esp_ppq.executor import TorchExecutor
import torch
from torch.utils.data import DataLoader
from torch.utils.data.dataset import Subset

def collate_fn1(x):
    return torch.cat([sample[0].unsqueeze(0) for sample in x], dim=0)

def collate_fn2(batch):
    return batch.to(DEVICE)

dataset = Subset([(torch.rand(INPUT_SHAPE), 0) for _ in range(12)], indices=[_ for _ in range(0, 8)])
dataloader = DataLoader(dataset=dataset, batch_size=BATCH_SIZE, shuffle=False, num_workers=0, pin_memory=False,
                        collate_fn=collate_fn1)

quant_setting = QuantizationSettingFactory.espdl_setting()
if METHOD == "equalized":
    quant_setting.equalization = True
    quant_setting.equalization_setting.iterations = 4
    quant_setting.equalization_setting.value_threshold = 0.4
    quant_setting.equalization_setting.opt_level = 2
    quant_setting.equalization_setting.interested_layers = None
elif METHOD == "mixed":
    quant_setting.dispatching_table.append("conv2", get_target_platform(TARGET, 16))
elif METHOD == "weights":
    quant_setting.tqt_optimization_setting.is_scale_trainable = False

quant_setting.tqt_optimization = True
quant_setting.tqt_optimization_setting.collecting_device = "cpu"
quant_setting.tqt_optimization_setting.steps = STEPS
quant_setting.tqt_optimization_setting.block_size = 4
quant_setting.tqt_optimization_setting.lr = 1e-4

quant_ppq_graph = espdl_quantize_onnx(
    onnx_import_file=ONNX_PATH,
    espdl_export_file=ESPDL_MODEL_PATH,
    calib_dataloader=dataloader,
    calib_steps=32,
    input_shape=[1] + INPUT_SHAPE,
    target=TARGET,
    num_of_bits=NUM_OF_BITS,
    collate_fn=collate_fn2,
    setting=quant_setting,
    device=DEVICE,
    error_report=True,
    skip_export=False,
    export_test_values=False,
    verbose=1,
)
executor = TorchExecutor(graph=quant_ppq_graph, device=DEVICE)
answers = [executor(batch.to(DEVICE)) for batch in dataloader]
"""
"""Guide 3.10.3, MobileNetV2: batches, a function that collates them, other ways to better accuracy beside; and an evaluation behind."""

DETECTOR = """
from esp_ppq import QuantizationSettingFactory
from esp_ppq.api import espdl_quantize_onnx, ENABLE_CUDA_KERNEL
import torch
from torch.utils.data import DataLoader, Dataset

class CaliDataset(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.rand(INPUT_SHAPE, generator=torch.Generator().manual_seed(index))

dataloader = DataLoader(dataset=CaliDataset(), batch_size=BATCH_SIZE, shuffle=False, num_workers=0)

def collate_fn(batch: torch.Tensor) -> torch.Tensor:
    return batch.to(DEVICE)

quant_setting = QuantizationSettingFactory.espdl_setting()
quant_setting.quantize_activation_setting.calib_algorithm = "percentile"
quant_setting.quant_config_modify = True
quant_setting.quant_config_modify_setting.custom_config = {"/head/scores/Conv": 0.0625}

quant_setting.tqt_optimization = True
quant_setting.tqt_optimization_setting.int_lambda = 0.25
quant_setting.tqt_optimization_setting.steps = STEPS
quant_setting.tqt_optimization_setting.lr = 1e-5
quant_setting.tqt_optimization_setting.collecting_device = 'cpu'
quant_setting.tqt_optimization_setting.block_size = 2

with ENABLE_CUDA_KERNEL():
    quant_ppq_graph = espdl_quantize_onnx(
        onnx_import_file=ONNX_PATH,
        espdl_export_file=ESPDL_MODEL_PATH,
        calib_dataloader=dataloader,
        calib_steps=32,
        input_shape=[1] + INPUT_SHAPE,
        target=TARGET,
        num_of_bits=NUM_OF_BITS,
        collate_fn=collate_fn,
        setting=quant_setting,
        device=DEVICE,
        error_report=False,
        skip_export=False,
        export_test_values=True,
        verbose=0,
        inputs=None,
    )
"""
"""Guide 3.10.2 and 3.10.3, YOLO26n: scores with a scale set by hand, percentiles."""


def run(script: str, folder: Path, proto: onnx.ModelProto, **names: Any) -> dict[str, Any]:
    onnx.save(proto, folder / "net.onnx")
    given = {
        "ONNX_PATH": str(folder / "net.onnx"),
        "ESPDL_MODEL_PATH": str(folder / "net.espdl"),
        "DEVICE": "cpu",
        "NUM_OF_BITS": 8,
        "STEPS": 3,
        **names,
    }
    exec(compile(script.replace("from esp_ppq", "from espdl"), "guide", "exec"), given)
    return given


@pytest.mark.parametrize("method", ["equalized", "mixed", "weights"])
def test_a_classifier_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import networks  # type: ignore[import-not-found]

    found = run(
        CLASSIFIER,
        tmp_path,
        networks.mobilenet_v2(32, classes=10),
        INPUT_SHAPE=[3, 32, 32],
        TARGET="esp32p4",
        BATCH_SIZE=4,
        METHOD=method,
    )
    assert [tuple(answer.shape) for (answer,) in found["answers"]] == [(4, 10), (4, 10)]
    graph = found["quant_ppq_graph"]
    assert any("TQT" in line for line in graph.measures + graph.warnings)
    assert Model(tmp_path / "net.espdl", target="esp32p4").get_outputs()


def test_a_detector_is_trained_with_scores_of_a_scale_set_by_hand(tmp_path: Path) -> None:
    nodes = [
        op("Conv", "image w0 b0", "c0", strides=[2, 2], pads=[1, 1, 1, 1]),
        op("Relu", "c0", "r0"),
        op("Conv", "r0 w1 b1", "boxes"),
        op("Conv", "r0 w2 b2", "scores"),
    ]
    nodes[3].name = "/head/scores/Conv"
    constants = {"w0": weights(8, 3, 3, 3), "w1": weights(4, 8, 1, 1), "w2": weights(2, 8, 1, 1)}
    constants |= {"b0": weights(8), "b1": weights(4), "b2": weights(2)}
    proto = network(nodes, {"image": (1, 3, 16, 16)}, constants, outputs="boxes scores")
    found = run(DETECTOR, tmp_path, proto, INPUT_SHAPE=[3, 16, 16], TARGET="esp32p4", BATCH_SIZE=1)
    assert found["quant_ppq_graph"].graph.produced["scores"].exponent == -4
    model = Model(tmp_path / "net.espdl", target="esp32p4")
    assert model.test() and int(model.get_output("scores").exponent) == -4


def test_a_switch_of_the_whole_setting_in_a_group_of_it_is_pointed_to() -> None:
    """Guide 3.10.4 writes ``tqt_optimization_setting.equalization``, which ESP-PPQ takes and does not look at."""
    setting = QuantizationSettingFactory.espdl_setting()
    with pytest.raises(EspdlError, match=r"no setting 'equalization' in TQTSetting(.|\n)*setting\.equalization"):
        setting.tqt_optimization_setting.equalization = True  # type: ignore[attr-defined]
