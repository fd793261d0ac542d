"""Memory and time of classifier and loss from 8,000 to 128,000 classes: `python -m benchmarks vocabulary`.

Each peak is that of a process of its own, above what it held with the inputs made; the gradients of features and
weight, which every contender makes, are in it. Times are processor seconds of one thread, interleaved.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.table import Table

import lossary as L
from benchmarks import measure
from benchmarks.measure import Spread, ratio
from benchmarks.results import shown

TOKENS, WIDTH = 512, 128
CLASSES = (8_000, 32_000, 128_000)
FEWEST_ROUNDS = 3  # a round at 128,000 classes takes 20 s
DENSE, BAR = "dense", 1.3

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _dense(x: torch.Tensor, weight: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(x, weight), y)


def _native(x: torch.Tensor, weight: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.linear_cross_entropy(x, weight, y, options=torch.nn.LinearCrossEntropyOptions())


def _ours(**options: object) -> Step:
    loss = L.LinearCrossEntropyLoss(**options)  # pyright: ignore[reportArgumentType]
    return lambda x, weight, y: loss(x, y, weight=weight)


def _per_token() -> Step:
    loss = L.LinearCrossEntropyLoss(reduction="none")
    return lambda x, weight, y: (loss(x, y, weight=weight) / len(y)).sum()


def _options_dense(x: torch.Tensor, weight: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    z = 30 * torch.tanh(F.linear(x, weight) / 30)
    return F.cross_entropy(z, y, label_smoothing=0.1) + 1e-4 * (torch.logsumexp(z, 1) ** 2).mean()


OPTIONS = {"label_smoothing": 0.1, "z_loss": 1e-4, "softcap": 30.0}
CONTENDERS: dict[str, Step] = {
    DENSE: _dense,
    "lossary": _ours(),
    "lossary, reduction none": _per_token(),
    "F.linear_cross_entropy, chunks": _native,
    "dense, all options": _options_dense,
    "lossary, all options": _ours(**OPTIONS),
}
BARRED = {"lossary": DENSE, "lossary, all options": "dense, all options"}
"""Contenders whose time has a limit, and what it is a multiple of."""


def make(classes: int, tokens: int = TOKENS) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(tokens, WIDTH, generator=generator).requires_grad_()
    weight = (0.1 * torch.randn(classes, WIDTH, generator=generator)).requires_grad_()
    return features, weight, torch.randint(classes, (tokens,), generator=generator)


def once(step: Step, inputs: Inputs) -> None:
    features, weight, y = inputs
    features.grad = weight.grad = None
    step(features, weight, y).backward()


def peak(name: str, classes: int) -> int:
    """Bytes, in a process of its own with an allocator that hands memory back."""
    command = [sys.executable, "-m", "benchmarks.vocabulary", name, str(classes)]
    environment = {**os.environ, **measure.UNPOOLED, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"peak memory of {name} at {classes} classes could not be measured:\n{result.stderr}")
    return json.loads(result.stdout)


def table(repeats: int, seconds: float, tick: Callable[[], None]) -> tuple[Table, list[dict[str, object]]]:
    """Peak memory beyond the gradients and time against the dense form."""
    made = Table(
        title=f"classifier and loss of {TOKENS:,} tokens with {WIDTH} features: peak MB without the gradients of "
        "features and weight; time × dense",
        title_justify="left",
        title_style="bold",
    )
    made.add_column("")
    for classes in CLASSES:
        made.add_column(f"{classes:,}", justify="right")
    installed = {k: v for k, v in CONTENDERS.items() if v is not _native or hasattr(F, "linear_cross_entropy")}
    rows: list[dict[str, object]] = []
    peaks: dict[str, list[str]] = {name: [] for name in installed}
    times: dict[str, list[str]] = {name: [] for name in installed}
    for classes in CLASSES:
        for name in installed:
            gradients = 4 * WIDTH * (TOKENS + classes)
            beyond = peak(name, classes) - gradients
            peaks[name].append(f"{beyond / 2**20:.0f}")
            rows.append({"contender": name, "classes": classes, "peak_beyond_gradients": beyond})
            tick()
        spent = _times(installed, classes, repeats, seconds)
        for name in installed:
            against = DENSE if name != "lossary, all options" else "dense, all options"
            spread = ratio(spent[name], spent[against])
            times[name].append(shown(spread) if name != against else f"{Spread.of(spent[name]).median:.2g} s")
            rows.append({"contender": name, "classes": classes, "seconds": spent[name], "against": against})
        tick()
    for name in installed:
        made.add_row(f"{name}: MB", *peaks[name])
    for name in installed:
        made.add_row(f"{name}: time", *times[name])
    return made, rows


def _times(contenders: dict[str, Step], classes: int, repeats: int, seconds: float) -> dict[str, list[float]]:
    inputs = make(classes)
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    start = measure.time.process_time()
    for turn in range(repeats + 1):
        for name, step in contenders.items():
            begun = measure.time.process_time()
            once(step, inputs)
            if turn:  # the first warms up
                spent[name].append(measure.time.process_time() - begun)
        if turn >= FEWEST_ROUNDS and measure.time.process_time() - start > seconds:
            break
    return spent


def failures(rows: list[dict[str, object]]) -> list[str]:
    """What misses its bar: time beyond 1.3 times the dense form, or memory that grows with the classes."""
    found: list[str] = []
    for row in rows:
        against = BARRED.get(str(row["contender"]))
        if against is None or "seconds" not in row:
            continue
        dense = next(r for r in rows if r["contender"] == against and r["classes"] == row["classes"] and "seconds" in r)
        spread = ratio(row["seconds"], dense["seconds"])  # pyright: ignore[reportArgumentType]
        if spread.median > BAR:
            found.append(f"{row['contender']} at {row['classes']:,} classes: {spread.median:.2f} × {against} > {BAR}")
    for name in BARRED:
        used = {r["classes"]: r["peak_beyond_gradients"] for r in rows if r["contender"] == name and "seconds" not in r}
        least, most = used[CLASSES[0]], used[CLASSES[-1]]
        allowed = 4 * WIDTH * CLASSES[-1] * 2  # gradients of the weight that are kept and made
        if most - least > allowed:  # pyright: ignore[reportOperatorIssue]
            found.append(f"{name}: peak grows from {least} to {most} bytes")
    return found


def main(name: str, classes: int) -> None:
    step = CONTENDERS[name]
    once(step, make(100, 8))  # imports, thread pools and caches are not counted
    inputs = make(classes)
    from benchmarks.peak import resident

    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    once(step, inputs)
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
