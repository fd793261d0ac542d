"""Sequences: losses of transcripts, whose length is not that of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lossary.array import alignments
from lossary.array.namespace import Array, Namespace, convert, eager
from lossary.array.primitives import length, log_softmax, sizes
from lossary.core import contract
from lossary.core.families.elements import both, rank, weighted
from lossary.core.families.sequence import Alignable, AlignmentLoss, SequenceLoss
from lossary.core.loss import loss
from lossary.core.options import option
from lossary.core.reduction import Terms


@loss(
    "Graves et al. 2006, Connectionist Temporal Classification, eq. 8 and section 4.1",
    aliases=("connectionist_temporal_classification",),
    surveys=("S4",),
)
class CTCLoss(AlignmentLoss):
    r"""Connectionist temporal classification: the target read off the frames, wherever its labels stand.

    $$\ell = -\ln \sum_{\pi:\, \mathcal{B}(\pi) = y} \; \prod_{t=1}^{T} p_t(\pi_t)$$

    𝓑 takes a path, one class for each frame, to what it says: repeated classes become one, then blanks are dropped.

    Use it where input and transcript run in the same order but nobody has said which frame belongs to which label:
    handwriting, speech. It takes the frames for independent of one another given the input; where the output should
    model language too, take `RNNTLoss` or an encoder with attention. A target needs as many frames as it has labels,
    and one more for each label that follows its equal; a sequence with fewer is left out of the mean, and `infeasible`
    says which. The gradient is that by the logits, and derivatives of every order are right.

    Args:
        blank: the class of the blank, -1 for the last one.
        ignore_index: a label that is padding behind the target.
        normalizer: what the mean counts: `"sequences"`, or the `"tokens"` of their targets.

    Shapes: prediction (N, T, C), target (N, S) or (Σ S_n,), lengths and target_lengths (N,), integers; the unreduced
    loss, `mask` and `sample_weight` are (N,). Of one sequence alone, as `vmap` has it: (T, C), (S,), and scalars.
    Logits are made log-probabilities here; those of a `log_softmax` may be passed too and stay as they are.

    Elsewhere: `torch.nn.functional.ctc_loss(log_p.transpose(0, 1), …, zero_infinity=True)` gives the same values with
    `reduction="none"` and `"sum"`. Its "mean" divides every loss by the length of its target (at least 1) and counts
    impossible sequences too: pass `sample_weight=1 / target_lengths` for the first. `optax.ctc_loss` and
    `tf.nn.ctc_loss(logits_time_major=False, blank_index=0)` agree where a target is possible; where none is, theirs are
    large numbers or infinite. `keras.losses.CTC` takes 0 for the blank and for padding:
    `lossary.keras.KerasLoss(CTCLoss(ignore_index=0))`.

    >>> import numpy as np, lossary
    >>> loss, logits = lossary.CTCLoss(), np.zeros((1, 2, 3))  # nine paths of two frames, equally likely
    >>> round(float(np.exp(-loss(logits, np.array([[1]])))), 4) == round(3 / 9, 4)  # 11, 1-, -1
    True
    """

    def log_likelihood(self, batch: Alignable) -> Array:
        return alignments.ctc(*batch[1:6])


@loss(
    "Graves 2012, Sequence Transduction with Recurrent Neural Networks, eq. 16 to 18",
    arxiv="1211.3711",
    aliases=("rnnt", "rnn_t", "transducer"),
)
class RNNTLoss(AlignmentLoss):
    r"""The transducer's loss: after each frame and each label so far, either the next label or on to the next frame.

    $$\ell = -\ln \alpha(T, U)\, \varnothing(T, U), \qquad
    \alpha(t, u) = \alpha(t-1, u)\, \varnothing(t-1, u) + \alpha(t, u-1)\, y(t, u-1)$$

    ∅(t, u) is the probability of the blank at frame t after u labels, y(t, u) that of label u + 1.

    Use it for streaming recognition: it models what follows what, as CTC does not, and several labels may fall on one
    frame. It costs a score for each frame, each place in the target and each class; where memory is short, `CTCLoss`
    needs a share of 1/(U + 1). Every target is possible, however short the input, if there is a frame at all.

    Args:
        blank: the class of the blank, which moves on by a frame; -1 for the last one.
        ignore_index: a label that is padding behind the target.
        normalizer: what the mean counts: `"sequences"`, or the `"tokens"` of their targets.

    Shapes: prediction (N, T, U + 1, C), target (N, U) or (Σ U_n,), lengths and target_lengths (N,), integers; the
    unreduced loss, `mask` and `sample_weight` are (N,). Of one sequence alone: (T, U + 1, C), (U,), and scalars.

    Elsewhere: `torchaudio.functional.rnnt_loss(logits, targets, lengths, target_lengths, blank=0)` gives the same
    number; its blank is the last class by default (`blank=-1` here), its targets must be int32. `warp-transducer` takes
    log-probabilities on a CPU and logits on a GPU.

    >>> import numpy as np, lossary
    >>> logits, target = np.zeros((1, 2, 2, 4)), np.array([[3]])  # two frames, one label: two paths of three steps
    >>> round(float(np.exp(-lossary.RNNTLoss()(logits, target))), 6) == 2 / 4**3
    True
    """

    frame_axes = 2

    def log_likelihood(self, batch: Alignable) -> Array:
        return alignments.transducer(*batch[1:6])

    def _places(self, scores: Array) -> Any:
        return length(scores, 2) - 1

    def _check_target(self, scores: Array, target: Array) -> None:
        super()._check_target(scores, target)
        found, labels = sizes(scores)[2], sizes(target)[1]
        if found is not None and labels is not None and found != labels + 1:
            raise ValueError(
                f"{type(self).__name__}: `prediction` has {found} places on its third axis and `target` {labels} "
                f"labels; there must be one place more than labels, {labels + 1}"
            )


class Hypotheses(NamedTuple):
    """A prepared batch: scores and distances of the hypotheses of each sequence."""

    xp: Namespace
    scores: Array  # (..., K), finite
    distances: Array
    present: Array  # whether there is such a hypothesis
    counted: Array | None
    weight: Array | None


@loss(
    "Prabhavalkar et al. 2018, Minimum Word Error Rate Training for Attention-based Models, eq. 9 and 10",
    arxiv="1712.01818",
    aliases=("mwer", "minimum_word_error_rate", "expected_risk", "edit_loss"),
    surveys=("S4",),
    span=(float("-inf"), float("inf")),
)
class ExpectedEditDistanceLoss(SequenceLoss):
    r"""The edit distance one may expect of a model, over its best hypotheses: what it is judged by, made trainable.

    $$\ell = \sum_{k} \hat{p}_k \, (d_k - \bar{d}), \qquad
    \hat{p}_k = \frac{p(h_k \mid x)}{\sum_j p(h_j \mid x)}, \quad \bar{d} = \frac{1}{K} \sum_k d_k$$

    d is the number of edits between hypothesis and truth. An edit distance itself has no gradient: this is the form of
    it that has one, by the probabilities of the hypotheses.

    Use it to fine-tune a model that cross entropy, `CTCLoss` or `RNNTLoss` has trained already: hypotheses of an
    untrained model are all equally bad, and there is nothing to prefer. Mix in some of the first loss to keep the model
    from forgetting. Hypotheses must differ, as those of a beam do; of samples keep each once. The mean distance d̄ is
    a constant to the gradient, for the p̂ add up to 1: it moves the value so that below 0 is better than the average
    hypothesis. Alone it is blind to whatever is in no hypothesis.

    Args:
        subtract_mean: whether d̄ is subtracted; without it the value is the expected number of edits.

    Shapes: prediction (N, K), the log-probability of each hypothesis as a whole (the sum over its labels, or minus the
    unreduced `CTCLoss`), -inf where a sequence has fewer than K. The target is either the distances (N, K), as
    `lossary.text.edit_distance(…, normalize=False)` gives them, or the true labels (N, S): then pass `hypotheses`
    (N, K, L) with `hypothesis_lengths` (N, K) and `target_lengths` (N,), and the distances are counted here, on the
    host, which compiled code cannot do. The unreduced loss, `mask` and `sample_weight` are (N,).

    Elsewhere: none of torch, optax and Keras has it. The MWER loss of k2 takes its hypotheses from lattices.

    >>> import numpy as np, lossary
    >>> log_p, edits = np.log([[0.6, 0.2]]), np.array([[0, 2]])  # p̂ = .75, .25
    >>> round(float(lossary.ExpectedEditDistanceLoss(subtract_mean=False)(log_p, edits)), 6)
    0.5
    >>> truth, read = np.array([[7, 8]]), np.array([[[7, 8], [8, 7]]])
    >>> round(float(lossary.ExpectedEditDistanceLoss(subtract_mean=False)(log_p, truth, hypotheses=read)), 6)
    0.5
    """

    operands = ("hypotheses", "hypothesis_lengths", "target_lengths")
    optional = operands

    subtract_mean: bool = option(default=True)

    def encode(self, given: contract.Arguments) -> Hypotheses:
        name, xp, prediction, others = given.name, given.xp, given.prediction, given.others
        operands = {argument: x for argument, x in others.items() if argument in self.operands}
        contract.operands(name, self.operands, operands, needed=("hypotheses",) if operands else ())  # lengths of what?
        if rank(prediction) not in (1, 2):
            raise ValueError(f"{name}: `prediction` has shape {sizes(prediction)}; expected (N, K), a score each")
        distances = given.target
        if "hypotheses" in others:
            distances = convert(_edit_distances(name, others), prediction)
        contract.same_shape(name, prediction, distances, "target" if "hypotheses" not in others else "hypotheses")
        counted, weight = given.places(sizes(prediction)[:-1])
        scores = contract.cast(xp, prediction, given.dtype)
        present = scores != float("-inf")
        if counted is not None:
            present = xp.logical_and(present, xp.expand_dims(counted, axis=-1))
        distances = xp.where(present, contract.cast(xp, distances, given.dtype), 0.0)
        counted = both(xp, counted, xp.any(present, axis=-1))
        return Hypotheses(xp, xp.where(present, scores, 0.0), distances, present, counted, weight)

    def evaluate(self, batch: Hypotheses) -> Terms:
        xp, distances, present = batch.xp, batch.distances, batch.present
        some = xp.astype(present, distances.dtype)
        # a hypothesis that is not there is an impossible class; where there is none at all, any number will do
        possible = xp.logical_or(present, xp.expand_dims(xp.logical_not(xp.any(present, axis=-1)), axis=-1))
        p = xp.exp(log_softmax(xp.where(possible, batch.scores, alignments.IMPOSSIBLE), rank(distances) - 1))
        values = xp.sum(p * distances, axis=-1)
        if self.subtract_mean:
            count = xp.sum(some, axis=-1)
            values = values - xp.sum(distances, axis=-1) / xp.where(count > 0, count, 1.0)
        return weighted(xp, values, batch.counted, batch.weight)


def _edit_distances(name: str, others: Mapping[str, Array]) -> Array:
    """The distance of each hypothesis (N, K, L) to the labels (N, S) of its row."""
    tokens = [others[argument] for argument in ("target", *ExpectedEditDistanceLoss.operands) if argument in others]
    if not all(eager(x) for x in tokens):
        raise TypeError(
            f"{name}: edit distances are counted on the host, which compiled code cannot do; pass them as the target: "
            "`lossary.text.edit_distance(..., normalize=False)`"
        )
    from lossary import text

    return text.hypothesis_distances(
        others["hypotheses"],
        others["target"],
        hypothesis_lengths=others.get("hypothesis_lengths"),
        truth_lengths=others.get("target_lengths"),
    )
