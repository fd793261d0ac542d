"""Data of a study: three splits, and a reader for the user's own arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.studies.archive import read_arrays
from lossary.studies.errors import InputError

if TYPE_CHECKING:
    import torch

    Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
    """Anything that can be iterated again and again for (input, target) batches, such as a torch DataLoader."""

SPLITS = ("train", "validation", "test")
_HELD_OUT = 0.2  # for validation and for the test each, where the file does not say
_SPELLINGS = {"0": 0, "1": 1, "2": 2, "train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set, in memory."""

    inputs: np.ndarray  # float32, samples first
    targets: np.ndarray  # samples first; integers, where they are nothing but labels

    def __len__(self) -> int:
        return len(self.inputs)

    def labels(self) -> np.ndarray:
        """Every label in the targets, for counting; below 0 is padding."""
        return self.targets[self.targets >= 0]


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """What a study trains, watches and judges on.

    Each part is a `Split` or any iterable of (input, target) batches that can be iterated anew, such as a
    `torch.utils.data.DataLoader`. Only a `Split` can be counted and pictured.
    """

    train: Split | Batches
    validation: Split | Batches
    test: Split | Batches
    classes: tuple[str, ...]  # names, in the order of the labels; none where targets are numbers
    description: str = ""  # one or two sentences for the report

    def counts(self) -> np.ndarray | None:
        """How often each class occurs in the training targets, if there are classes and they are in memory."""
        if not isinstance(self.train, Split) or not self.classes:
            return None
        return np.bincount(self.train.labels(), minlength=len(self.classes))

    def class_weight(self) -> tuple[float, ...] | None:
        """Weights inversely proportional to the class counts; over all training targets they average 1."""
        counts = self.counts()
        if counts is None:
            return None
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
        return tuple(float(f"{weight:.5g}") for weight in weights)  # short, for they are printed with the loss


def load(path: Path, *, dense: bool, seed: int = 0) -> Data:
    """Data from an .npz file.

    Args:
        path: the file. Arrays: `images` (N, H, W) or (N, channels, H, W); `masks` (N, H, W) if `dense`, else `labels`
            (N,), integers from 0; optionally `split` (N,) with train, validation, test (or 0, 1, 2) for each sample,
            and `classes`, the names of the classes. Images are standardised with the training mean and deviation.
        dense: whether every pixel has a label.
        seed: decides a random 60/20/20 split where the file has none.
    """
    key = "masks" if dense else "labels"
    arrays = read_arrays(path, ("images", key), ("split", "classes"))
    images, targets = check_images(arrays["images"]), arrays[key]
    _check_targets(key, targets, images, dense)
    classes = check_classes(key, targets, arrays.get("classes"))
    targets = targets.astype(np.int64)
    part = parts_of(arrays.get("split"), targets, dense, seed)
    # one mean and deviation per channel, from the training images only
    mean = images[part == 0].mean((0, 2, 3), keepdims=True)
    deviation = images[part == 0].std((0, 2, 3), keepdims=True)
    images = (images - mean) / np.where(deviation > 0, deviation, 1)
    train, validation, test = (Split(images[part == p], targets[part == p]) for p in range(len(SPLITS)))
    sizes = f"{len(train)} / {len(validation)} / {len(test)}"
    height, width = images.shape[2:]
    about = f"{path.name}: {sizes} images of {height}×{width} pixels for train / validation / test."
    return Data(train, validation, test, classes, about)


def check_images(images: np.ndarray) -> np.ndarray:
    """Images as float32 (N, channels, H, W), all finite."""
    if images.dtype.kind not in "buif":
        raise InputError(f"`images` must hold numbers; got dtype {images.dtype}")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise InputError(f"`images` must have shape (N, H, W) or (N, channels, H, W); got {images.shape}")
    if 0 in images.shape:
        raise InputError(f"`images` is empty; got shape {images.shape}")
    if images.shape[3] <= 4 < images.shape[1]:
        raise InputError(
            f"`images` must have the channels second, (N, channels, H, W); got {images.shape}: "
            "use images.transpose(0, 3, 1, 2)"
        )
    return check_numbers("images", images)


