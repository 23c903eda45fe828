"""Statistics of an annotated corpus and of a trained pipeline.

Those of a corpus replace ``spacy debug data``, which knows the component "ner" only. They count the
original annotation (`scoring.scorer.gold_entities`), not what the conversion left of it, and
include the best score that a tagger could reach.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypedDict

from spacy.language import Language
from spacy.tokens import Doc

from ..brat import Offsets
from ..conversion.convert import count_misaligned
from ..conversion.placement import choose_flat
from ..data.duplicates import DuplicatesJson, count_duplicates, duplicates_of
from ..data.gold import GOLD_KEY, heading_of
from ..data.groups import describe_names
from ..data.label_sets import label_set_of
from ..labels.bio import column_names
from ..pipeline.component import BtlKnnNer
from ..scoring.scorer import gold_entities, predicted_entities
from ..scoring.scores import LabeledFragments, strict_span_scores
from ..util.templates import markdown_templates

OVERLAP_KINDS = ("nested", "same span", "crossing")

TokenSpan = tuple[int, int, str]
"""Start token, end token (exclusive), label."""

_CorpusStats = TypedDict(
    "_CorpusStats",
    {
        "heading": str,
        "documents": int,
        "tokens": int,
        "entities": int,
        "types": int,
        "discontinuous": int,
        "imbalance": dict[str, float | None],
        "overlaps": dict[str, int],
        "adjacent pairs of one type": int,
        "misaligned": dict[str, int],
        "ceiling": dict[str, float | None],
        "same text": dict[str, int],
        "duplicates": list[DuplicatesJson],
        "by_type": dict[str, dict[str, int]],
    },
)
_LabelSetStats = TypedDict("_LabelSetStats", {"label sets": dict[str, int]}, total=False)


class CorpusStats(_CorpusStats, _LabelSetStats):
    """The figures of a corpus, under the names that the tables show.

    Where documents annotate some types only, "label sets" counts them, and each type has the number
    of documents that annotate it ("annotated in").
    """


class PipelineStats(TypedDict):
    """The figures of a component ``btl_knn_ner``.

    Attributes:
        labels: Its labels.
        updates: The optimizer steps behind its weights.
        neighbors: The number of stored tokens.
        weights: The class weight of each column; None where none is fixed (`label_weights`).
    """

    labels: list[str]
    updates: int
    neighbors: int
    weights: dict[str, float] | None


def corpus_stats(docs: Sequence[Doc], stock: Language) -> CorpusStats:
    """Return all figures of converted documents, as JSON values.

    Args:
        docs: The documents.
        stock: A pipeline whose tokenizer the documents' own tokens are compared with.
    """
    gold = [gold_entities(doc) for doc in docs]
    misaligned = stock_misaligned = adjacent = 0
    for doc, entities in zip(docs, gold, strict=True):
        fragments = [places for _, places in entities]
        misaligned += count_misaligned(doc, fragments)
        stock_misaligned += count_misaligned(stock.tokenizer(doc.text), fragments)
        adjacent += count_adjacent(_flat(doc))
    overlaps = sum((count_overlaps(entities) for entities in gold), Counter[str]())
    duplicates = duplicates_of(docs)
    by_type = _by_type(gold)
    counts = [figures["entities"] for figures in by_type.values()]
    label_sets = [label_set_of(doc) for doc in docs]
    found: CorpusStats = {
        "heading": heading_of(docs),
        "documents": len(docs),
        "tokens": sum(map(len, docs)),
        "entities": sum(map(len, gold)),
        "types": len(by_type),
        "discontinuous": sum(len(places) > 1 for entities in gold for _, places in entities),
        "imbalance": {
            "most / least frequent type": round(counts[0] / counts[-1], 1) if counts else None,
            "types with fewer than 10 entities": sum(count < 10 for count in counts),
            "tokens in an entity": _share_inside(docs),
        },
        "overlaps": {kind: overlaps[kind] for kind in OVERLAP_KINDS},
        "adjacent pairs of one type": adjacent,
        "misaligned": {"stock tokenizer": stock_misaligned, "this tokenizer": misaligned},
        "ceiling": ceilings(docs, gold),
        "same text": count_duplicates(duplicates),
        "duplicates": duplicates,
        "by_type": by_type,
    }
    if known := [types for types in label_sets if types is not None]:
        found["label sets"] = {"documents with one": len(known), "different ones": len(set(known))}
        for label in sorted(set().union(by_type, *known)):
            of_type = by_type.setdefault(label, {"entities": 0, "documents": 0})
            of_type["annotated in"] = sum(types is None or label in types for types in label_sets)
    return found


def stats_to_markdown(stats: CorpusStats) -> str:
    """Return the figures of a corpus as tables."""
    figures: list[tuple[str, object]] = []
    for key, value in stats.items():
        if key in ("heading", "by_type", "duplicates"):
            continue
        if isinstance(value, dict):
            figures += [(f"{key}: {name}", figure) for name, figure in value.items()]
        else:
            figures.append((key, value))
    columns = ["entities", "documents", *(["annotated in"] if "label sets" in stats else [])]
    types = [(label, *map(f.get, columns)) for label, f in stats["by_type"].items()]
    same = [
        (describe_names(g["documents"]), g["likeness"], g["annotation"])
        for g in stats["duplicates"]
    ]
    template = markdown_templates("spacy_btl.evaluation").get_template("corpus_stats.md.j2")
    return template.render(
        heading=stats["heading"], figures=figures, columns=columns, types=types, same=same
    )


def ceilings(
    docs: Sequence[Doc], gold: Sequence[Sequence[LabeledFragments]]
) -> dict[str, float | None]:
    """Return the strict micro F1 of a tagger without errors for each scheme; None without gold.

    Args:
        docs: The converted documents.
        gold: The original annotation of each of them.
    """
    schemes: dict[str, list[list[LabeledFragments]]] = {
        "flat IO": [],
        "flat BIO": [],
        "BIO per type": [],
    }
    for doc in docs:
        everything = doc.spans.get(GOLD_KEY, doc.ents)
        layers = layer_by_label([(s.start, s.end, s.label_) for s in everything])
        schemes["flat IO"].append(_in_characters(doc, without_borders(_flat(doc))))
        schemes["flat BIO"].append(predicted_entities(doc))
        schemes["BIO per type"].append(_in_characters(doc, layers))
    scores = {name: strict_span_scores(gold, found)["ents_f"] for name, found in schemes.items()}
    return {
        name: round(score, 4) if isinstance(score, float) else None
        for name, score in scores.items()
    }


def count_overlaps(entities: Sequence[LabeledFragments]) -> Counter[str]:
    """Count the pairs of entities of one document that share characters, by `OVERLAP_KINDS`.

    An entity of several fragments counts from its first start to its last end.
    """
    bounds = sorted((_bounds(entity) for entity in entities), key=lambda b: (b[0], -b[1]))
    counts = Counter[str]()
    for i, (start, end) in enumerate(bounds):
        for other_start, other_end in bounds[i + 1 :]:
            if other_start >= end:
                break
            if (other_start, other_end) == (start, end):
                counts["same span"] += 1
            else:
                counts["nested" if other_end <= end else "crossing"] += 1
    return counts


def count_adjacent(spans: Iterable[TokenSpan]) -> int:
    """Count the pairs of spans of one label without a token between them; none must overlap."""
    return sum(a[1] == b[0] and a[2] == b[2] for a, b in pairwise(sorted(spans)))


def without_borders(spans: Iterable[TokenSpan]) -> list[TokenSpan]:
    """Return flat spans as a scheme without B- tags has them: adjacent ones of a label merged."""
    merged: list[TokenSpan] = []
    for start, end, label in sorted(spans):
        if merged and merged[-1][1:] == (start, label):
            merged[-1] = (merged[-1][0], end, label)
        else:
            merged.append((start, end, label))
    return merged


def layer_by_label(spans: Sequence[TokenSpan]) -> list[TokenSpan]:
    """Return the spans that a layer for each label can have: flat within it, longest first."""
    kept = []
    for label in sorted({label for *_, label in spans}):
        own = [span for span in spans if span[2] == label]
        lost_to = choose_flat(own, "longest", {})
        kept += [span for span, other in zip(own, lost_to, strict=True) if other is None]
    return kept


def pipeline_stats(nlp: Language) -> dict[str, PipelineStats]:
    """Return the figures of each component ``btl_knn_ner`` by its name, as JSON values.

    Raises:
        ValueError: The pipeline has no such component.
    """
    pipes = [(name, pipe) for name, pipe in nlp.pipeline if isinstance(pipe, BtlKnnNer)]
    if not pipes:
        raise ValueError("the pipeline has no component btl_knn_ner")
    return {
        name: {
            "labels": list(pipe.labels),
            "updates": pipe.state.updates,
            "neighbors": len(pipe.neighbors.datastore or ()),
            "weights": label_weights(pipe),
        }
        for name, pipe in pipes
    }


def label_weights(pipe: BtlKnnNer) -> dict[str, float] | None:
    """Return the class weight of each column by its name.

    None where there is no fixed weight: it is counted on each batch or copy, or not counted yet.
    """
    names = column_names(pipe.labels)
    weighting, weights = pipe.loss.weighting, pipe.loss.class_weights
    if weights is not None:
        return {name: float(weight) for name, weight in zip(names, weights, strict=True)}
    return dict.fromkeys(names, 1.0) if weighting is None else None


def pipeline_stats_to_markdown(stats: dict[str, PipelineStats]) -> str:
    """Return the figures of a pipeline as tables."""
    components = [
        (name, values, [(column, f"{w:.6f}") for column, w in (values["weights"] or {}).items()])
        for name, values in stats.items()
    ]
    template = markdown_templates("spacy_btl.evaluation").get_template("pipeline_stats.md.j2")
    return template.render(components=components)


def _by_type(gold: Sequence[Sequence[LabeledFragments]]) -> dict[str, dict[str, int]]:
    """Return the number of entities and documents of each type, most frequent first."""
    entities = Counter(label for found in gold for label, _ in found)
    documents = Counter(label for found in gold for label in {label for label, _ in found})
    ordered = sorted(entities, key=lambda label: (-entities[label], label))
    return {
        label: {"entities": entities[label], "documents": documents[label]} for label in ordered
    }


def _share_inside(docs: Sequence[Doc]) -> float | None:
    """Return the share of the tokens in an entity of ``doc.ents``, without white space."""
    inside = [bool(token.ent_type) for doc in docs for token in doc if not token.is_space]
    return round(sum(inside) / len(inside), 3) if inside else None


def _bounds(entity: LabeledFragments) -> Offsets:
    _, fragments = entity
    return min(start for start, _ in fragments), max(end for _, end in fragments)


def _flat(doc: Doc) -> list[TokenSpan]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def _in_characters(doc: Doc, spans: Iterable[TokenSpan]) -> list[LabeledFragments]:
    return [
        (label, ((doc[start].idx, doc[end - 1].idx + len(doc[end - 1])),))
        for start, end, label in spans
    ]
