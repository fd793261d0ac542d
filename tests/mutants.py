"""Plants faults in the package, one at a time, and demands that the suite catches each.

`python tests/mutants.py` copies `src` to a temporary folder, changes one place there, and runs the tests that should
notice against the copy. A fault that goes unnoticed is a hole in the suite: exit code 1. `-k WORD` plants only faults
whose name holds the word.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    file: str  # below src/lossary
    old: str
    new: str
    tests: str  # arguments for pytest: which tests should notice


VALUES = "tests/test_values.py -k"
# fmt: off
FAULTS = (
    # formulas
    Fault("huber forgets half of delta", "losses/regression/errors.py", "size - 0.5 * self.delta)", "size - self.delta)", f"{VALUES} Huber"),
    Fault("smooth l1 is huber", "losses/regression/errors.py", "error * error / (2 * self.beta)", "error * error / 2", f"{VALUES} SmoothL1"),
    Fault("log-cosh overflows", "losses/regression/errors.py", "near = size < 1.0", "near = size < 1e9", f"{VALUES} LogCosh"),
    Fault("log-cosh loses small errors", "losses/regression/errors.py", "near = size < 1.0", "near = size < 0.0", "tests/test_edges.py -k log_cosh"),
    Fault("RMSE is the mean of roots", "losses/regression/errors.py", "xp.sqrt(xp.where(positive, mean, 1.0))", "mean", f"{VALUES} RMSE"),
    Fault("norm without its root", "losses/regression/errors.py", "** (1.0 / self.p)", "", f"{VALUES} Norm"),
    Fault("quantile swapped", "losses/regression/errors.py", "xp.where(error < 0, -self.quantile * error, 0.0)", "xp.where(error < 0, (self.quantile - 1.0) * error, 0.0)", f"{VALUES} Quantile"),
    Fault("Barron near 0 by the paper's formula", "losses/regression/robust.py", "xp.expm1(0.5 * a * xp.log1p(square / b))", "((square / b + 1.0) ** (0.5 * a) - 1.0)", "tests/test_regression.py -k barron"),
    Fault("undefined places are averaged", "losses/regression/relative.py", "return pair.target != 0 if self.floor == 0 else None", "return None", f"{VALUES} MAPE"),
    Fault("masked variance is read", "core/families/pointwise.py", "x if inside is None else xp.where(inside, x, NEUTRAL)", "x", "tests/test_regression.py -k masked_operand"),
    Fault("needed operand is not missed", "core/contract.py", "if given.get(argument) is None:", "if False:", "tests/test_regression.py -k variance_is"),
    Fault("JS is one-sided", "losses/divergence.py", "_from_middle(xp, log_p, log_t) + _from_middle(xp, log_t, log_p)", "2.0 * _from_middle(xp, log_t, log_p)", f"{VALUES} JSDiv"),
    Fault("distillation without T squared", "losses/divergence.py", "(1.0 - self.hard_weight) * t**2 *", "(1.0 - self.hard_weight) *", f"{VALUES} Distillation"),
    Fault("focal without exponent", "losses/likelihood/cross_entropy.py", "-power(xp, -xp.expm1(log_p), gamma) * log_p", "-gamma * -xp.expm1(log_p) * log_p", f"{VALUES} Focal"),
    Fault("focal alpha on negatives", "losses/likelihood/cross_entropy.py", "(self.alpha, 1.0 - self.alpha)", "(1.0 - self.alpha, self.alpha)", f"{VALUES} 'Focal and alpha'"),
    Fault("hinge of margin 0", "losses/margin.py", "xp.where(margin < 1.0, 1.0 - margin, 0.0)", "xp.where(margin < 0.0, -margin, 0.0)", f"{VALUES} Hinge"),
    Fault("KL the other way round", "losses/divergence.py", "xp.exp(log_t) * xp.where(possible, log_t - log_p, 0.0)", "xp.exp(log_p) * (log_p - log_t)", f"{VALUES} KLDiv"),
    Fault("Tversky swapped", "losses/region.py", "self.fp_weight * counts.fp + self.fn_weight * counts.fn", "self.fn_weight * counts.fp + self.fp_weight * counts.fn", f"{VALUES} Tversky"),
    Fault("Dice without the factor 2", "losses/region.py", "errors, 2.0 * counts.tp + errors", "errors, counts.tp + errors", f"{VALUES} Dice"),
    Fault("Lovász sorts upwards", "losses/region.py", "descending=True", "descending=False", f"{VALUES} Lovasz"),
    Fault("Lovász by class number", "losses/region.py", "true = self._lay(batch, true)", "true = self._lay(batch, true * classes)", f"{VALUES} Lovasz"),
    Fault("GIoU without the hull", "losses/boxes/overlap.py", "1.0 - pair.iou + pair.hull_gap", "1.0 - pair.iou", f"{VALUES} GIoU"),
    Fault("CIoU subtracts the aspect", "losses/boxes/distance.py", "+ pair.aspect_penalty", "- pair.aspect_penalty", f"{VALUES} CIoU"),
    Fault("CIoU lets the gradient through alpha", "core/families/box_pair.py", "stop_gradient(divide(self.xp, v, 1.0 - self.iou + v)) * v", "divide(self.xp, v, 1.0 - self.iou + v) * v", "tests/test_frameworks.py -k 'agree and CIoU and jax'"),
    Fault("Wasserstein without the turn", "core/families/rotated.py", "(sides + 2 * lacks) / 4", "sides / 4", f"{VALUES} GWD"),
    Fault("divergence forgets the height", "core/families/rotated.py", "stretch(w / w_t) + stretch(h / h_t)", "stretch(w / w_t) + stretch(w / w_t)", f"{VALUES} KLDBox"),
    Fault("covariance of the wrong sign", "core/families/rotated.py", "- 2 * mixed * x * y", "+ 2 * mixed * x * y", f"{VALUES} ProbIoU"),
    Fault("thin boxes have no floor", "core/families/rotated.py", "self.xp.where(side < THINNEST, THINNEST, side)", "side", "tests/test_frameworks.py -k 'edges and ProbIoU'"),
    Fault("a square has an angle", "core/families/rotated.py", "turned = self.sin**2 * ((w - h) * (w + h))", "turned = self.sin**2 * ((w + h) * (w + h))", "tests/test_rotated.py -k names"),
    Fault("hardest places without ties", "losses/likelihood/imbalance.py", "left = k - ", "left = k + ", f"{VALUES} TopK"),
    Fault("balance the wrong way", "losses/likelihood/imbalance.py", "return 1.0 - divide(xp, mass,", "return divide(xp, mass,", f"{VALUES} BalancedBCE"),
    Fault("density without the width of bins", "losses/likelihood/imbalance.py", "mass * self.bins)", "mass)", f"{VALUES} GHM"),
    Fault("easy negatives are not cut off", "losses/likelihood/imbalance.py", "sigmoid(z) - self.clip, 0.0)\n            negative = -power", "sigmoid(z), 0.0)\n            negative = -power", f"{VALUES} Asymmetric"),
    Fault("last bin out of reach", "core/families/likelihood.py", "max=max(batch.classes - 2, 0)", "max=max(batch.classes - 3, 0)", f"{VALUES} DistributionFocal"),
    Fault("margin for every class", "losses/likelihood/long_tail.py", "z - margins, z), axis)", "z - margins, z - margins), axis)", f"{VALUES} LDAM"),
    Fault("log-odds lose their digits", "array/primitives.py", "log_p > -0.5", "log_p > 0.5", f"{VALUES} 'soft and LDAM'"),
    Fault("prior is subtracted", "losses/likelihood/long_tail.py", "batch.scores + shift", "batch.scores - shift", f"{VALUES} LogitAdjusted"),
    Fault("too few steps for the tempered softmax", "losses/likelihood/noise.py", "range(6)", "range(0)", f"{VALUES} BiTempered"),
    Fault("mean over positives has no floor", "core/families/foreground.py", "xp.where(count == 0, 1.0, count)", "count", "tests/test_relations.py -k positives"),
    Fault("slope of the quality focal loss", "losses/likelihood/detection.py", "* e + steeper", "* e - steeper", "tests/test_frameworks.py -k 'gradient_is and QualityFocal'"),
    Fault("gradient of the tempered normaliser", "losses/likelihood/noise.py", "log_p(z, closer(z, closer(z, norm)))", "log_p(z, norm)", "tests/test_frameworks.py -k 'gradient_is and BiTempered'"),
    # slopes and singular points
    Fault("slope of focal", "losses/likelihood/cross_entropy.py", "power(xp, miss, gamma - 1.0) * log_p - fade", "power(xp, miss, gamma - 1.0) * log_p", "tests/test_frameworks.py -k 'gradient_is and Focal'"),
    Fault("slope of Huber is not clipped", "losses/regression/errors.py", "return xp.clip(error, min=-self.delta, max=self.delta)", "return error", "tests/test_frameworks.py -k 'gradient_is and Huber'"),
    Fault("saved slope is differentiated", "array/torch_native.py", "slope = ctx.slope(xp, x, *given)", "pass", "tests/test_frameworks.py -k 'second and Huber'"),
    Fault("power without a safe base", "array/primitives.py", "return apply_where(xp, base > tiny(xp, base), lambda b: b**exponent, base, 0.0)", "return base**exponent", "tests/test_frameworks.py -k 'edges and Focal and jax'"),
    Fault("atan2 of a point", "core/families/box_pair.py", "xp.where(point, 1.0, box.width), xp.where(point, 1.0, box.height)", "box.width, box.height", "tests/test_frameworks.py -k 'edges and CIoU'"),
    Fault("boxes' gradient forgets the hull", "array/torch_boxes.py", "own + (shared + hull) / 2", "own + shared / 2", "tests/test_box_geometry.py -k 'definition and gap'"),
    Fault("touching boxes learn nothing", "array/torch_boxes.py", "x.shared.sign().add_(1).div_(2)", "x.shared.sign().clamp_(min=0)", "tests/test_box_geometry.py -k ties"),
    Fault("boxes' second derivative from constants", "array/torch_boxes.py", "if torch.is_grad_enabled():", "if False:", "tests/test_frameworks.py -k 'second and GIoU'"),
    Fault("both ends of an inverted box learn", "array/torch_boxes.py", "low, high = low + (1 - proper) * high, proper * high", "pass", "tests/test_box_geometry.py -k definition"),
    Fault("boxes that learn as targets are constants", "core/families/box_pair.py", " and not target.requires_grad", "", "tests/test_box_geometry.py -k target_that"),
    Fault("division by an empty union", "array/primitives.py", "numerator / xp.where(usable, denominator, 1.0)", "numerator / denominator", "tests/test_frameworks.py -k 'edges and GIoU'"),
    Fault("half precision stays half", "core/contract.py", "        return xp.float32\n    raise", "        return dtype\n    raise", "tests/test_edges.py -k 'half or bfloat16'"),
    Fault("sums add one after the other", "array/primitives.py", "xp.astype(xp.sum(xp.astype(x, xp.float64), axis=axis, keepdims=keepdims), x.dtype)", "xp.sum(x, axis=axis, keepdims=keepdims)", "tests/test_edges.py -k digits"),
    Fault("scatter adds in float32", "array/torch_native.py", "else torch.float64", "else values.dtype", "tests/test_edges.py -k digits"),
    Fault("hits lose the slope of the mass", "array/torch_native.py", "(of_mass + of_hits).gather", "of_hits.gather", "tests/test_frameworks.py -k 'gradient_is and Dice and multiclass'"),
    # experiments
    Fault("the largest object is learned", "studies/detection/detector.py", "area.min(-1)", "area.max(-1)", "tests/studies/test_detection.py -k smallest"),
    Fault("detections of every class suppress each other", "studies/detection/detector.py", "classes=label, ", "", "tests/studies/test_detection.py -k sorted"),
    Fault("AP75 at another threshold", "studies/detection/scores.py", "_precision(detections, objects)[5]", "_precision(detections, objects)[4]", "tests/studies/test_detection.py -k by_hand"),
    # the contract
    Fault("ignored places in the denominator", "core/reduction.py", "return Mean(numerator, total(xp.astype(terms.counted, numerator.dtype)))", "return Mean(numerator, total(xp.ones_like(terms.values)))", f"{VALUES} 'ignore_index and CrossEntropy'"),
    Fault("mean divides by weights", "core/reduction.py", 'if reduction == "weighted_mean" and terms.weight is not None:', "if terms.weight is not None:", f"{VALUES} 'mask_weight and MSE'"),
    Fault("normalizer is multiplied", "core/reduction.py", "else normalizer + xp.zeros_like(numerator)", "else 1.0 / normalizer + xp.zeros_like(numerator)", f"{VALUES} 'mask_weight and L1'"),
    Fault("nothing counted gives NaN", "core/reduction.py", 'fill = 0.0 if empty == "zero"', 'fill = float("nan") if empty == "zero"', "tests/test_edges.py -k nothing_counts"),
    Fault("masked NaN meets the gradient", "core/families/elements.py", "return xp.where(counted if axis is None else xp.expand_dims(counted, axis=axis), x, fill)", "return x", "tests/test_edges.py -k masked_nan"),
    Fault("shapes are broadcast", "core/contract.py", "    if agree(p, t):\n        return\n", "    return\n", "tests/test_contract.py -k bad_calls"),
    Fault("smoothing touches the weights", "core/families/likelihood.py", "values = (1.0 - self.smoothing) * values + ", "values = values + ", f"{VALUES} 'CrossEntropy and smoothing'"),
    Fault("one-hot weights in the denominator", "core/families/likelihood.py", "None if weight is None else times(weight, share)", "weight", f"{VALUES} 'one_hot and CrossEntropy'"),
    Fault("images are joined", "core/families/region.py", 'if self.per == "image" or not batch.has_images:\n            return per_image', 'if not batch.has_images:\n            return per_image', f"{VALUES} 'Dice'"),
    Fault("absent classes count as present", "core/families/region.py", "counts.tp + counts.fn > 0", "counts.tp + counts.fn >= 0", f"{VALUES} 'Dice and present'"),
    Fault("probabilities are softmaxed twice", "core/families/classification.py", "if not self.takes_logits:\n            scores = self._logits(xp, scores)", "if False:\n            pass", f"{VALUES} 'from_logits'"),
    Fault("labels are not checked", "core/families/classification.py", "contract.labels(name, target, low, high, self.ignore_index, counted)", "pass", "tests/test_contract.py -k bad_calls"),
    Fault("statistics lose a count", "core/reduction.py", "return Mean(self.total + other.total, self.count + other.count)", "return Mean(self.total + other.total, self.count)", "tests/test_statistics.py -k shards"),
    Fault("a sum forgets its weights", "core/compound.py", "weighted = [r if w == 1 else w * r", "weighted = [r if w == 1 else r", "tests/test_catalogue.py -k sum_is"),
    Fault("options are not checked", "core/options.py", "if number in domain:", "if True:", "tests/test_contract.py -k bad_options"),
    Fault("stored sums lose their weights", "core/compound.py", 'float(part.pop("weight"))', 'float(bool(part.pop("weight")))', "tests/test_catalogue.py -k sum_is"),
)
# fmt: on


def caught(fault: Fault) -> bool:
    """Whether the chosen tests fail on a copy with the fault."""
    with tempfile.TemporaryDirectory(prefix="lossary-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        place = source / "lossary" / fault.file
        text = place.read_text()
        if text.count(fault.old) != 1:
            raise SystemExit(
                f"the fault {fault.name!r} wants to change {fault.old!r}, which stands {text.count(fault.old)} times in "
                f"{fault.file}; write it anew for the code as it is"
            )
        place.write_text(text.replace(fault.old, fault.new))
        environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
        arguments = fault.tests.split(" -k ")
        selected = ["-k", arguments[1].strip("'")] if len(arguments) > 1 else []
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", arguments[0], *selected]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode not in (0, 1):  # 5: the selection is empty; 2, 3, 4: pytest itself failed
            raise SystemExit(f"the tests of the fault {fault.name!r} did not run:\n{done.stdout}\n{done.stderr}")
        return done.returncode == 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-k", default="", help="only faults whose name holds this word")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.k in fault.name]
    missed: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for fault, found in zip(faults, pool.map(caught, faults), strict=True):
            print(f"{'caught' if found else 'MISSED':7} {fault.name}", flush=True)
            if not found:
                missed.append(fault.name)
    print(f"{len(faults) - len(missed)} of {len(faults)} planted faults were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
