"""A loss with a vector per class, as an `nn.Module` that owns the vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lossary.core.families.embedding import ClassVectorLoss
from lossary.losses.embedding import CenterLoss
from lossary.torch.criterion import Criterion
from lossary.torch.processes import Group, sum_over_processes


class Prototypes(Criterion):
    """A loss of features and classes as a module that owns the prototypes, or centres, of the classes.

    They are called as the loss calls them (`prototypes`, `centers`), of shape (classes, dimension), and start at random
    directions with a length of about 1. They are a parameter: give `criterion.parameters()` to the optimizer too, and
    save `criterion.state_dict()`. Features of half precision leave their dtype alone.

    Args:
        loss: a loss that takes prototypes or centres: `ArcFaceLoss`, `CosFaceLoss`, `SphereFaceLoss`,
            `LargeMarginSoftmaxLoss` or `CenterLoss`.
        classes: how many classes there are.
        dimension: the length of a feature.
        rate: α of the paper's own rule for centres, for `CenterLoss` alone. With a rate the centres are a buffer, not a
            parameter: no gradient reaches them, and each call in training mode moves them by
            `CenterLoss.moved_centers` after it has taken the loss. A micro-batch is a call.
        process_group: as in `Criterion`; a rate then moves the centres by the features of all its processes.

    Under `DistributedDataParallel` wrap a module that holds model and prototypes, so that their gradient is averaged
    too.

    >>> import lossary, torch
    >>> _ = torch.manual_seed(0)
    >>> criterion = Prototypes(lossary.CosFaceLoss(), classes=10, dimension=4)
    >>> features, labels = torch.randn(8, 4, requires_grad=True), torch.arange(8)
    >>> criterion(features, labels).backward()
    >>> criterion.prototypes.shape, criterion.prototypes.grad.shape
    (torch.Size([10, 4]), torch.Size([10, 4]))
    """

    def __init__(
        self,
        loss: ClassVectorLoss,
        classes: int,
        dimension: int,
        *,
        rate: float | None = None,
        process_group: Group | None = None,
    ) -> None:
        if not isinstance(loss, ClassVectorLoss):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"`loss` must be a loss that takes prototypes or centres, such as lossary.ArcFaceLoss(); got {loss!r}"
            )
        super().__init__(loss, process_group)
        if classes < 1 or dimension < 1:
            raise ValueError(f"`classes` and `dimension` must be at least 1; got {classes} and {dimension}")
        if rate is not None and not isinstance(loss, CenterLoss):
            raise ValueError(
                f"`rate` is that of the centres of CenterLoss; {loss!r} has none, its prototypes need None"
            )
        if rate is not None and not 0 <= rate <= 1:
            raise ValueError(f"`rate` must be in [0, 1]; got {rate!r}")
        self.loss: ClassVectorLoss = loss
        self.rate = rate
        vectors = torch.randn(classes, dimension) / dimension**0.5
        if rate is None:
            self.register_parameter(loss.class_vectors, nn.Parameter(vectors))
        else:
            self.register_buffer(loss.class_vectors, vectors)

    @property
    def vectors(self) -> Tensor:
        """The prototypes or centres, whatever the loss calls them."""
        return getattr(self, self.loss.class_vectors)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] (features are one tensor, not several outputs)
        self,
        prediction: Tensor,
        target: Tensor,
        *,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
        normalizer: float | Tensor | None = None,
        **operands: Any,
    ) -> Tensor:
        """The loss of features and labels; arguments as those of `lossary.Loss.__call__`."""
        value = super().forward(
            prediction,
            target,
            mask=mask,
            sample_weight=sample_weight,
            normalizer=normalizer,
            **{self.loss.class_vectors: self.vectors},
            **operands,
        )
        if self.rate is not None and self.training:
            self._move(prediction.detach(), target, mask)
        return value

    @torch.no_grad()
    def _move(self, features: Tensor, target: Tensor, mask: Tensor | None) -> None:
        assert isinstance(self.loss, CenterLoss)
        pulls, counts = self.loss.pulls(features, target, centers=self.vectors, mask=mask)
        if self.process_group is not None:
            pulls, counts = sum_over_processes((pulls, counts), self.process_group)
        self.vectors.sub_(self.rate * pulls / (1 + counts))

    def extra_repr(self) -> str:
        classes, dimension = self.vectors.shape
        rate = "" if self.rate is None else f", rate={self.rate!r}"
        group = "" if self.process_group is None else f", process_group={self.process_group!r}"
        return f"{self.loss!r}, classes={classes}, dimension={dimension}{rate}{group}"
