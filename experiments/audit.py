"""Errors put into an annotation on purpose: how many of them an audit finds, beside other rankings.

python -m experiments.audit --corpora path/to/corpora

2, 5 and 10% of the entities of MACCROBAT and of BC5CDR are damaged at random in five ways
(`damage.py`). Models are trained on the damaged documents, by folds: each document is predicted by
a model that has not seen it, but has seen errors elsewhere. All rankings are made of the same
predictions:

- audit: `spacy_btl.audit`; and its findings at annotated entities alone.
- cleanlab: tokens by ``cleanlab.token_classification.rank`` (Wang and Mueller 2022, arXiv
  2210.03920), by self-confidence and by normalized margin. Of adjacent tokens the worst counts.
- loss: annotated entities, and predicted ones where none is annotated, by the mean loss of their
  tokens; and annotated ones alone, among which no missed one is.

Errors that were in the corpora before count as false alarms, in all rankings alike. Figures and
counts go to `results/audit/`, the predictions of the folds to the work folder, without text: what
is there is not trained again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import load_config, load_model_from_config

from experiments.damage import KINDS, Damage, Place, Text, damage, figures, hits, recall_by_kind
from spacy_btl.audit.audit import audited
from spacy_btl.audit.findings import Evidence, Findings, find_errors
from spacy_btl.audit.predictions import TokenPrediction, cross_fitted
from spacy_btl.conversion.convert import read_brat
from spacy_btl.data.gold import document_name
from spacy_btl.labels.bio import LabelSpan, labels_to_spans
from spacy_btl.labels.viterbi import best_paths
from spacy_btl.util.files import write_file
from spacy_btl.util.text import markdown_table

HERE = Path(__file__).parent
CONFIG = HERE.parent / "configs" / "btl.cfg"
CORPORA = {"maccrobat": ("maccrobat",), "bc5cdr": ("pubtator/BC5CDR_TrainDev.PubTator",)}
SHARES = (0.02, 0.05, 0.10)
RANKS = (50, 100, 200)
RANKINGS = ("audit", "audit, annotated only")
RANKINGS += ("cleanlab, self-confidence", "cleanlab, normalized margin")
RANKINGS += ("loss", "loss, annotated only")
MOST_TOKENS = 5000
"""Tokens of a ranking of tokens; later ones could not change any figure that is shown."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(CORPORA), default=list(CORPORA))
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES))
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=800, help="of each training")
    parser.add_argument("--documents", type=int, default=0, help="the first ones only, for a try")
    parser.add_argument("--seed", type=int, default=0, help="of damage, folds and trainings")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--work", type=Path, default=Path("training/experiments/audit"))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "audit")
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / "audit.json"
    settings = {name: getattr(options, name) for name in ("folds", "updates", "documents")}
    found = srsly.read_json(path) if path.is_file() else {"runs": {}}
    for corpus in options.only:
        docs: list[Doc] = []
        for share in options.shares:
            name = f"{corpus}/{share:g}/{options.seed}"
            if name in found["runs"]:
                if (before := found["runs"][name]["settings"]) != settings:
                    parser.error(f"{name} was made with {before}; name another folder (--results)")
                continue
            docs = docs or read_corpus(corpus, options.corpora, options.documents)
            print(name, flush=True)
            figures = run(docs, share, options, options.work / name)
            found["runs"][name] = {"settings": settings, **figures}
            write_file(path, srsly.json_dumps(found, indent=1))
    write_file(options.results / "audit.md", render(found))
    return 0


def read_corpus(name: str, source: Path, n_documents: int = 0) -> list[Doc]:
    """Return the documents of a corpus, in the order of their names."""
    docs = [doc for path in CORPORA[name] for doc in read_brat(source / path)[0]]
    docs.sort(key=document_name)
    return docs[: n_documents or None]


