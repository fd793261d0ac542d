"""Formulas of one number per element, block by block, so that on a CPU what lies between input and result stays in the
cache.

A formula makes a tensor for each of its operations, and on a CPU touching fresh memory takes longer than most of them.
So its operations are recorded once, and then replayed on each block into as few buffers as are needed at a time; the
results are written where they belong.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (torch does not type all of its methods)

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lossary.array.namespace import eager

BLOCK = 2**17
"""Elements per thread and block: few calls, and buffers that fit a cache."""

aten = torch.ops.aten


def _subtracted(x: torch.Tensor, other: Any, alpha: float = 1, *, out: torch.Tensor) -> torch.Tensor:
    return torch.sub(other, x, alpha=alpha, out=out)


def _copied(x: torch.Tensor, *, out: torch.Tensor, **_: Any) -> torch.Tensor:
    return out.copy_(x)


def _filled(value: float, *, out: torch.Tensor) -> torch.Tensor:
    return out.fill_(value)


def _ones(_: torch.Tensor, *, out: torch.Tensor, **__: Any) -> torch.Tensor:
    return out.fill_(1.0)


INTO: dict[Any, Callable[..., Any]] = {
    aten._to_copy.default: _copied,
    aten.abs.default: torch.abs,
    aten.add.Tensor: torch.add,
    aten.addcmul.default: torch.addcmul,
    aten.clamp.default: torch.clamp,
    aten.div.Tensor: torch.div,
    aten.eq.Scalar: torch.eq,
    aten.exp.default: torch.exp,
    aten.expm1.default: torch.expm1,
    aten.ge.Scalar: torch.ge,
    aten.gt.Scalar: torch.gt,
    aten.le.Scalar: torch.le,
    aten.lerp.Tensor: torch.lerp,
    aten.log.default: torch.log,
    aten.log1p.default: torch.log1p,
    aten.log_sigmoid_forward.default: F.logsigmoid,
    aten.lt.Scalar: torch.lt,
    aten.maximum.default: torch.maximum,
    aten.minimum.default: torch.minimum,
    aten.mul.Tensor: torch.mul,
    aten.ne.Scalar: torch.ne,
    aten.neg.default: torch.neg,
    aten.ones_like.default: _ones,
    aten.pow.Tensor_Scalar: torch.pow,
    aten.reciprocal.default: torch.reciprocal,
    aten.rsub.Scalar: _subtracted,
    aten.sigmoid.default: torch.sigmoid,
    aten.sign.default: torch.sign,
    aten.sinh.default: torch.sinh,
    aten.sqrt.default: torch.sqrt,
    aten.sub.Tensor: torch.sub,
    aten.where.self: torch.where,
}
"""What writes the result of an operation into a given tensor, which may be one of its arguments. A formula with another
operation is not replayed."""


class Slot(NamedTuple):
    """A tensor of a recorded formula: the arguments first, then what the operations make."""

    number: int


class Step(NamedTuple):
    """One operation of a formula, of slots and constants."""

    operation: Callable[..., Any]
    sources: tuple[Any, ...]
    to: Slot


class Program(NamedTuple):
    """What is done to each block. Numbers tell arguments, results, constants and buffers, in this order."""

    steps: list[tuple[Callable[..., Any], tuple[int, ...], int]]  # operation, from where, to where
    constants: list[Any]
    buffers: list[torch.dtype]


def blockwise(
    of: Callable[..., Any],
    formulas: Sequence[Callable[..., Any]],
    x: torch.Tensor,
    given: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """The values of formulas on the quantity `of(xp, x, *given)`, as constants. On a CPU that goes block by block."""
    size = BLOCK * torch.get_num_threads()
    arrays = (x, *given)
    program = None
    if x.device.type == "cpu" and x.numel() > size and eager(x) and all(a.is_contiguous() for a in arrays):
        program = _recorded(of, tuple(formulas), tuple(a.dtype for a in arrays))
    if program is None:
        quantity = of(xp, *arrays, smooth=False)
        made = [formula(xp, quantity) for formula in formulas]
        return tuple(torch.full_like(x, r) if isinstance(r, float) else r for r in made)
    results = [torch.empty_like(x) for _ in formulas]
    flat = [a.view(-1) for a in (*arrays, *results)]
    buffers = [torch.empty(size, dtype=dtype, device="cpu") for dtype in program.buffers]
    for start in range(0, x.numel(), size):
        block = [a[start : start + size] for a in flat]
        at = [*block, *program.constants, *(b[: len(block[0])] for b in buffers)]
        for operation, sources, to in program.steps:
            operation(*[at[i] for i in sources], out=at[to])
    return tuple(results)


# --- recording ------------------------------------------------------------------------------------------------------


class _UnknownError(Exception):
    """Something that cannot be replayed on another block."""


class _Recorder(TorchDispatchMode):
    """Notes the operations of formulas. One that was noted before, on the same arguments, is not made again."""

    def __init__(self, arguments: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.tensors: list[torch.Tensor] = []
        self.slots: dict[int, Slot] = {}  # by the id of a tensor, all of which are kept
        self.known: dict[Any, Any] = {}
        for argument in arguments:
            self.add(argument)

    def add(self, tensor: torch.Tensor) -> Slot:
        slot = self.slots[id(tensor)] = Slot(len(self.tensors))
        self.tensors.append(tensor)
        return slot

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = {k: v for k, v in (kwargs or {}).items() if v is not None}
        if not any(id(leaf) in self.slots for leaf in tree_leaves((args, options))):
            return func(*args, **options)  # of constants
        sources = tuple(self.slots.get(id(a), a) for a in args)
        # a constant of the sample's size would not have that of another block
        if func not in INTO or any(isinstance(a, torch.Tensor) and a.ndim > 0 for a in sources):
            raise _UnknownError
        key = (func, sources, tuple(options.items()))
        if key not in self.known:
            self.known[key] = made = func(*args, **options)
            operation = functools.partial(INTO[func], **options) if options else INTO[func]
            # of several results (log-sigmoid has one for its gradient) formulas read the first
            self.steps.append(Step(operation, sources, self.add(made[0] if isinstance(made, tuple) else made)))
        return self.known[key]


@functools.lru_cache(maxsize=256)
def _recorded(of: Any, formulas: tuple[Any, ...], dtypes: tuple[torch.dtype, ...]) -> Program | None:
    """The program of formulas for arguments of these dtypes; None where there is none."""
    recorder = _Recorder([torch.ones(2, dtype=dtype, device="cpu") for dtype in dtypes])
    try:
        with recorder:
            quantity = of(xp, *recorder.tensors, smooth=False)
            made = [formula(xp, quantity) for formula in formulas]
    except _UnknownError:
        return None
    return _planned(recorder, [r if isinstance(r, float) else recorder.slots[id(r)] for r in made], len(dtypes))


def _planned(recorder: _Recorder, results: Sequence[Slot | float], arguments: int) -> Program:
    """Every slot gets a place: one result each, and few buffers, which are free again after they were read last."""
    last = {s: i for i, step in enumerate(recorder.steps) for s in step.sources if isinstance(s, Slot)}
    constants = [s for step in recorder.steps for s in step.sources if not isinstance(s, Slot)]
    numbers = iter(range(arguments + len(results), arguments + len(results) + len(constants)))
    first = arguments + len(results) + len(constants)
    at = {Slot(i): i for i in range(arguments)}
    for i, result in enumerate(results):
        if isinstance(result, Slot):
            at.setdefault(result, arguments + i)
    program = Program([], constants, [])
    free: list[int] = []
    for i, (operation, sources, to) in enumerate(recorder.steps):
        places = tuple(at[s] if isinstance(s, Slot) else next(numbers) for s in sources)
        # free before the step, which may write over what it reads
        free += {at[s] for s in sources if isinstance(s, Slot) and last[s] == i and at[s] >= first}
        if to not in at:
            dtype = recorder.tensors[to.number].dtype
            fitting = [place for place in free if program.buffers[place - first] == dtype]
            if fitting:
                free.remove(fitting[-1])
            else:
                program.buffers.append(dtype)
            at[to] = fitting[-1] if fitting else first + len(program.buffers) - 1
        program.steps.append((operation, places, at[to]))
    for i, result in enumerate(results):
        if not isinstance(result, Slot):
            program.steps.append((functools.partial(_filled, result), (), arguments + i))
        elif at[result] != arguments + i:
            program.steps.append((_copied, (at[result],), arguments + i))
    return program
