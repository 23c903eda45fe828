"""Records, a trained pipeline, and readers of the outputs for the tests of annotation."""

import csv
import json
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import fix_random_seed
from spacy.vocab import Vocab

from spacy_btl import brat
from spacy_btl.annotate import AnnotationSettings, RunSummary, annotate_files
from spacy_btl.conversion.reading import Reading, read_source
from spacy_btl.conversion.tasks import TOOLS
from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import make_examples
from tests.helpers.tasks import EXPORTS, given_name, inception_export, tasks_of

SENTENCES = ["She took warfarin", "No fever", "He had chest pain and fever", "5 mg of aspirin"]
RECORDS = [(f"d{i}", " . ".join(SENTENCES[i % 4 : i % 4 + i % 3])) for i in range(23)]


@Language.component("fails_on_secrets")
def fails_on_secrets(doc: Doc) -> Doc:
    if "Secretperson" in doc.text:
        raise ValueError(f"cannot cope with {doc.text}")
    return doc


def make_rules(path: Path) -> Path:
    """Return a pipeline that costs no time, and fails where a text names a Secretperson."""
    nlp = spacy.blank("xx")  # whose tokenizer has few exceptions to read
    words = {"warfarin": "Medication", "aspirin": "Medication", "fever": "Sign_symptom"}
    patterns = [{"label": label, "pattern": word} for word, label in words.items()]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)
    nlp.add_pipe("fails_on_secrets")
    nlp.to_disk(path)
    return path


def annotate(
    model: Path, source: Path, output: Path, *, progress: bool | None = None, **settings: Any
) -> RunSummary:
    """Call ``annotate_files`` with these settings."""
    return annotate_files(model, source, output, AnnotationSettings(**settings), progress=progress)


def train(path: Path, more: Sequence[tuple[str, list[tuple[int, int, str]]]] = ()) -> Path:
    """Return a pipeline that finds the entities of the sentences, and of more, with scores."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner", config={"neighbors": {"n_neighbors": 1}})
    examples = make_examples(nlp)
    for text, entities in more:
        examples.append(Example.from_dict(nlp.make_doc(text), {"entities": entities}))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    component_of(nlp).fit_neighbors(examples)
    nlp.to_disk(path)
    return path


def write(path: Path, records: Iterable[tuple[str, str]] = RECORDS) -> Path:
    """Return the records in a file of the kind of the suffix, or as a folder of .txt files."""
    records = list(records)
    if path.suffix == ".jsonl":
        lines = [json.dumps({"id": name, "text": text}) for name, text in records]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "text"), *records])
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        table = pa.table(
            dict(zip(("id", "text"), map(list, zip(*records, strict=True)), strict=True))
        )
        pytest.importorskip("pyarrow.parquet").write_table(table, path)
    else:
        for name, text in records:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / f"{name}.txt").write_bytes(text.encode("utf-8"))
    return path


def write_table(path: Path, records: list[tuple[str, str]]) -> Path:
    """Return the records as JSON Lines, or as CSV or Parquet with the texts first."""
    if path.suffix == ".jsonl":
        lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in records]
        path.write_text("".join(lines), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "id"), *(pair[::-1] for pair in records)])
    else:
        pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
        pq = pytest.importorskip("pyarrow.parquet")
        names = {"text": [text for _, text in records], "id": [name for name, _ in records]}
        schema = pa.schema([("text", pa.string()), ("id", pa.string())])
        pq.write_table(pa.table(names, schema=schema), path, row_group_size=7)
    return path


def found(output: Path, to: str) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Return all entities of each document, sorted by id, as the files have them."""
    files = sorted((output / "annotations").iterdir())
    result: list[tuple[str, list[tuple[int, int, str]]]] = []
    if to == "jsonl":
        for line in "".join(path.read_text(encoding="utf-8") for path in files).splitlines():
            value = json.loads(line)
            entities = [(e["start"], e["end"], e["label"]) for e in value["entities"]]
            result.append((value["id"], entities))
    elif to == "inception":
        result += exported_by_inception(output)
    elif to in TOOLS:
        result += exported(output, to)
    elif to == "docbin":
        for path in files:
            for doc in DocBin().from_disk(path).get_docs(Vocab()):
                entities = [(e.start_char, e.end_char, e.label_) for e in doc.ents]
                result.append((doc.user_data["name"], entities))
    elif to == "parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        rows = [row for path in files for row in pq.read_table(path).to_pylist()]
        assert len({tuple(row.values()) for row in rows}) == len(rows)
        for name in dict.fromkeys(row["id"] for row in rows):
            own = [row for row in rows if row["id"] == name]
            result.append((name, [(row["start"], row["end"], row["label"]) for row in own]))
    else:
        for path in output.joinpath("annotations").rglob("*.ann"):
            entities = [(*e.fragments[0], e.label) for e in brat.loads(path.read_text()).entities]
            assert path.with_suffix(".txt").is_file()
            name = path.relative_to(output / "annotations").with_suffix("").as_posix()
            result.append((name, entities))
    return sorted(result)


def exported_by_inception(output: Path) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Return the entities that `convert` finds in the documents when nobody has changed any."""
    documents = output / "annotations" / "documents"
    with tempfile.TemporaryDirectory() as folder:
        for path in documents.rglob("*.json"):
            file = Path(folder, path.relative_to(documents))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(inception_export(path.read_text("ascii")), encoding="utf-8")
        read = read_source(Path(folder), Reading()).documents
    return [
        (document.name, [(*e.fragments[0], e.label) for e in document.standoff.entities])
        for document in read
    ]


def exported(output: Path, to: str) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Return the entities that `convert` finds when annotators have accepted all tasks."""
    result = []
    for path in sorted((output / "annotations").glob("shard-*")):
        content = path.read_text("ascii")
        names = [given_name(task) for task in tasks_of(content)]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"export{path.suffix}")
            file.write_text(EXPORTS[to](content), encoding="utf-8")
            documents = read_source(file, Reading()).documents
        for name, document in zip(names, documents, strict=True):
            assert document.problems == ()
            spans = [(*e.fragments[0], e.label) for e in document.standoff.entities]
            result.append((name, spans))
    return result


def by_pipeline(model: Path, to: str = "") -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Return what the pipeline finds, text by text."""
    return [pair for pair in _every(model) if pair[1] or to != "parquet"]


@cache
def _every(model: Path) -> list[tuple[str, list[tuple[int, int, str]]]]:
    nlp = spacy.load(model)
    docs = [(name, nlp(text)) for name, text in sorted(RECORDS)]
    every = [(n, [(e.start_char, e.end_char, e.label_) for e in doc.ents]) for n, doc in docs]
    assert sum(len(entities) for _, entities in every) > 20
    return every
