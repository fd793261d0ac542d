"""Charts of a comparison as inline SVG whose colours are variables of the page, so that they follow its light or dark
theme and every loss has one colour throughout."""

# matplotlib's stubs leave **kwargs without a type, so nearly every method of it is partially unknown
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
import html
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lossary.studies.metrics import Reliability
from lossary.views.plots import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 12
"""Losses that the page's palette tells apart; more repeat the colours with another line."""

_INK, _FAINT = "#010101", "#020202"  # stand for the page's text and grid colours
_STYLES = ("-", "--", ":", "-.")


def _placeholder(index: int) -> str:
    return f"#0300{index % COLOURS:02x}"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One loss over the epochs: a row for each seed, NaN where a run had ended."""

    index: int  # of the loss, for its colour
    values: np.ndarray


def curves(
    lines: Sequence[Curve], *, height: float = 2.7, width: float = 4.6, logarithmic: bool = False, label: str
) -> str:
    """Mean over the seeds with a band from the lowest to the highest."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(width, height)
    for line in lines:
        epochs = [*range(1, line.values.shape[1] + 1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an epoch that no run reached has no mean
            mean, low, high = (f(line.values, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax))
        colour, style = _placeholder(line.index), _STYLES[line.index // COLOURS % len(_STYLES)]
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(epochs, mean, color=colour, linewidth=1.9, linestyle=style, solid_capstyle="round")
        if len(epochs) == 1:
            axes.plot(epochs, mean, color=colour, marker="o", markersize=5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter("")
    return _svg(figure, label)


def reliability(bins: Reliability, index: int) -> str:
    """Accuracy over confidence, a dot for each bin whose area grows with the predictions in it."""
    figure, axes = _figure(2.6, 2.6)
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
    used = bins.count > 0
    area = 14 + 150 * bins.count[used] / bins.count.sum()
    axes.plot(bins.confidence[used], bins.accuracy[used], color=_placeholder(index), linewidth=1.4)
    axes.scatter(bins.confidence[used], bins.accuracy[used], s=area, color=_placeholder(index), linewidths=0)
    axes.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    return _svg(figure, "accuracy over confidence")


@dataclasses.dataclass(frozen=True)
class Line:
    """One loss over a setting that the comparison varies."""

    index: int  # of the loss, for its colour
    places: Sequence[float]
    values: Sequence[Sequence[float]]  # of the runs at each place


def lines(given: Sequence[Line], *, label: str, x: str, y: str) -> str:
    """Mean of the runs at each place, with a dot for every run; on a logarithmic scale."""
    figure, axes = _figure(4.6, 3.0)
    for line in given:
        colour = _placeholder(line.index)
        means = [float(np.mean(own)) if len(own) else np.nan for own in line.values]
        axes.plot(line.places, means, color=colour, linewidth=1.9, solid_capstyle="round")
        for place, own in zip(line.places, line.values, strict=True):
            axes.scatter([place] * len(own), own, s=14, color=colour, alpha=0.7, linewidths=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xticks(sorted({place for line in given for place in line.places}))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_yscale("log")  # one that fails would press the others flat
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(lambda value, _: f"{value:g}")
    return _svg(figure, label)


def scatter(truth: np.ndarray, prediction: np.ndarray, index: int, limits: tuple[float, float]) -> str:
    """Predicted over true numbers, with the diagonal; `limits` are those of predictions."""
    figure, axes = _figure(2.6, 2.6)
    ends = float(truth.min()), float(truth.max())
    axes.plot(ends, ends, color=_INK, linewidth=1, linestyle="--")
    axes.scatter(truth, prediction, s=13, color=_placeholder(index), alpha=0.7, linewidths=0)
    margin = 0.04 * (limits[1] - limits[0])
    axes.set_ylim(limits[0] - margin, limits[1] + margin)
    axes.set_xlabel("truth")
    axes.set_ylabel("prediction")
    return _svg(figure, "predictions over the truth")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A bare figure: no pyplot, so no state is shared with the caller's own plots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color=_FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=9, length=0, pad=5, which="both")
    axes.xaxis.label.set(color=_INK, size=9)
    axes.yaxis.label.set(color=_INK, size=9)
    return figure, axes


def _svg(figure: Figure, label: str) -> str:
    text = svg(figure)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None  # matplotlib always writes one
    head = f'<svg role="img" aria-label="{html.escape(label)}" {box[0]}>'
    text = re.sub(r"^.*?<svg[^>]*>", head, text, count=1, flags=re.DOTALL)
    text = text.replace(_INK, "var(--muted)").replace(_FAINT, "var(--line)")
    return re.sub(r"#0300(\w\w)", lambda digits: f"var(--loss-{int(digits[1], 16)})", text)