def run(docs: Sequence[Doc], share: float, options: Any, work: Path) -> dict[str, Any]:
    """Return the figures of each ranking, after damage and cross-fitting."""
    nlp = load_model_from_config(load_config(options.config, interpolate=False), auto_fill=True)
    types = sorted({ent.label_ for doc in docs for ent in doc.ents})
    texts = [text_of(doc, types) for doc in docs]
    entities, damages = damage(texts, share, options.seed)
    examples = [
        Example(nlp.tokenizer(doc.text), damaged(doc, own, types))
        for doc, own in zip(docs, entities, strict=True)
    ]
    predictions = cross_fitted(
        nlp,
        examples,
        work,
        n_folds=options.folds,
        max_steps=options.updates,
        labels=types,
        seed=options.seed,
    )
    return {
        "documents": len(docs),
        "entities": sum(len(text.entities) for text in texts),
        "errors": {kind: sum(each.kind == kind for each in damages) for kind in KINDS},
        **judge(nlp, texts, entities, examples, predictions, damages, types),
    }


def text_of(doc: Doc, types: Sequence[str]) -> Text:
    """Return a document as the damage takes it."""
    words = [token.text.strip() for token in doc]
    return Text(words, [(ent.start, ent.end, types.index(ent.label_)) for ent in doc.ents])


def damaged(doc: Doc, entities: Sequence[LabelSpan], types: Sequence[str]) -> Doc:
    """Return a document with these entities, and no other annotation."""
    copy = Doc(doc.vocab, [token.text for token in doc], [bool(t.whitespace_) for t in doc])
    copy.set_ents([Span(copy, start, end, types[kind]) for start, end, kind in entities])
    copy.user_data["name"] = document_name(doc)
    return copy


def judge(
    nlp: Language,
    texts: Sequence[Text],
    entities: Sequence[Sequence[LabelSpan]],
    examples: Sequence[Example],
    predictions: Sequence[TokenPrediction],
    damages: Sequence[Damage],
    types: Sequence[str],
) -> dict[str, Any]:
    """Return the figures of each ranking, and the reliability of the audit's probabilities."""
    own = [each.own for each in predictions]
    found = find_errors(
        [audited(example, types, None) for example in examples],
        [Evidence(*each) for each in predictions],
        len(types),
        error_rate=max(len(damages) / sum(len(text.entities) for text in texts), 1e-6),
    )
    places = [Place(each.document, *each.span) for each in found.findings]
    labels = [columns(spans, len(text.words)) for spans, text in zip(entities, texts, strict=True)]
    rankings = {
        "audit": places,
        "audit, annotated only": [
            place
            for place, each in zip(places, found.findings, strict=True)
            if each.annotated is not None
        ],
        "cleanlab, self-confidence": by_cleanlab(texts, labels, own, "self_confidence"),
        "cleanlab, normalized margin": by_cleanlab(texts, labels, own, "normalized_margin"),
        "loss": by_loss(entities, labels, own),
        "loss, annotated only": by_loss(entities, labels, own, with_predicted=False),
    }
    return {
        "rankings": {
            name: {
                **rounded(figures(ranking, damages, RANKS)),
                "recall": rounded(recall_by_kind(ranking[: len(damages)], damages)),
            }
            for name, ranking in rankings.items()
        },
        "reliability": reliability(found, places, damages),
    }


def columns(spans: Sequence[LabelSpan], n_tokens: int) -> np.ndarray[Any, Any]:
    """Return the BIO column of each token."""
    found = np.zeros(n_tokens, dtype=np.int64)
    for start, end, kind in spans:
        found[start:end] = 2 + 2 * kind
        found[start] = 1 + 2 * kind
    return found


