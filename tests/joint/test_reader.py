"""Several DocBins as one training corpus."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.cli.debug_data import debug_data
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus, Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_model_from_config, registry
from thinc.api import Config

from spacy_btl.data.label_sets import corpus_of, label_set_of, set_label_set
from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.joint.reader import JointCorpus
from spacy_btl.joint.start import StartFrom
from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import SENTENCES

NLP = spacy.blank("en")
MORE = [
    ("He had a rash", [(9, 13, "Effect")]),
    ("No rash of the chest", [(3, 7, "Effect")]),
    ("She took aspirin", [(9, 16, "Medication")]),
]


def docs_of(sentences: list[Any]) -> list[Doc]:
    return [
        Example.from_dict(NLP.make_doc(text), {"entities": entities}).reference
        for text, entities in sentences
    ]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    """Return two corpora: one of 18 words, one of 12."""
    found = {}
    for name, sentences in (("notes", SENTENCES), ("drugs", MORE)):
        path = tmp_path / name / "train.spacy"
        path.parent.mkdir()
        DocBin(docs=docs_of(list(sentences)), store_user_data=True).to_disk(path)
        found[name] = str(path)
    return found


def facts(example: Example) -> Any:
    doc = example.reference
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    tokens = [(token.text, token.whitespace_, token.ent_iob_) for token in doc]
    return [token.text for token in example.predicted], tokens, ents


def texts(reader: JointCorpus, nlp: Language = NLP) -> list[str]:
    return [example.reference.text for example in reader(nlp)]


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("label_sets", ["own", "all"])
def test_a_single_corpus_is_read_as_by_spacy(
    paths: dict[str, str], smoothing: float, label_sets: Any
) -> None:
    path = paths["notes"]
    docs = docs_of([*SENTENCES, ("", [])])
    docs[1].set_ents([docs[1].ents[0]], missing=[docs[1][4:6]])
    docs.append(Doc(NLP.vocab, words=["A", "fever"]))
    docs[-1].ents = [Span(docs[-1], 1, 2, "Sign_symptom")]
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    reader = JointCorpus({"notes": path}, smoothing=smoothing, label_sets=label_sets)
    ours, spacys = list(reader(NLP)), list(Corpus(path)(NLP))
    assert [facts(each) for each in ours] == [facts(each) for each in spacys]
    assert len(ours) == len(SENTENCES) + 1


@pytest.mark.parametrize(
    ("smoothing", "times"),
    [
        (1.0, {"notes": 4, "drugs": 3}),
        (0.5, {"notes": 4, "drugs": 4}),  # 3 * (18 / 12) ** 0.5 = 3.67
        (0.0, {"notes": 4, "drugs": 5}),  # 3 * 18 / 12 = 4.5
    ],
)
def test_how_often_each_corpus_is_read(
    paths: dict[str, str], smoothing: float, times: dict[str, int]
) -> None:
    examples = list(JointCorpus(paths, smoothing=smoothing)(NLP))
    assert Counter(corpus_of(example.reference) for example in examples) == times
    assert {eg.reference.text for eg in examples} == {text for text, _ in [*SENTENCES, *MORE]}
    # Documents that are read twice are predicted twice.
    assert len({id(example.predicted) for example in examples}) == len(examples)


def test_the_same_for_a_seed(paths: dict[str, str]) -> None:
    first, second, other = (JointCorpus(paths, smoothing=0.0, seed=seed) for seed in (0, 0, 3))
    passes = [[texts(reader) for _ in range(4)] for reader in (first, second, other)]
    assert passes[0] == passes[1] != passes[2]
    assert len({tuple(each) for each in passes[0]}) > 1  # another document is read once more


def test_corpora_take_turns(paths: dict[str, str]) -> None:
    corpora = [corpus_of(example.reference) for example in JointCorpus(paths)(NLP)]
    assert corpora == ["notes", "drugs"] * 4
    turned = JointCorpus(dict(reversed(paths.items())))(NLP)
    assert [corpus_of(example.reference) for example in turned] == ["drugs", "notes"] * 4


OWN = {
    "notes": frozenset({"Dosage", "Medication", "Sign_symptom"}),
    "drugs": frozenset({"Effect", "Medication"}),
}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, OWN),
        ({"label_sets": "all"}, {"notes": None, "drugs": None}),
        (
            {"rows": "corpus"},
            {name: frozenset(f"{name}:{each}" for each in own) for name, own in OWN.items()},
        ),
        (
            {"rows": "corpus", "label_sets": "all"},
            {name: frozenset(f"{name}:{each}" for each in own) for name, own in OWN.items()},
        ),
        ({"limits": {"drugs": 1}}, OWN),
    ],
)
def test_label_sets(paths: dict[str, str], settings: Any, expected: dict[str, Any]) -> None:
    for example in JointCorpus(paths, **settings)(NLP):
        assert label_set_of(example.reference) == expected[corpus_of(example.reference)]


def test_a_label_set_of_the_document_stays(paths: dict[str, str]) -> None:
    docs = docs_of(MORE)
    set_label_set(docs[0], ["Effect", "Cause"])
    DocBin(docs=docs, store_user_data=True).to_disk(paths["drugs"])
    sets = {eg.reference.text: label_set_of(eg.reference) for eg in JointCorpus(paths)(NLP)}
    assert sets[MORE[0][0]] == {"Effect", "Cause"}
    assert sets[MORE[1][0]] == OWN["drugs"]


def test_rows_by_corpus_rename_all_that_is_annotated(paths: dict[str, str]) -> None:
    doc = docs_of(SENTENCES[:1])[0]
    doc.set_ents([Span(doc, 4, 5, "Medication")], blocked=[doc[0:1]], missing=[doc[1:2]])
    doc.spans["brat"] = [Span(doc, 1, 5, "Treatment"), Span(doc, 4, 5, "Medication")]
    entity = {"id": "T1", "label": "Medication", "fragments": [[16, 23]]}
    doc.user_data["brat"] = {
        "name": "a", "heading": "", "entities": [entity], "records": [], "lost": ["Lost"]
    }  # fmt: skip
    DocBin(docs=[doc], store_user_data=True).to_disk(paths["notes"])
    (example,) = JointCorpus({"x": paths["notes"]}, rows="corpus")(NLP)
    found = example.reference
    assert [ent.label_ for ent in found.ents] == ["x:Medication"]
    assert [token.ent_iob for token in found][:3] == [token.ent_iob for token in doc][:3]
    assert [span.label_ for span in found.spans["brat"]] == ["x:Treatment", "x:Medication"]
    assert found.user_data["brat"]["entities"][0]["label"] == "x:Medication"
    assert found.user_data["brat"]["lost"] == ["x:Lost"]
    assert label_set_of(found) == {"x:Medication", "x:Treatment"}


def test_limits_take_the_first_documents(paths: dict[str, str]) -> None:
    reader = JointCorpus(paths, limits={"notes": 2, "drugs": 99}, smoothing=1.0)
    assert sorted(texts(reader)) == sorted(text for text, _ in [*SENTENCES[:2], *MORE])


def test_a_folder_of_corpora(paths: dict[str, str], tmp_path: Path) -> None:
    reader = JointCorpus(str(tmp_path))
    assert list(reader.paths) == ["drugs", "notes"]
    assert Counter(texts(reader)) == Counter(texts(JointCorpus(paths)))
    target = {"target": paths["notes"], "others": str(tmp_path)}
    assert list(JointCorpus(target).paths) == ["target", "drugs", "notes"]
    with pytest.raises(ValueError, match="used for more than one corpus: notes"):
        JointCorpus({"notes": paths["notes"], "others": str(tmp_path)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smoothing": 1.5}, "smoothing"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"seed": -1}, "seed"),
        ({"rows": "both"}, "rows"),
        ({"label_sets": "none"}, "label_sets"),
        ({"limits": {"other": 3}}, "limits names other, which is not among the corpora: notes"),
        ({"limits": {"notes": 0}}, "limits of notes"),
        ({"paths": {}}, "no corpus is given"),
        ({"paths": ""}, "there is no corpus in the folder"),
        ({"paths": "nowhere"}, "each needs a folder, with train.spacy in it"),
        ({"paths": {"notes": "nowhere.spacy"}}, "no DocBin for the corpus notes: nowhere.spacy"),
        ({"paths": {"notes": None}}, "no DocBin for the corpus notes: no path is given"),
    ],
)
def test_settings_are_checked_when_built(
    paths: dict[str, str], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        JointCorpus(**{"paths": paths, **settings})


@pytest.mark.parametrize(
    ("docs", "message"),
    [([], "has no document with a token"), ([("No fever", [])], "no entity and no label set")],
)
def test_a_corpus_without_anything(paths: dict[str, str], docs: Any, message: str) -> None:
    DocBin(docs=docs_of(docs)).to_disk(paths["drugs"])
    with pytest.raises(ValueError, match=message):
        list(JointCorpus(paths)(NLP))


def test_a_warning_where_names_mean_different_things(paths: dict[str, str]) -> None:
    drugs = [f"drug{i}" for i in range(12)]
    text = " ".join(drugs)
    spans = [(text.index(d + " ") if d + " " in text else len(text) - len(d), d) for d in drugs]
    one = docs_of([(text, [(s, s + len(d), "Drug") for s, d in spans])])
    two = docs_of([(text + " pill", [(len(text) + 1, len(text) + 5, "Drug")])])
    for name, docs in (("notes", one), ("drugs", two)):
        DocBin(docs=docs).to_disk(paths[name])
    reader = JointCorpus(paths)
    with pytest.warns(UserWarning, match="of 12 forms that mentions have in notes") as caught:
        list(reader(NLP))
    assert not any(drug in str(caught[0].message) for drug in drugs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(reader(NLP))  # once is enough
        list(JointCorpus(paths, rows="corpus")(NLP))


CONFIG = """
[paths]
dev = null

