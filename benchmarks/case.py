"""What a case of the benchmarks is: inputs, our loss, its rivals, and the bars that it must keep."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch

from benchmarks.contenders import Call, Contender, Ours

Quantity = Literal["time/native", "time/peer", "saved", "saved beyond", "saved beyond/peer", "peak", "operations"]


IGNORED = -100
"""The label of 30 % of the places of inputs of which some are ignored: torch's own default."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Random predictions and targets of a seed, the same for all contenders of a case."""

    kind: Literal[
        "classes", "some ignored", "cosines", "binary", "soft binary", "distributions", "boxes", "features", "elements"
    ]
    shape: tuple[int, ...]  # of the prediction

    @property
    def label(self) -> str:
        return "×".join(f"{n}" for n in self.shape)

    def make(self, small: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        shape = self.shape
        if small:
            shape = tuple(n if axis == 1 else min(n, 8) for axis, n in enumerate(shape))
        prediction = torch.randn(shape, generator=generator)
        if self.kind == "cosines":
            prediction = 2 * torch.rand(shape, generator=generator) - 1
        if self.kind in ("classes", "some ignored", "cosines"):
            target = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
            if self.kind == "some ignored":
                target[torch.rand(target.shape, generator=generator) < 0.3] = IGNORED
        elif self.kind == "binary":
            target = (torch.rand(shape, generator=generator) < 0.1).long()
        elif self.kind == "soft binary":
            target = torch.rand(shape, generator=generator)
        elif self.kind == "distributions":
            target = torch.softmax(torch.randn(shape, generator=generator), 1)
        elif self.kind == "features":
            target = torch.arange(shape[0]) // 4  # four of each class
        elif self.kind == "boxes":
            prediction, target = (self._boxes(shape, generator) for _ in range(2))
        else:
            target = torch.randn(shape, generator=generator)
        return prediction.requires_grad_(), target

    @staticmethod
    def _boxes(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """Boxes of 1 to 100 pixels in a field where about half of the pairs meet."""
        corner = 60 * torch.rand((*shape[:-1], 2), generator=generator)
        side = 1 + 99 * torch.rand((*shape[:-1], 2), generator=generator)
        return torch.cat([corner, corner + side], -1)


@dataclasses.dataclass(frozen=True)
class Bar:
    """The most that a quantity may be, and who says so."""

    quantity: Quantity
    limit: float
    source: str


@dataclasses.dataclass(frozen=True)
class Case:
    group: str
    name: str
    inputs: Inputs
    ours: Ours
    native: Call | None = None
    peers: tuple[Call, ...] = ()
    bars: tuple[Bar, ...] = ()
    timed: bool = True  # otherwise only memory is measured
    calls: int = 1  # in one measurement of time: many, where one is too short for a clock

    @property
    def id(self) -> str:
        return f"{self.name} {self.inputs.label}"

    @property
    def contenders(self) -> list[Contender]:
        """Ours, the native limit and the peers that are installed."""
        others = [c for c in (self.native, *self.peers) if c is not None and c.installed]
        return [self.ours, *others]

    @property
    def absent(self) -> list[str]:
        return [peer.library for peer in self.peers if not peer.installed]

    def contender(self, path: str) -> Contender:
        """Ours by the name "lossary", another by its path."""
        for contender in self.contenders:
            if path == (contender.library if isinstance(contender, Ours) else contender.path):
                return contender
        raise KeyError(path)


def agrees(ours: float, theirs: float) -> bool:
    """Whether two libraries computed the same number, to what float32 sums of a million terms keep."""
    return math.isclose(ours, theirs, rel_tol=2e-4, abs_tol=1e-6)
