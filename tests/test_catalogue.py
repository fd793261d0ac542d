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
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import pytest

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
    heavy = ("torch", "jax", "tensorflow", "keras", "matplotlib", "sklearn")
    code = f"import sys, lossary, lossary.cli; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


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
