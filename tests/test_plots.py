"""Curves of losses against numbers worked out by hand, their pictures, and the gallery."""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import lossary as L
from lossary.core.families import MarginLoss, ResidualLoss
from lossary.core.families.classification import Task
from lossary.core.loss import Loss, family
from lossary.core.options import option
from lossary.views.axes import AXES, axes_of, common_axis
from lossary.views.curves import Curve, curves, value_and_slope
from lossary.views.description import describe, typical
from lossary.views.formula import to_text
from lossary.views.gallery import page, variations
from lossary.views.plots import draw, labels, plot, save, svg

CATALOGUE = [pytest.param(cls, id=cls.__name__) for cls in L.catalogue()]
DOCS = Path(__file__).parents[1] / "docs"


@family
class StepLoss(MarginLoss):
    """1 where the score of the true answer is not ahead: it jumps."""

    task: Task = option(kw_only=False)

    def values(self, xp, margin):
        return xp.where(margin > 0.5, 0.0, 1.0) + 0.0 * margin


@family
class ScaledLoss(ResidualLoss):
    """A residual loss that the call must tell a scale."""

    operands = ("scale",)

    def values(self, xp, error):
        return error


@family
class AlignmentLoss(Loss):
    """A family that is no function of one number."""

    family_name = "alignment"

    def prepare(self, prediction, target, *, mask, sample_weight, operands):
        raise NotImplementedError

    def evaluate(self, batch):
        raise NotImplementedError


@family
class DetourLoss(AlignmentLoss):
    """A loss of that family."""


# --- values -----------------------------------------------------------------------------------------------------------

LN2 = math.log(2)
FOCAL = (0.25 * LN2, 0.25 * (-LN2 - 0.5))  # (1-p)²·(-ln p), and (1-p)²·(2p·ln p + p - 1) by the logit, at p = 1/2


@pytest.mark.parametrize(
    ("loss", "axis", "x", "value", "slope"),
    [
        (L.L1Loss(), None, 2.0, 2.0, 1.0),
        (L.L1Loss(), None, -0.5, 0.5, -1.0),
        (L.MSELoss(), None, -1.5, 2.25, -3.0),
        (L.HuberLoss(delta=2), None, 3.0, 4.0, 2.0),
        (L.BCELoss(), None, 0.5, LN2, -0.5),
        (L.BCELoss("multilabel"), None, 0.5, LN2, -0.5),
        (L.BCELoss("multilabel", class_weight=(1, 2, 6)), None, 0.5, 3 * LN2, -1.5),
        (L.BCELoss("multilabel", class_weight=(1, 3)), None, 0.5, 2 * LN2, -1.0),
        (L.BCELoss(from_logits=False, ignore_index=1), None, 0.25, 2 * LN2, -0.75),
        (L.BCELoss(), "m", 0.0, LN2, -0.5),
        (L.BCELoss(reduction="none"), None, 0.5, LN2, -0.5),
        (L.CrossEntropyLoss(), None, 0.25, 2 * LN2, -0.75),
        (L.CrossEntropyLoss(class_weight=(2, 1, 1), class_axis=-1), None, 0.25, 4 * LN2, -1.5),
        (L.FocalLoss("binary"), None, 0.5, *FOCAL),
        (L.FocalLoss("multiclass"), None, 0.5, *FOCAL),
        (L.HingeLoss("binary"), None, -1.0, 2.0, -1.0),
        (L.HingeLoss("multiclass"), None, -1.0, 2.0, -1.0),
        (L.ExponentialLoss("binary"), None, 0.0, 1.0, -1.0),
        (L.KLDivLoss(), None, 0.5, 0.7 * math.log(1.4) + 0.3 * math.log(0.6), -0.2),
        (L.KLDivLoss(prediction_form="probs", target_form="logits"), None, 0.7, 0.0, 0.0),
        (L.GIoULoss(), "offset", 0.5, 2 / 3, 8 / 9),  # 1 - (1-x)/(1+x)
        (L.GIoULoss(format="cxcywh"), "scale", 2.0, 0.75, 0.5),  # 1 - 1/s²
        (L.GIoULoss(), "ratio", 4.0, 11 / 12, 17 / 36),  # 1 - h/(2-h) + (1-h)², h = 1/√r
        (2 * L.L1Loss() + L.MSELoss(), None, 1.0, 3.0, 4.0),
    ],
)
def test_values_and_slopes(loss: Loss, axis: str | None, x: float, value: float, slope: float) -> None:
    found = value_and_slope(loss, x, axis)
    assert found == pytest.approx((value, slope), rel=1e-7, abs=1e-8)


