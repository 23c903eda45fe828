"""The project's commands one after another, on the bundled sample with a tiny random encoder."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli.debug_config import debug_config
from spacy.cli.package import package
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.vocab import Vocab

import spacy_btl.cli
import spacy_btl.scoring.scorer
from spacy_btl.data.maccrobat import SAMPLE_HEADING
from spacy_btl.explain import text as evidence_text
from spacy_btl.ml.transformer import build_transformer_model
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.scoring.summary import score_documents
from tests.helpers.commands import run
from tests.helpers.datastores import counts_by_label
from tests.helpers.files import tree
from tests.helpers.sentences import entities

ROOT = Path(__file__).parents[2]
CONFIG = srsly.read_yaml(ROOT / "project.yml")["vars"]["config"]
STEPS = 60  # spaCy's loop counts from 0 and ends after the update of this number


def train_tiny(folder: Path, corpus: Path, encoder: Path, seed: int) -> Path:
    overrides = {
        "paths.train": str(corpus / "train.spacy"),
        "paths.dev": str(corpus / "dev.spacy"),
        "paths.log": str(folder / "log.jsonl"),
        "system.seed": seed,
        "training.max_steps": STEPS,
        "training.eval_frequency": 30,
        "training.optimizer.learn_rate.initial_rate": 0.003,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "components.btl_knn_ner.model.tok2vec.name": str(encoder),
        "components.btl_knn_ner.model.tok2vec.precision": "float32",
    }
    train(ROOT / CONFIG, folder, overrides=overrides)
    return folder / "model-best"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    sample = tmp_path_factory.mktemp("assets")
    (sample / "sample").symlink_to(ROOT / "assets" / "sample")
    run("corpus", ROOT / "assets" / "sample", folder / "brat")
    info = srsly.read_json(folder / "brat" / "corpus.json")
    info |= {"heading": SAMPLE_HEADING, "bundled_sample": True}
    srsly.write_json(folder / "brat" / "corpus.json", info)
    run("convert", folder / "brat", folder, "--split", "0.6,0.2,0.2", "--seed", 1)
    return folder


@pytest.fixture(scope="module")
def trained(corpus: Path, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("training"), corpus, tiny_bert, seed=3)


@pytest.fixture(scope="module")
def fitted(corpus: Path, trained: Path) -> Path:
    folder = trained.parent / "model-knn"
    report = trained.parent / "report"
    options = ("--dev", corpus / "dev.spacy", "--report", report)
    output = run("fit-knn", trained, corpus / "train.spacy", folder, *options)
    assert re.search(r"\(model alone\) +\| +0\.\d{3} \| +0\.\d{3} \| +0\.\d{3} \|", output)
    assert output.count("| chosen |") == 1
    return folder


def test_the_checkpoint_knows_something_and_counts_its_updates(trained: Path) -> None:
    rows = list(srsly.read_jsonl(trained.parent / "log.jsonl"))
    assert [row["step"] for row in rows] == [0, 30, 60]
    assert max(row["score"] for row in rows[1:]) > max(5 * rows[0]["score"], 0.03)
    assert "ents_macro_f" in rows[-1]["scores"]
    pipe = spacy.load(trained).get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    assert pipe.state.updates == STEPS + 1


def test_one_seed_gives_the_same_bits(
    corpus: Path, trained: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    again = train_tiny(tmp_path / "again", corpus, tiny_bert, seed=3)
    other = train_tiny(tmp_path / "other", corpus, tiny_bert, seed=4)
    ours, same, different = (
        (folder / "btl_knn_ner" / "model").read_bytes() for folder in (trained, again, other)
    )
    assert ours == same
    assert ours != different


def test_what_dev_has_chosen_is_saved(fitted: Path) -> None:
    trials = srsly.read_json(fitted.parent / "report" / "dev.json")
    best = max(trials, key=lambda trial: trial["micro_f"] + trial["macro_f"])
    nlp = spacy.load(fitted)
    pipe = component_of(nlp)
    now = {**pipe.neighbors.settings, "neighbor_weight": pipe.neighbor_weight}
    assert now == pytest.approx(now | {name: best[name] for name in now if name in best})
    assert pipe.calibration is not None
    assert pipe.calibration is not None
    assert (fitted.parent / "report" / "reliability.png").is_file()
    assert "calibration error" in (fitted.parent / "report" / "dev.md").read_text(encoding="utf8")


def test_settings_can_be_kept(corpus: Path, trained: Path, tmp_path: Path) -> None:
    options = ("--dev", corpus / "dev.spacy", "--fixed")
    run("fit-knn", trained, corpus / "train.spacy", tmp_path / "out", *options)
    pipe = component_of(spacy.load(tmp_path / "out"))
    assert (pipe.neighbors.settings["n_neighbors"], pipe.neighbor_weight) == (17, 1.0)
    assert pipe.calibration is not None


@pytest.mark.parametrize("kind", ["logits", "hidden"])
def test_keys_under_dropout(corpus: Path, trained: Path, tmp_path: Path, kind: str) -> None:
    options = ("--keys", kind, "--dropout", 0.2, "--passes", 2)
    told = run("fit-knn", trained, corpus / "dev.spacy", tmp_path / "out", *options)
    assert "scores are not calibrated" in " ".join(told.split())
    pipe = component_of(spacy.load(tmp_path / "out"))
    store = pipe.neighbors.datastore
    assert (store.key_kind, pipe.keys) == (kind, kind)
    n_tokens = sum(map(len, DocBin().from_disk(corpus / "dev.spacy").get_docs(pipe.vocab)))
    assert len(store) == 2 * n_tokens


class TestExplain:
    TEXT = "A 45-year-old woman had chest pain and took 5 mg of warfarin daily."

    @pytest.fixture
    def report(self, tmp_path: Path) -> Path:
        (tmp_path / "report.txt").write_text(self.TEXT, encoding="utf8")
        return tmp_path / "report.txt"

    def test_with_the_corpus_sentences_are_shown(
        self, corpus: Path, fitted: Path, report: Path
    ) -> None:
        train = corpus / "train.spacy"
        output = run("explain", fitted, "--file", report, "--corpus", train)
        texts = " ".join(doc.text for doc in DocBin().from_disk(train).get_docs(Vocab()))
        assert SAMPLE_HEADING in " ".join(output.split())
        marked = re.findall(r"\[\[(.+?)\]\]", " ".join(output.split()))[1:]  # without the key
        assert marked
        # The terminal breaks lines, also after hyphens.
        bare = ["".join(text.split()) for text in (texts, *marked)]
        assert [text for text in bare if text not in bare[0]] == []

    def test_without_it_only_documents_and_offsets(
        self, corpus: Path, fitted: Path, report: Path
    ) -> None:
        output = run("explain", fitted, "--file", report)
        assert "shown by document and offset only" in output
        names = {doc.user_data["brat"]["name"] for doc in read_train(corpus)}
        assert set(re.findall(r", (\S+) at \d+", output)) <= names
        words = {token.text for doc in read_train(corpus) for token in doc if len(token) > 6}
        ours = set(re.findall(r"\w+", Path(evidence_text.__file__).read_text(encoding="utf8")))
        labels = set(component_of(spacy.load(fitted)).labels)
        assert (words - ours - labels) & set(re.findall(r"[\w-]+", output)) <= {"warfarin"}

    def test_as_json_and_as_a_page(self, corpus: Path, fitted: Path, report: Path) -> None:
        page = report.parent / "page.html"
        values = json.loads(run("explain", fitted, "--file", report, "--json"))
        found = spacy.load(fitted)(self.TEXT)
        assert [(e["start"], e["label"]) for e in values["entities"]] == [
            (ent.start_char, ent.label_) for ent in found.ents
        ]
        options = ("--corpus", corpus / "train.spacy", "--html", page)
        run("explain", fitted, "--file", report, *options)
        assert "</html>" in page.read_text(encoding="utf8")


class TestEditing:
    def test_remove_documents(self, corpus: Path, fitted: Path, tmp_path: Path) -> None:
        before = tree(fitted)
        name = read_train(corpus)[0].user_data["brat"]["name"]
        assert f"| {name} " in run("documents", fitted)
        run("remove-documents", fitted, tmp_path / "less", name)
        assert f"| {name} " not in run("documents", tmp_path / "less")
        for path in (tmp_path / "less").rglob("*"):
            assert path.is_dir() or name.encode() not in path.read_bytes()
        assert tree(fitted) == before
        run("remove-documents", tmp_path / "less", tmp_path / "never", name, expect=1)
        assert not (tmp_path / "never").exists()

    def test_a_pipeline_is_replaced_as_a_whole(
        self, fitted: Path, corpus: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "model"
        shutil.copytree(fitted, output)
        shutil.copytree(output / "btl_knn_ner", output / "of_before")
        name = read_train(corpus)[0].user_data["brat"]["name"]
        message = run("remove-documents", fitted, output, name)
        assert "Warning: the scores of" in message and ".py" not in message
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert not (output / "of_before").exists()
        assert f"| {name} " not in run("documents", output)

    def test_files_of_another_kind_are_not_replaced(
        self, fitted: Path, corpus: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        name = read_train(corpus)[0].user_data["brat"]["name"]
        message = run("remove-documents", fitted, tmp_path, name, expect=1)
        assert "has files, but no pipeline" in " ".join(message.split())
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_add_examples(self, corpus: Path, fitted: Path, tmp_path: Path) -> None:
        nlp = spacy.load(fitted)
        doc = nlp.make_doc("Her left ear was pierced")
        doc.ents = [Span(doc, 1, 3, label="Ear")]
        DocBin(docs=[doc]).to_disk(tmp_path / "more.spacy")
        output = run("add-examples", fitted, tmp_path / "more.spacy", tmp_path / "more")
        assert "5 tokens added, new types: Ear" in " ".join(output.split())
        pipe = component_of(spacy.load(tmp_path / "more"))
        assert pipe.labels[-1] == "Ear"
        majority = pipe.neighbors.n_neighbors // 2 + 1
        assert counts_by_label(pipe.neighbors.datastore)["B-Ear"] == majority
        assert entities(spacy.load(tmp_path / "more")(doc.text)) == [("left ear", "Ear")]
        options = ("--weight", 2, "--only-entities")
        run("add-examples", fitted, tmp_path / "more.spacy", tmp_path / "two", *options)
        store = component_of(spacy.load(tmp_path / "two")).neighbors.datastore
        assert [counts_by_label(store)[label] for label in ("B-Ear", "I-Ear")] == [2, 2]
        assert "Ear" not in component_of(spacy.load(fitted)).labels


class TestShipping:
    def test_the_card_is_in_the_copy_and_the_pipeline_stays_as_it_is(
        self, corpus: Path, fitted: Path, tmp_path: Path
    ) -> None:
        before = tree(fitted)
        train = ("--train", corpus / "train.spacy")
        run("evaluate", fitted, corpus / "test.spacy", "--output", tmp_path, *train)
        options = (
            "--metrics",
            tmp_path / "metrics.json",
            "--dev",
            fitted.parent / "report/dev.json",
        )
        files = ("--account", corpus / "account.json", "--source", corpus / "brat" / "corpus.json")
        names = ("--license", "MIT", "--name", "sample_btl", "--version", "1.2")
        for _ in range(2):  # a second time in place of the first
            run("card", fitted, tmp_path / "card", *options, *files, *names)
        card = (tmp_path / "card" / "README.md").read_text(encoding="utf8")
        meta = srsly.read_json(tmp_path / "card" / "meta.json")
        assert card.startswith(f"# en_sample_btl 1.2\n\n**{SAMPLE_HEADING}**")
        assert meta["model_card"]["updates"] == {"btl_knn_ner": STEPS + 1}
        documents = meta["model_card"]["data"]["documents"]
        assert documents["train"] == len(read_train(corpus))
        assert meta["model_card"]["dev"]["settings"] > 50
        assert f"{documents['train']} train, {documents['dev']} dev" in card
        assert meta["performance"]["ents_f"] == pytest.approx(
            srsly.read_json(tmp_path / "metrics.json")["scores"]["ents_f"], abs=1e-6
        )
        text = "He had chest pain."
        ours, theirs = (spacy.load(path)(text) for path in (fitted, tmp_path / "card"))
        assert entities(ours) == entities(theirs)
        assert tree(fitted) == before

    def test_a_card_is_that_of_one_pipeline_only(self, fitted: Path, tmp_path: Path) -> None:
        nlp = spacy.load(fitted)
        nlp.meta["model_card"] = {"of": "this one"}
        nlp.to_disk(tmp_path / "carded")
        run("drop-neighbors", tmp_path / "carded", tmp_path / "other")
        assert "model_card" not in srsly.read_json(tmp_path / "other" / "meta.json")

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("[]", "has another form"),
            ('"x"', "has another form"),
            ("{}", "none of the files has 'scores'"),
        ],
    )
    def test_a_file_of_another_form_is_told(
        self, fitted: Path, tmp_path: Path, content: str, told: str
    ) -> None:
        (tmp_path / "metrics.json").write_text(content, encoding="utf8")
        options = ("--metrics", tmp_path / "metrics.json")
        output = run("card", fitted, tmp_path / "card", *options, expect=1)
        assert told in " ".join(output.split())
        assert "Traceback" not in output
        assert not (tmp_path / "card").exists()

    @pytest.mark.parametrize("what", ["is an input too", "has files, but no pipeline"])
    def test_a_folder_of_something_else_is_not_replaced(
        self, fitted: Path, tmp_path: Path, what: str
    ) -> None:
        other = tmp_path / "other"
        other.mkdir()
        (other / "mine.txt").write_text("mine", encoding="utf8")
        srsly.write_json(other / "meta.json", {})  # as in a package without a pipeline
        metrics = {"heading": "", "scores": {"ents_per_type": {}}, "intervals": {}, "updates": {}}
        counts = ("documents", "tokens", "gold_entities", "predicted_entities")
        metrics |= dict.fromkeys(counts, 0) | {"machine": {}, "versions": {}}
        srsly.write_json(tmp_path / "metrics.json", metrics)
        target = fitted if "input" in what else other
        output = run("card", fitted, target, "--metrics", tmp_path / "metrics.json", expect=1)
        assert what in " ".join(output.split())
        assert (other / "mine.txt").is_file()

    def test_without_neighbors_the_model_alone_decides(
        self, corpus: Path, fitted: Path, tmp_path: Path
    ) -> None:
        options = ("--dev", corpus / "dev.spacy")
        run("drop-neighbors", fitted, tmp_path / "alone", *options)
        pipe = component_of(spacy.load(tmp_path / "alone"))
        assert (pipe.has_neighbors, pipe.neighbor_weight) == (False, 0.0)
        assert pipe.calibration is not None
        assert (tmp_path / "alone" / "btl_knn_ner" / "neighbors").read_bytes() == b""
        name = read_train(corpus)[0].user_data["brat"]["name"]
        for path in (tmp_path / "alone").rglob("*"):
            assert path.is_dir() or name.encode() not in path.read_bytes()
        again = run("drop-neighbors", tmp_path / "alone", tmp_path / "again")
        assert "not calibrated" not in again  # as it was of the model alone already

    def test_rounded_weights_are_half_as_large(
        self, corpus: Path, fitted: Path, tmp_path: Path
    ) -> None:
        options = ("--to", "bfloat16", "--data", corpus / "dev.spacy")
        output = run("round-weights", fitted, tmp_path / "small", *options)
        assert re.search(r"strict span F1, micro \| +0\.\d{4} \| +0\.\d{4} \|", output)
        before, after = (
            int(count.replace(",", "")) for count in re.findall(r"([\d,]+) (?=bytes|after)", output)
        )
        assert 0.45 < after / before < 0.6
        run("fit-knn", tmp_path / "small", corpus / "dev.spacy", tmp_path / "refitted")
        component_of(spacy.load(tmp_path / "refitted")).check_neighbors()


def read_train(corpus: Path) -> list[Doc]:
    return list(DocBin().from_disk(corpus / "train.spacy").get_docs(Vocab()))


def test_fitted_pipeline_decodes_with_its_neighbors(corpus: Path, fitted: Path) -> None:
    pipe = spacy.load(fitted).get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    docs = DocBin().from_disk(corpus / "train.spacy").get_docs(spacy.blank("en").vocab)
    assert pipe.has_neighbors
    assert len(pipe.neighbors.datastore) == sum(map(len, docs))


def test_stats_of_a_pipeline_show_its_class_weights(corpus: Path, fitted: Path) -> None:
    values = json.loads(run("stats", fitted, "--json"))["btl_knn_ner"]
    account = srsly.read_json(corpus / "account.json")
    assert set(values["labels"]) <= set(account["by_label"])
    assert values["updates"] == STEPS + 1
    assert values["neighbors"] > 4000
    weights = values["weights"]
    assert list(weights)[:2] == ["O", f"B-{values['labels'][0]}"]
    assert weights["O"] == min(weights.values())
    assert "| B-Sign_symptom" in run("stats", fitted)


def test_evaluate_writes_what_it_shows(corpus: Path, fitted: Path, tmp_path: Path) -> None:
    options = ("--output", tmp_path, "--train", corpus / "train.spacy")
    output = run("evaluate", fitted, corpus / "test.spacy", *options)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf8"))
    report = (tmp_path / "report.md").read_text(encoding="utf8")
    assert report in output
    assert report.startswith(f"**{SAMPLE_HEADING}**")
    assert metrics["updates"] == {"btl_knn_ner": STEPS + 1}
    assert metrics["train_counts"]["Sign_symptom"] > 100
    by_type = metrics["scores"]["ents_per_type"]
    assert sum(figures["support"] for figures in by_type.values()) <= metrics["gold_entities"]
    assert f"| {by_type['Sex']['support']} |" in re.sub(" +", " ", report)
    low, high = metrics["intervals"]["ents_f"]
    assert low <= metrics["scores"]["ents_f"] <= high
    rows = list(srsly.read_jsonl(tmp_path / "documents.jsonl"))
    again = score_documents([row["counts"] for row in rows])
    assert again["token_macro_r"] == pytest.approx(metrics["scores"]["token_macro_r"])


def test_what_the_conversion_lost_counts_as_missed(corpus: Path, tmp_path: Path) -> None:
    """A pipeline that repeats doc.ents of the gold documents stays under a recall of 1."""
    docs = list(DocBin().from_disk(corpus / "train.spacy").get_docs(spacy.blank("en").vocab))
    scores = spacy_btl.scoring.scorer.score_ner([Example(doc, doc) for doc in docs])
    account = srsly.read_json(corpus / "account.json")["totals"]
    assert account["flattened"] > 0
    assert account["moved"] > 0
    assert 0.9 < scores["ents_r"] < 1


def test_no_word_of_a_report_is_saved(
    corpus: Path, fitted: Path, trained: Path, tiny_bert: Path
) -> None:
    """Neither in the vocabulary nor anywhere else in the folders that are shipped."""
    encoder = build_transformer_model(str(tiny_bert))
    encoder.initialize()
    docs = list(DocBin().from_disk(corpus / "train.spacy").get_docs(spacy.blank("en").vocab))
    words = {token.text.encode() for doc in docs for token in doc if len(token) > 6}
    words -= {text.encode() for text in spacy.blank("en").vocab.strings}
    words -= words_in(encoder.to_bytes())  # what the encoder knew before any training
    words -= {label.encode() for label in spacy.load(trained).get_pipe("btl_knn_ner").labels}
    words -= {b"predicted"}  # a key of the scores in meta.json
    words -= words_in((ROOT / CONFIG).read_bytes())
    assert len(words) > 500
    for folder in (trained, fitted):
        for path in folder.rglob("*"):
            if path.is_file():
                assert words & words_in(path.read_bytes()) == set(), path


def test_no_sentence_of_a_report_is_in_the_wheel(
    corpus: Path, fitted: Path, tmp_path: Path
) -> None:
    package(fitted, tmp_path, name="leak", version="1.0", create_sdist=False, create_wheel=False)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    folder = tmp_path / "en_leak-1.0"
    built = subprocess.run([*pip, "-w", tmp_path, folder], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(tmp_path / "en_leak-1.0-py3-none-any.whl") as wheel:
        content = b"\n".join(wheel.read(name) for name in wheel.namelist())
    lines = {line.strip() for doc in read_train(corpus) for line in doc.text.splitlines()}
    lines = {line for line in lines if len(line) > 20}
    assert len(lines) > 100
    assert [line for line in lines if line.encode() in content] == []


def words_in(data: bytes) -> set[bytes]:
    return set(re.findall(rb"\w+", data))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "no-such-folder", "out"), "no-such-folder"),
        (("convert", "assets/sample", "out", "--split", "1,2"), "the split must be three shares"),
        (("corpus", "no-such-folder", "out"), "neither"),
        (("fit-knn", "no-such-model", "train.spacy", "out"), "no-such-model"),
        (("fit-knn", "m", "t.spacy", "out", "--fixed"), "give --dev"),
        (("evaluate", "no-such-model", "test.spacy", "--output", "out"), "no-such-model"),
        (("show", "no-such.json", "no-such-folder"), "no wheel in no-such-folder"),
        (("card", "no-such-model", "out", "--metrics", "m.json"), "no-such-model"),
        (("card", "a", "a/b", "--metrics", "m.json"), "a/b is in the input a"),
        (("round-weights", "no-such-model", "out"), "no-such-model"),
        (("drop-neighbors", "no-such-model", "out"), "no-such-model"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    output = run(*arguments, expect=1)
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.cfg")), ids=lambda p: p.name)
def test_configs_are_complete_and_valid(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf8")
    assert text.startswith("# ")  # says what it is for
    places = {name: tmp_path / f"{name}.spacy" for name in ("train", "dev", "sources")}
    for place in places.values():
        DocBin().to_disk(place)
    spacy.blank("en").to_disk(tmp_path / "start")
    places["start"] = tmp_path / "start"
    overrides = {
        f"paths.{name}": str(place)
        for name, place in places.items()
        if f"${{paths.{name}}}" in text
    }
    debug_config(path, overrides=overrides)
