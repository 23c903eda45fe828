"""Tools of others: medspaCy, Presidio, MLflow, spacy-llm, the hub, displaCy, spaCy's own."""

import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import spacy
import srsly
from spacy import displacy
from spacy.cli._util import app as spacy_app
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from thinc.api import Config
from typer.testing import CliRunner

from spacy_btl import brat
from spacy_btl.annotate import AnnotationSettings, OmopSettings, annotate_files
from spacy_btl.conversion.convert import read_brat
from spacy_btl.pipeline.component import component_of
from tests.helpers.annotating import train as train_pipeline
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

ROOT = Path(__file__).parents[2]
NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
PUNCTUATED = (
    "She had no chest pain. She took warfarin",
    "He denies fever",
    "Family History: chest pain. Medications: aspirin",
    "She had fever. Family History: chest pain. Medications: aspirin",
)
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    return nlp.from_bytes(trained)


@pytest.fixture
def model(nlp: Language, tmp_path: Path) -> Path:
    """Return the folder of a pipeline with fitted neighbors; beside it its sentences, dev.spacy."""
    component_of(nlp).fit_neighbors(make_examples(nlp))
    nlp.to_disk(tmp_path / "model")
    references = [example.reference for example in make_examples(nlp)]
    DocBin(docs=references).to_disk(tmp_path / "dev.spacy")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def with_punctuation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a pipeline that is trained with punctuation."""
    more = []
    for text in PUNCTUATED:
        words = {"Sign_symptom": ("chest pain", "fever"), "Medication": ("aspirin", "warfarin")}
        found = [(text.find(w), w, label) for label, ws in words.items() for w in ws if w in text]
        more.append((text, [(start, start + len(w), label) for start, w, label in sorted(found)]))
    return train_pipeline(tmp_path_factory.mktemp("punctuation") / "model", more)


def page_block(words: str, language: str = "python") -> str:
    """Return the only block of the page that contains some words."""
    page = (ROOT / "docs" / "companions.md").read_text(encoding="utf8")
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (block,) = [block for block in blocks if words in block]
    return str(block)


def run_block(words: str, **names: Any) -> dict[str, Any]:
    """Run a block of the page and return the names that it defines."""
    exec(compile(page_block(words), "companions.md", "exec"), names)
    return names


def run(*arguments: Any) -> str:
    """Return output of a spaCy command."""
    result = CliRunner().invoke(spacy_app, [str(each) for each in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


class TestConText:
    """Return the findings that medspaCy takes for negated, from our component's entities."""

    @pytest.fixture
    def clinical(self, with_punctuation: Path) -> Language:
        pytest.importorskip("medspacy", reason="medspaCy is not installed")
        nlp = spacy.load(with_punctuation)
        nlp.add_pipe("sentencizer")
        nlp.add_pipe("medspacy_context")
        return nlp

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("She had fever", [("fever", "Sign_symptom", False)]),
            ("No fever", [("fever", "Sign_symptom", True)]),
            ("He denies fever", [("fever", "Sign_symptom", True)]),
            (
                "She had no chest pain. She took warfarin",
                [("chest pain", "Sign_symptom", True), ("warfarin", "Medication", False)],
            ),
        ],
    )
    def test_negated(
        self, clinical: Language, text: str, expected: list[tuple[str, str, bool]]
    ) -> None:
        (doc,) = clinical.pipe([text])
        assert [(e.text, e.label_, e._.is_negated) for e in doc.ents] == expected
        assert all(ent._.btl_score > 0.5 for ent in doc.ents)

    def test_the_page(self, clinical: Language, capsys: pytest.CaptureFixture[str]) -> None:
        """Its example, which other environments only read."""
        for name in ("sentencizer", "medspacy_context"):
            clinical.remove_pipe(name)
        run_block("medspacy_context", nlp=clinical)
        shown = capsys.readouterr().out
        assert "('chest pain', 'Sign_symptom', True, " in shown
        assert "('warfarin', 'Medication', False, " in shown

    def test_what_it_says_goes_into_an_omop_table(self, tmp_path: Path) -> None:
        """Unmarked entities were looked at too: "not negated" is not "nothing said"."""
        pytest.importorskip("medspacy", reason="medspaCy is not installed")
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        patterns = [{"label": "Finding", "pattern": t} for t in ("chest pain", "fever", "warfarin")]
        nlp.add_pipe("entity_ruler").add_patterns(patterns)
        nlp.add_pipe("medspacy_context")
        nlp.to_disk(tmp_path / "model")
        text = "She had no chest pain. History of fever. She took warfarin"
        (tmp_path / "in.jsonl").write_text(json.dumps({"id": 1, "text": text}) + "\n")
        settings = AnnotationSettings(to="omop")
        output = tmp_path / "out"
        annotate_files(tmp_path / "model", tmp_path / "in.jsonl", output, settings)
        with (output / "annotations" / "note_nlp.csv").open(newline="") as file:
            rows = {row["lexical_variant"]: row for row in csv.DictReader(file)}
        said = {t: (row["term_exists"], row["term_temporal"]) for t, row in rows.items()}
        assert said == {
            "chest pain": ("N", "present"),
            "fever": ("Y", "past"),
            "warfarin": ("Y", "present"),
        }

    def test_saved_and_loaded(self, clinical: Language, tmp_path: Path) -> None:
        clinical.to_disk(tmp_path)
        doc = spacy.load(tmp_path)("No fever")
        assert [ent._.is_negated for ent in doc.ents] == [True]

    def test_a_docbin_keeps_the_entities(self, clinical: Language) -> None:
        """Not ConText's own findings: they are objects in ``doc.user_data``."""
        doc = clinical("No fever")
        with pytest.raises(TypeError, match="serialize"):
            DocBin(docs=[doc], store_user_data=True)
        (back,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(clinical.vocab)
        assert entities(back) == GOLD[2]
        assert back.ents[0]._.btl_score == doc.ents[0]._.btl_score


class TestSectionizer:
    """Sections of medspaCy for our entities."""

    TEXT = "Family History: chest pain. Medications: aspirin"

    @pytest.fixture
    def clinical(self, with_punctuation: Path) -> Language:
        pytest.importorskip("medspacy", reason="medspaCy is not installed")
        return spacy.load(with_punctuation)

    def test_the_page(self, clinical: Language, capsys: pytest.CaptureFixture[str]) -> None:
        doc = run_block("medspacy_sectionizer", nlp=clinical)["doc"]
        assert "('aspirin', 'medications')" in capsys.readouterr().out
        assert entities(doc) == [("aspirin", "Medication")]
        found = [(span.text, span._.section_category) for span in doc.spans[NAME]]
        assert found == [("chest pain", "family_history"), ("aspirin", "medications")]
        assert doc.spans[NAME][0]._.is_family
        assert [ent._.btl_score for ent in doc.ents] == doc.spans[NAME].attrs["scores"][1:]

    @pytest.mark.parametrize(("boundary", "expected"), [(False, True), (True, False)])
    def test_a_title_begins_a_sentence(
        self, clinical: Language, boundary: bool, expected: bool
    ) -> None:
        """ConText counts "family" for the next section only without the setting of the page."""
        clinical.add_pipe("sentencizer")
        settings = {"apply_sentence_boundary": boundary}
        clinical.add_pipe("medspacy_sectionizer", config=settings)
        clinical.add_pipe("medspacy_context")
        doc = clinical("Family History: chest pain\nMedications: aspirin")
        assert {ent.text: ent._.is_family for ent in doc.ents}["aspirin"] == expected

    def test_sections_in_an_omop_table(self, clinical: Language, tmp_path: Path) -> None:
        clinical.add_pipe("medspacy_sectionizer")
        clinical.to_disk(tmp_path / "model")
        text = f"She had fever. {self.TEXT}"
        (tmp_path / "in.jsonl").write_text(json.dumps({"id": 1, "text": text}) + "\n")
        sections = tmp_path / "sections.csv"
        sections.write_text("section,concept_id\nfamily_history,7\n")
        settings = AnnotationSettings(to="omop", omop=OmopSettings(sections=sections))
        output = tmp_path / "out"
        summary = annotate_files(tmp_path / "model", tmp_path / "in.jsonl", output, settings)
        with (output / "annotations" / "note_nlp.csv").open(newline="") as file:
            rows = {row["lexical_variant"]: row for row in csv.DictReader(file)}
        assert {text: row["section_concept_id"] for text, row in rows.items()} == {
            "fever": "",
            "chest pain": "7",
            "aspirin": "0",
        }
        assert rows["chest pain"]["term_modifiers"] == "Subject=family"
        assert summary.sections == {"known": 1, "none": 1, "unknown": 1}


class TestEntityLinker:
    """spaCy's linker gives our entities the only concept of their text."""

    def test_the_page(self, nlp: Language, capsys: pytest.CaptureFixture[str]) -> None:
        names = run_block("InMemoryLookupKB", nlp=nlp)
        shown = "[('warfarin', 'C-100'), ('chest pain', 'C-200'), ('fever', 'NIL')]"
        assert shown in capsys.readouterr().out
        assert None not in [ent._.btl_score for ent in names["doc"].ents]
        (doc,) = nlp.pipe(["Coumadin. Chest pain"])
        assert {e.text: e.kb_id_ for e in doc.ents}.items() <= {
            "Coumadin": "C-100",
            "Chest pain": "C-200",
        }.items()


class TestPresidio:
    """BRAT files are de-identified, and each entity is still at its words."""

    TEXT = (
        "Mary Miller, MRN 1234567, was seen by Dr. Jones on 03/04/2021.\r\n"
        "She had chest pain \U0001f912 and fever since 2021-03-01; she took warfarin.\n"
        "Call +1 212 555 0123 or write to mary.miller@example.org.\n"
    )
    SECRETS = ("Mary", "Miller", "Jones", "1234567", "2021", "555", "example")
    KEPT = (("chest pain", "Sign_symptom"), ("fever", "Sign_symptom"), ("warfarin", "Medication"))

    def write(self, folder: Path) -> None:
        """Write a document with an entity that is masked, a free note, and entities that stay."""
        marked = [*self.KEPT, ("2021-03-01", "Date"), ("Dr. Jones on 03/04/2021", "Person")]
        lines = []
        for i, (words, label) in enumerate(marked, 1):
            start = self.TEXT.index(words)
            lines.append(f"T{i}\t{label} {start} {start + len(words)}\t{words}\n")
        lines += ["#1\tAnnotatorNotes T1\tMary Miller says so\n", "A1\tNegation T1\n"]
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "case.txt").write_bytes(self.TEXT.encode())
        (folder / "deep" / "case.ann").write_bytes("".join(lines).encode())

    @pytest.fixture
    def hidden(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        pytest.importorskip("presidio_analyzer", reason="Presidio is not installed")
        pytest.importorskip("presidio_anonymizer", reason="Presidio is not installed")
        monkeypatch.chdir(tmp_path)
        self.write(tmp_path / "my_brat")
        run_block("presidio_analyzer")
        return tmp_path / "hidden"

    def test_nothing_is_left(self, hidden: Path) -> None:
        written = "".join(p.read_bytes().decode() for p in hidden.rglob("*") if p.is_file())
        assert [secret for secret in self.SECRETS if secret in written] == []
        assert "A1\tNegation T1" in written

    def test_entities_are_at_their_words(self, hidden: Path) -> None:
        (document,) = brat.read_folder(hidden)
        assert document.text is not None
        assert (len(document.text), document.problems) == (len(self.TEXT), ())
        assert document.text.count("\r\n") == 1
        texts = [(entity.text, entity.label) for entity in document.standoff.entities]
        assert texts[:3] == list(self.KEPT)
        assert texts[3:] == [("0000-00-00", "Date"), ("xx. xxxxx on 00/00/0000", "Person")]

    def test_read_for_training(self, hidden: Path) -> None:
        (doc,), _ = read_brat(hidden)
        assert [pair for pair in entities(doc) if pair in self.KEPT] == list(self.KEPT)

    def test_offsets_that_are_wrong_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("presidio_analyzer", reason="Presidio is not installed")
        monkeypatch.chdir(tmp_path)
        self.write(tmp_path / "my_brat")
        path = tmp_path / "my_brat" / "deep" / "case.ann"
        path.write_text("T1\tSign_symptom 0 5\tfever\n")
        with pytest.raises(ValueError, match="offsets that are wrong would stay wrong"):
            run_block("presidio_analyzer")
        assert not (tmp_path / "hidden").exists()


class TestHub:
    """A dry run of an upload, without a network."""

    def test_the_page(
        self,
        model: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "training").mkdir()
        model.rename(tmp_path / "training" / "model-knn")
        operations = run_block("CommitOperationAdd")["operations"]
        folder = tmp_path / "training" / "model-knn"
        rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        assert {"config.cfg", "meta.json"} < set(rows)
        assert rows == {
            name: [str(path.stat().st_size), hashlib.sha256(path.read_bytes()).hexdigest()]
            for name, path in files.items()
        }
        assert len(operations) == len(files)


LLM_CONFIG = """
[nlp]
lang = "en"
pipeline = ["llm","btl_knn_ner"]
tokenizer = {"@tokenizers":"spacy-btl.ClinicalTokenizer.v1"}

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "spacy.SpanCat.v3"
labels = ["Family_member"]
spans_key = "llm"

[components.llm.model]
@llm_models = "spacy.NoOp.v1"

[components.btl_knn_ner]
source = "training/model-knn"
"""


class TestSpacyLlm:
    """A language model beside our component, with one that answers nothing."""

    @pytest.fixture
    def both(self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Language:
        pytest.importorskip("spacy_llm", reason="spacy-llm is not installed")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "training").mkdir()
        model.rename(tmp_path / "training" / "model-knn")
        (tmp_path / "llm.cfg").write_text(LLM_CONFIG)
        run("assemble", "llm.cfg", "both")
        return spacy.load("both")

    def test_before_ours(self, both: Language) -> None:
        assert both.pipe_names == ["llm", NAME]
        doc = both(TEXTS[1])
        assert entities(doc) == GOLD[1]
        assert list(doc.spans["llm"]) == []
        assert None not in [ent._.btl_score for ent in doc.ents]

    @pytest.mark.parametrize(
        ("task", "expected"), [("spacy.SpanCat.v3", GOLD[1]), ("spacy.NER.v3", [])]
    )
    def test_behind_ours(self, both: Language, task: str, expected: list[tuple[str, str]]) -> None:
        """The warnings of the page are true: no scores, or no entities."""
        both.remove_pipe("llm")
        settings = {"@llm_tasks": task, "labels": ["Family_member"]}
        noop = {"@llm_models": "spacy.NoOp.v1"}
        both.add_pipe("llm", config={"task": settings, "model": noop})
        doc = both(TEXTS[1])
        assert entities(doc) == expected
        assert [ent._.btl_score for ent in doc.ents] == [None] * len(expected)


class TestDisplacy:
    def test_entities(self, nlp: Language) -> None:
        html = displacy.render(nlp(TEXTS[1]), style="ent", jupyter=False)
        assert html.count("<mark") == len(GOLD[1])
        assert html.count("Sign_symptom") == len(GOLD[1])

    def test_the_spans_with_scores(self, nlp: Language) -> None:
        options = {"spans_key": NAME}
        html = displacy.render(nlp(TEXTS[0]), style="span", jupyter=False, options=options)
        assert [label in html for label in LABELS] == [True, True, False]


class TestCommands:
    def test_evaluate(self, model: Path) -> None:
        dev, output = model.with_name("dev.spacy"), model.with_name("scores.json")
        shown = run("evaluate", model, dev, "--output", output)
        rows = [line.split() for line in shown.splitlines()]
        assert ["NER", "F", "100.00"] in rows
        assert [label for label in LABELS if [label, *["100.00"] * 3] not in rows] == []
        scores = json.loads(output.read_text(encoding="utf8"))
        assert {"ents_f": 1.0, "ents_macro_f": 1.0, "token_macro_r": 1.0}.items() <= scores.items()
        assert {
            label: each["f"] for label, each in scores["ents_per_type"].items()
        } == dict.fromkeys(LABELS, 1.0)

    def test_benchmark_speed(self, model: Path) -> None:
        sizes = ["--batches", 30, "--batch-size", 2]
        shown = run("benchmark", "speed", model, model.with_name("dev.spacy"), *sizes)
        assert "words/s" in shown

    def test_assemble(self, model: Path, tmp_path: Path) -> None:
        config = {
            "paths": {"model": str(model)},
            "nlp": {"lang": "en", "pipeline": ["sentencizer", "clinical"]},
            "components": {
                "sentencizer": {"factory": "sentencizer"},
                "clinical": {"source": "${paths.model}", "component": NAME},
            },
        }
        Config(config).to_disk(tmp_path / "assemble.cfg")
        run("assemble", tmp_path / "assemble.cfg", tmp_path / "assembled")
        nlp = spacy.load(tmp_path / "assembled")
        assert nlp.pipe_names == ["sentencizer", "clinical"]
        assert component_of(nlp).has_neighbors
        assert [entities(doc) for doc in nlp.pipe(TEXTS)] == GOLD

    def test_assemble_as_on_the_page(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "training").mkdir()
        model.rename(tmp_path / "training" / "model-knn")
        (tmp_path / "both.cfg").write_text(page_block("[components.sentencizer]", "ini"))
        run("assemble", "both.cfg", "both")
        nlp = spacy.load("both")
        assert nlp.pipe_names == ["sentencizer", NAME]
        assert [entities(doc) for doc in nlp.pipe(TEXTS)] == GOLD

    def test_find_threshold(self, model: Path) -> None:
        """The neighbors' share is found so; ``fit-knn`` chooses thresholds by type."""
        dev = model.with_name("dev.spacy")
        shown = run("find-threshold", model, dev, NAME, "neighbor_weight", "ents_f", "-n", 3)
        rows = [line.split() for line in shown.splitlines()]
        assert [
            row for row in (["0.0", "1.0"], ["0.5", "1.0"], ["1.0", "1.0"]) if row not in rows
        ] == []

    def test_from_a_partial_config(self, model: Path, tmp_path: Path) -> None:
        """Filled in, checked, its data shown, and good to train with."""
        partial = {
            "nlp": {"lang": "en", "pipeline": [NAME]},
            "components": {NAME: {"factory": NAME}},
        }
        Config(partial).to_disk(tmp_path / "partial.cfg")
        run("init", "fill-config", tmp_path / "partial.cfg", tmp_path / "full.cfg")
        config = Config().from_disk(tmp_path / "full.cfg", interpolate=False)
        assert config["components"][NAME]["neighbors"]["n_neighbors"] == 17
        weights = config["training"]["score_weights"]
        assert (weights["ents_f"], weights["ents_macro_f"]) == (0.5, 0.5)
        dev = model.with_name("dev.spacy")
        paths = ["--paths.train", dev, "--paths.dev", dev]
        assert "Config is valid" in run("debug", "config", tmp_path / "full.cfg", *paths)
        command = ["debug", "data", tmp_path / "full.cfg", *paths]
        result = CliRunner().invoke(spacy_app, [str(each) for each in command])
        assert "Pipeline can be initialized with data" in result.output
        assert "Corpus is loadable" in result.output
        assert "Low number of examples" in result.output  # four: its only complaint
        assert result.exit_code == 1


class TestLoggers:
    """Training shows the scores that are named in ``training.score_weights``."""

    def train(self, model: Path, logger: dict[str, Any], output: Path | None = None) -> str:
        nlp = spacy.load(model)
        config = Config(nlp.config).copy()
        dev = {"@readers": "spacy.Corpus.v1", "path": str(model.with_name("dev.spacy"))}
        config["corpora"] = {"train": dev, "dev": dev}
        config["training"] |= {"max_steps": 31, "eval_frequency": 30, "logger": logger}
        shown = io.StringIO()
        if output is not None:
            output.mkdir()  # as spacy train does
        train(init_nlp(config), output, stdout=shown)
        return shown.getvalue()

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_console(self, model: Path, version: int) -> None:
        shown = self.train(model, {"@loggers": f"spacy.ConsoleLogger.v{version}"})
        *_, header, _, first, last = (line.split() for line in shown.splitlines() if line.strip())
        columns = ["ENTS_F", "ENTS_MACRO_F", "ENTS_P", "ENTS_R", "TOKEN_MACRO_R", "SCORE"]
        assert header[-6:] == columns
        assert (first[1], last[1]) == ("0", "30")
        assert last[-6:] == [*["100.00"] * 5, "1.00"]

    def test_console_file(self, model: Path, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        self.train(model, {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(path)})
        rows = list(srsly.read_jsonl(path))
        assert [row["step"] for row in rows] == [0, 30]
        assert rows[-1]["scores"]["ents_macro_f"] == 100.0

    def test_a_chain(self, model: Path, tmp_path: Path) -> None:
        """spacy-loggers comes with spaCy: several loggers at once."""
        path = tmp_path / "log.jsonl"
        lookup = {"@loggers": "spacy.LookupLogger.v1", "patterns": ["ents_macro_f"]}
        console = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(path)}
        chain = {"@loggers": "spacy.ChainLogger.v1", "logger1": lookup, "logger2": console}
        shown = self.train(model, chain)
        assert shown.count("other_scores.ents_macro_f -> ") == 2
        assert [row["step"] for row in srsly.read_jsonl(path)] == [0, 30]

    @pytest.mark.parametrize("version", [1, 2])
    def test_mlflow(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
    ) -> None:
        mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
        pytest.importorskip("sqlalchemy", reason="MLflow has no database")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        store = f"sqlite:///{tmp_path}/mlflow.db"
        mlflow.set_tracking_uri(store)
        block = page_block("MLflowLogger", "ini").replace(
            "MLflowLogger.v1", f"MLflowLogger.v{version}"
        )
        logger = Config().from_str(f"[training]\n\n{block}")["training"]["logger"]
        output = tmp_path / "trained" if version == 1 else None
        self.train(model, logger, output)
        client = mlflow.MlflowClient(store)
        (found,) = client.search_runs(["0"])
        assert found.info.run_name == "clinical"
        assert found.data.metrics["ents_f"] == 1.0
        assert found.data.metrics["ents_per_type.Medication.f"] == 1.0
        assert len(client.get_metric_history(found.info.run_id, "ents_f")) == 2  # step 0 and 30
        assert found.data.params[f"components.{NAME}.neighbors.n_neighbors"] == "1"
        assert "paths.train" not in found.data.params
        if output:
            last = max(tmp_path.rglob("model.spacy"), key=lambda path: path.stat().st_mtime)
            assert [entities(doc) for doc in spacy.load(last).pipe(TEXTS)] == GOLD


@pytest.mark.parametrize("store_user_data", [False, True])
def test_docbin(nlp: Language, store_user_data: bool) -> None:
    """Entities and scores are kept either way, what others wrote on the document with user data."""
    doc = nlp(TEXTS[1])
    doc.user_data["brat"] = {"name": "case-1"}
    data = DocBin(docs=[doc], store_user_data=store_user_data).to_bytes()
    (back,) = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    assert back.text == doc.text
    assert entities(back) == GOLD[1]
    assert [(span.text, span.label_) for span in back.spans[NAME]] == GOLD[1]
    assert list(back.spans[NAME].attrs["scores"]) == list(doc.spans[NAME].attrs["scores"])
    assert [ent._.btl_score for ent in back.ents] == [ent._.btl_score for ent in doc.ents]
    assert ("brat" in back.user_data) == store_user_data


class TestMergedTokens:
    """``merge_entities`` behind the component: spaCy itself leaves ``doc.spans`` as they were."""

    TEXT = "He took 5 mg of aspirin daily. She had chest pain and fever"
    FOUND: ClassVar[list[tuple[str, str]]] = [*GOLD[0], *GOLD[1]]

    @pytest.fixture
    def merging(self, nlp: Language) -> Language:
        component_of(nlp).fit_neighbors(make_examples(nlp))
        nlp.add_pipe("merge_entities")
        return nlp

    def check(self, doc: Doc) -> None:
        assert "chest pain" in [token.text for token in doc]
        assert entities(doc) == self.FOUND
        assert [(span.text, span.label_) for span in doc.spans[NAME]] == self.FOUND
        assert [ent._.btl_score for ent in doc.ents] == list(doc.spans[NAME].attrs["scores"])
        assert None not in [ent._.btl_score for ent in doc.ents]

    def test_in_the_document_and_saved(self, merging: Language) -> None:
        doc = merging(self.TEXT)
        self.check(doc)
        self.check(next(DocBin(docs=[merging(self.TEXT)]).get_docs(merging.vocab)))
        spans = merging(self.TEXT).to_json()["spans"][NAME]
        assert [(self.TEXT[s["start"] : s["end"]], s["label"]) for s in spans] == self.FOUND

    def test_in_processes(self, merging: Language) -> None:
        for doc in merging.pipe([self.TEXT] * 3, n_process=2, batch_size=1):
            self.check(doc)

    def test_evaluate_and_explain(self, merging: Language) -> None:
        assert merging.evaluate(make_examples(merging))["ents_f"] == 1.0
        evidence = component_of(merging).explain(merging(self.TEXT))
        assert [(self.TEXT[e.start : e.end], e.label) for e in evidence] == self.FOUND

    @pytest.mark.parametrize("to", ["jsonl", "brat", "docbin"])
    def test_annotate(self, merging: Language, tmp_path: Path, to: str) -> None:
        merging.to_disk(tmp_path / "model")
        (tmp_path / "in.jsonl").write_text(json.dumps({"id": "a", "text": self.TEXT}) + "\n")
        settings = AnnotationSettings(to=to, shard_size=5)
        done = annotate_files(
            tmp_path / "model", tmp_path / "in.jsonl", tmp_path / "out", settings, progress=False
        )
        assert (done.records, done.set_aside) == (1, 0)
        assert sum(done.entities.values()) == len(self.FOUND)

    def test_noun_chunks(self, nlp: Language) -> None:
        """An entity that is only a part of a merged token has no score and no span of its own."""

        @Language.component("btl_test_merge_words")
        def merge_words(doc: Doc) -> Doc:
            with doc.retokenize() as retokenizer:
                retokenizer.merge(doc[1:4])
            return doc

        nlp.add_pipe("btl_test_merge_words")
        with pytest.warns(UserWarning, match="entities are left out of doc.spans"):
            doc = nlp(TEXTS[1])
            assert [span.text for span in doc.spans[NAME]] == ["fever"]
        assert [ent._.btl_score for ent in doc.ents if ent.text != "fever"] in ([], [None])
