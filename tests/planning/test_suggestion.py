"""Reports of a pool, measured by a small trained pipeline: what is suggested, what refused."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

import spacy_btl.planning.suggestion as suggestion_module
from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.component import component_of
from spacy_btl.planning.pool import LEAST, candidates, known_mentions, measure, read_known
from spacy_btl.planning.selection import SelectionSettings
from spacy_btl.planning.suggestion import suggest_reports
from tests.helpers.sentences import LABELS, SENTENCES, make_examples

POOL = {
    "known": "She took  warfarin",  # white space apart, a training document
    "long": "He had fever and chest pain and took 5 mg of aspirin for chest pain daily",
    "other": "The tall chairs and tables of the house",
    "plain": "She had fever",
    "sub/again": "she had FEVER",
    "empty": " \n",
}


@pytest.fixture
def nlp(trained: bytes) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 1}})
    nlp.from_bytes(trained)
    component_of(nlp).fit_neighbors(make_examples(nlp))
    return nlp


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for name, text in POOL.items():
        path = tmp_path / "pool" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")
    return tmp_path / "pool"


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    folder = tmp_path / "annotated"
    folder.mkdir()
    for i, (text, entities) in enumerate(SENTENCES):
        lines = [
            f"T{j}\t{label} {start} {end}\t{text[start:end]}\n"
            for j, (start, end, label) in enumerate(entities, 1)
        ]
        (folder / f"{i}.txt").write_text(text, encoding="utf8")
        (folder / f"{i}.ann").write_text("".join(lines), encoding="utf8")
    return folder


def test_what_is_known_is_not_suggested_nor_is_any_text_twice(
    nlp: Language, pool: Path, annotated: Path
) -> None:
    found = suggest_reports(nlp, pool, 2, known=[annotated])
    assert {report.id for report in found.reports} <= {"long", "other", "plain"}
    assert [report.rank for report in found.reports] == [1, 2]
    assert found.records == len(POOL)
    assert {name: why.split(":")[0] for name, _, why in found.refused_records} == {
        "known": "annotated already",
        "sub/again": "a report before it has the same words",
        "empty": "no word in it",
    }
    assert found.known_by == "known documents"
    assert found.known == {"Dosage": 1, "Medication": 2, "Sign_symptom": 3}
    shown = json.dumps(found.to_json()) + found.to_text() + found.to_csv()
    assert not [word for word in ("chairs", "chest", "FEVER") if word in shown]


def test_known_documents_of_other_types_count_for_their_texts_only(
    nlp: Language, pool: Path, annotated: Path
) -> None:
    for path in annotated.glob("*.ann"):
        text = path.read_text(encoding="utf8")
        path.write_text(text.replace("Sign_symptom", "A").replace("Medication", "B")
                        .replace("Dosage", "C"), encoding="utf8")  # fmt: skip
    found = suggest_reports(nlp, pool, 2, known=[annotated])
    assert found.known_by == "neighbors"
    assert "known" in {name for name, *_ in found.refused_records}


def test_numbers_of_a_report(nlp: Language, pool: Path) -> None:
    (report,) = suggest_reports(nlp, pool / "long.txt", 1).reports
    assert (report.id, report.words, report.value, report.gain) == ("long", 16, 1, 1)
    assert report.expected["Sign_symptom"] > report.expected["Dosage"]
    assert report.distance == 1  # the only one is the mean
    assert sum(report.reasons.values()) == pytest.approx(1, abs=0.05)


def test_a_name_is_no_formula_in_a_spreadsheet(nlp: Language, pool: Path) -> None:
    (pool / "long.txt").rename(pool / "=1+2.txt")
    found = suggest_reports(nlp, pool, 3)
    assert "=1+2" in [report.id for report in found.reports]
    assert "'=1+2" in [row["id"] for row in csv.DictReader(io.StringIO(found.to_csv()))]


def test_tables_have_a_row_for_each_report(nlp: Language, pool: Path) -> None:
    found = suggest_reports(nlp, pool, 3)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["id"] for row in rows] == [report.id for report in found.reports]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert len(found.to_text().splitlines()) == 2 + 2 + 3
    assert json.loads(json.dumps(found.to_json()))["reports"][0]["id"] == rows[0]["id"]


def test_a_large_pool_keeps_the_promising_reports(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestion_module, "LEAST_KEPT", 2)
    monkeypatch.setattr(suggestion_module, "KEPT_BY_CHOSEN", 1)
    lines = [{"id": i, "text": f"no report number {i}"} for i in range(9)]
    lines.insert(2, {"id": "rich", "text": POOL["long"]})
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf8")
    found = suggest_reports(nlp, path, 1)
    assert [report.id for report in found.reports] == ["rich"]
    assert found.reports[0].place == "pool.jsonl, line 3"
    assert found.records == 10


def test_a_pipeline_without_neighbors_and_calibration_says_so(
    trained: bytes, pool: Path, annotated: Path
) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.from_bytes(trained)
    found = suggest_reports(nlp, pool, 9)
    assert found.known_by == "pool"
    assert all(report.distance is None for report in found.reports)
    told = " ".join(found.warnings())
    for words in ("not calibrated", "no neighbors", "--known TRAIN", "has 4 reports"):
        assert words in told
    component_of(nlp).calibration = ScoreCalibration(0.0, 1.0, 9, 4)
    assert "not calibrated" not in " ".join(suggest_reports(nlp, pool, 1).warnings())


@pytest.mark.parametrize(
    ("files", "n", "message"),
    [
        ({}, 1, "it is empty"),
        ({"a.txt": ""}, 1, r"none of 1 record of .* no word in it \(1\)"),
        ({"a.txt": "No fever"}, 1, r"annotated already: a known document has the same words \(1\)"),
        ({"a.txt": "He"}, 0, "n is 0"),
        ({"a.jsonl": ""}, 1, "has no reports: its files are empty"),
        ({"a.jsonl": '{"id": 1}'}, 1, 'no field "text"'),
        ({"a.pdf": "x"}, 1, "convert documents to text first"),
    ],
)
def test_bad_pools(
    nlp: Language, tmp_path: Path, annotated: Path, files: dict[str, str], n: int, message: str
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        suggest_reports(nlp, folder, n, known=[annotated])


@pytest.mark.parametrize(("name", "refused"), [("a.txt", False), ("a.jsonl", True)])
def test_an_encoding_that_cannot_be_read_by_line(
    nlp: Language, tmp_path: Path, name: str, refused: bool
) -> None:
    (tmp_path / name).write_text('{"id": 1, "text": "No fever"}', encoding="utf-16")
    if refused:
        with pytest.raises(ValueError, match=r"^\.jsonl is read line by line"):
            suggest_reports(nlp, tmp_path, 1, encoding="utf-16")
    else:
        assert suggest_reports(nlp, tmp_path, 1, encoding="utf-16").reports[0].id == "a"


def test_a_report_that_the_pipeline_fails_for_is_left_out(nlp: Language, pool: Path) -> None:
    @Language.component("fails_for_chairs")
    def fails(doc: Doc) -> Doc:
        if "chairs" in doc.text:
            raise RuntimeError(doc.text)
        return doc

    nlp.add_pipe("fails_for_chairs", first=True)
    found = suggest_reports(nlp, pool, 9)
    assert "other" not in {report.id for report in found.reports}
    (why,) = [why for name, _, why in found.refused_records if name == "other"]
    assert why.startswith("RuntimeError in ")
    assert "chairs" not in why


def test_a_longer_report_than_the_pipeline_takes_is_left_out(nlp: Language, pool: Path) -> None:
    nlp.max_length = 45
    found = suggest_reports(nlp, pool, 9, settings=SelectionSettings(novelty=0))
    assert "73 characters, the pipeline takes 45" in found.refused


def test_candidates_are_marked_mentions_and_possible_ones(nlp: Language) -> None:
    pipe = component_of(nlp)
    pipe.neighbor_weight = 0.0
    doc = nlp.make_doc(POOL["long"])
    (probabilities,) = pipe.predict([doc])
    spans, scores = candidates(pipe, doc, probabilities)
    (marked,) = pipe.find([doc], [probabilities])
    n = len(marked.spans)
    assert [(s.start, s.end) for s in marked.spans] == [span[:2] for span in spans[:n]]
    assert scores[:n] == pytest.approx(marked.scores)
    assert len(set(spans)) == len(spans)
    for start, _, kind in spans[n:]:
        assert probabilities[start, 1 + 2 * kind] >= LEAST
        assert not any(a <= start < b and k == kind for a, b, k in spans[:n])


def test_a_document_without_tokens_has_numbers(nlp: Language) -> None:
    empty, full = measure(component_of(nlp), [nlp.make_doc(""), nlp.make_doc("No fever")], [0, 2])
    assert empty.expected.sum() == empty.doubt.sum() == 0
    assert math.isnan(empty.distance)
    assert full.expected.sum() > 0
    assert full.vector.shape == empty.vector.shape


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("layered", [False, True])
def test_mentions_behind_the_neighbors(trained: bytes, layered: bool, passes: int) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"spans_key": "sc"} if layered else {})
    nlp.from_bytes(trained)
    examples = make_examples(nlp)
    for example in examples:
        example.reference.spans["sc"] = example.reference.ents
    pipe = component_of(nlp)
    assert known_mentions(pipe) is None
    pipe.fit_neighbors(examples, passes=passes, dropout=0.1 if passes > 1 else 0.0)
    assert known_mentions(pipe) == dict(zip(LABELS, (1, 2, 3), strict=True))


def test_known_documents_of_several_places(annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("No fever", encoding="utf8")
    (tmp_path / "more.ann").write_text("T1\tSign 3 8\tfever\n", encoding="utf8")
    known = read_known([annotated, annotated])
    assert (known.documents, len(known.digests)) == (8, 4)
    assert known.mentions == {"Dosage": 2, "Medication": 4, "Sign_symptom": 6}
