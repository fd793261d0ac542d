"""The one training loop of all studies. It knows batches, a model and a loss, and no task."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Sized
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from lossary.studies.data import Split

if TYPE_CHECKING:
    from lossary.studies.data import Batches

Criterion = Callable[[Tensor, Tensor], Tensor]


@runtime_checkable
class Staged(Protocol):
    """A criterion that changes while a model is trained."""

    def advance(self, progress: float) -> None:
        """Told before each step which share of them is done."""
        ...


class DivergedError(ArithmeticError):
    """A training run has left the finite numbers."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long and how fast every loss is trained: AdamW, a linear warm-up, then a cosine to zero."""

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.2  # share of the steps

    def factor(self, step: int, steps: int) -> float:
        """The learning rate at a step, relative to its peak."""
        done = (step + 1) / (steps + 1)  # neither 0 nor 1: every step learns
        if done < self.warmup:
            return done / self.warmup
        return 0.5 + 0.5 * math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))


class Training:
    """One run: `epochs()` trains and yields the mean loss of each epoch.

    What the runs of one seed share is fixed by the seed alone: the order of the batches, dropout and every other draw
    from torch's generator. `batches` is a fingerprint of what the model was given, to prove it.
    """

    def __init__(self, model: nn.Module, loss: Criterion, data: Split | Batches, schedule: Schedule, seed: int) -> None:
        self.model, self.loss, self.data, self.schedule, self.seed = model, loss, data, schedule, seed
        parameters = list(model.parameters())
        if isinstance(loss, nn.Module):  # a criterion may have parameters of its own, such as class centres
            parameters += list(loss.parameters())
        self.optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, foreach=True)
        self.steps = schedule.epochs * _steps(data, schedule.batch_size)
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: schedule.factor(step, self.steps))
        self._done = 0
        self._digest = hashlib.sha256()

    @property
    def batches(self) -> str:
        return self._digest.hexdigest()[:16]

    def epochs(self) -> Iterator[float]:
        for epoch in range(self.schedule.epochs):
            self.model.train()
            total, samples = 0.0, 0
            shuffle = 1_000_003 * self.seed + epoch  # its own for each epoch of each seed
            for step, (x, y) in enumerate(batches(self.data, self.schedule.batch_size, shuffle)):
                self._digest.update(_bytes(x))
                self._digest.update(_bytes(y))
                value = self._step(*to_device(self.model, x, y))
                if not math.isfinite(value):
                    raise DivergedError(f"training loss {value} at epoch {epoch + 1}, step {step + 1}")
                total, samples = total + value * len(x), samples + len(x)
            yield total / samples

    def _step(self, x: Tensor, y: Tensor) -> float:
        staged: object = self.loss
        if isinstance(staged, Staged):
            staged.advance(self._done / self.steps)
        self._done += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x), y)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        self.rate.step()
        return float(loss.detach())


def predict(
    model: nn.Module, data: Split | Batches, what: Callable[[Tensor], Tensor], batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """`what` of the model's outputs, and the targets, of a whole split."""
    model.eval()
    outputs: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    with torch.no_grad():
        for x, y in batches(data, batch_size):
            output = cast(Tensor, model(to_device(model, x, y)[0]))
            if not bool(torch.isfinite(output).all()):
                raise DivergedError("the model's outputs are no longer finite")
            outputs.append(what(output).cpu().numpy())
            targets.append(y.cpu().numpy())
    return np.concatenate(outputs), np.concatenate(targets)


def batches(data: Split | Batches, size: int, shuffle: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one pass. The number `shuffle` seeds torch's generator, and with it a loader that shuffles."""
    if shuffle is not None:
        torch.manual_seed(shuffle)  # pyright: ignore[reportUnknownMemberType]
        own = getattr(data, "generator", None)
        if isinstance(own, torch.Generator):
            own.manual_seed(shuffle)  # else it would go on from where the last run left it
    if not isinstance(data, Split):
        yield from data
        return
    x, y = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)  # pyright: ignore[reportUnknownMemberType]
    order = torch.randperm(len(data)) if shuffle is not None else torch.arange(len(data))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        yield x[chosen], y[chosen]


def to_device(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return x.to(device), y.to(device)


def fingerprint(model: nn.Module) -> str:
    """Names the weights and buffers of a model: equal weights, equal text."""
    digest = hashlib.sha256()
    for name, tensor in cast("dict[str, Tensor]", model.state_dict()).items():
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()[:16]


def _bytes(tensor: Tensor) -> bytes:
    # as raw bytes, for NumPy knows no bfloat16
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _steps(data: Split | Batches, batch_size: int) -> int:
    if isinstance(data, Split):
        return math.ceil(len(data) / batch_size)
    return len(data) if isinstance(data, Sized) else sum(1 for _ in data)
