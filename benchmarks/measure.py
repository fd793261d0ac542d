"""Time, bytes saved for backward, and peak memory of forward and backward in eager torch."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.contenders import Evaluate

# On the CPU most of a large tensor's time is page faults of the C allocator, and glibc decides from one allocation to
# the next whether it hands memory back. Unpinned, one and the same loss measured .54 to 1.41 times cross entropy.
PINNED = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
# The opposite for peak memory: every tensor is mapped by itself and handed back when it dies, so that the resident set
# is the sum of what is alive, without the holes of a heap. A fixed threshold also ends glibc's own adjusting of it.
UNPOOLED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}

# A process may start with the upper halves of its vector registers in use; until an operation clears them, those of
# torch that mix instruction sets (log1p, softplus, binary cross entropy) take ten times as long. Any power clears them.
SETTLE = torch.ones(2**17)

FEWEST_ROUNDS = 5


def pin_allocator() -> None:
    """Starts this process again with the allocator pinned, unless it is; glibc reads these variables at the start."""
    if any(os.environ.get(name) != value for name, value in PINNED.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], {**os.environ, **PINNED})


# --- time ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratio(ours: list[float], other: list[float]) -> Spread:
    """Spread of the ratios round by round: both times of a round saw the same neighbours on the machine."""
    return Spread.of([a / b for a, b in zip(ours, other, strict=True)])


def rounds(
    contenders: list[tuple[Evaluate, torch.Tensor]], prediction: torch.Tensor, repeats: int, seconds: float
) -> Iterator[list[float]]:
    """The seconds of forward and backward of each contender, round by round, after two rounds to warm up.

    Every round starts with another contender, so that nobody always runs in the wake of the same one. Rounds end after
    `seconds`, but not before there are enough for quartiles.
    """
    for evaluate, target in contenders * 2:
        once(evaluate, prediction, target)
    start = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for number in range(repeats):
            if number >= FEWEST_ROUNDS and time.perf_counter() - start > seconds:
                break
            order = [(number + i) % len(contenders) for i in range(len(contenders))]
            times = {i: once(contenders[i][0], prediction, contenders[i][1]) for i in order}
            yield [times[i] for i in range(len(contenders))]
    finally:
        gc.enable()


def once(evaluate: Evaluate, prediction: torch.Tensor, target: torch.Tensor) -> float:
    """The seconds of one forward and backward pass.

    With one thread these are processor seconds, which a busy neighbour does not lengthen by pausing us. With more they
    are seconds of the wall: there an operation also waits for threads that are not running, so that on a machine with
    other work a loss of many small operations looks several times as slow as it is.
    """
    SETTLE**1.5
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    prediction.grad = None
    start = clock()
    evaluate(prediction, target).backward()
    return clock() - start


def often(evaluate: Evaluate, calls: int) -> Evaluate:
    """Many calls as one: all but the last run backward here, the last where the clock stops."""

    def repeated(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        for _ in range(calls - 1):
            prediction.grad = None
            evaluate(prediction, target).backward()
        return evaluate(prediction, target)

    return repeated


# --- operations ------------------------------------------------------------------------------------------------------


class _Operations(TorchDispatchMode):
    """Counts what torch computes. A view moves nothing, and on a GPU it starts no kernel, so it does not count."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aliases = [x.alias_info for x in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            self.count += 1
        return func(*args, **(kwargs or {}))


def operations(evaluate: Evaluate, prediction: torch.Tensor, target: torch.Tensor) -> int:
    """The operations of torch in one forward and backward pass, views aside: what stands for the time of small tensors
    on a GPU, where each costs a launch."""
    prediction.grad = None
    evaluate(prediction, target).backward()  # what is made at the first call is there now
    prediction.grad = None
    with _Operations() as counter:
        evaluate(prediction, target).backward()
    return counter.count


# --- bytes saved for backward ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Saved:
    """Bytes that the result keeps alive for its backward pass, in units of the prediction's bytes.

    `total` is all of it. `beyond` leaves out the tensors that the caller passed in: these are alive anyway (the logits
    belong to the layer before, the target to the data loader), so `beyond` is what the loss adds to the memory of a
    training step, and `total` what it would hold if everybody else let go.
    """

    total: float
    beyond: float


def saved(evaluate: Evaluate, prediction: torch.Tensor, target: torch.Tensor) -> Saved:
    """Every storage is counted once, whole, and only if it lives as long as the result does: tensors that are saved by
    a node which dies with the forward pass cost nothing later."""
    storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def note(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        storages.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        note(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = evaluate(prediction, target)
    for tensor in _kept_by_hand(result):
        note(tensor)
    gc.collect()
    given = {tensor.untyped_storage()._cdata for tensor in (prediction, target)}
    alive = {key: size for key, (reference, size) in storages.items() if not reference.expired()}
    unit = prediction.untyped_storage().nbytes()
    return Saved(
        total=sum(alive.values()) / unit,
        beyond=sum(size for key, size in alive.items() if key not in given) / unit,
    )


def _kept_by_hand(result: torch.Tensor) -> Iterator[torch.Tensor]:
    """Tensors that an `autograd.Function` keeps as attributes of its context, where the hooks do not see them."""
    seen: set[object] = set()
    nodes = [result.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes.extend(following for following, _ in node.next_functions)
        yield from (value for value in getattr(node, "__dict__", {}).values() if isinstance(value, torch.Tensor))


# --- peak memory -----------------------------------------------------------------------------------------------------


def peak(case: str, contender: str) -> float:
    """Peak of the resident set during forward and backward, above what it was with the inputs made, in units of the
    prediction's bytes. The gradient of the prediction is in it. Measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peak", case, contender]
    result = subprocess.run(command, env={**os.environ, **UNPOOLED}, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"peak memory of {contender} in {case} could not be measured:\n{result.stderr}")
    return json.loads(result.stdout)
