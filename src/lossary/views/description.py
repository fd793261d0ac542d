"""What there is to say of a loss class: its facts, its options and the sections of its docstring, read from the class.

`lossary list`, `lossary show` and the gallery say what is here; none of them keeps a table of its own.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import typing
from collections.abc import Sequence
from typing import Any

from lossary.core import options
from lossary.core.catalogue import create
from lossary.core.compound import COMPOUND, ScheduledLoss
from lossary.core.loss import Facts, Loss


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a loss."""

    name: str
    takes: str  # its domain in words
    default: Any  # None also where it is required
    required: bool
    meaning: str  # from the docstring; empty for most of those that all losses of a family share
    own: bool  # whether the loss itself declares it, and not its family

    @property
    def default_text(self) -> str:
        return "required" if self.required else repr(self.default)


@dataclasses.dataclass(frozen=True)
class Description:
    """A loss class in words."""

    name: str
    short_name: str
    family: str
    tasks: tuple[str, ...]
    facts: Facts
    decomposable: bool  # with default options
    operands: tuple[str, ...]  # what the call takes beyond prediction and target
    options: tuple[Option, ...]  # those that the loss declares come first
    summary: str
    formulas: tuple[str, ...]  # LaTeX
    prose: tuple[str, ...]  # when to use it, a paragraph each
    shapes: str
    elsewhere: str
    example: str

    @property
    def paper(self) -> str:
        """Authors and year alone, for a table."""
        return re.split(r"[,:;]", self.facts.source)[0]

    @property
    def arxiv_url(self) -> str | None:
        return None if self.facts.arxiv is None else f"https://arxiv.org/abs/{self.facts.arxiv}"

    @property
    def span(self) -> str:
        """The range of one value, as an interval."""
        low, high = self.facts.span
        left = "(-∞" if math.isinf(low) else f"[{low:g}"
        return f"{left}, ∞)" if math.isinf(high) else f"{left}, {high:g}]"

    def brief(self) -> dict[str, Any]:
        """What `lossary list --json` says."""
        return {
            "name": self.name,
            "short_name": self.short_name,
            "family": self.family,
            "tasks": list(self.tasks),
            "taxonomy": self.facts.taxonomy,
            "source": self.facts.source,
            "arxiv": self.facts.arxiv,
            "summary": self.summary,
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it, of plain types that JSON can hold; an unbounded end of the range is None."""
        facts = self.facts
        return {
            **self.brief(),
            "aliases": list(facts.aliases),
            "formulas": list(self.formulas),
            "range": [bound if math.isfinite(bound) else None for bound in facts.span],
            "reach": plain(facts.reach),
            "differentiable": facts.differentiable,
            "decomposable": self.decomposable,
            "operands": list(self.operands),
            "options": [
                {
                    "name": option.name,
                    "takes": option.takes,
                    "required": option.required,
                    "default": plain(option.default),
                    "meaning": option.meaning,
                }
                for option in self.options
            ],
            "use": list(self.prose),
            "shapes": self.shapes,
            "elsewhere": self.elsewhere,
            "example": self.example,
        }


def describe(cls: type[Loss]) -> Description:
    """The description of a loss class.

    >>> import lossary
    >>> focal = describe(lossary.FocalLoss)
    >>> focal.family, focal.tasks, focal.span
    ('likelihood', ('binary', 'multilabel', 'multiclass'), '[0, ∞)')
    """
    sections = _sections(cls)
    return Description(
        name=cls.__name__,
        short_name=cls.short_name(),
        family=cls.family_name or "compound",
        tasks=cls.tasks(),
        facts=cls.facts,
        decomposable=typical(cls).decomposable,
        operands=cls.operands,
        options=_options(cls),
        summary=sections.summary,
        formulas=tuple(sections.formulas),
        prose=tuple(sections.prose),
        shapes=sections.labelled.get("Shapes", ""),
        elsewhere=sections.labelled.get("Elsewhere", ""),
        example=sections.example,
    )


def typical(cls: type[Loss]) -> Loss:
    """A loss of this class to look at: its defaults, and for what has none the first choice or a small number."""
    if cls.__name__ in COMPOUND:
        two = create("l1") + create("mse")
        made = {"OutputLoss": two.on("output"), "ScheduledLoss": ScheduledLoss(two, {"l1": [(0, 1.0), (9, 0.5)]})}
        return made.get(cls.__name__) or cls(two.pairs)  # pyright: ignore[reportCallIssue]
    required = {
        name: _sample(annotation, field.metadata.get("domain", options.Domain()))
        for name, field, annotation in cls.options()
        if field.default is options.REQUIRED
    }
    return cls(**required)


def _sample(annotation: Any, domain: options.Domain) -> Any:
    """A value that an option may have."""
    listed = options.choices(annotation)
    if listed:
        return listed[0]
    number = next((n for n in (1.0, 0.5, domain.low, domain.high) if n in domain), 1.0)
    return (number, number) if typing.get_origin(annotation) in (Sequence, tuple) else number


def _options(cls: type[Loss]) -> tuple[Option, ...]:
    """Every option, those of the loss itself first, in the order of its signature; families say what theirs mean, and a
    line of the loss about several arguments at once says less."""
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for names, text in _sections(base).arguments:
            meanings.update({name: text for name in names if len(names) == 1 or name not in meanings})
    found = [
        Option(
            name=name,
            takes=options.describe(annotation, field.metadata.get("domain", options.Domain())),
            default=None if field.default is options.REQUIRED else field.default,
            required=field.default is options.REQUIRED,
            meaning=meanings.get(name, ""),
            own=name in cls.__annotations__ or not field.kw_only,
        )
        for name, field, annotation in cls.options()
    ]
    return tuple(sorted(found, key=lambda option: not option.own))


def plain(value: Any) -> Any:
    """A value for JSON, which has no tuples, and no infinity: that becomes "inf"."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in typing.cast("dict[str, Any]", value).items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in typing.cast("Sequence[Any]", value)]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# --- docstrings -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Sections:
    """A docstring, taken apart."""

    summary: str = ""
    formulas: list[str] = dataclasses.field(default_factory=list[str])
    prose: list[str] = dataclasses.field(default_factory=list[str])
    arguments: list[tuple[list[str], str]] = dataclasses.field(default_factory=list[tuple[list[str], str]])
    labelled: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    example: str = ""


def _sections(cls: type) -> _Sections:
    """The paragraphs of a docstring by what they are: summary, $$formula$$, Args, "Label: …", example, prose."""
    sections = _Sections()
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(cls.__doc__ or ""))
    sections.summary = _line(paragraphs[0])
    for paragraph in paragraphs[1:]:
        label = re.match(r"(Shapes|Elsewhere):\s+", paragraph)
        formula = re.fullmatch(r"\$\$(.*)\$\$", paragraph, re.DOTALL)
        if paragraph.startswith("Args:"):
            sections.arguments = _arguments(paragraph)
        elif paragraph.startswith(">>>"):
            sections.example += ("\n\n" if sections.example else "") + paragraph
        elif label is not None:
            sections.labelled[label[1]] = _line(paragraph[label.end() :])
        elif formula is not None:
            sections.formulas.append(_line(formula[1]))
        else:
            sections.prose.append(_line(paragraph))
    return sections


def _arguments(paragraph: str) -> list[tuple[list[str], str]]:
    """What the names under "Args:" mean; a line `a, b: text` is about both."""
    items = (item.partition(":") for item in re.split(r"\n {4}(?=\S)", paragraph)[1:])
    return [([name.strip() for name in names.split(",")], _line(text)) for names, _, text in items]


def _line(text: str) -> str:
    """A paragraph on one line."""
    return " ".join(text.split())
