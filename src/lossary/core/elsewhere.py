"""What other libraries call a loss, and the call of ours that gives the same number.

One table: `find`, `create` and `lossary show` answer from it, and `tests/parity/test_elsewhere.py` runs every row that
has a call on random inputs. The names of the papers are aliases, in the decorators of the losses.
"""

from __future__ import annotations

import ast
import functools
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One loss of another library."""

    names: str  # dotted, the class first, then other spellings of it
    inputs: str  # a key of INPUTS
    theirs: str  # their call
    ours: str  # the loss of ours, as Python with `import lossary as L`; empty where there is none
    call: str  # what follows it
    note: str = ""  # what differs, or what to take instead

    @property
    def code(self) -> str:
        """Our call; empty where there is none."""
        return f"({self.ours}){self.call}" if self.ours and not self._is_call else self.ours + self.call

    @property
    def exact(self) -> bool:
        """Whether our loss gives the number by itself: nothing is done to what the call returns."""
        node = ast.parse(self.code, mode="eval").body if self.ours else None
        return isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute)

    @property
    def bare(self) -> bool:
        """Whether their call sets no option, so that the name alone stands for the same loss. (A mean is what ours take
        anyway.)"""
        call = ast.parse(self.theirs, mode="eval").body
        set_to: set[Any] = set()
        while isinstance(call, ast.Call):  # of a function, or of what a constructor gave
            words = [(word.arg, word.value) for word in call.keywords] + [(None, value) for value in call.args]
            set_to |= {(name, value.value) for name, value in words if isinstance(value, ast.Constant)}
            call = call.func
        task = {(None, value) for name, value in set_to if name is None and isinstance(value, str)}
        return set_to - task <= {("reduction", "mean")}

    @property
    def _is_call(self) -> bool:
        return isinstance(ast.parse(self.ours, mode="eval").body, ast.Call)

    def loss(self) -> tuple[str, list[Any], dict[str, Any]] | None:
        """Class and arguments of our loss; None where there are several, or none."""
        node = ast.parse(self.ours, mode="eval").body if self.ours and "Loss(" not in self.call else None
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            return None
        if not (isinstance(node.func.value, ast.Name) and node.func.attr.endswith("Loss")):
            return None
        settings = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        return node.func.attr, [ast.literal_eval(value) for value in node.args], settings


INPUTS = {
    "numbers": "x, y: floats of one shape (N, D); v: variances",
    "positive": "x, y: floats above 0 of one shape",
    "rows": "z: logits (N, C); labels: integers (N,); one_hot: labels as (N, C)",
    "maps": "z: logits (N, C, H, W); labels: integers (N, H, W)",
    "masks": "z: logits (N, 1, H, W); t: 0 and 1 as floats; signs: -1 and 1",
    "distributions": "z: logits (N, C); q: probabilities (N, C)",
    "boxes": "a, b: boxes (N, 4) as x1, y1, x2, y2",
    "features": "x: features (N, D); labels: integers (N,); w: weights or prototypes (C, D)",
    "sequences": "z: logits (N, T, C); targets (N, L); lengths, target_lengths: (N,)",
    "": "",
}
"""What the letters of the calls stand for."""

_UNREDUCED = "Theirs is unreduced."
_OVER_CLASSES = "Theirs averages over the classes too."


def _none(names: str, note: str) -> Row:
    return Row(names, "", "", "", "", note)


# fmt: off
ROWS = (
    # torch
    Row("torch.nn.L1Loss torch.nn.functional.l1_loss", "numbers", "torch.nn.L1Loss()(x, y)", "L.L1Loss()", "(x, y)"),
    Row("torch.nn.MSELoss torch.nn.functional.mse_loss", "numbers", "torch.nn.MSELoss()(x, y)", "L.MSELoss()", "(x, y)"),
    Row("torch.nn.SmoothL1Loss torch.nn.functional.smooth_l1_loss", "numbers", "torch.nn.SmoothL1Loss()(x, y)", "L.SmoothL1Loss()", "(x, y)"),
    Row("torch.nn.HuberLoss torch.nn.functional.huber_loss", "numbers", "torch.nn.HuberLoss()(x, y)", "L.HuberLoss()", "(x, y)"),
    Row("torch.nn.PoissonNLLLoss torch.nn.functional.poisson_nll_loss", "positive", "torch.nn.PoissonNLLLoss()(x, y)", "L.PoissonNLLLoss()", "(x, y)"),
    Row("torch.nn.GaussianNLLLoss torch.nn.functional.gaussian_nll_loss", "numbers", "torch.nn.GaussianNLLLoss()(x, y, v)", "L.GaussianNLLLoss()", "(x, y, variance=v)"),
    Row("torch.nn.BCEWithLogitsLoss torch.nn.functional.binary_cross_entropy_with_logits", "masks", "torch.nn.BCEWithLogitsLoss()(z, t)", "L.BCELoss()", "(z, t)", "Their weight= is sample_weight= of the call."),
    Row("torch.nn.BCELoss torch.nn.functional.binary_cross_entropy", "masks", "torch.nn.BCELoss()(torch.sigmoid(z), t)", "L.BCELoss(from_logits=False)", "(torch.sigmoid(z), t)", "Without from_logits=False ours reads logits."),
    Row("torch.nn.CrossEntropyLoss torch.nn.functional.cross_entropy", "rows", "torch.nn.CrossEntropyLoss()(z, labels)", "L.CrossEntropyLoss()", "(z, labels)", "Their weight=w is class_weight=w with reduction=\"weighted_mean\"."),
    Row("torch.nn.NLLLoss torch.nn.functional.nll_loss", "rows", "torch.nn.NLLLoss()(torch.log_softmax(z, 1), labels)", "L.CrossEntropyLoss()", "(torch.log_softmax(z, 1), labels)", "Log-probabilities are logits too: their softmax is what they are the logarithm of."),
    Row("torch.nn.LinearCrossEntropyLoss torch.nn.functional.linear_cross_entropy", "features", "torch.nn.functional.linear_cross_entropy(x, w, labels)", "L.LinearCrossEntropyLoss()", "(x, labels, weight=w)"),
    Row("torch.nn.KLDivLoss torch.nn.functional.kl_div", "distributions", "torch.nn.KLDivLoss(reduction=\"batchmean\")(torch.log_softmax(z, 1), q)", "L.KLDivLoss(prediction_form=\"log_probs\")", "(torch.log_softmax(z, 1), q)", "Their reduction=\"mean\" divides by the number of classes too, and is no divergence."),
    Row("torch.nn.MultiMarginLoss torch.nn.functional.multi_margin_loss", "rows", "torch.nn.MultiMarginLoss()(z, labels)", "L.HingeLoss(\"multiclass\", multiclass=\"weston-watkins\")", "(z, labels) / z.shape[1]", "Theirs is divided by the number of classes."),
    Row("torch.nn.MultiLabelSoftMarginLoss torch.nn.functional.multilabel_soft_margin_loss", "rows", "torch.nn.MultiLabelSoftMarginLoss()(z, one_hot)", "L.BCELoss(\"multilabel\")", "(z, one_hot)"),
    Row("torch.nn.SoftMarginLoss torch.nn.functional.soft_margin_loss", "masks", "torch.nn.SoftMarginLoss()(z, signs)", "L.BCELoss()", "(z, t)", "Theirs takes -1 and 1, ours 0 and 1."),
    Row("torch.nn.CTCLoss torch.nn.functional.ctc_loss", "sequences", "torch.nn.CTCLoss(reduction=\"sum\")(torch.log_softmax(z, 2).transpose(0, 1), targets, lengths, target_lengths)", "L.CTCLoss(reduction=\"sum\")", "(z, targets, lengths=lengths, target_lengths=target_lengths)", "Their mean divides each loss by the length of its target: pass sample_weight=1/target_lengths."),
    _none("torch.nn.TripletMarginLoss torch.nn.functional.triplet_margin_loss", "It takes triplets that are given; L.TripletLoss makes them of labelled features."),
    _none("torch.nn.TripletMarginWithDistanceLoss torch.nn.functional.triplet_margin_with_distance_loss", "L.TripletLoss has no distance of one's own."),
    _none("torch.nn.HingeEmbeddingLoss torch.nn.functional.hinge_embedding_loss", "Near: L.ContrastiveLoss, which takes labelled features."),
    _none("torch.nn.CosineEmbeddingLoss torch.nn.functional.cosine_embedding_loss", "Near: L.ContrastiveLoss, which takes labelled features."),
    _none("torch.nn.MarginRankingLoss torch.nn.functional.margin_ranking_loss", "There are no ranking losses yet."),
    _none("torch.nn.MultiLabelMarginLoss torch.nn.functional.multilabel_margin_loss", "Near: L.HingeLoss(\"multilabel\"), which compares each class with 0."),
    _none("torch.nn.AdaptiveLogSoftmaxWithLoss", "Near: L.LinearCrossEntropyLoss, exact for many classes in little memory."),
    # torchvision
    Row("torchvision.ops.sigmoid_focal_loss", "masks", "torchvision.ops.sigmoid_focal_loss(z, t, reduction=\"mean\")", "L.FocalLoss(\"binary\", alpha=0.25)", "(z, t)", "For targets of 0 and 1; soft ones differ."),
    Row("torchvision.ops.generalized_box_iou_loss", "boxes", "torchvision.ops.generalized_box_iou_loss(a, b, reduction=\"mean\")", "L.GIoULoss()", "(a, b)", "At ordinary sizes: theirs adds 1e-7 to areas."),
    Row("torchvision.ops.distance_box_iou_loss", "boxes", "torchvision.ops.distance_box_iou_loss(a, b, reduction=\"mean\")", "L.DIoULoss()", "(a, b)", "At ordinary sizes: theirs adds 1e-7 to areas."),
    Row("torchvision.ops.complete_box_iou_loss", "boxes", "torchvision.ops.complete_box_iou_loss(a, b, reduction=\"mean\")", "L.CIoULoss()", "(a, b)", "At ordinary sizes: theirs adds 1e-7 to areas."),
    # Keras, with target first and classes last
    Row("keras.losses.MeanAbsoluteError keras.losses.mean_absolute_error tf.keras.losses.mae", "numbers", "keras.losses.MeanAbsoluteError()(y, x)", "L.L1Loss()", "(x, y)"),
    Row("keras.losses.MeanSquaredError keras.losses.mean_squared_error tf.keras.losses.mse", "numbers", "keras.losses.MeanSquaredError()(y, x)", "L.MSELoss()", "(x, y)"),
    Row("keras.losses.MeanAbsolutePercentageError keras.losses.mean_absolute_percentage_error tf.keras.losses.mape", "positive", "keras.losses.MeanAbsolutePercentageError()(y, x)", "100 * L.MAPELoss()", "(x, y)"),
    Row("keras.losses.MeanSquaredLogarithmicError keras.losses.mean_squared_logarithmic_error tf.keras.losses.msle", "positive", "keras.losses.MeanSquaredLogarithmicError()(y, x)", "L.MSLELoss()", "(x, y)"),
    Row("keras.losses.Huber keras.losses.huber", "numbers", "keras.losses.Huber()(y, x)", "L.HuberLoss()", "(x, y)"),
    Row("keras.losses.LogCosh keras.losses.log_cosh", "numbers", "keras.losses.LogCosh()(y, x)", "L.LogCoshLoss()", "(x, y)"),
    Row("keras.losses.Poisson keras.losses.poisson", "positive", "keras.losses.Poisson()(y, x)", "L.PoissonNLLLoss(log_input=False)", "(x, y)"),
    Row("keras.losses.BinaryCrossentropy keras.losses.binary_crossentropy", "masks", "keras.losses.BinaryCrossentropy(from_logits=True)(t, z)", "L.BCELoss()", "(z, t)", "Theirs reads probabilities by default: from_logits=False here."),
    Row("keras.losses.BinaryFocalCrossentropy keras.losses.binary_focal_crossentropy", "masks", "keras.losses.BinaryFocalCrossentropy(from_logits=True)(t, z)", "L.FocalLoss(\"binary\")", "(z, t)", "Their alpha acts with apply_class_balancing=True only: alpha=0.25 here."),
    Row("keras.losses.CategoricalCrossentropy keras.losses.categorical_crossentropy", "rows", "keras.losses.CategoricalCrossentropy(from_logits=True)(one_hot, z)", "L.CrossEntropyLoss()", "(z, one_hot)", "Images need class_axis=-1."),
    Row("keras.losses.SparseCategoricalCrossentropy keras.losses.sparse_categorical_crossentropy", "rows", "keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, z)", "L.CrossEntropyLoss()", "(z, labels)", "Images need class_axis=-1."),
    Row("keras.losses.CategoricalFocalCrossentropy keras.losses.categorical_focal_crossentropy", "rows", "keras.losses.CategoricalFocalCrossentropy(from_logits=True)(one_hot, z)", "0.25 * L.FocalLoss(\"multiclass\")", "(z, one_hot)", "Their alpha, .25 by default, is a factor of everything."),
    Row("keras.losses.CategoricalGeneralizedCrossEntropy keras.losses.categorical_generalized_cross_entropy", "distributions", "keras.losses.CategoricalGeneralizedCrossEntropy(q=0.5)(q.argmax(1), q)", "L.GeneralizedCrossEntropyLoss(q=0.5, from_logits=False)", "(q, q.argmax(1))"),
    Row("keras.losses.KLDivergence keras.losses.kl_divergence tf.keras.losses.kld tf.keras.losses.kullback_leibler_divergence", "distributions", "keras.losses.KLDivergence()(q, q[::-1])", "L.KLDivLoss(prediction_form=\"probs\")", "(q[::-1], q)"),
    Row("keras.losses.Hinge keras.losses.hinge", "masks", "keras.losses.Hinge()(signs, z)", "L.HingeLoss(\"binary\")", "(z, signs)"),
    Row("keras.losses.SquaredHinge keras.losses.squared_hinge", "masks", "keras.losses.SquaredHinge()(signs, z)", "L.HingeLoss(\"binary\", power=2)", "(z, signs)"),
    Row("keras.losses.CategoricalHinge keras.losses.categorical_hinge", "rows", "keras.losses.CategoricalHinge()(one_hot, z)", "L.HingeLoss(\"multiclass\")", "(z, labels)"),
    Row("keras.losses.Dice keras.losses.dice", "masks", "keras.losses.Dice()(t, 1 / (1 + np.exp(-z)))", "L.DiceLoss(\"binary\", per=\"batch\", smooth=0)", "(z, t)"),
    Row("keras.losses.Tversky keras.losses.tversky", "masks", "keras.losses.Tversky(alpha=0.3, beta=0.7)(t, 1 / (1 + np.exp(-z)))", "L.TverskyLoss(\"binary\", per=\"batch\", smooth=0, fp_weight=0.7, fn_weight=0.3)", "(z, t)", "Keras 3.15 documents its alpha for false positives, and weighs false negatives by it."),
    _none("keras.losses.CTC keras.losses.ctc", "L.CTCLoss(ignore_index=0) in lossary.keras.KerasLoss: theirs takes 0 for blank and padding."),
    _none("keras.losses.Circle keras.losses.circle", "L.CircleLoss takes features, normalises them and finds cosines; theirs takes cosine distances."),
    _none("keras.losses.CosineSimilarity keras.losses.cosine_similarity", "There is no cosine loss of vectors yet."),
    # TensorFlow
    Row("tf.nn.sigmoid_cross_entropy_with_logits", "masks", "tf.nn.sigmoid_cross_entropy_with_logits(t, z)", "L.BCELoss(reduction=\"none\")", "(z, t)", _UNREDUCED),
    Row("tf.nn.weighted_cross_entropy_with_logits", "masks", "tf.nn.weighted_cross_entropy_with_logits(t, z, 2.0)", "L.BCELoss(pos_weight=2.0, reduction=\"none\")", "(z, t)", _UNREDUCED),
    Row("tf.nn.softmax_cross_entropy_with_logits", "rows", "tf.nn.softmax_cross_entropy_with_logits(one_hot, z)", "L.CrossEntropyLoss(reduction=\"none\")", "(z, one_hot)", _UNREDUCED),
    Row("tf.nn.sparse_softmax_cross_entropy_with_logits", "rows", "tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z)", "L.CrossEntropyLoss(reduction=\"none\")", "(z, labels)", _UNREDUCED),
    Row("tf.nn.log_poisson_loss", "positive", "tf.nn.log_poisson_loss(y, x)", "L.PoissonNLLLoss(reduction=\"none\")", "(x, y)", _UNREDUCED),
    Row("tf.nn.ctc_loss", "sequences", "tf.nn.ctc_loss(targets, z, target_lengths, lengths, logits_time_major=False, blank_index=0)", "L.CTCLoss(reduction=\"none\")", "(z, targets, lengths=lengths, target_lengths=target_lengths)", _UNREDUCED),
    Row("tf.compat.v1.losses.absolute_difference", "numbers", "tf.compat.v1.losses.absolute_difference(y, x)", "L.L1Loss()", "(x, y)"),
    Row("tf.compat.v1.losses.mean_squared_error", "numbers", "tf.compat.v1.losses.mean_squared_error(y, x)", "L.MSELoss()", "(x, y)"),
    Row("tf.compat.v1.losses.huber_loss", "numbers", "tf.compat.v1.losses.huber_loss(y, x)", "L.HuberLoss()", "(x, y)"),
    Row("tf.compat.v1.losses.hinge_loss", "masks", "tf.compat.v1.losses.hinge_loss(t, z)", "L.HingeLoss(\"binary\")", "(z, signs)", "Theirs takes 0 and 1, ours -1 and 1 or bool."),
    Row("tf.compat.v1.losses.sigmoid_cross_entropy", "masks", "tf.compat.v1.losses.sigmoid_cross_entropy(t, z)", "L.BCELoss()", "(z, t)"),
    Row("tf.compat.v1.losses.softmax_cross_entropy", "rows", "tf.compat.v1.losses.softmax_cross_entropy(one_hot, z)", "L.CrossEntropyLoss()", "(z, one_hot)"),
    Row("tf.compat.v1.losses.sparse_softmax_cross_entropy", "rows", "tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, z)", "L.CrossEntropyLoss()", "(z, labels)"),
    Row("tf.compat.v1.losses.log_loss", "masks", "tf.compat.v1.losses.log_loss(t, 1 / (1 + np.exp(-z)))", "L.BCELoss(from_logits=False)", "(1 / (1 + np.exp(-z)), t)", "Theirs adds 1e-7 within the logarithms."),
    _none("tf.edit_distance", "A metric, not a loss: lossary.text.edit_distance. To train for it: L.ExpectedEditDistanceLoss."),
    # optax, which is unreduced
    Row("optax.losses.squared_error", "numbers", "optax.losses.squared_error(x, y)", "L.MSELoss(reduction=\"none\")", "(x, y)", _UNREDUCED),
    Row("optax.losses.l2_loss", "numbers", "optax.losses.l2_loss(x, y)", "0.5 * L.MSELoss(reduction=\"none\")", "(x, y)", _UNREDUCED),
    Row("optax.losses.huber_loss", "numbers", "optax.losses.huber_loss(x, y)", "L.HuberLoss(reduction=\"none\")", "(x, y)", _UNREDUCED),
    Row("optax.losses.log_cosh", "numbers", "optax.losses.log_cosh(x, y)", "L.LogCoshLoss(reduction=\"none\")", "(x, y)", _UNREDUCED),
    Row("optax.losses.softmax_cross_entropy optax.losses.safe_softmax_cross_entropy", "rows", "optax.losses.softmax_cross_entropy(z, one_hot)", "L.CrossEntropyLoss(reduction=\"none\")", "(z, one_hot)", _UNREDUCED),
    Row("optax.losses.softmax_cross_entropy_with_integer_labels", "rows", "optax.losses.softmax_cross_entropy_with_integer_labels(z, labels)", "L.CrossEntropyLoss(reduction=\"none\")", "(z, labels)", _UNREDUCED),
    Row("optax.losses.sigmoid_binary_cross_entropy", "masks", "optax.losses.sigmoid_binary_cross_entropy(z, t)", "L.BCELoss(reduction=\"none\")", "(z, t)", _UNREDUCED),
    Row("optax.losses.sigmoid_focal_loss", "masks", "optax.losses.sigmoid_focal_loss(z, t)", "L.FocalLoss(\"binary\", reduction=\"none\")", "(z, t)", _UNREDUCED),
    Row("optax.losses.poly_loss_cross_entropy", "rows", "optax.losses.poly_loss_cross_entropy(z, one_hot)", "L.PolyLoss(epsilon=2.0, reduction=\"none\")", "(z, one_hot)", _UNREDUCED),
    Row("optax.losses.hinge_loss", "masks", "optax.losses.hinge_loss(z, signs)", "L.HingeLoss(\"binary\", reduction=\"none\")", "(z, signs)", _UNREDUCED),
    Row("optax.losses.multiclass_hinge_loss", "rows", "optax.losses.multiclass_hinge_loss(z, labels)", "L.HingeLoss(\"multiclass\", reduction=\"none\")", "(z, labels)", _UNREDUCED),
    Row("optax.losses.kl_divergence", "distributions", "optax.losses.kl_divergence(jnp.log(q[::-1]), q)", "L.KLDivLoss(prediction_form=\"log_probs\", reduction=\"none\")", "(jnp.log(q[::-1]), q)", _UNREDUCED),
    Row("optax.losses.ntxent", "features", "optax.losses.ntxent(x, labels)", "L.InfoNCELoss(temperature=0.07)", "(x, labels)", "Theirs averages over pairs: the same where all anchors have equally many positives."),
    _none("optax.losses.cosine_distance optax.losses.cosine_similarity", "There is no cosine loss of vectors yet."),
    _none("optax.losses.triplet_margin_loss", "It takes triplets that are given; L.TripletLoss makes them of labelled features."),
    _none("optax.losses.sparsemax_loss optax.losses.multiclass_sparsemax_loss optax.losses.make_fenchel_young_loss", "There are no Fenchel-Young losses yet."),
    _none("optax.losses.perceptron_loss optax.losses.multiclass_perceptron_loss", "Near: L.HingeLoss, which has a margin of 1."),
    Row("optax.losses.kl_divergence_with_log_targets", "distributions", "optax.losses.kl_divergence_with_log_targets(jnp.log(q[::-1]), jnp.log(q))", "L.KLDivLoss(prediction_form=\"log_probs\", target_form=\"log_probs\", reduction=\"none\")", "(jnp.log(q[::-1]), jnp.log(q))", _UNREDUCED),
    Row("optax.losses.dice_loss", "maps", "optax.losses.dice_loss(jnp.moveaxis(z, 1, -1), jnp.eye(z.shape[1])[labels])", "L.DiceLoss(\"multiclass\", smooth=2.0, reduction=\"none\")", "(z, labels).mean(1)", "Theirs keeps the images apart; its smooth is half of this one."),
    Row("optax.losses.binary_dice_loss", "masks", "optax.losses.binary_dice_loss(jnp.moveaxis(z, 1, -1), jnp.moveaxis(t, 1, -1))", "L.DiceLoss(\"binary\", smooth=2.0, reduction=\"none\")", "(z, t)", "Theirs keeps the images apart; its smooth is half of this one."),
    Row("optax.losses.ctc_loss optax.losses.ctc_loss_with_forward_probs", "sequences", "optax.losses.ctc_loss(z, jnp.arange(z.shape[1]) >= lengths[:, None], targets, jnp.arange(targets.shape[1]) >= target_lengths[:, None])", "L.CTCLoss(reduction=\"none\")", "(z, targets, lengths=lengths, target_lengths=target_lengths)", "Theirs takes paddings where ours takes lengths, and is unreduced."),
    Row("optax.losses.ranking_softmax_loss", "rows", "optax.losses.ranking_softmax_loss(z, one_hot)", "L.CrossEntropyLoss()", "(z, one_hot)", "For labels that sum to 1 in each row; other relevances are not here yet."),
    _none("optax.losses.multiclass_generalized_dice_loss", "L.GeneralizedDiceLoss(\"multiclass\") weighs sums of overlaps; theirs weighs the Dice loss of each class."),
    _none("optax.losses.generalized_kl_divergence optax.losses.convex_kl_divergence", "L.KLDivLoss is of distributions; that of unnormalised numbers is not here yet."),
    _none("optax.losses.smooth_labels", "label_smoothing= of L.CrossEntropyLoss."),
    # MONAI
    Row("monai.losses.DiceLoss monai.losses.Dice", "maps", "monai.losses.DiceLoss(softmax=True, to_onehot_y=True)(z, labels[:, None])", "L.DiceLoss(\"multiclass\")", "(z, labels)", "Their weight= is class_weight=; jaccard=True is L.JaccardLoss with half of their smooth."),
    Row("monai.losses.DiceCELoss monai.losses.dice_ce", "maps", "monai.losses.DiceCELoss(softmax=True, to_onehot_y=True)(z, labels[:, None])", "L.DiceLoss(\"multiclass\") + L.CrossEntropyLoss()", "(z, labels)"),
    Row("monai.losses.DiceFocalLoss monai.losses.dice_focal", "maps", "monai.losses.DiceFocalLoss(softmax=True, to_onehot_y=True)(z, labels[:, None])", "L.DiceLoss(\"multiclass\")", "(z, labels) + L.FocalLoss(\"multilabel\")(z, torch.nn.functional.one_hot(labels).movedim(-1, 1))", "Theirs has a softmax for Dice and a sigmoid per class for focal; L.DiceLoss(\"multiclass\") + L.FocalLoss(\"multiclass\") has one softmax for both."),
    Row("monai.losses.FocalLoss", "maps", "monai.losses.FocalLoss(use_softmax=True, to_onehot_y=True)(z, labels[:, None])", "L.FocalLoss(\"multiclass\")", "(z, labels) / z.shape[1]", _OVER_CLASSES),
    Row("monai.losses.TverskyLoss", "maps", "monai.losses.TverskyLoss(softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7)(z, labels[:, None])", "L.TverskyLoss(\"multiclass\", fp_weight=0.3, fn_weight=0.7)", "(z, labels)"),
    Row("monai.losses.HausdorffDTLoss", "masks", "monai.losses.HausdorffDTLoss(sigmoid=True, include_background=True)(z, t)", "L.HausdorffDTLoss(\"binary\")", "(z, t)"),
    Row("monai.losses.LogHausdorffDTLoss", "masks", "monai.losses.LogHausdorffDTLoss(sigmoid=True, include_background=True)(z, t)", "L.HausdorffDTLoss(\"binary\")", "(z, t).log1p()", "The logarithm of one plus the mean."),
    Row("monai.losses.BoundaryLoss", "masks", "monai.losses.BoundaryLoss(sigmoid=True)(z, t)", "L.BoundaryLoss(\"binary\")", "(z, t, distance=L.distance_map(t, \"border\"))", "Their map is 0 on the border of the object."),
    Row("monai.losses.SoftclDiceLoss", "masks", "monai.losses.SoftclDiceLoss(smooth=1e-12, sigmoid=True)(z, t)", "L.ClDiceLoss(\"binary\")", "(z, t)", "Of one channel; theirs joins several before it divides."),
    Row("monai.losses.SoftDiceclDiceLoss", "masks", "monai.losses.SoftDiceclDiceLoss(alpha=0.7, smooth=1e-12, sigmoid=True)(z, t)", "L.ClDiceLoss(\"binary\", dice_share=0.3)", "(z, t)", "Their alpha is the share of clDice."),
    Row("monai.losses.BoxGIoULoss monai.losses.giou", "boxes", "monai.losses.BoxGIoULoss()(a, b)", "L.GIoULoss()", "(a, b)"),
    Row("monai.losses.GeneralizedDiceLoss monai.losses.generalized_dice", "maps", "monai.losses.GeneralizedDiceLoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=1e-12)(z, labels[:, None])", "L.GeneralizedDiceLoss(\"multiclass\", smooth=0)", "(z, labels)", "The weights of ours are normalised, so that a smooth acts differently; where classes are absent see its Elsewhere."),
    Row("monai.losses.ContrastiveLoss", "features", "monai.losses.ContrastiveLoss(temperature=0.5)(x[:6], x[6:])", "L.InfoNCELoss(temperature=0.5)", "(x, torch.arange(12) % 6)", "The labels number the samples, two views each."),
    _none("monai.losses.GeneralizedDiceFocalLoss monai.losses.generalized_dice_focal", "A sum: L.GeneralizedDiceLoss(\"multiclass\") + L.FocalLoss(\"multiclass\"), with the differences of its parts."),
    _none("monai.losses.MaskedDiceLoss monai.losses.MaskedLoss", "mask= of the call; theirs multiplies the logits by the mask, which leaves probabilities of one half."),
    _none("monai.losses.SSIMLoss kornia.losses.SSIMLoss kornia.losses.ssim_loss kornia.losses.SSIM3DLoss kornia.losses.ssim3d_loss tf.image.ssim", "SSIM of images is not here yet; L.StructuralSimilarityLoss is another loss, of masks."),
    Row("monai.losses.AsymmetricUnifiedFocalLoss", "maps", "monai.losses.AsymmetricUnifiedFocalLoss()(torch.softmax(z[:, :2], 1), torch.nn.functional.one_hot(labels % 2).movedim(-1, 1))", "0.75 * L.UnifiedFocalLoss(\"multiclass\", weight=1 / 3, delta=0.7, asymmetric=True, smooth=1e-7)", "(z[:, :2], labels % 2)", "Theirs takes probabilities of two classes and counts half of the focal loss, hence the factors."),
    _none("monai.losses.DeepSupervisionLoss", "A sum over outputs: L.DiceLoss(\"multiclass\").on(\"fine\") + 0.5 * L.DiceLoss(\"multiclass\").on(\"coarse\")."),
    _none("monai.losses.GeneralizedWassersteinDiceLoss monai.losses.generalized_wasserstein_dice", "There is no Dice loss with distances between classes yet."),
    _none("monai.losses.NACLLoss", "There is no loss of neighbouring places' logits."),
    _none("monai.losses.AUCMLoss", "There is no loss of the area under a curve yet."),
    _none("monai.losses.BarlowTwinsLoss pytorch_metric_learning.losses.VICRegLoss", "Of self-supervision there is L.InfoNCELoss only."),
    _none("monai.losses.BendingEnergyLoss monai.losses.DiffusionLoss monai.losses.GlobalMutualInformationLoss monai.losses.LocalNormalizedCrossCorrelationLoss monai.losses.MultiScaleLoss kornia.losses.MILossFromRef kornia.losses.MILossFromRef2D kornia.losses.MILossFromRef3D kornia.losses.NMILossFromRef kornia.losses.NMILossFromRef2D kornia.losses.NMILossFromRef3D kornia.losses.mutual_information_loss kornia.losses.mutual_information_loss_2d kornia.losses.mutual_information_loss_3d kornia.losses.normalized_mutual_information_loss kornia.losses.normalized_mutual_information_loss_2d kornia.losses.normalized_mutual_information_loss_3d", "Losses of image registration are not here."),
    _none("monai.losses.PerceptualLoss monai.losses.PatchAdversarialLoss", "Losses that need a network of their own are not here."),
    _none("monai.losses.JukeboxLoss monai.losses.SURELoss kornia.losses.InverseDepthSmoothnessLoss kornia.losses.inverse_depth_smoothness_loss", "Losses of spectra, of denoising and of depth are not here yet."),
    # segmentation-models-pytorch
    Row("segmentation_models_pytorch.losses.DiceLoss", "maps", "smp.DiceLoss(\"multiclass\")(z, labels)", "L.DiceLoss(\"multiclass\", per=\"batch\", smooth=0)", "(z, labels)", "A class without target counts there as 0; their smooth counts twice."),
    Row("segmentation_models_pytorch.losses.JaccardLoss", "maps", "smp.JaccardLoss(\"multiclass\")(z, labels)", "L.JaccardLoss(\"multiclass\", per=\"batch\", smooth=0)", "(z, labels)", "A class without target counts there as 0."),
    Row("segmentation_models_pytorch.losses.TverskyLoss", "maps", "smp.TverskyLoss(\"multiclass\", alpha=0.3, beta=0.7)(z, labels)", "L.TverskyLoss(\"multiclass\", fp_weight=0.3, fn_weight=0.7, per=\"batch\", smooth=0)", "(z, labels)"),
    Row("segmentation_models_pytorch.losses.FocalLoss", "masks", "smp.FocalLoss(\"binary\", alpha=0.25)(z, t)", "L.FocalLoss(\"binary\", alpha=0.25)", "(z, t)", "Their multiclass form is one sigmoid per class: L.FocalLoss(\"multilabel\") of one-hot targets."),
    Row("segmentation_models_pytorch.losses.LovaszLoss", "maps", "smp.LovaszLoss(\"multiclass\")(z.float(), labels)", "L.LovaszSoftmaxLoss()", "(z, labels)"),
    Row("segmentation_models_pytorch.losses.SoftBCEWithLogitsLoss", "masks", "smp.SoftBCEWithLogitsLoss()(z, t)", "L.BCELoss()", "(z, t)", "Their mean divides by ignored places too; smooth_factor=s is label_smoothing=2*s."),
    Row("segmentation_models_pytorch.losses.SoftCrossEntropyLoss", "maps", "smp.SoftCrossEntropyLoss(smooth_factor=0.1)(z, labels)", "L.CrossEntropyLoss(label_smoothing=0.1)", "(z, labels)", "Their mean divides by ignored places too."),
    _none("segmentation_models_pytorch.losses.MCCLoss monai.losses.MCCLoss", "There is no loss of Matthews' correlation yet."),
    # kornia
    Row("kornia.losses.FocalLoss kornia.losses.focal_loss", "maps", "kornia.losses.focal_loss(z, labels, alpha=None, reduction=\"mean\")", "L.FocalLoss(\"multiclass\")", "(z, labels) / z.shape[1]", _OVER_CLASSES),
    Row("kornia.losses.BinaryFocalLossWithLogits kornia.losses.binary_focal_loss_with_logits", "masks", "kornia.losses.binary_focal_loss_with_logits(z, t, alpha=0.25, reduction=\"mean\")", "L.FocalLoss(\"binary\", alpha=0.25)", "(z, t)"),
    Row("kornia.losses.DiceLoss kornia.losses.dice_loss", "maps", "kornia.losses.dice_loss(z, labels, average=\"macro\")", "L.DiceLoss(\"multiclass\", classes=\"present\", smooth=0)", "(z, labels)", "Their default, \"micro\", is the mean of 1 - p_t, and not Dice."),
    Row("kornia.losses.TverskyLoss kornia.losses.tversky_loss", "maps", "kornia.losses.tversky_loss(z, labels, alpha=0.3, beta=0.7)", "L.TverskyLoss(\"multiclass\", fp_weight=0.3, fn_weight=0.7, classes=\"present\", smooth=0)", "(z, labels)"),
    Row("kornia.losses.LovaszSoftmaxLoss kornia.losses.lovasz_softmax_loss", "maps", "kornia.losses.lovasz_softmax_loss(z, labels)", "L.LovaszSoftmaxLoss(per=\"image\", classes=\"all\")", "(z, labels)"),
    Row("kornia.losses.CharbonnierLoss kornia.losses.charbonnier_loss", "numbers", "kornia.losses.charbonnier_loss(x, y, reduction=\"mean\")", "L.GeneralRobustLoss()", "(x, y)", "Theirs is √(e² + 1) - 1; L.CharbonnierLoss is √(e² + ε²)."),
    Row("kornia.losses.CauchyLoss kornia.losses.cauchy_loss", "numbers", "kornia.losses.cauchy_loss(x, y, reduction=\"mean\")", "L.CauchyLoss(c=1.4142135623730951)", "(x, y)"),
    Row("kornia.losses.WelschLoss kornia.losses.welsch_loss", "numbers", "kornia.losses.welsch_loss(x, y, reduction=\"mean\")", "L.WelschLoss(c=1.4142135623730951)", "(x, y)"),
    Row("kornia.losses.GemanMcclureLoss kornia.losses.geman_mcclure_loss", "numbers", "kornia.losses.geman_mcclure_loss(x, y, reduction=\"mean\")", "L.GemanMcClureLoss(c=2.0)", "(x, y)"),
    Row("kornia.losses.HausdorffERLoss kornia.losses.HausdorffERLoss3D", "maps", "kornia.losses.HausdorffERLoss().double()(torch.softmax(z, 1), labels[:, None])", "L.HausdorffErosionLoss(\"multiclass\", classes=\"all\", erosion=\"mean\")", "(z, labels)"),
    Row("kornia.losses.kl_div_loss_2d", "maps", "kornia.losses.kl_div_loss_2d(torch.softmax(z.flatten(2), 2).reshape(z.shape), torch.softmax(-z.flatten(2), 2).reshape(z.shape))", "L.KLDivLoss(prediction_form=\"probs\", class_axis=-1)", "(torch.softmax(z.flatten(2), 2), torch.softmax(-z.flatten(2), 2))", "Each map is one distribution: its places are on one axis here."),
    Row("kornia.losses.js_div_loss_2d", "maps", "kornia.losses.js_div_loss_2d(torch.softmax(z.flatten(2), 2).reshape(z.shape), torch.softmax(-z.flatten(2), 2).reshape(z.shape))", "L.JSDivLoss(prediction_form=\"probs\", class_axis=-1)", "(torch.softmax(z.flatten(2), 2), torch.softmax(-z.flatten(2), 2))", "Each map is one distribution: its places are on one axis here."),
    Row("kornia.losses.LovaszHingeLoss kornia.losses.lovasz_hinge_loss", "masks", "kornia.losses.lovasz_hinge_loss(z, t[:, 0])", "L.LovaszHingeLoss(\"binary\", per=\"image\")", "(z, t.bool())", "Theirs takes targets of shape (N, H, W), ours the shape of the logits."),
    _none("kornia.losses.MS_SSIMLoss kornia.losses.PSNRLoss kornia.losses.psnr_loss kornia.losses.TotalVariation kornia.losses.total_variation", "Losses of restored images are not here yet."),
    # timm
    Row("timm.loss.LabelSmoothingCrossEntropy", "rows", "timm.loss.LabelSmoothingCrossEntropy(0.1)(z, labels)", "L.CrossEntropyLoss(label_smoothing=0.1)", "(z, labels)"),
    Row("timm.loss.SoftTargetCrossEntropy", "rows", "timm.loss.SoftTargetCrossEntropy()(z, one_hot)", "L.CrossEntropyLoss()", "(z, one_hot)"),
    Row("timm.loss.AsymmetricLossMultiLabel", "rows", "timm.loss.AsymmetricLossMultiLabel()(z, one_hot)", "L.AsymmetricLoss(\"multilabel\", gamma_pos=1.0)", "(z, one_hot) * z.shape[1]", "Theirs adds up over classes."),
    Row("timm.loss.BinaryCrossEntropy", "rows", "timm.loss.BinaryCrossEntropy(0.0)(z, one_hot)", "L.BCELoss(\"multilabel\")", "(z, one_hot)", "Their smoothing, .1 by default, spreads over the classes."),
    _none("timm.loss.JsdCrossEntropy", "Cross entropy plus 12 times L.JSDivLoss of three views; that of three distributions is not here."),
    _none("timm.loss.AsymmetricLossSingleLabel", "A softmax loss, smoothed by .1; L.AsymmetricLoss is of sigmoids."),
    Row("timm.loss.PolyCrossEntropy", "rows", "timm.loss.PolyCrossEntropy()(z, labels)", "L.PolyLoss(epsilon=2.0)", "(z, labels)", "Theirs computes in float32."),
    _none("timm.loss.PolyBinaryCrossEntropy", "L.PolyLoss is of a softmax; that of sigmoids is not here yet."),
    _none("timm.loss.TwoWayLoss timm.loss.ZlprLoss timm.loss.DistributionBalancedLoss", "Of several labels there are L.BCELoss, L.FocalLoss and L.AsymmetricLoss, each with \"multilabel\"."),
    # pytorch-metric-learning
    Row("pytorch_metric_learning.losses.SupConLoss", "features", "pytorch_metric_learning.losses.SupConLoss()(x, labels)", "L.SupConLoss()", "(x, labels)", "Their mean leaves out anchors of loss 0."),
    Row("pytorch_metric_learning.losses.NTXentLoss", "features", "pytorch_metric_learning.losses.NTXentLoss()(x, labels)", "L.InfoNCELoss(temperature=0.07)", "(x, labels)", "Theirs averages over pairs: the same where all anchors have equally many positives."),
    Row("pytorch_metric_learning.losses.CircleLoss", "features", "pytorch_metric_learning.losses.CircleLoss()(x, labels)", "L.CircleLoss()", "(x, labels)", "Their mean leaves out anchors of loss 0."),
    _none("pytorch_metric_learning.losses.ContrastiveLoss", "L.ContrastiveLoss has half the square of the distance, as the paper, and one mean over all pairs."),
    Row("pytorch_metric_learning.losses.TripletMarginLoss", "features", "pytorch_metric_learning.losses.TripletMarginLoss(margin=1.0, distance=pytorch_metric_learning.distances.LpDistance(normalize_embeddings=False), reducer=pytorch_metric_learning.reducers.MeanReducer())(x, labels)", "L.TripletLoss(margin=1.0, mining=\"all\", squared=False)", "(x, labels)", "Their defaults have features of length 1, margin .05 and a mean that leaves out triplets of loss 0; the same where all anchors are in equally many triplets."),
    _none("pytorch_metric_learning.losses.ArcFaceLoss pytorch_metric_learning.losses.CosFaceLoss pytorch_metric_learning.losses.SphereFaceLoss pytorch_metric_learning.losses.LargeMarginSoftmaxLoss", "The loss of this name; lossary.torch.Prototypes owns the vectors, ArcFace's margin is in radians, with monotone=True."),
    _none("pytorch_metric_learning.losses.NormalizedSoftmaxLoss", "L.CosFaceLoss(margin=0, scale=20): scale is 1/temperature."),
    _none("pytorch_metric_learning.losses.ManifoldLoss pytorch_metric_learning.losses.P2SGradLoss pytorch_metric_learning.losses.ProxyAnchorLoss pytorch_metric_learning.losses.ProxyNCALoss pytorch_metric_learning.losses.SoftTripleLoss pytorch_metric_learning.losses.SubCenterArcFaceLoss", "Of prototypes there are L.ArcFaceLoss, L.CosFaceLoss, L.SphereFaceLoss, L.LargeMarginSoftmaxLoss and L.CenterLoss, with one for each class."),
    _none("pytorch_metric_learning.losses.AngularLoss pytorch_metric_learning.losses.DynamicSoftMarginLoss pytorch_metric_learning.losses.FastAPLoss pytorch_metric_learning.losses.GeneralizedLiftedStructureLoss pytorch_metric_learning.losses.GenericPairLoss pytorch_metric_learning.losses.HistogramLoss pytorch_metric_learning.losses.InstanceLoss pytorch_metric_learning.losses.IntraPairVarianceLoss pytorch_metric_learning.losses.LiftedStructureLoss pytorch_metric_learning.losses.MarginLoss pytorch_metric_learning.losses.MultiSimilarityLoss pytorch_metric_learning.losses.NCALoss pytorch_metric_learning.losses.NPairsLoss pytorch_metric_learning.losses.PNPLoss pytorch_metric_learning.losses.RankedListLoss pytorch_metric_learning.losses.SignalToNoiseRatioContrastiveLoss pytorch_metric_learning.losses.SmoothAPLoss pytorch_metric_learning.losses.ThresholdConsistentMarginLoss pytorch_metric_learning.losses.TupletMarginLoss", "Of pairs there are L.TripletLoss, L.ContrastiveLoss, L.InfoNCELoss, L.SupConLoss and L.CircleLoss."),
    _none("pytorch_metric_learning.losses.SelfSupervisedLoss", "L.InfoNCELoss: labels that number the samples, the same for both views."),
    _none("pytorch_metric_learning.losses.MultipleLosses", "A sum: losses are added with + and weighed with *."),
    _none("pytorch_metric_learning.losses.CrossBatchMemory", "There is no memory of earlier features."),
    # scikit-learn, target first
    Row("sklearn.metrics.log_loss", "distributions", "sklearn.metrics.log_loss(q.argmax(1), q, labels=[0, 1, 2, 3])", "L.CrossEntropyLoss(from_logits=False)", "(q, q.argmax(1))"),
    Row("sklearn.metrics.mean_absolute_error", "numbers", "sklearn.metrics.mean_absolute_error(y, x)", "L.L1Loss()", "(x, y)"),
    Row("sklearn.metrics.mean_squared_error", "numbers", "sklearn.metrics.mean_squared_error(y, x)", "L.MSELoss()", "(x, y)"),
    Row("sklearn.metrics.root_mean_squared_error", "numbers", "sklearn.metrics.root_mean_squared_error(y[:, 0], x[:, 0])", "L.RMSELoss()", "(x[:, 0], y[:, 0])"),
    Row("sklearn.metrics.mean_pinball_loss", "numbers", "sklearn.metrics.mean_pinball_loss(y, x, alpha=0.3)", "L.QuantileLoss(quantile=0.3)", "(x, y)"),
    Row("sklearn.metrics.mean_absolute_percentage_error", "positive", "sklearn.metrics.mean_absolute_percentage_error(y, x)", "L.MAPELoss()", "(x, y)"),
    Row("sklearn.metrics.mean_squared_log_error", "positive", "sklearn.metrics.mean_squared_log_error(y, x)", "L.MSLELoss()", "(x, y)"),
)
# fmt: on

_ABBREVIATED = {
    "nn": "torch.nn",
    "f": "torch.nn.functional",
    "smp.losses": "segmentation_models_pytorch.losses",
    "smp": "segmentation_models_pytorch.losses",
    "optax": "optax.losses",
    "tensorflow.nn": "tf.nn",
    "tf.keras.losses": "keras.losses",
    "tensorflow.keras.losses": "keras.losses",
    "tf.losses": "tf.compat.v1.losses",
    "ops": "torchvision.ops",
    "pml.losses": "pytorch_metric_learning.losses",
}
"""How people write what stands before the last of the dots."""


def full(name: str) -> str:
    """A dotted name in small letters, its library spelt out.

    >>> full("F.nll_loss"), full("tf.keras.losses.MSE")
    ('torch.nn.functional.nll_loss', 'keras.losses.mse')
    """
    library, dot, last = name.lower().rpartition(".")
    return f"{_ABBREVIATED.get(library, library)}{dot}{last}"


@functools.cache
def by_name() -> dict[str, Row]:
    """The rows by their full names."""
    return {full(name): row for row in ROWS for name in row.names.split()}
