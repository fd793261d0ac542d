"""Runs the box regression experiment at 34,300 cases and compares its figures with those of ERRATA.md, within 5 %.

`python tests/studies/published_boxes.py`; half a minute on one core, so it is no part of the suite. The last line is
DIoU moved by the gradients of the paper's public code instead of its own: widths and heights move twice as far, and the
c² of the penalty draws the centre where it should push it.
"""

from __future__ import annotations

import sys

import torch

import lossary as L
from lossary.core.families import BoxPair
from lossary.studies.boxes import CASES, Cases, simulate
from lossary.studies.boxes.experiment import STEPS

EXPECTED = {"iou": 5.9e6, "giou": 2.9e4, "diou": 5.2e4, "ciou": 7.4e3}


def as_in_the_code_of_the_paper() -> float:
    """The summed error at the end, scaled to 1,715,000 cases."""
    import array_api_compat.torch as xp

    cases = Cases(CASES[0])
    box, target = (torch.from_numpy(x) for x in cases.block(0, len(cases.centers)))
    for step in range(STEPS):
        rate = 0.1 if step < 160 else 0.01 if step < 180 else 0.001
        leaf = box.requires_grad_()
        pair = BoxPair.of(xp, leaf, target, "cxcywh")
        squared, diagonal = pair.squared_center_offset, pair.squared_diagonal
        toward, away = (
            torch.autograd.grad(x.sum(), leaf, retain_graph=True)[0]
            for x in (1 - pair.iou + squared / diagonal.detach(), squared.detach() / diagonal)
        )
        wrong = torch.tensor([-1.0, -1, 1, 1], dtype=torch.float64)
        gradient = (toward + wrong * away) * torch.tensor([1.0, 1, 2, 2], dtype=torch.float64)
        box = (leaf - rate * (2 - pair.iou)[:, None] * gradient).detach()
    return float((box - target).abs().sum()) * CASES[1] / cases.number


def main() -> int:
    torch.set_num_threads(1)
    wrong = 0
    for result in simulate({name: L.create(name) for name in EXPECTED}):
        error, expected = result.errors[-1], EXPECTED[result.loss]
        off = error / expected - 1
        wrong += abs(off) > 0.05
        print(f"{result.loss:5} {error:10.4g} expected {expected:.4g} ({off:+.1%}), {result.seconds:.1f} s")
    print(f"diou  {as_in_the_code_of_the_paper():10.4g} by the gradients of the paper's code")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
