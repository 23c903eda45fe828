"""Dev documents that are enough for a calibration, and others that are too little."""

from spacy.language import Language
from spacy.training import Example

from tests.helpers.sentences import make_examples

KINDS = {
    "one document": "only one document",
    "one with entities": "only one document",
    "no prediction": "no annotated entity",
    "no gold": "no annotated entity",
    "only gold": "no entity was predicted",
    "all correct": "6 predicted entities of dev are correct, none is wrong",
    "all wrong": "2 predicted entities of dev are wrong, none is correct",
}
"""Kinds of dev documents that are too little, each with the reason that is reported."""


def dev_examples(nlp: Language) -> list[Example]:
    """Return the sentences, and one more that a trained model gets wrong."""
    return [*make_examples(nlp), _wrong(nlp)]


def too_little(nlp: Language, kind: str) -> list[Example]:
    """Return examples of one of the `KINDS`, for a trained model."""
    if kind in ("one document", "one with entities"):
        gold = [(8, 18, "Sign_symptom")]  # without the fever
        example = Example.from_dict(
            nlp.make_doc("She had chest pain and fever"), {"entities": gold}
        )
        empty = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in ("", " ", "")]
        return [*(empty if kind == "one with entities" else []), example]
    if kind == "no prediction":
        return [Example.from_dict(nlp.make_doc(""), {"entities": []}) for _ in range(2)]
    if kind == "only gold":
        return [Example.from_dict(nlp.make_doc(" "), {"entities": ["U-Dosage"]}) for _ in range(2)]
    if kind == "all correct":
        return make_examples(nlp)
    if kind == "all wrong":
        return [_wrong(nlp) for _ in range(2)]
    return [Example(eg.predicted, nlp.make_doc(eg.text)) for eg in make_examples(nlp)]


def _wrong(nlp: Language) -> Example:
    annotation = {"entities": [(9, 17, "Dosage")]}  # a trained model finds a Medication
    return Example.from_dict(nlp.make_doc("She took warfarin"), annotation)
