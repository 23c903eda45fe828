"""Reports of a pool, measured by a small trained pipeline: what is suggested, what refused."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

import spacy_btl.planning.suggestion as suggestion_module
from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.component import component_of
from spacy_btl.planning.pool import LEAST, Measured, candidates, digests_of, measure
from spacy_btl.planning.suggestion import NEAR_COPY, suggest_reports, value_of
from tests.helpers.sentences import SENTENCES, make_examples

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
    component_of(nlp).neighbor_weight = 0.0  # the vote of one neighbor is never in doubt
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
    shown = json.dumps(found.to_json()) + found.to_text() + found.to_csv()
    assert not [word for word in ("chairs", "chest", "FEVER") if word in shown]


def test_numbers_of_a_report(nlp: Language, pool: Path) -> None:
    (report,) = suggest_reports(nlp, pool / "long.txt", 1).reports
    assert (report.id, report.words, report.value) == ("long", 16, 1)
    assert report.expected["Sign_symptom"] > report.expected["Dosage"]
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


def test_a_large_pool_keeps_the_valuable_reports(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestion_module, "LEAST_KEPT", 2)
    monkeypatch.setattr(suggestion_module, "KEPT_BY_CHOSEN", 1)
    lines = [{"id": i, "text": f"no report number {i}"} for i in range(9)]
    doubtful = "It may be that the chairs hurt and the house took aspirin or pain of number six"
    lines.insert(2, {"id": "rich", "text": doubtful})
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf8")
    found = suggest_reports(nlp, path, 1)
    assert [report.id for report in found.reports] == ["rich"]
    assert found.reports[0].place == "pool.jsonl, line 3"
    assert found.records == 10


NEAR = "She was well and had no fever but chest pain and took aspirin for it"


@pytest.mark.parametrize(
    ("texts", "suggested"),
    [
        pytest.param({"a": NEAR, "b": NEAR + " today"}, 1, id="one word more"),
        pytest.param({"a": NEAR, "b": " ".join(NEAR.split()[::-1])}, 2, id="another order"),
        pytest.param({"a": NEAR, "b": POOL["long"]}, 2, id="others"),
        pytest.param({"a": "No fever", "b": "No fever today"}, 2, id="too short to be like any"),
    ],
)
def test_near_copies_are_suggested_once(
    nlp: Language, tmp_path: Path, texts: dict[str, str], suggested: int
) -> None:
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf8")
    found = suggest_reports(nlp, tmp_path, 9)
    assert len(found.reports) == suggested
    assert found.refused[NEAR_COPY] == len(texts) - suggested
    assert len(found.refused_records) == len(texts) - suggested


def test_doubt_for_each_word_makes_the_order(nlp: Language, pool: Path) -> None:
    """Against the definition, on the same probabilities."""
    pipe = component_of(nlp)
    expected = {}
    for name in ("long", "other", "plain"):
        doc = nlp.make_doc(POOL[name])
        (probabilities,) = pipe.predict([doc])
        _, scores = candidates(pipe, doc, probabilities)
        expected[name] = sum(p * (1 - p) for p in scores) / (len(POOL[name].split()) + 3)
    (pool / "known.txt").unlink()
    found = suggest_reports(nlp, pool, 9, reading_words=3)
    assert [each.id for each in found.reports] == sorted(expected, key=lambda name: -expected[name])
    first = max(expected.values())
    for report in found.reports:
        assert report.value == pytest.approx(expected[report.id] / first, abs=1e-3)


def test_the_cost_of_opening_a_report_favors_longer_ones() -> None:
    short, long = (Measured(words, np.ones(1), np.ones(1) * doubt, np.empty(0, dtype=np.int64))
                   for words, doubt in ((2, 0.25), (40, 2.0)))  # fmt: skip
    assert value_of(short, 0) > value_of(long, 0)
    assert value_of(short, 50) < value_of(long, 50)
    empty = short._replace(words=0, doubt=np.zeros(1))
    assert value_of(empty, 0) == 0


def test_a_pipeline_without_neighbors_and_calibration_says_so(trained: bytes, pool: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.from_bytes(trained)
    reported = " ".join(suggest_reports(nlp, pool, 9).warnings())
    for words in ("not calibrated", "has 4 reports"):
        assert words in reported
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
    found = suggest_reports(nlp, pool, 9)
    assert "73 characters, the pipeline takes 45" in found.refused


def test_candidates_are_marked_mentions_and_possible_ones(nlp: Language) -> None:
    pipe = component_of(nlp)
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
    docs = [nlp.make_doc(""), nlp.make_doc("No fever")]
    empty, full = measure(component_of(nlp), docs, [[], ["no", "fever"]])
    assert empty.expected.sum() == empty.doubt.sum() == empty.words == 0
    assert full.expected.sum() > 0
    assert full.words == 2


def test_known_documents_of_several_places(annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("No fever", encoding="utf8")
    (tmp_path / "more" / "a.ann").write_text("T1\tSign 3 8\tfever\n", encoding="utf8")
    assert len(digests_of([annotated, annotated])) == len(SENTENCES)
    assert len(digests_of([annotated, tmp_path / "more"])) == len(SENTENCES)
