"""The digits' data sets, and the reader of the user's own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossary.studies import Canvas, InputError, classification_data, digits, memory, segmentation_data
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
    ({"masks": np.ones((20, 8, 8), int), "classes": np.array(["a", "b"])}, "holds one class only, 1"),
    ({"masks": np.where(good()["masks"] == 2, 2**63 + 1, good()["masks"]).astype(np.uint64)}, "has no label 2"),
    ({"images": np.full((20, 8, 8), 1e300)}, r"must be finite; got 1e\+300, beyond what float32 holds,"),
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
    with pytest.raises(
        InputError, match=r"is text, such as a CSV, and not an .npz file; .*numpy.savez\('own.npz', images"
    ):
        load(tmp_path / "text.npz", dense=True)
    (tmp_path / "bytes.npz").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"cannot be read: it is no \.npz file"):
        load(tmp_path / "bytes.npz", dense=True)
    (tmp_path / "cut.npz").write_bytes(save(tmp_path, **good()).read_bytes()[:500])
    with pytest.raises(InputError, match=r"cannot be read as an \.npz file of plain arrays"):
        load(tmp_path / "cut.npz", dense=True)
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path, dense=True)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        load(tmp_path / "one.npy", dense=True)
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object), masks=np.zeros(1))
    with pytest.raises(InputError, match="holds Python objects, which are not read, for they can run code"):
        load(tmp_path / "objects.npz", dense=True)


def test_a_table_is_told_what_to_do(tmp_path: Path) -> None:
    """The line that is told does it."""
    from lossary.studies import regression

    rows = np.random.default_rng(0).normal(size=(20, 3))
    np.savetxt(tmp_path / "mine.csv", rows, delimiter=",", header="a,b,target", comments="")
    with pytest.raises(InputError, match="is text, such as a CSV") as caught:
        regression.STUDY.load(tmp_path / "mine.csv")
    told = str(caught.value)
    assert "pickle" not in told
    assert "\n" not in told
    code = told.partition("convert it: ")[2]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    data = regression.STUDY.load(tmp_path / "mine.npz")
    assert isinstance(data.train, Split)
    assert len(data.train) == 12


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    """An array of that shape, without its numbers."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def absurd(folder: Path) -> dict[str, tuple[str, Path, str]]:
    """By name: the study, a file that asks for far more memory than it has bytes, and what must be told."""
    images, labels = np.zeros((20, 8, 8), np.float32), np.arange(20) % 2
    labels_of_a_billion = np.where(labels == 1, 10**9, 0)
    names = np.array([f"n{k}" for k in range(200_000)])
    arrays: dict[str, tuple[str, dict[str, Any], str]] = {
        "label": ("classification", {"images": images, "labels": labels_of_a_billion}, "but has no label 1;"),
        "label in a mask": (
            "segmentation",
            {"images": images, "masks": np.broadcast_to(labels_of_a_billion[:, None, None], images.shape)},
            "but has no label 1;",
        ),
        "label on a strip": (
            "sequence",
            {"images": images, "labels": labels_of_a_billion[:, None]},
            "but has no label 1;",
        ),
        "names": (
            "classification",
            {"images": images, "labels": labels, "classes": names},
            "names 200,000 classes, but",
        ),
        "names of pixels": (
            "segmentation",
            {
                "images": np.zeros((20, 128, 128), np.float32),
                "masks": np.arange(20 * 128 * 128).reshape(20, 128, 128) % 2,
                "classes": names,
            },
            "a model of 200,000 classes, whose output has 200000 × 128 × 128 numbers for each sample, needs about",
        ),
        "bomb": ("regression", {"features": np.zeros((2_000_000, 100)), "targets": np.zeros(2)}, "GiB of memory, and"),
    }
    found: dict[str, tuple[str, Path, str]] = {}
    for name, (study, own, told) in arrays.items():
        np.savez_compressed(folder / f"{name}.npz", **own)
        found[name] = (study, folder / f"{name}.npz", told)
    for name, shape, told in (
        ("shape", (10**12, 10**6), "over 1000 TiB, but has 0 B; the file is damaged"),
        ("shape that wraps", (2**33, 2**31), "over 1000 TiB, but has 0 B; the file is damaged"),
        ("shape below 0", (-1, 4), "the file is damaged"),
    ):
        with zipfile.ZipFile(folder / f"{name}.npz", "w") as file:
            file.writestr("features.npy", header(shape))
            file.writestr("targets.npy", header((3,)) + bytes(24))
        found[name] = ("regression", folder / f"{name}.npz", told)
    return found


def test_files_that_a_container_has_read_leave_its_memory_free(tmp_path: Path) -> None:
    """They stay in it as long as nothing else asks for the room, and are counted as taken."""
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "950"),
        ("memory.stat", "anon 100\nactive_file 250\ninactive_file 600"),
    ):
        (tmp_path / name).write_text(f"{text}\n")
    assert memory._of_group(tmp_path) == 900
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_group(tmp_path) == sys.maxsize


LIMITED = """
import json, resource, sys
from typer.testing import CliRunner
from lossary.cli import app
import lossary.studies.training, lossary.studies.networks  # torch takes its room before the limit is set
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**29, taken + 2**29))  # as `ulimit -v` does
results = [CliRunner().invoke(app, arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([[result.exit_code, result.stdout, result.stderr] for result in results]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is read in /proc")
def test_what_asks_for_all_memory_is_refused_in_one_line(tmp_path: Path) -> None:
    """Half a GiB is left to the process."""
    cases = absurd(tmp_path)
    commands = [
        ["compare", study, "--data", str(path), "--out", str(tmp_path / "out"), "--seeds", "1", "--epochs", "1"]
        for study, path, _ in cases.values()
    ]
    program = [sys.executable, "-c", LIMITED, json.dumps(commands)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for (name, (_, _, told)), (code, stdout, stderr) in zip(cases.items(), json.loads(done.stdout), strict=True):
        assert (code, stdout, stderr.count("\n")) == (2, "", 1), (name, stderr)
        assert stderr.startswith("lossary compare: "), name
        assert told in stderr, (name, stderr)
