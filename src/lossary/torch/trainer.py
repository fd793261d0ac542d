"""A loss as the `compute_loss_func` of the Trainer of Hugging Face's transformers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lossary.core.compound import SumLoss
from lossary.core.loss import Loss


class TrainerLoss:
    """A loss of logits and labels, in the form that `transformers.Trainer(compute_loss_func=...)` calls.

    The Trainer calls `compute_loss_func(outputs, labels, num_items_in_batch=n)` for each micro-batch and adds the
    results up. n is the number of labels other than -100 in all micro-batches of the step, so it becomes the
    denominator of the mean, and the sum is the loss of the whole step. Without n (in an evaluation) the mean of the
    call is taken.

    Args:
        loss: a loss of class logits, with `ignore_index=-100` where labels are padded; or a sum of such losses whose
            means are over the same labels. Its classes are expected on the last axis.
        shift: whether the logits of a place are held against the label of the next, as a causal language model needs.

    Raises:
        ValueError: a loss whose denominator is no number of labels: one with another reduction than "mean", or whose
            mean is over something else, such as classes (Dice) or the hardest labels (top-k).

    >>> import lossary, torch
    >>> compute_loss = TrainerLoss(lossary.CrossEntropyLoss(ignore_index=-100), shift=True)
    >>> logits, labels = torch.zeros(1, 4, 8), torch.tensor([[5, 1, 2, -100]])
    >>> compute_loss({"logits": logits}, labels, num_items_in_batch=torch.tensor(2))  # ln 8
    tensor(2.0794)
    """

    def __init__(self, loss: Loss, shift: bool = False) -> None:
        if not isinstance(loss, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"`loss` must be a loss such as lossary.CrossEntropyLoss(); got {loss!r}")
        terms = SumLoss.of(loss).terms
        if any(part.reduction != "mean" for _, part in terms):
            raise ValueError(
                "the Trainer divides by a number of labels, which is the denominator of reduction='mean' alone; got "
                f"{loss!r}"
            )
        for _, part in terms:
            over = part.mean_over()
            if not isinstance(over, tuple) or over[0] not in ("labels", "elements"):
                raise ValueError(
                    f"the Trainer divides by a number of labels, and the mean of {part!r} is not over labels: write a "
                    "`compute_loss_func` that calls it without `num_items_in_batch`"
                )
        last = [(w, part.replace(class_axis=-1) if hasattr(part, "class_axis") else part) for w, part in terms]
        self.loss = SumLoss(tuple(last)) if isinstance(loss, SumLoss) else last[0][1]
        self.shift = shift

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        logits: Tensor = outputs["logits"]
        if self.shift:
            logits, labels = logits[:, :-1], labels[:, 1:]
        return self.loss(logits, labels.to(logits.device), normalizer=num_items_in_batch)

    def __repr__(self) -> str:
        return f"TrainerLoss({self.loss!r}{', shift=True' if self.shift else ''})"
