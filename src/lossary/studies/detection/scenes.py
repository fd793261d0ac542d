"""Data of the detection study: digits of all sizes and proportions on a canvas, or the user's own arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np

from lossary.studies import digits
from lossary.studies.archive import read_arrays
from lossary.studies.data import Data, Split, check_classes, check_images, check_numbers, parts_of
from lossary.studies.errors import InputError


class BoxSplit(Split):
    """Images with objects: `targets` (N, M, 5) hold label and corners, label -1 where there is no object."""

    def labels(self) -> np.ndarray:
        found = self.targets[..., 0].ravel()
        return found[found >= 0].astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Scene:
    """How an image of the detection study is made."""

    size: int = 64
    digits: tuple[int, ...] = (0, 1, 2, 3, 4)  # these are to be found; strokes of the others are clutter
    most: int = 3  # an image has one to this many digits
    sides: tuple[int, int] = (12, 30)  # a digit's width and height before it is cut to its ink
    strokes: int = 12  # pieces of other digits in the background
    noise: float = 0.12


def detection_data(
    *, train: int = 500, validation: int = 100, test: int = 250, scene: Scene | None = None, seed: int = 0
) -> Data:
    """Digits stretched to any size on a cluttered canvas, each with the box of its ink.

    The three parts use disjoint source digits. `train`, `validation` and `test` are numbers of images.
    """
    scene = scene or Scene()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits.handwritten()[0]))
    sources = (order[:1000], order[1000:1300], order[1300:])
    splits = [_paint(s, n, scene, rng) for s, n in zip(sources, (train, validation, test), strict=True)]
    names = ", ".join(map(str, scene.digits))
    low, high = scene.sides
    return Data(
        *splits,
        classes=tuple(map(str, scene.digits)),
        description=(
            f"Handwritten digits (scikit-learn) {names}, stretched to widths and heights of {low} to {high} pixels, on "
            f"{scene.size}×{scene.size} canvases among strokes of the other digits and noise; one to {scene.most} on "
            f"each. {train} / {validation} / {test} images for train / validation / test, from disjoint digits."
        ),
    )


def _paint(source: np.ndarray, count: int, scene: Scene, rng: np.random.Generator) -> BoxSplit:
    images, labels = digits.handwritten()
    wanted = np.isin(labels[source], scene.digits)
    inputs = np.zeros((count, 1, scene.size, scene.size), np.float32)
    targets = np.full((count, scene.most, 5), -1, np.float32)
    for image, objects in zip(inputs[:, 0], targets, strict=True):
        for _ in range(scene.strokes):
            digits.add_stroke(image, digits.stamps()[rng.choice(source[~wanted])], rng)
        taken = np.zeros((scene.size, scene.size), dtype=bool)
        for place in objects[: rng.integers(1, scene.most + 1)]:
            which = int(rng.choice(source[wanted]))
            box = _add_digit(image, taken, _stretched(images[which], scene, rng), rng)
            if box is not None:
                place[:] = (scene.digits.index(int(labels[which])), *box)
        objects[:] = objects[np.argsort(objects[:, 0] < 0, kind="stable")]  # what found no room is left out
    inputs += rng.normal(0, scene.noise, inputs.shape)
    return BoxSplit(inputs, targets)


def _stretched(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import zoom  # pyright: ignore

    height, width = rng.integers(scene.sides[0], scene.sides[1] + 1, 2).tolist()
    enlarge = cast(Any, zoom)
    return np.clip(enlarge(image, (height / 8, width / 8), order=1, mode="grid-constant", grid_mode=True), 0, 1)


def _add_digit(
    image: np.ndarray, taken: np.ndarray, stamp: np.ndarray, rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Sets a digit where none is yet, and gives the box of its ink; None where ten tries find no room."""
    ink = stamp > digits.INK
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    stamp, ink = stamp[cut], ink[cut]
    height, width = map(int, stamp.shape)
    for _ in range(10):
        row, column = (int(rng.integers(0, len(image) - side + 1)) for side in (height, width))
        there = np.s_[row : row + height, column : column + width]
        if not taken[there].any():
            taken[there] = True
            faded = np.maximum(stamp, 0.3 * image[there])  # clutter stays visible around the digit, but dim
            image[there] = np.where(ink, stamp * rng.uniform(0.7, 1), faded)
            return column, row, column + width, row + height
    return None


def load(path: Path, *, seed: int = 0) -> Data:
    """Data from an .npz file.

    Its arrays are `images` (N, H, W) or (N, channels, H, W), `labels` (N, M), integers from 0 and -1 where there is no
    object, and `boxes` (N, M, 4), corners in pixels; optionally `split` and `classes`, as in
    `lossary.studies.data.load`.
    """
    arrays = read_arrays(path, ("images", "labels", "boxes"), ("split", "classes"))
    images, labels, boxes = check_images(arrays["images"]), arrays["labels"], arrays["boxes"]
    if labels.ndim != 2 or len(labels) != len(images) or labels.dtype.kind not in "iu":
        raise InputError(f"`labels` must hold integers of shape ({len(images)}, M); got {labels.dtype} {labels.shape}")
    if boxes.shape != (*labels.shape, 4):
        raise InputError(f"`boxes` must have shape {(*labels.shape, 4)} to match `labels`; got {boxes.shape}")
    if boxes.dtype.kind not in "buif":
        raise InputError(f"`boxes` must hold numbers; got dtype {boxes.dtype}")
    known = labels >= 0
    if not known.any():
        raise InputError("`labels` holds no object; -1 stands for none")
    boxes = check_numbers("boxes", np.where(known[..., None], boxes, 0))  # what stands where no box is, is no matter
    bad = np.argwhere(known & ~(boxes[..., 2:] > boxes[..., :2]).all(-1))
    if len(bad):
        place = tuple(bad[0].tolist())
        raise InputError(f"`boxes` must be corners x1 < x2, y1 < y2; got {boxes[place].tolist()} at {list(place)}")
    classes = check_classes("labels", labels[known], arrays.get("classes"), several=False)
    part = parts_of(arrays.get("split"), labels, True, seed)
    mean = images[part == 0].mean((0, 2, 3), keepdims=True)
    deviation = images[part == 0].std((0, 2, 3), keepdims=True)
    images = (images - mean) / np.where(deviation > 0, deviation, 1)
    objects = np.concatenate([labels[..., None].astype(np.float32), boxes], axis=-1)
    train, validation, test = (BoxSplit(images[part == p], objects[part == p]) for p in range(3))
    sizes = f"{len(train)} / {len(validation)} / {len(test)}"
    height, width = images.shape[2:]
    about = f"{path.name}: {sizes} images of {height}×{width} pixels for train / validation / test."
    return Data(train, validation, test, classes, about)
