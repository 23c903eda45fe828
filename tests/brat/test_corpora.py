from collections import Counter
from pathlib import Path

import pytest

from spacy_btl import brat

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not beside the tree")

# Documents, entities, types of entities.
SIZES = {
    "maccrobat": (160, 20_216, 41),
    "chia": (2_000, 44_616, 30),
    "bionlp13cg": (600, 21_524, 16),
}
# All that is wrong in them, as read by eye: two texts that stop before a line break that the
# offsets go beyond, one that names another word.
PROBLEMS = {
    "maccrobat": [],
    "chia": [
        ("NCT02137369_inc.ann", "T8", "surface"),
        ("NCT02590822_inc.ann", "T5", "surface"),
        ("NCT03460002_inc.ann", "T5", "surface"),
    ],
    "bionlp13cg": [],
}


@pytest.fixture(scope="module", params=SIZES)
def corpus(request):
    folder = CORPORA / request.param
    if not folder.is_dir():
        pytest.skip(f"{request.param} is not beside the tree")
    return request.param, list(brat.read_folder(folder))


def test_every_annotation_comes_back_byte_for_byte(corpus):
    name, documents = corpus
    files = sorted((CORPORA / name).rglob("*.ann"))
    assert len(files) == len(documents)
    for path in files:
        data = path.read_bytes()
        assert brat.dumps(brat.loads(data.decode("utf-8"))).encode("utf-8") == data, path


def test_documents_entities_and_types_are_counted(corpus):
    name, documents = corpus
    labels = Counter(e.label for document in documents for e in document.standoff.entities)
    assert (len(documents), labels.total(), len(labels)) == SIZES[name]


def test_no_problem_is_unexplained(corpus):
    name, documents = corpus
    found = [(p.file, p.record_id, p.reason) for d in documents for p in d.problems]
    assert found == PROBLEMS[name]


def test_texts_keep_their_bytes(corpus):
    _, documents = corpus
    for document in documents:
        assert document.text.encode("utf-8") == document.path.read_bytes()


def test_records_read_are_written_the_same_from_their_fields(corpus):
    _, documents = corpus
    records = [r._replace(line=0, raw="") for d in documents for r in d.standoff.records]
    read = brat.loads(brat.dumps(brat.Standoff(tuple(records)))).records
    assert [r._replace(line=0, raw="") for r in read] == records


def test_chia_keeps_its_order_of_fragments():
    if not (CORPORA / "chia").is_dir():
        pytest.skip("chia is not beside the tree")
    documents = list(brat.read_folder(CORPORA / "chia"))
    entities = [entity for document in documents for entity in document.standoff.entities]
    assert sum(len(e.fragments) > 1 for e in entities) == 1_796
    assert sum(list(e.fragments) != sorted(e.fragments) for e in entities) == 132
    assert sum(b"\r\n" in document.path.read_bytes() for document in documents) == 1_603


def test_chia_lists_its_other_files():
    if not (CORPORA / "chia").is_dir():
        pytest.skip("chia is not beside the tree")
    assert {path.suffix for path in brat.other_files(CORPORA / "chia")} == {".conf"}
