"""Functions of boxes: equal to the losses, right for every pair, and non-maximum suppression against a plain loop."""

from __future__ import annotations

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

import lossary as L
from frameworks import to_numpy
from lossary import boxes
from lossary.checker.draws import EDGE_BOXES, generator, to_format

MEASURES = ("iou", "giou", "diou", "ciou", "eiou")
LIBRARIES = {"numpy": np.asarray, "torch": torch.tensor, "jax": jnp.asarray, "tensorflow": tf.convert_to_tensor}


def draw(n: int, *key: object, size: float = 10.0, image: float = 40.0) -> np.ndarray:
    rng = generator("boxes", n, *key)
    low = rng.uniform(0, image, size=(n, 2))
    return np.concatenate([low, low + rng.uniform(0.1, size, size=(n, 2))], axis=1)


def loss_of(name: str) -> L.Loss:
    return L.create(name, reduction="none")


@pytest.mark.parametrize("name", MEASURES)
def test_one_minus_the_measure_is_the_loss(name: str) -> None:
    a, b = (np.array([pair[side] for pair in EDGE_BOXES], dtype=float) for side in (0, 1))
    np.testing.assert_allclose(1 - getattr(boxes, name)(a, b), loss_of(name)(a, b), rtol=0, atol=1e-15)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", MEASURES)
