"""A loss as a value: found by name, printed, compared, hashed, stored; sums of losses; the public names."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import json
import math
import pickle
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch

import lossary as L
from lossary.checker.draws import draw
from lossary.core.catalogue import register
from lossary.core.compound import SumLoss
from lossary.core.loss import Facts, Loss
from lossary.views.description import describe
from variants import everything

ALL = everything()


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_stored_and_read_back(loss: Loss) -> None:
    assert L.from_dict(json.loads(json.dumps(loss.to_dict()))) == loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert eval(repr(loss), vars(L)) == loss
    assert dataclasses.replace(loss) == loss
    assert hash(dataclasses.replace(loss)) == hash(loss)
    assert loss in {loss: 1}


@pytest.mark.parametrize("cls", L.catalogue(), ids=lambda c: c.__name__)
def test_found_by_every_name(cls: type[Loss]) -> None:
    for name in (cls.__name__, cls.short_name(), cls.short_name().replace("_", "-"), *cls.facts.aliases):
        assert L.find(name) is cls
    assert getattr(L, cls.__name__) is cls
    assert cls.__name__ in L.__all__


@pytest.mark.parametrize("cls", L.catalogue(), ids=lambda c: c.__name__)
def test_docstring_says_what_a_reader_needs(cls: type[Loss]) -> None:
    """One-line summary, formula, when to use it, every option of its own, shapes, other libraries, an example."""
    text = inspect.getdoc(cls) or ""
    summary, blank, *_ = text.splitlines()
    assert summary.endswith(".")
    assert blank == ""
    assert text.count("$$") >= 2
    for needed in ("Use it", "Shapes:", "Elsewhere:", ">>> "):
        assert needed in text
    own = [name for name in cls.__annotations__ if name not in ("task",) and cls.__dataclass_fields__[name].init]
    for name in own:
        assert name in text
    assert cls.facts.source
    assert cls.facts.span[0] < cls.facts.span[1]


@pytest.mark.parametrize("cls", L.catalogue(), ids=lambda cls: cls.__name__)
def test_every_option_has_a_meaning_of_its_own(cls: type[Loss]) -> None:
    """A line about several arguments at once does not hide what the family says of one."""
    meanings = {option.name: option.meaning for option in describe(cls).options}
    assert all(meanings.values())
    for shared, words in (("ignore_index", "label"), ("class_weight", "per (class|bin)")):
        assert shared not in meanings or re.search(words, meanings[shared])


def test_catalogue_holds_the_losses_of_the_losses_modules() -> None:
    defined = set()
    for module in pkgutil.iter_modules(importlib.import_module("lossary.losses").__path__):
        members = vars(importlib.import_module(f"lossary.losses.{module.name}")).values()
        defined |= {m for m in members if inspect.isclass(m) and issubclass(m, Loss) and "facts" in vars(m)}
    assert set(L.catalogue()) == defined
    assert len(L.catalogue()) >= 16


def test_taken_name_is_refused() -> None:
    class Another(Loss):
        facts = Facts("nowhere", None, ("focal",), (), "distribution", (0, 1), 1.0, True, None)

    with pytest.raises(ValueError, match=r"'focal' of Another is taken by FocalLoss"):
        register(Another)


def test_public_names_exist_and_are_documented() -> None:
    assert L.__all__ == sorted(L.__all__, key=str)
    for name in L.__all__:
        assert (getattr(L, name).__doc__ or "").strip()


def test_values_compare() -> None:
    assert L.FocalLoss("binary", gamma=2) == L.FocalLoss("binary")
    assert L.FocalLoss("binary") != L.FocalLoss("multilabel")
    assert repr(L.FocalLoss("multiclass", gamma=1)) == "FocalLoss('multiclass', gamma=1.0)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        L.HuberLoss().delta = 2  # type: ignore[misc]


def test_options_are_kept_as_plain_numbers() -> None:
    weights = L.CrossEntropyLoss(class_weight=np.array([1, 2, 3], dtype=np.float32)).class_weight
    assert weights == (1.0, 2.0, 3.0)
    assert all(type(w) is float for w in weights)
    assert L.HuberLoss(delta=np.float32(0.5)).delta == 0.5
    assert L.CrossEntropyLoss(ignore_index=255.0).ignore_index == 255


def test_a_loss_is_a_static_argument_of_jit() -> None:
    run = jax.jit(lambda loss, x, y: loss(x, y), static_argnums=0)
    x, y = np.ones((2, 3), np.float32), np.array([0, 2])
    for gamma in (0.0, 2.0):
        loss = L.FocalLoss("multiclass", gamma=gamma)
        assert run(loss, x, y) == pytest.approx(float(loss(x, y)), rel=1e-6)


# --- words for who writes what a loss does not take
# --------------------------------------------------------------------------------------------------------------

WRONG = [
    (lambda: L.DiceLoss(), "DiceLoss needs `task`: one of 'binary', 'multilabel', 'multiclass'"),
    (
        lambda: L.FocalLoss("multiclass", gama=2),
        "FocalLoss has no option 'gama'; did you mean 'gamma'\\? it takes task",
    ),
    (lambda: L.create("focal", task="binary", gama=2), "FocalLoss has no option 'gama'; did you mean 'gamma'\\?"),
    (lambda: L.CrossEntropyLoss(weight=[1, 2]), "no option 'weight'; did you mean 'class_weight'\\?"),
    (lambda: L.BCELoss(weight=[1, 2]), "no option 'weight'; did you mean 'class_weight' or 'pos_weight'\\?"),
    (lambda: L.L1Loss(weight=2), "no option 'weight'; it takes reduction, empty. Weights of elements are `sample_weig"),
    (lambda: L.CrossEntropyLoss(np.array([1.0, 2.0])), "CrossEntropyLoss takes its options by name"),
    (lambda: L.DiceLoss("binary", "binary"), "DiceLoss takes its options by name"),
    (lambda: L.CrossEntropyLoss("multiclass"), "CrossEntropyLoss is always 'multiclass' and has no option `task`"),
    (lambda: L.HuberLoss(0.5), r"takes its options by name, as in HuberLoss\(delta=…\); got 0.5"),
    (lambda: L.DiceLoss("binary", task="binary"), "DiceLoss got `task` twice"),
    (lambda: L.L1Loss().replace(foo=1), "L1Loss has no option 'foo'; it takes reduction, empty"),
    (lambda: L.from_dict({"loss": "L1Loss", "foo": 1}), "L1Loss has no option 'foo'"),
    (lambda: L.from_dict(None), "`description` must be a dict, as `to_dict` makes it; got None"),
    (lambda: L.ScheduledLoss(), "ScheduledLoss needs `terms`"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_constructors_say_what_was_meant(make: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as error:
        make()
    assert error.value.__suppress_context__ or error.value.__context__ is None  # no second traceback above it


def test_arrays_of_any_library_are_options() -> None:
    for weights in (torch.tensor([1.0, 2.0]), jax.numpy.asarray([1.0, 2.0]), tf.constant([1.0, 2.0])):
        made = L.CrossEntropyLoss(class_weight=weights)
        assert made.class_weight == (1.0, 2.0)
        assert all(type(w) is float for w in made.class_weight)
        assert hash(made)
    with pytest.raises(TypeError, match="neither learned nor traced"):
        L.CrossEntropyLoss(class_weight=torch.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="neither learned nor traced"):
        jax.jit(lambda w: L.CrossEntropyLoss(class_weight=w)(np.zeros((1, 2)), np.array([0])))(np.ones(2))


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("mean_squared_error", L.MSELoss),
        ("mean_absolute_error", L.L1Loss),
        ("kl_divergence", L.KLDivLoss),
        ("nll", L.CrossEntropyLoss),
        ("weighted_cross_entropy", L.CrossEntropyLoss),
        ("squared_hinge", L.HingeLoss),
        ("F-EIoU", L.FocalEIoULoss),
        ("qfocal", L.QualityFocalLoss),
        ("BCEWithLogitsLoss", L.BCELoss),
        ("sigmoid_focal_loss", L.FocalLoss),
        ("generalized_box_iou_loss", L.GIoULoss),
        ("UncertaintyWeightedLoss", L.UncertaintyWeightedLoss),
        ("scheduled", L.ScheduledLoss),
    ],
)
def test_names_that_people_come_with(name: str, cls: type[Loss]) -> None:
    assert L.find(name) is cls


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DiceCELoss", r'L.DiceLoss\("multiclass"\) \+ L.CrossEntropyLoss\(\)'),
        ("log_loss", r"tf.compat.v1.losses.log_loss: L.BCELoss\(from_logits=False\). sklearn"),
        ("ssim", "not here yet"),
        ("psnr", "kornia.losses.psnr_loss: |kornia.losses.PSNRLoss: "),
        ("edit_distance", "lossary.text.edit_distance"),
    ],
)
def test_names_that_are_no_single_loss(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        L.find(name)


# --- sums
# --------------------------------------------------------------------------------------------------------------


def test_sum_is_the_weighted_sum_of_its_parts() -> None:
    batch = draw(L.CrossEntropyLoss())
    call = (batch.prediction, batch.target)
    dice, focal = L.DiceLoss("multiclass"), L.FocalLoss("multiclass")
    total = 2 * (dice + 0.25 * focal) + L.CrossEntropyLoss()
    expected = 2 * dice(*call) + 0.5 * focal(*call) + L.CrossEntropyLoss()(*call)
    assert total(*call) == pytest.approx(expected, rel=1e-12)
    assert total.names == ("dice", "focal", "cross_entropy")
    parts = total.parts(*call)
    assert parts["focal"] == pytest.approx(focal(*call), rel=1e-12)
    assert repr(total) == "2 * DiceLoss('multiclass') + 0.5 * FocalLoss('multiclass') + CrossEntropyLoss()"
    assert eval(repr(total), vars(L)) == total
    assert L.from_dict(json.loads(json.dumps(total.to_dict()))) == total
    assert pickle.loads(pickle.dumps(total)) == total
    assert hash(total) == hash(eval(repr(total), vars(L)))
    assert sum([dice, focal]) == dice + focal


def test_sum_refuses_what_is_no_loss() -> None:
    with pytest.raises(TypeError):
        L.L1Loss() + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        L.L1Loss() * "2"  # type: ignore[operator]


def test_parts_that_read_alike_share_one_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossary.core.families import classification

    calls = []
    original = classification.log_softmax

    def counting(x: np.ndarray, axis: int) -> np.ndarray:
        calls.append(axis)
        return original(x, axis)

    monkeypatch.setattr(classification, "log_softmax", counting)
    batch = draw(L.CrossEntropyLoss())
    loss = L.DiceLoss("multiclass") + L.CrossEntropyLoss() + L.FocalLoss("multiclass")
    loss(batch.prediction, batch.target)
    assert len(calls) == 1
    (loss + L.CrossEntropyLoss(ignore_index=0))(batch.prediction, batch.target)
    assert len(calls) == 3


# --- modules
# -----------------------------------------------------------------------------------------------------------


def test_import_loads_no_framework() -> None:
    heavy = ("torch", "jax", "tensorflow", "keras", "matplotlib", "sklearn", "lossary.checker", "lossary.studies")
    code = f"import sys, lossary, lossary.cli; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_submodules_come_when_they_are_named() -> None:
    for name in ("torch", "text", "information", "studies", "boxes", "checker"):
        assert getattr(L, name) is importlib.import_module(f"lossary.{name}")
    assert {"torch", "keras", "text", "information", "studies", "boxes", "checker", "check"} <= set(dir(L))
    with pytest.raises(AttributeError, match="has no attribute 'nowhere'"):
        L.nowhere  # noqa: B018


def test_help_passes_over_missing_extras() -> None:
    program = (
        "import sys; sys.modules['keras'] = sys.modules['hypothesis'] = None; import lossary, inspect\n"
        "print(len(inspect.getmembers(lossary)) > 100, hasattr(lossary, 'keras'))\n"
        "try: lossary.keras\nexcept AttributeError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == 'True False\nlossary.keras needs keras: pip install "lossary[keras]"\n'


@pytest.mark.parametrize(
    ("missing", "code", "extra"),
    [
        ("torch", "lossary.torch", "torch"),
        ("keras", "lossary.keras", "keras"),
        ("sklearn", "lossary.studies.classification_data()", "studies"),
        ("hypothesis", "lossary.check(lambda p, t: ((p - t) ** 2).mean())", "check"),
        ("edt", "lossary.distance_map(np.eye(3))", "segmentation"),
        ("rapidfuzz", "lossary.text.edit_distance('a', 'b')", "text"),
        ("matplotlib", "from lossary.views.plots import plot; plot([lossary.L1Loss()])", "studies"),
    ],
)
def test_a_missing_extra_is_named(missing: str, code: str, extra: str) -> None:
    program = (
        f"import sys, numpy as np; sys.modules[{missing!r}] = None; import lossary\n"
        f"try: {code}\nexcept (ImportError, AttributeError) as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f'{missing}: pip install "lossary[{extra}]"' in said


def test_losses_import_no_framework() -> None:
    """Formulas name no framework: what depends on one is a primitive."""
    for module in pkgutil.iter_modules(importlib.import_module("lossary.losses").__path__):
        source = inspect.getsource(importlib.import_module(f"lossary.losses.{module.name}"))
        code = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
        for framework in ("torch", "jax", "tensorflow", "numpy", "keras"):
            assert not any(framework in line for line in code)


def _modules() -> list[str]:
    found = pkgutil.walk_packages(L.__path__, "lossary.")
    return ["lossary", *(m.name for m in found)]


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings_run(name: str) -> None:
    if name == "lossary.keras" or name.startswith("lossary.keras."):
        pytest.skip("Keras takes one backend per process; test_keras_adapter runs these")
    module = importlib.import_module(name)
    assert doctest.testmod(module, raise_on_error=False).failed == 0


def test_infinite_options_survive_json() -> None:
    loss = L.HuberLoss(delta=math.inf)
    assert L.from_dict(json.loads(json.dumps(loss.to_dict()))) == loss


class Config(Mapping):
    """A mapping that is no dict, as the configs of OmegaConf are."""

    def __init__(self, held: Mapping) -> None:
        self.held = held

    def __getitem__(self, key):
        return configured(self.held[key])

    def __iter__(self):
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


class ConfigList(Sequence):
    """A sequence that is no list."""

    def __init__(self, held: Sequence) -> None:
        self.held = held

    def __getitem__(self, index):
        return configured(self.held[index])

    def __len__(self) -> int:
        return len(self.held)


def configured(value):
    if isinstance(value, dict):
        return Config(value)
    return ConfigList(value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(
    "loss",
    [
        L.DiceLoss("multiclass", class_weight=(1, 2, 3), classes=(0, 2)) + 0.5 * L.FocalLoss("multiclass"),
        L.L1Loss().on("a") + L.MSELoss().on("b"),
        L.ScheduledLoss(L.L1Loss() + L.MSELoss(), {"l1": [(0, 1.0), (10, 0.0)]}),
    ],
    ids=repr,
)
def test_a_config_describes_a_loss(loss) -> None:
    assert L.from_dict(Config(loss.to_dict())) == loss


def test_a_sum_of_configs_is_refused() -> None:
    """Hydra makes a config of a loss in a list; the sum took it and failed at the first call."""
    with pytest.raises(
        TypeError, match=r"got Config for a loss.*set `_convert_: object`, or read the sum with `from_dict`"
    ):
        SumLoss(((1.0, Config({"reduction": "mean"})),))
