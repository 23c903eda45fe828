"""Write converted documents to DocBins, split by document, and read any DocBin."""

import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..util.files import write_files
from ..util.text import counted
from .gold import document_name
from .split import PARTS, join_sets, keep_parts, split_documents


def write_parts(
    docs: Sequence[Doc],
    out_dir: Path,
    shares: Sequence[float] | None,
    seed: int,
    *,
    together: Iterable[Collection[str]] = (),
    given: Mapping[str, str] | None = None,
    about: Mapping[str, object] | None = None,
) -> dict[str, list[str]]:
    """Write train/dev/test.spacy, split by document, or all.spacy, and split.json with their names.

    Args:
        docs: Converted documents.
        out_dir: The folder to write to; the same files in it are replaced together.
        shares: Shares of the documents in each part; None for one DocBin of all.
        seed: Seed of the split.
        together: Sets of names of documents that stay in one part.
        given: The part of each document, to keep a division instead of making one.
        about: What else split.json says.

    Returns:
        The names of the documents of each part.

    Raises:
        ValueError: For no documents, two of one name, fewer documents or sets of them than parts,
            invalid shares, and a given division without train or test.
    """
    by_name = {document_name(doc): doc for doc in docs}
    if not docs:
        raise ValueError("no document has both text and annotation")
    if len(by_name) < len(docs):
        counts = Counter(document_name(doc) for doc in docs)
        twice = ", ".join(name for name, count in counts.items() if count > 1)
        raise ValueError(f"more than one document of the same name: {twice}")
    names: dict[str, list[str]] = {"all": sorted(by_name)}
    if shares is not None:
        types = {name: [ent.label_ for ent in doc.ents] for name, doc in by_name.items()}
        sets = [list(each) for each in together]
        if given is not None:
            found = keep_parts(types, given, shares, seed, sets)
        elif len(docs) < len(PARTS):
            documents = counted(len(docs), "document")
            raise ValueError(f"{documents} cannot be split into {', '.join(PARTS)}")
        elif (n := len(join_sets(list(types), sets))) < len(PARTS):
            raise ValueError(
                f"{len(docs)} documents cannot be split into {', '.join(PARTS)}, as those of one "
                f"group or of one text stay together, which makes {n} of them"
            )
        else:
            found = split_documents(types, shares, seed, sets)
        names = dict(zip(PARTS, found, strict=True))
    split = {"seed": seed, **(about or {}), "parts": names}
    files = {"split.json": json.dumps(split, indent=2).encode()}
    for part, members in names.items():
        docbin = DocBin(docs=[by_name[name] for name in members], store_user_data=True)
        files[f"{part}.spacy"] = docbin.to_bytes()
    write_files(out_dir, files)
    return names


def read_docbin(path: Path, vocab: Vocab) -> list[Doc]:
    """Return all documents of a DocBin.

    Args:
        path: The DocBin, such as the train.spacy of `convert_folder`.
        vocab: The vocabulary of a pipeline.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a DocBin.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"the DocBin {path} does not exist; python -m spacy btl convert writes one"
        )
    try:
        return list(DocBin().from_disk(path).get_docs(vocab))
    except (zlib.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a DocBin that spaCy can read") from error
