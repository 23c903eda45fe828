"""Means that might help rare types and are not part of the package, for ``spacy train --code``.

Readers and callbacks under names of their own (``experiments.…``), which the arms of
``plan.yml`` put into their configuration.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import spacy
from spacy.language import Language
from spacy.ml.models import MaxoutWindowEncoder, MultiHashEmbed, build_Tok2Vec_model
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import (
    LayerNorm,
    Linear,
    Model,
    Relu,
    chain,
    concatenate,
    expand_window,
    residual,
    with_array,
)
from thinc.types import Floats2d

from experiments import losses, training_log  # noqa: F401 (register their names)

Words = list[tuple[str, bool]]
"""Words, and whether a space follows."""


@spacy.registry.readers("experiments.Passages.v1")
def make_passages(
    path: str,
    length: int = 64,
    repeat_below: float = 0.0,
    replace: float = 0.0,
    copies: int = 1,
    seed: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Yield training documents cut into passages, so that a batch holds lines of several documents.

    length: tokens of a passage, made of whole lines where they are not longer; 0: whole documents.
    repeat_below: passages with a type that fewer than this share of them hold come more often, by
        the root of how much rarer it is (repeat factor sampling: Gupta, Dollár, Girshick 2019,
        arXiv 1908.03195); the rest of a factor by chance.
    replace, copies: the passages come so often in all, in all but the first with each mention
        replaced by another one of its type at this probability (any of the distinct mentions).
    """

    def read(nlp: Language) -> Iterator[Example]:
        docs = list(DocBin().from_disk(path).get_docs(nlp.vocab))
        parts = [part for doc in docs for part in (cut(doc, length) if length else [doc])]
        chance = random.Random(seed)
        mentions = distinct_mentions(docs)
        factors = repeat_factors(
            [[ent.label_ for ent in part.ents] for part in parts], repeat_below
        )
        for number in range(copies):
            for part, factor in zip(parts, factors, strict=True):
                times = int(factor) + (chance.random() < factor - int(factor))
                for _ in range(times):
                    gold = with_mentions(part, mentions, replace, chance) if number else part
                    words, spaces = [t.text for t in gold], [bool(t.whitespace_) for t in gold]
                    yield Example(Doc(nlp.vocab, words=words, spaces=spaces), gold)

    return read


def cut(doc: Doc, length: int) -> Iterator[Doc]:
    """Yield passages of whole lines, of at most so many tokens where no line is longer.

    No entity is cut: a line ends after the entities that reach over its end.
    """
    ends = [token.i + 1 for token in doc if "\n" in token.text] + [len(doc)]
    inside = {i for ent in doc.ents for i in range(ent.start + 1, ent.end)}
    start = last = 0
    for end in ends:
        if end in inside:
            continue
        if end - start > length and last > start:
            yield doc[start:last].as_doc()
            start = last
        last = end
    if last > start:
        yield doc[start:last].as_doc()


def repeat_factors(types: Sequence[Sequence[str]], below: float) -> list[float]:
    """Return how often each passage is to come, by the types that it holds: 1 or more."""
    held = Counter(kind for each in types for kind in set(each))
    share = {kind: count / len(types) for kind, count in held.items()}
    factor = {kind: max(1.0, (below / each) ** 0.5) for kind, each in share.items()}
    return [max((factor[kind] for kind in each), default=1.0) for each in types]


def distinct_mentions(docs: Sequence[Doc]) -> dict[str, list[Words]]:
    """Return the distinct mentions of each type, in the order of their first occurrence."""
    found: dict[str, dict[tuple[tuple[str, bool], ...], None]] = defaultdict(dict)
    for doc in docs:
        for ent in doc.ents:
            found[ent.label_][tuple((token.text, bool(token.whitespace_)) for token in ent)] = None
    return {kind: [list(each) for each in mentions] for kind, mentions in found.items()}


def with_mentions(
    doc: Doc, mentions: dict[str, list[Words]], probability: float, chance: random.Random
) -> Doc:
    """Return the document with some of its mentions replaced by others of their type."""
    words: Words = []
    labels: list[str] = []
    starts = {ent.start: ent for ent in doc.ents}
    i = 0
    while i < len(doc):
        ent = starts.get(i)
        tokens = doc[i : ent.end if ent else i + 1]
        own = [(token.text, bool(token.whitespace_)) for token in tokens]
        if ent and chance.random() < probability:
            new = list(chance.choice(mentions[ent.label_]))
            own = [*new[:-1], (new[-1][0], own[-1][1])]  # what follows the mention stays
        words += own
        kind = ent.label_ if ent else ""
        labels += [f"{'I' if k else 'B'}-{kind}" if kind else "O" for k in range(len(own))]
        i = tokens.end
    texts, spaces = zip(*words, strict=True)
    return Doc(doc.vocab, words=texts, spaces=spaces, ents=labels)


@spacy.registry.callbacks("experiments.label_names.v1")
def make_label_names(size: float = 1.0) -> Callable[[Language], None]:
    """Start the head's columns of a type from the encoder's vector of its name.

    The mean over the types is taken out, and the vectors have this length; O stays as it is.
    """

    def start(nlp: Language) -> None:
        model = nlp.get_pipe("btl_knn_ner").model
        linear = model.get_ref("output_layer")
        weights = linear.get_param("W")
        types = nlp.get_pipe("btl_knn_ner").labels
        docs = [nlp.make_doc(kind.replace("_", " ").lower()) for kind in types]
        vectors = np.stack([v.mean(axis=0) for v in model.get_ref("tok2vec").predict(docs)])
        vectors -= vectors.mean(axis=0)
        vectors *= size / np.linalg.norm(vectors, axis=1, keepdims=True)
        for i in range(len(types)):
            weights[1 + 2 * i : 3 + 2 * i] = vectors[i]
        linear.set_param("W", weights)

    return start


@spacy.registry.architectures("experiments.WordWindow.v1")
def build_word_window(
    tok2vec: Model[list[Doc], list[Floats2d]], width: int, window_size: int = 1
) -> Model[list[Doc], list[Floats2d]]:
    """Return the vectors (n_tokens, width) of a layer, with what the words beside each add.

    A convolution over ``window_size`` words to either side and a linear layer, added to its input.
    """
    added = chain(
        LayerNorm(nI=width),
        expand_window(window_size=window_size),
        Relu(nO=width, nI=width * (2 * window_size + 1)),
        Linear(nO=width, nI=width),
    )
    return chain(tok2vec, with_array(residual(added), pad=window_size))


@spacy.registry.architectures("experiments.WithFeatures.v1")
def make_with_features(
    tok2vec: Model[list[Doc], list[Floats2d]], width: int = 32, rows: int = 1000
) -> Model[list[Doc], list[Floats2d]]:
    """Return an encoder with narrow features of case, shape, affixes and numbers beside it.

    The features are hash embeddings and one layer over the neighboring tokens.
    """
    names = ["SHAPE", "PREFIX", "SUFFIX", "LIKE_NUM", "IS_UPPER", "IS_TITLE"]
    embed = MultiHashEmbed(width, list(names), [rows] * len(names), False)
    features = build_Tok2Vec_model(embed, MaxoutWindowEncoder(width, 1, 3, 1))
    model = concatenate(tok2vec, features)
    model.set_ref("tok2vec", tok2vec)
    return cast(Model[list[Doc], list[Floats2d]], model)
