"""Gold labels in other people's pipelines: label files, and tokens that differ."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.cli._util import app as spacy_app
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed
from thinc.api import Config
from typer.testing import CliRunner

from spacy_btl.labels.bio import MISSING, column_names
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.readings import FlatReading, LayeredReading
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
        for label in FlatReading().gold(example, ["Drug", "Sign"])
    ]
    assert " ".join(names) == expected


def tokens(text: str) -> dict[str, Any]:
    """Tokens end at a space, and at a dot that stands for no character."""
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
    assert LayeredReading("brat").gold(example, ["Drug", "Sign"])[:, 1].tolist() == expected


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
