"""Two data sets made of scikit-learn's handwritten digits, real 8×8 images that ship inside the package."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, cast

import numpy as np

from lossary.core.extras import needed
from lossary.studies.data import Data, Split

STAMP = 16
"""Side of a digit on the canvas: the 8×8 image, twice as large."""

INK = 0.35
"""A pixel brighter than this belongs to the digit."""


@functools.cache
def handwritten() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) in [0, 1], and labels."""
    with needed("real data", "studies"):
        from sklearn.datasets import load_digits  # pyright: ignore

    digits = cast(Any, load_digits())
    images: np.ndarray = digits.images
    labels: np.ndarray = digits.target
    return (images / 16).astype(np.float32), labels.astype(np.int64)


# --- segmentation -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Canvas:
    """How an image of the segmentation study is made."""

    size: int = 48
    digits: tuple[int, ...] = (0, 1, 2, 3, 4)  # these are to be found; strokes of the others are clutter
    most: int = 3  # an image has one to this many digits
    strokes: int = 12  # pieces of other digits in the background
    noise: float = 0.12  # standard deviation, where a digit's ink has brightness 0.7 to 1


def segmentation_data(
    *, train: int = 320, validation: int = 80, test: int = 150, canvas: Canvas | None = None, seed: int = 0
) -> Data:
    """Digits on a cluttered canvas; each pixel is background or belongs to one of the digits.

    The three parts use disjoint source digits. `train`, `validation` and `test` are numbers of images.
    """
    canvas = canvas or Canvas()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(handwritten()[0]))
    # 1000, 300 and 497 source digits: a digit seen in training is never met again
    sources = (order[:1000], order[1000:1300], order[1300:])
    splits = [_paint(s, n, canvas, rng) for s, n in zip(sources, (train, validation, test), strict=True)]
    scarce = np.mean(splits[0].targets > 0)
    found = ", ".join(map(str, canvas.digits))
    return Data(
        *splits,
        classes=("background", *map(str, canvas.digits)),
        description=(
            f"Handwritten digits (scikit-learn) {found} set on {canvas.size}×{canvas.size} canvases among strokes of "
            f"the other digits and noise; {scarce:.1%} of the pixels are foreground. {train} / {validation} / {test} "
            "images for train / validation / test, from disjoint digits."
        ),
    )


def _paint(source: np.ndarray, count: int, canvas: Canvas, rng: np.random.Generator) -> Split:
    wanted = np.isin(handwritten()[1][source], canvas.digits)
    inputs = np.zeros((count, 1, canvas.size, canvas.size), np.float32)
    targets = np.zeros((count, canvas.size, canvas.size), np.int64)
    for image, mask in zip(inputs[:, 0], targets, strict=True):
        for _ in range(canvas.strokes):
            add_stroke(image, stamps()[rng.choice(source[~wanted])], rng)
        _add_digits(image, mask, source[wanted], canvas, rng)
    inputs += rng.normal(0, canvas.noise, inputs.shape)
    return Split(inputs, targets)


def add_stroke(image: np.ndarray, stamp: np.ndarray, rng: np.random.Generator) -> None:
    """Adds a turned piece of a digit somewhere."""
    height, width = rng.integers(5, 10, 2).tolist()
    piece = np.rot90(stamp[_window(STAMP, height, width, rng)], int(rng.integers(4)))
    there = _window(len(image), len(piece), piece.shape[1], rng)
    image[there] = np.maximum(image[there], piece * rng.uniform(0.5, 1))


