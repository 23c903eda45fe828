"""The model of the component: any encoder, then one linear layer to logits."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d

from ..util.arrays import Float32s2d
from ..util.checks import whole_number

TokenVectors: TypeAlias = list[Floats2d]
"""One array (n_tokens, width) for each document, of numpy or of cupy."""
TokenModel: TypeAlias = Model[list[Doc], TokenVectors]
"""A layer from documents to token vectors: an encoder, or an encoder with its head."""


def build_token_classifier(tok2vec: TokenModel, nO: int | None = None) -> TokenModel:
    """Return a model from documents to the logits of their tokens.

    ``[training] dropout`` applies to the token vectors before the linear layer.

    Args:
        tok2vec: Any layer from documents to token vectors: `spacy-btl.TransformerModel.v1`,
            ``spacy.HashEmbedCNN.v2``, ``spacy.Tok2Vec.v2``, or a listener to a component that
            shares its encoder with others.
        nO: Number of columns of the logits. The component sets it at initialization if it is None.

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
        model: From `build_token_classifier`.
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
