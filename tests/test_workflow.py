"""The project's commands one after another, on the bundled sample with a tiny random encoder."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.cli._util import app as spacy_app
from spacy.cli.debug_config import debug_config
from spacy.cli.train import train
from spacy.tokens import DocBin
from spacy.training import Example
from typer.testing import CliRunner

import spacy_btl.cli
from spacy_btl.component import BtlKnnNer
from spacy_btl.corpus import SAMPLE_HEADING
from spacy_btl.transformer import build_transformer_model

ROOT = Path(__file__).parents[1]
STEPS = 60  # spaCy's loop counts from 0 and ends after the update of this number


def run(*arguments: Any, expect: int = 0) -> str:
    result = CliRunner().invoke(spacy_app, ["btl", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result.output


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
    train(ROOT / "configs" / "btl.cfg", folder, overrides=overrides)
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
    output = run("fit-knn", trained, corpus / "train.spacy", folder, "--dev", corpus / "dev.spacy")
    assert re.search(r"ents_f +0\.\d{3} +0\.\d{3}", output)
    return folder


def test_the_checkpoint_knows_something_and_counts_its_updates(trained: Path) -> None:
    rows = list(srsly.read_jsonl(trained.parent / "log.jsonl"))
    assert [row["updates"] for row in rows] == [1, 31, 61]
    assert max(row["score"] for row in rows[1:]) > max(5 * rows[0]["score"], 0.03)
    assert rows[-1]["seconds"] > 0
    assert "ents_macro_f" in rows[-1]
    pipe = spacy.load(trained).get_pipe("btl_knn_ner")
    assert isinstance(pipe, BtlKnnNer)
    assert pipe.cfg["updates"] == STEPS + 1


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


def test_fitted_pipeline_decodes_with_its_neighbours(corpus: Path, fitted: Path) -> None:
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
    log = fitted.parent / "log.jsonl"
    options = ("--output", tmp_path, "--train", corpus / "train.spacy", "--log", log)
    output = run("evaluate", fitted, corpus / "test.spacy", *options)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf8"))
    report = (tmp_path / "report.md").read_text(encoding="utf8")
    assert report in output
    assert report.startswith(f"**{SAMPLE_HEADING}**")
    assert metrics["training"]["updates"] == STEPS + 1
    assert metrics["updates"] == {"btl_knn_ner": STEPS + 1}
    assert metrics["train_counts"]["Sign_symptom"] > 100
    by_type = metrics["scores"]["ents_per_type"]
    assert sum(figures["support"] for figures in by_type.values()) <= metrics["gold_entities"]
    assert f"| {by_type['Sex']['support']} |" in re.sub(" +", " ", report)
    low, high = metrics["intervals"]["ents_f"]
    assert low <= metrics["scores"]["ents_f"] <= high


def test_what_the_conversion_lost_counts_as_missed(corpus: Path, tmp_path: Path) -> None:
    """A pipeline that repeats doc.ents of the gold documents stays under a recall of 1."""
    docs = list(DocBin().from_disk(corpus / "train.spacy").get_docs(spacy.blank("en").vocab))
    scores = spacy_btl.scorer.score_ner([Example(doc, doc) for doc in docs])
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
    words -= words_in((ROOT / "configs" / "btl.cfg").read_bytes())
    assert len(words) > 500
    for folder in (trained, fitted):
        for path in folder.rglob("*"):
            if path.is_file():
                assert words & words_in(path.read_bytes()) == set(), path


def words_in(data: bytes) -> set[bytes]:
    return set(re.findall(rb"\w+", data))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "no-such-folder", "out"), "no-such-folder"),
        (("convert", "assets/sample", "out", "--split", "1,2"), "--split wants three shares"),
        (("corpus", "no-such-folder", "out"), "neither"),
        (("fit-knn", "no-such-model", "train.spacy", "out"), "no-such-model"),
        (("evaluate", "no-such-model", "test.spacy", "--output", "out"), "no-such-model"),
        (("show", "no-such.json", "no-such-folder"), "no wheel in no-such-folder"),
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
def test_configs_are_complete_and_valid(path: Path) -> None:
    assert path.read_text(encoding="utf8").startswith("# ")  # says what it is for
    debug_config(path, overrides={"paths.train": "train.spacy", "paths.dev": "dev.spacy"})


def test_project_names_commands_that_exist() -> None:
    project = srsly.read_yaml(ROOT / "project.yml")
    commands = {command["name"]: command for command in project["commands"]}
    assert list(commands) == project["workflows"]["all"]
    scripts = " ".join(line for command in commands.values() for line in command["script"])
    ours = {command.name for command in spacy_btl.commands.app.registered_commands}
    assert set(re.findall(r"spacy btl ([a-z-]+)", scripts)) <= ours
    assert set(re.findall(r"\$\{vars\.(\w+)\}", scripts)) == set(project["vars"])
    assert all(command["outputs"] for command in commands.values())
