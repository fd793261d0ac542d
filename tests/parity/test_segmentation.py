"""The table of docs/segmentation.md: each row gives one number, and one gradient, on the left and on the right."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import lossary as L
from parity.samples import CLASSES, images, masks

PAGE = Path(__file__).parents[2] / "docs" / "segmentation.md"
ROWS = re.findall(r"^\| `((?:monai|smp|kornia|keras)\..*?)` \| `(L\..*?)` \|$", PAGE.read_text(), re.MULTILINE)
MODULES = {"monai": "monai.losses", "smp": "segmentation_models_pytorch", "kornia": "kornia.losses", "keras": "keras"}


def scene() -> dict[str, Any]:
    """The names that the table uses; z and x are leaves."""
    z, t = images()
    x, y, soft = masks()
    z.requires_grad_()
    x.requires_grad_()
    one_hot = torch.nn.functional.one_hot(t, CLASSES).movedim(-1, 1).double()
    return {"z": z, "t": t, "x": x, "y": y.long(), "soft": soft, "one_hot": one_hot, "L": L}


def library(name: str) -> Any:
    module = pytest.importorskip(MODULES[name], reason=f"{name} is in .venv or .venv-peers: make parity")
    return importlib.import_module(name) if name in ("monai", "kornia") else module


def evaluated(expression: str, **modules: Any) -> tuple[torch.Tensor, torch.Tensor]:
    names = scene()
    value = eval(expression, {**names, **modules})
    gradients = torch.autograd.grad(value, [names["z"], names["x"]], allow_unused=True)
    return value.detach(), next(g for g in gradients if g is not None)


def test_the_table_has_rows() -> None:
    assert len(ROWS) == 27


@pytest.mark.parametrize(("there", "here"), [row for row in ROWS if not row[0].startswith("keras")])
def test_row(there: str, here: str) -> None:
    name = there.split(".")[0]
    theirs = evaluated(there, **{name: library(name)})
    tolerance = 1e-4 if "float()" in there else 1e-6
    for a, b in zip(evaluated(here), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance / 10, check_dtype=False)


@pytest.mark.parametrize(("there", "here"), [row for row in ROWS if row[0].startswith("keras")])
def test_row_of_keras(there: str, here: str) -> None:
    """Values only, in float32, whatever backend Keras has here; it adds 1e-7 to denominators."""
    keras, names = library("keras"), scene()
    arrays = {k: v.detach().numpy().astype("float32") for k, v in names.items() if isinstance(v, torch.Tensor)}
    arrays |= {"p": torch.softmax(names["z"], 1).detach().numpy(), "q": torch.sigmoid(names["x"]).detach().numpy()}
    value = keras.ops.mean(eval(there.replace(".mean()", ""), {**arrays, "keras": keras}))
    torch.testing.assert_close(float(value), float(evaluated(here)[0]), rtol=1e-5, atol=0)


# --- where we differ --------------------------------------------------------------------------------------------------


def test_smp_keeps_absent_classes_in_the_mean() -> None:
    smp = library("smp")
    z, t = images()
    t = t.clamp(max=1)
    ours = L.JaccardLoss("multiclass", per="batch", smooth=0, classes="present")(z, t)
    torch.testing.assert_close(smp.losses.JaccardLoss("multiclass")(z, t), ours * 2 / CLASSES)


def test_smp_raises_the_mean_over_classes() -> None:
    smp = library("smp")
    z, t = images()
    theirs = smp.losses.TverskyLoss("multiclass", alpha=0.3, beta=0.7, gamma=0.75)(z, t)
    options = {"fp_weight": 0.3, "fn_weight": 0.7, "per": "batch", "smooth": 0}
    torch.testing.assert_close(theirs, L.TverskyLoss("multiclass", **options)(z, t) ** 0.75)
    assert not torch.isclose(theirs, L.FocalTverskyLoss("multiclass", gamma=4 / 3, **options)(z, t), rtol=1e-4)


@pytest.mark.parametrize("weighting", ["square", "simple", "uniform"])
def test_monai_weighs_an_absent_class_alike(weighting: str) -> None:
    """Like the rarest class of the image."""
    monai = library("monai")
    z, t = images()
    t = torch.where(t == 2, 1, t)
    ours = L.GeneralizedDiceLoss("multiclass", weighting=weighting, smooth=0)(z, t)
    options = {"softmax": True, "to_onehot_y": True, "w_type": weighting}
    theirs = monai.losses.GeneralizedDiceLoss(smooth_nr=0, smooth_dr=0, **options)(z, t[:, None])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    if weighting == "square":  # its default smooth is as large as what is left of the sums in an image of 300² pixels
        wide = z.repeat_interleave(60, 2).repeat_interleave(50, 3), t.repeat_interleave(60, 1).repeat_interleave(50, 2)
        smoothed = monai.losses.GeneralizedDiceLoss(**options)(wide[0], wide[1][:, None])
        assert smoothed < 0.98 * theirs
        torch.testing.assert_close(L.GeneralizedDiceLoss("multiclass")(*wide), ours, rtol=1e-6, atol=0)


def test_monai_averages_the_asymmetric_focal_loss_over_both_classes() -> None:
    monai = library("monai")
    z, t = images()
    z, t = z[:, :2], t.clamp(max=1)
    p, one_hot = torch.softmax(z, 1), torch.nn.functional.one_hot(t, 2).movedim(-1, 1).double()
    ours = L.UnifiedFocalLoss("multiclass", delta=0.7, asymmetric=True).parts(z, t)
    focal = monai.losses.unified_focal_loss.AsymmetricFocalLoss(delta=0.7, gamma=0.5)(p, one_hot)
    tversky = monai.losses.unified_focal_loss.AsymmetricFocalTverskyLoss(delta=0.7, gamma=0.5)(p, one_hot)
    torch.testing.assert_close(ours["unified_focal"] / 2, focal, rtol=1e-6, atol=0)
    torch.testing.assert_close(ours["unified_tversky"], tversky, rtol=1e-5, atol=0)
