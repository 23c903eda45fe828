"""The command on two annotators: what it prints and writes."""

import json
from functools import partial
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_btl.planning.forecast import ForecastSettings
from tests.helpers.annotators import ANNA, TEXT, two_folders
from tests.helpers.commands import invoke, run
from tests.helpers.files import tree
from tests.helpers.reports import report, small_config


def test_agreement_prints_figures_and_writes_what_is_asked_for(tmp_path: Path) -> None:
    anna, ben = two_folders(tmp_path)
    before = tree(tmp_path)
    printed = run("agreement", anna, ben)
    assert tree(tmp_path) == before  # text of documents goes only where the user says
    assert "# Agreement of anna and ben" in printed
    assert "WARNING: one document is compared" in printed
    assert not [word for word in TEXT.split() if len(word) > 6 and word in printed]
    page, figures, out = (tmp_path / name for name in ("new/page.html", "figures.json", "out"))
    printed = run("agreement", anna, ben, "--page", page, "--json", figures, "--adjudicate", out,
                  "--names", "A. Smith, B. Jones")  # fmt: skip
    assert json.loads(figures.read_text())["overall"]["strict"] == pytest.approx(0.4)
    assert "salbutamol" in page.read_text()
    assert "only A. Smith" in (out / "case.ann").read_text()
    assert "3 entities agreed, 9 candidates with a note" in " ".join(printed.split())


