"""The served pipeline: the same entities as `annotate`, evidence, failures, a flat vocabulary."""

import warnings
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc
from spacy.util import fix_random_seed

from spacy_btl.annotate.outputs import entities_of
from spacy_btl.explain.evidence import EntityEvidence
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.serving.model import Answer, Question, ServedPipeline
from spacy_btl.serving.settings import ServeSettings
from tests.helpers.annotating import make_rules
from tests.helpers.sentences import SENTENCES
from tests.helpers.serving import SECRET
from tests.pipeline.test_nested import CONFIG, KEY
from tests.pipeline.test_nested import make_examples as nested_examples


def test_entities_are_those_of_the_pipeline(folder: Path, pipeline: ServedPipeline) -> None:
    texts = [text for text, _ in SENTENCES]
    nlp = spacy.load(folder)
    answers = pipeline([Question(text) for text in texts])
    assert answers == [Answer(entities_of(nlp(text))) for text in texts]
    assert sum(len(answer.entities) for answer in answers if isinstance(answer, Answer)) == 6


def test_evidence_of_each_entity(pipeline: ServedPipeline) -> None:
    (answer,) = pipeline([Question("She took warfarin and 5 mg of aspirin", evidence=True)])
    assert isinstance(answer, Answer)
    assert answer.evidence is not None
    assert len(answer.evidence) == len(answer.entities) == 3
    for entity, evidence in zip(answer.entities, answer.evidence, strict=True):
        assert evidence is not None
        assert evidence["votes"][0]["label"] == entity.label
        assert sum(vote["share"] for vote in evidence["votes"]) == pytest.approx(1)
        example = evidence["supporting"][0]
        assert example.keys() == {"label", "document", "offsets", "share", "distance", "votes"}


def test_an_entity_of_another_component_has_no_evidence(folder: Path, tmp_path: Path) -> None:
    nlp = spacy.load(folder)
    ruler = nlp.add_pipe("entity_ruler", before="btl_knn_ner")
    ruler.add_patterns([{"label": "Word", "pattern": "took"}])
    nlp.to_disk(tmp_path / "model")
    pipeline = ServedPipeline(tmp_path / "model", ServeSettings())
    (answer,) = pipeline([Question("She took warfarin", evidence=True)])
    assert isinstance(answer, Answer)
    assert [e.label for e in answer.entities] == ["Word", "Medication"]
    assert answer.evidence is not None
    assert [each is None for each in answer.evidence] == [True, False]


def test_a_text_that_fails_is_described_without_a_word_of_it(
    pipeline: ServedPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    answers = pipeline([Question("No fever"), Question(f"{SECRET} took aspirin")])
    assert isinstance(answers[0], Answer)
    assert str(answers[1]).startswith("ValueError in helpers/annotating.py:")
    assert SECRET not in caplog.text


def test_evidence_that_fails_fails_its_text_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, doc: Doc) -> list[EntityEvidence]:
        raise ValueError(doc.text)

    pipeline = ServedPipeline(folder, ServeSettings())
    monkeypatch.setattr(BtlKnnNer, "explain", fail)
    answers = pipeline([Question(SECRET[6:] + " fever", evidence=True), Question("No fever")])
    assert str(answers[0]).startswith("ValueError in ")
    assert SECRET[6:] not in str(answers[0])
    assert isinstance(answers[1], Answer)


@pytest.mark.parametrize(("spans", "n_entities"), [(None, 1), (KEY, 3)])
def test_entities_that_overlap(tmp_path: Path, spans: str | None, n_entities: int) -> None:
    """They are served by name; without it, a warning says that some are left out."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config=CONFIG)
    optimizer = nlp.initialize(lambda: nested_examples(nlp))
    for _ in range(60):
        nlp.update(nested_examples(nlp), sgd=optimizer)
    component_of(nlp).fit_neighbors(nested_examples(nlp))
    nlp.to_disk(tmp_path / "model")
    with warnings.catch_warnings(record=True) as caught:
        pipeline = ServedPipeline(tmp_path / "model", ServeSettings(spans=spans))
    said = [str(each.message) for each in caught if "overlap" in str(each.message)]
    assert len(said) == (spans is None)
    assert all(f"--spans {KEY} takes all of them" in each for each in said)
    (answer,) = pipeline([Question("History of severe asthma", evidence=True)])
    assert isinstance(answer, Answer)
    assert answer.evidence is not None
    assert len(answer.entities) == len(answer.evidence) == n_entities
    for entity, evidence in zip(answer.entities, answer.evidence, strict=True):
        assert entity.score is not None
        assert evidence is not None
        assert evidence["votes"][0]["label"] == entity.label


def test_the_vocabulary_does_not_grow(folder: Path) -> None:
    pipeline = ServedPipeline(folder, ServeSettings())
    if not hasattr(pipeline._nlp, "memory_zone"):
        pytest.skip("needs spaCy 3.8")

    def words() -> tuple[int, int]:
        vocab = pipeline._nlp.vocab
        return sum(1 for _ in vocab), len(vocab.strings)  # len(vocab) counts those of before too

    before = words()
    for i in range(5):
        pipeline([Question(f"She took brandnewword{i}{j} daily", evidence=True) for j in range(9)])
    assert words() == before


def test_facts(folder: Path, tmp_path: Path) -> None:
    facts = ServedPipeline(folder, ServeSettings()).facts
    assert facts.labels == ("Dosage", "Medication", "Sign_symptom")
    assert (facts.system, facts.has_evidence, facts.is_calibrated) == (
        "en_pipeline 0.0.0",
        True,
        False,
    )
    rules = ServedPipeline(make_rules(tmp_path / "rules"), ServeSettings()).facts
    assert (rules.has_evidence, rules.is_calibrated) == (False, False)
    assert rules.labels == ("Medication", "Sign_symptom")


def test_a_pipeline_without_neighbors_has_no_evidence(folder: Path, tmp_path: Path) -> None:
    nlp = spacy.load(folder)
    component_of(nlp).forget_neighbors()
    nlp.to_disk(tmp_path / "model")
    assert not ServedPipeline(tmp_path / "model", ServeSettings()).facts.has_evidence


def test_what_cannot_be_served(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither a folder nor an installed package"):
        ServedPipeline(tmp_path / "nowhere", ServeSettings())
    with pytest.raises(ValueError, match=r'writes no doc.spans\["other"\], only btl_knn_ner'):
        ServedPipeline(folder, ServeSettings(spans="other"))
