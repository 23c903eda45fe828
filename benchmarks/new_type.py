"""The gain from ten annotated examples of a type that the model has never seen, without training.

python benchmarks/new_type.py MODEL train.spacy dev.spacy --types Age Sex --examples 10

MODEL is a pipeline trained without these types (they are taken out of the training data, where they
are ``O`` then). Its neighbors are fitted on that data; then lines of the training data that
hold the type are added with their annotation, and dev is scored with it.
"""

import argparse
import itertools
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_btl.pipeline.component import component_of
from spacy_btl.scoring.scores import strict_span_scores

WAYS: dict[str, dict[str, Any]] = {
    "`--weight 1`": {"weight": 1},
    "default": {},
}


def without(docs: list[Doc], types: list[str]) -> list[Doc]:
    copies = [doc.copy() for doc in docs]
    for doc in copies:
        doc.ents = [ent for ent in doc.ents if ent.label_ not in types]
    return copies


def lines_with(docs: list[Doc], kind: str, hidden: list[str]) -> list[Doc]:
    """Return lines as their own documents, annotated except for the other hidden types."""
    found = []
    for doc in docs:
        starts = [0, *(t.i + 1 for t in doc if "\n" in t.text), len(doc)]
        for start, end in itertools.pairwise(starts):
            ents = [e for e in doc.ents if start <= e.start and e.end <= end]
            if any(e.label_ == kind for e in ents):
                line = doc[start:end].as_doc()
                kept = [e for e in ents if e.label_ == kind or e.label_ not in hidden]
                line.ents = [
                    Span(line, e.start - start, e.end - start, label=e.label_) for e in kept
                ]
                found.append(line)
    return found


def score(nlp: Language, gold: list[Doc], hidden: list[str], kind: str) -> tuple[Any, float]:
    """Return strict figures of the type, and micro F1 of all types that are not hidden."""
    docs = list(nlp.pipe([doc.text for doc in gold]))

    def entities(doc: Doc) -> set[Any]:
        return {(e.label_, ((e.start_char, e.end_char),)) for e in doc.ents}

    def others(doc: Doc) -> set[Any]:
        return {entity for entity in entities(doc) if entity[0] not in hidden}

    own: Any = strict_span_scores(map(entities, gold), map(entities, docs))
    rest: Any = strict_span_scores(map(others, gold), map(others, docs))
    return own["ents_per_type"][kind], rest["ents_f"]


def repeats(lines: list[Doc], n: int, times: int) -> Iterator[list[Doc]]:
    for seed in range(times):
        yield random.Random(seed).sample(lines, min(n, len(lines)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("train", type=Path, help="DocBin with the types")
    parser.add_argument("dev", type=Path, help="DocBin to score on")
    parser.add_argument("--types", nargs="+", required=True)
    parser.add_argument("--base", type=Path, help="DocBin for the neighbors at first [train]")
    parser.add_argument("--examples", type=int, nargs="+", default=[10])
    parser.add_argument("--repeats", type=int, default=3, help="draws of the examples")
    parser.add_argument("--n-neighbors", type=int, default=17)
    parser.add_argument("--votes", default="uniform")
    parser.add_argument("--keys", default="logits")
    options = parser.parse_args()
    nlp = spacy.load(options.model)
    train, dev = (
        list(DocBin().from_disk(path).get_docs(nlp.vocab)) for path in (options.train, options.dev)
    )
    pipe = component_of(nlp)
    pipe.set_key_kind(options.keys)
    pipe.neighbor_weight, pipe.thresholds = 1.0, {}
    pipe.neighbors.n_neighbors, pipe.neighbors.votes = options.n_neighbors, options.votes
    base = list(DocBin().from_disk(options.base or options.train).get_docs(nlp.vocab))
    bare = [Example(nlp.make_doc(doc.text), doc) for doc in without(base, options.types)]
    pipe.fit_neighbors(bare)
    store = pipe.neighbors.datastore
    _, before = score(nlp, dev, options.types, options.types[0])
    print(f"{options.keys}, {options.n_neighbors} neighbors, {options.votes} votes\n")
    print(
        "| type | examples | way | precision | recall | F1 | lowest, highest F1 "
        "| others' micro F1 |"
    )
    print("|---|---:|---|---:|---:|---:|---|---:|")
    for kind, n in itertools.product(options.types, options.examples):
        lines = lines_with(train, kind, options.types)
        for way, settings in WAYS.items():
            rows, rest = [], []
            for drawn in repeats(lines, n, options.repeats):
                pipe.forget_neighbors()
                pipe.set_neighbors(store)
                examples = [Example(nlp.make_doc(line.text), line) for line in drawn]
                pipe.add_examples(examples, **settings)
                figures, others = score(nlp, dev, options.types, kind)
                rows.append(figures)
                rest.append(others)
            p, r, f = (statistics.mean(row[key] for row in rows) for key in "prf")
            low, high = min(row["f"] for row in rows), max(row["f"] for row in rows)
            print(
                f"| {kind} ({rows[0]['support']}) | {n} | {way} | {p:.3f} | {r:.3f} | {f:.3f} | "
                f"{low:.3f}, {high:.3f} | {statistics.mean(rest):.3f} |",
                flush=True,
            )
    print(f"\nmicro F1 of the other types before: {before:.3f}")


if __name__ == "__main__":
    main()
