"""The factory ``btl_knn_ner`` and its default configuration."""

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..neighbors.classifier import NeighborSearch
from ..training.binary_token_labels import TokenLoss
from ..training.class_weights import ClassWeights
from .component import BtlKnnNer
from .state import KeyKind

DEFAULT_CONFIG: dict[str, Any] = {
    "model": {
        "@architectures": "spacy-btl.TokenClassifier.v1",
        "tok2vec": {"@architectures": "spacy-btl.HashEmbedTransformer.v1"},
    },
    "loss": {"@losses": "spacy-btl.BinaryTokenLabels.v1"},
    "class_weights": {"@misc": "spacy-btl.class_weights.v1"},
    "neighbors": {
        "@misc": "spacy-btl.KNearestNeighbors.v1",
        "n_neighbors": 17,
        "metric": "euclidean",
        "votes": "uniform",
        "temperature": 1.0,
        "search": "auto",
    },
    "keys": "logits",
    "neighbor_weight": 1.0,
    "thresholds": {},
    "scorer": {"@scorers": "spacy-btl.ner_scorer.v1"},
    "scores_key": "btl_knn_ner",
    "spans_key": None,
}


@Language.factory(
    "btl_knn_ner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={
        "ents_f": 0.5,
        "ents_macro_f": 0.5,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
        "token_macro_r": 0.0,
        # Kept in the meta of a trained pipeline, without a column in the log.
        "ents_exact_f": None,
        "ents_partial_f": None,
        "ents_type_f": None,
        "token_micro_f": None,
        "token_macro_f": None,
    },
)
def make_btl_knn_ner(
    nlp: Language,
    name: str,
    model: Model[list[Doc], list[Floats2d]],
    loss: TokenLoss,
    class_weights: ClassWeights | None,
    neighbors: NeighborSearch,
    keys: KeyKind,
    neighbor_weight: float,
    thresholds: dict[str, float],
    scorer: Callable[..., dict[str, Any]] | None,
    scores_key: str | None,
    spans_key: str | None,
) -> BtlKnnNer:
    """The factory ``btl_knn_ner``."""
    return BtlKnnNer(
        nlp.vocab,
        model,
        name,
        loss=loss,
        class_weights=class_weights,
        neighbors=neighbors,
        keys=keys,
        neighbor_weight=neighbor_weight,
        thresholds=thresholds,
        scorer=scorer,
        scores_key=scores_key,
        spans_key=spans_key,
        nlp=nlp,
    )
