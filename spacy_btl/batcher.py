"""The copies of Binary Token Labels as batches of their own: the method to the letter.

`spacy_btl.losses.BinaryTokenLabels` sums the copies of a batch into one optimizer step. Here each
copy is a batch, and so a step of its own under a plain ``spacy train``: with K entity classes in a
batch, K forward passes and K updates. The losses that learn from such a copy what the summed loss
takes from it are `AllTokenLabels` (all columns compete: ``softmax = "all"``) and
`BinaryTokenLabels` with ``softmax = "pair"`` and ``absent_classes = "skip"``, which finds one class
present and so makes exactly one copy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

from spacy.tokens import Span
from spacy.training import Example
from spacy.training.batchers import configure_minibatch_by_words

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
