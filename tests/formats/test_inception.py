"""Documents of INCEpTION: which layer has the entities, and what is wrong with a document."""

import json
from pathlib import Path
from typing import Any

import pytest

from spacy_btl.conversion.reading import Reading
from tests.helpers.sources import entities, problems, read_tree

TEXT = "No 😀 fever"
NAMED = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
OURS, THEIRS = "webanno.custom.ClinicalEntity", "custom.Finding"


def span(layer: str, start: object = 6, end: object = 11, **features: object) -> dict[str, object]:
    return {"%ID": 9, "%TYPE": layer, "@sofa": 1, "begin": start, "end": end, **features}


def document(*structures: object, text: object = TEXT, types: Any = ()) -> str:
    sofa = {"%ID": 1, "%TYPE": "uima.cas.Sofa", "sofaID": "_InitialView", "sofaString": text}
    declared = {name: {"%NAME": name} for name in types}
    return json.dumps({"%TYPES": declared, "%FEATURE_STRUCTURES": [sofa, *structures]}, indent=1)


FEVER = [("Sign", 5, 10)]
CASES = {
    # structures, layer: the entities, or the reason of a problem
    "our layer": ([span(OURS, label="Sign", score=0.5)], "", FEVER),
    "our label, whatever is beside it": ([span(OURS, comment="x", label="Sign")], "", FEVER),
    "named entities": ([span(NAMED, value="Sign", identifier="http://x")], "", FEVER),
    "a layer with one text": ([span(THEIRS, kind="Sign", certain=True)], "", FEVER),
    "a layer with two texts": ([span(THEIRS, kind="Sign", comment="x")], "", "no-annotation"),
    "one that is named": (
        [span(THEIRS, kind="Sign", comment="x"), span(NAMED, value="PER")],
        f"{THEIRS}:kind",
        FEVER,
    ),
    "two layers": ([span(THEIRS, kind="A"), span(NAMED, value="PER")], "", "no-annotation"),
    "tokens and a relation of two": (
        [
            span("de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token"),
            span(THEIRS, **{"kind": "before", "@Governor": 2, "@Dependent": 3}),
            span(OURS, label="Sign"),
        ],
        "",
        FEVER,
    ),
    "marked offsets": (
        [{"%TYPE": OURS, "@sofa": 1, "^begin": 6, "^end": 11, "label": "Sign"}],
        "",
        FEVER,
    ),
    "no entity": ([], "", []),
    "no entity of a layer": ([span(NAMED, value="PER")], f"{OURS}:label", []),
    "no such layer": ([span(NAMED, value="PER")], "custom.Missing:label", "no-annotation"),
    "no such feature": ([span(OURS, label="Sign")], f"{OURS}:kind", "unreadable"),
    "an entity without a label": ([span(OURS)], "", "unreadable"),
    "an offset of text": ([span(OURS, start="6", label="Sign")], "", "unreadable"),
    "no offset": ([span(OURS, end=None, label="Sign")], "", "unreadable"),
    "outside": ([span(OURS, end=99, label="Sign")], "", "outside"),
    "no structures": (["x", {"%TYPE": 3}, {}], "", []),
}


@pytest.mark.parametrize("name", CASES)
def test_a_document(tmp_path: Path, name: str) -> None:
    structures, layer, wanted = CASES[name]
    content = document(*structures, types=[OURS, THEIRS])
    source = read_tree(tmp_path, {"note.json": content}, layer=layer)
    if isinstance(wanted, str):
        assert [problem[2] for problem in problems(source)] == [wanted]
    else:
        found = [(label, *fragments[0]) for _, _, label, fragments, _ in entities(source)]
        assert (found, problems(source)) == (wanted, [])


def test_a_document_has_the_name_of_its_file(tmp_path: Path) -> None:
    source = read_tree(tmp_path, {"note-1.json": document(), "sub/note-1.json": document()})
    assert [each.name for each in source.documents] == ["note-1", "sub/note-1"]
    (alone,) = read_tree(tmp_path / "alone", {"note-1.json": document()}).documents
    assert alone.name == "note-1"


def test_the_account_names_the_layer(tmp_path: Path) -> None:
    files = {
        "a.json": document(span(OURS, label="Sign")),
        "b.json": document(span(NAMED, value="PER")),
    }
    assert read_tree(tmp_path, files).settings["layer"] == f"{NAMED}:value, {OURS}:label"


def test_several_layers_are_named(tmp_path: Path) -> None:
    content = document(span(THEIRS, kind="A"), span(NAMED, value="PER"))
    (read,) = read_tree(tmp_path, {"a.json": content}).documents
    (problem,) = read.problems
    assert f"({THEIRS}:kind, {NAMED}:value): name one with --layer" in problem.detail


@pytest.mark.parametrize("text", [None, 3])
def test_a_document_without_text(tmp_path: Path, text: object) -> None:
    content = document(span(OURS, label="Sign"), text=text)
    source = read_tree(tmp_path, {"a.json": content})
    assert (1, "error", "no-text") in problems(source)


def test_structures_by_their_ids(tmp_path: Path) -> None:
    value = json.loads(document(span(OURS, label="Sign")))
    value["%FEATURE_STRUCTURES"] = {str(i): s for i, s in enumerate(value["%FEATURE_STRUCTURES"])}
    source = read_tree(tmp_path, {"a.json": json.dumps(value)})
    assert [each[2] for each in entities(source)] == ["Sign"]


@pytest.mark.parametrize("layer", ["custom.Entity", ":label", "custom.Entity:"])
def test_a_layer_is_named_with_its_feature(layer: str) -> None:
    with pytest.raises(ValueError, match="must name a layer and its feature"):
        Reading(layer=layer)