def by_loss(
    entities: Sequence[Sequence[LabelSpan]],
    labels: Sequence[Any],
    own: Sequence[Any],
    *,
    with_predicted: bool = True,
) -> list[Place]:
    """Return annotated entities, and predicted ones that touch none, by the mean token loss."""
    found = []
    paths = best_paths(own, [np.zeros(len(each), dtype=bool) for each in own])
    for i, (spans, gold, values) in enumerate(zip(entities, labels, own, strict=True)):
        losses = -np.log(np.maximum(values[np.arange(len(gold)), gold], 1e-9))
        free = [span for span in labels_to_spans(paths[i]) if not gold[span[0] : span[1]].any()]
        found += [
            (float(losses[start:end].mean()), Place(i, start, end))
            for start, end, _ in [*spans, *(free if with_predicted else ())]
        ]
    return [place for _, place in sorted(found, key=lambda item: (-item[0], item[1]))]


def by_cleanlab(
    texts: Sequence[Text], labels: Sequence[Any], own: Sequence[Any], method: str
) -> list[Place]:
    """Return tokens by cleanlab's label quality, the worst first; of adjacent ones the first."""
    from cleanlab.token_classification.rank import get_label_quality_scores

    _, scores = get_label_quality_scores(
        [each.tolist() for each in labels],
        [values / values.sum(axis=1, keepdims=True) for values in own],
        token_score_method=method,
    )
    every = sorted(
        (float(score), i, token)
        for i, values in enumerate(scores)
        for token, score in enumerate(values)
        if texts[i].words[token]
    )
    seen: set[tuple[int, int]] = set()
    found = []
    for _, i, token in every[:MOST_TOKENS]:
        if not {(i, token - 1), (i, token + 1)} & seen:
            found.append(Place(i, token, token + 1))
        seen.add((i, token))
    return found


def reliability(
    found: Findings, places: Sequence[Place], damages: Sequence[Damage]
) -> list[dict[str, float]]:
    """Return mean probability and share of errors of the findings of some ranks."""
    outcomes = list(hits(places, damages))
    probabilities = [each.probability for each in found.findings]
    rows = []
    for first, last in ((0, 50), (50, 100), (100, 200), (200, 500), (500, 1000)):
        if outcomes[first:last]:
            rows.append(
                {
                    "first": first + 1,
                    "last": min(last, len(outcomes)),
                    "probability": round(float(np.mean(probabilities[first:last])), 4),
                    "errors": round(float(np.mean(outcomes[first:last])), 4),
                }
            )
    return rows


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def render(found: dict[str, Any]) -> str:
    """Return the page, with a row for each ranking of each run."""
    rows, recalls, reliable = [], [], []
    for name, own in found["runs"].items():
        for ranking in RANKINGS:
            if (values := own["rankings"].get(ranking)) is None:  # a run of before
                continue
            cells = [f"{values[key]:.3f}" for key in (*(f"p{rank}" for rank in RANKS), "ap")]
            n_errors, updates = sum(own["errors"].values()), own["settings"]["updates"]
            rows.append([name, str(updates), ranking, str(n_errors), *cells])
            recalls.append(
                [name, ranking, *(f"{values['recall'].get(kind, 0):.2f}" for kind in KINDS)]
            )
        for row in own["reliability"]:
            ranks = f"{row['first']} to {row['last']}"
            reliable.append([name, ranks, f"{row['probability']:.2f}", f"{row['errors']:.2f}"])
    precision = [f"precision at {rank}" for rank in RANKS]
    header = ["run", "updates", "ranking", "errors", *precision, "average precision"]
    return "\n".join(
        [
            "# Errors put into an annotation, and what finds them",
            "",
            "`python -m experiments.audit`. A run is named corpus/share of the entities "
            "damaged/seed; updates are those of each of its trainings. Errors that were there "
            "before count as false alarms.",
            "",
            *markdown_table(header, rows),
            "",
            "Share of the errors of each kind among as many places as there are errors:",
            "",
            *markdown_table(["run", "ranking", *KINDS], recalls),
            "",
            "The probabilities of the audit, with the true share of errors as its assumption, and "
            "the share of places that are errors put in:",
            "",
            *markdown_table(["run", "ranks", "mean probability", "errors"], reliable),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
