"""The language in which the command line names losses."""

from __future__ import annotations

import pytest

import lossary as L
from lossary.studies import InputError
from lossary.studies.specs import parse, split, value

WEIGHTS = (0.5, 2.0)


@pytest.mark.parametrize(
    ("spec", "loss"),
    [
        ("focal", L.FocalLoss("multiclass")),
        (" focal : gamma = 1 ", L.FocalLoss("multiclass", gamma=1)),
        ("FocalLoss:task=binary", L.FocalLoss("binary")),
        ("cross_entropy", L.CrossEntropyLoss()),
        (
            "cross_entropy:class_weight=(1,2.5):reduction=sum",
            L.CrossEntropyLoss(class_weight=(1, 2.5), reduction="sum"),
        ),
        ("cross_entropy:class_weight=balanced", L.CrossEntropyLoss(class_weight=WEIGHTS)),
        ("tversky:fp_weight=.3:fn_weight=.7", L.TverskyLoss("multiclass", fp_weight=0.3, fn_weight=0.7)),
        ("dice:classes=(1,2):squared=true", L.DiceLoss("multiclass", classes=(1, 2), squared=True)),
        ("dice:smooth=1e+1", L.DiceLoss("multiclass", smooth=10)),
        ("dice+cross_entropy", L.DiceLoss("multiclass") + L.CrossEntropyLoss()),
        ("dice + 0.5 * focal:gamma=1", L.DiceLoss("multiclass") + 0.5 * L.FocalLoss("multiclass", gamma=1)),
        ("2*dice", 2 * L.DiceLoss("multiclass")),
    ],
)
def test_spec_is_read(spec: str, loss: L.Loss) -> None:
    assert parse(spec, options={"task": "multiclass"}, class_weight=WEIGHTS) == loss


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("focl", "focal"),  # the nearest name
        ("focal:gama=1", "gamma"),  # the nearest option
        ("focal:gamma=-1", "`gamma` must be at least 0; got -1"),
        ("focal:gamma=high", "`gamma`"),
        ("focal:gamma", "name=value"),
        ("focal:gamma=", "name=value"),
        ("focal:gamma=1:gamma=2", "twice"),
        ("x*focal", "must be a number; got 'x'"),
        ("dice+", "cannot read ''"),
        ("", "cannot read ''"),
        ("dice**2", "cannot read 'dice**2'"),
        ("dice:classes=(1,2", "parentheses"),
        ("dice+tversky:fp_weight=-.3", "in 'tversky:fp_weight=-.3'"),
    ],
)
def test_wrong_spec_is_refused(spec: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(spec, options={"task": "multiclass"})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_balanced_weights_need_counts() -> None:
    with pytest.raises(InputError, match="class_weight=balanced needs training data given as arrays"):
        parse("cross_entropy:class_weight=balanced", options={"task": "multiclass"})


def test_commas_in_parentheses_do_not_split() -> None:
    assert split("dice, focal:alpha=(1,2) ,l1") == ["dice", "focal:alpha=(1,2)", "l1"]


@pytest.mark.parametrize(
    ("text", "read"),
    [("2", 2), ("-.5", -0.5), ("True", True), ("None", None), ("none", "none"), ("(1, 2)", (1, 2)), ("x y", "x y")],
)
def test_values_are_read_as_python_has_them(text: str, read: object) -> None:
    assert value(text) == read
    assert type(value(text)) is type(read)
