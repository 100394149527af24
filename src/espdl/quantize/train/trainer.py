"""A training loop with checkpoints, for a network of :func:`espdl.quantize.train.qat.prepare` and a user's own loss."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from espdl.errors import EspdlError
from espdl.fbs.files import write_atomically
from espdl.progress import track
from espdl.quantize.train.qat import QuantModule


@dataclass
class TrainingRecord:
    """How training went.

    Attributes:
        losses: mean loss of every epoch.
        metrics: before training, then after every epoch.
        best_epoch: the epoch whose parameters are kept; 0 is before training.
        was_interrupted: whether Ctrl-C ended it.
    """

    losses: list[float] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)
    best_epoch: int = 0
    was_interrupted: bool = False

    @property
    def best(self) -> float:
        """The metric of the parameters that are kept."""
        return self.metrics[self.best_epoch]


class QuantTrainer:
    """Trains, and leaves the best parameters that were seen in the model: those before training where nothing is better.

    Args:
        model: what is trained.
        optimizer: of ``model.parameters()``.
        loss: gets the model's outputs and the targets of a batch; returns a tensor [] to be made small.
        metric: gets the model; returns a number, the larger the better, from data that are not trained on.
        folder: checkpoints go there, ``last.pt`` and ``best.pt``; none are written without it.
        seed: of everything drawn while training, the order of a shuffling ``DataLoader`` included.
    """

    def __init__(
        self,
        model: QuantModule,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Any, Any], torch.Tensor],
        metric: Callable[[QuantModule], float],
        *,
        folder: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._loss, self._metric = loss, metric
        self._folder = None if folder is None else Path(folder)
        self._seed = seed
        self._best: dict[str, torch.Tensor] = {}
        self.record = TrainingRecord()

    def fit(self, data: Iterable[Any], epochs: int, *, resume: bool = False) -> TrainingRecord:
        """Trains up to ``epochs`` epochs, those before a checkpoint included.

        Args:
            data: pairs of inputs (a tensor, a list or a mapping) and targets, gone through once per epoch.
            epochs: their number.
            resume: goes on after ``last.pt`` of the folder, as if it had not stopped; begins where there is none.

        Raises:
            EspdlError: when the loss or the metric is no number, the loss cannot be computed of a batch's targets or has no gradients,
                a batch has no targets, there are no data, the optimizer has other parameters, or a checkpoint is of another network.
        """
        own = {id(parameter) for parameter in self.model.parameters()}
        if not any(id(tensor) in own for group in self.optimizer.param_groups for tensor in group["params"]):
            raise EspdlError("the optimizer has no parameter of the model", hint="an optimizer of model.parameters()")
        if resume and self._folder is None:
            raise EspdlError("there is no folder to resume from", hint="QuantTrainer(..., folder=...)")
        if not (resume and self._load()):
            self.record = TrainingRecord(metrics=[self._measure()])
            self._keep_best()
        self.record.was_interrupted = False
        try:
            for epoch in range(len(self.record.losses) + 1, epochs + 1):
                # What is drawn depends on the epoch alone, so that going on later draws the same.
                with torch.random.fork_rng(devices=_cuda(self.model.device)):
                    torch.manual_seed(self._seed + epoch)
                    loss = self._epoch(data, epoch)
                metric = self._measure()
                self.record.losses.append(loss)
                self.record.metrics.append(metric)
                if metric > self.record.best:
                    self.record.best_epoch = epoch
                    self._keep_best()
                self._save("last.pt")
        except KeyboardInterrupt:
            self.record.was_interrupted = True
        finally:
            self.model.load_state_dict(self._best)
            self.optimizer.zero_grad()
        return self.record

    def _epoch(self, data: Iterable[Any], epoch: int) -> float:
        total = count = 0.0
        for batch in track(data, f"Epoch {epoch}", len(data) if isinstance(data, Sized) else None):
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise EspdlError("a batch has no targets", why="it is no pair of inputs and targets")
            inputs, targets = batch
            outputs = self.model(*inputs) if isinstance(inputs, (tuple, list)) else self.model(inputs)
            loss = self._loss_of(outputs, targets, epoch)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise EspdlError(f"the loss is {value} in epoch {epoch}", hint="a smaller learning rate")
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total, count = total + value, count + 1
        if not count:
            raise EspdlError(f"there are no batches in epoch {epoch}", hint="data that can be gone through more than once")
        return total / count

    def _loss_of(self, outputs: Any, targets: Any, epoch: int) -> torch.Tensor:
        where = f"the loss of a batch in epoch {epoch}"
        try:
            loss = self._loss(outputs, targets)
        except EspdlError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            what, hint, device = "outputs and targets do not fit the loss", "", self.model.device
            if targets is None:
                what = "the batch has no targets"
            elif isinstance(targets, torch.Tensor) and targets.device != device:
                what, hint = (
                    f"the targets are on device {targets.device}, the network on {device}",
                    f"targets.to({str(device)!r})",
                )
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EspdlError(what, where=where, why=why, hint=hint) from error
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            got = f"a tensor of {loss.numel()} numbers" if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
            raise EspdlError(f"the loss is {got}", where=where, why="one number is made small", hint="its mean")
        if not loss.requires_grad:
            raise EspdlError("the loss has no gradients", where=where, why="it does not depend on the model's parameters")
        return loss

    @torch.no_grad()
    def _measure(self) -> float:
        found = float(self._metric(self.model))
        if math.isnan(found):
            raise EspdlError("the metric is no number", hint="a metric of data that are there; the larger the better")
        return found

    # Checkpoints

    def _keep_best(self) -> None:
        self._best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self._save("best.pt")

    def _save(self, name: str) -> None:
        if self._folder is None:
            return
        record = self.record
        content = {
            "model": self.model.state_dict(),
            "best": self._best,
            "optimizer": self.optimizer.state_dict(),
            "losses": record.losses,
            "metrics": record.metrics,
            "best_epoch": record.best_epoch,
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / name, buffer.getvalue())

    def _load(self) -> bool:
        assert self._folder is not None
        path = self._folder / "last.pt"
        if not path.exists():
            return False
        try:
            content = torch.load(path, map_location=self.model.device, weights_only=True)
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self._best = content["best"]
            self.record = TrainingRecord(content["losses"], content["metrics"], content["best_epoch"])
        except Exception as error:
            raise EspdlError("the checkpoint cannot be used", where=str(path), why=str(error).splitlines()[0]) from error
        return True


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
