"""Rehearsal: pull a model back to the output of a frozen copy, against catastrophic forgetting.

As in spaCy's ``nlp.rehearse``: documents without labels are enough, since the frozen copy says what
to remember.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from thinc.api import Model, set_dropout_rate
from thinc.types import Floats2d

from ..ml.shared_encoder import has_listener
from ..ml.token_classifier import check_trainable
from ..ml.weights import AnyModel
from ..util.arrays import XpArray
from .losses import UpdateRule

Input = TypeVar("Input")


def check_rehearsable(model: AnyModel, name: str) -> None:
    """Raise ValueError if a model cannot be rehearsed; ``name`` is its component."""
    check_trainable(model, name)
    if has_listener(model):
        raise ValueError(
            f'"{name}" cannot be rehearsed on the token vectors of a shared encoder: '
            f'nlp.replace_listeners gives it a copy, nlp.rehearse(exclude=["{name}"]) leaves it out'
        )


def rehearse(
    model: Model[list[Input], list[Floats2d]],
    frozen: Model[list[Input], list[Floats2d]],
    inputs: Sequence[Input],
    *,
    dropout: float,
    sgd: UpdateRule | None,
) -> float:
    """Take one step towards the output of the frozen copy.

    Half the squared distance of the logits, averaged over the tokens, is minimized. Columns that
    the frozen copy does not have are left alone.

    Args:
        model: The model to change.
        frozen: A copy of it from an earlier time.
        inputs: Documents; at least one of them with a token.
        dropout: Dropout rate of the step.
        sgd: Takes key, weights and gradient; None to leave the gradients with the model.

    Returns:
        The loss before the step.
    """
    set_dropout_rate(model, dropout)
    logits, backprop = model.begin_update(list(inputs))
    ops: Any = model.ops  # whose types want an array where a list will do
    lengths = [len(part) for part in logits]
    target, off = ops.flatten(frozen.predict(list(inputs))), ops.flatten(logits).copy()
    off[:, : target.shape[1]] -= target
    off[:, target.shape[1] :] = 0
    backprop(ops.unflatten(off / len(off), lengths))
    if sgd is not None:
        apply = sgd

        def hand_over(
            key: tuple[int, str], weights: XpArray, gradient: XpArray
        ) -> tuple[XpArray, XpArray]:
            # nlp.rehearse applies the gradients later, when torch has set its own to 0: it gets a
            # copy. Those of Thinc's layers are set to 0 by the optimizer only, which does not see
            # them here; otherwise the next step would be taken along their sum.
            copy = gradient.copy()
            gradient.fill(0)
            return apply(key, weights, copy)

        model.finish_update(hand_over)  # type: ignore[arg-type]
    return float((off**2).sum()) / (2 * len(off))
