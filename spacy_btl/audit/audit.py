"""Audit an annotation: each document is judged by a model that has not seen it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..brat import Fragments
from ..data.gold import document_ids, heading_of
from ..data.groups import describe_names
from ..data.label_sets import label_set_of
from ..labels.bio import LabelSpan
from ..pipeline.component import component_of
from ..pipeline.schemes import LabelScheme
from ..scoring.scorer import entity_of, gold_entities, touching, unannotated
from ..util.checks import between, whole_number
from ..util.text import counted
from .consistency import NONE, AnnotatedTokens, Place, TypeUse, normalized
from .examples import TokenAt, counter_example
from .findings import (
    ERROR_RATE,
    KINDS,
    AuditedDocument,
    Evidence,
    Finding,
    Findings,
    find_errors,
)
from .predictions import TokenPrediction, cross_fitted, predicted_by


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Settings of an audit.

    Attributes:
        n_folds: Trainings of cross-fitting, 2 or more.
        updates: Updates of each; 0 for the number in the configuration, reduced by the share of
            documents that are left out.
        seed: For the folds and for each training.
        error_rate: Share of the entities that is assumed to be wrong, which the probabilities
            depend on, and their order does not; above 0 and below 1.
        least: Probability from which on a place is a finding.
        labels: Types that matter, "" or none for all: findings of others are left out.

    Raises:
        ValueError: If a setting is out of its range.
    """

    n_folds: int = 3
    updates: int = 0
    seed: int = 0
    error_rate: float = ERROR_RATE
    least: float = 0.1
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        whole_number("n_folds", self.n_folds, 2)
        whole_number("updates", self.updates, 0)
        whole_number("seed", self.seed, 0)
        between("error_rate", self.error_rate, 0, 1, low_itself=False, high_itself=False)
        between("least", self.least, 0, 1)


DEFAULT_SETTINGS = AuditSettings()


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The likely errors of an annotation.

    Attributes:
        settings: How it was audited.
        how: By what the documents were predicted, in a sentence.
        names: The name of each document.
        texts: Its text.
        bounds: The characters of its tokens.
        types: Entity types; findings have their indices.
        findings: Likely errors, the most probable first; all of them, however improbable.
        examples: For each of `shown`, a place in another document that speaks against the
            annotation; None where there is none.
        heading: What a report on the documents must carry, "" for nothing.
        warnings: What was not audited, and why.
    """

    settings: AuditSettings
    how: str
    names: list[str]
    texts: list[str]
    bounds: list[list[tuple[int, int]]]
    types: list[str]
    findings: Findings
    shown: list[Finding]
    examples: list[Place | None]
    heading: str = ""
    warnings: list[str] = field(default_factory=list)

    def label(self, kind: int) -> str:
        """Return the name of a type, `NONE` for -1."""
        return NONE if kind < 0 else self.types[kind]

    def characters(self, document: int, start: int, end: int) -> tuple[int, int]:
        """Return the characters of tokens of a document."""
        bounds = self.bounds[document]
        return bounds[start][0], bounds[end - 1][1]

    def rows(self) -> list[dict[str, Any]]:
        """Return the findings as JSON values, without any text of a document."""
        return [
            {
                "document": self.names[each.document],
                "kind": each.kind,
                "probability": _rounded(each.probability),
                "annotated": self._place(each.document, each.annotated),
                "suggested": self._place(each.document, each.suggested),
                "agreement": _rounded(each.agreement),
                "support": _rounded(each.support),
                "words_elsewhere": {self.label(k): n for k, n in each.words.items()},
                "neighbors": {self.label(k): _rounded(n) for k, n in each.votes.items()},
                "example": example and self._example(example),
            }
            for each, example in zip(self.shown, self.examples, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the figures, without any text of a document."""
        return {
            "heading": self.heading,
            "how": self.how,
            "documents": len(self.names),
            "entities": sum(use.mentions for use in self.findings.use),
            "error_rate": self.settings.error_rate,
            "least": self.settings.least,
            "findings": {kind: sum(each.kind == kind for each in self.shown) for kind in KINDS},
            "by_type": {
                label: self._use(use, expected)
                for label, use, expected in zip(
                    self.types, self.findings.use, self.findings.expected, strict=True
                )
            },
            "warnings": self.warnings,
        }

    def _use(self, use: TypeUse, expected: float) -> dict[str, Any]:
        return {
            "mentions": use.mentions,
            "expected_errors": _rounded(expected),
            "elsewhere": use.elsewhere,
            "same": _rounded(use.same),
            "other": _rounded(use.other),
            "none": _rounded(use.none),
            "rival": None if use.rival is None else self.label(use.rival),
        }

    def _place(self, document: int, span: LabelSpan | None) -> dict[str, Any] | None:
        if span is None:
            return None
        start, end = self.characters(document, *span[:2])
        return {"label": self.label(span[2]), "start": start, "end": end}

    def _example(self, place: Place) -> dict[str, Any]:
        start, end = self.characters(*place)
        return {"document": self.names[place[0]], "start": start, "end": end}


