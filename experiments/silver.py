"""Label unannotated documents with a trained pipeline, for the training of a student.

Of each type the entities with the best scores are kept, the same share of all types, so that rare
types are not crowded out by frequent ones. Tokens of the others have no label: the student learns
nothing from them. After the noisy student of Xie et al. 2020 (arXiv 1911.04252), without soft
targets.
"""

from collections import defaultdict
from collections.abc import Iterable
from math import ceil
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from experiments.documents import read_docs


def write(teacher: Language, sources: Iterable[Path], share: float, path: Path) -> None:
    """Write a DocBin of the documents of other DocBins, whose own annotation is not read."""
    texts = [doc.text for source in sources for doc in read_docs(source)]
    docs = list(teacher.pipe(texts))
    keep_best(docs, share)
    DocBin(attrs=["ENT_IOB", "ENT_TYPE", "SPACY"], docs=docs).to_disk(path)


def keep_best(docs: list[Doc], share: float) -> None:
    """Keep of each type the share of the entities with the best scores; the rest is missing."""
    scores = defaultdict(list)
    for i, doc in enumerate(docs):
        for ent in doc.ents:
            scores[ent.label_].append((-score_of(ent), i, ent.start))
    kept = {
        (i, start)
        for each in scores.values()
        for _, i, start in sorted(each)[: ceil(share * len(each))]
    }
    for i, doc in enumerate(docs):
        is_kept = [(i, ent.start) in kept for ent in doc.ents]
        best = [ent for ent, yes in zip(doc.ents, is_kept, strict=True) if yes]
        others = [ent for ent, yes in zip(doc.ents, is_kept, strict=True) if not yes]
        doc.set_ents(best, missing=others, default="outside")


def score_of(ent: Span) -> float:
    """Return the score of an entity of ours."""
    return float(ent._.btl_score)
