"""Documents of the experiments, as `corpora.py` leaves them."""

from pathlib import Path

import spacy
from spacy.tokens import Doc, DocBin

from spacy_btl.data.gold import GOLD_KEY


def read_docs(path: Path) -> list[Doc]:
    """Return the documents of a DocBin."""
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def name_of(doc: Doc) -> str:
    """Return the name of a document in its corpus."""
    return str(doc.user_data[GOLD_KEY]["name"])
