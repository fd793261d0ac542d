"""The hand-written gradient of box geometry in eager torch: equal to autograd's of the definition, ties included."""

from __future__ import annotations

import pytest
import torch

import lossary as L
from lossary.array.namespace import namespace
from lossary.checker.draws import EDGE_BOXES, generator, to_format
from lossary.core.families.box_pair import MEASURES, BoxPair, box_pair

FORMATS = ("xyxy", "xywh", "cxcywh")


def random_pairs(format: str, inverted: bool) -> tuple[torch.Tensor, torch.Tensor]:
    rng = generator("geometry", format)
    corners = torch.tensor(rng.uniform(0, 10, size=(2, 300, 4)))
    if not inverted:
        low, high = corners[..., :2], corners[..., 2:]
        corners = torch.cat([torch.minimum(low, high), torch.maximum(low, high)], dim=-1)
        corners = torch.tensor(to_format(corners.numpy(), format))
    elif format != "xyxy":
        corners[..., 2:] -= 3  # some sides are negative
    return tuple(corners)


def edges(size: float) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = size * torch.tensor(EDGE_BOXES, dtype=torch.float64)
    return pairs[:, 0], pairs[:, 1]


def both(prediction: torch.Tensor, target: torch.Tensor, format: str) -> tuple[BoxPair, BoxPair, torch.Tensor]:
    """The pair as eager torch has it, the definition, and their leaf."""
    leaf = prediction.clone().requires_grad_()
    native = box_pair(namespace(leaf), leaf, target, format, lambda: MEASURES)
    assert set(MEASURES) <= set(vars(native))
    return native, BoxPair.of(namespace(leaf), leaf, target, format), leaf


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("inverted", [False, True])
def test_equals_its_definition(format: str, measure: str, inverted: bool) -> None:
    native, portable, leaf = both(*random_pairs(format, inverted), format)
    weight = torch.linspace(-1, 1, len(leaf), dtype=torch.float64)
    results = []
    for pair in (native, portable):
        value = getattr(pair, measure)
        (gradient,) = torch.autograd.grad((value * weight).sum(), leaf, create_graph=True)
        (plain,) = torch.autograd.grad((value * weight).sum(), leaf, retain_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), leaf)
        results.append((value, plain, gradient, second))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("measure", MEASURES)
def test_ties_and_edges(measure: str, size: float) -> None:
    """Boxes without area, equal ones, touching ones: one subgradient for both, and finite in float32."""
    native, portable, leaf = both(*edges(size), "xyxy")
    gradients = [torch.autograd.grad(getattr(pair, measure).sum(), leaf)[0] for pair in (native, portable)]
    torch.testing.assert_close(getattr(native, measure), getattr(portable, measure), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9 / size)
    native, _, leaf = both(*(x.float() for x in edges(size)), "xyxy")
    assert torch.isfinite(torch.autograd.grad(getattr(native, measure).sum(), leaf)[0]).all()


def test_nothing_but_the_boxes_is_kept() -> None:
    prediction, target = random_pairs("xyxy", inverted=False)
    leaf = prediction.requires_grad_()
    kept: set[int] = set()

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.add(tensor.untyped_storage().data_ptr())
        return tensor

    for loss in (L.IoULoss(), L.GIoULoss(), L.DIoULoss(), L.EIoULoss()):
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            value = loss(leaf, target)
        sizes = {leaf.untyped_storage().data_ptr(), target.untyped_storage().data_ptr()}
        # (the mean keeps its denominator, one number, and the choice what is divided by it)
        assert len(kept - sizes) <= 2, loss
        kept.clear()
        del value


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode_and_batched_gradients() -> None:
    prediction, target = random_pairs("cxcywh", inverted=False)
    prediction, target = prediction[:6], target[:6]
    loss = L.GIoULoss(format="cxcywh", reduction="none")
    tangent = torch.tensor([1.0, 2, 0, 0], dtype=torch.float64).expand_as(prediction)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(prediction, tangent)
        moved = torch.autograd.forward_ad.unpack_dual(loss(dual, target)).tangent
    leaf = prediction.clone().requires_grad_()
    value = loss(leaf, target)
    (gradient,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
    torch.testing.assert_close(moved, (gradient * tangent).sum(-1))
    with torch.autograd.forward_ad.dual_level():
        moved_target = torch.autograd.forward_ad.make_dual(target, tangent)
        by_target = torch.autograd.forward_ad.unpack_dual(loss(prediction, moved_target)).tangent
    torch.testing.assert_close(by_target, -moved)  # moving both leaves the loss as it is
    (rows,) = torch.autograd.grad(value, leaf, torch.eye(6, dtype=torch.float64), is_grads_batched=True)
    torch.testing.assert_close(rows[range(6), range(6)], gradient)


def test_a_target_that_learns() -> None:
    """Then autograd differentiates the definition by both."""
    prediction, target = random_pairs("xyxy", inverted=False)
    target.requires_grad_()
    L.CIoULoss()(prediction, target).backward()
    reverse = target.detach().clone().requires_grad_()
    L.DIoULoss()(reverse, prediction).backward()
    assert torch.isfinite(target.grad).all()
    target.grad = None
    L.DIoULoss()(prediction, target).backward()
    torch.testing.assert_close(target.grad, reverse.grad)  # DIoU is symmetric
