"""Predictions by models that have not seen a document, which are made once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_btl.audit import predictions
from spacy_btl.audit.predictions import TokenPrediction, cross_fitted, predicted_by
from spacy_btl.pipeline.component import component_of
from tests.helpers.reports import report


def examples_of(nlp: Language, docs: list[Doc]) -> list[Example]:
    return [Example(nlp.tokenizer(doc.text), doc) for doc in docs]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the folds that are trained, in order."""
    found: list[int] = []
    train_fold = predictions.train_fold

    def counted(nlp: Any, examples: Any, plan: Any, number: int, **settings: Any) -> Language:
        found.append(number)
        return train_fold(nlp, examples, plan, number, **settings)

    monkeypatch.setattr(predictions, "train_fold", counted)
    return found


def same(one: list[TokenPrediction], other: list[TokenPrediction]) -> bool:
    return all(
        np.array_equal(a, b)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
    )


class TestCrossFitting:
    def test_shapes_and_neighbors_of_other_documents(
        self, nlp: Language, reports: list[Doc]
    ) -> None:
        found = cross_fitted(nlp, examples_of(nlp, reports), None, n_folds=2, max_steps=2)
        assert len(found) == len(reports)
        for i, each in enumerate(found):
            n_tokens = len(reports[i])
            assert each.own.shape == each.votes.shape == (n_tokens, 5)
            assert each.nearest.shape == (n_tokens, 17, 2)
            assert i not in each.nearest[..., 0]
            for number, offset in each.nearest[:, 0].tolist():
                assert offset in [token.idx for token in reports[number]]

    def test_a_second_run_trains_nothing(
        self, nlp: Language, reports: list[Doc], tmp_path: Path, trainings: list[int]
    ) -> None:
        examples = examples_of(nlp, reports)
        settings: dict[str, Any] = {"n_folds": 2, "max_steps": 2}
        first = cross_fitted(nlp, examples, tmp_path, **settings)
        assert trainings == [0, 1]
        assert same(cross_fitted(nlp, examples, tmp_path, **settings), first)
        assert trainings == [0, 1]
        (tmp_path / "fold-1.safetensors").unlink()
        assert same(cross_fitted(nlp, examples, tmp_path, **settings), first)
        assert trainings == [0, 1, 1]

    @pytest.mark.parametrize("change", ["annotation", "updates", "label set", "damage"])
    def test_what_a_fold_was_made_of_decides(
        self,
        nlp: Language,
        reports: list[Doc],
        tmp_path: Path,
        trainings: list[int],
        change: str,
    ) -> None:
        cross_fitted(nlp, examples_of(nlp, reports), tmp_path, n_folds=2, max_steps=2)
        steps = 2
        match change:
            case "annotation":
                reports[3].set_ents([])
            case "updates":
                steps = 3
            case "label set":
                reports[3].user_data["label_set"] = ["Drug", "Problem"]
            case "damage":
                path = tmp_path / "fold-0.safetensors"
                path.write_bytes(path.read_bytes()[:-100])
        cross_fitted(nlp, examples_of(nlp, reports), tmp_path, n_folds=2, max_steps=steps)
        assert trainings[2:] == ([0] if change == "damage" else [0, 1])

    def test_copies_of_a_document_are_in_one_fold(
        self, nlp: Language, reports: list[Doc], trainings: list[int]
    ) -> None:
        copies = []
        for number in range(4):
            copy = report(number)
            copy.user_data["name"] = f"copy-{number}"
            copies.append(copy)
        docs = [*reports[:4], *copies]
        names = predictions._groups(examples_of(nlp, docs))
        assert names[4:] == names[:4]

    def test_the_files_contain_no_text(
        self, nlp: Language, reports: list[Doc], tmp_path: Path
    ) -> None:
        cross_fitted(nlp, examples_of(nlp, reports), tmp_path, n_folds=2, max_steps=1)
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert not [word for word in (b"aspirin", b"cough", b"case-0") if word in content]


class TestTrainedPipeline:
    def trained(self, nlp: Language, docs: list[Doc]) -> Language:
        examples = examples_of(nlp, docs)
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)
        return nlp

    def test_neighbors_are_of_other_documents(self, nlp: Language, reports: list[Doc]) -> None:
        trained = self.trained(nlp, [report(number) for number in range(20, 24)])
        found = predicted_by(trained, examples_of(trained, reports))
        for i, each in enumerate(found):
            assert i not in each.nearest[..., 0]
            np.testing.assert_allclose(each.votes.astype(float).sum(axis=1), 1, atol=0.01)

    def test_with_two_documents_the_other_one_votes(self, nlp: Language) -> None:
        docs = [report(0), report(0)]
        docs[0].set_ents([])
        docs[1].user_data["name"] = "other"
        trained = self.trained(nlp, [report(1), report(2)])
        first, second = predicted_by(trained, examples_of(trained, docs))
        assert set(first.nearest[..., 0].ravel().tolist()) <= {1, -1}
        np.testing.assert_allclose(second.votes[:, 0].astype(float), 1, atol=0.01)  # all O there

    def test_types_that_it_does_not_know_say_nothing(
        self, nlp: Language, reports: list[Doc]
    ) -> None:
        trained = self.trained(nlp, reports[:4])
        other = report(21)
        other.set_ents([other.char_span(0, 7, "Person"), *other.ents])
        found = predicted_by(trained, examples_of(trained, [other, *reports[4:]]))
        assert found[0].own.shape[1] == 5
        unlike = [each.nearest[0] for each in found[1:]]  # "Patient", too
        assert not [place for own in unlike for place in own.tolist() if place == [0, 0]]

    def test_a_pipeline_that_has_seen_a_document_is_refused(
        self, nlp: Language, reports: list[Doc]
    ) -> None:
        trained = self.trained(nlp, reports)
        component_of(trained).fit_neighbors(examples_of(trained, reports[:3]))
        with pytest.raises(ValueError, match="trained on 2 of the 3 documents, such as case-01"):
            predicted_by(trained, examples_of(trained, reports[1:4]))
