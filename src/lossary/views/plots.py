"""Pictures of losses: value and slope over the axis of their family.

Figures are made without pyplot, so nothing is shared with the caller's own plots and no window opens.
"""

# matplotlib's stubs leave **kwargs without a type, so nearly every method of it is partially unknown
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.core.compound import SumLoss
from lossary.core.extras import needed
from lossary.core.loss import Loss
from lossary.views.axes import scene
from lossary.views.curves import Curve, Numbers, curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 12
"""More than that nobody tells apart."""

# Okabe & Ito 2008: colours that stay apart for every kind of colour vision; line styles repeat what they say
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", (0, (6, 2)), (0, (6, 2, 1.5, 2)), (0, (1.5, 1.5)))
_INK, _FAINT = "#333333", "#DDDDDD"

FORMATS = (".png", ".svg")


def plot(losses: Sequence[Loss], axis: str | None = None, limits: tuple[float, float] | None = None) -> Figure:
    """A picture of losses, value on the left and slope on the right.

    Args:
        losses: of one family, or of families that share an axis.
        axis: which one, see `lossary.views.axes.AXES`; the first that all the losses have if None.
        limits: where the axis begins and ends.

    >>> import lossary
    >>> figure = plot([lossary.FocalLoss("binary", gamma=g) for g in (0, 1, 2)])
    >>> len(figure.axes)
    2
    """
    return draw(curves(losses, axis, limits))


