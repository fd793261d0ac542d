"""Plants faults in the package, one at a time, and demands that the suite catches each.

`python tests/mutants.py` copies `src` to a temporary folder, changes one place there, and runs the tests that should
notice against the copy. A fault that goes unnoticed is a hole in the suite: exit code 1. `-k WORD` plants only faults
whose name holds the word.

The frameworks are imported once, and each fault is tried in a fork of this process, which has not computed anything.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

import conftest  # noqa: F401  (the environment that it sets is read when a framework is imported)

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
    Fault("norm without curvature at 0", "losses/regression/errors.py", "(error / scale) ** 2 if self.p == 2 else power", "power", "tests/test_regression.py -k curvature_of_a_norm"),
    Fault("balanced L1 without curvature at 0", "losses/regression/localization.py", "x = clip(xp, side * error", "x = clip(xp, xp.abs(error)", "tests/test_regression.py -k curvature_of_balanced"),
    Fault("quantile swapped", "losses/regression/errors.py", "xp.where(error == 0, 0.0, -self.quantile * error)", "xp.where(error == 0, 0.0, (self.quantile - 1.0) * error)", f"{VALUES} Quantile"),
    Fault("Barron near 0 by the paper's formula", "losses/regression/robust.py", "xp.expm1(0.5 * a * xp.log1p(square / b))", "((square / b + 1.0) ** (0.5 * a) - 1.0)", "tests/test_regression.py -k barron"),
    Fault("undefined places are averaged", "losses/regression/relative.py", "return pair.target != 0 if self.floor == 0 else None", "return None", "tests/test_regression.py -k a_target_of_0_has_no_relative_error"),
    Fault("masked variance is read", "core/families/pointwise.py", "x if inside is None else xp.where(inside, x, NEUTRAL)", "x", "tests/test_regression.py -k masked_operand"),
    Fault("needed operand is not missed", "core/contract.py", "if given.get(argument) is None:", "if False:", "tests/test_regression.py -k variance_is"),
    Fault("JS is one-sided", "losses/divergence.py", "_from_middle(xp, log_p, log_t) + _from_middle(xp, log_t, log_p)", "2.0 * _from_middle(xp, log_t, log_p)", f"{VALUES} JSDiv"),
    Fault("distillation without T squared", "losses/divergence.py", "(1.0 - self.hard_weight) * t**2 *", "(1.0 - self.hard_weight) *", f"{VALUES} Distillation"),
    Fault("focal without exponent", "array/primitives/functions.py", "if miss is None else miss, gamma)", "if miss is None else miss, 1.0)", f"{VALUES} FocalLoss"),
    Fault("focal alpha on negatives", "losses/likelihood/cross_entropy.py", "(self.alpha, 1.0 - self.alpha)", "(1.0 - self.alpha, self.alpha)", f"{VALUES} 'Focal and alpha'"),
    Fault("hinge of margin 0", "losses/margin.py", "xp.where(margin >= 1.0, 0.0, 1.0 - margin)", "xp.where(margin >= 0.0, 0.0, -margin)", f"{VALUES} Hinge"),
    Fault("KL the other way round", "losses/divergence.py", "xp.exp(log_t) * xp.where(possible, log_t - log_p, 0.0)", "xp.exp(log_p) * (log_p - log_t)", f"{VALUES} KLDiv"),
    Fault("Tversky swapped", "losses/region/overlap.py", "self.fp_weight * counts.fp + self.fn_weight * counts.fn", "self.fn_weight * counts.fp + self.fp_weight * counts.fn", f"{VALUES} Tversky"),
    Fault("Dice without the factor 2", "losses/region/overlap.py", "errors, 2.0 * counts.tp + errors", "errors, counts.tp + errors", f"{VALUES} Dice"),
    Fault("Jaccard counts the overlap twice", "losses/region/overlap.py", "errors, counts.tp + errors + self.smooth)\n\n\n@loss(\n    \"Salehi", "errors, 2.0 * counts.tp + errors + self.smooth)\n\n\n@loss(\n    \"Salehi", f"{VALUES} Jaccard"),
    Fault("focal Tversky to the power gamma", "losses/region/overlap.py", "1.0 / self.gamma)", "self.gamma)", f"{VALUES} FocalTversky"),
    Fault("F beta with beta not squared", "losses/region/overlap.py", "square = self.beta**2", "square = self.beta", f"{VALUES} AsymmetricSimilarity"),
    Fault("sensitivity and specificity exchanged", "losses/region/overlap.py", "missed + (1.0 - self.sensitivity_weight) * alarms", "alarms + (1.0 - self.sensitivity_weight) * missed", f"{VALUES} SensitivitySpecificity"),
    Fault("penalty on the overlap", "losses/region/generalized.py", "errors = (1.0 + self.penalty) * (counts.fp + counts.fn)", "errors = (counts.fp + counts.fn) / (1.0 + self.penalty)", f"{VALUES} PenaltyGeneralizedDice"),
    Fault("weights of generalised Dice are not normalised", "losses/region/generalized.py", "return divide(xp, share, norm)", "return share", f"{VALUES} GeneralizedDice"),
    Fault("an absent class dilutes generalised Dice", "losses/region/generalized.py", "xp.where(xp.logical_or(present, none), share, 0.0)", "share", "tests/test_segmentation.py -k nowhere"),
    Fault("class weights miss the joined classes", "core/families/region.py", "counted, weight = self.taking_part(xp, counts.tp, counted)\n", "counted, weight = counted, xp.astype(counted, counts.tp.dtype)\n", f"{VALUES} 'GeneralizedDice and class_weight'"),
    Fault("l1 overlap is the product", "core/families/region.py", 'xp.minimum(p, t) if counting == "l1" else p * t', "p * t", f"{VALUES} 'soft and l1'"),
    Fault("errors fall below 0", "core/families/region.py", "fp, fn = _lifted(xp, fp), _lifted(xp, fn)", "pass", "tests/test_contract.py -k less_than_nothing"),
    Fault("hinge errors below 0 count", "losses/region/lovasz.py", "xp.where(error <= 0, 0.0, error)", "error", f"{VALUES} LovaszHinge"),
    Fault("combo with beta on negatives", "losses/region/compound.py", "self.beta + xp.zeros_like(z), 1.0 - self.beta)", "1.0 - self.beta + xp.zeros_like(z), self.beta)", f"{VALUES} Combo"),
    Fault("combo is no question of each class", "losses/region/compound.py", "z, t = log_odds(batch.scores, axis), batch.share", "z, t = batch.scores, batch.share", f"{VALUES} 'Combo and multiclass'"),
    Fault("frequencies of the label without their root", "losses/region/compound.py", "factor = sqrt(xp, divide(xp, xp.sum(frequency, axis=axis, keepdims=True), frequency))", "factor = divide(xp, xp.sum(frequency, axis=axis, keepdims=True), frequency)", f"{VALUES} ExpLog"),
    Fault("log p loses its digits in a power", "losses/region/compound.py", "return log_sigmoid(log_odds(batch.scores, batch.axis))", "return batch.log_p()", f"{VALUES} 'ExpLog and multiclass'"),
    Fault("asymmetric focal fades foreground", "losses/region/compound.py", "(-answer.log_p if self.asymmetric else faded)", "faded", f"{VALUES} 'Unified and asymmetric'"),
    Fault("asymmetric Tversky enhances background", "losses/region/compound.py", "xp.where(class_vector(xp, range(classes), miss) > 0, enhanced, miss)", "enhanced", f"{VALUES} 'Unified and asymmetric'"),
    Fault("classes last go unnoticed", "core/contract.py", "if 2 * last <= min(others):", "if False:", "tests/test_contract.py -k when_checked"),
    Fault("Lovász sorts upwards", "array/sorted_errors.py", "_, order = descending(stop_gradient(error))", "_, order = descending(stop_gradient(-error))", f"{VALUES} Lovasz"),
    Fault("Lovász errors swapped", "losses/region/lovasz.py", "xp.where(true, 1.0 - x, x)", "xp.where(true, x, 1.0 - x)", f"{VALUES} Lovasz"),
    Fault("Lovász step of the background", "array/sorted_errors.py", "union - w, fill=1.0", "union, fill=1.0", f"{VALUES} Lovasz"),
    Fault("Lovász of no foreground", "array/sorted_errors.py", "union - w, fill=1.0", "union - w", "tests/test_edges.py -k without_a_place"),
    Fault("GIoU without the hull", "losses/boxes/overlap.py", "1.0 - pair.iou + pair.hull_gap", "1.0 - pair.iou", f"{VALUES} GIoU"),
    Fault("CIoU subtracts the aspect", "losses/boxes/distance.py", "+ pair.aspect_penalty", "- pair.aspect_penalty", f"{VALUES} CIoU"),
    Fault("CIoU lets the gradient through alpha", "core/families/box_pair.py", "stop_gradient(divide(self.xp, v, 1.0 - self.iou + v)) * v", "divide(self.xp, v, 1.0 - self.iou + v) * v", "tests/test_frameworks.py -k 'agree and CIoU and jax'"),
    Fault("Wasserstein without the turn", "core/families/rotated.py", "(sides + 2 * lacks) / 4", "sides / 4", f"{VALUES} GWD"),
    Fault("divergence forgets the height", "core/families/rotated.py", "stretch(w / w_t) + stretch(h / h_t)", "stretch(w / w_t) + stretch(w / w_t)", f"{VALUES} KLDBox"),
    Fault("covariance of the wrong sign", "core/families/rotated.py", "- 2 * mixed * x * y", "+ 2 * mixed * x * y", f"{VALUES} ProbIoU"),
    Fault("another library's options are lost", "core/catalogue.py", "return cls, {**dict(zip(by_position, positional, strict=False)), **settings}", "return cls, {}", "tests/parity/test_elsewhere.py -k find_and_create"),
    Fault("a multiple passes for the loss", "core/catalogue.py", "exactly and not all(row.exact for row in found)", "False", "tests/parity/test_elsewhere.py -k find_and_create"),
    Fault("a library's loss without an answer", "core/elsewhere.py", '_none("optax.losses.smooth_labels", ', '_none("optax.losses.l2_loss", ', "tests/parity/test_elsewhere.py -k every_loss_of"),
    Fault("a row with another number", "core/elsewhere.py", '"0.25 * L.FocalLoss', '"0.5 * L.FocalLoss', "tests/parity/test_elsewhere.py -k same_number"),
    Fault("constructors speak Python", "core/loss.py", "            options.check_names(type(self), positional, tuple(settings))\n", "", "tests/test_catalogue.py -k meant"),
    Fault("a learned weight is frozen", "core/options.py", 'if getattr(value, "requires_grad", False) or not', "if not", "tests/test_catalogue.py -k arrays_of_any"),
    Fault("the checker comes with every import", "__init__.py", "from lossary import boxes\n", "from lossary import boxes, checker\n", "tests/test_catalogue.py -k import_loads"),
    Fault("an extra goes unnamed", "core/extras.py", "        if package == \"lossary\":\n", "        if package:\n", "tests/test_catalogue.py -k extra_is"),
    Fault("a table in a narrow terminal", "cli/catalogue.py", "WIDE = 160", "WIDE = 40", "tests/test_cli.py -k list_is_legible"),
    Fault("one curve twice in a picture", "views/gallery.py", "if not any(_coincide(line, other) for other in kept):", "if True:", "tests/test_plots.py -k curve_twice"),
    Fault("divergence knows one direction", "losses/boxes/rotated.py", "GaussianPair(xp, target, prediction) if self.reverse", "GaussianPair(xp, prediction, target) if self.reverse", "tests/test_rotated.py -k direction"),
    Fault("both directions share a batch", "losses/boxes/rotated.py", "reversed\" if self.reverse else", "reversed\" if False else", "tests/test_rotated.py -k direction"),
    Fault("a range that no pair reaches", "losses/boxes/corner.py", "3.0 - math.exp(-1.0) - math.exp(-2.0)", "3.0", "tests/test_boxes.py -k range"),
    Fault("thin boxes have no floor", "core/families/rotated.py", "self.xp.where(side < THINNEST, THINNEST, side)", "side", "tests/checker/test_claims.py -k 'finite_and and ProbIoU'"),
    Fault("a square has an angle", "core/families/rotated.py", "turned = self.sin**2 * ((w - h) * (w + h))", "turned = self.sin**2 * ((w + h) * (w + h))", "tests/test_rotated.py -k names"),
    Fault("hardest places without ties", "losses/likelihood/imbalance.py", "left = k - ", "left = k + ", f"{VALUES} TopK"),
    Fault("balance the wrong way", "losses/likelihood/imbalance.py", "return 1.0 - divide(xp, mass,", "return divide(xp, mass,", f"{VALUES} BalancedBCE"),
    Fault("density without the width of bins", "losses/likelihood/imbalance.py", "mass * self.bins)", "mass)", f"{VALUES} GHM"),
    Fault("easy negatives are not cut off", "core/families/answer.py", "clip(xp, self.p - margin, min=0.0)", "self.p - 0.0 * margin", f"{VALUES} Asymmetric"),
    Fault("last bin out of reach", "core/families/likelihood.py", "max=max(batch.classes - 2, 0)", "max=max(batch.classes - 3, 0)", f"{VALUES} DistributionFocal"),
    Fault("margin on the wrong side", "losses/likelihood/long_tail.py", "less=margins", "less=-margins", f"{VALUES} LDAM"),
    Fault("log-odds lose their digits", "array/primitives/functions.py", "log_p > -0.5", "log_p > 0.5", f"{VALUES} 'soft and LDAM'"),
    Fault("prior is subtracted", "losses/likelihood/long_tail.py", "shift=prior", "shift=-prior", f"{VALUES} LogitAdjusted"),
    Fault("too few steps for the tempered softmax", "losses/likelihood/noise.py", "range(6)", "range(0)", f"{VALUES} BiTempered"),
    Fault("mean over positives has no floor", "core/families/foreground.py", "xp.where(count == 0, 1.0, count)", "count", "tests/test_relations.py -k positives"),
    Fault("slope of the quality focal loss", "losses/likelihood/detection.py", "x.p * x.miss, x.cross_entropy, self.beta)", "x.p * x.miss, x.cross_entropy, -self.beta)", "tests/test_frameworks.py -k 'gradient_is and QualityFocal'"),
    Fault("gradient of the tempered normaliser", "losses/likelihood/noise.py", "log_p(z, closer(z, closer(z, norm)))", "log_p(z, norm)", "tests/test_frameworks.py -k 'gradient_is and BiTempered'"),
    Fault("equal labels without a blank between", "array/alignments.py", "differs = target != xp.concat(", "differs = target - 99 != xp.concat(", f"{VALUES} CTC"),
    Fault("a frame too many is read", "array/alignments.py", "xp.expand_dims(time, axis=1) < xp.expand_dims", "xp.expand_dims(time, axis=1) <= xp.expand_dims", f"{VALUES} CTC"),
    Fault("the transducer ends without its blank", "array/alignments.py", "ends = lengths + target_lengths", "ends = lengths + target_lengths - 1", f"{VALUES} RNNT"),
    Fault("a label after the last frame", "array/alignments.py", "[None, :, None] < lengths[:, None, None]", "[None, :, None] <= lengths[:, None, None]", f"{VALUES} RNNT"),
    Fault("impossible targets count", "core/families/sequence.py", "counted = both(xp, batch.counted, xp.logical_not(impossible))", "counted = batch.counted", "tests/test_sequence.py -k impossible"),
    Fault("a sequence counts once for its tokens", "core/families/sequence.py", "mass = xp.where(counted, xp.astype(tokens, likelihood.dtype), 0.0)", "mass = xp.astype(counted, likelihood.dtype)", f"{VALUES} tokens"),
    Fault("NaN is taken for impossible", "core/families/sequence.py", "impossible = likelihood < IMPOSSIBLE / 2", "impossible = xp.logical_not(likelihood >= IMPOSSIBLE / 2)", "tests/test_sequence.py -k no_longer_finite"),
    Fault("labels that are none are read", "core/families/sequence.py", "sound = xp.logical_not(xp.any(wrong, axis=1))", "sound = xp.any(target == target, axis=1)", "tests/test_sequence.py -k labels_that_are_none"),
    Fault("slope of CTC is a constant", "array/torch_native.py", "if not torch.is_grad_enabled() or torch.compiler.is_compiling():", "if True:", "tests/test_frameworks.py -k 'second and CTC'"),
    Fault("a class that is ruled out has a NaN slope", "array/torch_native.py", "slope = slope.masked_fill(log_p == -torch.inf, 0.0)", "pass", "tests/test_sequence.py -k minus_infinity"),
    Fault("missing hypotheses in the mean distance", "losses/sequence.py", "xp.where(count > 0, count, 1.0)", "distances.shape[-1]", "tests/test_sequence.py -k missing"),
    Fault("expectation of unnormalised readings", "losses/sequence.py", "p = xp.exp(log_softmax(xp.where(possible, batch.scores, alignments.IMPOSSIBLE), rank(distances) - 1))", "p = xp.exp(xp.where(possible, batch.scores, alignments.IMPOSSIBLE))", f"{VALUES} ExpectedEdit"),
    Fault("distance over the longer sequence", "text.py", "[len(t) for _, t in pairs], dtype", "[max(len(h), len(t)) for h, t in pairs], dtype", "tests/test_text.py -k tensorflow"),
    Fault("a beam doubles labels without a blank", "text.py", "before = in_blank if prefix and c == prefix[-1] else both", "before = both", "tests/test_text.py -k beams"),
    Fault("training knows no phases", "studies/training.py", "staged.advance(self._done / self.steps)", "staged.advance(0.0)", "tests/studies/test_sequence_study.py -k end_to_end"),
    # masks and distances
    Fault("distance inside is positive", "array/distance.py", "np.negative(into, out=into, where=labels == 1)", "pass", "tests/test_distance.py -k lines"),
    Fault("spacing is forgotten", "array/distance.py", "return (1.0,) * extra + spacing", "return (1.0,) * len(shape)", "tests/test_distance.py -k lines"),
    Fault("classes stay where the transform has them", "array/distance.py", "    if source == destination:", "    if True:", "tests/test_distance.py -k forms"),
    Fault("full mask is infinite", "array/distance.py", "labels.min() == labels.max()", "False", "tests/test_distance.py -k without_boundary"),
    Fault("given map is not read", "core/families/distance.py", "            batch.distance = distance\n", "", "tests/test_distance.py -k is_read"),
    Fault("sum prepares without the map", "core/compound/terms.py", "key=lambda part: -len(part[1])", "key=lambda part: len(part[1])", "tests/test_distance.py -k sum_prepares"),
    Fault("ignored places err", "core/families/distance.py", "        p = xp.where(counted, p, t)\n", "", f"{VALUES} 'ignore_index and HausdorffErosion and multiclass'"),
    Fault("classes are summed", "core/families/distance.py", "xp.sum(values, axis=axis) / len(chosen)", "xp.sum(values, axis=axis)", f"{VALUES} 'Boundary and multiclass'"),
    Fault("background is compared too", "core/families/distance.py", 'first = 1 if members == "foreground"', 'first = 0 if members == "foreground"', f"{VALUES} 'Boundary and multiclass'"),
    Fault("Hausdorff forgets the prediction's outline", "losses/boundary.py", "if not self.one_sided:", "if False:", f"{VALUES} HausdorffDT"),
    Fault("erosions are not counted", "losses/boundary.py", "k**self.alpha * error", "error", f"{VALUES} HausdorffErosion"),
    Fault("distance is not scaled by the farthest", "losses/boundary.py", "divide(xp, farthest - distance, farthest)", "farthest - distance", f"{VALUES} DistancePenalized"),
    Fault("outline is off by a step", "losses/boundary.py", "xp.where(true, distance - self.step, distance)", "distance", f"{VALUES} ShapeAware"),
    Fault("shape-aware loss forgets the prediction", "losses/boundary.py", "p, true = stop_gradient(p), t > 0.5", "p, true = p * 0.0, t > 0.5", f"{VALUES} ShapeAware"),
    Fault("erosion is a dilation", "array/neighbours.py", "least = xp.minimum(least, xp.minimum(before, after))", "least = xp.maximum(least, xp.maximum(before, after))", f"{VALUES} ClDice"),
    Fault("dilation without corners", "array/neighbours.py", "before, here, after = shifts(x, axis, 1, \"repeat\")", "before, here, after = shifts(x, axes[-1], 1, \"repeat\")", "tests/test_distance.py -k 'images and ClDice'"),
    Fault("skeleton is one opening", "losses/structure.py", "        x = erode(x, axes)\n        found", "        found", f"{VALUES} ClDice"),
    Fault("variance forgets the first axis", "array/neighbours.py", "        if variance is not None:", "        if False:", "tests/test_distance.py -k 'images and StructuralSimilarity'"),
    Fault("easy places count", "losses/structure.py", "error <= self.hardness * xp.max", "error <= 0.0 * xp.max", f"{VALUES} StructuralSimilarity"),
    Fault("missed regions are not far", "studies/outlines.py", "float(values.double().sum()) + lone * worst", "float(values.double().sum())", "tests/studies/test_metrics.py -k outlines"),
    # slopes and singular points
    Fault("slope of focal", "array/primitives/functions.py", "add_product(-rest, beside, log_p, gamma)", "add_product(0.0 * rest, beside, log_p, gamma)", "tests/test_frameworks.py -k 'gradient_is and FocalLoss'"),
    Fault("psi without its pieces", "losses/embedding/angular.py", "sign * multiple - 2.0 * pieces", "sign * multiple", f"{VALUES} LargeMargin"),
    Fault("annealing is left out", "losses/embedding/angular.py", "(annealing * cos + psi(batch.xp, cos, self.margin)) / (1.0 + annealing)", "psi(batch.xp, cos, self.margin)", f"{VALUES} SphereFace"),
    Fault("margin helps the true class", "core/families/embedding.py", "scores + xp.expand_dims(margin, axis=1)", "scores - xp.expand_dims(margin, axis=1)", f"{VALUES} CosFace"),
    Fault("sine of the cosine", "core/families/embedding.py", "0.5 * direction(u - v)[1] * direction(u + v)[1]", "xp.sqrt(xp.clip(1.0 - self.cos**2, min=0.0))", "tests/test_embedding.py -k small_angle"),
    Fault("centres go to the mean at once", "losses/embedding/center.py", "(1.0 + counts)", "(1e-9 + counts)", "tests/test_embedding.py -k 'moved_centers and numpy'"),
    Fault("positives compete in InfoNCE", "losses/embedding/contrast.py", "xp.where(negative, score, -FAR)", "xp.where(xp.logical_or(positive, negative), score, -FAR)", f"{VALUES} InfoNCE"),
    Fault("a feature is its own positive", "core/families/embedding.py", "pair = xp.expand_dims(row, axis=0) != xp.expand_dims(row, axis=1)", "pair = xp.expand_dims(row, axis=0) >= 0 * xp.expand_dims(row, axis=1)", f"{VALUES} SupCon"),
    Fault("anchors without positives are averaged", "core/families/embedding.py", "return xp.any(positive, axis=1)", "return xp.any(xp.logical_or(positive, negative), axis=1)", "tests/test_embedding.py -k without_positives"),
    Fault("masked features are negatives", "core/families/embedding.py", "pair = both(xp, pair, xp.logical_and(xp.expand_dims(counted, axis=0), xp.expand_dims(counted, axis=1)))", "pass", f"{VALUES} 'mask_weight and Triplet'"),
    Fault("circle lets the gradient through alpha", "losses/embedding/contrast.py", "held, m = stop_gradient(quantity), self.margin", "held, m = quantity, self.margin", "tests/test_frameworks.py -k 'gradient_is and CircleLoss and scale'"),
    Fault("semihard negatives are the hardest", "losses/embedding/distance.py", "rank = xp.minimum(below, ", "rank = xp.minimum(0.0 * below, ", f"{VALUES} 'Triplet and squared'"),
    Fault("all triplets of half the negatives", "losses/embedding/distance.py", "below * reach - nearer", "0.5 * below * reach - nearer", f"{VALUES} 'Triplet and all'"),
    Fault("near features lose their distance", "array/vectors.py", "        x = xp.astype(x, xp.float64)\n", "        pass\n", "tests/test_embedding.py -k near_features"),
    Fault("equal features are apart by rounding", "array/vectors.py", "distance <= noise * sums", "distance <= 0.0 * sums", "tests/test_embedding.py -k identical_features"),
    Fault("autocast rounds inner products", "array/vectors.py", "with torch.autocast(a.device.type, enabled=False):", "if True:", "tests/test_edges.py -k autocast"),
    Fault("JAX holds all differences", "array/vectors.py", "jax.lax.map(jax.checkpoint(from_row), x)", "jax.vmap(from_row)(x)", "tests/test_embedding.py -k array_of_jax"),
    Fault("other ranks' gradient is lost", "torch/processes.py", "    dist.all_reduce(total, group=ctx.group)", "    del total\n        total = gradients[0]", "tests/test_distributed.py -k gathered"),
    Fault("centres move in evaluation too", "torch/prototypes.py", "self.rate is not None and self.training", "self.rate is not None", "tests/test_prototypes.py -k rule_of_the_paper"),
    # slopes and singular points
    Fault("a vector of no length is divided by it", "array/vectors.py", "xp.where(zero, 1.0, largest)", "largest", "tests/checker/test_claims.py -k 'finite_and and CosFace and torch'"),
    Fault("a diverged model has a small loss", "losses/margin.py", "xp.where(margin >= 1.0, 0.0, 1.0 - margin)", "xp.where(margin < 1.0, 1.0 - margin, 0.0)", "tests/test_edges.py -k 'nan_that and Hinge'"),
    Fault("NaN is a bin", "losses/likelihood/imbalance.py", "        place = xp.where(place > 0, place, 0.0)", "        pass", "tests/test_edges.py -k 'nan_that and GHM'"),
    Fault("slope of Huber is not clipped", "losses/regression/errors.py", "return clip(xp, error, min=-self.delta, max=self.delta)", "return error", "tests/test_frameworks.py -k 'gradient_is and Huber'"),
    Fault("second derivative of what comes from above", "array/torch_boxes.py", "differentiate(outputs, prediction, above,", "differentiate([(m * g).sum() for m, g in zip(outputs, above, strict=True)], prediction,", "tests/test_frameworks.py -k 'with_a_graph and GIoU'"),
    Fault("saved slope is differentiated", "array/torch_native.py", "slope = ctx.slope(xp, ctx.of(xp, x, *given))", "pass", "tests/test_frameworks.py -k 'second and Huber'"),
    Fault("power without a safe base", "array/primitives/functions.py", "return apply_where(xp, xp.logical_not(base <= tiny(xp, base)), lambda b: b**exponent, base, 0.0)", "return base**exponent", "tests/checker/test_claims.py -k 'finite_and and Focal and jax'"),
    Fault("atan2 of a point", "core/families/box_pair.py", "xp.where(point, 1.0, box.width), xp.where(point, 1.0, box.height)", "box.width, box.height", "tests/checker/test_claims.py -k 'finite_and and CIoU'"),
    Fault("boxes' gradient forgets the hull", "array/torch_boxes.py", "own + (shared + hull) / 2", "own + shared / 2", "tests/test_box_geometry.py -k 'definition and gap'"),
    Fault("touching boxes learn nothing", "array/torch_boxes.py", "x.shared.sign().add_(1).div_(2)", "x.shared.sign().clamp_(min=0)", "tests/test_box_geometry.py -k ties"),
    Fault("boxes' second derivative from constants", "array/torch_boxes.py", "if torch.is_grad_enabled():", "if False:", "tests/test_frameworks.py -k 'second and GIoU'"),
    Fault("both ends of an inverted box learn", "array/torch_boxes.py", "low, high = low + (1 - proper) * high, proper * high", "pass", "tests/test_box_geometry.py -k definition"),
    Fault("boxes that learn as targets are constants", "core/families/box_pair.py", " and not learns(target)", "", "tests/test_box_geometry.py -k target_that"),
    Fault("division by an empty union", "array/primitives/functions.py", "numerator / xp.where(usable, denominator, 1.0)", "numerator / denominator", "tests/checker/test_claims.py -k 'finite_and and GIoU'"),
    Fault("half precision stays half", "core/contract.py", "        return xp.float32\n    raise", "        return dtype\n    raise", "tests/test_edges.py -k 'half or bfloat16'"),
    Fault("sums add one after the other", "array/primitives/indexing.py", "xp.astype(xp.sum(xp.astype(x, xp.float64), axis=axis, keepdims=keepdims), x.dtype)", "xp.sum(x, axis=axis, keepdims=keepdims)", "tests/test_edges.py -k digits"),
    Fault("scatter adds in float32", "array/torch_native.py", "else torch.float64", "else values.dtype", "tests/test_edges.py -k digits"),
    Fault("the last block is lost", "array/torch_blocks.py", "for start in range(0, x.numel(), size):", "for start in range(0, x.numel() - size, size):", "tests/test_edges.py -k 'blocks and QualityFocal'"),
    Fault("the slope of |z| at 0 is taken", "core/families/answer.py", "return log_sigmoid(self.z) if self.smooth else", "return", "tests/test_edges.py -k curvature"),
    Fault("a buffer is free before it is read", "array/torch_blocks.py", "last[s] == i and", "last[s] >= i and", "tests/test_edges.py -k 'blocks and Focal'"),
    Fault("operations are told apart by their tensors only", "array/torch_blocks.py", "key = (func, sources, tuple(options.items()))", "key = (func, sources)", "tests/test_torch_native.py -k replayed"),
    Fault("a constant of the sample is replayed", "array/torch_blocks.py", " or any(isinstance(a, torch.Tensor) and a.ndim > 0 for a in sources)", "", "tests/test_torch_native.py -k replayed"),
    Fault("the logarithm of a rounded 1 - p", "core/families/answer.py", "self.xp.log1p(-self.lesser)", "self.xp.log(1.0 - self.lesser)", "tests/test_edges.py -k keep_their_digits"),
    Fault("the lesser side is a difference", "core/families/answer.py", "if on > off else", "if True else", "tests/test_edges.py -k keep_their_digits"),
    Fault("a label far below is lifted", "array/torch_native.py", "at_index += (label - floor).clamp_(max=0.0)", "pass", "tests/test_torch_native.py -k changed_logits"),
    Fault("gradient of a scaled logit", "array/torch_native.py", "(None if g is None else ctx.scale * g for g in gradients)", "gradients", "tests/test_torch_native.py -k changed_logits"),
    Fault("a tangent is not looked for", "array/primitives/backward.py", "and not _forward_mode():", "and True:", "tests/test_edges.py -k curvature"),
    Fault("a new formula keeps the old slope", "core/families/elements.py", 'owner["slope"] <= owner["values"]', "True", "tests/test_edges.py -k inherit"),
    Fault("sign of a label of 0", "core/families/answer.py", "return affine(-1.0, 2.0, self.t)", "return self.t", f"{VALUES} 'BCE'"),
    Fault("whole powers lose a factor", "array/primitives/functions.py", "else xp.square(half) * base", "else xp.square(half)", f"{VALUES} 'Focal and gamma'"),
    Fault("weights that learn are constants in Lovász", "array/sorted_errors.py", " and not learns(weight)", "", "tests/test_gradients.py -k 'every_input and LovaszSoftmax'"),
    Fault("|x| has a slope at 0 in JAX", "array/primitives/functions.py", "xp.where(x != 0, xp.abs(x), 0.0) if is_jax(x) else xp.abs(x)", "xp.abs(x)", "tests/test_gradients.py -k one_slope"),
    Fault("an impossible answer meets the slope of its factor", "array/primitives/functions.py", "    if not smooth:\n        return factor", "    if True:\n        return factor", "tests/test_gradients.py -k 'impossible_truth and jax'"),
    Fault("NaN boxes do not overlap", "core/families/box_pair.py", "proper = xp.logical_not(union <= 0)", "proper = union > 0", "tests/test_edges.py -k 'counts_is_seen and InnerIoU'"),
    # experiments
    Fault("the largest object is learned", "studies/detection/detector.py", "area.min(-1)", "area.max(-1)", "tests/studies/test_detection.py -k smallest"),
    Fault("detections of every class suppress each other", "studies/detection/detector.py", "classes=label, ", "", "tests/studies/test_detection.py -k sorted"),
    Fault("AP75 at another threshold", "studies/detection/scores.py", "_precision(detections, objects)[5]", "_precision(detections, objects)[4]", "tests/studies/test_detection.py -k by_hand"),
    Fault("hits lose the slope of the mass", "array/torch_native.py", "p_at * (of_p.gather(1, index) - centre) + of_log", "of_log - p_at * centre", "tests/test_torch_native.py -k sums"),
    Fault("softmax is not centred", "array/torch_native.py", "p).squeeze(1) + of_log", "p).squeeze(1)", "tests/test_torch_native.py -k sums"),
    Fault("every gradient is that of a sum over places", "array/torch_native.py", "elif of_p.stride(2) == 0:", "elif True:", "tests/test_torch_native.py -k sums"),
    Fault("second derivative through a changed tensor", "array/torch_native.py", "if eager(x) and not x.requires_grad", "if eager(x)", "tests/test_torch_native.py -k sums"),
    Fault("log p and p of the label mixed up", "core/families/classification.py", 'self.xp.exp(self._at_labels[1]) if "true_log_p" in self.wanted else self._at_labels[1]', "self._at_labels[1]", "tests/test_torch_native.py -k sums"),
    Fault("parts of a sum do not share", "core/families/classification.py", 'if not self.wanted & {"true_log_p", "true_p"} or', 'if "true_p" not in self.wanted or "true_log_p" in self.wanted or', "tests/test_torch_native.py -k one_backward"),
    Fault("bits sorted the wrong way", "array/torch_native.py", "torch.sort(largest - error.view(integer), dim=-1, stable=True)", "torch.sort(largest - error.view(integer), dim=-1, stable=True, descending=True)", "tests/test_torch_native.py -k lovasz"),
    Fault("Lovász slopes of the foreground", "array/torch_native.py", "torch.where(true, -steps, steps)", "steps", "tests/test_torch_native.py -k lovasz"),
    Fault("Lovász skips what is read", "array/torch_native.py", "(~skip).nonzero()", "skip.nonzero()", "tests/test_torch_native.py -k lovasz_skips"),
    # the checker
    Fault("axes of a scene are of one length", "checker/scenes.py", "lengths = [n for n in (5, 6, 7, 8, 9) if n != classes][:: -1 if seed % 2 else 1]", "lengths = [3, 3, 3, 3]", "tests/checker/test_readings.py -k read_as_one"),
    Fault("one class more is not tried", "checker/inference.py", "bound = None if more.failure is None else count", "bound = None", "tests/checker/test_readings.py -k classes_is_found"),
    Fault("NaN at the truth is a refusal", "checker/inference.py", "np.isfinite([value, worst]).all()", "np.isfinite([value, worst, *right]).all()", "tests/checker/test_readings.py -k nan_at_the_truth"),
    Fault("a mask is taken for a variance", "checker/inference.py", "return value(plain.contradicted()) > least", "return True", "tests/checker/test_readings.py -k a_mask"),
    Fault("the checker does not poison weights", "checker/fields.py", '"prediction": _spread(loss, ~counted, batch.prediction), **dict.fromkeys(weights, ~counted)', '"prediction": _spread(loss, ~counted, batch.prediction)', "tests/checker/test_claims.py -k poisoned"),
    Fault("large arrays are written out", "checker/examples.py", "MOST = 64", "MOST = 10**9", "tests/checker/test_examples.py -k meant"),
    Fault("--fail-on is not heard", "cli/check.py", "if report.failing(fail_on):", "if not report.ok:", "tests/checker/test_cli.py -k fail_on_names"),
    Fault("a claim that is cut short holds", "checker/check.py", "elif time.monotonic() - start > seconds:  # it was cut short", "elif False:", "tests/checker/test_claims.py -k cut_short"),
    Fault("a claim that was not asked holds", "checker/search.py", "            return None\n        self.asked = True", "            self.asked = True\n            return None\n        self.asked = True", "tests/checker/test_claims.py -k is_not_about"),
    Fault("what a loss does not see is not declared", "losses/boxes/distance.py", '    unseen="boxes that do not overlap, whose weight is 0",\n', "", "tests/checker/test_claims.py -k 'finds_nothing and FocalEIoU'"),
    Fault("a loss keeps more than it declares", "losses/likelihood/noise.py", "keeps=13.0", "keeps=12.0", "tests/checker/test_claims.py -k 'finds_nothing and BiTempered'"),
    # what studies announce, read and write
    Fault("report: one test for each difference", "studies/verdicts.py", "flat[order] * np.arange(len(order), 0, -1)", "flat[order]", "tests/studies/test_verdicts.py -k welch_and_holm"),
    Fault("report: three equal runs have no variance", "studies/verdicts.py", "np.maximum(corrected, _relabelled(values, t))", "corrected", "tests/studies/test_verdicts.py -k 'announce_nothing and collapses'"),
    Fault("report: all losses scatter alike", "studies/verdicts.py", "own = square / np.maximum(count - 1, 1)", "own = square.mean(-2, keepdims=True) + 0 * square\n    own = own / np.maximum(count - 1, 1)", "tests/studies/test_verdicts.py -k welch_and_holm"),
    Fault("report: the leader alone is marked", "studies/summary.py", "label == first or chances[label] > ANNOUNCED", "label == first and telling", "tests/studies/test_report.py -k green"),
    Fault("report: shares are judged one by one", "studies/outliers.py", "return Verdicts.of(found[0].losses, tuple(map(part, self.reached)), values)", "return Verdicts(found[0].losses, tuple(map(part, self.reached)), values, np.concatenate([own.p[..., :1] for own in found], axis=2))", "tests/studies/test_verdicts.py -k shares_of_outliers"),
    Fault("report: that nothing can be told is left out", "studies/summary.py", "lines += headline(found, _count(comparison))", "pass", "tests/studies/test_verdicts.py -k comes_first"),
    Fault("data: all numbers up to a label", "studies/data.py", "int(np.argmax(present != np.arange(len(present))))", "int(np.setdiff1d(np.arange(count), present)[0])", "tests/studies/test_study_data.py -k all_memory"),
    Fault("data: headers are believed", "studies/archive.py", "or header.size != there or", "or", "tests/studies/test_study_data.py -k all_memory"),
    Fault("data: as many classes as are named", "studies/data.py", "if count > targets.size:", "if False:", "tests/studies/test_study_data.py -k all_memory"),
    Fault("data: strips that say nothing", "studies/sequence.py", "    if behind.all():", "    if False:", "tests/studies/test_sequence_study.py -k does_not_fit"),
    Fault("data: a model larger than memory", "studies/contenders.py", "    _check_room(study, model, x, data, len(entries))\n", "", "tests/studies/test_compare.py -k too_many_classes"),
    Fault("results: written in place", "studies/files.py", 'scratch = path.with_name(f".{path.name}.{os.getpid()}")', "scratch = path", "tests/studies/test_compare.py -k full_disk"),
    Fault("results: two comparisons in one folder", "studies/files.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "tests/studies/test_compare.py -k one_folder"),
    Fault("results: columns leave the screen", "cli/grid.py", "        if need > left:", "        if False:", "tests/studies/test_tables.py"),
    # the contract
    Fault("a class of weight 0 takes no part", "core/families/region.py", 'share = weight if self.reduction == "weighted_mean" else xp.astype(counted, values.dtype)', 'share = weight if self.reduction == "weighted_mean" else xp.astype(weight != 0, values.dtype)', "tests/test_faults.py -k class_weights"),
    Fault("logits train as probabilities", "array/primitives/functions.py", "xp.where(xp.abs(beyond) <= 1e-2, beyond, 0.0)", "beyond", "tests/test_faults.py -k passed_as_probabilities"),
    Fault("rounding makes a probability NaN", "core/families/classification.py", "        p = bounded(xp, p, 0.0, 1.0)\n", "", "tests/test_faults.py -k beyond_its_bound"),
    Fault("a bound does not teach", "array/primitives/functions.py", "return x + stop_gradient(xp.where(xp.abs(beyond) <= 1e-2, beyond, 0.0))", "return x + xp.where(xp.abs(beyond) <= 1e-2, beyond, 0.0)", "tests/test_faults.py -k beyond_its_bound"),
    Fault("one class under a softmax", "core/families/classification.py", 'if classes == 1 and self.task == "multiclass":', "if False:", "tests/test_contract.py -k bad_calls"),
    Fault("one prototype", "core/families/embedding.py", "        if shape[0] == 1:\n", "        if False:\n", "tests/test_contract.py -k bad_calls"),
    Fault("a NaN weight counts where its place does not", "core/families/elements.py", "    weight = where_counted(xp, counted, weight)\n", "", "tests/test_faults.py -k a_weight_does_not"),
    Fault("a NaN weight of an image without places", "core/families/classification.py", "batch.weight = where_counted(xp, batch.counted, weight)", "batch.weight = weight", "tests/test_faults.py -k image_without"),
    Fault("a part of a sum is not checked", "core/compound/terms.py", "            part.check_batch(batch)\n", "", "tests/test_contract.py -k bad_calls"),
    Fault("subclasses of arrays come in", "core/contract.py", 'elif own != "ndarray" and issubclass(type(x), np.ndarray):', "elif False:", "tests/test_contract.py -k bad_calls"),
    Fault("complex and ragged arrays come in", "core/contract.py", 'if "qint" not in text and', "if True or", "tests/test_contract.py -k bad_calls"),
    Fault("foreign byte order", "core/contract.py", 'return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))', "return x", "tests/test_faults.py -k byte_order"),
    Fault("sparse tensors come in", "core/contract.py", 'elif str(x.layout) != "torch.strided":', "elif False:", "tests/test_contract.py -k bad_calls"),
    Fault("unsigned labels wrap", "core/families/elements.py", "return xp.where(signed < 0, xp.zeros_like(signed) + contract.limits(signed)[1], signed)", "return signed", "tests/test_faults.py -k never_wraps"),
    Fault("an ignored label wraps", "core/families/elements.py", "        if not low <= ignore_index <= high:\n            return None\n", "", "tests/test_faults.py -k 'cannot_hold or never_wraps'"),
    Fault("an ignored label is a float", "core/options.py", "return int(value) if isinstance(value, numbers.Integral) else int(float(value))", "return int(float(value))", "tests/test_faults.py -k cannot_hold"),
    Fault("JAX halves a label", "core/contract.py", "    if is_integer(x) and x.size and str(converted.dtype) != str(x.dtype):", "    if False:", "tests/test_faults.py -k jax_would"),
    Fault("identities of pairs collide", "core/families/embedding.py", "        same = xp.expand_dims(labels, axis=0) == xp.expand_dims(labels, axis=1)", "        labels = wide(xp, labels)\n        same = xp.expand_dims(labels, axis=0) == xp.expand_dims(labels, axis=1)", "tests/test_faults.py -k told_apart"),
    Fault("a soft mask is sorted as a hard one", "core/contract.py", "    if not bad.any():\n        return\n    position = [int(i) for i in np.argwhere(bad)[0]]\n    values = to_numpy(target)\n    if axis is not None", "    return\n    position = [int(i) for i in np.argwhere(bad)[0]]\n    values = to_numpy(target)\n    if axis is not None", "tests/test_contract.py -k bad_calls"),
    Fault("a compiled soft mask is sorted as a hard one", "core/families/classification.py", "            return labels, certain\n", "            return labels, None\n", "tests/test_faults.py -k without_one_true"),
    Fault("the rival of the best class is itself", "core/families/margin.py", "rival = xp.where(best, second, first)", "rival = first", "tests/test_faults.py -k 'one_hot and Hinge'"),
    Fault("ignored places in the denominator", "core/reduction.py", "return Mean(numerator, total(xp.astype(terms.counted, numerator.dtype)))", "return Mean(numerator, total(xp.ones_like(terms.values)))", f"{VALUES} 'ignore_index and CrossEntropy'"),
    Fault("mean divides by weights", "core/reduction.py", 'if reduction == "weighted_mean" and terms.weight is not None:', "if terms.weight is not None:", f"{VALUES} 'mask_weight and MSE'"),
    Fault("normalizer is multiplied", "core/reduction.py", "else normalizer + xp.zeros_like(numerator)", "else 1.0 / normalizer + xp.zeros_like(numerator)", f"{VALUES} 'mask_weight and L1'"),
    Fault("nothing counted gives NaN", "core/reduction.py", 'fill = 0.0 if empty == "zero"', 'fill = float("nan") if empty == "zero"', "tests/test_edges.py -k nothing_counts"),
    Fault("masked NaN meets the gradient", "core/families/elements.py", "return xp.where(counted if axis is None else xp.expand_dims(counted, axis=axis), x, fill)", "return x", "tests/test_edges.py -k masked_nan"),
    Fault("one normalizer for each place", "core/reduction.py", "elif sizes(normalizer) != ():", "elif False:", "tests/test_contract.py -k normalizers"),
    Fault("options may be infinite", "core/options.py", "below=below is not None or high is None", "below=below is not None", "tests/test_contract.py -k bad_options"),
    Fault("shapes are broadcast", "core/contract.py", "    if agree(p, t):\n        return\n", "    return\n", "tests/test_contract.py -k bad_calls"),
    Fault("smoothing touches the weights", "core/families/likelihood.py", "values = (1.0 - self.smoothing) * values + ", "values = values + ", f"{VALUES} 'CrossEntropy and smoothing'"),
    Fault("one-hot weights in the denominator", "core/families/likelihood.py", "None if weight is None else times(weight, share)", "weight", f"{VALUES} 'one_hot and CrossEntropy'"),
    Fault("images are joined", "core/families/region.py", 'if self.per == "image" or not batch.has_images:\n            return per_image', 'if not batch.has_images:\n            return per_image', f"{VALUES} 'Dice'"),
    Fault("absent classes count as present", "core/families/region.py", "counts.tp + counts.fn <= 0", "counts.tp + counts.fn < 0", f"{VALUES} 'Dice and present'"),
    Fault("probabilities are softmaxed twice", "core/families/classification.py", "if not self.takes_logits:\n            scores = self._logits(xp, scores)", "if False:\n            pass", f"{VALUES} 'from_logits'"),
    Fault("labels are not checked", "core/families/elements.py", "contract.labels(name, known, low, high, ignored, counted, labels)", "pass", "tests/test_contract.py -k bad_calls"),
    Fault("statistics lose a count", "core/reduction.py", "[_joined(a, b) for a, b in pairs]", "[_joined(one[0], other[0]), *one[1:]]", "tests/test_statistics.py -k shards"),
    Fault("statistics of unlike losses add up", "core/reduction.py", "if one.of != other.of or", "if False or", "tests/test_statistics.py -k unlike_losses"),
    Fault("a number and statistics add up", "core/reduction.py", "if type(other) is int and other == 0:", "if True:", "tests/test_statistics.py -k and_a_number"),
    Fault("statistics of unlike classes are broadcast", "core/reduction.py", "if not contract.agree(sizes(one), sizes(other)):", "if False:", "tests/test_statistics.py -k numbers_of_classes"),
    Fault("statistics of another loss are finalized", "core/loss.py", "if not are_of(type(statistics), self):", "if False:", "tests/test_statistics.py -k weighted_mean"),
    Fault("statistics that do not add up are made", "core/loss.py", "if not self.decomposable:", "if False:", "tests/test_statistics.py -k has_no_statistics"),
    Fault("statistics of a loss that went through pickle are of none", "core/reduction.py", "return sums_of, (self.of, type", "return tuple, (type", "tests/test_statistics.py -k equal_loss"),
    Fault("a normalizer brings its dtype", "core/reduction.py", "contract.cast(xp, others[\"normalizer\"], like.dtype)", "others[\"normalizer\"]", "tests/test_frameworks.py -k normalizer_leaves"),
    Fault("one normalizer for unlike denominators", "core/compound/terms.py", "if outputs or len({(loss.reduction, loss.mean_over()) for _, loss in self.terms}) > 1:", "if outputs:", "tests/test_sums.py -k unlike_denominators"),
    Fault("a reduction that is set is not heard", "torch/criterion.py", "self.loss = self._given if reduction == self._given.reduction else _reduced(self._given, reduction)", "pass", "tests/test_torch_adapter.py -k is_set_is_heard"),
    Fault("create takes an example for their default", "core/catalogue.py", "if exactly and not all(row.bare for row in found):", "if not found:", "tests/parity/test_elsewhere.py -k example_are_no_options"),
    Fault("an object is called to make it", "checker/loading.py", 'if options else f"loss = {name}"', 'if options else f"loss = {name}()"', "tests/checker/test_examples.py -k as_it_was_named"),
    Fault("the Trainer divides what is no mean over labels", "torch/trainer.py", 'over[0] not in ("labels", "elements")', "not over", "tests/test_torch_adapter.py -k labels_cannot"),
    Fault("the Trainer's count is not read", "torch/trainer.py", "normalizer=num_items_in_batch)", "normalizer=None)", "tests/test_torch_adapter.py -k trainer_of"),
    Fault("a bare loss in compile is called with the target first", "core/loss.py", "in (\"keras\", \"tf_keras\")", "in (\"tf_keras\",)", "tests/test_keras_adapter.py -k cases"),
    Fault("Keras is given a loss with operands", "keras/keras_loss.py", "if needed:", "if False:", "tests/test_keras_adapter.py -k cases"),
    Fault("a DTensor beside a tensor", "core/contract.py", "if whole:", "if False:", "tests/test_torch_adapter.py -k sharded"),
    Fault("class weights beside a DTensor", "core/families/classification.py", "if is_sharded(like) else vector", "if False else vector", "tests/test_distributed.py -k sharded"),
    Fault("loss_parallel is not seen", "core/contract.py", "if in_loss_parallel():", "if False:", "tests/test_torch_adapter.py -k sharded"),
    Fault("nested tensors come in", "core/contract.py", "elif x.is_nested:", "elif False:", "tests/test_torch_adapter.py -k nested"),
    Fault("masked tensors come in", "core/contract.py", 'if type(x).__name__ == "MaskedTensor":', "if False:", "tests/test_torch_adapter.py -k masked"),
    Fault("compiled statistics of processes are rebuilt by their constructor", "torch/processes.py", "tuple.__new__(type(tree), branches)", "type(tree)(*branches)", "tests/test_distributed.py -k compiled"),
    Fault("compiled losses are compared by Dynamo", "core/reduction.py", "_type_of._dynamo_marked_constant = are_of._dynamo_marked_constant = True", "_type_of._dynamo_marked_constant = True", "tests/test_statistics.py -k compiled_module"),
    Fault("the carry is alike on all devices", "array/alignments.py", "tuple(c + jnp.astype(of_device, c.dtype) for c in carry)", "carry", "tests/test_sequence.py -k shard_map"),
    Fault("the stable sort is exported", "array/primitives/indexing.py", "x.sort(dim=-1, descending=True)", "x.sort(dim=-1, descending=True, stable=True)", "tests/test_torch_adapter.py -k exported_graphs"),
    Fault("a gradient with a graph", "array/torch_vocabulary.py", "(of_features.detach(), of_weight.detach(), of_bias.detach())", "(of_features, of_weight, of_bias)", "tests/test_torch_native.py -k carries"),
    Fault("a sum of configs", "core/compound/terms.py", "if not isinstance(loss, Loss):", "if False:", "tests/test_catalogue.py -k sum_of_configs"),
    Fault("a sum forgets its weights", "core/compound/sums.py", "r if w == 1 else w * r", "r if w == 1 else r", "tests/test_catalogue.py -k sum_is"),
    Fault("a shared batch lacks an operand", "core/compound/terms.py", "k == key and all(n in names for n in own)", "k[0] == key[0]", "tests/test_sums.py -k shared_batch"),
    Fault("operands go to every part", "core/compound/terms.py", "owns = [{name: value for name, value in operands.items() if name in loss.takes} for _, loss in self.terms]", "owns = [dict(operands) for _ in self.terms]", "tests/test_sums.py -k operands_reach"),
    Fault("a mask goes to every output", "core/compound/outputs.py", "return value.get(self.output) if isinstance(value, Mapping) else value", "return next(iter(value.values())) if isinstance(value, Mapping) else value", "tests/test_sums.py -k masks_weights"),
    Fault("log-variances add up over shards", "core/compound/terms.py", "mean.total / mean.count", "mean.total", "tests/test_sums.py -k uncertainty_weights"),
    Fault("regression without its half", "core/compound/weights.py", "0.5 * w if _is_regression(loss) else w", "w", "tests/test_sums.py -k uncertainty_weights"),
    Fault("schedule goes on after its last point", "core/compound/weights.py", "clip(step, min=start, max=end) if is_array(step) else min(max(step, start), end)", "clip(step, min=start) if is_array(step) else max(step, start)", "tests/test_sums.py -k piecewise"),
    Fault("upstream gradient of the first token for all", "array/torch_vocabulary.py", "gradients = _gradients(*inputs, gradient, ctx", "gradients = _gradients(*inputs, gradient[:1].expand_as(gradient), ctx", "tests/test_vocabulary.py -k dense_form"),
    Fault("kept gradients are not multiplied", "array/torch_vocabulary.py", "x.mul_(gradient) if last else x * gradient for x in kept", "x for x in kept", "tests/test_vocabulary.py -k dense_form"),
    Fault("kept gradients are spoiled by the first pass", "array/torch_vocabulary.py", "x.mul_(gradient) if last else x * gradient for x in kept", "x.mul_(gradient) for x in kept", "tests/test_vocabulary.py -k dense_form"),
    Fault("z-loss has no gradient", "array/torch_vocabulary.py", "2.0 * options.z_loss * lse * factor - of_true", "-of_true", "tests/test_vocabulary.py -k dense_form"),
    Fault("softcap has no slope", "array/torch_vocabulary.py", "z.mul_(cap_slope)", "pass", "tests/test_vocabulary.py -k dense_form"),
    Fault("logits lose their offset late", "array/torch_vocabulary.py", "z.sub_(top.unsqueeze(1)).exp_()", "z.exp_(), top.zero_()", "tests/test_vocabulary.py -k offset"),
    Fault("second derivative of a constant", "array/torch_vocabulary.py", "    if torch.is_grad_enabled():\n        gradients, losses", "    if False:\n        gradients, losses", "tests/test_vocabulary.py -k second"),
    Fault("all logits at once", "array/torch_vocabulary.py", "vocabulary.chunk_size(chunk, classifier)\n", "tokens.features.shape[0] or 1\n", "tests/test_vocabulary.py -k peak"),
    Fault("weight gradient added in half precision", "array/torch_vocabulary.py", "of_weight = torch.zeros_like(weight) if", "of_weight = torch.zeros_like(weight, dtype=tokens.features.dtype) if", "tests/test_vocabulary.py -k half"),
    Fault("padding of the last chunk is kept", "array/vocabulary.py", "return values.reshape(-1)[:count]", "return jnp.roll(values.reshape(-1), 1)[:count]", "tests/test_vocabulary.py -k every_framework"),
    Fault("options are not checked", "core/options.py", "if number in domain:", "if True:", "tests/test_contract.py -k bad_options"),
    Fault("stored sums lose their weights", "core/compound/terms.py", 'float(part.pop("weight"))', 'float(bool(part.pop("weight")))', "tests/test_catalogue.py -k sum_is"),
)
# fmt: on


def plant(fault: Fault, source: Path) -> None:
    """Makes a copy of the package with the fault. The bytecode of the files that are unchanged goes with them."""
    shutil.copytree(ROOT / "src", source)
    place = source / "lossary" / fault.file
    text = place.read_text()
    if text.count(fault.old) != 1:
        raise SystemExit(
            f"the fault {fault.name!r} wants to change {fault.old!r}, which stands {text.count(fault.old)} times in "
            f"{fault.file}; write it anew for the code as it is"
        )
    place.write_text(text.replace(fault.old, fault.new))


def test(fault: Fault, source: Path, output: Path) -> NoReturn:
    """Runs the chosen tests against the copy, and ends this process with pytest's exit code."""
    code = 3
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ["PYTHONPATH"] = str(source)  # for the processes that a test starts
        sys.path.insert(0, str(source))
        path, *words = fault.tests.split(" -k ")
        selected = [f"-k={word}" for word in (w.replace("'", "") for w in words)]
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", path, *selected])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(fault: Fault, folder: Path) -> int:
    """The process that tries a fault."""
    folder.mkdir()
    plant(fault, folder / "src")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of forks: nothing here has computed, and there is one thread
        process = os.fork()
    if process == 0:
        test(fault, folder / "src", folder / "output")
    return process


