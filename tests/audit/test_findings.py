"""Each way in which model and annotation differ is a finding of the right kind."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from spacy_btl.audit.findings import (
    MISSED_BONUS,
    N_TYPES,
    SLOPE,
    AuditedDocument,
    Evidence,
    Finding,
    find_errors,
    missed_bonus,
)
from spacy_btl.labels.bio import LabelSpan
from tests.helpers.audited import DRUG, GOLD, PROBLEM, TYPES, beliefs, document

N_OTHERS = 12
RIGHT = [document() for _ in range(N_OTHERS)]


def audit(*first: tuple[AuditedDocument, Evidence], others: Any = RIGHT) -> list[Finding]:
    documents, evidence = zip(*first, *others, strict=True)
    return find_errors(documents, evidence, len(TYPES), error_rate=0.05).findings


def top(*first: tuple[AuditedDocument, Evidence]) -> Finding:
    return audit(*first)[0]


@pytest.mark.parametrize(
    ("kind", "entities", "annotated", "suggested"),
    [
        ("missed", [GOLD[0], GOLD[1]], None, GOLD[2]),
        ("surplus", [*GOLD, (9, 10, DRUG)], (9, 10, DRUG), None),
        ("wrong type", [(2, 3, PROBLEM), *GOLD[1:]], (2, 3, PROBLEM), GOLD[0]),
        ("wrong bounds", [GOLD[0], (6, 7, PROBLEM), GOLD[2]], (6, 7, PROBLEM), GOLD[1]),
        ("wrong bounds", [GOLD[0], (4, 7, PROBLEM), GOLD[2]], (4, 7, PROBLEM), GOLD[1]),
    ],
)
def test_an_error_is_found_first(
    kind: str, entities: list[LabelSpan], annotated: LabelSpan | None, suggested: LabelSpan | None
) -> None:
    found = top(document(entities))
    assert (found.kind, found.document) == (kind, 0)
    assert (found.annotated, found.suggested) == (annotated, suggested)


def test_words_that_are_otherwise_everywhere_else_are_inconsistent() -> None:
    """The model has learned to make the same difference: only the words show it."""
    drug = [GOLD[0], GOLD[1], (8, 9, DRUG)]
    found = [each for each in audit(document(drug, drug)) if each.document == 0]
    first = max(found, key=lambda each: each.probability)
    assert (first.kind, first.annotated, first.suggested) == ("inconsistent", drug[2], GOLD[2])
    assert first.words == {PROBLEM: N_OTHERS}


def test_nothing_is_said_on_types_that_a_document_does_not_annotate() -> None:
    some = [document([GOLD[0]], types=frozenset([DRUG])) for _ in range(3)]
    assert {
        (each.annotated, each.suggested) for each in audit(*some) if each.document < len(some)
    } == {(GOLD[0], None)} | {
        (None, each.suggested)
        for each in audit(*some)
        if each.document < len(some) and each.annotated is None and each.suggested[2] == DRUG
    }


@pytest.mark.parametrize(
    "settings",
    [{"hidden": [(5, 9, PROBLEM)]}, {"known": [i not in (5, 6, 7, 8) for i in range(10)]}],
)
def test_no_entity_is_missed_where_one_is_hidden_or_nothing_known(settings: Any) -> None:
    found = audit(document([GOLD[0]], **settings))
    assert not [
        each for each in found if each.document == 0 and each.suggested in (GOLD[1], GOLD[2])
    ]


def test_every_entity_is_a_place_and_the_probabilities_sum_up() -> None:
    found = audit(document([GOLD[0], GOLD[1]]))
    n_entities = 3 * N_OTHERS + 2
    assert sum(each.annotated is not None for each in found) == n_entities
    assert sum(each.probability for each in found) == pytest.approx(0.05 * n_entities, rel=1e-3)
    assert all(a.probability >= b.probability for a, b in pairwise(found))


def test_an_assumption_changes_the_probabilities_and_not_the_order() -> None:
    documents, evidence = zip(document([GOLD[0], GOLD[1]]), *RIGHT, strict=True)
    low, high = (
        find_errors(documents, evidence, len(TYPES), error_rate=rate).findings
        for rate in (0.01, 0.2)
    )
    assert low[0].probability < high[0].probability
    assert [each.annotated for each in low] == [each.annotated for each in high]


def test_missed_entities_are_more_probable_where_more_types_could_be_mistaken() -> None:
    surplus = (9, 10, DRUG)
    documents, evidence = zip(
        document([GOLD[0], GOLD[1]]), document([*GOLD, surplus]), *RIGHT, strict=True
    )

    def missed_over_surplus(n_types: int) -> float:
        found = find_errors(documents, evidence, n_types, error_rate=0.02).findings
        missed = next(each for each in found if (each.document, each.suggested) == (0, GOLD[2]))
        wrong = next(each for each in found if each.annotated == surplus)
        return log_odds(missed.probability) - log_odds(wrong.probability)

    shift = missed_over_surplus(20) - missed_over_surplus(2)
    assert shift == pytest.approx(SLOPE * math.log(10), abs=1e-6)


def log_odds(probability: float) -> float:
    return math.log(probability) - math.log(1 - probability)


def test_the_addition_for_missed_entities_is_that_of_the_corpus_it_was_chosen_on() -> None:
    assert missed_bonus(N_TYPES) == MISSED_BONUS


def test_the_own_annotation_has_no_part_in_the_judgment() -> None:
    """A candidate is as probable, annotated or not, except for effects of its words on others."""
    without = top(document([GOLD[0], GOLD[1]]))
    found = audit(document())
    within = next(e for e in found if e.document == 0 and e.annotated == GOLD[2])
    assert within.agreement == pytest.approx(without.support, abs=0.002)


def layered(pair: tuple[AuditedDocument, Evidence]) -> tuple[AuditedDocument, Evidence]:
    own = pair[1].own
    layers = np.stack([own[:, [0, 1, 2]], own[:, [0, 3, 4]]], axis=1)
    return pair[0], pair[1]._replace(own=layers, votes=layers)


def test_entities_that_overlap_are_right_beside_each_other() -> None:
    def both(entities: Sequence[LabelSpan]) -> tuple[AuditedDocument, Evidence]:
        drug, problem = beliefs(10, [(5, 6, DRUG)]), beliefs(10, GOLD[1:])
        own = np.stack([drug[:, [0, 1, 2]], problem[:, [0, 3, 4]]], axis=1)
        return document(entities)[0], document()[1]._replace(own=own, votes=own)

    whole = [(5, 6, DRUG), *GOLD[1:]]
    found = audit(both(GOLD[1:]), others=[both(whole) for _ in range(N_OTHERS)])
    assert (found[0].kind, found[0].suggested) == ("missed", (5, 6, DRUG))


def test_layers_give_the_findings_of_flat_labels() -> None:
    pairs = [document([GOLD[0], GOLD[1]]), *RIGHT]
    found = audit(*map(layered, pairs), others=[])
    assert (found[0].kind, found[0].suggested) == ("missed", GOLD[2])


@pytest.mark.parametrize("entities", [[GOLD[0]], [(2, 3, PROBLEM)]])
def test_one_type_and_few_documents(entities: list[LabelSpan]) -> None:
    pairs = [document(entities, entities) for _ in range(2)]
    documents, evidence = zip(*pairs, strict=True)
    found = find_errors(documents, evidence, len(TYPES)).findings
    assert len([each for each in found if each.annotated]) == 2


def test_types_by_consistency() -> None:
    documents, evidence = zip(document([(2, 3, PROBLEM), *GOLD[1:]]), *RIGHT, strict=True)
    found = find_errors(documents, evidence, len(TYPES))
    drug, _ = found.use
    assert (drug.mentions, drug.rival) == (N_OTHERS, PROBLEM)
    assert drug.other == pytest.approx(1 / N_OTHERS)
    assert found.expected[PROBLEM] > found.expected[DRUG]
