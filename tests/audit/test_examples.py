"""The passage beside a finding speaks against the annotation."""

import numpy as np

from spacy_btl.audit.examples import TokenAt, counter_example
from spacy_btl.audit.findings import find_errors
from tests.helpers.audited import GOLD, PROBLEM, TYPES, WORDS, document

RIGHT = [document() for _ in range(12)]


def test_the_same_words_with_the_suggested_type() -> None:
    pairs = [document([(2, 3, PROBLEM), *GOLD[1:]]), *RIGHT]
    documents, evidence = zip(*pairs, strict=True)
    found = find_errors(documents, evidence, len(TYPES))
    place = counter_example(found.findings[0], evidence[0], found.lexicon, TokenAt([]))
    assert place == (1, 2, 3)


def test_or_else_the_nearest_token_with_it() -> None:
    words = [*WORDS[:2], "ibuprofen", *WORDS[3:]]
    first = document([(2, 3, PROBLEM), *GOLD[1:]], words=words)
    nearest = np.full((10, 3, 2), -1, dtype=np.int32)
    nearest[2] = [(0, 10), (3, 0), (2, 10)]  # its own document, "she", "aspirin"
    pairs = [(first[0], first[1]._replace(nearest=nearest)), *RIGHT]
    documents, evidence = zip(*pairs, strict=True)
    found = find_errors(documents, evidence, len(TYPES))
    starts = [[4 * i if i < 2 else 10 + i - 2 for i in range(10)]] * len(pairs)
    place = counter_example(found.findings[0], evidence[0], found.lexicon, TokenAt(starts))
    assert place == (2, 2, 3)


def test_there_need_not_be_one() -> None:
    words = ["zz", "qq", "xx", *WORDS[3:]]
    pairs = [document([(2, 3, PROBLEM), *GOLD[1:]], words=words), *RIGHT]
    documents, evidence = zip(*pairs, strict=True)
    found = find_errors(documents, evidence, len(TYPES))
    assert counter_example(found.findings[0], evidence[0], found.lexicon, TokenAt([])) is None
