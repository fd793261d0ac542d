"""Quantities that are computed at most once, and only if a formula reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 (it is written as `property` is)
    """A property that is computed at its first use: `functools.cached_property` without the lock of Python 3.11, which
    torch.compile cannot follow."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        value = self.compute(instance)
        setattr(instance, self.name, value)  # found there from now on, before this descriptor
        return value
