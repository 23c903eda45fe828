"""Gold labels in other people's pipelines: label files, and tokens that differ."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.cli._util import app as spacy_app
from spacy.cli.package import package
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import Config
from typer.testing import CliRunner

from spacy_btl.labels.bio import MISSING, column_names
from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.schemes import FlatScheme, LayeredScheme
from spacy_btl.pipeline.workflow import store_settings
from tests.helpers.sentences import LABELS, make_examples

NAME = "btl_knn_ner"


class TestLabelFiles:
    """``spacy init labels`` writes what ``[initialize.components.btl_knn_ner.labels]`` reads."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        nlp = spacy.blank("en")
        nlp.add_pipe(NAME)
        docs = DocBin(docs=[example.reference for example in make_examples(nlp)])
        docs.to_disk(tmp_path / "train.spacy")
        path = tmp_path / "config.cfg"
        reader = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "train.spacy")}
        config = Config(nlp.config).merge({"corpora": {"train": reader, "dev": reader}})
        config.to_disk(path)
        return path

    def test_written_and_read(self, config: Path, tmp_path: Path) -> None:
        arguments = ["init", "labels", str(config), str(tmp_path / "labels")]
        result = CliRunner().invoke(spacy_app, arguments)
        assert result.exit_code == 0, result.output
        file = tmp_path / "labels" / f"{NAME}.json"
        file.write_text(file.read_text().replace('"Dosage"', '"Rare","Dosage"'))
        labels = {"@readers": "spacy.read_labels.v1", "path": str(file)}
        read = Config().from_disk(config).merge({"initialize": {"components": {NAME: {}}}})
        read["initialize"]["components"][NAME]["labels"] = labels
        assert component_of(init_nlp(read)).labels == ("Rare", *LABELS)


def test_initializes_with_labels_added_and_no_examples() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME)
    for label in ("Age", "Dosage"):
        component_of(nlp).add_label(label)
    nlp.initialize()
    assert component_of(nlp).labels == ("Age", "Dosage")
    assert len(nlp("No fever")) == 2


UNUSUAL = (
    "Sign/Symptom", "webanno.custom.Span", "Drug: dose", "Drug name", "a=b", "PHI:NAME", "#lab",
    "[x]", "${y}", "$x", "%s", "50%", "O", "B-X", "null", "true", "1", "Größe-µ", "; c",
    "'q'", '"q"', "\\n", "a,b", "x\ty", "a\nb", "*", "<script>", "a|b", "..", " ", "{x}", "_",
)  # fmt: skip


@pytest.fixture(scope="module")
def unusual() -> Language:
    """Return a pipeline with labels that cannot be keys of a configuration, and thresholds."""
    nlp = spacy.blank("en")
    table = {label: 1.0 + i for i, label in enumerate((*UNUSUAL, "O"))}
    config = {
        "thresholds": {label: i / 100 for i, label in enumerate(UNUSUAL)},
        "class_weights": {"scheme": "table", "table": {**table, "O": 1.0, "B-O": 2.0, "I-O": 3.0}},
    }
    nlp.add_pipe(NAME, config=config)
    text = "word " * len(UNUSUAL)
    entities = [(5 * i, 5 * i + 4, label) for i, label in enumerate(UNUSUAL)]
    example = Example.from_dict(nlp.make_doc(text), {"entities": entities})
    nlp.initialize(lambda: [example])
    return nlp


def way_of_disk(nlp: Language, folder: Path) -> Language:
    nlp.to_disk(folder)
    return spacy.load(folder)


def way_of_saving(nlp: Language, folder: Path) -> Language:
    save_pipeline(nlp, folder)
    return load_pipeline(folder)


def way_of_bytes(nlp: Language, folder: Path) -> Language:
    config = Config().from_str(nlp.config.to_str())
    return load_model_from_config(config).from_bytes(nlp.to_bytes())


def way_of_package(nlp: Language, folder: Path) -> Language:
    (folder / "out").mkdir(parents=True)
    nlp.to_disk(folder / "model")
    package(folder / "model", folder / "out", name="x", version="1.0", create_sdist=False)
    return spacy.load(folder / "out" / "en_x-1.0" / "en_x" / "en_x-1.0")


@pytest.mark.parametrize("way", [way_of_disk, way_of_saving, way_of_bytes, way_of_package])
def test_every_label_keeps_its_threshold(
    way: Callable[[Language, Path], Language], unusual: Language, tmp_path: Path
) -> None:
    expected = {label: i / 100 for i, label in enumerate(UNUSUAL)}
    pipe = component_of(way(way(unusual, tmp_path / "a"), tmp_path / "b"))
    assert set(pipe.labels) == set(UNUSUAL)
    assert pipe.thresholds == expected == component_of(unusual).thresholds
    weighting, before = pipe.loss.weighting, component_of(unusual).loss.weighting
    assert weighting is not None and before is not None
    assert weighting.table == before.table


