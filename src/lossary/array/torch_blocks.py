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
from torch.utils._python_dispatch import TorchDispatchMode

from lossary.array.namespace import eager

BLOCK = 2**17
"""Elements per thread and block: few calls, and buffers that fit a cache."""

aten = torch.ops.aten


def _subtracted(x: torch.Tensor, other: Any, alpha: float = 1, *, out: torch.Tensor) -> torch.Tensor:
    return torch.sub(other, x, alpha=alpha, out=out)


def _cast(x: torch.Tensor, *, out: torch.Tensor, **_: Any) -> torch.Tensor:
    return out.copy_(x)


INTO: dict[Any, Callable[..., Any]] = {
    aten._to_copy.default: _cast,
    aten.abs.default: torch.abs,
    aten.add.Tensor: torch.add,
    aten.addcmul.default: torch.addcmul,
    aten.clamp.default: torch.clamp,
    aten.div.Tensor: torch.div,
    aten.exp.default: torch.exp,
    aten.expm1.default: torch.expm1,
    aten.lerp.Tensor: torch.lerp,
    aten.log.default: torch.log,
    aten.log1p.default: torch.log1p,
    aten.minimum.default: torch.minimum,
    aten.mul.Tensor: torch.mul,
    aten.neg.default: torch.neg,
    aten.pow.Tensor_Scalar: torch.pow,
    aten.rsub.Scalar: _subtracted,
    aten.sigmoid.default: torch.sigmoid,
    aten.sign.default: torch.sign,
    aten.sqrt.default: torch.sqrt,
    aten.sub.Tensor: torch.sub,
    aten.where.self: torch.where,
}
"""Operations that can write into a given tensor, one of their arguments too. Others make a tensor of their own."""


class Slot(NamedTuple):
    """What stands for a tensor while a block is computed: an argument, a result or a buffer."""

    number: int


class Step(NamedTuple):
    """One operation, with slots in place of tensors."""

    operation: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    to: Slot


class Program(NamedTuple):
    """The operations of formulas. Slots number the arguments, then the results, then the buffers."""

    steps: list[Step]
    buffers: list[torch.dtype]
    copies: list[tuple[int, Slot | float]]
    """Results that no operation makes: the number, and what it is a copy of."""


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
    buffers = [torch.empty(size, dtype=dtype) for dtype in program.buffers]
    for start in range(0, x.numel(), size):
        block = [a[start : start + size] for a in flat]
        _run(program, block + [b[: block[0].numel()] for b in buffers], len(arrays))
    return tuple(results)


def _run(program: Program, tensors: list[torch.Tensor], arguments: int) -> None:
    for operation, sources, options, to in program.steps:
        operation(*[tensors[s.number] if isinstance(s, Slot) else s for s in sources], **options, out=tensors[to.number])
    for number, source in program.copies:
        result = tensors[arguments + number]
        _ = result.copy_(tensors[source.number]) if isinstance(source, Slot) else result.fill_(source)


# --- recording ------------------------------------------------------------------------------------------------------


class _Unknown(Exception):
    """An operation that is not in `INTO`."""


class _Recorder(TorchDispatchMode):
    """Notes the operations of formulas. One that was noted before, on the same arguments, is not made again."""

    def __init__(self, arguments: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.dtypes = [a.dtype for a in arguments]
        self.slots = {id(a): Slot(i) for i, a in enumerate(arguments)}
        self.known: dict[Any, torch.Tensor] = {}  # which also keeps them alive, so that no id is given twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = {k: v for k, v in (kwargs or {}).items() if v is not None}
        arguments = tuple(self.slots.get(id(a), a) for a in args)
        if not any(isinstance(a, Slot) for a in arguments):
            return func(*args, **options)  # a constant
        if func not in INTO:
            raise _Unknown
        key = (func, arguments, tuple(options.items()))
        if key not in self.known:
            self.known[key] = result = func(*args, **options)
            self.slots[id(result)] = Slot(len(self.dtypes))
            self.dtypes.append(result.dtype)
            self.steps.append(Step(INTO[func], arguments, options, self.slots[id(result)]))
        return self.known[key]


@functools.lru_cache(maxsize=256)
def _recorded(of: Any, formulas: tuple[Any, ...], dtypes: tuple[torch.dtype, ...]) -> Program | None:
    """The program of formulas for arguments of these dtypes; None where an operation cannot be replayed."""
    sample = [torch.ones(2, dtype=dtype) for dtype in dtypes]
    recorder = _Recorder(sample)
    try:
        with recorder:
            quantity = of(xp, *sample, smooth=False)
            made = [formula(xp, quantity) for formula in formulas]
    except _Unknown:
        return None
    results = [r if isinstance(r, float) else recorder.slots[id(r)] for r in made]
    return _plan(recorder, results, len(sample))


def _plan(recorder: _Recorder, results: list[Slot | float], arguments: int) -> Program:
    """The steps with few buffers: one is free again after the last step that reads it."""
    last = {slot: i for i, step in enumerate(recorder.steps) for slot in step.arguments if isinstance(slot, Slot)}
    place = {Slot(i): Slot(i) for i in range(arguments)}
    for i, slot in enumerate(results):
        if isinstance(slot, Slot):
            place.setdefault(slot, Slot(arguments + i))
    fixed = arguments + len(results)
    buffers: list[torch.dtype] = []
    free: list[Slot] = []
    steps: list[Step] = []
    for i, step in enumerate(recorder.steps):
        sources = tuple(place[a] if isinstance(a, Slot) else a for a in step.arguments)
        # free before the step writes: it may write over what it reads for the last time
        free += {
            place[a] for a in step.arguments if isinstance(a, Slot) and last[a] == i and place[a].number >= fixed
        }
        dtype = recorder.dtypes[step.to.number]
        if step.to not in place:
            fitting = [slot for slot in free if buffers[slot.number - fixed] == dtype]
            if fitting:
                free.remove(fitting[-1])
            else:
                buffers.append(dtype)
            place[step.to] = fitting[-1] if fitting else Slot(fixed + len(buffers) - 1)
        steps.append(step._replace(arguments=sources, to=place[step.to]))
    copies = [
        (i, r if isinstance(r, float) else place[r])
        for i, r in enumerate(results)
        if isinstance(r, float) or place[r] != Slot(arguments + i)
    ]
    return Program(steps, buffers, copies)
