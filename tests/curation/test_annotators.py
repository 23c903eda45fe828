"""Two annotators' documents side by side, and what is said of all that is not compared."""

import json
from pathlib import Path

import pytest
from spacy.tokens import DocBin

from spacy_btl import read_brat
from spacy_btl.conversion.reading import Reading
from spacy_btl.curation.annotators import Annotations, read_annotators
from tests.helpers.annotators import ANNA, TEXT, two_folders
from tests.helpers.files import write_tree

T1 = "T1\tProblem 26 32\tasthma\n"


def read(folder: Path, anna: dict[str, tuple[str, str]], ben: dict[str, tuple[str, str]]):  # type: ignore[no-untyped-def]
    return read_annotators(*two_folders(folder, anna, ben))


def places(annotations: Annotations, side: str) -> list[tuple[str, str]]:
    """Return labels and words of an annotator."""
    return [
        (e.label, " ".join(pair.text[start:end] for start, end in e.fragments))
        for pair in annotations.pairs
        for e in getattr(pair, side).entities
    ]


def test_documents_are_paired_by_name(tmp_path: Path) -> None:
    one = (TEXT, T1)
    found = read(
        tmp_path,
        {"a/x": one, "b": one, "Käse": one, "only-anna": one, "N": one},
        {"a/x": one, "B": one, "Ka\u0308se": one, "only-ben": one, "n": one},
    )
    assert [pair.name for pair in found.pairs] == ["Käse", "N", "a/x", "b"]
    assert found.only == (["only-anna"], ["only-ben"])
    assert found.names == ("anna", "ben")
    assert not found.refused


def test_names_that_could_mean_several_documents_are_not_paired(tmp_path: Path) -> None:
    one = (TEXT, T1)
    found = read(tmp_path, {"x": one, "n": one}, {"x": one, "N": one, "Ñ": one, "ñ": one})
    assert [pair.name for pair in found.pairs] == ["n", "x"]
    assert found.only == ([], ["Ñ", "ñ"])


@pytest.mark.parametrize(
    ("paths", "names", "expected"),
    [
        (("anna", "ben"), (), ("anna", "ben")),
        (("batch/anna", "batch/ben"), (), ("anna", "ben")),
        (("anna/batch", "ben/batch"), (), ("A", "B")),
        (("anna/batch", "ben/batch"), ("Anna", "Ben"), ("Anna", "Ben")),
    ],
)
def test_names_of_annotators(tmp_path: Path, paths, names, expected) -> None:  # type: ignore[no-untyped-def]
    folders = [write_tree(tmp_path / path, {"x.txt": TEXT, "x.ann": T1}) for path in paths]
    assert read_annotators(*folders, names=names).names == expected


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", " "), ("a", "b", "c")])
def test_names_that_are_none(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must be two different names"):
        read_annotators(*two_folders(tmp_path), names=names)


def test_other_formats_are_compared_by_the_same_characters(tmp_path: Path) -> None:
    anna, ben = two_folders(tmp_path, ben={"case": (TEXT, ANNA)})
    docs, _ = read_brat(ben)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "case.spacy")
    spans = [
        {"start": int(start), "end": int(end), "label": label}
        for label, start, end in (line.split("\t")[1].split(" ") for line in ANNA.splitlines())
    ]
    line = json.dumps({"text": TEXT, "spans": spans, "meta": {"id": "case"}, "id": "case"})
    (tmp_path / "case.jsonl").write_text(line, encoding="utf8")
    for other in ("case.spacy", "case.jsonl"):
        found = read_annotators(anna, tmp_path / other)
        assert [pair.name for pair in found.pairs] == ["case"], other
        assert places(found, "a") == places(found, "b"), other
        assert found.names == ("anna", "case")


def test_what_cannot_be_seen_does_not_count(tmp_path: Path) -> None:
    """White space at the ends of an entity, and a line break between its fragments."""
    text = "one two\nthree four "
    anna = "T1\tA 4 13\ttwo three\nT2\tA 14 18\tfour\n"
    ben = "T1\tA 4 7;8 13\ttwo three\nT2\tA 13 19\t four \n"
    found = read(tmp_path, {"x": (text, anna)}, {"x": (text, ben)})
    ((a, b),) = [pair.compared() for pair in found.pairs]
    assert a == b == [("A", ((4, 13),)), ("A", ((14, 18),))]


def test_entities_without_a_place_are_listed(tmp_path: Path) -> None:
    ann = (
        T1 + "T2\tDrug 59 9999\tsalbutamol\nT3\tDrug 70 70\t\nT4\tDrug 14 15\t \nT5\tDrug x y\tz\n"
    )
    found = read(tmp_path, {"x": (TEXT, ann)}, {"x": (TEXT, T1)})
    assert [place.partition(": ")[0] for place in found.unplaced[0]] == [
        "x.ann:2 T2",
        "x.ann:3 T3",
        "x.ann:4 T4",
        "x.ann:5 T5",
    ]
    assert found.unplaced[1] == []
    assert places(found, "a") == places(found, "b") == [("Problem", "asthma")]


