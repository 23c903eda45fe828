"""Measurements of reports that nobody has annotated: numbers to choose reports by.

A candidate mention is what the pipeline marks, and beside it whatever it holds to be possible: an
entity of any type that may begin at a token with `LEAST` probability or more. A doubtful ``O``
therefore counts like a doubtful entity.

Reports are read one after the other. Each leaves numbers (`Measured`) and a digest of its
words, which identifies copies; its text is not kept.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..annotate.contents import check_encoding
from ..annotate.inputs import PLACES, Fields, InputReader, Record, RecordError, read_errors
from ..annotate.shards import file_error, find_files
from ..annotate.worker import PROBE, failure
from ..conversion.reading import read_source
from ..data.duplicates import text_words
from ..labels.bio import LabelSpan, n_columns
from ..labels.confidence import layer_span_scores, span_scores
from ..labels.layers import BEGIN
from ..ml.token_classifier import token_vectors
from ..pipeline.component import BtlKnnNer
from ..pipeline.fitting import read_before
from ..pipeline.schemes import LayeredScheme, calibrated
from ..util.arrays import Float32s1d, Float64s1d, Floats2d, FloatsXd
from ..util.messages import log_failure

LEAST = 0.02
"""Probability of a beginning from which on a mention that is not marked counts as possible."""

STAYS = 0.5
"""Probability to be inside from which on a further token belongs to a possible mention."""

BATCH = 16
"""Reports that are read together."""


class Measured(NamedTuple):
    """A report as numbers.

    Attributes:
        words: Number of words.
        expected: (n_types,) expected number of mentions.
        doubt: (n_types,) sum of ``p (1 - p)`` over candidate mentions.
        distance: Mean distance of candidate mentions from the nearest neighbor, weighted by their
            probabilities; NaN without neighbors or candidates.
        vector: (width,) mean of the token vectors.
    """

    words: int
    expected: Float64s1d
    doubt: Float64s1d
    distance: float
    vector: Float32s1d


class Found(NamedTuple):
    """A record of a pool, measured or refused.

    Attributes:
        id: Its id; in a folder of text files its path without suffix.
        place: File and line or row, for a person to find it.
        measured: Its numbers; None if it is refused.
        error: Why it is refused, "" if it is not.
    """

    id: str
    place: str
    measured: Measured | None
    error: str = ""


class Known(NamedTuple):
    """Documents that are annotated already.

    Attributes:
        digests: Digests of their words.
        mentions: Number of entities of each type.
        documents: Their number.
    """

    digests: frozenset[bytes]
    mentions: Counter[str]
    documents: int


def read_known(paths: Iterable[Path | str]) -> Known:
    """Return what has to be known of annotated documents.

    Args:
        paths: Folders or files of any format that `convert` reads, DocBins among them.

    Raises:
        ValueError: If `conversion.reading.read_source` cannot read one.
        OSError: If a file cannot be read.
    """
    digests: set[bytes] = set()
    mentions: Counter[str] = Counter()
    n = 0
    for path in paths:
        for document in read_source(path).documents:
            n += 1
            mentions.update(entity.label for entity in document.standoff.entities)
            if document.text and (words := text_words(document.text)):
                digests.add(digest_of(words))
    return Known(frozenset(digests), mentions, n)


def digest_of(words: Sequence[str]) -> bytes:
    """Return a digest of the words of a text, the same for texts that differ in nothing else."""
    return hashlib.blake2b("\0".join(words).encode(), digest_size=16).digest()


def known_mentions(pipe: BtlKnnNer) -> dict[str, int] | None:
    """Return how many mentions of each type the neighbors are of; None without neighbors.

    Several keys of one token, as `fit-knn --passes` makes them, count once.
    """
    store = pipe.neighbors.datastore
    if store is None or not len(store):
        return None
    places = np.stack([store.document_of_key.astype(np.int64), store.offsets])
    _, first = np.unique(places, axis=1, return_index=True)
    labels = store.labels[first]
    if isinstance(pipe.scheme, LayeredScheme):
        begins = (pipe.scheme.rows == BEGIN)[labels].sum(axis=0)
        counts = np.pad(begins, (0, max(len(pipe.labels) - len(begins), 0)))
    else:
        votes = getattr(pipe.scheme, "votes", None)
        columns = labels if votes is None else votes.columns[labels]
        counts = np.bincount(columns, minlength=n_columns(len(pipe.labels)))[1::2]
    return dict(zip(pipe.labels, counts.tolist(), strict=False))


def measure_pool(
    nlp: Language,
    pipe: BtlKnnNer,
    source: Path,
    known: Iterable[bytes] = (),
    *,
    kind: str | None = None,
    fields: Fields | None = None,
    encoding: str = "utf-8",
) -> Iterator[Found]:
    """Yield the records of a pool, each measured or refused.

    Refused are records that cannot be read or annotated, that have no word, that are known, and
    those with the words of a record before.

    Args:
        nlp: The pipeline.
        pipe: Its component.
        source: Reports, as `annotate` takes them: a folder, or a file.
        known: Digests of the words of annotated documents.
        kind: Kind of the files; None for the only one that is there.
        fields: Names of the fields of a record; None for the defaults.
        encoding: Encoding of the files.

    Raises:
        ValueError: If there are no such files, or the neighbors belong to other weights.
        OSError: If the source is missing.
    """
    kind, files = find_files(source, kind)
    check_encoding(encoding, kind)
    reader = InputReader(source, kind, fields or Fields(), encoding)
    known, seen = frozenset(known), set[bytes]()
    records = _records(reader, files, source)
    while batch := list(islice(records, BATCH)):
        found: list[Found] = []
        texts: list[str] = []
        counts: list[int] = []
        for file, record in batch:
            place = f"{file}, {PLACES[kind]} {record.number}" if kind in PLACES else file
            error, words = record.error, text_words(record.text)
            digest = digest_of(words)
            if not error and not words:
                error = "no word in it"
            elif not error and digest in known:
                error = "annotated already: a known document has the same words"
            elif not error and digest in seen:
                error = "a report before it has the same words"
            elif not error:
                seen.add(digest)
                texts.append(record.text)
                counts.append(len(words))
            found.append(Found(record.id, place, None, error))
        measured = iter(_measure_texts(nlp, pipe, texts, counts))
        for each in found:
            if each.error:
                yield each
                continue
            result = next(measured)
            if isinstance(result, Measured):
                yield each._replace(measured=result)
            else:
                log_failure(each.place, result)
                yield each._replace(error=failure(result))


def measure(pipe: BtlKnnNer, docs: Sequence[Doc], words: Sequence[int]) -> list[Measured]:
    """Return numbers of documents that all components before ours have read.

    Args:
        pipe: The component.
        docs: The documents.
        words: Number of words of each.

    Raises:
        ValueError: If the neighbors belong to other weights.
    """
    with_hidden = bool(pipe.model.has_ref("tok2vec"))
    logits, hidden = token_vectors(pipe.model, docs, with_hidden=with_hidden)
    vectors = logits if hidden is None else hidden
    keys = logits if pipe.keys == "logits" else vectors
    own = pipe.model_probabilities(docs, logits)
    weight = pipe.neighbor_weight if pipe.has_neighbors else 0.0
    votes = None
    if pipe.has_neighbors:
        pipe.check_neighbors()
        if weight > 0 or pipe.state.added_labels:
            votes = pipe.neighbors.predict_proba(keys)
    probabilities = pipe.mixed(own, votes, weight)
    ends = np.cumsum([len(doc) for doc in docs])[:-1]
    parts = [np.split(array, ends) for array in (probabilities, keys, vectors)]
    return [
        _measure_document(pipe, doc, n, *(part[i] for part in parts))
        for i, (doc, n) in enumerate(zip(docs, words, strict=True))
    ]


def _measure_document(
    pipe: BtlKnnNer,
    doc: Doc,
    words: int,
    probabilities: FloatsXd,
    keys: Floats2d,
    vectors: Floats2d,
) -> Measured:
    """Return the numbers of a document, whose arrays have n_tokens as their first axis."""
    n_types = len(pipe.labels)
    expected, doubt = np.zeros(n_types), np.zeros(n_types)
    spans, scores = candidates(pipe, doc, probabilities)
    distance = math.nan
    if spans:
        kinds = np.array([kind for _, _, kind in spans])
        np.add.at(expected, kinds, scores)
        np.add.at(doubt, kinds, scores * (1 - scores))
        if pipe.has_neighbors:
            starts, which = np.unique([start for start, _, _ in spans], return_inverse=True)
            nearest, _ = pipe.neighbors.kneighbors(keys[starts], 1)
            distance = float(np.average(nearest[which.reshape(-1), 0], weights=scores))
    vector = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
    return Measured(words, expected, doubt, distance, vector.astype(np.float32))


def candidates(
    pipe: BtlKnnNer, doc: Doc, probabilities: FloatsXd
) -> tuple[list[LabelSpan], Float64s1d]:
    """Return candidate mentions in tokens, marked ones first, and the probability of each.

    Args:
        pipe: The component.
        doc: A document.
        probabilities: Its label probabilities, from the component.
    """
    (scored,) = pipe.scheme.find([doc], [probabilities], pipe.labels)
    if (calibration := pipe.calibration) is not None:
        (scored,) = calibrated(pipe.scheme, [probabilities], [scored], pipe.labels, calibration)
    index = {label: i for i, label in enumerate(pipe.labels)}
    marked = [(span.start, span.end, index[span.label_]) for span in scored.spans]
    layered = probabilities.ndim == 3
    begin = probabilities[:, :, 1] if layered else probabilities[:, 1::2]
    inside = probabilities[:, :, 2] if layered else probabilities[:, 2::2]
    possible = begin >= LEAST
    for start, end, kind in marked:
        possible[start:end, kind] = False
    others = [
        (start, _end(inside, start, kind), kind) for start, kind in np.argwhere(possible).tolist()
    ]
    raw = (layer_span_scores if layered else span_scores)(probabilities, others)
    return [*marked, *others], np.concatenate([scored.scores, raw]).astype(np.float64)


def _end(inside: Floats2d, start: int, kind: int) -> int:
    """Return the end (exclusive) of a possible mention of a type that starts at a token."""
    end = start + 1
    while end < len(inside) and inside[end, kind] >= STAYS:
        end += 1
    return end


def _records(
    reader: InputReader, files: Sequence[str], source: Path
) -> Iterator[tuple[str, Record]]:
    """Yield the records of all files, each with its file; a file that cannot be read is one."""
    for file in files:
        name = file or source.name
        try:
            for record in reader.records(file):
                yield name, record
        except read_errors() as error:
            log_failure(f"reading {name}", error)
            yield name, Record(0, 0, "", "", file_error(error))


def _measure_texts(
    nlp: Language, pipe: BtlKnnNer, texts: Sequence[str], words: Sequence[int]
) -> list[Measured | Exception]:
    """Return the numbers of each text or, if the pipeline fails for it, the exception.

    Texts are read together, and one by one if that fails.

    Raises:
        Exception: What the pipeline raises for a plain sentence, if it fails for one too.
    """
    # What a document brings into the vocabulary goes with it (spaCy 3.8 and later).
    with getattr(nlp, "memory_zone", nullcontext)():
        try:
            return list(_measured(nlp, pipe, texts, words))
        except Exception as error:  # a component may raise anything
            log_failure(f"reading {len(texts)} reports together", error)
        results: list[Measured | Exception] = []
        for text, n in zip(texts, words, strict=True):
            if len(text) > nlp.max_length:
                too_long = f"{len(text)} characters, the pipeline takes {nlp.max_length}"
                results.append(RecordError(too_long))
                continue
            try:
                results += _measured(nlp, pipe, [text], [n])
            except Exception as fault:  # as above
                results.append(fault)
        if any(not isinstance(each, Measured | RecordError) for each in results):
            _measured(nlp, pipe, [PROBE], [1])
        return results


def _measured(
    nlp: Language, pipe: BtlKnnNer, texts: Sequence[str], words: Sequence[int]
) -> list[Measured]:
    return measure(pipe, read_before(nlp, pipe, [nlp.make_doc(text) for text in texts]), words)
