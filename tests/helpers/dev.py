"""Dev documents that are too few for a calibration."""

from spacy.language import Language
from spacy.training import Example

from tests.helpers.sentences import make_examples

KINDS = ("one document", "one with entities", "no prediction", "no gold")


def too_little(nlp: Language, kind: str) -> list[Example]:
    """Return examples of one of the `KINDS`."""
    if kind == "one document":
        return make_examples(nlp)[:1]
    if kind == "one with entities":
        empty = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in ("", " ", "")]
        return [*empty, make_examples(nlp)[1]]
    if kind == "no prediction":
        return [Example.from_dict(nlp.make_doc(""), {"entities": []}) for _ in range(2)]
    return [Example(eg.predicted, nlp.make_doc(eg.text)) for eg in make_examples(nlp)]