def test_offsets_that_were_counted_otherwise_are_corrected(tmp_path: Path) -> None:
    text = "Übelkeit 😀 " + TEXT
    anna = "T1\tProblem 37 43\tasthma\nT2\tDrug 70 80\tsalbutamol\n"
    ben = "T1\tProblem 38 44\tasthma\nT2\tDrug 71 81\tsalbutamol\n"  # UTF-16
    found = read(tmp_path, {"x": (text, anna)}, {"x": (text, ben)})
    assert places(found, "a") == places(found, "b")


EDITIONS = {
    # Ben's text and annotation; why it is refused, or nothing
    "line ends": (TEXT.replace("fever. ", "fever.\r\n"), T1, None),
    "a heading": ("Report. " + TEXT, T1.replace("26 32", "34 40"), None),
    "a word of an entity of ben": (TEXT.replace("asthma and", "angina and"), T1.replace(
        "asthma", "angina"), "first at character 26 (line 1) of the text that anna has; entities"),
    "a word of an entity of anna": (TEXT.replace("asthma and", "angina and"), "",
                                    "entities that an edit touches: 1"),
    "another text": ("Something else altogether.", "", "have too little in common; first at "),
}  # fmt: skip


@pytest.mark.parametrize(("text", "ann", "refused"), EDITIONS.values(), ids=EDITIONS)
def test_texts_that_were_edited_are_aligned_or_refused(
    tmp_path: Path, text: str, ann: str, refused: str | None
) -> None:
    same = {"same": (TEXT, T1)}
    found = read(tmp_path, same | {"x": (TEXT, T1)}, same | {"x": (text, ann)})
    if refused is None:
        assert [pair.edited for pair in found.pairs] == [False, True]
        assert places(found, "b") == [("Problem", "asthma")] * 2
        assert found.pairs[1].text == TEXT
    else:
        assert [pair.name for pair in found.pairs] == ["same"]
        assert refused in found.refused["x"]
        assert "asthma" not in found.refused["x"]  # no word of a document


def test_a_text_that_one_lacks_is_that_of_the_other(tmp_path: Path) -> None:
    anna, ben = two_folders(tmp_path)
    for folder in (ben, anna):
        (folder / "case.txt").rename(tmp_path / "case.txt")
        found = read_annotators(anna, ben)
        assert found.pairs[0].text == TEXT
        assert [len(version.entities) for version in found.pairs[0][2:4]] == [8, 7]
        (tmp_path / "case.txt").rename(folder / "case.txt")


def test_documents_without_annotation_or_text_are_refused(tmp_path: Path) -> None:
    one = (TEXT, T1)
    anna, ben = two_folders(tmp_path, dict.fromkeys("xyz", one), dict.fromkeys("xyz", one))
    (ben / "x.ann").unlink()
    for folder in (anna, ben):
        (folder / "y.txt").unlink()
    found = read_annotators(anna, ben)
    assert found.refused == {
        "x": "ben has no annotation of it that can be read",
        "y": "there is no text of it",
    }
    assert [pair.name for pair in found.pairs] == ["z"]


def test_types_that_the_other_was_not_asked_for_are_not_compared(tmp_path: Path) -> None:
    ann = T1 + "T2\tDrug 59 69\tsalbutamol\n"
    anna, ben = two_folders(tmp_path, {"x": (TEXT, ann)}, {"x": (TEXT, T1)})
    found = read_annotators(anna, ben, reading_b=Reading(labels=["Problem"]))
    assert found.pairs[0].compared()[0] == [("Problem", ((26, 32),))]
    assert [dict(counts) for counts in found.not_asked()] == [{"Drug": 1}, {}]
    with pytest.raises(ValueError, match="Problem"):  # which is outside of the set
        read_annotators(anna, ben, reading_b=Reading(labels=["Drug"]))


def test_what_is_no_pair_of_annotators(tmp_path: Path) -> None:
    anna, ben = two_folders(tmp_path, {"x": (TEXT, T1)}, {"y": (TEXT, T1)})
    with pytest.raises(ValueError, match=r"no document of the same name: 1 \(such as x\) in"):
        read_annotators(anna, ben)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no \.txt, \.ann.* in .*empty"):
        read_annotators(anna, tmp_path / "empty")
    DocBin().to_disk(tmp_path / "empty.spacy")
    with pytest.raises(ValueError, match=r"empty\.spacy contains no document"):
        read_annotators(anna, tmp_path / "empty.spacy")
    with pytest.raises(FileNotFoundError, match="missing"):
        read_annotators(tmp_path / "missing", ben)
    (ben / "x.txt").write_text("Something else.")
    (ben / "x.ann").write_text("")
    with pytest.raises(ValueError, match=r"none of the 1 documents .* the first is x: the texts"):
        read_annotators(anna, ben)


def test_the_heading_of_a_corpus_is_kept(tmp_path: Path) -> None:
    anna, ben = two_folders(tmp_path)
    (anna / "corpus.json").write_text('{"heading": "made up"}')
    assert read_annotators(anna, ben).heading == "made up"
