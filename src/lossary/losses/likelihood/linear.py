"""Cross entropy of a classifier of many classes, whose logits would not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lossary.array.namespace import Array, Namespace
from lossary.array.primitives import lookup, reshape_like, sizes
from lossary.array.vocabulary import Classifier, Formula, Tokens, token_losses, weighted_total
from lossary.core import contract
from lossary.core.families.classification import class_vector
from lossary.core.families.elements import both, class_indices, keep, not_ignored, weighted
from lossary.core.loss import Loss, loss
from lossary.core.options import option
from lossary.core.reduction import Mean, Terms, mean_statistics


class TokenBatch(NamedTuple):
    """A prepared batch: one row per token, 0 where a token does not count."""

    xp: Namespace
    dtype: Any  # in which is computed
    tokens: Tokens
    classifier: Classifier
    places: Array  # the labels, in their shape
    counted: Array | None  # (tokens,)
    weight: Array | None


@loss(
    "Wijmans et al. 2025, Cut Your Losses in Large-Vocabulary Language Models, section 3 (the fused loss); z-loss: "
    "Chowdhery et al. 2022, PaLM, section 5; softcap: Gemma Team 2024, Gemma 2, section 2",
    arxiv="2411.09009",
    aliases=("fused_linear_cross_entropy", "cut_cross_entropy", "vocabulary"),
    held=("teacher_logits", "teacher_features", "teacher_weight", "teacher_bias"),
)
class LinearCrossEntropyLoss(Loss):
    r"""Cross entropy of a linear classifier, with the logits of a few tokens at a time in memory.

    $$z = c\,\tanh\frac{Wx + b}{c}, \quad \ln p = z - \ln\sum_k e^{z_k}, \quad
    \ell = (1-s)\,w_y\,\big(-(1-p_y)^\gamma \ln p_y\big) + s\,T^2\,\text{KL}(t \,\|\, q)
    + \zeta\,\Big(\ln\sum_k e^{z_k}\Big)^2$$

    Use it as the last layer and loss of a language model, or of any classifier where tokens times classes is what fills
    the memory: N tokens and V classes take N·V logits and as much again for their gradient, here a chunk of them. Pass
    it the features that the layer would take. Where all logits make one chunk, `CrossEntropyLoss` on logits is as good.

    Label smoothing ε makes the first term (1-ε)·w_y·(-ln p_y) - (ε/V)·Σ_k w_k·ln p_k.

    The call needs `weight=` (V, D) and takes `bias=` (V,). With `distillation=s` it needs the teacher:
    `teacher_features=` and `teacher_weight=` (V, D'), with `teacher_bias=` if it has one, whose logits are computed
    chunk by chunk too; or `teacher_logits=`, where these are there already. The teacher is a constant.

    Args:
        label_smoothing: ε, the share of the target that is spread evenly over the classes. Not together with `gamma`.
        gamma: γ of the focal loss; 0 is cross entropy.
        z_loss: ζ, keeps the logits near 0 in sum; PaLM takes 1e-4.
        softcap: c, bounds the logits; Gemma 2 takes 30. None leaves them.
        distillation: s, the share of the divergence from a teacher.
        temperature: T of the divergence: t and q are the softmax of the teacher's logits and of z, divided by T.
        ignore_index: the label of tokens that are left out.
        class_weight: one number per class; `reduction="weighted_mean"` divides by their sum over the tokens.
        chunk: tokens per chunk. None takes as many as make 8 million logits, and at least 64.

    Shapes: features (N, D) or (*, D), target (N,) or (*) integers, `mask`, `sample_weight` and the unreduced loss too;
    `teacher_features` (*, D'), `teacher_logits` (*, V). Half precision is computed in float32.

    A reduced loss takes torch one pass, value and gradients at once; `reduction="none"` computes each chunk's logits
    again in the backward pass. `torch.compile` leaves the loss as one operation of its graph. Gradients of gradients,
    `torch.func` and `vmap` are right, but keep all logits. JAX scans over the chunks and TensorFlow loops, both with
    recomputation; NumPy, which has no gradient, loops.

    Elsewhere: `F.cross_entropy(F.linear(x, W, b), y)` and `F.linear_cross_entropy` of torch ≥ 2.13, which has smoothing
    and class weights; in chunks (`options=`) its gradient under `create_graph=True` is silently a constant, and it was
    measured slower (docs/vocabulary.md), so it is not used here. Liger-Kernel's `LigerFusedLinearCrossEntropyLoss` and
    Apple's `cut_cross_entropy` are kernels for GPUs; the latter leaves out small gradients by default.

    >>> import numpy as np, lossary
    >>> x, weight, y = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]), np.array([1])
    >>> fused = lossary.LinearCrossEntropyLoss()(x, y, weight=weight)
    >>> bool(np.isclose(fused, lossary.CrossEntropyLoss()(x @ weight.T, y)))
    True
    """

    family_name = "likelihood"
    operands = ("weight", "bias", "teacher_logits", "teacher_features", "teacher_weight", "teacher_bias")
    optional = operands[1:]
    shared = ("weight", "bias", "teacher_weight", "teacher_bias")

    label_smoothing: float = option(default=0.0, low=0, high=1)
    gamma: float = option(default=0.0, low=0)
    z_loss: float = option(default=0.0, low=0)
    softcap: float | None = option(default=None, above=0)
    distillation: float = option(default=0.0, low=0, high=1)
    temperature: float = option(default=1.0, above=0)
    ignore_index: int | None = option(default=None)
    class_weight: Sequence[float] | None = option(default=None, low=0)
    chunk: int | None = option(default=None, low=1)

    def check_options(self) -> None:
        super().check_options()
        if self.label_smoothing and self.gamma:
            raise ValueError(
                "`label_smoothing` and `gamma` exclude each other: smoothing lifts what the focal loss lets fade; "
                f"got {self.label_smoothing} and {self.gamma}"
            )

    @property
    def takes(self) -> tuple[str, ...]:
        return self.operands if self.distillation else self.operands[:2]

    def encode(self, given: contract.Arguments) -> TokenBatch:
        name, xp, dtype, prediction, others = given.name, given.xp, given.dtype, given.prediction, given.others
        shape = self._shapes(name, xp, prediction, others)
        classes = sizes(others["weight"])[0]
        counted, weight = given.places(shape)
        labels = given.target
        if contract.is_integer(labels):
            counted = both(xp, counted, not_ignored(xp, labels, self.ignore_index))
        labels, counted = class_indices(xp, name, "target", labels, shape, classes, counted)
        ones = xp.ones_like(labels)
        if counted is not None:
            counted = xp.reshape(xp.logical_and(counted, ones == 1), (-1,))  # a mask may have leading axes only
        if weight is not None:
            weight = xp.reshape(weight * contract.cast(xp, ones, dtype), (-1,))
        teacher = others.get("teacher_logits", others.get("teacher_features"))
        tokens = Tokens(
            keep(xp, counted, _rows(xp, prediction), 1),
            xp.reshape(labels, (-1,)),
            None if teacher is None else keep(xp, counted, _rows(xp, teacher), 1),
        )
        weights = None if self.class_weight is None else class_vector(xp, self.class_weight, others["weight"][:0, ...])
        weights = weights if weights is None else contract.cast(xp, weights, dtype)
        classifier = Classifier(
            others["weight"], others.get("bias"), weights, others.get("teacher_weight"), others.get("teacher_bias")
        )
        return TokenBatch(xp, dtype, tokens, classifier, labels, counted, weight)

    def _shapes(self, name: str, xp: Namespace, prediction: Array, given: dict[str, Array]) -> contract.Shape:
        """The shape of the tokens, after checking that all arrays fit to each other."""
        features = sizes(prediction)
        if not features:
            raise ValueError(f"{name}: `prediction` holds features, (N, D) or (*, D); got a 0-d array")
        classes = _classifier(name, xp, given, "weight", "bias", "prediction", features)
        if classes == 1:
            raise ValueError(
                f"{name}: `weight` of shape {sizes(given['weight'])} has one class, and a softmax over it is 1 "
                "whatever the features; for one logit per sample use BCELoss"
            )
        if self.class_weight is not None and classes is not None and len(self.class_weight) != classes:
            raise ValueError(f"{name}: `class_weight` has {len(self.class_weight)} numbers for {classes} classes")
        if not contract.agree(sizes(given["target"]), features[:-1]):
            raise ValueError(
                f"{name}: `prediction` has shape {features} and `target` {sizes(given['target'])}; expected class "
                f"indices of shape {features[:-1]}"
            )
        if self.distillation:
            self._check_teacher(name, xp, given, features[:-1], classes)
        return features[:-1]

    def _check_teacher(
        self, name: str, xp: Namespace, given: dict[str, Array], tokens: contract.Shape, classes: int | None
    ) -> None:
        if "teacher_logits" in given:
            for other in ("teacher_features", "teacher_weight", "teacher_bias"):
                if other in given:
                    raise TypeError(f"{name}: pass `teacher_logits` or the teacher's features and weight; got both")
            teacher, width = "teacher_logits", classes
        else:
            contract.operands(name, tuple(given), given, needed=("teacher_features", "teacher_weight"))
            teacher, width = "teacher_features", sizes(given["teacher_features"])[-1]
            shape = sizes(given[teacher])
            own = _classifier(name, xp, given, "teacher_weight", "teacher_bias", teacher, shape)
            if not contract.agree((own,), (classes,)):
                raise ValueError(f"{name}: `weight` has {classes} classes and `teacher_weight` {own}")
        contract.compute_dtype(name, xp, given[teacher], teacher)
        if not contract.agree(sizes(given[teacher]), (*tokens, width)):
            raise ValueError(
                f"{name}: `{teacher}` has shape {sizes(given[teacher])}; expected one row per token, {(*tokens, width)}"
            )

    # --- evaluation ---------------------------------------------------------------------------------------------------

    def evaluate(self, batch: TokenBatch) -> Terms:
        losses = token_losses(self._formula(), batch.tokens, batch.classifier, self.chunk or 0, batch.dtype)
        flat = self._terms(batch, losses)
        values, counted, weight = (None if x is None else reshape_like(x, batch.places) for x in flat)
        return Terms(values, counted, weight)

    def summarize(self, batch: TokenBatch) -> Mean:
        xp = batch.xp
        ones = contract.cast(xp, xp.ones_like(batch.tokens.labels), batch.dtype)
        factor = ones if batch.weight is None else batch.weight
        factor = factor if batch.counted is None else xp.where(batch.counted, factor, 0.0)
        total = weighted_total(self._formula(), batch.tokens, batch.classifier, self.chunk or 0, batch.dtype, factor)
        return mean_statistics(self._terms(batch, ones), self.reduction)._replace(total=total)

    def _formula(self) -> Formula:
        return Formula(
            self.label_smoothing, self.gamma, self.z_loss, self.softcap or 0.0, self.distillation, self.temperature
        )

    def _terms(self, batch: TokenBatch, losses: Array) -> Terms:
        """The weighted losses of the tokens, whose class weights are in them already."""
        weights = batch.classifier.class_weight
        own = None if weights is None else lookup(weights, batch.tokens.labels)
        return weighted(batch.xp, losses, batch.counted, batch.weight, own)


def _rows(xp: Namespace, x: Array) -> Array:
    """(*, D) as (tokens, D)."""
    return xp.reshape(x, (-1, sizes(x)[-1]))


def _classifier(
    name: str, xp: Namespace, given: dict[str, Array], weight: str, bias: str, of: str, features: contract.Shape
) -> int | None:
    """The number of classes of a weight and bias that fit to the features."""
    shape = sizes(given[weight])
    contract.compute_dtype(name, xp, given[weight], weight)
    if len(shape) != 2 or not contract.agree(shape[1:], features[-1:]):
        raise ValueError(
            f"{name}: `{weight}` has shape {shape}; for `{of}` of shape {features} it must be (classes, {features[-1]})"
        )
    if bias in given and not contract.agree(sizes(given[bias]), shape[:1]):
        raise ValueError(f"{name}: `{bias}` has shape {sizes(given[bias])}; `{weight}` needs {shape[:1]}")
    return shape[0]
