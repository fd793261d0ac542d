"""The report is one page that needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from torch.nn import functional as F

from lossary import studies
from lossary.studies.comparison import REPORT
from lossary.views.report import page as page_of

LOSSES = ["cross_entropy", "dice+0.5*cross_entropy", "focal:gamma=1"]


@pytest.fixture(scope="module", params=["segmentation", "classification"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "segmentation":
        data = studies.segmentation_data(train=8, validation=4, test=4)
    else:
        data = studies.classification_data(most=10, ratio=5, validation=2, test=3)
    studies.compare(LOSSES, study=request.param, data=data, epochs=2, seeds=2, threads=1, out=folder)
    return (folder / REPORT).read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what a browser would fetch, and checks that elements are closed in order."""

    void = frozenset({"meta", "img", "br", "link", "input", "hr", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_fetches_nothing(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert parsed.fetched
    assert all(url.startswith(("data:image/png;base64,", "#")) for url in parsed.fetched)
    assert not re.search(r"@import|url\((?!#)", page)


def test_page_shows_every_loss_and_metric(page: str) -> None:
    text = re.sub(r"<wbr>|\u200b", "", page)
    for loss in LOSSES:
        assert text.count(loss) >= 4
    assert "FocalLoss(&#39;multiclass&#39;, gamma=1.0)" in text
    assert "Cross entropy that fades for easy examples" in text or "easy examples" in text
    assert Page(page).tags.count("svg") >= 6
    assert "nan" not in re.sub(r"data:image/png;base64,[^\"]*", "", page).lower().replace("finance", "")


def test_pictures_are_there(page: str) -> None:
    assert "Predictions side by side" in page or "Mistakes side by side" in page
    assert page.count("data:image/png") >= 4


def test_green_is_what_cannot_be_told_from_the_best() -> None:
    """And a column that tells nothing has none; every column has a verdict, and the headline comes first."""
    data = studies.segmentation_data(train=4, validation=2, test=2)
    found = studies.compare(dict.fromkeys("abc", F.cross_entropy), data=data, epochs=1, seeds=5, threads=1)
    rng = np.random.default_rng(0)
    for run in found.runs:
        run.test = {name: float(rng.normal()) for name in run.test}
        run.test["dice"] += 40 * (run.loss != "b")
    text = page_of(found, [])
    rows = re.findall(r'<th scope="row">.*?</tr>', text, re.DOTALL)
    marks = {re.findall(r"<span>(\w)</span>", row)[0]: row.count('class="best"') for row in rows}
    assert marks == {"a": 1, "b": 0, "c": 1}
    assert text.count("nothing told") == len(found.metrics) - 1
    assert "Nothing can be told in mIoU with 5 seeds." in text.partition("</ul>\n\n<h2>")[0]
    assert "a is better than b" in text


def test_text_of_a_user_is_escaped(tmp_path: Path) -> None:
    data = studies.segmentation_data(train=4, validation=2, test=2)
    studies.compare({"<script>x</script>": F.cross_entropy}, data=data, epochs=1, seeds=1, threads=1, out=tmp_path)
    page = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
