"""The model of the component: any tok2vec, then one linear layer to logits."""

from typing import cast

from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d


def build_token_classifier(
    tok2vec: Model[list[Doc], list[Floats2d]], nO: int | None = None
) -> Model[list[Doc], list[Floats2d]]:
    """Logits (n_tokens, n_labels) for each document.

    tok2vec: any layer from documents to one vector a token: `spacy-btl.TransformerModel.v1`,
        `spacy-btl.HashEmbedTransformer.v1`, ``spacy.Tok2Vec.v2``, or a listener to a component
        shared with others.
    nO: number of labels, set at initialization where None.

    ``[training] dropout`` applies to the vectors before the linear layer.
    """
    linear: Model[Floats2d, Floats2d] = Linear(nO=nO)
    head = cast(Model[Floats2d, Floats2d], chain(Dropout(), linear))
    model: Model[list[Doc], list[Floats2d]] = chain(tok2vec, with_array(head))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", linear)
    return model
