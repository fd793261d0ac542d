"""The table of other libraries' names: every row that has a call of ours gives the number of theirs."""

from __future__ import annotations

import importlib
import importlib.util
import os

import numpy as np
import pytest
import torch

import lossary as L
from lossary.core.elsewhere import INPUTS, ROWS, Row, full
from parity.samples import CLASSES, boxes, distributions, images, masks, numbers, rows

if importlib.util.find_spec("tensorflow") is None:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # in the environment of the peers

CALLS = [row for row in ROWS if row.ours]
LIBRARIES = {"tf": "tensorflow"}
LOOSE = {"torchvision": 1e-6, "monai.losses.HausdorffDTLoss": 1e-5, "segmentation_models_pytorch.losses.Lovasz": 1e-4}
"""Where theirs adds an epsilon or counts in float32; Keras, optax and TensorFlow compute in float32 at all."""


def inputs(kind: str) -> dict[str, torch.Tensor]:
    """What INPUTS describes, at random, in float64."""
    if kind in ("numbers", "positive"):
        x, y = numbers()
        return {"x": x, "y": y, "v": x.abs() + 0.1} if kind == "numbers" else {"x": x.abs() + 0.1, "y": y.abs() + 0.1}
    if kind == "rows":
        z, labels = rows()
        return {"z": z, "labels": labels, "one_hot": torch.nn.functional.one_hot(labels, CLASSES).double()}
    if kind == "maps":
        return dict(zip(("z", "labels"), images(), strict=True))
    if kind == "masks":
        z, t, _ = masks()
        return {"z": z, "t": t, "signs": 2 * t - 1}
    if kind == "distributions":
        return dict(zip(("z", "q"), distributions(), strict=True))
    if kind == "boxes":
        return dict(zip(("a", "b"), boxes(), strict=True))
    if kind == "features":
        draw = torch.Generator().manual_seed(5)
        x, w = (torch.randn(n, 5, generator=draw, dtype=torch.float64) for n in (12, CLASSES))
        return {"x": x, "w": w, "labels": torch.arange(12) % CLASSES}
    z = torch.randn(3, 6, CLASSES, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    targets, lengths = torch.tensor([[1, 1, 2], [3, 2, 1], [1, 3, 1]]), torch.tensor([6, 4, 5])
    return {"z": z, "targets": targets, "lengths": lengths, "target_lengths": torch.tensor([3, 2, 3])}


def library(row: Row) -> str:
    name = row.names.split(".")[0]
    return LIBRARIES.get(name, name)


def modules(row: Row) -> dict[str, object]:
    """What the calls name, with the values of their letters as the library takes them."""
    name = pytest.importorskip(library(row), reason="one of the peers: make parity").__name__
    path = row.names.split()[0].rpartition(".")[0]
    found: dict[str, object] = {"L": L, "np": np, "torch": torch, name: importlib.import_module(name)}
    given: dict[str, object] = dict(inputs(row.inputs))
    if name == "tensorflow":
        found["tf"] = found[name]
    else:
        importlib.import_module(path)  # losses are a module that its library need not import
    if name == "segmentation_models_pytorch":
        found["smp"] = importlib.import_module(path)
    if name in ("keras", "optax", "tensorflow"):
        given = {k: v.numpy().astype("f4" if v.is_floating_point() else "i4") for k, v in inputs(row.inputs).items()}
    elif name == "sklearn":
        given = {k: v.numpy() for k, v in inputs(row.inputs).items()}
    if name == "optax":
        found["jnp"] = importlib.import_module("jax.numpy")
        given = {k: found["jnp"].asarray(v) for k, v in given.items()}  # type: ignore[attr-defined]
    return found | given


def test_letters_are_described() -> None:
    assert {row.inputs for row in ROWS} <= set(INPUTS)
    for row in CALLS:
        assert set(inputs(row.inputs)) <= set(INPUTS[row.inputs].replace(",", " ").replace(":", " ").split())


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.names.split()[0])
@pytest.mark.filterwarnings("ignore")  # of theirs
def test_same_number(row: Row) -> None:
    names = modules(row)
    theirs, ours = (np.asarray(eval(code, names)) for code in (row.theirs, row.code))
    single = library(row) in ("keras", "optax", "tensorflow")
    rtol = next((v for k, v in LOOSE.items() if row.names.startswith(k)), 2e-5 if single else 1e-6)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-6)
    assert np.asarray(theirs).size


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.names.split()[0])
def test_names_exist(row: Row) -> None:
    from parity.test_names import find

    for name in row.names.split():
        if importlib.util.find_spec(LIBRARIES.get(name.split(".")[0], name.split(".")[0])) is not None:
            assert find(name.replace("tf.", "tensorflow.", 1) if name.startswith("tf.") else name) is not None