def test_settings_changed_in_memory_are_saved_whatever_the_label(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"thresholds": {"A:B": 0.75}})
    nlp.initialize(lambda: make_examples(nlp))
    component_of(nlp).thresholds = {"A:B": 0.5, "C": 0.25}
    store_settings(nlp)
    nlp.to_disk(tmp_path / "stored")
    assert "A%3AB = 0.5" in (tmp_path / "stored" / "config.cfg").read_text(encoding="utf8")
    save_pipeline(nlp, tmp_path / "saved")
    for folder in ("stored", "saved"):
        read = component_of(spacy.load(tmp_path / folder))
        assert read.thresholds == {"A:B": 0.5, "C": 0.25}


COLUMNS = column_names(["Drug", "Sign"])


@pytest.mark.parametrize(
    ("predicted", "reference", "tags", "expected"),
    [
        # the same tokens
        ("no chest pain", "no chest pain", "O B-Sign L-Sign", "O B-Sign I-Sign"),
        # finer and coarser tokens inside of an entity
        ("no ch·est pain", "no chest pain", "O B-Sign L-Sign", "O B-Sign I-Sign I-Sign"),
        ("no chest pain", "no ch·est pain", "O B-Sign I-Sign L-Sign", "O B-Sign I-Sign"),
        ("5·mg iron", "5mg iron", "U-Drug O", "B-Drug I-Drug O"),
        ("5mg iron", "5·mg iron", "B-Drug L-Drug O", "B-Drug O"),
        # a token that is half an entity belongs to none, and is not taught as outside
        ("chestpain no", "chest·pain no", "U-Sign O O", "? O"),
        ("no·pain", "nop·ain", "O U-Sign", "O ?"),
        # entities that touch stay two
        ("pain pain", "pain pain", "U-Sign U-Sign", "B-Sign B-Sign"),
        # what is not annotated stays unknown
        ("no chest pain", "no chest pain", "- U-Sign -", "? B-Sign ?"),
        ("no chest pain", "no chest pain", "- - -", "? ? ?"),
        ("no·chest pain", "no·chest pain", "- O O", "? O O"),
    ],
)
def test_tokens_that_differ(predicted: str, reference: str, tags: str, expected: str) -> None:
    vocab = spacy.blank("en").vocab
    annotation = {**tokens(reference), "entities": tags.split()}
    example = Example.from_dict(Doc(vocab, **tokens(predicted)), annotation)
    names = [
        "?" if label == MISSING else COLUMNS[label]
        for label in FlatScheme().gold(example, ["Drug", "Sign"])
    ]
    assert " ".join(names) == expected


def tokens(text: str) -> dict[str, Any]:
    """Return a document whose tokens end at a space, and at a dot for no character."""
    parts = [part.split("·") for part in text.split(" ")]
    words = [word for part in parts for word in part]
    spaces = [i + 1 == len(part) for part in parts for i in range(len(part))]
    return {"words": words, "spaces": [*spaces[:-1], False]}


@pytest.mark.parametrize(
    ("predicted", "reference", "expected"),
    [
        ("no chest pain", "no chest pain", [0, 1, 2]),
        ("no ch·est pain", "no chest pain", [0, 1, 2, 2]),
        ("no chest pain", "no ch·est pain", [0, 1, 2]),
        ("no·chest pain", "no·chest pain", [0, 1, 2]),
        ("nochest pain", "no·chest pain", [MISSING, MISSING]),
    ],
)
def test_tokens_that_differ_under_overlapping_entities(
    predicted: str, reference: str, expected: list[int]
) -> None:
    vocab = spacy.blank("en").vocab
    gold = Doc(vocab, **tokens(reference))
    gold.spans["brat"] = [Span(gold, 1, len(gold), "Sign")]
    example = Example(Doc(vocab, **tokens(predicted)), gold)
    assert LayeredScheme("brat").gold(example, ["Drug", "Sign"])[:, 1].tolist() == expected


def test_learns_on_other_tokens_than_those_annotated() -> None:
    """The unit is one token in the annotation, two in what the component reads."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME)
    examples = [
        Example(Doc(nlp.vocab, **tokens(example.text.replace("mg", "m·g"))), example.reference)
        for example in make_examples(nlp)
    ]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    doc = component_of(nlp)(Doc(nlp.vocab, **tokens("He took 5 m·g of aspirin daily")))
    assert [(ent.text, ent.label_, len(ent)) for ent in doc.ents] == [
        ("5 mg", "Dosage", 3),
        ("aspirin", "Medication", 1),
    ]