def test_share_of_an_object() -> None:
    """Half of 100 pixels found: TP = 50·.95 + 50·.05 = 50, FN = 50, FP = 300·.05 = 15."""
    value, slope = value_and_slope(L.DiceLoss("binary", smooth=0), 0.5)
    assert value == pytest.approx(1 - 100 / 165)
    assert slope == pytest.approx(-90 * 230 / 165**2, rel=1e-3)  # TP grows by 90 per unit of the share
    both, _ = value_and_slope(L.DiceLoss("multiclass", smooth=0), 0.5)
    background = 1 - 2 * 285 / (2 * 285 + 15 + 50)
    assert both == pytest.approx((value + background) / 2)


@pytest.mark.parametrize(
    "loss",
    [
        L.DiceLoss("multilabel"),
        L.DiceLoss("multilabel", class_weight=(1, 2)),
        L.DiceLoss("multilabel", classes=(0, 2)),
        L.DiceLoss("multiclass", classes=(1,), class_axis=-1),
        L.LovaszSoftmaxLoss(class_weight=(1, 2, 3), per="image"),
        L.TverskyLoss("binary", per="batch", reduction="none", ignore_index=1),
    ],
)
def test_share_of_an_object_with_options(loss: Loss) -> None:
    (line,) = curves([loss])
    assert np.all(line.slope < 0)


@pytest.mark.parametrize("cls", CATALOGUE)
def test_slope_is_that_of_the_value(cls: type[Loss]) -> None:
    """Between breaks, the slopes of a curve integrate to its values."""
    loss = typical(cls)
    for axis in axes_of(loss):
        (line,) = curves([loss], axis.name)
        if axis.counts:  # nothing is between two points
            central = (line.value[2:] - line.value[:-2]) / (line.x[2:] - line.x[:-2])
            assert line.slope[1:-1] == pytest.approx(central, rel=1e-9, abs=1e-12)
            continue
        u = np.array([axis.coordinate(x) for x in line.x])
        gain = np.diff(line.value)
        expected = np.diff(u) * (line.slope[1:] + line.slope[:-1]) / 2
        ok = np.isfinite(gain) & np.isfinite(expected)
        assert ok.mean() > 0.9, f"{axis.name}: most of the curve must be finite"
        # a bend narrower than a step (Charbonnier's) leaves half of that step's gain, as does a jump of the slope where
        # a place enters the hardest ones or changes its bin
        slack = 5e-3 * float(np.ptp(line.value[np.isfinite(line.value)]))
        jump = np.abs(np.diff(u) * np.diff(line.slope))[ok] / 2
        assert (np.abs(gain - expected)[ok] <= slack + jump).all()


# --- kinks and jumps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "axis", "kinks"),
    [
        (L.L1Loss(), "e", [0]),
        (L.MSELoss(), "e", []),
        (L.HuberLoss(), "e", []),
        (L.HingeLoss("binary"), "m", [1]),
        (L.HingeLoss("binary", power=2), "m", []),
        (L.BCELoss(), "p_t", []),
        (L.CIoULoss(), "offset", [-1, 0, 1]),
        (L.GIoULoss(), "scale", [1]),
        (L.L1Loss() + L.L1Loss(), "e", [0]),
    ],
)
def test_slopes_break_at_kinks(loss: Loss, axis: str, kinks: list[float]) -> None:
    (line,) = curves([loss], axis)
    assert line.x[np.isnan(line.slope)] == pytest.approx(kinks, abs=1e-4)
    assert np.isfinite(line.value).all()


def test_no_slope_is_between_those_of_a_kink() -> None:
    (line,) = curves([L.HingeLoss("binary")])
    slopes = line.slope[np.isfinite(line.slope)]
    assert set(slopes.round(6).tolist()) == {-1.0, 0.0}


def test_a_jump_is_a_gap() -> None:
    (line,) = curves([StepLoss("binary")])
    (at,) = line.x[np.isnan(line.value)]
    assert at == pytest.approx(0.5, abs=1e-4)
    assert set(line.value[np.isfinite(line.value)]) == {0.0, 1.0}
    assert np.nanmax(np.abs(line.slope)) == 0, "the slope at a jump is no slope"
    left = draw([line]).axes[0]
    jump = next(mark for mark in left.lines if mark.get_linestyle() == ":")
    assert sorted(jump.get_ydata()) == [0.0, 1.0]


