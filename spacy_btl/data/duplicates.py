"""Find documents with the same text, or nearly the same.

Texts are compared by their words, without white space, line ends, punctuation, case and Unicode
form. Where the words differ, two texts are near-identical if the pairs of adjacent words that both
have are `NEAR` or more of those that either has (Jaccard index): one has a header line more, say,
or a few words are others. This needs `LEAST_WORDS` words: of short texts ("No fever.", "No cough.")
only the same words make the same text. Such short texts do not join groups (of one patient, say),
as otherwise "No fever." would make one group of nearly all patients: `joining`.

No pair is missed by chance. Two sets that are so alike have one of their rarest members in common
(prefix filtering; Chaudhuri et al. 2006), so that few pairs need to be compared.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Literal, NamedTuple, TypeAlias, TypedDict

import numpy as np
from spacy.tokens import Doc

from ..util.arrays import Bools1d, Ints1d
from .gold import document_id, fragments_from_json, gold_of

NEAR = 0.6
"""Share of the pairs of adjacent words that near-identical texts have in common."""

LEAST_WORDS = 10
"""Words of a text that may be nearly identical to another one."""

Likeness: TypeAlias = Literal["identical", "near-identical"]
"""Whether all texts of a group have the same words, or only nearly the same."""

Duplicates: TypeAlias = Literal["together", "anywhere"]
"""Where documents of one text are dealt out: into one part, or like any others."""

# Scripts without spaces between words: each character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_INVISIBLE = re.compile("[\xad\u200b-\u200f\u2060\ufeff]")


class SameText(NamedTuple):
    """Texts that are the same or nearly the same.

    Attributes:
        members: Their places in the sequence of texts, ascending.
        likeness: How alike they are.
        words: How many words the shortest of them has.
    """

    members: tuple[int, ...]
    likeness: Likeness
    words: int


class DuplicatesJson(TypedDict):
    """Documents of one text, as `split.json` and the statistics list them.

    Attributes:
        documents: Their names, sorted.
        likeness: How alike their texts are.
        words: How many words the shortest of their texts has.
        annotation: Whether their annotation is the "same" or "different"; "" for texts that are
            only nearly identical.
    """

    documents: list[str]
    likeness: Likeness
    words: int
    annotation: Literal["same", "different", ""]


def text_words(text: str) -> list[str]:
    """Return the words by which a text is compared; none for a text of white space and signs."""
    return _WORD.findall(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold()))


def word_pairs(words: Sequence[str]) -> Ints1d:
    """Return hashes of the pairs of adjacent words, ascending, each once.

    They differ between processes. A text of fewer than `LEAST_WORDS` words has none.
    """
    if len(words) < LEAST_WORDS:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.fromiter(map(hash, pairwise(words)), dtype=np.int64))


def near_identical(a: Ints1d, b: Ints1d) -> bool:
    """Return whether two texts are the same or nearly the same, by their `word_pairs`."""
    if not min(len(a), len(b)):
        return False
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common >= NEAR * (len(a) + len(b) - common) - 1e-9


def find_duplicates(texts: Iterable[str]) -> list[SameText]:
    """Return the groups of texts that are the same or nearly the same, by their first members.

    A group contains whatever is alike one of its members. Texts without words are in no group.
    """
    number: dict[str, int] = {}
    by_words: dict[bytes, list[int]] = {}
    for i, text in enumerate(texts):
        words = [number.setdefault(word, len(number)) for word in text_words(text)]
        if words:
            by_words.setdefault(np.array(words, dtype=np.int64).tobytes(), []).append(i)
    groups = list(by_words.values())
    pairs = [
        np.unique((words[:-1] << 32) | words[1:]) if len(words) >= LEAST_WORDS else words[:0]
        for words in (np.frombuffer(key, dtype=np.int64) for key in by_words)
    ]
    lengths = [len(key) // 8 for key in by_words]
    found = []
    for alike in _join_similar(pairs):
        members = tuple(sorted(chain.from_iterable(groups[i] for i in alike)))
        likeness: Likeness = "identical" if len(alike) == 1 else "near-identical"
        if len(members) > 1:
            found.append(SameText(members, likeness, min(lengths[i] for i in alike)))
    return sorted(found)


def duplicates_of(docs: Sequence[Doc]) -> list[DuplicatesJson]:
    """Return the groups of documents of the same text, or nearly, by their names."""
    names = [document_id(doc) for doc in docs]
    found: list[DuplicatesJson] = []
    for members, likeness, words in find_duplicates(doc.text for doc in docs):
        annotation: Literal["same", "different", ""] = ""
        if likeness == "identical":
            first = _annotation(docs[members[0]])
            same = all(_annotation(docs[i]) == first for i in members[1:])
            annotation = "same" if same else "different"
        found.append(
            {
                "documents": sorted(names[i] for i in members),
                "likeness": likeness,
                "words": words,
                "annotation": annotation,
            }
        )
    return found


def joining(groups: Iterable[DuplicatesJson], *, grouped: bool) -> list[list[str]]:
    """Return the documents that stay in one part for their text.

    Args:
        groups: Documents of one text.
        grouped: Whether documents are in groups of other kinds, which short texts do not join.
    """
    least = LEAST_WORDS if grouped else 0
    return [group["documents"] for group in groups if group["words"] >= least]


def count_duplicates(groups: Sequence[DuplicatesJson]) -> dict[str, int]:
    """Return how many texts occur more than once, in how many documents, and how they differ."""
    return {
        "texts": len(groups),
        "documents": sum(len(group["documents"]) for group in groups),
        "not word for word": sum(group["likeness"] != "identical" for group in groups),
        "annotated differently": sum(group["annotation"] == "different" for group in groups),
    }


def _annotation(doc: Doc) -> Counter[tuple[str, tuple[str, ...]]]:
    """Return how often each label and text is annotated, whatever the white space between words."""
    gold = gold_of(doc)
    entities = (
        [(value["label"], fragments_from_json(value)) for value in gold["entities"]]
        if gold
        else [(ent.label_, ((ent.start_char, ent.end_char),)) for ent in doc.ents]
    )
    text = doc.text
    return Counter(
        (label, tuple(word for start, end in places for word in text_words(text[start:end])))
        for label, places in entities
    )


def _join_similar(sets: Sequence[Ints1d]) -> list[list[int]]:
    """Return all sets in groups, those together that are near-identical."""
    order = sorted(range(len(sets)), key=lambda i: (len(sets[i]), i))
    table = _Table([sets[i] for i in order])
    group = np.arange(len(sets))
    members = {i: [i] for i in range(len(sets))}
    for i in range(len(sets)):
        for other in table.similar_before(i, group):
            small, large = sorted((int(group[i]), int(group[other])), key=lambda g: len(members[g]))
            if small != large:
                moved = members.pop(small)
                group[moved] = large
                members[large] += moved
    return [[order[i] for i in each] for each in members.values()]


class _Table:
    """Sets by ascending size, each as ranks that ascend with their frequency, and their prefixes.

    Of two near-identical sets, both have a common member among the first `size - ceil(NEAR * size)
    + 1` of their members: their *prefixes*. The lower of two common ranks comes first in both, so
    that the places of the first one bound how many there are.
    """

    def __init__(self, sets: Sequence[Ints1d]) -> None:
        self.sizes = np.array([len(each) for each in sets], dtype=np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        every = np.concatenate([*sets, np.empty(0, dtype=np.int64)])
        values, which, counts = np.unique(every, return_inverse=True, return_counts=True)
        rank = np.empty(len(values), dtype=np.int64)
        rank[np.argsort(counts, kind="stable")] = np.arange(len(values))
        rows = np.repeat(np.arange(len(sets)), self.sizes)
        ranks = rank[which.reshape(-1)]
        self.ranks = ranks[np.lexsort((ranks, rows))]
        self.single = int((counts == 1).sum())
        places = np.arange(len(self.ranks)) - self.offsets[rows]
        ends = self.sizes - np.ceil(NEAR * self.sizes - 1e-9).astype(np.int64) + (self.sizes > 0)
        kept = np.flatnonzero((places < ends[rows]) & (self.ranks >= self.single))
        kept = kept[np.argsort(self.ranks[kept], kind="stable")]
        self.holders, self.places = rows[kept], places[kept]
        self.starts = np.searchsorted(self.ranks[kept], np.arange(len(values) + 1))
        self.ends = ends
        self.mark = np.zeros(len(values), dtype=bool)

    def similar_before(self, i: int, group: Ints1d) -> list[int]:
        """Return the sets before one that are near-identical to it, without those of its group."""
        size = int(self.sizes[i])
        own = self.ranks[self.offsets[i] : self.offsets[i] + size]
        seen = group[:i] == group[i]
        seen |= self.sizes[:i] < NEAR * size - 1e-9
        left = i - int(seen.sum())
        found: list[Ints1d] = []
        first = int(np.searchsorted(own, self.single))
        for place in range(first, int(self.ends[i])):
            if not left:
                break
            start, end = self.starts[own[place] : own[place] + 2]
            end = start + np.searchsorted(self.holders[start:end], i)
            others = self.holders[start:end]
            new = ~seen[others]
            others, places = others[new], self.places[start:end][new]
            seen[others] = True
            left -= len(others)
            most = np.minimum(size - place, self.sizes[others] - places)
            found.append(others[self._near(most, size, self.sizes[others])])
        others = np.concatenate([*found, np.empty(0, dtype=np.int64)])
        # One of each group first: most sets of a group are alike, and one is enough.
        _, one = np.unique(group[others], return_index=True)
        alike = self._alike(own, others[one])
        rest = np.delete(others, one)
        rest = rest[~np.isin(group[rest], group[alike])]
        return [*alike.tolist(), *self._alike(own, rest).tolist()]

    def _alike(self, own: Ints1d, others: Ints1d) -> Ints1d:
        """Return which of some sets are near-identical to one, by all of their members."""
        if not len(others):
            return others
        sizes = self.sizes[others]
        every = [self.ranks[self.offsets[i] : self.offsets[i + 1]] for i in others.tolist()]
        self.mark[own] = True
        marked = self.mark[np.concatenate(every)].astype(np.int64)
        self.mark[own] = False
        common = np.add.reduceat(marked, np.cumsum(sizes) - sizes)
        return others[self._near(common, len(own), sizes)]

    @staticmethod
    def _near(common: Ints1d, size: int, sizes: Ints1d) -> Bools1d:
        return np.asarray(common >= NEAR * (size + sizes - common) - 1e-9)
