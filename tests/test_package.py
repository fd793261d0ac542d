"""What the README says, and what a package index shows of it: no link that leads nowhere there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

import lossary as L

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[[^\]]+\]\(([^)]+)\)")


def links(text: str) -> list[str]:
    return [link for link in LINK.findall(text) if not link.startswith(("https://", "#"))]


def test_links_of_the_readme_lead_to_files() -> None:
    found = links((ROOT / "README.md").read_text())
    assert len(found) > 5
    for link in found:
        assert (ROOT / link.partition("#")[0]).exists(), link


def test_a_package_index_shows_no_link_into_the_repository() -> None:
    """The substitutions of the build, on the README as it is."""
    hooks: Any = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    text = (ROOT / "README.md").read_text()
    for change in hooks["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    assert links(text) == []
    assert "docs/design.md: why it is built as it is" in text


def test_a_weight_weighs_and_a_mask_leaves_out() -> None:
    x, zeros = np.array([1.0, 2.0, np.nan]), np.zeros(3)
    weight, mask = np.array([1.0, 0.0]), np.array([True, False])
    assert L.L1Loss()(x[:2], zeros[:2], sample_weight=weight) == 0.5
    assert L.L1Loss()(x[:2], zeros[:2], mask=mask) == 1.0
    assert np.isnan(L.L1Loss()(x, zeros, sample_weight=np.array([1.0, 1.0, 0.0])))
    assert L.L1Loss()(x, zeros, mask=np.array([True, True, False])) == 1.5
