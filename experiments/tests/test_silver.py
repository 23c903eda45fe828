"""Entities of a teacher, kept by type for the training of a student."""

import pytest
import spacy

from experiments.silver import keep_best

SCORES = {"Age": [0.9, 0.8, 0.7, 0.6], "Mass": [0.3, 0.2], "Sex": [0.1]}
"""One entity after another, each of one word."""


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (1.0, {"Age": 4, "Mass": 2, "Sex": 1}),
        (0.5, {"Age": 2, "Mass": 1, "Sex": 1}),
        (0.25, {"Age": 1, "Mass": 1, "Sex": 1}),  # at least one of each
    ],
)
def test_each_type_keeps_its_best_share(
    monkeypatch: pytest.MonkeyPatch, share: float, kept: dict[str, int]
) -> None:
    labels = [(label, score) for label, scores in SCORES.items() for score in scores]
    docs = []
    for turn in range(2):  # the entities of both documents compete
        mine = labels[turn::2]
        doc = spacy.blank("en")("word " * (len(mine) + 1))
        doc.set_ents([doc[i : i + 1].char_span(0, 4, label) for i, (label, _) in enumerate(mine)])
        docs.append((doc, [score for _, score in mine]))
    of = {(id(doc), i): score for doc, scores in docs for i, score in enumerate(scores)}
    monkeypatch.setattr("experiments.silver.score_of", lambda span: of[id(span.doc), span.start])
    keep_best([doc for doc, _ in docs], share)
    found = [ent.label_ for doc, _ in docs for ent in doc.ents]
    assert {label: found.count(label) for label in SCORES} == kept
    for doc, scores in docs:
        tags = [token.ent_iob_ for token in doc]
        assert tags[len(scores)] == "O"  # no entity of the teacher
        assert set(tags[: len(scores)]) <= {"B", ""}
        worst = [s for s, tag in zip(scores, tags, strict=False) if tag == ""]
        assert len(worst) + len(doc.ents) == len(scores)
