"""The two tables that are not a race: how cost grows with size, and what a call costs on next to no data."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from rich.table import Table

import lossary as L
from benchmarks import measure
from benchmarks.case import Inputs
from benchmarks.cases import BCE, CE
from benchmarks.contenders import Evaluate
from benchmarks.measure import Spread, ratio
from benchmarks.results import shown
from lossary.core.compound import SumLoss

CALLS_PER_ROUND = 200


def scaling(repeats: int, seconds: float, tick: Callable[[], None]) -> tuple[Table, list[dict[str, object]]]:
    """Four sizes in pixels and four in classes: nanoseconds per logit, which linear cost keeps level."""
    losses = (L.DiceLoss("multiclass"), L.DiceLoss("multiclass") + L.CrossEntropyLoss(), L.LovaszSoftmaxLoss())
    pixels = [(2, 19, side, side) for side in (64, 128, 256, 512)]
    classes = [(2, count, 128, 128) for count in (5, 20, 80, 320)]
    table = Table(title="scaling with pixels and with classes", title_justify="left", title_style="bold")
    for heading in ("loss", "grows with", "shape", "logits", "ms", "ns per logit", "× F.cross_entropy", "saved"):
        table.add_column(heading, justify="left" if heading in ("loss", "grows with", "shape") else "right")
    rows: list[dict[str, object]] = []
    sizes = [("pixels", shape) for shape in pixels] + [("classes", shape) for shape in classes]
    for loss, (axis, shape) in itertools.product(losses, sizes):
        inputs, name = Inputs("classes", shape), " + ".join(SumLoss.of(loss).names)
        prediction, target = inputs.make()
        times = list(measure.rounds([(loss, target), (CE.make(), target)], prediction, repeats, seconds))
        ours, theirs = [t[0] for t in times], [t[1] for t in times]
        median, saved = Spread.of(ours).median, measure.saved(loss, prediction, target).total
        each = 1e9 * median / prediction.numel()
        table.add_row(
            name,
            axis,
            inputs.label,
            f"{prediction.numel():,}",
            f"{1e3 * median:.3g}",
            f"{each:.2f}",
            shown(ratio(ours, theirs)),
            f"{saved:.2f}",
        )
        row: dict[str, object] = {"loss": name, "axis": axis, "shape": list(shape), "seconds": median}
        rows.append({**row, "ns_per_logit": each, "saved": saved})
        tick()
    return table, rows


def overhead(repeats: int, compiled: bool, tick: Callable[[], None]) -> tuple[Table, list[dict[str, object]]]:
    """Microseconds of forward and backward on tensors so small that only the way of the call costs."""
    small, binary = Inputs("classes", (8, 10)), Inputs("binary", (8, 10))
    boxes, elements = Inputs("boxes", (8, 4)), Inputs("elements", (80,))
    subjects = [
        (L.CrossEntropyLoss(), small, CE),
        (L.FocalLoss("multiclass"), small, CE),
        (L.DiceLoss("multiclass", per="batch"), small, CE),
        (L.DiceLoss("multiclass", per="batch") + L.CrossEntropyLoss(), small, CE),
        (L.BCELoss(), binary, BCE),
        (L.FocalLoss("binary"), binary, BCE),
        (L.MSELoss(), elements, None),
        (L.GIoULoss(), boxes, None),
    ]
    table = Table(title="overhead of a call", title_justify="left", title_style="bold")
    for heading in ("loss", "shape", "µs", "× native", *(("compiled µs", "× compiled native") if compiled else ())):
        table.add_column(heading, justify="left" if heading in ("loss", "shape") else "right")
    rows: list[dict[str, object]] = []
    for loss, inputs, native in subjects:
        prediction, target = inputs.make()
        contenders: list[tuple[Evaluate, torch.Tensor]] = [(loss, target)]
        if native is not None:
            contenders.append((native.make(), native.target(target)))
        cells = [repr(loss), inputs.label]
        row: dict[str, object] = {"loss": repr(loss), "shape": list(inputs.shape)}
        for mode in ("eager", "compiled") if compiled else ("eager",):
            if mode == "compiled":
                contenders = [(torch.compile(evaluate, fullgraph=True), form) for evaluate, form in contenders]
            many = [(measure.often(evaluate, CALLS_PER_ROUND), form) for evaluate, form in contenders]
            times = list(measure.rounds(many, prediction, repeats, 10.0))
            median = Spread.of([t[0] for t in times]).median / CALLS_PER_ROUND
            against = ratio([t[0] for t in times], [t[1] for t in times]) if native is not None else None
            cells += [f"{1e6 * median:.0f}", shown(against)]
            row[mode] = {"seconds": median, "times_native": against.median if against else None}
        table.add_row(*cells)
        rows.append(row)
        tick()
    return table, rows
