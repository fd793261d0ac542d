"""Measures of detections (N, K, 6) against objects (N, M, 5). Average precision is COCO's, by faster-coco-eval."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossary import boxes
from lossary.core.extras import needed

SURE = 0.3
"""The score from which on `mean_iou` takes a detection for the detector's answer."""


def average_precision(detections: np.ndarray, objects: np.ndarray) -> float:
    """COCO's AP: the mean over the thresholds .5, .55 … .95 of the IoU, and over the classes."""
    return _mean(_precision(detections, objects))


def average_precision_50(detections: np.ndarray, objects: np.ndarray) -> float:
    """AP where an IoU of .5 is enough."""
    return _mean(_precision(detections, objects)[0])


def average_precision_75(detections: np.ndarray, objects: np.ndarray) -> float:
    """AP where the IoU must reach .75."""
    return _mean(_precision(detections, objects)[5])


def class_precision(detections: np.ndarray, objects: np.ndarray, classes: int) -> np.ndarray:
    """AP of each class; NaN for one that does not occur."""
    precision = _precision(detections, objects, classes)
    return np.array([_mean(precision[:, :, k]) for k in range(classes)])


def mean_iou(detections: np.ndarray, objects: np.ndarray) -> float:
    """Mean over the objects of the IoU with the best detection of their class that is sure enough; 0 where none is."""
    found: list[float] = []
    for own, true in zip(detections, objects, strict=True):
        sure = own[(own[:, 0] >= 0) & (own[:, 5] >= SURE)]
        for label, *corner in true[true[:, 0] >= 0]:
            same = sure[sure[:, 0] == label, 1:5]
            overlap = boxes.iou(same, np.array([corner], same.dtype), pairwise=True)
            found.append(float(overlap.max(initial=0.0)))
    return float(np.mean(found)) if found else float("nan")


def _mean(precision: np.ndarray) -> float:
    """Of the classes that occur; COCO writes -1 for the others."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")


def _precision(detections: np.ndarray, objects: np.ndarray, classes: int | None = None) -> np.ndarray:
    """Precision by threshold of the IoU (10), recall (101) and class."""
    with needed("average precision", "studies"):
        from faster_coco_eval import COCO, COCOeval_faster  # pyright: ignore

    if classes is None:
        classes = int(max(objects[..., 0].max(), detections[..., 0].max())) + 1
    truth: Any = COCO(
        {
            "images": [{"id": image} for image in range(len(objects))],
            "categories": [{"id": label, "name": str(label)} for label in range(classes)],
            "annotations": [
                {**entry, "id": number, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
                for number, entry in enumerate(_entries(objects), start=1)
            ],
        }
    )
    evaluation: Any = COCOeval_faster(truth, truth.loadRes(_entries(detections)), "bbox", print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, -1]  # objects of any size, all detections


def _entries(rows: np.ndarray) -> list[dict[str, Any]]:
    """COCO's list of boxes, with scores where the rows have one."""
    found: list[dict[str, Any]] = []
    for image, own in enumerate(rows):
        for label, x1, y1, x2, y2, *score in own[own[:, 0] >= 0].astype(float).tolist():
            entry = {"image_id": image, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            found.append(entry | ({"score": score[0]} if score else {}))
    return found


def _silent(*_: object, **__: object) -> None:
    """COCO's evaluation prints; a comparison has a progress bar there."""
