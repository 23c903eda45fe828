"""Read annotated documents of any format, with the label sets and the map of their types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from spacy.tokens import Doc
from spacy.vocab import Vocab

from .. import brat, formats
from ..data.docbin import read_docbin
from ..data.duplicates import find_duplicates
from ..data.gold import GOLD_KEY, INFO_NAME, document_name, gold_of
from ..data.label_sets import CORPUS_KEY, corpus_of, label_set_of, set_label_set
from ..formats.files import Draft, Names
from ..util.checks import one_of, whole_number
from .export import to_standoff

FormatName: TypeAlias = Literal["auto", "brat", "pubtator", "conll", "json", "bioc", "docbin"]
"""A format of annotated documents; "auto" finds it out."""

LEFT_OUT = "documents left out, as their text is in another corpus"
"""The setting of an account that counts what `Reading.apart_from` leaves out."""

_ITS_FORMAT: Mapping[str, formats.Format] = {
    "columns": "conll",
    "text_key": "json",
    "layer": "json",
    "spans_key": "docbin",
}
"""The format of a setting that is not for all."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings for reading annotated documents.

    Attributes:
        format: Their format.
        columns: CoNLL only. The names of the columns: "token,_,_,tag"; "" for the token in the
            first and its tag in the last.
        sentences: CoNLL without -DOCSTART- only. Sentences of a document; 0 for all of a file.
        text_key: JSON only. The name of the text in a document, or in the data of a task of Label
            Studio; "" to find it out.
        layer: UIMA CAS JSON of INCEpTION only. The layer of the entities and its feature with their
            label, as in "custom.Entity:label"; "" for the only layer that has annotations.
        spans_key: DocBin only. The key of ``doc.spans`` with the entities; "" for the annotation
            that a conversion has kept, or else ``doc.ents``.
        labels: The types that the documents annotate, as the files have them; none for all types.
        label_map: The new label of a label, "" to leave its entities out; others stay.
        corpus: The name of the corpus, "" for none.
        apart_from: DocBins, such as another corpus's dev and test: documents of the same text as
            one of theirs, or nearly the same, are left out and counted.

    Raises:
        ValueError: If a setting has no such value, or is one of another format.
    """

    format: FormatName = "auto"
    columns: str = ""
    sentences: int = formats.SENTENCES
    text_key: str = ""
    layer: str = ""
    spans_key: str = ""
    labels: Sequence[str] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    corpus: str = ""
    apart_from: Sequence[Path] = ()

    def __post_init__(self) -> None:
        one_of("format", self.format, get_args(FormatName))
        formats.Columns.parse(self.columns)
        whole_number("sentences", self.sentences, 0)
        if self.layer and not all(self.layer.rpartition(":")[::2]):
            raise ValueError(
                f'layer is "{self.layer}", but must name a layer and its feature with the label, '
                "as in custom.Entity:label"
            )
        if isinstance(self.labels, str) or not all(self.labels):
            raise ValueError(f"labels is {self.labels!r}, but must be a list of types")
        for name, its_format in _ITS_FORMAT.items():
            if getattr(self, name) and self.format not in ("auto", its_format):
                raise ValueError(f"{name} is for the format {its_format}, not for {self.format}")


DEFAULT_READING = Reading()


@dataclass(frozen=True, slots=True)
class Source:
    """Annotated documents, as they were read.

    Attributes:
        documents: The documents, their types mapped.
        settings: What the account says of the reading.
        passed_over: Files that belong to no document.
        names: Each label of the files, and what it is called now; "" for one that is left out.
        mapped: What the map has done.
        label_sets: The types that a document annotates, by its name, where they are given.
        corpora: The name of the corpus of a document, by its name, where it is given.
    """

    documents: list[brat.Document]
    settings: dict[str, str | int]
    passed_over: list[Path]
    names: dict[str, str]
    mapped: list[formats.Mapped]
    label_sets: dict[str, list[str]]
    corpora: dict[str, str]

    def mark(self, doc: Doc) -> None:
        """Write label set and corpus into a document that was made of one of these."""
        name = document_name(doc)
        if name in self.label_sets:
            set_label_set(doc, self.label_sets[name])
        if name in self.corpora:
            doc.user_data[CORPUS_KEY] = self.corpora[name]


def read_source(path: Path | str, reading: Reading = DEFAULT_READING) -> Source:
    """Return the documents of a file or folder.

    Args:
        path: A file, or a folder with sub-folders.
        reading: How they are read.

    Raises:
        ValueError: If the format is not plain, there is no document, an entity is outside of the
            given label set, or the map names a label that there is not.
        OSError: If the file or folder cannot be read.
    """
    path = Path(path)
    guess = _guess(path, reading)
    marks: dict[str, Doc] = {}
    read = _read(path, guess, reading, marks)
    settings = {"format": formats.TITLES[guess.format], **read.settings}
    documents = read.documents
    if reading.apart_from:
        documents = _apart_from(documents, reading.apart_from)
        settings[LEFT_OUT] = len(read.documents) - len(documents)
    if guess.format != "brat":
        settings["files"] = len(guess.files)
    label_sets = _label_sets(documents, reading, marks)
    old = {e.label for document in documents for e in document.standoff.entities}
    old |= {label for own in label_sets.values() for label in own}
    documents, mapped = formats.apply_map(documents, reading.label_map, old)
    names = {label: reading.label_map.get(label, label) for label in old}
    label_sets = {
        name: sorted({names[label] for label in own} - {""}) for name, own in label_sets.items()
    }
    if reading.label_map and not all(label_sets.values()):
        raise ValueError("the map leaves out all types of the label set")
    if label_sets:
        every = {label for own in label_sets.values() for label in own}
        settings["label set"] = ", ".join(sorted(every))
    corpora = {name: corpus for name, doc in marks.items() if (corpus := corpus_of(doc))}
    if reading.corpus:
        corpora = {document.name: reading.corpus for document in documents}
        settings["corpus"] = reading.corpus
    others = brat.other_files(path) if guess.format == "brat" else guess.others
    others = [other for other in others if other.name != INFO_NAME]
    return Source(documents, settings, others, names, mapped, label_sets, corpora)


def _guess(path: Path, reading: Reading) -> formats.Guess:
    """Return the format of a corpus; ValueError if a setting is for another one."""
    wanted = None if reading.format == "auto" else reading.format
    guess = formats.guess_format(path, wanted, formats.Columns.parse(reading.columns))
    for setting, its_format in _ITS_FORMAT.items():
        if getattr(reading, setting) and guess.format != its_format:
            title = formats.TITLES[guess.format]
            raise ValueError(f"{path} is read as {title}, which has no setting {setting}")
    return guess


def _read(
    path: Path, guess: formats.Guess, reading: Reading, marks: dict[str, Doc]
) -> formats.Read:
    """Return the documents of a corpus; ``marks`` gets those of DocBins by name."""
    files = guess.files
    match guess.format:
        case "brat":
            return formats.Read(list(brat.read_folder(path)))
        case "docbin":
            return _read_docbins(files, reading.spans_key, marks)
        case "conll":
            columns = formats.Columns.parse(reading.columns)
            return formats.read_columns(files, columns, reading.sentences)
        case "json":
            return formats.read_json(files, reading.text_key, reading.layer)
        case "pubtator":
            return formats.read_pubtator(files)
        case "bioc":
            return formats.read_bioc(files)


def _label_sets(
    documents: Sequence[brat.Document], reading: Reading, marks: Mapping[str, Doc]
) -> dict[str, list[str]]:
    """Return the types that documents annotate, by name: those of a setting, or their own."""
    if reading.labels:
        formats.check_labels(documents, set(reading.labels))
        return {document.name: sorted(set(reading.labels)) for document in documents}
    return {name: sorted(own) for name, doc in marks.items() if (own := label_set_of(doc))}


def _apart_from(documents: Sequence[brat.Document], paths: Sequence[Path]) -> list[brat.Document]:
    """Return the documents whose text is neither that of a document in a DocBin, nor nearly."""
    vocab = Vocab()
    theirs = [doc.text for path in paths for doc in read_docbin(path, vocab)]
    first = len(documents)
    groups = find_duplicates([*(document.text or "" for document in documents), *theirs])
    out = {i for group in groups if group.members[-1] >= first for i in group.members}
    return [document for i, document in enumerate(documents) if i not in out]


def _read_docbins(
    files: Sequence[formats.DataFile], spans_key: str, marks: dict[str, Doc]
) -> formats.Read:
    """Return the documents of DocBins; a record has the number of its document as its line.

    Args:
        files: The DocBins.
        spans_key: As in `Reading`.
        marks: Gets the documents by name.
    """
    vocab = Vocab()
    docs: list[tuple[formats.DataFile, int, Doc]] = []
    broken: list[brat.Document] = []
    names = Names()
    for file in files:
        try:
            found = read_docbin(file.path, vocab)
        except ValueError:
            draft = Draft(file, names.new(file, ""))
            draft.note(0, "no-text", "no DocBin that spaCy can read")
            broken.append(draft.finish(None))
            continue
        docs += [(file, number, doc) for number, doc in enumerate(found, 1)]
    key = _spans_key([doc for _, _, doc in docs], spans_key)
    documents = []
    for file, number, doc in docs:
        name = names.unique(file.stem + (document_name(doc) or f"{number:05}"))
        marks[name] = doc
        own = GOLD_KEY if not key and gold_of(doc) and GOLD_KEY in doc.spans else key
        records = tuple(r._replace(line=number) for r in to_standoff(doc, own).standoff.records)
        parts = ((file.name, brat.Standoff(records)),)
        problems = tuple(brat.check_parts(parts, doc.text))
        documents.append(brat.Document(name, file.path, doc.text, parts, problems))
    settings: dict[str, str | int] = {"spans": key} if key else {}
    if unknown := sum(not token.ent_iob for _, _, doc in docs for token in doc if not key):
        settings["tokens without annotation, taken as O"] = unknown
    return formats.Read([*documents, *broken], settings)


def _spans_key(docs: Sequence[Doc], wanted: str) -> str | None:
    """Return the key of the spans that are the entities of all documents, None for none.

    Raises:
        ValueError: If no document has the key, or there are spans of several keys and no entities.
    """
    keys: list[str] = sorted({key for doc in docs for key in doc.spans if doc.spans[key]})
    if wanted and not any(wanted in doc.spans for doc in docs):
        raise ValueError(f'no document has doc.spans["{wanted}"], only {", ".join(keys) or "none"}')
    if wanted or any(doc.ents or gold_of(doc) for doc in docs) or not keys:
        return wanted or None
    if len(keys) > 1:
        raise ValueError(
            f"no document has doc.ents, and there are spans of several keys: name one of "
            f"{', '.join(keys)} with --spans-key"
        )
    return keys[0]
