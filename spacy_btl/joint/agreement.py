"""Check whether two corpora that share the name of a type mean the same by it.

A mention's surface form is its words, case-folded. For a type that two corpora have, the forms of
one are looked up in the text of the other: is a form annotated as this type there, as another one,
or not at all? Two corpora that disagree on most forms teach a shared row of the head two things.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import permutations
from typing import NamedTuple, TypeAlias

from spacy.tokens import Doc, Span

from ..data.gold import GOLD_KEY

Form: TypeAlias = tuple[str, ...]
"""The words of a mention, case-folded."""

LONGEST = 6
"""Most words of a form that is looked up: longer ones hardly occur twice."""

FEWEST = 10
"""Forms that must be found before a disagreement says something."""

LEAST = 0.5
"""Share of the uses that must be annotated as the type; below it, a warning is due."""


class Uses(NamedTuple):
    """Annotation of the places where a form occurs in a corpus.

    Attributes:
        n: Number of places.
        by_type: Number of places with a token in an entity of a type, by type.
        n_none: Number of places without a token in any entity.
    """

    n: int
    by_type: Mapping[str, int]
    n_none: int


class Agreement(NamedTuple):
    """Annotation in one corpus of the forms that a type has in another.

    Attributes:
        label: The type, which both corpora have.
        corpus: The corpus whose mentions are looked up.
        other: The corpus in whose text they are looked up.
        n_forms: Distinct forms of the type in the first.
        n_found: Those of them that occur in the second.
        same: Share of the places that are annotated as the type, a mean over the forms found.
        another: The same of places that are annotated as other types only.
        none: The same of places that are not annotated.
    """

    label: str
    corpus: str
    other: str
    n_forms: int
    n_found: int
    same: float
    another: float
    none: float

    @property
    def is_doubtful(self) -> bool:
        """True if enough forms were found, and most places are annotated otherwise."""
        return self.n_found >= FEWEST and self.same < LEAST

    def __str__(self) -> str:
        return (
            f'"{self.label}": of {self.n_forms:,} forms that mentions have in {self.corpus}, '
            f"{self.n_found:,} occur in {self.other}; there {self.same:.0%} of the places are "
            f"annotated as {self.label}, {self.another:.0%} as another type, {self.none:.0%} not "
            "at all"
        )


def agreements(
    forms: Mapping[str, Mapping[str, Collection[Form]]],
    uses: Mapping[str, Mapping[Form, Uses]],
) -> list[Agreement]:
    """Return the agreement of each ordered pair of corpora on each type that both have.

    Args:
        forms: Forms by corpus and type, as `forms_by_type` returns them.
        uses: Uses by corpus, as `uses_of` returns them for the forms of all corpora.
    """
    result = []
    for corpus, other in permutations(forms, 2):
        for label in sorted(forms[corpus].keys() & forms[other].keys()):
            own = forms[corpus][label]
            found = [each for form in own if (each := uses[other].get(form)) is not None]
            n = max(len(found), 1)
            same = sum(each.by_type.get(label, 0) / each.n for each in found) / n
            none = sum(each.n_none / each.n for each in found) / n
            another = max(1.0 - same - none, 0.0) if found else 0.0
            result.append(
                Agreement(label, corpus, other, len(own), len(found), same, another, none)
            )
    return result


def compare_names(corpora: Mapping[str, Iterable[Doc]]) -> list[Agreement]:
    """Return the agreements of annotated corpora, by name; see `agreements`."""
    docs = {name: list(each) for name, each in corpora.items()}
    forms = {name: forms_by_type(each) for name, each in docs.items()}
    counts = Counter(label for each in forms.values() for label in each)
    wanted = {
        form
        for each in forms.values()
        for label, own in each.items()
        if counts[label] > 1
        for form in own
    }
    return agreements(forms, {name: uses_of(each, wanted) for name, each in docs.items()})


def forms_by_type(docs: Iterable[Doc]) -> dict[str, set[Form]]:
    """Return the forms of the mentions of each type, without those of more than `LONGEST` words."""
    forms: dict[str, set[Form]] = {}
    for doc in docs:
        for span in annotated_spans(doc):
            form = tuple(token.text.casefold() for token in span if not token.is_space)
            forms.setdefault(span.label_, set())
            if 0 < len(form) <= LONGEST:
                forms[span.label_].add(form)
    return forms


def uses_of(docs: Iterable[Doc], forms: Collection[Form]) -> dict[Form, Uses]:
    """Return how the places of forms are annotated, of those that occur.

    Args:
        docs: Annotated documents.
        forms: The forms that are looked for.
    """
    wanted, lengths = set(forms), sorted({len(form) for form in forms})
    n: Counter[Form] = Counter()
    n_none: Counter[Form] = Counter()
    by_type: dict[Form, Counter[str]] = {}
    for doc in docs:
        words = [token.text.casefold() for token in doc if not token.is_space]
        place = {token.i: i for i, token in enumerate(t for t in doc if not t.is_space)}
        types: list[set[str]] = [set() for _ in words]
        for span in annotated_spans(doc):
            for token in span:
                if token.i in place:
                    types[place[token.i]].add(span.label_)
        for start in range(len(words)):
            for length in lengths:
                form = tuple(words[start : start + length])
                if len(form) == length and form in wanted:
                    found = set().union(*types[start : start + length])
                    n[form] += 1
                    n_none[form] += not found
                    by_type.setdefault(form, Counter()).update(found)
    return {form: Uses(n[form], by_type[form], n_none[form]) for form in n}


def annotated_spans(doc: Doc) -> list[Span]:
    """Return the entities of a document, those that overlap others included."""
    return [*doc.ents, *doc.spans.get(GOLD_KEY, [])]