def test_no_name_is_in_two_rows() -> None:
    rows_of: dict[str, set[int]] = {}
    for i, row in enumerate(ROWS):
        for name in row.names.split():
            rows_of.setdefault(full(name), set()).add(i)
    assert all(len(found) == 1 for found in rows_of.values())


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.names.split()[0])
def test_find_and_create_know_it(row: Row) -> None:
    """Every spelling. A sum is no class, a multiple of a loss is none either: the message says what it is."""
    made = row.loss()
    for name in row.names.split():
        if made is not None:
            assert L.find(name) is getattr(L, made[0])
        if made is not None and row.exact and not row.bare:
            with pytest.raises(ValueError, match="whose options must be said here") as error:
                L.create(name)
            assert row.theirs in str(error.value)
            assert row.ours in str(error.value)
        elif made is None or not row.exact:
            with pytest.raises(ValueError, match="is no single loss") as error:
                L.create(name)
            assert row.ours in str(error.value)
            assert row.exact or row.code in str(error.value)
        else:
            cls, given, settings = made
            assert L.create(name) == getattr(L, cls)(*given, **settings)


def test_numbers_of_an_example_are_no_options() -> None:
    assert L.create("torch.nn.HuberLoss") == L.HuberLoss()
    with pytest.raises(ValueError, match=r"must be said here. monai.losses.TverskyLoss\(softmax=.* is L.Tversky"):
        L.create("monai.losses.TverskyLoss")  # theirs has .5 and .5, and probabilities, if nothing is said


WHOLE = (
    "keras.losses",
    "kornia.losses",
    "monai.losses",
    "optax.losses",
    "pytorch_metric_learning.losses",
    "segmentation_models_pytorch.losses",
    "timm.loss",
    "torch.nn",
    "torchvision.ops",
)
NO_LOSSES = {
    "keras.losses": {"Loss", "deserialize", "get", "serialize"},
    "kornia.losses": {"MIKernel", "one_hot"},
    "pytorch_metric_learning.losses": {
        *("BaseLossWrapper", "BaseMetricLossFunction", "EmbeddingRegularizerMixin", "WeightRegularizerMixin"),
    },
    "timm.loss": {
        *("compute_class_weights", "create_classification_loss", "load_class_stats", "load_class_weights"),
        "resolve_class_weights",
    },
    "torch.nn": {"NLLLoss2d"},  # a deprecated name
}
"""What the modules hold beside losses."""


@pytest.mark.parametrize("module", WHOLE)
def test_every_loss_of_a_library_has_an_answer(module: str) -> None:
    if importlib.util.find_spec(module.split(".")[0]) is None:
        pytest.skip(f"{module.split('.')[0]} is one of the peers: make parity")
    public = {name for name, value in vars(importlib.import_module(module)).items() if callable(value)}
    losses = {name for name in public if not name.startswith("_")} - NO_LOSSES.get(module, set())
    if module in ("torch.nn", "torchvision.ops"):
        losses = {name for name in losses if name.lower().endswith("loss")}
    assert {name for name in losses if not L.core.catalogue.rows(f"{module}.{name}")} == set()
