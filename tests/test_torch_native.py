"""The gradients that are written by hand for eager torch, where the suite over all losses does not look."""

from __future__ import annotations

import pytest
import torch

import lossary as L
from frameworks import tensors
from lossary.array.primitives import log_softmax_at
from lossary.array.sorted_errors import jaccard_extension
from lossary.array.torch_blocks import blockwise
from lossary.checker.draws import draw
from lossary.core.loss import Loss
from variants import defaults

DICE, CROSS, FOCAL = L.DiceLoss("multiclass"), L.CrossEntropyLoss(), L.FocalLoss("multiclass")
IGNORING = L.DiceLoss("multiclass", ignore_index=1) + L.CrossEntropyLoss(ignore_index=1, class_weight=(1, 2, 3))
SUMS = {
    "dice + cross entropy": DICE + CROSS,
    "cross entropy + tversky per batch": CROSS + L.TverskyLoss("multiclass", per="batch"),
    "two regions": DICE + L.TverskyLoss("multiclass", per="batch"),
    "squares": L.DiceLoss("multiclass", squared=True) + FOCAL,
    "smoothed": DICE + L.CrossEntropyLoss(label_smoothing=0.1),
    "ignored label": IGNORING,
    "everything": L.LovaszSoftmaxLoss(per="image") + CROSS + DICE + FOCAL,
}
KEYWORDS = ("plain", "mask", "pixels", "images")