def missed(faults: Sequence[Fault], jobs: int, folder: Path) -> list[Fault]:
    """Tries faults, so many at a time, and says of each whether the suite caught it."""
    waiting, running, found = list(enumerate(faults)), {}, []
    while waiting or running:
        while waiting and len(running) < jobs:
            number, fault = waiting.pop(0)
            running[start(fault, folder / str(number))] = number, fault
        process, status = os.wait()
        number, fault = running.pop(process)
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, 1):  # 5: the selection is empty; 2, 3, 4: pytest itself failed
            output = (folder / str(number) / "output").read_text()
            raise SystemExit(f"the tests of the fault {fault.name!r} did not run:\n{output}")
        print(f"{'caught' if code == 1 else 'MISSED':7} {fault.name}", flush=True)
        found += [fault] if code == 0 else []
        shutil.rmtree(folder / str(number))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-k", default="", help="only faults whose name holds this word")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.k in fault.name]
    for library in ("torch", "jax", "tensorflow"):
        importlib.import_module(library)
    assert "lossary" not in sys.modules
    with tempfile.TemporaryDirectory(prefix="lossary-mutants-") as folder:
        unseen = missed(faults, options.jobs, Path(folder))
    print(f"{len(faults) - len(unseen)} of {len(faults)} planted faults were caught")
    return 1 if unseen else 0


if __name__ == "__main__":
    raise SystemExit(main())
