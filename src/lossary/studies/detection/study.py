"""The study itself, and its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.core.loss import Loss
from lossary.studies.data import Data, Split
from lossary.studies.detection import scores
from lossary.studies.detection.scenes import detection_data, load
from lossary.studies.metrics import ClassMetric, Metric
from lossary.studies.results import Comparison
from lossary.studies.study import Beside, Section, Study

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lossary.studies.training import Criterion

_SHOWN = 6
"""Test images in the report."""


def _model(channels: int, classes: int) -> nn.Module:
    from lossary.studies.detection.detector import SmallDetector

    return SmallDetector(channels, classes)


def _join(box_loss: Criterion, class_loss: Loss) -> Criterion:
    from lossary.studies.detection.detector import DetectionCriterion

    return DetectionCriterion(box_loss, class_loss)


def _detections(output: Tensor) -> Tensor:
    from lossary.studies.detection.detector import detect

    return detect(output)


def _outputs(classes: int) -> int:
    return classes + 4


def _pictures(comparison: Comparison, data: Data) -> list[Section]:
    """True and predicted boxes on the same test images, for every loss."""
    from lossary.views import images, report

    found = comparison.predictions
    if not found or not isinstance(data.test, Split):
        return []
    truth = data.test.targets
    chosen = _choose({loss: _overlaps(rows, truth) for loss, rows in found.items()})
    rows = [
        {
            "image": images.png(picture),
            "size": picture.shape[1::-1],
            "truth": _drawn(truth[k], data.classes),
            "predictions": [
                {
                    "loss": loss,
                    "boxes": _drawn(own[k][own[k][:, 5] >= scores.SURE], data.classes),
                    "iou": scores.mean_iou(own[k : k + 1], truth[k : k + 1]),
                }
                for loss, own in found.items()
            ],
        }
        for picture, k in zip(images.grey(data.test.inputs[chosen]), chosen, strict=True)
    ]
    return [
        Section(
            "Boxes side by side",
            f"The first {_SHOWN // 2} test images, then those on which losses differ most; models of seed "
            f"{comparison.seeds[0]}. Dashed: the true box. In colour: detections with a score of {scores.SURE} or "
            "more, with their label. Below each picture the mean IoU of the true boxes with those found.",
            report.render(
                "detection.html",
                rows=rows,
                colours=report.colours(comparison),
                palette=images.class_colours(len(data.classes) + 1)[1:],
            ),
        )
    ]


def _overlaps(detections: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """The mean IoU of each image."""
    return np.array([scores.mean_iou(detections[k : k + 1], objects[k : k + 1]) for k in range(len(objects))])


def _choose(overlaps: dict[str, np.ndarray]) -> list[int]:
    """The first images, so that nothing is picked by hand, and the ones that tell the losses apart."""
    table = np.nan_to_num(np.stack(list(overlaps.values())))
    first = list(range(min(_SHOWN // 2, table.shape[1])))
    order = np.argsort(-np.ptp(table, axis=0), kind="stable").tolist()
    return first + [k for k in order if k not in first][: _SHOWN - len(first)]


def _drawn(rows: np.ndarray, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the page needs of each box."""
    return [
        {"label": classes[int(label)], "index": int(label), "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        for label, x1, y1, x2, y2, *_ in rows[rows[:, 0] >= 0].astype(float).round(2).tolist()
    ]


STUDY = Study(
    name="detection",
    task="binary",  # losses of boxes ask for none
    losses=("iou", "giou", "diou", "ciou", "eiou", "siou"),
    data=detection_data,
    load=load,
    model=_model,
    predict=_detections,
    metrics=(
        Metric("ap", "AP", scores.average_precision),
        Metric("ap50", "AP50", scores.average_precision_50),
        Metric("ap75", "AP75", scores.average_precision_75),
        Metric("mean_iou", "mean IoU", scores.mean_iou),
    ),
    class_metric=ClassMetric("AP", scores.class_precision),
    pictures=_pictures,
    epochs=7,
    batch_size=8,
    learning_rate=0.004,
    outputs=_outputs,
    beside=Beside(loss="focal", task="multilabel", join=_join),
)