def images(layout: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((2, 3, 2, 2), generator=generator, dtype=torch.float64)
    target = torch.randint(3, (2, 2, 2), generator=generator)
    if layout == "strided":
        logits = logits.contiguous(memory_format=torch.channels_last)
    return logits, target


@pytest.mark.parametrize("layout", ["plain", "strided", "last"])
@pytest.mark.parametrize("weights", KEYWORDS)
@pytest.mark.parametrize("name", SUMS)
def test_sums_to_the_second_derivative(name: str, weights: str, layout: str) -> None:
    loss: Loss = SUMS[name]
    logits, target = images(layout)
    places = torch.rand(target.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    keywords = {
        "plain": {},
        "mask": {"mask": places > 0.3},
        "pixels": {"sample_weight": places},
        "images": {"sample_weight": places[:, 0, 0]},
    }[weights]
    if layout == "last":
        logits = logits.movedim(1, -1).contiguous()
        loss = L.SumLoss(tuple((weight, part.replace(class_axis=-1)) for weight, part in loss.terms))
    logits.requires_grad_()

    def call(z: torch.Tensor) -> torch.Tensor:
        return loss(z, target, **keywords)

    arrays = {key: value.numpy() for key, value in keywords.items()}
    assert call(logits).item() == pytest.approx(float(loss(logits.detach().numpy(), target.numpy(), **arrays)))
    torch.autograd.gradcheck(call, (logits,), check_batched_grad=True)
    torch.autograd.gradgradcheck(call, (logits,))


def test_a_sum_has_one_backward_pass() -> None:
    """One node for the softmax and all that is read of it: nothing of the size of the logits is added up."""
    logits, target = images("plain")
    value = (DICE + CROSS + FOCAL)(logits.requires_grad_(), target)
    seen, nodes = set(), [value.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
    names = sorted(node.name() for node in seen)
    assert names.count("SoftmaxAtBackward") == 1
    assert not any("LogSoftmax" in name or name == "SoftmaxBackward0" for name in names)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("joined", [False, True])
def test_lovasz_of_long_rows(joined: bool, weighted: bool, dtype: torch.dtype) -> None:
    """Rows so long that torch sorts integers by their digits: value and slopes against the portable definition."""
    generator = torch.Generator().manual_seed(3)
    p = torch.rand((2, 3, 40_000), generator=generator, dtype=dtype).requires_grad_()
    index = torch.randint(2, (2, 40_000), generator=generator)  # class 2 is absent
    weight = torch.rand(index.shape, generator=generator, dtype=dtype) if weighted else None
    loss = L.LovaszSoftmaxLoss()
    values = jaccard_extension(loss.errors, p, index, weight, joined)
    given = [None if x is None else x.numpy() for x in (p.detach().double(), index, weight)]
    expected = torch.tensor(jaccard_extension(loss.errors, *given, joined))
    torch.testing.assert_close(values.double(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)
    # each error is its distance from what is true, so the slopes times that distance add up to the value
    values.sum().backward()
    true = index.unsqueeze(1) == torch.arange(3).unsqueeze(1)
    assert ((p - true.to(dtype)) * p.grad).sum().item() == pytest.approx(expected.sum().item(), rel=1e-5)
    assert (torch.where(true, -p.grad, p.grad) >= 0).all()


def test_lovasz_skips_what_nobody_reads() -> None:
    """NumPy computes all classes and leaves the unread ones out of the mean."""
    logits, target = images("plain")
    target = target.clamp(max=1)  # class 2 is absent
    for classes in ("present", "all", (0, 1), (2,)):
        for per in ("batch", "image"):
            loss = L.LovaszSoftmaxLoss(classes=classes, per=per, class_weight=(1, 0, 2))
            assert loss(logits, target).item() == pytest.approx(float(loss(logits.numpy(), target.numpy())))


def test_lovasz_of_an_absent_class_is_its_largest_error() -> None:
    logits, target = images("plain")
    expected = torch.softmax(logits, 1)[:, 2].max()
    loss = L.LovaszSoftmaxLoss(classes=(2,))
    assert loss(logits, target.clamp(max=1)).item() == pytest.approx(expected.item(), rel=1e-12)
    assert loss(logits.numpy(), target.clamp(max=1).numpy()) == pytest.approx(expected.item(), rel=1e-12)


CHANGED = {
    "margins": (30.0, None, True),
    "prior": (1.0, 4.0, False),
    "all": (3.0, 50.0, True),
    "far": (900.0, None, True),
}


@pytest.mark.parametrize("layout", ["plain", "strided", "last", "rows"])
@pytest.mark.parametrize("name", CHANGED)
def test_log_softmax_of_changed_logits(name: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample by sample, to the second derivative; also where a label lies so far below that its share is nothing."""
    monkeypatch.setattr("lossary.array.torch_blocks.BLOCK", 3)
    logits, target = images(layout)
    axis = 1
    if layout == "last":
        logits, axis = logits.movedim(1, -1).contiguous(), 3
    elif layout == "rows":
        logits, target = logits[:, :, 0, 0].contiguous(), target[:, 0, 0]
    scale, shift, less = CHANGED[name]
    shift = None if shift is None else torch.linspace(-shift, shift, 3, dtype=torch.float64)
    less = torch.rand(target.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64) if less else None

    def call(z: torch.Tensor) -> torch.Tensor:
        return log_softmax_at(z, target, axis, scale, shift, less)

    z = logits.clone().requires_grad_()
    torch.testing.assert_close(call(z).detach(), call(logits), rtol=1e-13, atol=0)  # without a gradient: the definition
    if name != "far":
        torch.autograd.gradcheck(call, (z,), check_batched_grad=True)
        torch.autograd.gradgradcheck(call, (z,))


def test_formulas_that_cannot_be_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown operation, and a constant of the size of a block; beside one that can."""
    monkeypatch.setattr("lossary.array.torch_blocks.BLOCK", 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    x = torch.linspace(-1, 1, 8)
    formulas = (
        lambda xp, x: torch.erf(x),
        lambda xp, x: x * torch.arange(x.numel()),
        lambda xp, x: torch.add(x * x, x, alpha=2) + torch.add(x * x, x, alpha=3),
    )
    for formula in formulas:
        (values,) = blockwise(lambda xp, x, smooth: x, (formula,), x, ())
        torch.testing.assert_close(values, formula(None, x), rtol=0, atol=0)


@pytest.mark.parametrize("loss", defaults(), ids=repr)
def test_no_gradient_carries_a_graph_that_was_not_asked_for(loss: Loss) -> None:
    """`torch.autograd.grad` without `create_graph`: gradients that require a gradient keep all memory, and `.numpy()`
    raises."""
    prediction, target, keywords = tensors("torch", draw(loss), "float64")
    leaves = [prediction, *(x for x in keywords.values() if x.is_floating_point())]
    for leaf in leaves:
        leaf.requires_grad_()
    value = loss(prediction, target, **keywords)
    for keep in (True, False):  # the second time what was kept may be overwritten
        gradients = torch.autograd.grad(value, leaves, retain_graph=keep, allow_unused=True)
        assert not any(g.requires_grad for g in gradients if g is not None)