def test_pairwise_is_the_measure_of_each_pair(name: str, library: str) -> None:
    a, b = draw(7, "a"), draw(3, "b")
    make = LIBRARIES[library]
    measure = getattr(boxes, name)
    whole = to_numpy(measure(make(a.astype("f4")), make(b.astype("f4")), pairwise=True))
    assert whole.shape == (7, 3)
    each = [[measure(x, y) for y in b] for x in a]
    np.testing.assert_allclose(whole, each, atol=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_blocks_change_nothing(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (LIBRARIES[library](draw(n, n).astype("f4")) for n in (23, 11))
    whole = to_numpy(boxes.ciou(a, b, pairwise=True))
    monkeypatch.setattr(boxes, "_BLOCK", 40)
    np.testing.assert_allclose(to_numpy(boxes.ciou(a, b, pairwise=True)), whole, rtol=1e-5, atol=1e-6)


def test_pairwise_has_gradients_and_compiles() -> None:
    a, b = torch.tensor(draw(5, "a")).requires_grad_(), torch.tensor(draw(4, "b"))
    boxes.giou(a, b, pairwise=True).sum().backward()
    assert torch.isfinite(a.grad).all()
    compiled = torch.compile(lambda a, b: boxes.ciou(a, b, pairwise=True), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(a, b), boxes.ciou(a, b, pairwise=True))


def test_no_boxes() -> None:
    none, some = np.zeros((0, 4)), draw(3)
    assert boxes.iou(none, some, pairwise=True).shape == (0, 3)
    assert boxes.iou(some, none, pairwise=True).shape == (3, 0)
    assert boxes.iou(none, none).shape == (0,)
    assert boxes.nms(none, np.zeros(0), 0.5).shape == (0,)


def test_pairwise_memory_is_that_of_the_result() -> None:
    """3000 × 4000 pairs: 96 MB of float64, and all that the formula takes beside it is a few blocks."""
    import tracemalloc

    a, b = draw(3000), draw(4000)
    tracemalloc.start()
    boxes.ciou(a, b, pairwise=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 96e6


@pytest.mark.parametrize("source", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("to", ["xyxy", "xywh", "cxcywh"])
def test_convert(source: str, to: str) -> None:
    corners = draw(6)
    given = to_format(corners, source)
    np.testing.assert_allclose(boxes.convert(given, source, to), to_format(corners, to), rtol=1e-12)
    np.testing.assert_allclose(boxes.area(given, format=source), boxes.area(corners), rtol=1e-12)


def test_messages() -> None:
    a, b = draw(3), draw(2)
    with pytest.raises(ValueError, match="pass pairwise=True"):
        boxes.iou(a, b)
    with pytest.raises(ValueError, match=r"pairwise takes \(N, 4\) and \(M, 4\)"):
        boxes.iou(a[None], b, pairwise=True)
    with pytest.raises(ValueError, match="four numbers"):
        boxes.area(a[:, :3])
    with pytest.raises(ValueError, match="`format` must be one of"):
        boxes.area(a, format="yxyx")
    with pytest.raises(TypeError, match="`b` of torch"):
        boxes.iou(a, torch.tensor(a))
    with pytest.raises(ValueError, match=r"`scores` must have shape \(3,\)"):
        boxes.nms(a, np.ones(2), 0.5)
    with pytest.raises(ValueError, match=r"`threshold` must lie in \[0, 1\]; got 50"):
        boxes.nms(a, np.ones(3), 50)
    with pytest.raises(ValueError, match=r"`scores` must be finite; got nan at \[1\]"):
        boxes.nms(a, np.array([1, np.nan, 0]), 0.5)


# --- non-maximum suppression ------------------------------------------------------------------------------------------


def plain_nms(found: np.ndarray, scores: np.ndarray, threshold: float, kind: str, classes: np.ndarray) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        measure = getattr(boxes, kind)
        if all(classes[i] != classes[k] or measure(found[i], found[k]) <= threshold for k in kept):
            kept.append(int(i))
    return kept


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_nms(kind: str, threshold: float, library: str) -> None:
    rng = generator("nms", kind, threshold)
    found = np.concatenate([draw(120, kind), np.repeat([[3.0, 3, 3, 3], [1, 1, 5, 1]], 2, axis=0)]).astype("f4")
    scores, classes = rng.uniform(size=124).astype("f4").round(2), rng.integers(0, 3, size=124)
    make = LIBRARIES[library]
    for labels in (np.zeros(124, int), classes):
        expected = plain_nms(found, scores, threshold, kind, labels)
        call = {"kind": kind, "classes": make(labels)}
        kept = boxes.nms(make(found), make(scores), threshold, **call)
        assert to_numpy(kept).tolist() == expected
        assert type(kept) is type(make(found))
        assert to_numpy(boxes.nms(make(found), make(scores), threshold, limit=5, **call)).tolist() == expected[:5]
    assert len(boxes.nms(make(found), make(scores), 1.0)) == 124


def test_many_blocks_and_windows() -> None:
    found, scores = draw(3000, size=30, image=200), generator("scores").uniform(size=3000)
    expected = plain_nms_with(boxes.iou(found, found, pairwise=True), scores, 0.4)
    assert boxes.nms(found, scores, 0.4).tolist() == expected


def plain_nms_with(overlap: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not (overlap[i, kept] > threshold).any():
            kept.append(int(i))
    return kept


def test_diou_spares_neighbours_in_a_crowd() -> None:
    """S4: two people side by side overlap by .54; their centres are apart, so DIoU-NMS keeps both."""
    found, scores = np.array([[0.0, 0, 10, 20], [3, 0, 13, 20]]), np.array([0.9, 0.8])
    assert boxes.nms(found, scores, 0.53).tolist() == [0]
    assert boxes.nms(found, scores, 0.53, kind="diou").tolist() == [0, 1]


def test_soft_nms() -> None:
    found = np.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [0, 0, 10, 10]])
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    index, score = boxes.soft_nms(found, scores, method="linear")
    assert index.tolist() == [0, 2, 1]  # the duplicate of the best falls to 0
    np.testing.assert_allclose(score, [0.9, 0.7, 0.4])
    index, score = boxes.soft_nms(torch.tensor(found), torch.tensor(scores), classes=torch.tensor([0, 1, 0, 2]))
    assert index.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(score, torch.tensor(scores))
    assert scores[1] == 0.8  # the caller's scores stay


def test_a_hundred_thousand_boxes_in_bounded_memory() -> None:
    code = """
import resource, numpy as np
from lossary import boxes
rng = np.random.default_rng(0)
low = rng.uniform(0, 4000, (100_000, 2))
found = np.concatenate([low, low + rng.uniform(8, 120, (100_000, 2))], axis=1).astype("f4")
scores = rng.uniform(size=100_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kept = boxes.nms(found, scores, 0.5)
print(len(kept), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200)
    kept, megabytes = map(float, result.stdout.split())
    assert kept > 20_000
    assert megabytes < 150


# pairs near the greatest cost of each loss: a speck beside a long box's end, specks far apart along one axis, two
# needles across each other, a speck in the corner of a box
EXTREME = np.array(
    [
        [[0, 0, 1e-9, 1e-9], [1, 0, 1 + 1e-9, 1e-9]],
        [[0, 0, 1e-9, 1e-9], [1, 1e-4, 1 + 1e-18, 1e-4 + 1e-18]],
        [[0, 0, 1e-9, 1], [1e6, 1e-3, 1e6 + 1, 1e-3 + 1e-9]],
        [[0, 0, 1, 1e-9], [1e6, 1e6, 1e6 + 1e-9, 1e6 + 1]],
        [[0, 0, 1, 1], [1 - 1e-9, 1 - 1e-9, 1, 1]],
    ]
)


@pytest.mark.parametrize(
    "loss",
    [
        L.GIoULoss(),
        L.DIoULoss(),
        L.CIoULoss(),
        L.EIoULoss(),
        L.FocalEIoULoss(gamma=0.0),
        L.CDIoULoss(base="ciou"),
        L.SIoULoss(theta=1.0),
        L.WIoULoss(),
    ],
    ids=repr,
)
def test_the_range_is_reached_and_not_left(loss: L.Loss) -> None:
    greatest = loss.replace(reduction="none")(EXTREME[:, 0], EXTREME[:, 1]).max()
    high = loss.facts.span[1]
    assert 0.998 * high < greatest <= high * (1 + 1e-9)