def audit_documents(
    nlp: Language,
    docs: Sequence[Doc],
    *,
    trained: bool = False,
    folder: Path | None = None,
    settings: AuditSettings = DEFAULT_SETTINGS,
    progress: bool | None = None,
) -> Audit:
    """Return the likely errors in the annotation of some documents.

    Args:
        nlp: A pipeline with one component ``btl_knn_ner``, whose configuration each fold is trained
            by; it stays as it is.
        docs: Annotated documents, as `spacy_btl.read_docbin` and `read_brat` return them.
        trained: Whether the pipeline is trained, has not seen the documents, and shall predict them
            itself. Its neighbors become the tokens of the documents.
        folder: Where the predictions of each fold are kept, and looked for; None to keep none.
        settings: How they are audited.
        progress: Whether to show progress bars; None to show them in a terminal only.

    Raises:
        ValueError: If there are fewer documents than folds, two of the same name, no entity, or no
            type that matters; if the pipeline has seen a document; or if it cannot be trained.
    """
    pipe = component_of(nlp)
    examples = [
        Example(doc, reference)
        for reference in docs
        if len(doc := nlp.tokenizer(reference.text))  # a document without a token has no entity
    ]
    names = document_ids([example.reference for example in examples], pipe.spans_key)
    _check(examples, names, pipe.scheme, settings, n_least=2 if trained else settings.n_folds)
    predictions: list[TokenPrediction]
    if trained:
        types = list(pipe.label_data)
        predictions = predicted_by(nlp, examples, progress=progress)
        how = "Predicted by a pipeline that has not seen them."
    else:
        seen = {label for example in examples for label in pipe.scheme.entity_labels(example)}
        types = pipe.label_data or sorted(seen)
        predictions = cross_fitted(
            nlp,
            examples,
            folder,
            n_folds=settings.n_folds,
            max_steps=settings.updates,
            labels=types,
            seed=settings.seed,
            progress=progress,
        )
        how = (
            f"Each predicted by one of {settings.n_folds} trainings, the one that was made without "
            "it."
        )
    if unknown := sorted(set(settings.labels) - set(types)):
        raise ValueError(
            f"no entity has the type {', '.join(unknown)}; there are {', '.join(types)}"
        )
    documents = [audited(example, types, pipe.spans_key) for example in examples]
    evidence = [Evidence(*each) for each in predictions]
    findings = find_errors(documents, evidence, len(types), error_rate=settings.error_rate)
    bounds = [
        [(token.idx, token.idx + len(token)) for token in example.predicted] for example in examples
    ]
    token_at = TokenAt([[start for start, _ in own] for own in bounds])
    wanted = {i for i, label in enumerate(types) if not settings.labels or label in settings.labels}
    shown = [
        each
        for each in findings.findings
        if each.probability >= settings.least and _concerns(each, wanted)
    ]
    return Audit(
        settings,
        how,
        names,
        [example.reference.text for example in examples],
        bounds,
        types,
        findings,
        shown,
        [
            counter_example(each, evidence[each.document], findings.lexicon, token_at)
            for each in shown
        ],
        heading_of([example.reference for example in examples]),
        _warnings(examples, types, pipe.spans_key, trained),
    )