[nlp]
lang = "en"
pipeline = ["btl_knn_ner"]

[components]

[components.btl_knn_ner]
factory = "btl_knn_ner"

[corpora]

[corpora.train]
@readers = "spacy-btl.JointCorpus.v1"
smoothing = 0.5

[corpora.train.paths]
drugs = "{drugs}"
notes = "{notes}"

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = "{notes}"

[training]
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"
seed = 0
max_epochs = {max_epochs}
max_steps = 6
eval_frequency = 3
{rest}
"""
LABELS = """
[initialize]

[initialize.components]

[initialize.components.btl_knn_ner]
labels = ["Dosage", "Effect", "Medication", "Sign_symptom"]
"""


def filled(text: str) -> Config:
    """Fill the configuration as ``spacy init fill-config`` does."""
    return load_model_from_config(Config().from_str(text), auto_fill=True).config


@pytest.mark.parametrize(("max_epochs", "rest"), [(0, ""), (2, ""), (-1, LABELS)])
def test_spacy_train(paths: dict[str, str], tmp_path: Path, max_epochs: int, rest: str) -> None:
    nlp = init_nlp(filled(CONFIG.format(**paths, max_epochs=max_epochs, rest=rest)))
    (tmp_path / "output").mkdir()
    train(nlp, tmp_path / "output")
    trained = spacy.load(tmp_path / "output" / "model-last")
    assert component_of(trained).labels == ("Dosage", "Effect", "Medication", "Sign_symptom")


BY_CORPUS = """
[corpora.dev]
@readers = "spacy-btl.JointCorpus.v1"
rows = "corpus"