# --- axes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "axis"),
    [
        ([L.FocalLoss("binary"), L.CrossEntropyLoss()], "p_t"),
        ([L.HingeLoss("binary"), L.BCELoss()], "m"),
        ([L.DiceLoss("binary"), L.FocalLoss("binary")], "tp"),
        ([L.DiceLoss("multiclass") + L.CrossEntropyLoss(), L.LovaszSoftmaxLoss()], "tp"),
        ([L.GIoULoss(), L.CIoULoss()], "offset"),
    ],
)
def test_mixed_families_meet_on_the_first_axis_that_all_have(losses: list[Loss], axis: str) -> None:
    assert common_axis(losses).name == axis


@pytest.mark.parametrize(
    ("losses", "axis", "message"),
    [
        ([L.L1Loss(), L.DiceLoss("binary")], None, "L1Loss has 'e'; DiceLoss has 'tp'"),
        ([L.GIoULoss()], "p", "GIoULoss has 'offset' or 'scale' or 'ratio'"),
        ([L.L1Loss() + L.DiceLoss("binary")], None, r"L1Loss \+ DiceLoss has no curve"),
        ([ScaledLoss()], None, "ScaledLoss has no curve: it is also a function of scale"),
        ([DetourLoss()], None, "DetourLoss has no curve: losses of the alignment family are no function of one number"),
        ([], None, "at least one loss"),
    ],
)
def test_losses_without_a_common_axis(losses: list[Loss], axis: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        common_axis(losses, axis)


def test_axis_names_differ() -> None:
    axes = {axis for own in AXES.values() for axis in own}
    assert len({axis.name for axis in axes}) == len(axes)


def test_coordinates_and_places_are_inverse() -> None:
    for axis in (axis for own in AXES.values() for axis in own):
        for x in np.linspace(*axis.limits, 7):
            assert axis.place(axis.coordinate(x)) == pytest.approx(x)


def test_a_picture_holds_the_lengths_among_the_options() -> None:
    (line,) = curves([L.HuberLoss(delta=5)])
    assert line.x[0] == -7.5
    assert line.x[-1] == 7.5


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CATALOGUE)
def test_every_loss_is_drawn_or_says_why_not(cls: type[Loss]) -> None:
    losses = variations(typical(cls))
    if not axes_of(losses[0]):
        with pytest.raises(ValueError, match="has no curve"):
            plot(losses)
        return
    picture = svg(plot(losses))
    assert len(picture) < 40_000
    ElementTree.fromstring(picture)


