"""The copies of Binary Token Labels as batches of their own: the method to the letter.

`BinaryTokenLabels` sums the copies of a batch into one optimizer step. Here each
copy is a batch, and so a step of its own under a plain ``spacy train``: with K entity classes in a
batch, K forward passes and K updates. The losses that learn from such a copy what the summed loss
takes from it are `AllTokenLabels` (all columns compete: ``softmax = "all"``) and
`BinaryTokenLabels` with ``softmax = "pair"`` and ``absent_classes = "skip"``, which finds one class
present and so makes exactly one copy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
from spacy.tokens import Span
from spacy.training import Example
from spacy.training.batchers import configure_minibatch_by_words

from ..labels.bio import OUTSIDE
from .losses import Array, array_module, softmax

# --- from losses_prior


def without_prior(logits: Array, seen: Array) -> Array:
    """The probabilities ``q`` (n_tokens, n_labels).

    seen: (3, n_labels) for the tokens trained on of each label their number, the sum of what they
    counted for in the copy of their own type, and the sum of what they counted for as ``O``.
    """
    xp = array_module(logits)
    result = softmax(logits)
    if not seen[1:].any():
        return result
    tokens, own, as_outside = seen
    n = np.maximum(tokens, 1.0)
    a = np.where(tokens > 0, own / n, own.sum() / max(tokens[1:].sum(), 1.0))
    b = np.where(tokens > 0, as_outside / n, as_outside.sum() / tokens.sum())
    least = 1e-6 * max(a.max(), b.max())  # a label may weigh nothing
    log_a = xp.asarray(np.log(np.maximum(a, least) / max(b[0], least)), dtype=logits.dtype)
    b_of_type = xp.asarray(b[1:] / max(b[0], least), dtype=logits.dtype)
    # With Z = sum_y b_y q(y) / b_O: q(c) = Z r_c, and q(O) = Z (1 - sum_c b_c / b_O r_c).
    log_r = logits[:, 1:] - logits[:, :1] - log_a[1:]
    result[:, 1:] = xp.exp(xp.clip(log_r, -60.0, 60.0))
    result[:, 0] = xp.maximum(1.0 - result[:, 1:] @ b_of_type, 0.0)
    result /= result.sum(axis=1, keepdims=True)
    return result


def seen_over_copies(seen: Array, label_counts: Array, mask_others: bool) -> Array:
    """What was ``seen`` if every batch was one copy, put together to what all copies showed.

    A token that a copy calls ``O`` may be of any type. Each token of the data is shown about as
    often as any other, so a label with ``n`` of ``N`` tokens was shown ``n / N`` of all times, and
    as ``O`` whenever it was not shown as itself.

    seen: as in `without_prior`. label_counts: (n_labels,) tokens of each label in the data.
    mask_others: a copy shows no token of another type at all.
    """
    tokens, own, as_outside = seen
    shown = label_counts / max(label_counts.sum(), 1.0) * tokens.sum()
    told_outside = np.maximum(shown - tokens, 0.0)
    if mask_others:
        told_outside[:] = 0.0
        shown[OUTSIDE] = tokens[OUTSIDE]
    told_outside[OUTSIDE] = shown[OUTSIDE]
    per_token = as_outside[OUTSIDE] / max(tokens[OUTSIDE], 1.0)
    return np.stack((label_counts, own, told_outside * per_token))


# --- from batcher

Batcher = Callable[[Iterable[Example]], Iterable[list[Example]]]
Classes = Literal["present", "all"]
OtherClasses = Literal["outside", "mask"]


def make_one_class_batches(
    *,
    batcher: Batcher | None = None,
    classes: Classes = "present",
    other_classes: OtherClasses = "outside",
    labels: list[str] | None = None,
) -> Batcher:
    """The registered form ``spacy-btl.OneClassBatches.v1``, for ``[training.batcher]``.

    batcher: makes the batches that are copied, any of spaCy's; None for batches of about 500
        words.
    classes: a copy for each class in the batch ("present"; a batch without an entity gives none),
        or for each of all classes ("all"; a copy of a class that the batch has not is all ``O``,
        from which `AllTokenLabels` learns and `BinaryTokenLabels` with "skip" does not).
    other_classes: in a copy, tokens of other classes are ``O`` ("outside") or without a label
        ("mask"; spaCy takes white space without a label for ``O`` even so).
    labels: all classes, in the order of their copies; None for those of the data, sorted.

    Sizes are those of the batches before they are copied.
    """
    if classes not in ("present", "all"):
        raise ValueError(f'classes is "{classes}", but must be present or all')
    if other_classes not in ("outside", "mask"):
        raise ValueError(f'other_classes is "{other_classes}", but must be outside or mask')
    if batcher is None:
        batcher = configure_minibatch_by_words(size=500, tolerance=0.5, discard_oversize=False)
    return partial(
        one_class_batches,
        batcher=batcher,
        classes=classes,
        other_classes=other_classes,
        labels=labels,
    )


def one_class_batches(
    examples: Iterable[Example],
    *,
    batcher: Batcher,
    classes: Classes,
    other_classes: OtherClasses,
    labels: Sequence[str] | None,
) -> Iterator[list[Example]]:
    """Each batch once for each class, its copies one after another in the order of the labels.

    The examples themselves stay as they are; a copy shares no document with them or with another
    copy. Raises ValueError for an entity whose label is none of ``labels``, where "all" meets a
    stream without ``labels``, and where no example has an entity (training would never end).
    """
    if classes == "all" and labels is None:
        if not isinstance(examples, Sequence):
            raise ValueError(
                'classes = "all" needs to know the labels, and a stream (max_epochs = -1) does not '
                "tell them beforehand: set the labels of the batcher"
            )
        labels = sorted({label for eg in examples for label in _labels(eg.get_aligned_ner())})
    is_empty, is_copied = True, False
    for batch in batcher(examples):
        is_empty = False
        tags = [example.get_aligned_ner() for example in batch]
        present = {label for each in tags for label in _labels(each)}
        if labels is not None and (unknown := present - set(labels)):
            raise ValueError(
                f"the labels of the batcher are {', '.join(labels)}, but the data have "
                f"{', '.join(sorted(unknown))} too"
            )
        for label in sorted(present) if labels is None else labels:
            if classes == "all" or label in present:
                is_copied = True
                yield [
                    _one_class(example, aligned, label, other_classes)
                    for example, aligned in zip(batch, tags, strict=True)
                ]
    if not (is_empty or is_copied):
        raise ValueError("no example has an entity in doc.ents, so there is no class to copy for")


def _labels(tags: Iterable[str | None]) -> set[str]:
    """Entity classes in aligned tags such as ``U-Dosage``."""
    return {tag[2:] for tag in tags if tag not in (None, "O", "-")}


def _one_class(
    example: Example, tags: Sequence[str | None], label: str, other_classes: OtherClasses
) -> Example:
    """A copy of the example whose gold holds the entities of one class only.

    tags: the aligned gold labels on the tokens of the prediction.
    """
    reference = example.reference.copy()
    tokens = example.alignment.y2x
    outside: list[Span] = []
    missing: list[Span] = []
    for ent in reference.ents:
        if ent.label_ != label:
            # What does not fit the tokens of the prediction has no label there, and keeps none.
            fits = all(tags[i] is not None for i in tokens[ent.start : ent.end])
            (outside if fits and other_classes == "outside" else missing).append(ent)
    reference.set_ents([], outside=outside, missing=missing, default="unmodified")
    return Example(example.predicted.copy(), reference)
