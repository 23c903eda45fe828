"""Binary Token Labels to the letter of their paper (arXiv 2409.03238), and what it leaves open.

The paper copies each batch once for each class, and does not say which columns compete in a copy,
what becomes of tokens of other classes, or whether a class without a token gets a copy.
`PaperBinaryTokenLabels` offers each reading; it computes one copy after another, on the logits of
one forward pass. With the batcher ``spacy-btl.OneClassBatches.v1`` each copy is a batch, and so a
forward pass and an optimizer step of its own, as the paper says. `training.binary_token_labels` is
the reading that serves best, in closed form.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
from spacy.tokens import Span
from spacy.training import Example
from spacy.training.batchers import configure_minibatch_by_words
from thinc.api import to_numpy

from ..data.label_sets import annotates
from ..labels.bio import OUTSIDE, Averaging, column_types
from ..util.arrays import Float64s1d, Float64s2d, Ints1d, XpArray
from ..util.checks import one_of
from .binary_token_labels import pair_probabilities
from .losses import Reduction, TokenLoss, agreeing, array_module, cross_entropy, divisor, softmax

Batcher: TypeAlias = Callable[[Iterable[Example]], Iterable[list[Example]]]
Classes = Literal["present", "all"]
OtherClasses = Literal["outside", "mask"]
Softmax = Literal["all", "pair"]
AbsentClasses = Literal["skip", "keep"]
CopiesFrom = Literal["loss", "batcher"]


class PaperBinaryTokenLabels(TokenLoss):
    """Binary Token Labels in every reading that the paper (arXiv 2409.03238) allows.

    A token whose document does not annotate a class is not in the copy of this class, and has no
    logits of it in the copies of others.

    Attributes:
        other_classes: In the copy of a class, tokens of other classes count as ``O`` ("outside") or
            are left out ("mask").
        softmax: In a copy, all columns compete ("all"), or only its own and ``O`` ("pair").
        absent_classes: Classes without a token in the batch get no copy ("skip"), or one of nothing
            but ``O`` ("keep").
        reduction: As in `BinaryTokenLabels`.
        copies_from: The copies are made by this loss from every batch ("loss"), or every batch is
            one copy already ("batcher"). Only the reading of "all" differs.
        seen: (3, n_labels) of the tokens of each label trained on so far: their number, the sum of
            their weights in the copies of their own class, and the sum of their weights as ``O``.
            None before the first batch; for "all" only.
        label_counts: (n_labels,) tokens of each label in the training data, set by `prepare`.
    """

    honors_label_sets = True
    counts_copies = True
    kept: ClassVar[Mapping[str, str]] = {
        **TokenLoss.kept,
        "seen": "float64",
        "label_counts": "float64",
    }

    def __init__(
        self,
        *,
        other_classes: OtherClasses = "outside",
        softmax: Softmax = "all",
        absent_classes: AbsentClasses = "skip",
        reduction: Reduction = "weights",
        copies_from: CopiesFrom = "loss",
    ) -> None:
        self.other_classes = one_of("other_classes", other_classes, get_args(OtherClasses))
        self.softmax = one_of("softmax", softmax, get_args(Softmax))
        self.absent_classes = one_of("absent_classes", absent_classes, get_args(AbsentClasses))
        self.reduction = one_of("reduction", reduction, get_args(Reduction))
        self.copies_from = one_of("copies_from", copies_from, get_args(CopiesFrom))
        self.seen: Float64s2d | None = None
        self.label_counts: Float64s1d | None = None

    def probabilities(self, logits: XpArray, lengths: Sequence[int] | None = None) -> XpArray:
        """Return the label probabilities (n_tokens, n_labels), without the prior of the copies.

        For true probabilities ``q`` and class weights ``w`` the loss is least where

        - "all": ``p(c) / p(O) = a_c q(c) / sum_y b_y q(y)``, with ``a_y`` and ``b_y`` the mean
          weight of a token of label ``y`` in the copy of its own class and as ``O``: all copies but
          one call a token of an entity ``O``. Both are known from training (`seen`), and the
          equation is solved for ``q``, which takes class weights and divisors out as well.
        - "pair" and "outside": ``p(c) / p(O) = w_c q(c) / (w_O (1 - q(class of c)))`` in the
          softmax of each class, read as by `BinaryTokenLabels`.
        - "pair" and "mask": ``p(c) / p(O) = w_c q(c) / (w_O q(O))``, the softmax of all columns.

        With "pair" and "skip" the odds of a class come out about ``1 / s`` times too high, where
        ``s`` is the share of all tokens that are in batches with this class; of tokens whose
        documents do not annotate the class none is counted.

        Where documents do not annotate all classes, ``b_y`` is a mean over documents with few and
        with many copies, so that the reading of "all" is no longer exact.

        Args:
            logits: Logits (n_tokens, n_labels).
            lengths: Not needed.
        """
        if self.softmax == "pair" and self.other_classes == "outside":
            return pair_probabilities(logits)
        if self.softmax == "pair" or self.seen is None:
            return softmax(logits)
        seen = self.seen
        if self.copies_from == "batcher" and self.label_counts is not None:
            seen = count_over_copies(seen, self.label_counts, self.other_classes == "mask")
        return remove_prior(logits, seen)

    def averaging(self, *, layered: bool) -> Averaging | None:
        """Return that of a softmax; None for "all", whose reading is another in each training."""
        if self.softmax == "all":
            return None
        return "pairs" if self.other_classes == "outside" else "softmax"

    def prepare(self, counts: Ints1d, names: Sequence[str]) -> None:
        """Take weights and counts from the training data, and forget what was `seen` before."""
        super().prepare(counts, names)
        self.seen = None
        self.label_counts = np.asarray(counts, dtype="float64")

    def add_columns(self, n: int) -> None:
        """Make room for further columns, of labels that no token has had so far."""
        super().add_columns(n)
        if self.seen is not None:
            self.seen = np.pad(self.seen, ((0, 0), (0, n)))
        if self.label_counts is not None:
            self.label_counts = np.pad(self.label_counts, (0, n))

    def _compute(
        self,
        logits: XpArray,
        labels: XpArray,
        weights: XpArray,
        annotated: XpArray | None = None,
    ) -> tuple[XpArray, XpArray]:
        xp, n_labels = array_module(logits), logits.shape[1]
        if annotated is not None:  # a column that a token knows nothing of does not compete
            is_unknown = agreeing(annotated)
            is_unknown[:, OUTSIDE] = False
            logits = xp.where(is_unknown, -xp.inf, logits)
        gradient, loss = xp.zeros_like(logits), 0.0
        seen = xp.zeros((3, n_labels))
        seen[0] = xp.bincount(labels, minlength=n_labels)
        types = xp.asarray(column_types(n_labels))
        for kind in range(n_labels // 2):
            is_own = types[labels] == kind
            if self.absent_classes == "skip" and not is_own.any():
                continue
            takes_part = is_own | (labels == OUTSIDE) | (self.other_classes == "outside")
            if annotated is not None:
                takes_part &= annotated[:, kind]
            rows = xp.flatnonzero(takes_part)
            targets = xp.where(is_own, labels, OUTSIDE)[rows]
            scale = self._scale(targets, weights)
            columns = xp.arange(n_labels)
            if self.softmax == "pair":
                columns = xp.asarray([OUTSIDE, 1 + 2 * kind, 2 + 2 * kind])
            places = xp.searchsorted(columns, targets)
            at = (rows[:, None], columns)
            of_copy, part = cross_entropy(logits[at], places, scale)
            gradient[at] += of_copy
            loss = loss + part
            for i, mask in ((1, is_own[rows]), (2, ~is_own[rows])):
                seen[i] += xp.bincount(labels[rows], scale * mask, minlength=n_labels)
        if self.softmax == "all":
            batch = to_numpy(seen)  # type: ignore[no-untyped-call]
            self.seen = batch if self.seen is None else self.seen + batch
        return gradient, loss

    def _scale(self, targets: XpArray, weights: XpArray) -> XpArray:
        """Return the weight of each token in one copy (n_tokens,), divided by the divisor.

        Args:
            targets: (n_tokens,) labels in this copy.
            weights: (n_labels,) class weights, which "copy" replaces by those of this copy.
        """
        weighting = self._counted_anew()
        if weighting is not None and weighting.counted_on == "copy":
            counts = array_module(targets).bincount(targets, minlength=len(weights))
            weights = weighting.from_counts(counts).astype(weights.dtype)
        scale = weights[targets]
        return scale / divisor(self.reduction, scale.sum(), len(targets))


def remove_prior(logits: XpArray, seen: Float64s2d) -> XpArray:
    """Return the probabilities ``q`` (n_tokens, n_labels), see `PaperBinaryTokenLabels`.

    Args:
        logits: (n_tokens, n_labels)
        seen: (3, n_labels) as `PaperBinaryTokenLabels` keeps it.
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
    b_of_entities = xp.asarray(b[1:] / max(b[0], least), dtype=logits.dtype)
    # With Z = sum_y b_y q(y) / b_O: q(c) = Z r_c, and q(O) = Z (1 - sum_c b_c / b_O r_c).
    log_r = logits[:, 1:] - logits[:, :1] - log_a[1:]
    result[:, 1:] = xp.exp(xp.clip(log_r, -60.0, 60.0))
    result[:, 0] = xp.maximum(1.0 - result[:, 1:] @ b_of_entities, 0.0)
    result /= result.sum(axis=1, keepdims=True)
    return result


