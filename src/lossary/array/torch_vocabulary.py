"""Loss and gradient of a linear classifier in torch, chunk by chunk, with each gradient derived by hand.

Two operations that compilers leave as they are:

- `weighted_total` is Σ w_i·ℓ_i. Its gradient is known when a chunk's logits are there, but for the one factor that the
  backward pass brings, so it is computed with the value and multiplied by that factor later. Nothing is computed twice.
- `token_losses` is ℓ_i, token by token. What factor each token will meet is not known, so its backward pass computes
  the logits of each chunk again.

A gradient of the gradient differentiates the portable formula, which keeps all logits; so do `torch.func` and `vmap`.
"""

# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as xp
import torch
from torch import Tensor

from lossary.array import vocabulary
from lossary.array.primitives import focal, focal_slope
from lossary.array.vocabulary import Classifier, Formula, Tokens

LEARNED = (0, 3, 4)
"""Where features, weight and bias stand among the inputs of the operations, `Tokens` and `Classifier` in a row."""


def token_losses(options: Formula, tokens: Tokens, classifier: Classifier, chunk: int) -> Tensor:
    if _transformed():
        return _portable(options, *tokens, *classifier)
    return _losses(*tokens, *classifier, list(options), chunk)


def weighted_total(options: Formula, tokens: Tokens, classifier: Classifier, chunk: int, weight: Tensor) -> Tensor:
    if _transformed():
        return (weight * _portable(options, *tokens, *classifier)).sum()
    learned = (tokens.features, classifier.weight, classifier.bias)
    wanted = [torch.is_grad_enabled() and x is not None and x.requires_grad for x in learned]
    return _total(*tokens, *classifier, weight, list(options), chunk, wanted)[0]


def _transformed() -> bool:
    """Whether a transform of torch.func is at work (vmap, grad, …), into which an operation by hand does not fit."""
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore


def _compute_dtype(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _portable(options: Formula, *inputs: Any) -> Tensor:
    tokens, classifier = Tokens(*inputs[:3]), Classifier(*inputs[3:])
    with torch.autocast(tokens.features.device.type, enabled=False):
        return vocabulary.formula(options, tokens, classifier, _compute_dtype(tokens.features))


# --- one pass over the chunks ----------------------------------------------------------------------------------------


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""By features, weight and bias; None where it is not wanted."""


def _pass(
    options: Formula,
    tokens: Tokens,
    classifier: Classifier,
    chunk: int,
    factor: Tensor | None = None,
    wanted: Sequence[bool] = (False, False, False),
) -> tuple[Tensor, Gradients]:
    """The loss of each token, and the wanted gradients of Σ factor·loss."""
    dtype, chunk = _compute_dtype(tokens.features), vocabulary.chunk_size(chunk, classifier)
    count, (classes, width) = tokens.features.shape[0], classifier.weight.shape
    new = tokens.features.new_empty
    with torch.autocast(tokens.features.device.type, enabled=False):
        classifier = Classifier(*(None if x is None else x.to(dtype) for x in classifier))
        weight, bias = classifier.weight, classifier.bias
        values = new(count, dtype=dtype)
        of_features = new(count, width, dtype=dtype) if wanted[0] else None
        of_weight = torch.zeros_like(weight) if wanted[1] else None
        of_bias = torch.zeros_like(bias) if wanted[2] and bias is not None else None
        buffer = new(min(chunk, count), classes, dtype=dtype)
        for start in range(0, count, chunk):
            rows = slice(start, start + chunk)
            part = Tokens(*(None if x is None else x[rows] for x in tokens))
            features, z = part.features.to(dtype), buffer[: part.labels.shape[0]]
            torch.mm(features, weight.t(), out=z)
            if bias is not None:
                z += bias
            part_factor = factor[rows].to(dtype) if factor is not None and any(wanted) else None
            values[rows] = _chunk(options, part, classifier, z, part_factor)
            # with a factor, z has become the gradient by the logits
            if of_features is not None:
                torch.mm(z, weight, out=of_features[rows])
            if of_weight is not None:
                of_weight.addmm_(z.t(), features)
            if of_bias is not None:
                of_bias.add_(z.sum(0))
    return values, (of_features, of_weight, of_bias)


def _chunk(options: Formula, tokens: Tokens, classifier: Classifier, z: Tensor, factor: Tensor | None) -> Tensor:
    """The losses of a chunk with logits z. With a factor for each, z is overwritten by the gradient by the logits:

    a·([c = true] - p_c) for the true class, -b·(w_c/V - p_c·w̄) for the classes that smoothing adds,
    2·ζ·lse·p_c for the z-loss and s·T·(q_c - t_c) for the teacher, each times the slope of the softcap.
    """
    labels, classes = tokens.labels.long().unsqueeze(1), z.shape[1]
    cap_slope = teacher_slope = shares = None
    if options.softcap:
        z.div_(options.softcap).tanh_()
        cap_slope = None if factor is None else 1.0 - z * z
        z.mul_(options.softcap)
    z_true, top = z.gather(1, labels).squeeze(1), z.amax(1)
    hard = 1.0 - options.teaching
    divergence: Tensor | float = 0.0
    if options.teaching:
        divergence, teacher_slope = _teacher(options, tokens, classifier, z, factor)
    if options.smoothing:
        shares = z.new_full((), options.smoothing / classes).where(~z.isneginf(), 0.0)
        if classifier.class_weight is not None:
            shares *= classifier.class_weight
        mass = shares.sum(1)
        spread = (shares * torch.where(z.isneginf(), 0.0, z)).sum(1)
    z.sub_(top.unsqueeze(1)).exp_()
    norm = z.sum(1)
    log_norm = norm.log()
    lse, log_p = top + log_norm, (z_true - top) - log_norm
    weight = 1.0 if classifier.class_weight is None else classifier.class_weight[labels.squeeze(1)]
    weight = weight * hard * (1.0 - options.smoothing)
    values = weight * focal(xp, log_p, options.gamma) + options.z_loss * lse * lse
    if shares is not None:
        values += hard * (mass * lse - spread)  # pyright: ignore[reportPossiblyUnboundVariable]
    if options.teaching:
        values += options.teaching * divergence
    if factor is None:
        return values
    of_true = weight * focal_slope(xp, log_p, options.gamma) * factor
    of_all = 2.0 * options.z_loss * lse * factor - of_true
    if shares is not None:
        of_all = of_all + hard * mass * factor  # pyright: ignore[reportPossiblyUnboundVariable]
    z.mul_((of_all / norm).unsqueeze(1)).scatter_add_(1, labels, of_true.unsqueeze(1))
    if shares is not None:
        z.sub_(shares.mul_((hard * factor).unsqueeze(1)))
    if teacher_slope is not None:
        z.add_(teacher_slope)
    if cap_slope is not None:
        z.mul_(cap_slope)
    return values


def _teacher(
    options: Formula, tokens: Tokens, classifier: Classifier, z: Tensor, factor: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """T²·KL(t‖q) of each token and the gradient of its share by z."""
    t = options.temperature
    log_t = torch.log_softmax(vocabulary.teacher_logits(tokens, classifier, z.dtype) / t, 1)
    log_q = torch.log_softmax(z / t, 1)
    share = log_t.exp()
    divergence = t * t * (share * torch.where(log_t.isneginf(), 0.0, log_t - log_q)).sum(1)
    if factor is None:
        return divergence, None
    return divergence, log_q.exp_().sub_(share).mul_((options.teaching * t * factor).unsqueeze(1))


# --- the operations --------------------------------------------------------------------------------------------------


@torch.library.custom_op("lossary::linear_token_losses", mutates_args=())
def _losses(
    features: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    class_weight: Tensor | None,
    teacher_weight: Tensor | None,
    teacher_bias: Tensor | None,
    options: list[float],
    chunk: int,
) -> Tensor:
    tokens = Tokens(features, labels, teacher)
    classifier = Classifier(weight, bias, class_weight, teacher_weight, teacher_bias)
    return _pass(Formula(*options), tokens, classifier, chunk)[0]


@torch.library.custom_op("lossary::linear_token_gradients", mutates_args=())
def _gradients(
    features: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    class_weight: Tensor | None,
    teacher_weight: Tensor | None,
    teacher_bias: Tensor | None,
    factor: Tensor,
    options: list[float],
    chunk: int,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    tokens = Tokens(features, labels, teacher)
    classifier = Classifier(weight, bias, class_weight, teacher_weight, teacher_bias)
    return _or_empty(_pass(Formula(*options), tokens, classifier, chunk, factor, wanted)[1], features)


@torch.library.custom_op("lossary::linear_weighted_total", mutates_args=())
def _total(
    features: Tensor,
    labels: Tensor,
    teacher: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    class_weight: Tensor | None,
    teacher_weight: Tensor | None,
    teacher_bias: Tensor | None,
    factor: Tensor,
    options: list[float],
    chunk: int,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Σ factor·loss; the losses and the wanted gradients of the sum, which the backward pass multiplies."""
    tokens = Tokens(features, labels, teacher)
    classifier = Classifier(weight, bias, class_weight, teacher_weight, teacher_bias)
    values, gradients = _pass(Formula(*options), tokens, classifier, chunk, factor, wanted)
    return (values * factor).sum(), values, *_or_empty(gradients, features)


def _or_empty(gradients: Gradients, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An operation returns tensors: an empty one stands for a gradient that is not wanted."""
    a, b, c = (like.new_empty(0) if x is None else x for x in gradients)
    return a, b, c


@_losses.register_fake
def _(features: Tensor, *_: Any) -> Tensor:
    return features.new_empty(features.shape[0], dtype=_compute_dtype(features))


def _fake_gradients(inputs: Sequence[Any], wanted: Sequence[bool]) -> tuple[Tensor, Tensor, Tensor]:
    dtype = _compute_dtype(inputs[0])
    a, b, c = (
        inputs[i].new_empty(inputs[i].shape, dtype=dtype) if want else None
        for i, want in zip(LEARNED, wanted, strict=True)
    )
    return _or_empty((a, b, c), inputs[0])


@_gradients.register_fake
def _(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _fake_gradients(inputs, inputs[-1])


@_total.register_fake
def _(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    features, dtype = inputs[0], _compute_dtype(inputs[0])
    total, values = features.new_empty((), dtype=dtype), features.new_empty(features.shape[0], dtype=dtype)
    return total, values, *_fake_gradients(inputs, inputs[-1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    tensors = next(i for i, x in enumerate(inputs) if isinstance(x, list))  # options, chunk, … come after them
    ctx.options, ctx.chunk = inputs[tensors], inputs[tensors + 1]
    ctx.save_for_backward(*inputs[:tensors], *(() if isinstance(output, Tensor) else output[1:]))


def _placed(gradients: Sequence[Tensor | None], inputs: Sequence[Any]) -> list[Tensor | None]:
    """The gradients of all inputs of `Tokens` and `Classifier`, in their dtypes; empty ones were not wanted."""
    found: list[Tensor | None] = [None] * 8
    for i, gradient in zip(LEARNED, gradients, strict=True):
        if gradient is not None and inputs[i] is not None and gradient.shape == inputs[i].shape:
            found[i] = gradient.to(inputs[i].dtype)
    return found


def _again(ctx: Any, inputs: Sequence[Any], factor: Tensor) -> tuple[list[Tensor | None], Tensor]:
    """The gradients of Σ factor·loss as differentiable functions, by autograd of the portable formula, and the loss."""
    learned = [inputs[i] for i in LEARNED]
    losses = _portable(Formula(*ctx.options), *inputs)
    wanted = [x for x in learned if x is not None and x.requires_grad]
    # `factor` comes from above and may depend on the same tensors: it is no part of this derivative
    found = iter(torch.autograd.grad(losses, wanted, factor.expand_as(losses), create_graph=True) if wanted else ())
    gradients = [next(found) if x is not None and x.requires_grad else None for x in learned]
    return _placed(gradients, inputs), losses


def _losses_backward(ctx: Any, gradient: Tensor) -> Any:
    inputs = ctx.saved_tensors
    if torch.is_grad_enabled():
        return *_again(ctx, inputs, gradient)[0], None, None
    wanted = [ctx.needs_input_grad[i] for i in LEARNED]
    gradients = _gradients(*inputs, gradient, ctx.options, ctx.chunk, wanted)
    return *_placed(gradients, inputs), None, None


def _total_backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
    *inputs, factor, losses, of_features, of_weight, of_bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        gradients, losses = _again(ctx, inputs, gradient * factor)
    else:
        # the last backward pass through this graph may overwrite what was kept for it; another may come otherwise
        last = not (
            torch.compiler.is_compiling() or torch._C._autograd._get_current_graph_task_keep_graph()  # pyright: ignore
        )
        # they are outputs of an operation with a gradient, and would be returned as such
        kept = (of_features.detach(), of_weight.detach(), of_bias.detach())
        gradients = _placed([x.mul_(gradient) if last else x * gradient for x in kept], inputs)
    return *gradients, gradient * losses, None, None, None


_losses.register_autograd(_losses_backward, setup_context=_keep)
_total.register_autograd(_total_backward, setup_context=_keep)
