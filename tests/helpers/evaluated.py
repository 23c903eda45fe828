"""A small evaluated system, for the tests of reports."""

import spacy
from spacy.training import Example

from spacy_btl.evaluation.evaluate import evaluate, matched_documents

# Text, gold entities (label, bounds of the fragments), words that the system finds.
TEXTS = [
    ("He took 5 mg of aspirin daily", [("Dose", (8, 12)), ("Drug", (16, 23))]),
    ("She took warfarin\n\nAnd left", [("Food", (9, 17))]),
    ("Chest pain and\nfever", [("Sign", (0, 10)), ("Sign", (6, 10), (15, 20))]),
    ("No aspirin", []),
]
RULES = {"aspirin": "Drug", "warfarin": "Drug", "pain": "Sign", "mg": "Drug"}


def pipeline(rules):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(
        [{"label": label, "pattern": word} for word, label in rules.items()]
    )
    return nlp


def evaluated(rules, texts=TEXTS, heading=""):
    """Return figures and matched documents of a system that finds words."""
    nlp = pipeline(rules)
    examples = []
    for i, (text, gold) in enumerate(texts):
        reference = nlp.make_doc(text)
        entities = [{"id": "T", "label": label, "fragments": at} for label, *at in gold]
        brat = {"name": f"case-{i}", "heading": heading, "entities": entities, "records": []}
        reference.user_data["brat"] = brat
        examples.append(Example(nlp.make_doc(text), reference))
    metrics = evaluate(nlp, examples)
    metrics["train_counts"] = {"Drug": 1200, "Sign": 3}
    return metrics, matched_documents(nlp, examples)
