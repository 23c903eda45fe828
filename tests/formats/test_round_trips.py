"""Any document comes back from any format, and what is broken costs nothing else."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_btl.conversion.reading import Reading, read_source
from tests.helpers.formats import (
    WRITERS,
    Plain,
    plain_documents,
    to_conll,
    to_prodigy,
    to_pubtator,
)

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(content: str, suffix: str, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"corpus{suffix}")
        path.write_bytes(content.encode("utf-8"))
        return read_source(path, Reading(**options))


def spans(document):
    return sorted((e.label, *e.fragments[0]) for e in document.standoff.entities)


@pytest.mark.parametrize("name", WRITERS)
@FEW
@given(documents=st.lists(plain_documents(), min_size=1, max_size=3))
def test_what_is_written_is_read(name, documents):
    suffix, write = WRITERS[name]
    source = read(write(documents), suffix)
    assert [problem for d in source.documents for problem in d.problems] == []
    assert [spans(d) for d in source.documents] == [sorted(d.spans()) for d in documents]
    for read_document, document in zip(source.documents, documents, strict=True):
        # PubTator has the text after the title on one line.
        flat = [text.replace("\n", " ") for text in (read_document.text, document.text)]
        assert flat[0] == flat[1]


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOBES", "BILOU"])
@pytest.mark.parametrize("separator", ["\t", " "])
@FEW
@given(documents=st.lists(plain_documents(labels=("Age", "Sex-x")), min_size=1, max_size=3))
def test_schemes_of_tags(scheme, separator, documents):
    source = read(to_conll(documents, scheme, separator), ".conll", format="conll")
    assert [problem for d in source.documents for problem in d.problems] == []
    assert [spans(d) for d in source.documents] == [sorted(d.spans()) for d in documents]


BREAKERS = {
    "pubtator": (to_pubtator, ".PubTator"),
    "conll": (to_conll, ".tsv"),
    "prodigy": (to_prodigy, ".jsonl"),
}


@pytest.mark.parametrize("name", BREAKERS)
@FEW
@given(
    documents=st.lists(plain_documents(), min_size=2, max_size=3),
    broken=plain_documents(),
    data=st.data(),
)
def test_a_broken_line_loses_no_other(name, documents, broken, data):
    """One line of one document is replaced by junk; all other documents stay, and it is listed."""
    write, suffix = BREAKERS[name]
    place = data.draw(st.integers(0, len(documents)))
    every = [*documents[:place], broken, *documents[place:]]
    lines = write(every).split("\n")
    before = write(every[:place]).rstrip("\n").count("\n") + 1 if place else 0
    own = write([broken]).rstrip("\n").split("\n")
    if name == "pubtator":
        own = [line.replace("1", str(place + 1), 1) for line in own]
    at = next((i for i in range(before, len(lines)) if lines[i : i + len(own)] == own), None)
    if at is None:  # the writer has numbered it otherwise
        return
    choices = [i for i in range(at, at + len(own)) if is_annotation(name, lines[i])]
    if not choices:
        return
    number = data.draw(st.sampled_from(choices))
    lines[number] = junk_of(name, lines[number])
    source = read("\n".join(lines), suffix, format="json" if name == "prodigy" else name)
    found = {d.name: spans(d) for d in source.documents if d.text is not None}
    wanted = [sorted(d.spans()) for d in documents]
    for own_spans in wanted:
        assert own_spans in found.values()
    lines_of_problems = {problem.line for d in source.documents for problem in d.problems}
    assert number + 1 in lines_of_problems


def is_annotation(name, line):
    return bool(line) and not line.startswith("-DOCSTART-") and (name != "pubtator" or "\t" in line)


def junk_of(name, line):
    if name == "pubtator":
        fields = line.split("\t")
        return "\t".join([fields[0], "x", *fields[2:]])
    return line.split("\t")[0] + "\t?" if name == "conll" else line[:-3]


@FEW
@given(document=plain_documents(), junk=st.text(max_size=40), name=st.sampled_from(sorted(WRITERS)))
def test_no_text_stops_a_reader(document: Plain, junk, name):
    suffix, write = WRITERS[name]
    content = write([document])
    half = len(content) // 2
    own = {".PubTator": "pubtator", ".tsv": "conll", ".xml": "bioc"}.get(suffix, "json")
    junk = junk.encode("utf-8", "replace").decode("utf-8")
    for text in (junk, content[:half] + junk + content[half:]):
        source = read(text, suffix, format=own)
        assert source.documents
