"""From what a person names to the losses that take part, tried on a first batch before anything is trained."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from lossary.core.compound import SumLoss
from lossary.core.contract import checked
from lossary.core.loss import Loss
from lossary.studies import memory, specs
from lossary.studies.data import Data, Split
from lossary.studies.errors import InputError
from lossary.studies.results import Contender
from lossary.studies.study import Study

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lossary.studies.training import Criterion

    Losses = str | Sequence[str | Criterion] | Mapping[str, Criterion]
    """Specs in one text or a list, losses or other callables `(prediction, target) -> scalar`, with names or not."""

    Entries = Sequence[tuple[Contender, Criterion]]


def contenders(losses: Losses, study: Study, data: Data, beside: str | Loss | None = None) -> Entries:
    """The losses to compare with what the report says of each; `beside` replaces the study's own."""
    join = _joining(study, beside)
    found: list[tuple[Contender, Criterion]] = []
    labels: set[str] = set()
    for label, given in _listed(losses):
        loss: Any = given
        if isinstance(given, str) and given in study.criteria:
            loss = study.criteria[given]()
        elif isinstance(given, str):
            options = {**({"task": study.task} if study.task else {}), **study.options}
            loss = specs.parse(given, options=options, class_weight=data.class_weight())
        if not callable(loss):
            raise InputError(f"a loss must be a spec such as 'focal:gamma=1' or a callable; got {loss!r}")
        if label in labels:
            raise InputError(f"the loss {label!r} is listed twice; a mapping gives losses names of their own")
        labels.add(label)
        definition = repr(loss) if isinstance(loss, Loss) else label
        config = loss.to_dict() if isinstance(loss, Loss) else None
        found.append((Contender(label, definition, tuple(_about(loss)), config), join(cast("Criterion", loss))))
    if not found:
        raise InputError("no loss is given; name at least one, such as cross_entropy")
    return found


def _joining(study: Study, beside: str | Loss | None) -> Callable[[Criterion], Criterion]:
    """What makes a criterion of a loss: nothing, or the loss that the study has beside it."""
    if study.beside is None:
        if beside is not None:
            raise InputError(f"the {study.name} study has no second loss; its losses are those of `losses`")
        return lambda loss: loss
    own = beside_loss(study, beside)
    return functools.partial(_join, study.beside.join, own)


def _join(join: Callable[[Criterion, Loss], Criterion], own: Loss, loss: Criterion) -> Criterion:
    return join(loss, own)


def beside_loss(study: Study, given: str | Loss | None) -> Loss:
    """The loss beside those compared, from its spec."""
    assert study.beside is not None
    given = study.beside.loss if given is None else given
    return specs.parse(given, options={"task": study.beside.task}) if isinstance(given, str) else given


def _listed(losses: Losses) -> list[tuple[str, Any]]:
    """Label and loss, or spec, of each."""
    if isinstance(losses, str):
        return [(item, item) for item in specs.split(losses) if item]
    if isinstance(losses, Mapping):
        return list(losses.items())
    return [(loss if isinstance(loss, str) else _name(loss), loss) for loss in losses]


def _name(loss: Any) -> str:
    if isinstance(loss, Loss):
        return repr(loss)
    return getattr(loss, "__name__", type(loss).__name__)


def _about(loss: Any) -> list[tuple[str, str]]:
    """Name and first line of the documentation of a loss, and of each part of a sum."""
    if isinstance(loss, SumLoss):
        return [line for _, part in loss.terms for line in _about(part)]
    if isinstance(loss, functools.partial):
        return _about(loss.func)
    name = type(loss).__name__ if isinstance(loss, Loss) else _name(loss)
    text = inspect.getdoc(loss) or ""
    return [(name, text.partition("\n")[0])]


def check(study: Study, entries: Entries, model: nn.Module, data: Data, batch_size: int) -> None:
    """Raises InputError if a loss or metric cannot work on what the model gives for a first batch."""
    import torch

    from lossary.studies.training import batches, to_device

    model = copy.deepcopy(model).eval()
    x, y = to_device(model, *next(batches(data.train, batch_size)))
    _check_room(study, model, x, data, len(entries))
    with torch.no_grad():
        try:
            output: Tensor = model(x)
        except Exception as error:
            raise InputError(f"the model fails on a batch of shape {tuple(x.shape)}: {_line(error)}") from error
    axis, count = study.class_axis, study.outputs(len(data.classes))
    if axis is not None and (output.ndim <= axis or output.shape[axis] != count):
        expected = ", ".join(["N", *["…"] * (axis - 1), str(count)]) + (", …" if axis == 1 else "")
        raise InputError(f"the model must give ({expected}) for {len(data.classes)} classes; got {tuple(output.shape)}")
    for contender, loss in entries:
        _check_loss(contender.label, study.name, loss, output, y)
    prediction, target = study.predict(output).cpu().numpy(), y.cpu().numpy()
    for metric in study.metrics:
        try:
            float(metric.function(prediction, target))
        except Exception as error:
            raise InputError(f"the metric {metric.name!r} fails on a first batch: {_line(error)}") from error


_COPIES = 6
"""Arrays of the size of the model's outputs that a step holds at once: logits, softmax, targets, their gradients."""


def _check_room(study: Study, model: nn.Module, x: Tensor, data: Data, losses: int) -> None:
    """Raises InputError if a batch, or what is kept of the test set, needs more memory than there is.

    Shapes are found on torch's device "meta", which has them without numbers. A model that cannot go there is let pass.
    """
    import torch

    try:
        with torch.no_grad():
            output: Tensor = copy.deepcopy(model).to("meta")(x.to("meta"))
            kept = study.predict(output)
    except Exception:
        return
    tests = len(data.test) if isinstance(data.test, Split) else 0
    needed = _COPIES * output.nbytes + (losses + _COPIES) * kept.nbytes // len(x) * tests
    shape = " × ".join(map(str, output.shape[1:]))
    what = f"a model of {len(data.classes):,} classes, whose output has {shape} numbers for each sample,"
    memory.require(needed, what, "name fewer classes, or use smaller images or batches")


def _check_loss(label: str, study: str, loss: Criterion, output: Tensor, y: Tensor) -> None:
    import torch

    output = output.clone().requires_grad_()
    shapes = f"predictions {tuple(output.shape)} and targets {tuple(y.shape)}"
    try:
        with torch.enable_grad(), checked():
            value = copy.deepcopy(loss)(output, y)
    except Exception as error:
        raise InputError(f"the loss {label!r} does not suit {study}, with {shapes}: {_line(error)}") from error
    if not isinstance(value, torch.Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"the loss {label!r} must return a torch tensor; got {type(value).__name__}")
    if value.ndim:
        raise InputError(
            f"the loss {label!r} must return one number; got shape {tuple(value.shape)}: use reduction='mean'"
        )
    if not value.requires_grad:
        raise InputError(f"the loss {label!r} has no gradient, so nothing can be trained with it")


def _line(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
