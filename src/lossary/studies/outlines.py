"""How far the outlines of predicted and true regions are apart, by the measures of MONAI.

Each foreground class of each image is a pair of regions. One that is in neither counts nothing.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from lossary.core.extras import needed

TOLERANCE = 1.0
"""How many pixels off an outline may be and still agree, for the surface Dice."""


def hausdorff95(labels: np.ndarray, target: np.ndarray) -> float:
    """The mean Hausdorff distance in pixels, of which the farthest 5 % of both outlines are left out.

    A region that is in the prediction or the truth only is as far off as the image allows: its diagonal.
    """
    return _mean_of("compute_hausdorff_distance", labels, target, math.hypot(*target.shape[1:]), percentile=95)


def surface_dice(labels: np.ndarray, target: np.ndarray) -> float:
    """The mean share of both outlines that is within a pixel of the other; 0 for a region that is in one only."""
    return _mean_of("compute_surface_dice", labels, target, 0.0, class_thresholds=[TOLERANCE])


def _mean_of(measure: str, labels: np.ndarray, target: np.ndarray, worst: float, **options: Any) -> float:
    """The mean over all regions, where one without a counterpart counts as `worst`."""
    predicted, true, lone = _regions(labels, target)
    count = len(predicted) + lone
    if not count:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI calls what MONAI has deprecated
        values = getattr(_measures(), measure)(predicted, true, include_background=True, **options)
    return (float(values.double().sum()) + lone * worst) / count


def _regions(labels: np.ndarray, target: np.ndarray) -> tuple[Any, Any, int]:
    """The regions that are in both, as masks (pairs, 1, *), and the number of those that are in one only."""
    import torch

    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    lone = 0
    for predicted, true in zip(labels, target, strict=True):
        both = np.intersect1d(predicted[predicted > 0], true[true > 0])
        lone += len(np.union1d(predicted[predicted > 0], true[true > 0])) - len(both)
        pairs += [(predicted == c, true == c) for c in both]
    masks = np.stack(pairs) if pairs else np.zeros((0, 2, *target.shape[1:]), bool)
    found = torch.from_numpy(masks.astype(np.float32))  # pyright: ignore[reportUnknownMemberType]
    return found[:, :1], found[:, 1:], lone


def _measures() -> Any:
    with needed("measures of outlines", "studies"):
        import monai.metrics as measures  # pyright: ignore
    return measures
