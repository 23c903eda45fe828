"""The model of the component: an encoder and one linear layer; or several of them.

An ensemble (`build_ensemble`) has the same two parts: all encoders beside each other, whose vectors
are put together, and a last layer that gives each its own share and averages the logits.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d

from ..labels.bio import AVERAGINGS, Averaging, average_logits
from ..util.arrays import Float32s2d, Ints1d
from ..util.checks import one_of, whole_number

TokenVectors: TypeAlias = list[Floats2d]
"""One array (n_tokens, width) for each document, of numpy or of cupy."""
TokenModel: TypeAlias = Model[list[Doc], TokenVectors]
"""A layer from documents to token vectors: an encoder, or an encoder with its head."""


MARGIN = 6.0
"""Distance of a new column's logit below that of ``O``: a probability of about e^-6."""

AVERAGED = "averaging"
"""The attribute of an ensemble's last layer that says how logits are averaged."""


def build_token_classifier(tok2vec: TokenModel, nO: int | None = None) -> TokenModel:
    """Return a model from documents to the logits of their tokens, with one linear layer.

    ``[training] dropout`` applies to the token vectors before the linear layer.

    Args:
        tok2vec: Any layer from documents to token vectors: ``spacy-btl.TransformerModel.v1``,
            ``spacy.HashEmbedCNN.v2``, ``spacy.Tok2Vec.v2``, or a listener to a component that
            shares its encoder (``spacy-transformers.TransformerListener.v1``).
        nO: Number of columns of the logits; None for what the component sets at initialization.

    Returns:
        A model whose output has shape (n_tokens, nO) for each document.

    Raises:
        ValueError: If nO is below 1.
    """
    if nO is not None:
        whole_number("nO", nO, 1)
    linear: Model[Floats2d, Floats2d] = Linear(nO=nO)
    head = cast(Model[Floats2d, Floats2d], chain(Dropout(), linear))
    model: TokenModel = chain(tok2vec, with_array(head))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", linear)
    return model


def build_ensemble(*members: TokenModel, averaging: Averaging) -> TokenModel:
    """Return a model that averages the label probabilities of several trained models.

    It is for prediction only. ``spacy btl ensemble`` makes one of trained pipelines and chooses
    ``averaging`` by their loss.

    Args:
        members: Models of ``spacy-btl.TokenClassifier.v1`` or alike with the same columns, each in
            a block of its own, ``[components.NAME.model.*.MEMBER]``.
        averaging: How their loss reads logits: "softmax" over all columns; "pairs" of one type with
            ``O``, or "layers" where entities overlap; "scores" of label sequences (a CRF).

    Returns:
        A model whose "tok2vec" gives the vectors of all members beside each other.

    Raises:
        ValueError: If there is no member, or one lacks the two layers.
    """
    one_of("averaging", averaging, AVERAGINGS)
    if not members:
        raise ValueError("an ensemble has no member: name models in blocks [....model.*.MEMBER]")
    for number, member in enumerate(members, 1):
        check_parts(member, f"member {number}")
    parts = {
        ref: [member.get_ref(ref) for member in members] for ref in ("tok2vec", "output_layer")
    }
    vectors: TokenModel = Model(
        "btl_members", _members_forward, layers=parts["tok2vec"], dims={"nO": None}
    )
    average: Model[Floats2d, Floats2d] = Model(
        "btl_average",
        _average_forward,
        layers=parts["output_layer"],
        dims={"nI": None, "nO": None},
        attrs={AVERAGED: averaging},
    )
    head = cast(Model[Floats2d, Floats2d], chain(Dropout(), average))
    model: TokenModel = chain(vectors, with_array(head))
    model.set_ref("tok2vec", vectors)
    model.set_ref("output_layer", average)
    return model


def fill_ensemble(model: TokenModel, sources: Sequence[tuple[TokenModel, Ints1d]]) -> None:
    """Give the members of an ensemble the weights of trained models.

    Args:
        model: A model of `build_ensemble`.
        sources: For each member, in order, a trained model of the same layers, and its column
            (n_columns,) for each column of the ensemble.

    Raises:
        ValueError: If a member has other layers than its model.
    """
    vectors, average = (model.get_ref(ref) for ref in ("tok2vec", "output_layer"))
    members = zip(vectors.layers, average.layers, sources, strict=True)
    for encoder, head, (source, columns) in members:
        encoder.from_bytes(source.get_ref("tok2vec").to_bytes())
        set_head(head, *head_of(source, columns))
    average.set_dim("nI", sum(head.get_dim("nI") for head in average.layers))
    average.set_dim("nO", average.layers[0].get_dim("nO"))


def check_parts(model: TokenModel, name: str) -> None:
    """Raise ValueError if a model is not an encoder with one linear layer; ``name`` is its own."""
    parts = ("tok2vec", "output_layer")
    if not all(model.has_ref(part) for part in parts) or is_ensemble(model):
        raise ValueError(
            f"the model of {name} cannot be averaged with others: it is not one encoder with one "
            "linear layer (spacy-btl.TokenClassifier.v1)"
        )


def is_ensemble(model: TokenModel) -> bool:
    """Return whether a model averages several."""
    return bool(model.has_ref("output_layer")) and AVERAGED in model.get_ref("output_layer").attrs


def check_trainable(model: TokenModel, name: str) -> None:
    """Raise ValueError if a model takes no update; ``name`` is its component."""
    if is_ensemble(model):
        raise ValueError(
            f'"{name}" is an ensemble, which is not trained: train its members, each in a pipeline '
            "of its own, and average them again (python -m spacy btl ensemble)"
        )