def test_types_that_one_was_asked_for(tmp_path: Path) -> None:
    folders = two_folders(tmp_path, None, {"case": (TEXT, "")})
    status, printed = invoke("agreement", *folders, "--labels-b", "Problem")
    assert status == 0
    assert "not compared, as only anna was asked for them: Dose 1, Drug 1, History 1" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("anna", "missing"), "the folder or file missing does not exist"),
        (("anna", "ben", "--names", "one"), "must be two different names"),
        (("anna", "ben", "--adjudicate", "anna"), "is not empty: its files are not overwritten"),
        (("anna", "ben", "--labels-a", "Age"), "Problem"),
        (("anna", "other"), "no document of the same name"),
        (("anna", "ben", "--lang", "xq"), 'spaCy has no language "xq"'),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    two_folders(tmp_path)
    two_folders(tmp_path / "x", {"other": (TEXT, ANNA)})[0].rename(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    status, printed = invoke("agreement", *arguments)
    assert status == 1
    assert message in printed


def test_suggest_prints_a_table_and_writes_what_is_asked_for(stage: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    for name, text in {"a": "No fever", "b": "She had chest pain daily"}.items():
        (pool / f"{name}.txt").write_text(text)
    figures, table = tmp_path / "new" / "next.json", tmp_path / "next.csv"
    command = ("suggest", stage / "fitted", pool, "-n", 2, "--known", stage / "gold.spacy")
    status, printed = invoke(*command, "--json", figures, "--csv", table)
    assert status == 0
    assert "1 report to annotate next, 5 words" in printed
    assert "| 1. b |" in printed
    assert "annotated already: a known document has the same words" in printed
    assert [report["id"] for report in json.loads(figures.read_text())["reports"]] == ["b"]
    assert table.read_text().startswith("rank,id,place,words,value")
    assert "chest" not in printed + figures.read_text() + table.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing", "report.txt"), "no pipeline missing"),
        (("fitted", "missing"), "no file or folder missing"),
        (
            ("fitted", "report.txt", "--known", "missing"),
            "the folder or file missing does not exist",
        ),
        (("fitted", "report.txt", "-n", "0"), "n is 0"),
        (("fitted", "report.txt", "--reading-words", "-1"), "reading_words is -1"),
        (("fitted", "latin.txt"), "none of 1 record of latin.txt can be suggested"),
    ],
)
def test_suggest_with_bad_input(
    stage: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(stage)
    status, printed = invoke("suggest", *arguments)
    assert status == 1
    assert message in printed


def test_forecast_writes_figures_and_resumes(
    stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = partial(ForecastSettings, samples=40)  # a curve is fitted to each draw
    monkeypatch.setattr("spacy_btl.planning.forecast.ForecastSettings", few)
    config = spacy.load(stage / "model").config
    config["corpora"]["train"]["path"] = config["corpora"]["dev"]["path"] = None
    config.to_disk("tiny.cfg")
    gold = stage / "gold.spacy"
    command = ("forecast", gold, gold, "curve", "--config", "tiny.cfg", "--sizes", "2,4")
    status, printed = invoke(*command, "--updates", 3, "--repeats", 1)
    assert status == 0
    assert "training 2 of 2: 4 reports, seed 0" in printed
    assert "Reports needed beside the 4 at hand" in printed
    assert json.loads(Path("curve/forecast.json").read_text())["documents"] == 4
    assert "training 2 of 2" not in invoke(*command, "--updates", 3, "--repeats", 1)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing", "gold.spacy"), "the DocBin missing does not exist"),
        (("gold.spacy", "empty.spacy"), "empty.spacy has no entity to score on"),
        (("empty.spacy", "gold.spacy"), "0 training documents make no learning curve"),
        (("gold.spacy", "gold.spacy", "--sizes", "2,99"), "a size is 99"),
        (("gold.spacy", "gold.spacy", "--sizes", "2"), "two different sizes"),
        (
            ("gold.spacy", "gold.spacy", "--config", "no.cfg"),
            "the configuration no.cfg does not exist",
        ),
    ],
)
def test_forecast_with_bad_input(
    stage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(stage)
    config = spacy.load("model").config
    config["corpora"]["train"]["path"] = config["corpora"]["dev"]["path"] = None
    config.to_disk(tmp_path / "tiny.cfg")
    options = () if "--config" in arguments else ("--config", tmp_path / "tiny.cfg")
    status, printed = invoke("forecast", *arguments[:2], tmp_path / "x", *arguments[2:], *options)
    assert status == 1
    assert message in printed


class TestAudit:
    def small(self, folder: Path) -> Path:
        small_config().to_disk(folder / "small.cfg")
        docs = [report(number) for number in range(6)]
        DocBin(docs=docs, store_user_data=True).to_disk(folder / "train.spacy")
        return folder

    def test_it_prints_figures_and_no_text(self, tmp_path: Path) -> None:
        folder = self.small(tmp_path)
        options = ("--folds", 2, "--updates", 2, "--least", 0, "--types", "Drug")
        arguments = (
            folder / "train.spacy",
            "--output",
            folder / "out",
            "--config",
            folder / "small.cfg",
        )
        status, printed = invoke("audit", *arguments, *options)
        assert status == 0
        assert "Documents: 6; entities: 12." in printed
        assert "audit.html (contains text), findings.jsonl and audit.json in" in printed
        assert not [word for word in ("aspirin", "warfarin", "slept") if word in printed]
        assert "aspirin" in (folder / "out" / "audit.html").read_text()
        rows = [json.loads(line) for line in (folder / "out" / "findings.jsonl").open()]
        labels = [[p and p["label"] for p in (r["annotated"], r["suggested"])] for r in rows]
        assert rows
        assert all("Drug" in own for own in labels)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("train.spacy",), "name a training configuration (--config)"),
            (("train.spacy", "--config", "missing.cfg"), "missing.cfg does not exist"),
            (("missing.spacy", "--config", "small.cfg"), "missing.spacy does not exist"),
            (("train.spacy", "--config", "train.spacy"), "is not a training conf"),
            (("train.spacy", "--config", "small.cfg", "--set", "seed=1"), "is not a value"),
            (("train.spacy", "--config", "small.cfg", "--set", "training.dropout=abc"),
             "the setting dropout is wrong (Input should be a valid number); docs/config.md lists"),
            (("train.spacy", "--config", "small.cfg", "--set", "training.max_steps=abc"),
             "in small.cfg, the setting optimizer.learn_rate.total_steps is wrong ('abc' is not"),
            (("train.spacy", "--config", "small.cfg", "--set", "training.nope=1"),
             "small.cfg has no setting training.nope"),
            (("train.spacy", "--config", "small.cfg", "--set", "nlp.lang=xq"),
             "small.cfg is not a training configuration"),
            (("train.spacy", "--model", "m", "--set", "training.seed=1"), "need a config"),
            (("empty", "--config", "small.cfg"), "empty"),
            (("train.spacy", "--config", "small.cfg", "--folds", "7"),
             "6 documents have a text, and an audit needs at least 7"),
            (("train.spacy", "--config", "small.cfg", "--error-rate", "2"),
             "error_rate is 2.0"),
            (("train.spacy", "--model", "small.cfg"), "small.cfg"),
        ],
    )  # fmt: skip
    def test_bad_input(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        message: str,
    ) -> None:
        (self.small(tmp_path) / "empty").mkdir()
        monkeypatch.chdir(tmp_path)
        status, printed = invoke("audit", *arguments, "--output", "out")
        assert status == 1
        assert message in printed
        assert "{'" not in printed  # no block of a configuration
