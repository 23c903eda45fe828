"""Measurements of reports that nobody has annotated: numbers to choose reports by.

A candidate mention is what the pipeline marks, and beside it whatever it holds to be possible: an
entity of any type that may begin at a token with `LEAST` probability or more. A doubtful ``O``
therefore counts like a doubtful entity.

Reports are read one after the other. Each leaves numbers (`Measured`) and a digest of its
words, which identifies copies; its text is not kept.
"""

import hashlib
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
from ..data.duplicates import text_words, word_pairs
from ..labels.bio import LabelSpan
from ..labels.confidence import layer_span_scores, span_scores
from ..pipeline.component import BtlKnnNer
from ..pipeline.fitting import read_before
from ..pipeline.schemes import calibrated
from ..util.arrays import Float64s1d, Floats2d, FloatsXd, Ints1d
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
        pairs: Hashes of its pairs of adjacent words, by which near copies are found.
    """

    words: int
    expected: Float64s1d
    doubt: Float64s1d
    pairs: Ints1d


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


def digests_of(paths: Iterable[Path | str]) -> frozenset[bytes]:
    """Return the digests of the words of annotated documents.

    Args:
        paths: Folders or files of any format that `convert` reads, DocBins among them.

    Raises:
        ValueError: If `conversion.reading.read_source` cannot read one.
        OSError: If a file cannot be read.
    """
    texts = (document.text for path in paths for document in read_source(path).documents)
    return frozenset(digest_of(words) for text in texts if text and (words := text_words(text)))


def digest_of(words: Sequence[str]) -> bytes:
    """Return a digest of the words of a text, the same for texts that differ in nothing else."""
    return hashlib.blake2b("\0".join(words).encode(), digest_size=16).digest()


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
        read: list[list[str]] = []
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
                read.append(words)
            found.append(Found(record.id, place, None, error))
        measured = iter(_measure_texts(nlp, pipe, texts, read))
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


def measure(pipe: BtlKnnNer, docs: Sequence[Doc], words: Sequence[Sequence[str]]) -> list[Measured]:
    """Return numbers of documents that all components before ours have read.

    Args:
        pipe: The component.
        docs: The documents.
        words: The words of each, as `text_words` finds them.

    Raises:
        ValueError: If the neighbors belong to other weights.
    """
    measured = []
    for doc, own, probabilities in zip(docs, words, pipe.predict(docs), strict=True):
        expected, doubt = np.zeros(len(pipe.labels)), np.zeros(len(pipe.labels))
        spans, scores = candidates(pipe, doc, probabilities)
        kinds = np.array([kind for _, _, kind in spans], dtype=np.int64)
        np.add.at(expected, kinds, scores)
        np.add.at(doubt, kinds, scores * (1 - scores))
        measured.append(Measured(len(own), expected, doubt, word_pairs(own)))
    return measured


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
    nlp: Language, pipe: BtlKnnNer, texts: Sequence[str], words: Sequence[Sequence[str]]
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
            _measured(nlp, pipe, [PROBE], [[PROBE]])
        return results


def _measured(
    nlp: Language, pipe: BtlKnnNer, texts: Sequence[str], words: Sequence[Sequence[str]]
) -> list[Measured]:
    return measure(pipe, read_before(nlp, pipe, [nlp.make_doc(text) for text in texts]), words)