def head_of(model: TokenModel, columns: Ints1d) -> tuple[Any, Any]:
    """Return copies of the weights and the biases of the last layer, with columns in this order."""
    head: Any = model.get_ref("output_layer")
    return head.get_param("W")[columns], head.get_param("b")[columns]


def set_head(head: Model[Any, Any], weights: Any, biases: Any) -> None:
    """Set the weights (n_columns, width) and the biases (n_columns,) of a linear layer."""
    for dim, size in zip(("nO", "nI"), weights.shape, strict=True):
        head.set_dim(dim, size, force=True)
    head.set_param("W", weights)
    head.set_param("b", biases)


def _members_forward(
    model: TokenModel, docs: list[Doc], is_train: bool
) -> tuple[TokenVectors, Callable[[TokenVectors], list[Doc]]]:
    """Return the vectors of all members beside each other, (n_tokens, sum of widths) each."""
    ops: Any = model.ops
    found: list[Any] = [layer(docs, is_train)[0] for layer in model.layers]
    return [ops.xp.concatenate(parts, axis=1) for parts in zip(*found, strict=True)], _no_backprop


def _average_forward(
    model: Model[Floats2d, Floats2d], vectors: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Return the average of the members' logits (n_tokens, n_columns)."""
    ops: Any = model.ops
    ends = np.cumsum([head.get_dim("nI") for head in model.layers])[:-1].tolist()
    parts = ops.xp.split(vectors, ends, axis=1)
    logits = [head.predict(part) for head, part in zip(model.layers, parts, strict=True)]
    return average_logits(ops.xp.stack(logits), model.attrs[AVERAGED]), _no_backprop


def _no_backprop(gradient: Any) -> Any:
    raise ValueError("an ensemble cannot be trained; train its members one by one")


def set_columns(model: TokenModel, n: int, name: str) -> None:
    """Set the number of columns of the logits.

    Args:
        model: A model of `build_token_classifier`.
        n: Number of columns.
        name: Name of the component, for the error.

    Raises:
        ValueError: If the model has another number already.
    """
    output = model.get_ref("output_layer")
    if output.maybe_get_dim("nO") not in (None, n):
        raise ValueError(
            f'the head of "{name}" has {output.get_dim("nO")} columns, but its labels need {n}'
        )
    output.set_dim("nO", n)


def add_columns(model: TokenModel, n: int) -> None:
    """Append columns to the logits of an initialized model; those that are there stay as they are.

    A new column begins as that of ``O`` (the first) minus `MARGIN`, so that no document is read in
    another way before the next update. The linear layer is a new one: what an optimizer remembers
    of the old one does not fit it.

    Args:
        model: A model of `build_token_classifier`.
        n: Number of columns.
    """
    old = model.get_ref("output_layer")
    ops: Any = model.ops
    columns = old.get_dim("nO") + n
    new: Model[Floats2d, Floats2d] = Linear(nO=columns, nI=old.get_dim("nI"))
    for name, margin in (("W", 0.0), ("b", MARGIN)):
        rows = old.get_param(name)
        new.set_param(name, ops.xp.concatenate([rows, *[rows[:1] - margin] * n]))
    model.replace_node(old, new)
    for node in model.walk():
        if node is not new and new in node.walk() and node.has_dim("nO"):
            node.set_dim("nO", columns, force=True)


def take_columns(model: TokenModel, other: TokenModel, columns: Ints1d) -> None:
    """Take over columns of the logits of another model; the others stay as they are.

    Args:
        model: A model of `build_token_classifier`, initialized.
        other: The same, trained, over an encoder of the same width.
        columns: (n_columns,) the other's column for each of this one's, -1 for none.

    Raises:
        ValueError: If the linear layers read vectors of different widths.
    """
    head, source = (each.get_ref("output_layer") for each in (model, other))
    own, its = head.get_dim("nI"), source.get_dim("nI")
    if own != its:
        raise ValueError(
            f"its head reads vectors of width {its}, but the one here reads vectors of width {own}"
        )
    ours = np.flatnonzero(columns >= 0)
    for name in ("W", "b"):
        rows: Any = head.get_param(name).copy()
        theirs: Any = source.get_param(name)
        rows[ours] = theirs[columns[ours]]
        head.set_param(name, rows)


def check_hidden(model: TokenModel, name: str) -> None:
    """Raise ValueError if a model does not expose its hidden states; ``name`` is its component."""
    if not model.has_ref("tok2vec"):
        raise ValueError(
            f'the model of "{name}" does not expose its hidden states (it has no layer "tok2vec"); '
            'set keys = "logits"'
        )


def token_vectors(
    model: TokenModel, docs: Sequence[Doc], *, with_hidden: bool
) -> tuple[Float32s2d, Float32s2d | None]:
    """Return the logits of all tokens and, if asked, the hidden states before the last layer.

    Args:
        model: A model of `build_token_classifier`.
        docs: Documents; they may be empty.
        with_hidden: Whether to return hidden states.

    Returns:
        Logits (n_tokens, n_labels) and hidden states (n_tokens, width) or None, on the CPU.
    """
    output = model.get_ref("output_layer")
    if not any(len(doc) for doc in docs):
        logits = np.zeros((0, output.maybe_get_dim("nO") or 0), np.float32)
        hidden = np.zeros((0, output.maybe_get_dim("nI") or 0), np.float32)
        return logits, hidden if with_hidden else None
    ops: Any = model.ops
    if not with_hidden:
        return np.asarray(ops.to_numpy(ops.flatten(model.predict(list(docs))))), None
    vectors: Any = ops.flatten(model.get_ref("tok2vec").predict(list(docs)))
    logits = np.asarray(ops.to_numpy(output.predict(vectors)))
    return logits, np.asarray(ops.to_numpy(vectors))
