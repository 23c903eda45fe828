"""Annotated documents written in each format that `formats` reads."""

import json
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from hypothesis import strategies as st

LABELS = ["Age", "Sign_symptom", "Regulon-operon", "A B"]


class Plain(NamedTuple):
    """A document: its sentences, as words, and its entities, as (sentence, first, end, label)."""

    sentences: list[list[str]]
    entities: list[tuple[int, int, int, str]]

    @property
    def text(self) -> str:
        return "\n".join(" ".join(words) for words in self.sentences)

    def spans(self) -> list[tuple[str, int, int]]:
        """Return label and offsets of the entities, in their order."""
        found = []
        for number, first, end, label in self.entities:
            before = sum(len(" ".join(words)) + 1 for words in self.sentences[:number])
            words = self.sentences[number]
            start = before + sum(len(word) + 1 for word in words[:first])
            found.append((label, start, start + len(" ".join(words[first:end]))))
        return found


WORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters="#|"),
    min_size=1,
    max_size=6,
)


@st.composite
def plain_documents(draw, labels=tuple(LABELS)) -> Plain:
    """Return documents whose entities do not overlap, so that every format can have them."""
    sentences = draw(st.lists(st.lists(WORDS, min_size=1, max_size=6), min_size=1, max_size=4))
    entities = []
    for number, words in enumerate(sentences):
        at = 0
        while at < len(words):
            size = draw(st.integers(0, 3))
            if size:
                entities.append(
                    (number, at, min(at + size, len(words)), draw(st.sampled_from(labels)))
                )
            at += size or 1
    return Plain(sentences, entities)


def tags_of(document: Plain, scheme: str) -> list[list[str]]:
    """Return the tags of each sentence."""
    tags = [["O"] * len(words) for words in document.sentences]
    for number, first, end, label in document.entities:
        own = tags[number]
        for at in range(first, end):
            kind = "B" if at == first else "I"
            if scheme == "IOBES":
                kind = "S" if end - first == 1 else "E" if at == end - 1 else kind
            elif scheme == "BILOU":
                kind = "U" if end - first == 1 else "L" if at == end - 1 else kind
            elif scheme == "IOB1" and kind == "B":
                kind = "B" if first and own[first - 1][2:] == label else "I"
            own[at] = f"{kind}-{label}"
    return tags


def to_conll(documents: Sequence[Plain], scheme: str = "IOB2", separator: str = "\t") -> str:
    """Return documents with a token a line, each after a -DOCSTART-."""
    lines = []
    for document in documents:
        lines += [f"-DOCSTART-{separator}O", ""]
        for words, tags in zip(document.sentences, tags_of(document, scheme), strict=True):
            lines += [f"{w}{separator}{tag}" for w, tag in zip(words, tags, strict=True)] + [""]
    return "\n".join(lines)


def to_pubtator(documents: Sequence[Plain]) -> str:
    """Return documents with the first line as title and all others as abstract."""
    blocks = []
    for number, document in enumerate(documents, 1):
        title, _, rest = document.text.partition("\n")
        lines = [f"{number}|t|{title}"]
        if rest:
            lines.append(f"{number}|a|{rest.replace(chr(10), ' ')}")
        lines += [
            f"{number}\t{start}\t{end}\t{document.text[start:end]}\t{label}\tD{start}"
            for label, start, end in document.spans()
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def to_prodigy(documents: Sequence[Plain]) -> str:
    """Return documents as JSON Lines with spans."""
    records = [
        {
            "text": d.text,
            "answer": "accept",
            "spans": [{"start": s, "end": e, "label": label} for label, s, e in d.spans()],
        }
        for d in documents
    ]
    return "".join(json.dumps(record) + "\n" for record in records)


def to_doccano(documents: Sequence[Plain]) -> str:
    """Return documents as JSON Lines with triples."""
    records = [
        {"id": i, "text": d.text, "label": [[s, e, label] for label, s, e in d.spans()]}
        for i, d in enumerate(documents)
    ]
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def to_doccano_objects(documents: Sequence[Plain]) -> str:
    """Return documents as JSON Lines with objects that have offsets of their own names."""
    records = [
        {
            "text": d.text,
            "entities": [
                {"id": i, "label": label, "start_offset": s, "end_offset": e}
                for i, (label, s, e) in enumerate(d.spans())
            ],
            "relations": [],
        }
        for d in documents
    ]
    return "".join(json.dumps(record) + "\n" for record in records)


def to_spacy_2(documents: Sequence[Plain]) -> str:
    """Return documents as a list of pairs, as spaCy 2 took them."""
    pairs = [
        [d.text, {"entities": [[s, e, label] for label, s, e in d.spans()]}] for d in documents
    ]
    return json.dumps(pairs, indent=1)


def to_label_studio(documents: Sequence[Plain]) -> str:
    """Return documents as Label Studio exports them."""
    tasks = [
        {
            "id": i,
            "data": {"note": d.text},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {
                    "result": [
                        {
                            "type": "labels",
                            "value": {
                                "start": s,
                                "end": e,
                                "text": d.text[s:e],
                                "labels": [label],
                            },
                        }
                        for label, s, e in d.spans()
                    ]
                    + [{"type": "relation", "from_id": "a", "to_id": "b"}]
                },
            ],
        }
        for i, d in enumerate(documents)
    ]
    return json.dumps(tasks, indent=2)


def to_bioc(documents: Sequence[Plain]) -> str:
    """Return documents as BioC XML, with a passage for each sentence."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<collection>"]
    for number, document in enumerate(documents):
        lines += ["<document>", f"<id>{number}</id>"]
        begin = 0
        spans = iter(document.spans())
        for i, words in enumerate(document.sentences):
            text = " ".join(words)
            lines += ["<passage>", f"<offset>{begin}</offset>", f"<text>{escape(text)}</text>"]
            for _, own in zip(
                filter(lambda e, i=i: e[0] == i, document.entities), spans, strict=False
            ):
                label, start, end = own
                lines += [
                    f'<annotation id="{start}">',
                    f'<infon key="type">{label}</infon>',
                    f'<location offset="{start}" length="{end - start}"/>',
                    f"<text>{escape(document.text[start:end])}</text>",
                    "</annotation>",
                ]
            lines += ["</passage>"]
            begin += len(text) + 1
        lines += ["</document>"]
    return "\n".join([*lines, "</collection>", ""])


WRITERS = {
    # the suffix, and what writes the file
    "pubtator": (".PubTator", to_pubtator),
    "conll": (".tsv", to_conll),
    "prodigy": (".jsonl", to_prodigy),
    "doccano": (".jsonl", to_doccano),
    "doccano objects": (".jsonl", to_doccano_objects),
    "spacy 2": (".json", to_spacy_2),
    "label studio": (".json", to_label_studio),
    "bioc": (".xml", to_bioc),
}
