"""Label sets: which types a document annotates, and which corpus it comes from.

A corpus annotates some types only. In a document of it, a token that is in no entity is ``O`` for
these types, and *unknown* for all others. Both facts are plain values of ``doc.user_data``, so that
a DocBin (with ``store_user_data``), `Doc.to_bytes` and `Doc.copy` keep them:

    {"label_set": ["Chemical", "Disease"], "corpus": "bc5cdr"}

A document without a label set annotates all types.
"""

from collections.abc import Iterable

from spacy.tokens import Doc

LABEL_SET_KEY = "label_set"
"""Key of ``doc.user_data`` for the label set, a sorted list (from a DocBin, a tuple)."""

CORPUS_KEY = "corpus"
"""Key of ``doc.user_data`` for the name of the corpus."""


def label_set_of(doc: Doc) -> frozenset[str] | None:
    """Return the types that a document annotates; None for all.

    Raises:
        ValueError: If ``doc.user_data`` holds something else than types under the key.
    """
    value = doc.user_data.get(LABEL_SET_KEY)
    return None if value is None else frozenset(_checked(value))


def set_label_set(doc: Doc, types: Iterable[str] | None) -> None:
    """Set the types that a document annotates.

    Args:
        doc: The document. Its entities should be of these types; training and scores refuse others.
        types: The types; None for all.

    Raises:
        ValueError: If there is no type, or one is not a string.
    """
    if types is None:
        doc.user_data.pop(LABEL_SET_KEY, None)
    else:
        doc.user_data[LABEL_SET_KEY] = sorted(set(_checked(types)))


def corpus_of(doc: Doc) -> str:
    """Return the name of the corpus that a document comes from, "" where none is given.

    Raises:
        ValueError: If ``doc.user_data`` holds something else than a name under the key.
    """
    name = doc.user_data.get(CORPUS_KEY)
    if not (name is None or isinstance(name, str)):
        raise ValueError(
            f'doc.user_data["{CORPUS_KEY}"] must be the name of a corpus, not {type(name).__name__}'
        )
    return name or ""


def annotates(doc: Doc, label: str) -> bool:
    """Return whether a document annotates a type."""
    types = label_set_of(doc)
    return types is None or label in types


def _checked(types: object) -> list[str]:
    """Return types as a list; raise ValueError if they are not types."""
    if isinstance(types, str) or not isinstance(types, Iterable):
        raise ValueError(
            f'a label set (doc.user_data["{LABEL_SET_KEY}"]) must be a list of types, not '
            f"{type(types).__name__}"
        )
    every = list(types)
    if not every:
        raise ValueError(
            f'a label set (doc.user_data["{LABEL_SET_KEY}"]) needs at least one type; leave it out '
            "for a document that annotates all of them"
        )
    if wrong := [each for each in every if not isinstance(each, str) or not each]:
        raise ValueError(
            f'a label set (doc.user_data["{LABEL_SET_KEY}"]) must contain names of types, not '
            f"{wrong[0]!r}"
        )
    return every
