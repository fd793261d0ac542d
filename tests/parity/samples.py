"""Inputs and the comparison that the parity tests share: float64, values and gradients of the prediction."""

from __future__ import annotations

from collections.abc import Callable

import torch

CLASSES = 4
IGNORED = 255
WEIGHTS = (0.5, 2.0, 1.0, 3.0)

Loss = Callable[[torch.Tensor], torch.Tensor]


def same(ours: Loss, theirs: Loss, prediction: torch.Tensor, rtol: float = 1e-7, atol: float = 1e-9) -> None:
    """Both give one value and one gradient at `prediction`."""
    results = []
    for loss in (ours, theirs):
        leaf = prediction.detach().clone().requires_grad_()
        value = loss(leaf)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        results.append((value.detach(), gradient))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol, check_dtype=False)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def numbers() -> tuple[torch.Tensor, torch.Tensor]:
    generator = _generator()
    return tuple(3 * torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(2))


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (6, C) and labels (6,)."""
    generator = _generator()
    logits = 2 * torch.randn(6, CLASSES, generator=generator, dtype=torch.float64)
    return logits, torch.tensor([0, 1, 2, 3, 1, 1])


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, C, 5, 6) and labels (2, 5, 6); every class is in every image."""
    generator = _generator()
    logits = 2 * torch.randn(2, CLASSES, 5, 6, generator=generator, dtype=torch.float64)
    return logits, torch.randint(CLASSES, (2, 5, 6), generator=generator)


def with_ignored(labels: torch.Tensor) -> torch.Tensor:
    """The labels with some places ignored."""
    flat = labels.clone().flatten()
    flat[::4] = IGNORED
    return flat.reshape(labels.shape)


def masks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (2, 1, 5, 6), hard labels and soft labels of that shape, floating."""
    generator = _generator()
    logits = 2 * torch.randn(2, 1, 5, 6, generator=generator, dtype=torch.float64)
    soft = torch.rand(2, 1, 5, 6, generator=generator, dtype=torch.float64)
    return logits, (soft < 0.3).double(), soft


def distributions() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and a distribution of shape (6, C)."""
    logits, _ = rows()
    return logits, torch.softmax(torch.flip(logits, (0,)), 1)


def boxes(pairs: int = 1000) -> tuple[torch.Tensor, torch.Tensor]:
    """Ordinary pairs of boxes, about half of which meet."""
    generator = _generator()
    corners = 60 * torch.rand(2, pairs, 2, generator=generator, dtype=torch.float64)
    sides = 1 + 99 * torch.rand(2, pairs, 2, generator=generator, dtype=torch.float64)
    return tuple(torch.cat([corners, corners + sides], -1))