def _window(side: int, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """A random place of a rectangle in a square."""
    row, column = int(rng.integers(0, side - height + 1)), int(rng.integers(0, side - width + 1))
    return slice(row, row + height), slice(column, column + width)


def _add_digits(
    image: np.ndarray, mask: np.ndarray, source: np.ndarray, canvas: Canvas, rng: np.random.Generator
) -> None:
    """Sets digits of `source` on the image where they do not touch one another."""
    free = np.ones((canvas.size - STAMP + 1,) * 2, dtype=bool)  # upper left corners that are left
    for _ in range(rng.integers(1, canvas.most + 1)):
        corners = np.argwhere(free)
        if not len(corners):
            return
        row, column = rng.choice(corners).tolist()
        there = np.s_[row : row + STAMP, column : column + STAMP]
        which = int(rng.choice(source))
        stamp = stamps()[which]
        ink = stamp > INK
        faded = np.maximum(stamp, 0.3 * image[there])  # clutter stays visible around the digit, but dim
        image[there] = np.where(ink, stamp * rng.uniform(0.7, 1), faded)
        mask[there][ink] = 1 + canvas.digits.index(int(handwritten()[1][which]))
        free[max(0, row - STAMP) : row + STAMP + 1, max(0, column - STAMP) : column + STAMP + 1] = False


@functools.cache
def stamps() -> np.ndarray:
    """Every digit smoothly enlarged to STAMP×STAMP."""
    from scipy.ndimage import zoom  # pyright: ignore

    images = handwritten()[0]
    enlarge = cast(Any, zoom)
    return np.clip(enlarge(images, (1, STAMP / 8, STAMP / 8), order=3, mode="grid-constant", grid_mode=True), 0, 1)


# --- classification ---------------------------------------------------------------------------------------------------


def classification_data(
    *, ratio: float = 50, most: int = 90, validation: int = 20, test: int = 60, seed: int = 0
) -> Data:
    """Digits with long-tailed training counts: digit 0 has `most` images, digit 9 has `most / ratio`.

    `validation` and `test` are numbers of images for each digit: both parts are balanced.
    """
    images, labels = handwritten()
    rng = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    counts = [max(1, round(most * ratio ** (-digit / 9))) for digit in range(10)]
    for digit, count in enumerate(counts):
        order = rng.permutation(np.flatnonzero(labels == digit))
        held = validation + test
        if held + count > len(order):
            raise ValueError(
                f"there are {len(order)} images of digit {digit}; got validation={validation}, test={test} and "
                f"{count} for training"
            )
        parts[0].append(order[held : held + count])
        parts[1].append(order[:validation])
        parts[2].append(order[validation:held])
    chosen = [np.concatenate(part) for part in parts]
    return Data(
        *(Split(images[part][:, None], labels[part]) for part in chosen),
        classes=tuple(map(str, range(10))),
        description=(
            f"Handwritten digits (scikit-learn, 8×8) with long-tailed training counts, "
            f"{', '.join(map(str, counts))} for the digits 0 to 9; validation and test are balanced, "
            f"{validation} and {test} images of each digit."
        ),
    )


# --- sequences --------------------------------------------------------------------------------------------------------

PADDING = -1
"""What stands behind the last label of a row."""


@dataclasses.dataclass(frozen=True)
class Strip:
    """How an image of the sequence study is made."""

    height: int = 12
    width: int = 72
    least: int = 2  # digits on a strip
    most: int = 7
    gap: tuple[int, int] = (-1, 2)  # columns between two digits; below 0 they run into one another
    noise: float = 0.12  # standard deviation, where ink has brightness 0.6 to 1


def sequence_data(
    *, train: int = 800, validation: int = 150, test: int = 400, strip: Strip | None = None, seed: int = 0
) -> Data:
    """Strips of handwritten digits that touch; the target is what they say, the places of the digits are not told.

    Class 0 is the blank, class d + 1 the digit d. The three parts use disjoint source digits. `train`, `validation` and
    `test` are numbers of strips.
    """
    strip = strip or Strip()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(handwritten()[0]))
    sources = (order[:1000], order[1000:1300], order[1300:])
    splits = [_write(s, n, strip, rng) for s, n in zip(sources, (train, validation, test), strict=True)]
    return Data(
        *splits,
        classes=("blank", *map(str, range(10))),
        description=(
            f"Strips of {strip.least} to {strip.most} handwritten digits (scikit-learn) of 8×8 pixels, jittered, "
            f"touching and noisy, {strip.width} columns wide. {train} / {validation} / {test} strips for train / "
            "validation / test, from disjoint digits. Which columns belong to which digit is not told."
        ),
    )


def _write(source: np.ndarray, count: int, strip: Strip, rng: np.random.Generator) -> Split:
    images, labels = handwritten()
    inputs = np.zeros((count, 1, strip.height, strip.width), np.float32)
    targets = np.full((count, strip.most), PADDING, np.int64)
    for canvas, row in zip(inputs[:, 0], targets, strict=True):
        column = int(rng.integers(0, 4))
        for place in range(int(rng.integers(strip.least, strip.most + 1))):
            which = int(rng.choice(source))
            top = int(rng.integers(0, strip.height - 7))
            there = canvas[top : top + 8, column : column + 8]
            there[...] = np.maximum(there, images[which] * rng.uniform(0.6, 1))
            row[place] = 1 + labels[which]
            column += 8 + int(rng.integers(strip.gap[0], strip.gap[1] + 1))
    inputs += rng.normal(0, strip.noise, inputs.shape)
    return Split(inputs, targets)
