"""Every script under ``examples`` runs, on small networks, and writes files whose embedded tests pass."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from espdl import dl
from espdl.dl import Model
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
SMALL = ["--size", "64", "--steps", "2"]
NO_TORCH = "PyTorch is not installed: pip install 'espdl[torch]'"


def run(name: str, folder: Path, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr("sys.argv", [name, "--output", str(folder), *options])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("bits", ["8", "16"])
def test_sin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bits: str) -> None:
    run("sin_onnx.py", tmp_path, ["--bits", bits], monkeypatch)
    assert float(capsys.readouterr().out.split()[-1]) < (0.15 if bits == "8" else 0.01)
    assert Model(tmp_path / "sin.espdl").test()


@pytest.mark.parametrize(("method", "target"), [("default", "esp32p4"), ("mixed", "esp32s3")])
def test_mobilenet_v2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str, target: str
) -> None:
    run("mobilenet_v2.py", tmp_path, [*SMALL, "--method", method, "--target", target], monkeypatch)
    assert "best classes of the first picture: " in capsys.readouterr().out
    model = Model(tmp_path / "mobilenet_v2.espdl", target=target)
    assert model.test()
    wide = {module.name for module in model.modules if module.quant_type is dl.QUANT_TYPE_SYMM_16BIT}
    assert ({"conv0", "conv2"} <= wide) if method == "mixed" else not wide


def test_yolo11n(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("yolo11n.py", tmp_path, [*SMALL, "--method", "mixed"], monkeypatch)
    assert "[1, 80, 2, 2]" in capsys.readouterr().out
    assert Model(tmp_path / "yolo11n.espdl").test()


def test_yolo11n_pose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("yolo11n_pose.py", tmp_path, [*SMALL, "--score", "0.4"], monkeypatch)
    assert "10 found, drawn in " in capsys.readouterr().out
    assert (tmp_path / "pose.png").exists()
    model = Model(tmp_path / "yolo11n_pose.espdl")
    assert model.test()
    assert model.get_output("kpt2").get_shape() == [1, 2, 2, 51]


def test_load_test_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("load_test_profile.py", tmp_path, ["--max-internal-size", "4096"], monkeypatch)
    output = capsys.readouterr().out
    assert output.count(": 1 output, 10 values equal") == 5
    assert "| variable       | 4.00KB       |" in output
    assert "on the chip: " in output


def test_run_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("run_model.py", tmp_path, [], monkeypatch)
    assert "three ways, the same answer: True" in capsys.readouterr().out


def test_yolo26n_has_fine_class_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("yolo26n.py", tmp_path, SMALL, monkeypatch)
    model = Model(tmp_path / "yolo26n.espdl")
    assert model.test()
    classes = [tensor for tensor in model.get_outputs().values() if tensor.shape[-1] == 80]
    assert [int(tensor.exponent) for tensor in classes] == [-4, -4, -4]


@pytest.mark.torch
def test_sin_from_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    run("sin_torch.py", tmp_path, ["--epochs", "400"], monkeypatch)
    output = capsys.readouterr().out
    assert "from ONNX: the same file" in output
    assert float(output.split("largest error of sin on esp32p4: ")[1].split()[0]) < 0.3
    assert Model(tmp_path / "sin_torch.espdl").test()


def test_streaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("streaming.py", tmp_path, [], monkeypatch)
    assert "8 runs of 3 frames; the last answer equals the whole recording's: True" in capsys.readouterr().out
    assert Model(tmp_path / "tcn.espdl").test()


@pytest.mark.torch
def test_tcn_from_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    run("tcn.py", tmp_path, [], monkeypatch)
    output = capsys.readouterr().out
    assert "[8, 8, 15]" in output
    assert "streamed frames equal the whole recording's: True" in output
    assert float(output.split()[-1]) < 0.2
    assert Model(tmp_path / "tcn.espdl").test()


@pytest.mark.torch
def test_qat_of_a_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    pytest.importorskip("sklearn")
    run("qat_classifier.py", tmp_path, ["--epochs", "1"], monkeypatch)
    assert float(capsys.readouterr().out.split("test accuracy of epoch ")[1].split()[1].rstrip(",")) > 0.98
    assert Model(tmp_path / "digits_qat.espdl").test()
    assert (tmp_path / "checkpoints" / "best.pt").exists()


@pytest.mark.torch
def test_qat_of_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    run("qat_detector.py", tmp_path, ["--pictures", "320", "--float-epochs", "10", "--epochs", "2"], monkeypatch)
    words = capsys.readouterr().out.split("test mAP: ")[1].replace(",", "").split()
    floating, before, after = (float(words[place]) for place in (1, 3, 5))
    assert floating > 0.5 and after > before + 0.2
    model = Model(tmp_path / "detector_qat.espdl")
    assert model.test() and len(model.get_outputs()) == 2


@pytest.mark.torch
def test_tqt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    run("tqt.py", tmp_path, ["--size", "64", "--steps", "8", "--tqt-steps", "20"], monkeypatch)
    plain, trained = (float(line.split()[1]) for line in capsys.readouterr().out.splitlines() if "dB against float" in line)
    assert trained > plain + 1
    assert Model(tmp_path / "mobilenet_v2_tqt.espdl").test()
