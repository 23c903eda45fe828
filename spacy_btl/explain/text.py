"""The evidence for entities as text for a terminal, and as JSON values."""

import textwrap
from collections.abc import Sequence
from math import fsum

from ..util.text import counted, printable
from .evidence import EntityEvidence, TrainingExample, VoteSummary, count_missing, summarize
from .passages import Corpus, Passage

OPPOSING = "Strongest training examples for other labels:"

ABOUT_DISTANCE = (
    "The smaller the distance, the more similar; at 0 the model sees no difference. Distances of "
    "different models cannot be compared."
)


def corpus_notes(evidence: Sequence[EntityEvidence], corpus: Corpus | None) -> list[str]:
    """Return sentences on training examples without text; none where all have their text."""
    if not evidence:
        return []
    if corpus is None:
        return ["Without a corpus, training examples are shown by document and offset only."]
    total, without_document, without_token = count_missing(evidence, corpus)
    notes = []
    if without_document:
        notes.append(
            f"{without_document} of {total} neighbors are from documents that are not in this "
            "corpus; they are shown by document and offset only."
        )
    if without_token:
        notes.append(
            f"{without_token} of {total} neighbors have no token at their offset in this corpus: "
            "it is not the one that the neighbors were fitted on."
        )
    return notes


def percent(share: float) -> str:
    """Return a share in whole percent; "<1%" if it is small but not zero."""
    return "<1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"


def describe_score(entity: EntityEvidence) -> str:
    """Return the score with two decimals, and whether it is calibrated."""
    return f"score {entity.score:.2f} ({'calibrated' if entity.calibrated else 'uncalibrated'})"


def describe_decision(entity: EntityEvidence) -> str:
    """Return a sentence on what decided the label: the neighbors, the model, or both."""
    weight = entity.neighbor_weight
    if not any(token.neighbors for token in entity.tokens):
        return "The model decided without neighbors."
    if not weight:
        return "The model decided alone. The vote is shown for comparison."
    if weight < 1:
        return f"The vote counts for {percent(weight)}, the model's prediction for the rest."
    return "This vote decided."


def describe_votes(entity: EntityEvidence, summary: VoteSummary) -> str:
    """Return the vote by type, as in "Vote of 34 neighbors: Dosage 82% (28), O 18% (6)".

    Each token of an entity has its own neighbors.
    """
    if not summary.votes:
        return ""
    n_votes, n_tokens = sum(vote.votes for vote in summary.votes), len(entity.tokens)
    who = counted(n_votes, "neighbor") + (f" of {n_tokens} tokens" if n_tokens > 1 else "")
    shares = (f"{vote.label} {percent(vote.share)} ({vote.votes})" for vote in summary.votes)
    return f"Vote of {who}: {', '.join(shares)}"


def describe_support(label: str, summary: VoteSummary) -> str:
    """Return the line above the supporting examples; "" without a vote.

    Args:
        label: The label of the entity.
        summary: The vote for the entity.
    """
    if not summary.votes:
        return ""
    if not summary.n_supporting:
        return f"No neighbor is {label}."
    n, share = len(summary.supporting), percent(fsum(each.share for each in summary.supporting))
    examples = counted(n, "training example")
    if summary.n_supporting > n:
        number = f"{n} " if n > 1 else ""
        examples = f"The {number}strongest training example{'s' if n > 1 else ''}"
    return f"{examples} for {label} ({share} of the vote):"


def describe_rest(label: str, summary: VoteSummary) -> str:
    """Return the line on the supporting examples that are left out; "" where there are none."""
    rest = summary.n_supporting - len(summary.supporting)
    if not rest:
        return ""
    total = fsum(vote.share for vote in summary.votes if vote.label == label)
    share = percent(max(total - fsum(example.share for example in summary.supporting), 0.0))
    return f"and {rest} more for {label} ({share} of the vote)"


def describe_example(example: TrainingExample) -> str:
    """Return the vote and the place of a training example in one line."""
    label = example.label
    votes = f", {example.votes} votes" if example.votes > 1 else ""
    line = (
        f"{label} in document {example.document}, character {example.offsets[0]} "
        f"({percent(example.share)} of the vote{votes}, distance {example.distance:.3g})"
    )
    return f"{line}; this corpus has no {label} there" if example.contradicted else line


def mark_passage(passage: Passage | None) -> str:
    """Return the sentence with ``[[`` and ``]]`` around its entity, or else around its tokens."""
    if passage is None:
        return ""
    marks = [passage.entity[:2]] if passage.entity else passage.tokens
    parts, done = [], 0
    for start, end in marks:
        parts += [passage.text[done:start], "[[", passage.text[start:end], "]]"]
        done = end
    before, after = "… " * passage.cut_before, " …" * passage.cut_after
    return "".join([before, *parts, passage.text[done:], after])


