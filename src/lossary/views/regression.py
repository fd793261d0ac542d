"""Pictures of the box regression experiment: errors over the steps, errors over the positions, and one case moving."""

# matplotlib's stubs leave **kwargs without a type, so nearly every method of it is partially unknown
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.core.extras import needed
from lossary.core.loss import Loss
from lossary.studies.boxes.experiment import CENTER, RADIUS, STEPS, Numbers, Regression, trajectory
from lossary.views.plots import frame, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FRAMES = (*range(20), *range(20, 60, 2), *range(60, STEPS + 1, 5))
"""Steps that the animation shows: all while boxes move fast, fewer later."""


def error_curves(results: Sequence[Regression]) -> Figure:
    """The summed error after each step, on a logarithmic axis: the interesting losses end near 0."""
    figure = _figure(7.2, 4.4)
    panel = figure.add_subplot()
    frame(panel, "error of all boxes, |Δx|+|Δy|+|Δw|+|Δh|, scaled to 1,715,000 cases", "step", logarithmic=False)
    for index, result in enumerate(results):
        panel.plot(range(1, STEPS + 1), result.errors, label=result.loss, **look(index))
    panel.set_yscale("log")
    for step, rate in ((160, "rate .01"), (180, ".001")):
        panel.axvline(step, color="#999999", linewidth=0.9, linestyle=":")
        panel.annotate(rate, (step, 1.0), xycoords=("data", "axes fraction"), fontsize=8, ha="left", va="top")
    panel.legend(frameon=False, fontsize=10)
    return figure


def error_surfaces(results: Sequence[Regression], centers: Numbers) -> Figure:
    """The mean error at the end over where the prediction started; the target is in the middle."""
    from matplotlib.colors import LogNorm

    columns = min(4, len(results))
    rows = -(-len(results) // columns)
    figure = _figure(2.9 * columns + 0.9, 3.0 * rows + 0.3)
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    low = max(min(float(r.surface.min()) for r in results), 1e-5)
    high = max(max(float(r.surface.max()) for r in results), 10 * low)
    area = 60_000 / len(centers)  # dots that touch, whatever their number
    drawn = None
    for panel, result in zip(panels, results, strict=False):
        drawn = panel.scatter(
            *centers.T, c=np.maximum(result.surface, low), s=area, norm=LogNorm(low, high), cmap="viridis", linewidths=0
        )
        panel.set_title(result.loss, fontsize=10)
        for limits, middle in ((panel.set_xlim, CENTER[0]), (panel.set_ylim, CENTER[1])):
            limits(middle - 1.1 * RADIUS, middle + 1.1 * RADIUS)
        panel.set(aspect="equal", xticks=(CENTER[0] - RADIUS, CENTER[0], CENTER[0] + RADIUS), yticks=())
        for side in panel.spines.values():
            side.set_visible(False)
    for panel in panels[len(results) :]:
        panel.set_visible(False)
    if drawn is not None:
        figure.colorbar(drawn, ax=[*panels], label="mean error at the end", shrink=0.8)
    return figure


def animate(losses: dict[str, Loss], start: Sequence[float], target: Sequence[float], path: Path) -> None:
    """One case with all losses side by side, as a GIF.

    Args:
        losses: by the name that stands above each.
        start: the predicted box at first, as centre and size.
        target: the true box.
        path: the file to write.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.patches import Rectangle

    paths = [trajectory(loss, start, target) for loss in losses.values()]
    every = np.concatenate([*paths, np.array([target])])
    corner_low, corner_high = every[:, :2] - every[:, 2:] / 2, every[:, :2] + every[:, 2:] / 2
    (left, bottom), (right, top) = corner_low.min(0) - 0.2, corner_high.max(0) + 0.2
    figure = _figure(2.6 * len(losses), 3.0)
    panels = np.atleast_1d(figure.subplots(1, len(losses))).ravel()
    moving: list[Any] = []
    for index, (panel, name) in enumerate(zip(panels, losses, strict=True)):
        panel.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=(), yticks=())
        panel.set_title(name, fontsize=10)
        panel.add_patch(Rectangle(*_rectangle(target), fill=False, edgecolor="#333333", linewidth=2.0))
        moving.append(
            panel.add_patch(Rectangle(*_rectangle(start), alpha=0.35, facecolor=look(index)["color"], edgecolor="none"))
        )
    label = figure.suptitle("step 0", fontsize=10)

    def show(step: int) -> list[Any]:
        for patch, boxes in zip(moving, paths, strict=True):
            corner, width, height = _rectangle(boxes[step])
            patch.set(xy=corner, width=width, height=height)
        label.set_text(f"step {step}")
        return [*moving, label]

    FuncAnimation(figure, show, frames=_FRAMES).save(path, writer=PillowWriter(fps=12), dpi=80)


def _rectangle(box: Sequence[float] | Numbers) -> tuple[tuple[float, float], float, float]:
    """Corner, width and height of a box given as centre and size; a side below 0 counts as 0, as in the losses."""
    x, y, w, h = (float(v) for v in box)
    w, h = max(w, 0.0), max(h, 0.0)
    return (x - w / 2, y - h / 2), w, h


def _figure(width: float, height: float) -> Figure:
    with needed("pictures", "studies"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), dpi=100, layout="constrained")