def count_over_copies(seen: Float64s2d, label_counts: Float64s1d, mask_others: bool) -> Float64s2d:
    """Return what was seen in all copies together (3, n_labels), if every batch was one copy.

    A token that a copy calls ``O`` may be of any class. Each token of the data is shown about as
    often as any other, so a label with ``n`` of ``N`` tokens was shown ``n / N`` of all times, and
    as ``O`` whenever it was not shown as itself.

    Args:
        seen: (3, n_labels) as `PaperBinaryTokenLabels` keeps it.
        label_counts: (n_labels,) tokens of each label in the data.
        mask_others: Whether a copy leaves the tokens of other classes out.
    """
    tokens, own, as_outside = seen
    shown = label_counts / max(label_counts.sum(), 1.0) * tokens.sum()
    shown_as_outside = np.maximum(shown - tokens, 0.0)
    if mask_others:
        shown_as_outside[:] = 0.0
        shown[OUTSIDE] = tokens[OUTSIDE]
    shown_as_outside[OUTSIDE] = shown[OUTSIDE]
    per_token = as_outside[OUTSIDE] / max(tokens[OUTSIDE], 1.0)
    return np.stack((label_counts, own, shown_as_outside * per_token))


def make_one_class_batches(
    *,
    batcher: Batcher | None = None,
    classes: Classes = "present",
    other_classes: OtherClasses = "outside",
    labels: list[str] | None = None,
) -> Batcher:
    """Return a batcher that makes each copy of Binary Token Labels an optimizer step of its own.

    Use it in ``[training.batcher]`` with ``PaperBinaryTokenLabels`` (``absent_classes = "skip"``,
    ``copies_from = "batcher"``) or ``BinaryTokenLabels``. Sizes are those of the batches before
    they are copied.

    Args:
        batcher: Makes the batches that are copied; any of spaCy's. None for about 500 words each.
        classes: A copy for each class in the batch ("present"; a batch without an entity gives
            none), or for each class ("all"; in the copy of a class that the batch does not have,
            everything is ``O``).
        other_classes: In a copy, tokens of other classes are ``O`` ("outside"), or have no label
            ("mask"; spaCy takes white space without a label for ``O`` even so).
        labels: All classes, in the order of their copies; None for those of the data, sorted.

    Raises:
        ValueError: If a setting is unknown.
    """
    if batcher is None:
        batcher = configure_minibatch_by_words(size=500, tolerance=0.5, discard_oversize=False)
    return partial(
        one_class_batches,
        batcher=batcher,
        classes=one_of("classes", classes, get_args(Classes)),
        other_classes=one_of("other_classes", other_classes, get_args(OtherClasses)),
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
    """Yield the copies of each batch, one for each class, in the order of the labels.

    The examples are not changed, and no two copies share a document. A copy has no document that
    does not annotate its class.

    Args:
        examples: The training data.
        batcher: As for `make_one_class_batches`, like all that follows.
        classes: "present" or "all".
        other_classes: "outside" or "mask".
        labels: All classes.

    Raises:
        ValueError: If an entity has another label than ``labels``, if "all" meets a stream without
            ``labels``, or if no example has an entity (training would never end).
    """
    if classes == "all" and labels is None:
        if not isinstance(examples, Sequence):
            raise ValueError(
                'classes = "all" needs all labels, which are unknown at the start of a stream '
                "(max_epochs = -1): set the labels of the batcher"
            )
        labels = sorted({label for eg in examples for label in _labels(eg.get_aligned_ner())})
    is_empty, is_copied = True, False
    for batch in batcher(examples):
        is_empty = False
        tags = [example.get_aligned_ner() for example in batch]
        present = {label for each in tags for label in _labels(each)}
        if labels is not None and (unknown := present - set(labels)):
            raise ValueError(
                f"the labels of the batcher are {', '.join(labels)}, but the data also have "
                f"{', '.join(sorted(unknown))}"
            )
        for label in sorted(present) if labels is None else labels:
            if classes == "all" or label in present:
                copies = [
                    _one_class(example, aligned, label, other_classes)
                    for example, aligned in zip(batch, tags, strict=True)
                    if annotates(example.reference, label)
                ]
                if copies:
                    is_copied = True
                    yield copies
    if not (is_empty or is_copied):
        raise ValueError(
            "no example has an entity in doc.ents, so there are no classes to make copies for"
        )


def _labels(tags: Iterable[str | None]) -> set[str]:
    """Return the entity classes in aligned tags such as ``U-Dosage``."""
    return {tag[2:] for tag in tags if tag not in (None, "O", "-")}


def _one_class(
    example: Example, tags: Sequence[str | None], label: str, other_classes: OtherClasses
) -> Example:
    """Return a copy of the example whose gold has the entities of one class only.

    Args:
        example: The example to copy.
        tags: The aligned gold labels on the tokens of the prediction.
        label: The class.
        other_classes: As for `make_one_class_batches`.
    """
    reference = example.reference.copy()
    tokens = example.alignment.y2x
    outside: list[Span] = []
    missing: list[Span] = []
    for ent in reference.ents:
        if ent.label_ != label:
            # An entity that does not fit the tokens of the prediction has no label there.
            fits = all(tags[i] is not None for i in tokens[ent.start : ent.end])
            (outside if fits and other_classes == "outside" else missing).append(ent)
    reference.set_ents([], outside=outside, missing=missing, default="unmodified")
    return Example(example.predicted.copy(), reference)
