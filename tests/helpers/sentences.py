"""A few annotated sentences, and the words that they are made of."""

import spacy
from spacy.language import Language
from spacy.training import Example

WORDS = ["he", "she", "took", "had", "mg", "of", "daily", "chest", "pain", "aspirin", "warfarin"]
WORDS += ["fever", "and", "no", "the", "a", "for"]

SENTENCES = [
    ("He took 5 mg of aspirin daily", [(8, 12, "Dosage"), (16, 23, "Medication")]),
    ("She had chest pain and fever", [(8, 18, "Sign_symptom"), (23, 28, "Sign_symptom")]),
    ("No fever", [(3, 8, "Sign_symptom")]),
    ("She took warfarin", [(9, 17, "Medication")]),
]
LABELS = ("Dosage", "Medication", "Sign_symptom")


def make_examples(nlp: Language) -> list[Example]:
    """Return the annotated sentences on the tokens of a pipeline."""
    return [
        Example.from_dict(nlp.make_doc(text), {"entities": entities})
        for text, entities in SENTENCES
    ]


def entities(doc: spacy.tokens.Doc) -> list[tuple[str, str]]:
    """Return text and label of each entity, in order."""
    return [(ent.text, ent.label_) for ent in doc.ents]