def _check(
    examples: Sequence[Example],
    names: Sequence[str],
    scheme: LabelScheme,
    settings: AuditSettings,
    n_least: int,
) -> None:
    """Raise ValueError where documents cannot be audited."""
    if len(examples) < n_least:
        said = counted(len(examples), "document has", "documents have")
        raise ValueError(
            f"{said} a text, and an audit needs at least {n_least}: each is judged by what is "
            "learned from the others"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{counted(len(twice), 'name')} of more than one document: {describe_names(twice)}; "
            "leave one of each out, or give each its own name"
        )
    if not any(scheme.entity_labels(example) for example in examples):
        raise ValueError(
            f"none of the {len(examples)} documents has an entity: there is no annotation to audit"
        )


def audited(example: Example, types: Sequence[str], spans_key: str | None) -> AuditedDocument:
    """Return a document as plain values, on the tokens of the prediction."""
    doc, reference = example.predicted, example.reference
    index = {label: i for i, label in enumerate(types)}
    n_characters = len(doc.text)
    spans = reference.ents if spans_key is None else list(reference.spans.get(spans_key, []))
    entities: list[LabelSpan] = []
    hidden: list[LabelSpan] = []
    for span in spans:
        if span.label_ in index:
            own = doc.char_span(span.start_char, span.end_char)
            if own is not None:
                entities.append((own.start, own.end, index[span.label_]))
            else:
                hidden += _on_tokens(doc, *entity_of(span), index, n_characters)
    for label, fragments in gold_entities(reference, spans_key):
        found = _on_tokens(doc, label, fragments, index, n_characters)
        hidden += [span for span in found if span not in entities]
    label_set = label_set_of(reference)
    annotated = None if label_set is None else frozenset(index[x] for x in label_set if x in index)
    known = None
    if unknown := unannotated(example, spans_key):
        every = [("", ((token.idx, token.idx + len(token)),)) for token in doc]
        known = ~np.array(touching(every, unknown), dtype=bool)
    words = [normalized(token.text) for token in doc]
    return AuditedDocument(AnnotatedTokens(words, sorted(set(entities)), annotated), hidden, known)


def _on_tokens(
    doc: Doc, label: str, fragments: Fragments, index: dict[str, int], n_characters: int
) -> list[LabelSpan]:
    """Return the tokens that the fragments of an entity touch."""
    spans = [
        doc.char_span(start, end, alignment_mode="expand")
        for start, end in fragments
        if label in index and start < end <= n_characters
    ]
    return [(span.start, span.end, index[label]) for span in spans if span is not None]


def _concerns(finding: Finding, types: set[int]) -> bool:
    return any(span and span[2] in types for span in (finding.annotated, finding.suggested))


def _warnings(
    examples: Sequence[Example], types: Sequence[str], spans_key: str | None, trained: bool
) -> list[str]:
    """Return what of an annotation is not audited."""
    found = []
    seen: dict[str, int] = {}
    n_cut = n_under = 0
    for example in examples:
        spans = (
            example.reference.ents
            if spans_key is None
            else list(example.reference.spans.get(spans_key, []))
        )
        for span in spans:
            if span.label_ not in types:
                seen[span.label_] = seen.get(span.label_, 0) + 1
            elif example.predicted.char_span(span.start_char, span.end_char) is None:
                n_cut += 1
        n_under += max(len(gold_entities(example.reference, spans_key)) - len(spans), 0)
    if seen:
        counts = ", ".join(f"{label} {n}" for label, n in sorted(seen.items()))
        found.append(f"not audited, because the pipeline does not know their types: {counts}")
    if n_cut:
        found.append(f"not audited, because they cut a token: {n_cut} entities")
    if n_under:
        found.append(
            f"not audited, because others cover them or they were dropped: {n_under} entities"
        )
    if trained:
        found.append(
            "if the pipeline was trained on these documents, it repeats their errors; only the "
            "names of its neighbors' documents were checked"
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
