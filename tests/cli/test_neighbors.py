"""Commands on neighbors: what they pass on, print, write and refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy

from spacy_btl.packaging import final_training
from spacy_btl.pipeline import workflow
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.pipeline.workflow import FittedNeighbors
from tests.cli.conftest import Run


def saved(folder: Path) -> BtlKnnNer:
    return component_of(spacy.load(folder))


class TestFitKnn:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], {}),
            (["--dev", "gold.spacy"], {"dev": 4}),
            (["--dev", "gold.spacy", "--fixed"], {"dev": 4, "fixed": True}),
            (["--keys", "hidden"], {"keys": "hidden"}),
            (["--dropout", "0.2", "--passes", "3"], {"dropout": 0.2, "passes": 3}),
        ],
    )
    def test_options_are_passed_on(
        self,
        run: Run,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        options: list[str],
        expected: dict[str, Any],
    ) -> None:
        passed: dict[str, Any] = {}

        def fit_knn(nlp: Any, train: Any, dev: Any, **settings: Any) -> FittedNeighbors:
            passed.update(settings, train=len(train), dev=None if dev is None else len(dev))
            return FittedNeighbors(7, None)

        monkeypatch.setattr(workflow, "fit_knn", fit_knn)
        output = run("fit-knn", "model", "gold.spacy", tmp_path / "out", *options)
        defaults = {"fixed": False, "keys": None, "dropout": 0.0, "passes": 1, "dev": None}
        assert passed == {"train": 4, **defaults, **expected}
        assert "7 tokens" in output

    def test_with_dev(self, run: Run, tmp_path: Path) -> None:
        options = ("--dev", "dev.spacy", "--report", tmp_path / "report")
        output = run("fit-knn", "model", "gold.spacy", tmp_path / "out", *options)
        assert "| chosen |" in output
        assert "18 tokens" in output
        assert (tmp_path / "report" / "dev.json").is_file()
        assert saved(tmp_path / "out").calibration is not None

    @pytest.mark.parametrize(("dev", "is_calibrated"), [("dev.spacy", True), ("gold.spacy", False)])
    def test_why_scores_stay_raw(
        self, run: Run, tmp_path: Path, dev: str, is_calibrated: bool
    ) -> None:
        output = run("fit-knn", "model", "gold.spacy", tmp_path / "out", "--dev", dev, "--fixed")
        reason = "The scores stay raw: 6 predicted entities of dev are correct, none is wrong"
        assert (reason in output) == (not is_calibrated)
        assert ("on only 1 wrong of 7 predicted entities" in output) == is_calibrated
        assert (saved(tmp_path / "out").calibration is not None) == is_calibrated

    def test_without_dev_a_warning(self, run: Run, tmp_path: Path) -> None:
        output = run("fit-knn", "model", "gold.spacy", tmp_path / "out")
        assert "Without --dev the settings stay as they are" in output
        assert saved(tmp_path / "out").has_neighbors

    @pytest.mark.parametrize(
        ("arguments", "message", "status"),
        [
            (["no-model", "gold.spacy", "out"], "no-model", 1),
            (["model", "no.spacy", "out"], "no.spacy", 1),
            (["model", "empty.spacy", "out"], "empty.spacy contains no document", 1),
            (
                ["model", "gold.spacy", "out", "--dev", "empty.spacy"],
                "empty.spacy contains no document",
                1,
            ),
            (["model", "gold.spacy", "out", "--fixed"], "give --dev", 1),
            (["model", "gold.spacy", "out", "--report", "r"], "give --dev", 1),
            (["model", "gold.spacy", "out", "--dropout", "2"], "dropout is 2.0", 1),
            (["model", "gold.spacy", "gold.spacy"], "gold.spacy is a file", 1),
            (["model", "gold.spacy", "out", "--keys", "logit"], "logit", 2),
        ],
    )
    def test_refused(
        self, run: Run, stage: Path, arguments: list[str], message: str, status: int
    ) -> None:
        assert message in run("fit-knn", *arguments, expect=status)
        assert not (stage / "out").exists()


class TestTrainFinal:
    def test_a_new_pipeline(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passed: list[int] = []

        def train_final(nlp: Any, train: Any, dev: Any) -> Any:
            passed.extend([len(train), len(dev)])
            return nlp

        monkeypatch.setattr(final_training, "train_final", train_final)
        output = run("train-final", "fitted", "gold.spacy", "gold.spacy", tmp_path / "out")
        assert passed == [4, 4]
        assert "trained on train and dev" in output
        assert saved(tmp_path / "out").has_neighbors

    @pytest.mark.parametrize(
        ("out", "dev", "message"),
        [
            ("fitted", "gold.spacy", "fitted is an input too, and would be lost"),
            ("out", "empty.spacy", "empty.spacy contains no document"),
            ("out", "gold.spacy", "dev has not chosen yet"),
        ],
    )
    def test_refused(self, run: Run, stage: Path, out: str, dev: str, message: str) -> None:
        assert message in run("train-final", "fitted", "gold.spacy", dev, out, expect=1)
        assert not (stage / "out").exists()


class TestExplain:
    def test_text(self, run: Run) -> None:
        output = run("explain", "fitted", "--file", "report.txt")
        assert "aspirin | Medication" in output
        assert "document case-0, character 16" in " ".join(output.split())
        assert "daily" not in output

    def test_with_a_corpus(self, run: Run) -> None:
        output = run("explain", "fitted", "--file", "report.txt", "--corpus", "gold.spacy")
        assert "[[aspirin]] daily" in output

    def test_json_and_page(self, run: Run, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        output = run("explain", "fitted", "--file", "report.txt", "--json", "--html", page)
        values, _ = json.JSONDecoder().raw_decode(output)
        assert [entity["label"] for entity in values["entities"]] == ["Medication"]
        assert str(page) in output
        assert "report.txt" in page.read_text(encoding="utf8")
        command = ("explain", "fitted", "--file", "report.txt", "--html", page)
        assert "--force replaces it" in " ".join(run(*command, expect=1).split())
        assert "aspirin |" not in run(*command, "--force")

    @pytest.mark.parametrize(
        ("model", "file", "message"),
        [
            ("model", "report.txt", "no neighbors to explain its entities by"),
            ("fitted", "latin.txt", "latin.txt is not plain text in UTF-8"),
            ("fitted", "no-such.txt", "no-such.txt"),
        ],
    )
    def test_refused(self, run: Run, model: str, file: str, message: str) -> None:
        assert message in run("explain", model, "--file", file, expect=1)


class TestEditing:
    def test_documents(self, run: Run) -> None:
        assert "| case-0 | 7 | | case-1 | 6 |" in run("documents", "fitted")
        assert "case" not in run("documents", "model")

    def test_add_examples(self, run: Run, tmp_path: Path) -> None:
        run("remove-documents", "fitted", tmp_path / "less", "case-1", "case-2")
        options = ("--only-entities", "--weight", 2)
        output = run("remove-documents", tmp_path / "less", tmp_path / "none", "case-0", "case-3")
        assert "10 tokens of 2 documents removed" in output
        out = tmp_path / "more"
        output = run("add-examples", tmp_path / "none", "gold.spacy", out, *options)
        assert "8 tokens added, new types: none" in output
        assert len(saved(out).neighbors.datastore) == 16

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["add-examples", "fitted", "gold.spacy", "out"], "'case-0', 'case-1'"),
            (["add-examples", "model", "gold.spacy", "out"], "run fit-knn first"),
            (["add-examples", "fitted", "empty.spacy", "out"], "empty.spacy contains no document"),
            (["add-examples", "fitted", "gold.spacy", "out", "--weight", "0"], "weight is 0"),
            (["remove-documents", "fitted", "out", "case-9"], "'case-9'"),
            (["remove-documents", "model", "out", "case-0"], "run fit-knn first"),
        ],
    )
    def test_refused(self, run: Run, stage: Path, arguments: list[str], message: str) -> None:
        assert message in run(*arguments, expect=1)
        assert not (stage / "out").exists()
