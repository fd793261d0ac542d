"""Runs the box regression experiment at 34,300 cases and compares its figures with those of ERRATA.md, within 5 %.

`python tests/studies/published_boxes.py`; half a minute on one core, so it is no part of the suite.
"""

from __future__ import annotations

import sys

import torch

import lossary as L
from lossary.studies.boxes import simulate

EXPECTED = {"iou": 5.9e6, "giou": 2.9e4, "diou": 5.2e4, "ciou": 7.4e3}


def main() -> int:
    torch.set_num_threads(1)
    results = simulate({name: L.create(name) for name in EXPECTED})
    wrong = 0
    for result in results:
        error, expected = result.errors[-1], EXPECTED[result.loss]
        off = error / expected - 1
        wrong += abs(off) > 0.05
        print(f"{result.loss:5} {error:10.4g} expected {expected:.4g} ({off:+.1%}), {result.seconds:.1f} s")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
