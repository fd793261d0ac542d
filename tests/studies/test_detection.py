"""The detection study: its data, which places learn what, its measures, and a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import lossary as L
from lossary.studies import InputError, compare, detection_data
from lossary.studies.detection import scenes, scores
from lossary.studies.detection.detector import (
    STRIDE,
    DetectionCriterion,
    SmallDetector,
    assign,
    detect,
    grid,
    split,
)


@pytest.fixture(scope="module")
def small() -> object:
    return detection_data(train=16, validation=4, test=6)


def test_boxes_hold_the_ink_and_do_not_overlap(small) -> None:
    scene = scenes.Scene(strokes=0, noise=0.0)
    data = detection_data(train=40, validation=2, test=2, scene=scene)
    assert data.train.targets.dtype == np.float32
    objects = 0
    for image, rows in zip(data.train.inputs[:, 0], data.train.targets, strict=True):
        outside = image > scenes.digits.INK
        own = rows[rows[:, 0] >= 0]
        assert 1 <= len(own) <= scene.most
        assert (rows[len(own) :] == -1).all()
        for _, *corners in own.astype(int).tolist():
            x1, y1, x2, y2 = corners
            for edge in (image[y1, x1:x2], image[y2 - 1, x1:x2], image[y1:y2, x1], image[y1:y2, x2 - 1]):
                assert edge.max() > 0.7 * scenes.digits.INK  # tight; digits are dimmed to .7 to 1
            outside[y1:y2, x1:x2] = False
        assert not outside.any()
        overlap = L.boxes.iou(own[:, 1:], own[:, 1:], pairwise=True)
        assert (overlap[~np.eye(len(own), dtype=bool)] == 0).all()
        objects += len(own)
    assert data.counts().sum() == objects
    again = detection_data(train=16, validation=4, test=6)
    np.testing.assert_array_equal(again.test.inputs, small.test.inputs)


def test_the_smallest_near_object_is_learned() -> None:
    middle = torch.tensor([[2.0, 2.0], [10.0, 10.0], [10.0, 30.0], [60.0, 60.0]])
    target = torch.tensor([[[1.0, 0, 0, 40, 40], [2, 6, 6, 15, 15], [-1, -1, -1, -1, -1]]])
    # in the large box only, but not near to its middle; in the small one; near to no middle; nowhere
    assert assign(middle, target).tolist() == [[-1, 1, -1, -1]]
    assert assign(torch.tensor([[22.0, 18.0]]), target).tolist() == [[0]]


def test_the_criterion_is_the_sum_of_both_losses() -> None:
    output = torch.zeros(1, 3 + 4, 4, 4)
    target = torch.tensor([[[2.0, 4, 4, 12, 12], [-1, -1, -1, -1, -1]]])
    logits, found = split(output)
    np.testing.assert_allclose(found[0, 0], [-2, -2, 6, 6])  # e⁰ strides to each side of (2, 2)
    chosen = assign(grid(output), target)[0] >= 0
    assert grid(output)[chosen].tolist() == [[6, 6], [10, 6], [6, 10], [10, 10]]
    truth = torch.zeros_like(logits)
    truth[0, chosen, 2] = 1
    expected = L.FocalLoss("multilabel", reduction="sum")(logits.transpose(1, 2), truth.transpose(1, 2)) / 4
    expected += L.GIoULoss()(found[0][chosen], target[0, :1, 1:].expand(4, -1))
    value = DetectionCriterion(L.GIoULoss(), L.FocalLoss("multilabel"))(output, target)
    torch.testing.assert_close(value, expected)
    nothing = torch.full((1, 2, 5), -1.0)
    output.requires_grad_()
    value = DetectionCriterion(L.GIoULoss(), L.FocalLoss("multilabel"))(output, nothing)
    value.backward()
    assert torch.isfinite(output.grad).all()


def test_detections_are_sorted_and_suppressed() -> None:
    output = torch.full((2, 2 + 4, 4, 4), -20.0)
    output[:, 2:] = 0.5
    output[0, 1, 1, 1], output[0, 1, 1, 2], output[0, 0, 3, 3], output[0, 0, 1, 1] = 2.0, 1.0, 3.0, 0.0
    found = detect(output, overlap=0.3)
    assert found.shape == (2, 10, 6)
    # the neighbour of the same class is gone, the other class at the same place is not
    assert found[0, :, 0].tolist() == [0, 1, 0] + 7 * [-1]
    torch.testing.assert_close(found[0, :3, 5], torch.sigmoid(torch.tensor([3.0, 2.0, 0.0])))
    assert (found[1, :, 0] == -1).all()
    middle = (found[0, 0, 1:3] + found[0, 0, 3:5]) / 2
    assert middle.tolist() == [3.5 * STRIDE, 3.5 * STRIDE]


def test_any_image_size() -> None:
    model = SmallDetector(3, 2).eval()
    assert model(torch.zeros(1, 3, 33, 50)).shape == (1, 6, 9, 13)


def test_scores_by_hand() -> None:
    objects = np.array([[[0.0, 0, 0, 10, 10], [1, 20, 20, 30, 30]], [[0, 5, 5, 15, 25], [-1] * 5]], np.float32)
    exact = np.concatenate([objects, np.full((2, 2, 1), 0.9, np.float32)], axis=-1)
    assert scores.average_precision(exact, objects) == pytest.approx(1)
    assert scores.mean_iou(exact, objects) == pytest.approx(1)
    worse = exact.copy()
    worse[0, 1, 4] = 28  # IoU .8 with the one object of class 1: right for seven thresholds of ten
    assert scores.average_precision(worse, objects) == pytest.approx((1 + 0.7) / 2)
    assert scores.average_precision_50(worse, objects) == pytest.approx(1)
    np.testing.assert_allclose(scores.class_precision(worse, objects, 3), [1, 0.7, np.nan])
    worse[0, 1, 4] = 27
    assert scores.average_precision_75(worse, objects) == pytest.approx(0.5)
    assert scores.mean_iou(worse, objects) == pytest.approx((1 + 0.7 + 1) / 3)
    unsure = exact * [1, 1, 1, 1, 1, 0.1]
    assert scores.mean_iou(unsure, objects) == 0
    none = np.full((2, 3, 6), -1.0, np.float32)
    assert scores.average_precision(none, objects) == 0


def test_a_comparison(small, tmp_path: Path) -> None:
    """Box loss and class loss chosen apart, pictures of boxes in the report."""
    result = compare("giou,2*ciou+l1", study="detection", class_loss="bce", data=small, seeds=1, epochs=1, out=tmp_path)
    assert [run.status for run in result.runs] == ["finished", "finished"]
    assert result.setting["beside"] == "BCELoss('multilabel')"
    assert set(result.runs[0].test) == {"ap", "ap50", "ap75", "mean_iou"}
    page = (tmp_path / "report.html").read_text()
    assert page.count('<svg class="boxes"') == 6 * 3  # the truth and two losses
    assert len(re.findall('class="truth"', page)) > 6
    assert "BCELoss(&#39;multilabel&#39;)" in page
    assert json.loads((tmp_path / "results.json").read_text())["study"] == "detection"


def test_messages(small, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the segmentation study has no second loss"):
        compare("dice", class_loss="focal")
    with pytest.raises(InputError, match="the loss 'focal' does not suit detection"):
        compare("focal", study="detection", data=small)
    with pytest.raises(InputError, match="in 'focall'"):
        compare("giou", study="detection", data=small, class_loss="focall")


def test_own_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(10, 40, 40))
    labels = np.tile([[0, -1], [1, 0]], (5, 1))
    boxes = np.tile([[3.0, 4, 20, 30], [10, 10, 30, 20]], (10, 1, 1))
    path = tmp_path / "own.npz"
    np.savez(path, images=images, labels=labels, boxes=boxes)
    data = scenes.load(path)
    assert data.classes == ("0", "1")
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 10
    for broken, message in (
        ({"boxes": boxes[:, :1]}, r"`boxes` must have shape \(10, 2, 4\)"),
        ({"boxes": boxes[..., [2, 3, 0, 1]]}, r"corners x1 < x2, y1 < y2; got .* at \[0, 0\]"),
        ({"labels": labels - 2}, "holds no object"),
        ({"labels": labels[:, 0]}, r"`labels` must hold integers of shape \(10, M\)"),
    ):
        np.savez(path, **{"images": images, "labels": labels, "boxes": boxes, **broken})
        with pytest.raises(InputError, match=message):
            scenes.load(path)
