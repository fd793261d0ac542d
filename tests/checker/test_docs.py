"""`docs/checker.md` holds every claim as the checker has it. `python tests/checker/test_docs.py` writes its table."""

from __future__ import annotations

from pathlib import Path

import lossary.checker
from lossary.checker.claims import CLAIMS, SEVERITIES, TORCH, Claim
from lossary.checker.report import LEVELS

PAGE = Path(__file__).parents[2] / "docs" / "checker.md"
START, END = "<!-- claims -->\n", "<!-- end of claims -->"

_ = lossary.checker  # enters all claims


def row(claim: Claim) -> str:
    where = "torch" if claim.frameworks == TORCH else "all" if "numpy" in claim.frameworks else "with gradients"
    return f"| {claim.name} | {claim.means} | {where} | `{claim.key}` |"


def table() -> str:
    lines: list[str] = []
    for severity in SEVERITIES:
        lines += [f"### {severity.capitalize()}", ""]
        lines += ["| what should be true | what a failure does to a training run | frameworks | name |"]
        lines += ["|---|---|---|---|"]
        lines += [row(claim) for claim in CLAIMS if claim.severity == severity]
        lines.append("")
    return "\n".join(lines)


def parts() -> tuple[str, str, str]:
    before, start, rest = PAGE.read_text().partition(START)
    held, end, after = rest.partition(END)
    return before + start, held, end + after


def test_the_page_holds_every_claim() -> None:
    assert parts()[1] == table(), "run `python tests/checker/test_docs.py`"


def test_the_page_names_every_level_of_fail_on() -> None:
    text = PAGE.read_text()
    assert all(f"| `{level}` |" in text for level in LEVELS)


def test_the_page_names_every_severity_and_exit_code() -> None:
    text = PAGE.read_text()
    assert all(f"**{severity}**" in text for severity in SEVERITIES)
    assert all(f"| {code} |" in text for code in (0, 1, 2, 130))


if __name__ == "__main__":
    before, _, after = parts()
    PAGE.write_text(before + table() + after)