def test_pictures_are_saved_by_suffix(tmp_path: Path) -> None:
    figure = plot([L.L1Loss(), L.MSELoss()])
    save(figure, tmp_path / "a.png")
    save(figure, str(tmp_path / "a.svg"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    ElementTree.parse(tmp_path / "a.svg")
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        save(figure, tmp_path / "a.jpg")


def test_a_picture_is_the_same_in_every_run() -> None:
    losses = [L.TverskyLoss("binary", fp_weight=w) for w in (0.25, 0.75)]
    assert svg(plot(losses)) == svg(plot(losses))


def test_shortening_coordinates_leaves_the_text_alone() -> None:
    figure = plot([L.TverskyLoss("binary", fp_weight=w) for w in (0.25, 0.375)])
    picture = ElementTree.fromstring(svg(figure))
    texts = {"".join(element.itertext()).strip() for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"TverskyLoss(fp_weight=0.25)", "TverskyLoss(fp_weight=0.375)"} <= texts
    assert any("p = 0.95 where found and 0.05 elsewhere" in text for text in texts)


def test_one_value_of_one_curve_does_not_squeeze_the_rest() -> None:
    left, _ = plot([L.HingeLoss("binary"), L.ExponentialLoss("binary"), L.BCELoss()]).axes
    assert 4 < left.get_ylim()[1] < 15, "exp(3) is 20"
    left, _ = plot([L.MSELoss()]).axes
    assert left.get_ylim()[1] > 9, "a parabola is shown whole"


@pytest.mark.parametrize(
    ("losses", "names"),
    [
        ([L.L1Loss()], ["L1Loss"]),
        ([L.FocalLoss("binary", gamma=g) for g in (0.5, 2)], ["FocalLoss(gamma=0.5)", "FocalLoss(gamma=2)"]),
        ([L.DiceLoss("binary"), L.DiceLoss("multiclass")], ["DiceLoss('binary')", "DiceLoss('multiclass')"]),
        ([0.5 * L.L1Loss() + L.HuberLoss(delta=2)], ["0.5 * L1Loss + HuberLoss(delta=2)"]),
    ],
)
def test_labels(losses: list[Loss], names: list[str]) -> None:
    assert labels(losses) == names


def test_a_curve_as_data() -> None:
    (line,) = curves([L.HuberLoss(delta=math.inf)])
    assert isinstance(line, Curve)
    data = line.to_dict()
    assert data["loss"]["delta"] == "inf"
    assert data["x"][0] == -3.0


# --- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{a+b}{2c}", "(a+b)/2c"),
        (r"\frac{1}{2} (x)", "1/2·(x)"),
        (r"\frac{|C \setminus A|}{|C|}", "|C ∖ A|/|C|"),
        (r"\arctan\frac{w}{h}", "arctan(w/h)"),
        (r"x^{2} + x^{a+b} + x^{\frac12}", "x² + xᵃ⁺ᵇ + x^(1/2)"),
        (r"w_{FP} + S_{i-1} + \hat{p}_c", "w_FP + Sᵢ₋₁ + p̂_c"),
        (r"\max(0,\ 1 - m)", "max(0, 1 - m)"),
        (r"\sqrt{e^2 + \epsilon^2} \le 1", "√(e² + ε²) ≤ 1"),
        (r"\begin{cases} a & x < 1 \\ b & \text{otherwise} \end{cases}", "{ a if x < 1; b otherwise"),
        (r"\Big(a\Big)_{+}", "(a)₊"),
        (r"\unheardof x", r"\unheardof x"),
    ],
)
def test_formulas_as_text(latex: str, text: str) -> None:
    assert to_text(latex) == text


@pytest.mark.parametrize("cls", CATALOGUE)
def test_every_formula_reads_as_text(cls: type[Loss]) -> None:
    for formula in describe(cls).formulas:
        text = to_text(formula)
        assert "\\" not in text, "teach lossary.views.formula this command"
        assert text.count("(") == text.count(")")


# --- the gallery ------------------------------------------------------------------------------------------------------


def test_the_gallery_lists_every_loss() -> None:
    written = (DOCS / "gallery.md").read_text(encoding="utf-8")
    names = re.findall(r"^### (\w+)$", written, re.MULTILINE)
    assert sorted(names) == sorted(cls.__name__ for cls in L.catalogue()), "run python -m lossary.views.gallery"
    linked = re.findall(r"\(gallery/([\w.]+)\)", written)
    assert sorted(linked) == sorted(path.name for path in (DOCS / "gallery").iterdir())


@pytest.mark.parametrize("cls", CATALOGUE)
def test_a_gallery_entry(cls: type[Loss]) -> None:
    text = page([cls])
    described = describe(cls)
    assert f"### {cls.__name__}\n\n{described.summary}" in text
    assert f"$$\n{described.formulas[0]}\n$$" in text
    for option_ in described.options:
        assert not option_.own or f"| `{option_.name}` |" in text


@pytest.mark.parametrize("cls", [c for c in L.catalogue() if axes_of(typical(c))], ids=lambda cls: cls.__name__)
def test_no_picture_of_the_gallery_shows_one_curve_twice(cls: type[Loss]) -> None:
    drawn = variations(typical(cls))
    lines = curves(drawn)
    for i, a in enumerate(lines):
        for b in lines[:i]:
            at = np.linspace(max(a.x[0], b.x[0]), min(a.x[-1], b.x[-1]), 1001)
            apart = np.nanmax(np.abs(np.interp(at, a.x, a.value) - np.interp(at, b.x, b.value)))
            height = np.nanmax([*a.value, *b.value]) - np.nanmin([*a.value, *b.value])
            assert apart > 5e-4 * height, f"{a.loss} and {b.loss} coincide"


def test_pages_hold_no_placeholder_and_their_links_lead_somewhere() -> None:
    for path in DOCS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^(TABLE|TODO|TBD|FIXME|XXX)\b", text, re.MULTILINE), path
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
        for anchor in re.findall(r"\]\(#([^)]*)\)", text):
            assert anchor in anchors, f"{path.name} has no heading #{anchor}"
