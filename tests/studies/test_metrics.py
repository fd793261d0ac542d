"""Metrics against scikit-learn and against loops that share nothing with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, jaccard_score

from lossary.studies import metrics, outlines

CLASSES = 4


@pytest.fixture(params=["ordinary", "class missing from the truth", "class missing from both", "perfect"])
def labels(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true labels (N, H, W)."""
    rng = np.random.default_rng(3)
    target = rng.integers(0, CLASSES, (5, 6, 7))
    predicted = np.where(rng.random(target.shape) < 0.6, target, rng.integers(0, CLASSES, target.shape))
    if "missing" in request.param:
        target[target == 2] = 1
    if request.param == "class missing from both":
        predicted[predicted == 2] = 3
    if request.param == "perfect":
        predicted = target.copy()
    return predicted.astype(np.uint8), target


def test_segmentation_metrics_are_those_of_scikit_learn(labels: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, target = labels
    p, t = predicted.ravel(), target.ravel()
    present = sorted(set(p.tolist()) | set(t.tolist()))
    front = [c for c in present if c > 0]
    assert metrics.mean_iou(predicted, target) == pytest.approx(jaccard_score(t, p, labels=present, average="macro"))
    assert metrics.foreground_iou(predicted, target) == pytest.approx(
        jaccard_score(t, p, labels=front, average="macro")
    )
    assert metrics.foreground_dice(predicted, target) == pytest.approx(f1_score(t, p, labels=front, average="macro"))
    by_class = metrics.class_dice(predicted, target, CLASSES)
    for c in range(CLASSES):
        size = int((p == c).sum() + (t == c).sum())
        expected = 2 * int(((p == c) & (t == c)).sum()) / size if size else math.nan
        assert by_class[c] == pytest.approx(expected, nan_ok=True)


def test_classification_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    logits, target = rng.normal(size=(200, CLASSES)), rng.integers(0, CLASSES, 200)
    logits[np.arange(200), target] += 1
    answers = logits.argmax(1)
    assert metrics.balanced_accuracy(logits, target) == pytest.approx(balanced_accuracy_score(target, answers))
    assert metrics.macro_f1(logits, target) == pytest.approx(f1_score(target, answers, average="macro"))


@pytest.mark.parametrize("scale", [0.1, 1, 5, 1000])
def test_calibration_error_is_the_sum_over_bins(scale: float) -> None:
    rng = np.random.default_rng(5)
    logits, target = scale * rng.normal(size=(300, CLASSES)), rng.integers(0, CLASSES, 300)
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, true in zip(logits.tolist(), target.tolist(), strict=True):
        powers = [math.exp(x - max(row)) for x in row]
        sure = max(powers) / sum(powers)
        place = next(i for i in range(15) if sure <= (i + 1) / 15 + 1e-12)
        bins[place].append((sure, row.index(max(row)) == true))
    gaps = [abs(math.fsum(s for s, _ in b) - sum(right for _, right in b)) for b in bins]
    assert metrics.calibration_error(logits, target) == pytest.approx(math.fsum(gaps) / 300)


def test_calibration_error_of_the_textbook() -> None:
    sure = np.log([[0.8, 0.2]] * 10)
    assert metrics.calibration_error(sure, np.array([0] * 8 + [1] * 2)) == pytest.approx(0, abs=1e-12)
    assert metrics.calibration_error(sure, np.zeros(10, int)) == pytest.approx(0.2)


# --- outlines ---------------------------------------------------------------------------------------------------------


def outline(mask: np.ndarray) -> list[tuple[int, int]]:
    """The pixels of a mask that touch its outside by a side; the frame is outside."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return [(int(i), int(j)) for i, j in np.argwhere(mask & ~inner)]


def gaps(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> list[float]:
    return [min(math.dist(p, q) for q in b) for p in a]


def test_measures_of_outlines_are_those_of_loops() -> None:
    rng = np.random.default_rng(6)
    target, predicted = np.zeros((6, 12, 12), np.int64), np.zeros((6, 12, 12), np.uint8)
    for n in range(6):
        for c in (1, 2):
            for image in (target, predicted):
                row, column, height, width = rng.integers(0, 7, 2).tolist() + rng.integers(2, 6, 2).tolist()
                image[n, row : row + height, column : column + width] = c
    target[0], predicted[1], predicted[2], target[2] = 0, 0, 0, 0
    far, agreeing = [], []
    for n in range(6):
        for c in (1, 2):
            p, t = outline(predicted[n] == c), outline(target[n] == c)
            if not p and not t:
                continue
            if not p or not t:
                far.append(math.hypot(12, 12))
                agreeing.append(0.0)
                continue
            far.append(max(np.percentile(gaps(p, t), 95), np.percentile(gaps(t, p), 95)))
            both = gaps(p, t) + gaps(t, p)
            agreeing.append(sum(d <= 1 for d in both) / len(both))
    assert outlines.hausdorff95(predicted, target) == pytest.approx(np.mean(far), rel=1e-6)
    assert outlines.surface_dice(predicted, target) == pytest.approx(np.mean(agreeing), rel=1e-6)


def test_measures_of_outlines_where_there_is_none() -> None:
    nothing, one = np.zeros((2, 4, 3), np.int64), np.zeros((2, 4, 3), np.int64)
    one[0, 1, 1] = 1
    for measure in (outlines.hausdorff95, outlines.surface_dice):
        assert math.isnan(measure(nothing, nothing))
    assert (outlines.hausdorff95(one, one), outlines.surface_dice(one, one)) == (0, 1)
    assert (outlines.hausdorff95(nothing, one), outlines.surface_dice(nothing, one)) == (5, 0)
