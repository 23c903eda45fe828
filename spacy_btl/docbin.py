"""Write converted documents to DocBins, split by document, and read any DocBin."""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .scorer import GOLD_KEY
from .split import split_documents

PARTS = ("train", "dev", "test")


def write_parts(
    docs: Sequence[Doc], out_dir: Path, shares: Sequence[float] | None, seed: int
) -> dict[str, list[str]]:
    """Write train/dev/test.spacy, or all.spacy where ``shares`` is None; names of each part.

    Raises ValueError for no documents, two of one name, or fewer documents than parts.
    """
    by_name = {doc.user_data[GOLD_KEY]["name"]: doc for doc in docs}
    if not docs:
        raise ValueError("no document has both a text and annotation")
    if len(by_name) < len(docs):
        counts = Counter(doc.user_data[GOLD_KEY]["name"] for doc in docs)
        twice = ", ".join(name for name, count in counts.items() if count > 1)
        raise ValueError(f"more than one document of the same name: {twice}")
    names: dict[str, list[str]] = {"all": sorted(by_name)}
    if shares is not None:
        if len(docs) < len(PARTS):
            raise ValueError(f"{len(docs)} documents cannot be split into {', '.join(PARTS)}")
        types = {name: [ent.label_ for ent in doc.ents] for name, doc in by_name.items()}
        names = dict(zip(PARTS, split_documents(types, shares, seed), strict=True))
    out_dir.mkdir(parents=True, exist_ok=True)
    for part, members in names.items():
        docbin = DocBin(docs=[by_name[name] for name in members], store_user_data=True)
        docbin.to_disk(out_dir / f"{part}.spacy")
    return names


def heading_of(docs: Iterable[Doc]) -> str:
    """What a report on these documents must carry, "" for nothing."""
    headings = {doc.user_data.get(GOLD_KEY, {}).get("heading", "") for doc in docs} - {""}
    return "; ".join(sorted(headings))


def parse_shares(text: str) -> tuple[float, ...]:
    """The shares of the parts, written as in "0.8,0.1,0.1"; ValueError for anything else."""
    try:
        shares = tuple(float(share) for share in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(PARTS):
        raise ValueError(f'--split wants three shares such as 0.8,0.1,0.1, not "{text}"')
    return shares


def read_docbin(path: Path, vocab: Vocab) -> list[Doc]:
    """All documents of a DocBin.

    Raises FileNotFoundError where there is no such file, ValueError where it is no DocBin.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no DocBin {path}; python -m spacy btl convert writes one")
    try:
        return list(DocBin().from_disk(path).get_docs(vocab))
    except (zlib.error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no DocBin that spaCy can read") from error