def draw(lines: Sequence[Curve]) -> Figure:
    """A picture of curves over one axis."""
    with needed("pictures", "studies"):
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

    if len(lines) > MOST_CURVES:
        raise ValueError(f"a picture holds at most {MOST_CURVES} curves; got {len(lines)}. Draw fewer at once.")
    axis = lines[0].axis
    named = labels([line.loss for line in lines])
    figure = Figure(figsize=(9.2, 4.0), dpi=110, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    left, right = figure.subplots(1, 2)
    what = f"loss ℓ: {named[0]}" if len(lines) == 1 else "loss ℓ"
    for panel, title in ((left, what), (right, axis.slope_label)):
        frame(panel, title, axis.label, axis.logarithmic)
    for index, (line, name) in enumerate(zip(lines, named, strict=True)):
        style = look(index)
        left.plot(line.x, line.value, label=name, **style)
        right.plot(line.x, line.slope, **style)
        _mark_jumps(left, line.x, line.value, style["color"])
    left.set_ylim(*_window([line.value for line in lines]))
    right.set_ylim(*_window([line.slope for line in lines]))
    fixed = scene([line.loss for line in lines], axis)
    if fixed:
        figure.suptitle(fixed, fontsize=9.5, color=_INK)
    if len(lines) > 1:
        figure.legend(loc="outside lower center", ncols=_columns(named), frameon=False, fontsize=10, handlelength=3.2)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Writes a picture as PNG or SVG, by the suffix of `path`."""
    path = Path(path)
    check_path(path)
    if path.suffix.lower() == ".svg":
        path.write_text(svg(figure), encoding="utf-8")
    else:
        figure.savefig(path)


def check_path(path: Path) -> None:
    """Raises where a picture cannot be written to `path`."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"a picture's file must end in {' or '.join(FORMATS)}; got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")


def svg(figure: Figure) -> str:
    """The picture as SVG that is small and the same in every run."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    # text stays text, and the names of clip paths do not change from run to run
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lossary"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r' id="[\w.]+_\d+"| transform="rotate\(-?0 [^"]*"', "", text)
    text = re.sub(r"<g */>\s*", "", text)
    text = re.sub(r'font-family: [^;"]*', "font-family: DejaVu Sans, Verdana, sans-serif", text)
    text = re.sub(r"<[^>]*>", _short_numbers, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _short_numbers(tag: re.Match[str]) -> str:
    """A tag with its coordinates to a tenth of a point, which is finer than a screen; matplotlib writes a millionth.
    Text between tags keeps its numbers: those are what the picture says."""
    return re.sub(r"-?\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), tag[0])


# --- names ------------------------------------------------------------------------------------------------------------


def labels(losses: Sequence[Loss]) -> list[str]:
    """What the legend calls each loss: its class, and the options in which it differs from its default or neighbours.

    >>> import lossary
    >>> labels([lossary.FocalLoss("binary", gamma=g) for g in (0, 2)])
    ['FocalLoss(gamma=0)', 'FocalLoss(gamma=2)']
    """
    every = [part for loss in losses for _, part in _terms(loss)]
    return [
        " + ".join(("" if weight == 1 else f"{weight:g} * ") + _label(part, every) for weight, part in _terms(loss))
        for loss in losses
    ]


def _terms(loss: Loss) -> tuple[tuple[float, Loss], ...]:
    return loss.terms if isinstance(loss, SumLoss) else ((1.0, loss),)


def _label(loss: Loss, others: Sequence[Loss]) -> str:
    told: list[str] = []
    for name, field, _ in type(loss).options():
        value = getattr(loss, name)
        usual = loss.tasks()[0] if name == "task" else field.default
        varies = any(type(other) is type(loss) and getattr(other, name) != value for other in others)
        if varies or value != usual:
            told.append(f"{name}={_shown(value)}" if field.kw_only else _shown(value))
    return type(loss).__name__ + (f"({', '.join(told)})" if told else "")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _columns(names: Sequence[str]) -> int:
    """How many names stand side by side under a picture."""
    widest = max(len(name) for name in names) + 8
    return max(1, min(len(names), 118 // widest))


# --- the panels -------------------------------------------------------------------------------------------------------


def look(index: int) -> dict[str, Any]:
    """Colour and line of the curve with that number."""
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _STYLES[index % len(_STYLES)],
        "linewidth": 2.0,
        "solid_capstyle": "butt",
    }


def frame(panel: Axes, title: str, label: str, logarithmic: bool) -> None:
    """Titles, grid and ticks of a panel."""
    panel.set_title(title, fontsize=11, color=_INK, loc="left")
    panel.set_xlabel(label, fontsize=10, color=_INK)
    panel.grid(color=_FAINT, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.axhline(0, color="#999999", linewidth=0.9, zorder=1)
    panel.tick_params(colors=_INK, labelsize=9.5, length=0, pad=5)
    for side in panel.spines.values():
        side.set_visible(False)
    panel.margins(x=0.01)
    if logarithmic:
        panel.set_xscale("log", base=2)
        panel.set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
        panel.minorticks_off()


def _mark_jumps(panel: Axes, x: Numbers, value: Numbers, colour: str) -> None:
    """A faint line where the value jumps: the gap alone would be narrower than a pixel."""
    inside = np.isnan(value[1:-1]) & np.isfinite(value[:-2]) & np.isfinite(value[2:])
    for i in np.flatnonzero(inside) + 1:
        panel.plot([x[i]] * 2, [value[i - 1], value[i + 1]], color=colour, linewidth=1.0, linestyle=":")


def _window(lines: Sequence[Numbers]) -> tuple[float, float]:
    """The range of the vertical axis: all of it, unless few places of one curve would squeeze everything else."""
    highs, lows = [_height(line) for line in lines], [_height(-line) for line in lines]
    high, low = _common_height(highs), -_common_height(lows)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _height(line: Numbers) -> float:
    """How far up a curve goes, 0 if it does not; of one that shoots up at an end, three times its 80th percentile."""
    finite = line[np.isfinite(line)]
    if finite.size == 0 or finite.max() <= 0:
        return 0.0
    return _capped(float(finite.max()), 3 * float(np.quantile(finite, 0.8)))


def _common_height(heights: Sequence[float]) -> float:
    """The height of a picture: that of the highest curve, but at most three times that of the middle one."""
    middle = sorted(heights)[(len(heights) - 1) // 2]
    return _capped(max(heights), 3 * middle)


def _capped(height: float, cap: float) -> float:
    """The cap, where cutting there takes off enough to be worth it."""
    return cap if 0 < cap < 0.6 * height else height
