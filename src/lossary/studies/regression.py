"""The regression study: diabetes patients, of whom some were entered tenfold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lossary.core.extras import needed
from lossary.studies.archive import read_arrays
from lossary.studies.data import Data, Split, check_numbers, parts_of
from lossary.studies.errors import InputError
from lossary.studies.metrics import Metric
from lossary.studies.results import Comparison
from lossary.studies.study import Section, Study

if TYPE_CHECKING:
    from torch import Tensor, nn

SLIP = 10.0
"""What a corrupted target is multiplied by: a digit too many."""


def regression_data(*, outliers: float = 0.05, seed: int = 0) -> Data:
    """Progression of diabetes after a year (scikit-learn), from ten measurements of each of 442 patients.

    Args:
        outliers: share of the training targets that are ten times too large; validation and test are as measured.
        seed: of the split and of the choice of outliers. The choices are nested: a larger share adds to a smaller one.

    Targets are in standard deviations from the mean of the true training targets, whatever the share of outliers, so
    that errors of different shares compare.
    """
    if not 0 <= outliers < 1:
        raise InputError(f"`outliers` must be in [0, 1); got {outliers}")
    with needed("real data", "studies"):
        from sklearn.datasets import load_diabetes  # pyright: ignore

    table = cast(Any, load_diabetes())
    features: np.ndarray = table.data
    progression: np.ndarray = table.target
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(features))
    held = len(order) // 5
    chosen = (order[2 * held :], order[:held], order[held : 2 * held])
    train = chosen[0]
    wrong = train[rng.permutation(len(train))[: round(outliers * len(train))]]
    entered = progression.copy()
    entered[wrong] *= SLIP
    mean, deviation = progression[train].mean(), progression[train].std()
    splits = [_split(features[part], (entered[part] - mean) / deviation, features[train]) for part in chosen]
    sizes = " / ".join(str(len(part)) for part in chosen)
    errors = f"{len(wrong)} of the training targets ({outliers:.0%}) are ten times too large" if len(wrong) else ""
    return Data(
        *splits,
        classes=(),
        description=(
            f"Progression of diabetes after a year, from ten measurements (scikit-learn): {sizes} patients for train / "
            f"validation / test. {errors or 'All training targets are as measured'}; validation and test are as "
            f"measured. Targets and errors in standard deviations of the true training targets, "
            f"σ = {deviation:.1f}."
        ),
    )


def _split(features: np.ndarray, targets: np.ndarray, train: np.ndarray) -> Split:
    scaled = (features - train.mean(0)) / np.maximum(train.std(0), 1e-12)
    return Split(scaled.astype(np.float32), targets.astype(np.float32))


def _load(path: Path) -> Data:
    """An .npz of `features` (N, F) and `targets` (N,), and optionally `split` (N,)."""
    arrays = read_arrays(path, ("features", "targets"), ("split",))
    features, targets = arrays["features"], arrays["targets"]
    if features.ndim != 2 or targets.shape != features.shape[:1]:
        raise InputError(
            f"`features` must have shape (N, F) and `targets` (N,); got {features.shape} and {targets.shape}"
        )
    if 0 in features.shape:
        raise InputError(f"`features` is empty; got shape {features.shape}")
    # in float64 from here on, so that a mean of large numbers does not leave the finite ones
    features, targets = (check_numbers(n, arrays[n]).astype(float) for n in ("features", "targets"))
    if targets.min() == targets.max():
        raise InputError(f"every number in `targets` is {targets[0]:g}; there is nothing to learn")
    part = parts_of(arrays.get("split"), targets, dense=True, seed=0)
    train = part == 0
    # by the median and its deviation, which a few wrong targets do not move
    middle = np.median(targets[train])
    scale = float(1.4826 * np.median(np.abs(targets[train] - middle))) or 1.0
    splits = [_split(features[part == p], (targets[part == p] - middle) / scale, features[train]) for p in range(3)]
    sizes = " / ".join(str(len(split)) for split in splits)
    about = f"{path.name}: {sizes} samples for train / validation / test. Errors in units of {scale:.4g}."
    return Data(*splits, classes=(), description=about)


def _model(features: int, classes: int) -> nn.Module:
    from lossary.studies.networks import SmallRegressor

    return SmallRegressor(features)


def _numbers(prediction: Tensor) -> Tensor:
    return prediction.float()


def mean_absolute_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """The mean distance of a prediction from the truth."""
    return float(np.abs(prediction - target).mean())


def root_mean_squared_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """The root of the mean squared distance."""
    return float(np.sqrt(((prediction - target) ** 2).mean()))


def bias(prediction: np.ndarray, target: np.ndarray) -> float:
    """How far predictions lie too high on average, or too low."""
    return float(abs((prediction - target).mean()))


def _pictures(comparison: Comparison, data: Data) -> list[Section]:
    """What each model of the first seed predicts, over the truth."""
    from lossary.views import charts, report

    found = comparison.predictions
    if not found or not isinstance(data.test, Split):
        return []
    truth, colours = data.test.targets, report.colours(comparison)
    every = np.stack([truth, *found.values()])
    limits = float(every.min()), float(every.max())
    plots = {loss: charts.scatter(truth, x, colours[loss], limits) for loss, x in found.items()}
    return [
        Section(
            "Predictions against the truth",
            "A dot for each test sample; on the diagonal it is right, above it too high. A loss that outliers pull "
            f"lifts the whole cloud. Models of seed {comparison.seeds[0]}.",
            report.render("reliability.html", charts=plots, colours=colours),
        )
    ]


STUDY = Study(
    name="regression",
    task="",
    losses=("mse", "l1", "huber", "log_cosh", "quantile:quantile=.4", "tukey"),
    data=regression_data,
    load=_load,
    model=_model,
    predict=_numbers,
    metrics=(
        Metric("mae", "MAE", mean_absolute_error, better="low"),
        Metric("rmse", "RMSE", root_mean_squared_error, better="low"),
        Metric("bias", "|bias|", bias, better="low"),
    ),
    class_metric=None,
    pictures=_pictures,
    epochs=40,
    batch_size=16,
    learning_rate=0.005,
    class_axis=None,
)
