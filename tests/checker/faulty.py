"""Losses as people write them, each with one fault that was seen in public code, and the claim that names it.

`research` of the project lists where: the comments say what kind of library or thread had it.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import lossary as L


@dataclasses.dataclass(frozen=True)
class Planted:
    """A faulty loss, the claim that must fail, and how the checker is called."""

    loss: Callable[..., Any]
    claim: str  # the name of the claim, or the start of it
    how: dict[str, Any]
    words: str = ""  # what the finding must say besides


FAULTS: dict[str, Planted] = {}


def planted(claim: str, words: str = "", **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(loss: Callable[..., Any]) -> Callable[..., Any]:
        FAULTS[loss.__name__] = Planted(loss, claim, how, words)
        return loss

    return enter


def probabilities(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.softmax(logits, 1), torch.nn.functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(
        logits.dtype
    )


# --- wrong values ----------------------------------------------------------------------------------------------------

TVERSKY = L.TverskyLoss("binary", fp_weight=0.3, fn_weight=0.7)


@planted("it equals", "with fp_weight and fn_weight exchanged", task="segmentation", like=TVERSKY)
def swapped_tversky(logits, target):
    p, t = torch.sigmoid(logits).flatten(1), target.flatten(1)
    tp, fp, fn = (p * t).sum(1), (p * (1 - t)).sum(1), ((1 - p) * t).sum(1)
    return (1 - (tp + 1e-5) / (tp + 0.7 * fp + 0.3 * fn + 1e-5)).mean()


@planted("it equals", "after a second softmax", task="classification", like=L.CrossEntropyLoss())
def double_softmax(logits, target):
    return F.cross_entropy(torch.softmax(logits, 1), target)


@planted("it equals", "1/3", task="classification", like=L.FocalLoss("multiclass"))
def mean_over_the_classes_too(logits, target):
    p, t = probabilities(logits, target)
    return (-t * (1 - p) ** 2 * torch.log_softmax(logits, 1)).mean()


@planted("it equals", "alpha", task="classification", like=L.FocalLoss("binary", alpha=0.25))
def alpha_on_the_negatives(logits, target):
    t = target.to(logits.dtype)
    p_t = torch.sigmoid(torch.where(t > 0, logits, -logits))
    return (
        torch.where(t > 0, 0.75, 0.25)
        * (1 - p_t) ** 2
        * F.binary_cross_entropy_with_logits(logits, t, reduction="none")
    ).mean()


@planted("ignored places are not in the mean", "denominator", task="segmentation", ignore_index=255)
def ignored_in_the_denominator(logits, target):
    return F.cross_entropy(logits, target, ignore_index=255, reduction="none").mean()


@planted("ignored places are not in the mean", task="segmentation", ignore_index=0)
def ignored_label_is_a_class(logits, target):
    return F.cross_entropy(logits, target)


@planted("an image without an object, rightly seen, costs nothing", task="segmentation")
def dice_without_smoothing_above(logits, target):
    """The small number stands under the fraction only: an empty image is wrong whatever is said of it."""
    p, t = torch.sigmoid(logits).flatten(1), target.to(logits.dtype).flatten(1)
    return (1 - 2 * (p * t).sum(1) / (p.sum(1) + t.sum(1) + 1e-7)).mean()


@planted("a sure and right answer costs next to nothing", task="classification")
def probabilities_as_logits(logits, target):
    """What double_softmax is to one who does not say which loss is meant."""
    return F.cross_entropy(torch.softmax(logits, 1), target)


class _SumOfMeans(torch.nn.Module):
    """Its sum is a mean over the places, summed over the rest."""

    __name__ = "sum_of_means"

    def __init__(self) -> None:
        super().__init__()
        self.reduction = "sum"

    def forward(self, logits, target):
        value = F.cross_entropy(logits, target, reduction="none")
        return {"none": value, "sum": value.mean((1, 2)).sum(), "mean": value.mean()}[self.reduction]


planted('the reduction "sum" gives the sum of what "none" gives', task="segmentation")(_SumOfMeans())


@planted("the order of the samples does not matter", task="regression")
def depends_on_the_order(prediction, target):
    weight = torch.arange(1, len(prediction) + 1, dtype=prediction.dtype)
    return (weight * (prediction - target).flatten(1).square().mean(1)).mean()


@planted("classes are told apart by nothing but their labels", task="segmentation")
def class_numbers_as_indicator(logits, target):
    """Lovász with labels in place of the foreground indicator."""
    p = torch.softmax(logits, 1)
    error = sum((target.to(p.dtype) - p[:, c]).abs().mean() for c in range(p.shape[1]))
    return error / p.shape[1] + F.cross_entropy(logits, target)


@planted("no guess is better than the truth", task="boxes")
def distance_as_a_reward(prediction, target):
    """SIoU with the sign of its distance cost turned."""
    distance = (prediction - target).square().sum(-1)
    return (torch.exp(-distance / 50)).mean()


@planted("no guess is better than the truth", task="regression")
def sign_is_lost(prediction, target):
    return (prediction - target).mean()


@planted("equal boxes cost nothing, at any size", task="boxes")
def epsilon_that_shows(prediction, target):
    low, high = torch.maximum(prediction[:, :2], target[:, :2]), torch.minimum(prediction[:, 2:], target[:, 2:])
    meet = (high - low).clamp(min=0).prod(-1)
    area = [(b[:, 2:] - b[:, :2]).prod(-1) for b in (prediction, target)]
    return (1 - meet / (area[0] + area[1] - meet + 1e-6)).mean()


@planted("the result is one number, or one number a place", task="segmentation")
def empty_classes_axis(logits, target):
    value = F.cross_entropy(logits, target, reduction="none").mean((0, 2))
    return torch.stack([value, value, value, value, value], -1)[None]


# --- wrong gradients -------------------------------------------------------------------------------------------------


@planted("the value depends on the prediction", task="segmentation")
def rounded_prediction(logits, target):
    p, t = probabilities(logits, target)
    hard = F.one_hot(p.argmax(1), p.shape[1]).movedim(-1, 1).to(p.dtype)
    return 1 - (2 * (hard * t).sum() + 1) / (hard.sum() + t.sum() + 1)


@planted("the gradient is the slope of the value", task="regression")
def detached_factor(prediction, target):
    error = prediction - target
    return (error.abs().detach() * error.abs()).mean()


class _IgnoresUpstream(torch.autograd.Function):
    @staticmethod
    def forward(ctx, prediction, target):
        ctx.save_for_backward(prediction - target)
        return (prediction - target).square().mean()

    @staticmethod
    def backward(ctx, upstream):
        (error,) = ctx.saved_tensors
        return 2 * error / error.numel(), None


@planted("the gradient scales with what comes from above", task="regression")
def backward_ignores_upstream(prediction, target):
    return _IgnoresUpstream.apply(prediction, target)


class _SavedSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, prediction, target):
        ctx.slope = 2 * (prediction - target).detach() / prediction.numel()
        return (prediction - target).square().mean()

    @staticmethod
    def backward(ctx, upstream):
        return upstream * ctx.slope, None


@planted("the second derivative is right, or refused", task="regression")
def saved_slope_is_differentiated(prediction, target):
    return _SavedSlope.apply(prediction, target)


@planted("the gradient is finite", task="regression")
def root_at_zero(prediction, target):
    return torch.sqrt((prediction - target).square()).mean()


@planted("the gradient is finite", task="classification")
def power_below_one(logits, target):
    t = target.to(logits.dtype)
    p_t = torch.sigmoid(torch.where(t > 0, logits, -logits))
    return ((1 - p_t) ** 0.5 * F.binary_cross_entropy_with_logits(logits, t, reduction="none")).mean()


@planted("the gradient is finite", task="boxes")
def aspect_of_a_flat_box(prediction, target):
    w, h = prediction[:, 2] - prediction[:, 0], prediction[:, 3] - prediction[:, 1]
    v, u = target[:, 2] - target[:, 0], target[:, 3] - target[:, 1]
    low, high = torch.maximum(prediction[:, :2], target[:, :2]), torch.minimum(prediction[:, 2:], target[:, 2:])
    meet = (high - low).clamp(min=0).prod(-1)
    iou = meet / (w * h + v * u - meet + 1e-9)
    return (1 - iou + (torch.atan(w / h) - torch.atan(v / (u + 1e-9))).square()).mean()


@planted("a sure and wrong answer still teaches", task="classification")
def clamped_probability(logits, target):
    p = torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)
    t = target.to(logits.dtype)
    return -(t * p.log() + (1 - t) * (1 - p).log()).mean()


@planted("the gradient pulls every place towards its label", task="segmentation")
def factor_is_differentiated(logits, target):
    """Focal loss over the sum of its own factors: an easy example gains by being less easy."""
    t = target.to(logits.dtype)
    value = F.binary_cross_entropy_with_logits(logits, t, reduction="none")
    factor = (1 - torch.exp(-value)) ** 2
    return (factor * value).sum() / factor.sum().clamp(min=1e-6)


@planted("ignored places have no gradient", task="segmentation", ignore_index=255)
def ignored_in_one_sum_only(logits, target):
    """The mask is on the intersection, not on the sum of the predictions."""
    mask = (target != 255).to(logits.dtype)
    p, t = torch.sigmoid(logits), target.to(logits.dtype) * mask
    return 1 - (2 * (p * t * mask).sum() + 1) / (p.sum() + t.sum() + 1)


@planted("what stands at a place that does not count changes nothing", task="segmentation", ignore_index=255)
def multiplied_by_the_mask(logits, target):
    mask = (target != 255).to(logits.dtype)
    value = F.cross_entropy(logits, target * (target != 255), reduction="none")
    return (value * mask).sum() / mask.sum().clamp(min=1)


# --- fragile ---------------------------------------------------------------------------------------------------------


@planted("the value is finite", task="classification", scores="probabilities")
def logarithm_of_zero(p, target):
    return -torch.log(p.gather(1, target[:, None])).mean()


@planted("shapes that do not match are refused", task="regression")
def broadcasts(prediction, target):
    return (prediction - target).abs().sum() / max(prediction.numel(), 1)


@planted("a label that is no class is refused", task="segmentation")
def labels_as_numbers(logits, target):
    """A 0/255 mask makes this Dice loss negative."""
    p, t = torch.sigmoid(logits), target.to(logits.dtype)
    return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)


@planted("nothing left to average is finite", task="segmentation", ignore_index=255)
def mean_of_nothing(logits, target):
    return F.cross_entropy(logits, target, ignore_index=255)


@planted("an empty batch gives a finite number with a graph", task="boxes")
def empty_batch_is_nan(prediction, target):
    return (prediction - target).abs().mean()


@planted("half precision survives a full-size image", task="segmentation")
def sums_in_half_precision(logits, target):
    p, t = torch.sigmoid(logits), target.to(logits.dtype)
    return 1 - 2 * (p * t).sum(dtype=logits.dtype) / (p.sum(dtype=logits.dtype) + t.sum(dtype=logits.dtype) + 1e-3)


@planted("a false alarm on an empty mask teaches", task="segmentation")
def skips_empty_masks(logits, target):
    p, t = torch.sigmoid(logits).flatten(1), target.to(logits.dtype).flatten(1)
    dice = 1 - 2 * (p * t).sum(1) / (p.sum(1) + t.sum(1) + 1e-7)
    return (dice * (t.sum(1) > 0)).mean()


@planted("an inverted box is not perfect", task="boxes")
def products_of_negative_sides(prediction, target):
    area = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (prediction, target)]
    shift = (prediction[:, :2] + prediction[:, 2:] - target[:, :2] - target[:, 2:]).square().sum(-1)
    return ((area[0] / area[1].clamp(min=1e-6) - 1).square() + shift).sum() / max(len(prediction), 1)


class _Remembers:
    """A loss that sets its option at the first call."""

    def __init__(self) -> None:
        self.alpha = 1.0

    __name__ = "changes_itself"

    def __call__(self, prediction, target):
        value = self.alpha * (prediction - target).square().mean()
        self.alpha = self.alpha / 2
        return value


planted("a call changes neither its arguments nor the loss", task="regression")(_Remembers())


@planted("two equal calls give one number", task="regression")
def random_subset(prediction, target):
    return random.random() * (prediction - target).square().mean()


@planted("no gradient is recorded inside torch.no_grad()", task="regression")
def turns_gradients_on(prediction, target):
    with torch.enable_grad():
        return (prediction - target).square().mean()


@planted("half precision is as exact as its input", task="classification")
def offset_in_half_precision(logits, target):
    """A common offset cancels, and takes the digits of bfloat16 with it."""
    shifted = logits + 100
    return (torch.logsumexp(shifted, 1) - shifted.gather(1, target[:, None])[:, 0]).sum() / max(len(logits), 1)


@planted("nothing waits for the device", task="regression")
def reads_a_value(prediction, target):
    scale = (prediction - target).abs().max().item()
    return (prediction - target).square().mean() / max(scale, 1.0) * max(scale, 1.0)


@planted("torch.vmap over samples gives what each sample gives", task="regression")
def selects_by_a_mask(prediction, target):
    error = prediction - target
    return error[error > 0].sum() - error[error < 0].sum()


@planted("labels keep their digits", task="classification")
def labels_cast_to_the_scores(logits, target):
    return F.cross_entropy(logits.float(), target.to(logits.dtype).long())


# --- what the readings and the newer claims find ---------------------------------------------------------------------


@planted("every place that is not ignored has an influence", task="regression")
def first_column_is_forgotten(prediction, target):
    return (prediction - target)[:, 1:].square().sum() / max(len(prediction), 1)


@planted("every place that is not ignored has an influence", task="sequence")
def shifted_against_its_labels(logits, target):
    """A language model's loss, on labels that are shifted already."""
    return F.cross_entropy(logits[:, :, :-1], target[:, :-1])


@planted("the value is finite", task="boxes")
def nan_at_equal_boxes(prediction, target):
    """Nothing divided by nothing where both boxes are one."""
    distance = (prediction - target).square().sum(-1)
    return (distance / distance.sqrt()).mean()


@planted("the value is finite")
def nan_at_equal_values(prediction, target):
    """As before, and nobody says that it is a regression."""
    distance = (prediction - target).square()
    return (distance / distance.sqrt()).mean()


@planted("the gradient is finite", task="embedding")
def root_of_a_distance(anchor, positive, negative):
    """A triplet loss whose distance has no slope at 0."""
    near, far = ((anchor - other).square().sum(-1).sqrt() for other in (positive, negative))
    return F.relu(near - far + 1).mean()


@planted("the value is finite", task="regression")
def variance_by_its_logarithm(prediction, target, variance):
    """Takes the third argument for a variance, and divides by it."""
    return (0.5 * (variance.log() + (prediction - target) ** 2 / (variance - 0.25))).mean()
