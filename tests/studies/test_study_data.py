"""The digits' data sets, and the reader of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossary.studies import Canvas, InputError, classification_data, digits, segmentation_data
from lossary.studies.data import Split, load

TINY: dict[str, Any] = {"train": 12, "validation": 6, "test": 6}


def test_segmentation_data_are_scarce_and_repeatable() -> None:
    data, again, other = segmentation_data(**TINY), segmentation_data(**TINY), segmentation_data(**TINY, seed=1)
    assert isinstance(data.train, Split)
    assert data.train.inputs.shape == (12, 1, 48, 48)
    assert data.train.targets.shape == (12, 48, 48)
    assert 0.02 < (data.train.targets > 0).mean() < 0.1
    assert data.train.targets.max() < len(data.classes) == 6
    np.testing.assert_array_equal(data.train.inputs, again.train.inputs)
    np.testing.assert_array_equal(data.test.targets, again.test.targets)
    assert not np.array_equal(data.train.inputs, other.train.inputs)


def test_parts_use_disjoint_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[set[int]] = []
    paint = digits._paint
    monkeypatch.setattr(
        digits, "_paint", lambda source, *rest: (sources.append(set(source.tolist())), paint(source, *rest))[1]
    )
    segmentation_data(**TINY)
    assert len(set.union(*sources)) == sum(map(len, sources)) == 1797


def test_noise_free_digits_lie_under_their_mask() -> None:
    data = segmentation_data(**TINY, canvas=Canvas(strokes=0, noise=0, most=2))
    inside = data.train.inputs[:, 0][data.train.targets > 0]
    outside = data.train.inputs[:, 0][data.train.targets == 0]
    assert inside.min() > 0.7 * digits.INK > outside.mean() * 5


def test_classification_data_have_a_long_tail() -> None:
    data = classification_data(ratio=30, most=60)
    counts = data.counts()
    assert counts is not None
    assert counts[0] == 60
    assert counts[9] == 2
    assert (np.diff(counts) <= 0).all()
    assert np.bincount(data.test.targets).tolist() == [60] * 10
    seen = {image.tobytes() for image in data.train.inputs}
    assert not any(image.tobytes() in seen for image in data.test.inputs)


def test_balanced_weights_average_one() -> None:
    data = classification_data()
    weights, counts = data.class_weight(), data.counts()
    assert weights is not None
    assert counts is not None
    assert np.dot(weights, counts) / counts.sum() == pytest.approx(1, rel=1e-4)
    assert weights[9] / weights[0] == pytest.approx(counts[0] / counts[9], rel=1e-4)


def good(**changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (20, 8, 8))
    arrays = {"images": rng.normal(5, 2, (20, 2, 8, 8)), "masks": masks, "labels": np.arange(20) % 3}
    arrays.update(changes)
    return {name: array for name, array in arrays.items() if array is not None}


def save(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


@pytest.mark.parametrize("dense", [True, False])
def test_own_file_is_read_and_standardised(tmp_path: Path, dense: bool) -> None:
    data = load(save(tmp_path, **good()), dense=dense)
    assert isinstance(data.train, Split)
    assert isinstance(data.test, Split)
    assert len(data.train) == (12 if dense else 14)
    assert data.classes == ("0", "1", "2")
    np.testing.assert_allclose(data.train.inputs.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(data.train.inputs.std((0, 2, 3)), 1, atol=1e-5)
    assert abs(data.test.inputs.mean()) < 0.5  # with the training mean, so only nearly 0


def test_own_split_and_names_are_kept(tmp_path: Path) -> None:
    split = np.array(["train"] * 10 + ["val"] * 4 + ["test"] * 6)
    data = load(save(tmp_path, **good(split=split, classes=np.array(["a", "b", "c", "d"]))), dense=True)
    assert [len(part) for part in (data.train, data.validation, data.test) if isinstance(part, Split)] == [10, 4, 6]
    assert data.classes == ("a", "b", "c", "d")
    np.testing.assert_array_equal(data.test.targets, good()["masks"][14:])


BAD_MASKS = good()["masks"].copy()
BAD_MASKS[3, 5, 2] = 12
VOID = np.where(good()["masks"] == 2, 255, good()["masks"])
NAN = good()["images"].copy()
NAN[1, 0, 2, 3] = np.nan

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"images": None}, "has no array 'images'; it has labels, masks"),
    ({"masks": None}, "has no array 'masks'"),
    ({"images": np.zeros((20, 8))}, r"`images` must have shape \(N, H, W\) or \(N, channels, H, W\); got \(20, 8\)"),
    ({"images": np.zeros((0, 8, 8)), "masks": np.zeros((0, 8, 8), int)}, "`images` is empty"),
    ({"images": np.zeros((20, 8, 8, 3))}, r"channels second.*images.transpose\(0, 3, 1, 2\)"),
    ({"images": np.array(["a"] * 20)}, "`images` must hold numbers"),
    ({"images": NAN}, r"`images` must be finite; got nan at \[1, 0, 2, 3\]"),
    ({"masks": np.zeros((20, 8, 9), int)}, r"`masks` must have shape \(20, 8, 8\).*got \(20, 8, 9\)"),
    ({"masks": np.zeros((20, 8, 8))}, "`masks` must hold integers.*float64"),
    ({"masks": -good()["masks"]}, r"label -\d at .* of `masks` is not in"),
    (
        {"masks": BAD_MASKS, "classes": np.array(["a", "b", "c"])},
        r"label 12 at \[3, 5, 2\] of `masks` is not in \[0, 2\]",
    ),
    ({"masks": VOID}, "runs up to 255 but has no label 2"),
    ({"masks": np.zeros((20, 8, 8), int)}, "one class only"),
    ({"classes": np.array("a")}, "`classes` must list"),
    ({"split": np.array([0, 1, 2])}, r"`split` must have shape \(20,\)"),
    ({"split": np.array(["train"] * 19 + ["tset"])}, "got 'tset'"),
    ({"split": np.zeros(20, int)}, "no image is left for the validation part"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG, ids=[told[:40] for _, told in WRONG])
def test_wrong_arrays_are_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        load(save(tmp_path, **good(**changes)), dense=True)
    assert "\n" not in str(caught.value)


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "none.npz", dense=True)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "text.npz", dense=True)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        load(tmp_path / "one.npy", dense=True)
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "objects.npz", dense=True)
