"""From what a user names to a `Subject`."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossary.checker.engines import Framework, installed
from lossary.checker.subject import Subject
from lossary.core.loss import Loss


def subject_of(
    loss: Callable[..., Any],
    framework: Framework | None = None,
    target_first: bool | None = None,
    ignore_index: int | None = None,
    name: str | None = None,
) -> Subject:
    """A callable as a subject; what is not given is read off where it comes from."""
    if not callable(loss):
        raise TypeError(f"`loss` must be callable as loss(prediction, target); got {loss!r}")
    framework = framework or _framework(loss)
    if target_first is None:
        target_first = _home(loss) == "keras"
    call = functools.partial(_swapped, loss) if target_first else loss
    if ignore_index is None:
        found = getattr(loss, "ignore_index", None)
        ignore_index = found if isinstance(found, int) else None
    return Subject(call, framework, name or _name(loss), _owner(loss), ignore_index, target_first=target_first)


def _swapped(loss: Callable[..., Any], prediction: Any, target: Any, **keywords: Any) -> Any:
    return loss(target, prediction, **keywords)


def with_third(subject: Subject) -> Subject:
    """A subject whose operands are the third argument of the call; the catalogue takes them by name."""
    if isinstance(subject.call, Loss) or subject.positional:
        return subject
    return dataclasses.replace(subject, call=functools.partial(_positional, subject.call), positional=True)


def _positional(loss: Callable[..., Any], prediction: Any, target: Any, **operands: Any) -> Any:
    return loss(prediction, target, *operands.values())


def _owner(loss: Any) -> Any:
    return None if inspect.isroutine(loss) or isinstance(loss, (functools.partial, Loss)) else loss


def _home(loss: Any) -> str:
    """The package that a loss was made by: that of the class it inherits from, or its module."""
    if isinstance(loss, functools.partial):
        return _home(loss.func)
    bases = [c.__module__.partition(".")[0] for c in type(loss).__mro__] if not inspect.isroutine(loss) else []
    for package in ("keras", "torch"):
        if package in bases:
            return package
    return (getattr(loss, "__module__", None) or "").partition(".")[0]


def _framework(loss: Any) -> Framework:
    home = _home(loss)
    if home == "keras":
        import keras  # pyright: ignore[reportMissingTypeStubs]

        return keras.backend.backend()  # pyright: ignore
    if home in ("jax", "optax", "flax"):
        return "jax"
    if home in ("tensorflow", "numpy"):
        return home
    available = installed()
    return available[0]


def _name(loss: Any) -> str:
    if isinstance(loss, functools.partial):
        bound: functools.partial[Any] = loss  # pyright: ignore[reportUnknownVariableType]
        return f"{_name(bound.func)}({', '.join(f'{k}={v!r}' for k, v in bound.keywords.items())})"
    if inspect.isroutine(loss):
        return loss.__name__
    return repr(loss) if isinstance(loss, Loss) else type(loss).__name__


# --- MODULE:NAME -----------------------------------------------------------------------------------------------------


def load(spec: str) -> Callable[..., Any]:
    """The loss that `MODULE:NAME` names; `MODULE:NAME(option=value, …)` makes it with options.

    A class is instantiated; options of a function are bound to it. MODULE is imported as Python does, with the current
    folder first, or is the path of a .py file.

    >>> load("lossary:HuberLoss(delta=2)")
    HuberLoss(delta=2.0)

    Raises:
        ValueError: the text is not of that form, or the module has no such name.
        ImportError: the module does not import.
    """
    module_name, separator, expression = spec.partition(":")
    if not separator or not module_name or not expression:
        raise ValueError(f"a loss is named as MODULE:NAME or MODULE:NAME(option=value); got {spec!r}")
    name, options = _parse(expression)
    found = _named(module_name, name)
    if inspect.isclass(found):
        made: Any = found
        try:
            return made(**options)
        except TypeError as error:
            raise ValueError(f"{name} cannot be made with {options or 'no options'}: {error}") from error
    if not callable(found):
        raise ValueError(f"{spec} is no loss: {type(found).__name__} cannot be called")
    return functools.partial(found, **options) if options else found


def _named(module_name: str, name: str) -> Any:
    """What a module has under a name, which may have dots."""
    found: Any = _module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            names: list[str] = [n for n in dir(found) if n.endswith(("Loss", "loss"))]
            near = ", ".join(names[:8])
            raise ValueError(f"{module_name} has no {name!r}" + (f"; it has {near}" if near else ""))
        found = getattr(found, part)
    return found


def statement(spec: str) -> str:
    """The lines of Python that make the loss of `MODULE:NAME`.

    >>> print(statement("torch.nn:HuberLoss(delta=2.0)"))
    from torch.nn import HuberLoss
    loss = HuberLoss(delta=2.0)
    """
    module, _, expression = spec.partition(":")
    name, options = _parse(expression)
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    if inspect.isclass(_named(module, name)):
        made = f"loss = {name}({given})"
    else:  # a function, or a loss that the module has made
        made = f"import functools\nloss = functools.partial({name}, {given})" if options else f"loss = {name}"
    place = Path(module).stem if module.endswith(".py") else module
    return f"from {place} import {name.partition('.')[0]}\n{made}"


def made_by(loss: Any, name: str) -> str:
    """The lines that make a loss which was given as an object: a function is imported, one of ours is written down; of
    another object nobody knows how it was made."""
    if isinstance(loss, Loss):
        return f"from lossary import *\nloss = {loss!r}"
    module = getattr(loss, "__module__", None)
    if inspect.isfunction(loss) and module != "__main__" and "<" not in loss.__qualname__:
        return f"from {module} import {loss.__name__}\nloss = {loss.__name__}"
    return f"loss = ...  # the {name} that was given to the checker"


def _parse(expression: str) -> tuple[str, dict[str, Any]]:
    try:
        tree = ast.parse(expression, mode="eval").body
        if isinstance(tree, ast.Call):
            if tree.args:
                raise ValueError
            return ast.unparse(tree.func), {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
        return ast.unparse(tree), {}
    except (SyntaxError, ValueError):
        raise ValueError(f"{expression!r} must be NAME or NAME(option=value, …) with plain values as options") from None


def _module(name: str) -> Any:
    if name.endswith(".py"):
        if not os.path.exists(name):
            raise ValueError(f"there is no file {name}")
        spec = importlib.util.spec_from_file_location(os.path.basename(name)[:-3], name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)