def check_numbers(name: str, x: np.ndarray) -> np.ndarray:
    """As float32, if every number is one in it."""
    if x.dtype.kind not in "buif":
        raise InputError(f"`{name}` must hold numbers; got dtype {x.dtype}")
    with np.errstate(over="ignore"):  # beyond float32 is infinite there, and told like what was so before
        numbers = x.astype(np.float32)
    fine = np.isfinite(numbers)
    if not fine.all():
        place = tuple(int(k) for k in np.unravel_index(int(np.argmin(fine)), x.shape))
        beyond = ", beyond what float32 holds," if np.isfinite(x[place]) else ""
        raise InputError(
            f"`{name}` must be finite; got {x[place]}{beyond} at {list(place)} ({int((~fine).sum())} such values)"
        )
    return numbers


def _check_targets(key: str, targets: np.ndarray, images: np.ndarray, dense: bool) -> None:
    expected = (len(images), *images.shape[2:]) if dense else (len(images),)
    if targets.shape != expected:
        raise InputError(f"`{key}` must have shape {expected} to match `images` {images.shape}; got {targets.shape}")
    if targets.dtype.kind not in "bui":
        raise InputError(f"`{key}` must hold integers, one class each; got dtype {targets.dtype}")


def check_classes(key: str, targets: np.ndarray, names: np.ndarray | None, *, several: bool = True) -> tuple[str, ...]:
    """The names of the classes. `targets` are as they came, for a cast to int64 could wrap them; with `several`, more
    than one class must occur."""
    low, high = int(targets.min()), int(targets.max())
    if names is not None and (names.ndim != 1 or len(names) < 2):
        raise InputError(f"`classes` must list the names of two or more classes; got shape {names.shape}")
    count = high + 1 if names is None else len(names)
    if low < 0 or high >= count:
        wrong = (targets < 0) | (targets >= count)
        place = [int(k) for k in np.unravel_index(int(np.argmax(wrong)), targets.shape)]
        raise InputError(f"label {targets[tuple(place)]} at {place} of `{key}` is not in [0, {max(count, 1) - 1}]")
    if count < 2 or (several and low == high):
        raise InputError(f"`{key}` holds one class only, {low}; at least two are needed")
    if names is not None:
        if count > targets.size:
            raise InputError(f"`classes` names {count:,} classes, but `{key}` holds {targets.size:,} labels in all")
        return tuple(str(name) for name in names)
    present = np.unique(targets)
    if len(present) < count:  # most often a void label such as 255
        # the first that is not at its own place; never all numbers up to a label of 10**9
        missing = int(np.argmax(present != np.arange(len(present))))
        raise InputError(
            f"`{key}` runs up to {high} but has no label {missing}; number the classes 0, 1, 2 … without gaps, or name "
            "every class in an array `classes`"
        )
    return tuple(str(label) for label in range(count))


def parts_of(split: np.ndarray | None, targets: np.ndarray, dense: bool, seed: int) -> np.ndarray:
    """For each sample the index of its part in SPLITS."""
    if split is None:
        part = _random_parts(targets, dense, seed)
    else:
        if split.shape != (len(targets),):
            raise InputError(f"`split` must have shape {(len(targets),)}, one part for each image; got {split.shape}")
        unknown = [str(s) for s in split.tolist() if str(s) not in _SPELLINGS]
        if unknown:
            raise InputError(f"`split` must hold {', '.join(SPLITS)} or 0, 1, 2; got {unknown[0]!r}")
        part = np.array([_SPELLINGS[str(s)] for s in split.tolist()])
    for index, name in enumerate(SPLITS):
        if not (part == index).any():
            raise InputError(f"no image is left for the {name} part; {len(targets)} images in all")
    if (part == 0).sum() < 2:
        raise InputError("the train part has one image; at least two are needed")
    return part


def _random_parts(targets: np.ndarray, dense: bool, seed: int) -> np.ndarray:
    """A random split; with one label for each image, every class is split in the same proportions."""
    rng = np.random.default_rng(seed)
    part = np.zeros(len(targets), dtype=int)
    groups: list[Any] = [np.arange(len(targets))]
    if not dense:
        groups = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    for group in groups:
        order = rng.permutation(group)
        held = max(1, round(_HELD_OUT * len(order))) if len(order) > 2 else 0
        part[order[:held]] = 2
        part[order[held : 2 * held]] = 1
    return part