[corpora.dev.paths]
notes = "{notes}"

"""


def test_rows_by_corpus_from_training_to_scores(paths: dict[str, str], tmp_path: Path) -> None:
    text = CONFIG.replace("smoothing = 0.5", 'smoothing = 0.5\nrows = "corpus"')
    start, end = text.index("[corpora.dev]"), text.index("[training]")
    text = (text[:start] + BY_CORPUS + text[end:]).replace("max_steps = 6", "max_steps = 24")
    nlp = init_nlp(filled(text.format(**paths, max_epochs=0, rest="")))
    train(nlp, tmp_path)
    trained = spacy.load(tmp_path / "model-best")
    labels = component_of(trained).labels
    assert labels == tuple(sorted(f"{name}:{each}" for name in OWN for each in OWN[name]))
    # A user sees the corpus in the label, and scores are taken by the same reader ...
    found = {ent.label_ for doc in trained.pipe(text for text, _ in SENTENCES) for ent in doc.ents}
    assert found
    assert found <= set(labels)
    read = list(JointCorpus({"notes": paths["notes"]}, rows="corpus")(trained))
    scores = evaluate(trained, read, progress=False)["scores"]
    assert set(scores["ents_per_type"]) >= {f"notes:{each}" for each in OWN["notes"]}
    assert scores["ents_f"] > 0.5
    # ... and without it, they say why they are 0.
    with pytest.warns(UserWarning, match='rows = "corpus"'):
        plain = evaluate(trained, list(Corpus(paths["notes"])(trained)), progress=False)["scores"]
    assert plain["ents_f"] == 0
    # A second stage has the types of one corpus, without its name.
    again = load_model_from_config(trained.config)
    setting = StartFrom(str(tmp_path / "model-best"), corpus="notes", unseen="drop")
    own = list(Corpus(paths["notes"])(again))
    component_of(again).initialize(lambda: own, nlp=again, start_from=setting)
    assert set(component_of(again).labels) == OWN["notes"]
    assert evaluate(again, own, progress=False)["scores"]["ents_f"] > 0.5


def test_debug_data(
    paths: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.cfg"
    filled(CONFIG.format(**paths, max_epochs=0, rest="")).to_disk(path)
    with pytest.raises(SystemExit):  # eight documents are few
        debug_data(path, silent=False, no_format=True)
    shown = capsys.readouterr().out
    assert "Corpus is loadable" in shown
    assert "8 training docs" in shown


def test_registered() -> None:
    assert registry.readers.get("spacy-btl.JointCorpus.v1") is JointCorpus