def render_text(
    text: str,
    evidence: Sequence[EntityEvidence],
    corpus: Corpus | None = None,
    *,
    n_examples: int = 5,
    width: int = 88,
    heading: str = "",
) -> str:
    """Return the evidence for a terminal; it ends with a newline.

    ``[[`` and ``]]`` mark the annotated entity of a training example, or its tokens where they are
    in none.

    Args:
        text: The explained text.
        evidence: Its entities.
        corpus: The training documents. Without them no training text is shown.
        n_examples: The largest number of training examples for an entity.
        width: The largest number of columns of a line.
        heading: The heading that a report on the corpus must carry.
    """

    def wrap(line: str, indent: int = 0, hanging: int = 0) -> list[str]:
        before, after = " " * indent, " " * (indent + hanging)
        line = " ".join(printable(line).split())
        return textwrap.wrap(line, width, initial_indent=before, subsequent_indent=after)

    def example_lines(example: TrainingExample) -> list[str]:
        where = wrap(f"- {describe_example(example)}", 2, 2)
        return where + wrap(mark_passage(example.passage), 4)

    lines = wrap(heading)
    lines += wrap(ABOUT_DISTANCE if evidence else "No entity was found.")
    if evidence and corpus:
        lines += wrap(
            "[[ ]] mark the entity of a training sentence or, outside entities, the voting tokens."
        )
    for note in corpus_notes(evidence, corpus):
        lines += wrap(note)
    for entity in evidence:
        summary = summarize(entity, corpus, n_examples=n_examples)
        surface = f"{text[entity.start : entity.end]}  |  {entity.label}  |  "
        lines += ["", *wrap(f"{surface}{describe_score(entity)}, offset {entity.start}", 0, 2)]
        lines += wrap(describe_votes(entity, summary), 2, 2)
        lines += wrap(describe_decision(entity), 2)
        lines += wrap(describe_support(entity.label, summary), 2)
        lines += [line for example in summary.supporting for line in example_lines(example)]
        lines += wrap(describe_rest(entity.label, summary), 2)
        lines += wrap(OPPOSING, 2) if summary.opposing else []
        lines += [line for example in summary.opposing for line in example_lines(example)]
    return "\n".join(lines) + "\n"


def evidence_to_json(
    text: str,
    evidence: Sequence[EntityEvidence],
    corpus: Corpus | None = None,
    *,
    n_examples: int = 5,
    heading: str = "",
) -> dict[str, object]:
    """Return the evidence as JSON values: the examples for each entity, and all neighbors.

    Args:
        text: The explained text.
        evidence: Its entities.
        corpus: The training documents. Without them ``missing`` is None.
        n_examples: The largest number of training examples for an entity.
        heading: The heading that a report on the corpus must carry.
    """
    return {
        "heading": heading,
        "missing": None if corpus is None else count_missing(evidence, corpus)._asdict(),
        "entities": [
            _entity_to_json(text, entity, summarize(entity, corpus, n_examples=n_examples))
            for entity in evidence
        ],
    }


def _entity_to_json(text: str, entity: EntityEvidence, summary: VoteSummary) -> dict[str, object]:
    return {
        "label": entity.label,
        "start": int(entity.start),
        "end": int(entity.end),
        "text": text[entity.start : entity.end],
        "score": float(entity.score),
        "calibrated": bool(entity.calibrated),
        "neighbor_weight": float(entity.neighbor_weight),
        "votes": [vote._asdict() for vote in summary.votes],
        "supporting": [_example_to_json(example) for example in summary.supporting],
        "opposing": [_example_to_json(example) for example in summary.opposing],
        "n_supporting": summary.n_supporting,
        "tokens": [
            {
                "start": int(token.start),
                "end": int(token.end),
                "text": text[token.start : token.end],
                "label": token.label,
                "neighbors": [
                    {
                        "label": neighbor.label,
                        "distance": float(neighbor.distance),
                        "document": neighbor.document,
                        "offset": int(neighbor.offset),
                        "share": float(neighbor.share),
                    }
                    for neighbor in token.neighbors
                ],
            }
            for token in entity.tokens
        ],
    }


def _example_to_json(example: TrainingExample) -> dict[str, object]:
    passage = example.passage
    value = {**example._asdict(), "offsets": list(example.offsets)}
    if passage is not None:
        value["passage"] = {
            **passage._asdict(),
            "tokens": [list(bounds) for bounds in passage.tokens],
            "entity": list(passage.entity) if passage.entity else None,
        }
    return value
