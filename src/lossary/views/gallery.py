"""The gallery of the documentation: every loss of the catalogue with its formula, picture, paper and options.

`python -m lossary.views.gallery` writes docs/gallery.md and docs/gallery/*.svg.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lossary.core import options
from lossary.core.catalogue import catalogue
from lossary.core.loss import Loss
from lossary.views.axes import axes_of
from lossary.views.curves import Curve, curves
from lossary.views.description import Description, describe, typical
from lossary.views.plots import plot, svg

INTRODUCTION = """# Gallery

Every loss of the catalogue: its value on the left, its slope on the right. Where a loss has a number for an option that
changes these curves, the picture shows up to three values of it. `lossary show NAME` says more of each, `lossary plot
NAME --option 1 2 3` draws others. This page is built by `python -m lossary.views.gallery`; edit the docstrings instead.
"""


def build(folder: Path) -> None:
    """Writes gallery.md and a picture of each loss that has a curve; removes pictures of losses that are gone."""
    pictures = folder / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = {f"{cls.short_name()}.svg": cls for cls in catalogue() if axes_of(typical(cls))}
    for old in pictures.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    for name, cls in drawn.items():
        (pictures / name).write_text(svg(plot(variations(typical(cls)))), encoding="utf-8")
    (folder / "gallery.md").write_text(page(catalogue()), encoding="utf-8")


def page(classes: Sequence[type[Loss]]) -> str:
    """The text of the gallery, in Markdown, by family."""
    described = [(describe(cls), bool(axes_of(typical(cls)))) for cls in classes]
    families = [
        family
        for family in dict.fromkeys(d.family for d, _ in described)
        if any(d.family == family for d, _ in described)
    ]
    blocks = [INTRODUCTION, "\n".join(f"- [{family}](#{_anchor(family)})" for family in families)]
    for family in families:
        blocks.append(f"## {family.capitalize().replace('_', ' ')}")
        blocks.extend(block for d, drawn in described if d.family == family for block in _entry(d, drawn))
    return "\n\n".join(block.strip() for block in blocks) + "\n"


def variations(loss: Loss) -> list[Loss]:
    """The loss, and where it has an option of its own that is a number and acts on the curve, the loss at half and
    twice the default. Values that give the same curve are drawn once.

    >>> import lossary
    >>> [v.gamma for v in variations(lossary.FocalLoss("binary"))]
    [1.0, 2.0, 4.0]
    """
    own = type(loss).__annotations__
    for name, field, annotation in loss.options():
        default = field.default
        if name not in own or options.choices(annotation) or not isinstance(default, float) or not default:
            continue
        domain = field.metadata["domain"]
        values = [v for v in (default / 2, default, default * 2) if v in domain]
        varied = distinct([made for value in values if (made := _replaced(loss, name, value)) is not None])
        if len(varied) > 1:
            return varied
    return [loss]


def distinct(losses: Sequence[Loss]) -> list[Loss]:
    """Those of the losses whose curves are not the curve of one before them."""
    kept: list[Curve] = []
    for line in curves(losses):
        if not any(_coincide(line, other) for other in kept):
            kept.append(line)
    return [line.loss for line in kept]


def _coincide(a: Curve, b: Curve) -> bool:
    """Whether two curves are one line on paper: a thousandth of their height apart at most."""
    values = np.interp(a.x, b.x, b.value)
    both = np.concatenate([a.value, values])
    height = float(np.nanmax(both) - np.nanmin(both))
    return bool(np.nanmax(np.abs(np.asarray(a.value) - values)) <= 1e-3 * height)


def _replaced(loss: Loss, name: str, value: float) -> Loss | None:
    """The loss with another value of an option, unless its other options forbid that value."""
    try:
        return loss.replace(**{name: value})
    except ValueError:
        return None


def _anchor(family: str) -> str:
    """As Markdown makes it of the heading."""
    return family.replace("_", "-").replace(" ", "-")


def _entry(d: Description, drawn: bool) -> Iterator[str]:
    """The blocks of one loss."""
    yield f"### {d.name}"
    yield d.summary
    yield from (f"$$\n{formula}\n$$" for formula in d.formulas)
    if drawn:
        yield f"![value and slope of {d.name}](gallery/{d.short_name}.svg)"
    source = d.facts.source + (f" ([arXiv:{d.facts.arxiv}]({d.arxiv_url}))" if d.facts.arxiv else "")
    facts = [f"`{d.short_name}`", *(f"`{alias}`" for alias in d.facts.aliases)]
    tasks = f" · **Tasks** {', '.join(d.tasks)}" if d.tasks else ""
    yield f"**Paper** {source} · **Names** {', '.join(facts)}{tasks} · **Range** {d.span}"
    rows = [f"| `{o.name}` | `{o.default_text}` | {_cell(o.takes)} | {_cell(o.meaning)} |" for o in d.options if o.own]
    if rows:
        yield "\n".join(["| option | default | takes | meaning |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
