"""Words that an attacker can read off the stored vectors of a pipeline, by kind of keys.

    python benchmarks/privacy.py training/model-best corpus/train.spacy corpus/test.spacy

Attackers have the pipeline and text of the same kind, here a part that was not trained on.

Words: the attackers run their text through the model and guess, for each stored vector, the word
with the nearest vector. The score is the share of right guesses among all stored tokens, and among
those whose word their text has at all. The baseline is the most frequent of their words for the
stored label, a guess that needs no vector. With more text, more words can be guessed.

Sentences: the attackers have a sentence and want to know whether it is in the training text. They
run it through the model, alone, and look at the mean distance of its tokens to their nearest stored
vectors. The score is the area under the ROC curve: 0.5 is chance, 1 is always right.

Words are compared in lower case.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from sklearn.metrics import roc_auc_score
from spacy.tokens import Doc, DocBin

from spacy_btl.evaluation.evaluate import read_examples
from spacy_btl.neighbors.brute import BruteSearch
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.fitting import collect_keys, examples_for
from spacy_btl.util.text import markdown_table

KINDS = (("logits", 0.0), ("logits", 0.3), ("hidden", 0.0))
LEAST = 8  # tokens of a sentence


def sentences(docs: list[Doc]) -> Iterator[Doc]:
    """Yield sentences as documents of their own, cut at full stops."""
    for doc in docs:
        ends = [token.i + 1 for token in doc if token.text == "."]
        for start, end in zip([0, *ends], [*ends, len(doc)], strict=True):
            if end - start >= LEAST:
                yield doc[start:end].as_doc()


def distances(keys: Any, queries: Any) -> tuple[Any, Any]:
    """Return distance and index of the nearest key of each query."""
    found = BruteSearch(keys, np.zeros(len(keys), np.int64), 1).kneighbors(queries, 1)
    return found[0][:, 0], found[1][:, 0]


def words_of(docs: list[Doc]) -> Any:
    return np.array([token.lower_ for doc in docs for token in doc])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("train", type=Path, help="DocBin whose tokens are stored")
    parser.add_argument("own", type=Path, help="DocBin of the attacker's text")
    parser.add_argument("--tokens", type=int, default=10_000, help="stored tokens that are guessed")
    options = parser.parse_args()
    nlp = spacy.load(options.model)
    pipe = component_of(nlp)
    pipe.forget_neighbors()
    train = examples_for(nlp, pipe, read_examples(options.train, nlp))
    own = list(DocBin().from_disk(options.own).get_docs(nlp.vocab))
    stored_words = words_of([example.predicted for example in train])
    own_words = words_of(own)
    picked = np.random.default_rng(0).permutation(len(stored_words))[: options.tokens]
    truth = stored_words[picked]
    known = np.isin(truth, own_words)
    members = list(sentences([example.reference for example in train]))
    others = list(sentences(own))
    members = [
        members[i] for i in np.random.default_rng(0).permutation(len(members))[: len(others)]
    ]

    # The guess without a vector: by the stored label, as the model's own text has it.
    labels = pipe.gold(train)[picked]
    own_labels = np.concatenate([logits.argmax(1) for logits in pipe.predict(own)])
    counts = {label: Counter(own_words[own_labels == label]) for label in np.unique(labels)}
    by_label = np.array([max(counts[x], key=counts[x].__getitem__, default="") for x in labels])
    rows = [["the label alone", *shares(by_label == truth, known), "-"]]
    for kind, dropout in KINDS:
        pipe.set_key_kind(kind)
        keys = collect_keys(pipe, train, types=pipe.label_data, dropout=dropout).keys
        _, nearest = distances(np.concatenate(vectors(pipe, own)), keys[picked])
        scores = [
            distances(keys, queries)[0].mean() for queries in vectors(pipe, [*members, *others])
        ]
        is_member = np.repeat([True, False], [len(members), len(others)])
        area = roc_auc_score(is_member, -np.array(scores))
        name = f"{kind}, dropout {dropout:g}" if dropout else kind
        rows.append([name, *shares(own_words[nearest] == truth, known), f"{area:.3f}"])
        print(rows[-1], file=sys.stderr)
    print(
        f"{len(truth):,} of {len(stored_words):,} stored tokens, {len(own_words):,} tokens of the "
        f"attacker, who has the word of {known.mean():.1%}; {len(members)} sentences of the "
        f"training text, {len(others)} others\n"
    )
    header = ["stored", "words guessed", "of those he has", "sentences, area"]
    print("\n".join(markdown_table(header, rows)))


def vectors(pipe: Any, docs: list[Doc]) -> list[Any]:
    """Return keys (n_tokens, width) of each document."""
    found = []
    for start in range(0, len(docs), 32):
        part = docs[start : start + 32]
        ends = np.cumsum([len(doc) for doc in part])[:-1]
        found += np.split(pipe.token_vectors(part)[1], ends)
    return found


def shares(right: Any, known: Any) -> list[str]:
    return [f"{right.mean():.1%}", f"{right[known].mean():.1%}"]


if __name__ == "__main__":
    main()
