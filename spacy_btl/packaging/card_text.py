"""The model card as Markdown, from the facts that `packaging.card` collects.

It has no YAML front matter: what pushes a wheel to a model hub (spacy-huggingface-hub) writes that
itself, from ``meta.json``, before the README.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.rows import MACRO_NOTE, overall_rows
from ..util.text import cell, markdown_table

NOT_STATED = "not stated"
FEW = 10
"""Entities in the test part below which the scores of a type say next to nothing."""

LEVEL = (
    "Span scores are strict: label and all bounds must agree with the annotation as it was before "
    "conversion. Micro counts entities, macro is the mean over the types. Token scores count "
    "tokens. Intervals are 95 %, by bootstrap over documents."
)
INTENDED_USE = (
    "To find mentions of these types of entities in text of the kind it was trained on: for "
    "research, to search and count, to prepare annotation by people. Its entities are suggestions "
    "to be checked against the text."
)
LIMITS = (
    "It is no medical device and was not tested as one. Do not let it decide on the care of a "
    "patient.",
    "It finds mentions. Whether a finding is negated, supposed, past or of a relative is not told.",
    "Other genres, hospitals and times than those of the data cost accuracy; how much is not "
    "known. Measure on annotated text of your own before use.",
    "The scores are of one split and one seed. The intervals show how far they would vary with "
    "other documents, not with another training.",
)


def render_card(facts: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    pipeline, test = facts["pipeline"], facts["test"]
    lines = [f"# {facts['name']} {facts['version']}", ""]
    if facts["heading"]:
        lines += [f"**{cell(facts['heading'])}**", ""]
    lines += [
        description(facts),
        "",
        "```python",
        "import spacy",
        "",
        f'nlp = spacy.load("{facts["name"]}")',
        'doc = nlp("She took 5 mg of warfarin.")',
        "print([(ent.text, ent.label_) for ent in doc.ents])",
        "```",
        "",
        *_section("Intended use", [INTENDED_USE]),
        *_section("Limits", _bullets([*LIMITS, *_own_limits(facts)])),
        *_section("Data", _bullets(_data_lines(facts))),
        *_section(
            "Scores",
            [
                f"Test part: {test['documents']} documents, {test['tokens']:,} tokens; entities: "
                f"{test['gold_entities']:,} gold, {test['predicted_entities']:,} predicted. "
                + facts["level"],
                "",
                *markdown_table(["figure", "value", "95 % interval"], overall_rows(facts)),
                *(["", MACRO_NOTE] if "ents_macro_f" in facts["intervals"] else []),
            ],
        ),
        *_section("Labels", ["Strict span scores on the test part:", "", *_label_table(facts)]),
        *_section(
            "Settings",
            [
                *markdown_table(["setting", "value"], _pairs(pipeline["settings"])),
                "",
                *_bullets(_decision_lines(facts)),
            ],
        ),
        *_section("What is stored, and its risk", _stored_lines(facts)),
        *_section("Size", markdown_table(["part", "bytes"], _sizes(facts["size"]))),
        *_section("Versions", markdown_table(["package", "version"], _pairs(facts["versions"]))),
    ]
    return "\n".join(lines).rstrip() + "\n"


def description(facts: Mapping[str, Any]) -> str:
    """What the pipeline is, in a sentence."""
    data = cell(facts["data"]["title"] or "annotated reports")
    return (
        f"Clinical named entity recognition, {len(facts['labels'])} types of entities, trained on "
        f"{data} with spacy-btl."
    )


def _own_limits(facts: Mapping[str, Any]) -> list[str]:
    """Limits that follow from these figures."""
    support = {label: counts["test"] for label, counts in facts["labels"].items()}
    by_type = facts["scores"]["ents_per_type"]
    missed = [label for label in support if support[label] and not by_type[label]["f"]]
    limits = [f'Text in another language than "{facts["language"]}" was not tested.']
    if few := [label for label in support if 0 < support[label] < FEW]:
        limits.append(
            f"Fewer than {FEW} entities in the test part, so that the scores say next to nothing: "
            f"{', '.join(few)}."
        )
    if none := [label for label in support if not support[label]]:
        limits.append(f"No entity in the test part, so that nothing is known: {', '.join(none)}.")
    if missed:
        limits.append(f"Never found rightly in the test part: {', '.join(missed)}.")
    return limits


def _data_lines(facts: Mapping[str, Any]) -> list[str]:
    data = facts["data"]
    doi = f", doi:{data['doi']}" if data["doi"] else ""
    lines = [
        f"Data: {data['title'] or NOT_STATED}"
        + (f" ({data['citation']}{doi})" if data["citation"] else ""),
        f"Licence of the data: {data['licence'] or NOT_STATED}",
        f"Licence of this pipeline: {facts['license'] or NOT_STATED}",
    ]
    if data["documents"]:
        parts = ", ".join(f"{count} {name}" for name, count in data["documents"].items())
        lines.append(f"Split by document: {parts} (seed {data['split_seed']})")
    else:
        lines.append(f"Split: {NOT_STATED}")
    if data["entities"]:
        counts = dict(data["entities"])
        read = counts.pop("input")
        kept = ", ".join(f"{count:,} {status}" for status, count in counts.items())
        lines.append(
            f"Annotated entities: {read:,}, of which the conversion left {kept}; what it moved, "
            "flattened or dropped counts as missed in the scores"
        )
    if data["policies"]:
        rules = ", ".join(f"{name} {value}" for name, value in data["policies"].items())
        lines.append(f"Rules of the conversion: {rules}")
    return lines


def _label_table(facts: Mapping[str, Any]) -> list[str]:
    by_type = facts["scores"]["ents_per_type"]
    rows = []
    for label, counts in sorted(
        facts["labels"].items(), key=lambda item: (-item[1]["test"], item[0])
    ):
        figures = by_type.get(label)
        shown = [f"{figures[key]:.3f}" for key in "prf"] if figures else ["-"] * 3
        trained = "-" if counts["train"] is None else str(counts["train"])
        rows.append([label, trained, str(counts["test"]), *shown])
    header = ["type", "in training", "in test", "precision", "recall", "F1"]
    return markdown_table(header, rows)


def _decision_lines(facts: Mapping[str, Any]) -> list[str]:
    pipeline, dev = facts["pipeline"], facts["dev"]
    lines = [f"What decides on the labels: {pipeline['decision']}"]
    if dev:
        lines.append(
            f"{dev['settings']} settings were compared on dev by the mean of micro and macro "
            f"strict span F1; with this one they are {dev['micro_f']:.3f} and "
            f"{dev['macro_f']:.3f}, with the model alone {dev['alone_micro_f']:.3f} and "
            f"{dev['alone_macro_f']:.3f}"
        )
    lines.append(
        "Scores of entities: "
        + ("calibrated on dev" if pipeline["calibrated"] else "raw, not calibrated")
    )
    if pipeline["thresholds"]:
        least = ", ".join(f"{label} {value:.3g}" for label, value in pipeline["thresholds"].items())
        lines.append(f"Entities of lower score are left out: {least}")
    lines += [f"Updates behind the weights of {k}: {v:,}" for k, v in facts["updates"].items()]
    lines.append(f"Seed of the training: {pipeline['seed']}")
    return lines


def _stored_lines(facts: Mapping[str, Any]) -> list[str]:
    pipeline = facts["pipeline"]
    if n_strings := pipeline["other_strings"]:
        text = (
            f"The vocabulary has {n_strings:,} strings that are not of its language, labels or "
            "vectors: words of the training texts are likely among them, and with these names."
        )
    else:
        text = (
            "No text of the training documents is stored: the vocabulary has no string but those "
            "of its language, labels and vectors."
        )
    text += " Weights are not proof against an attacker who has the model and guesses at texts."
    if not pipeline["neighbors"]:
        return [text + " No vector of a training token is stored."]
    return [
        text
        + f" {pipeline['neighbors']:,} vectors of training tokens are stored, with their labels, "
        f"the names of {pipeline['neighbor_documents']:,} documents and places in them. An "
        "attacker can compare the vectors with those of words of his own, and so guess at words "
        "and confirm sentences. Names of documents must not name patients."
    ]


def _sizes(size: Mapping[str, int]) -> list[list[str]]:
    rows = [[part, f"{count:,}"] for part, count in size.items()]
    return [*rows, ["all", f"{sum(size.values()):,}"]]


def _pairs(values: Mapping[str, Any]) -> list[list[str]]:
    return [[name, str(value)] for name, value in values.items()]


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {cell(text)}" for text in texts]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]
