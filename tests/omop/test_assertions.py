"""Assertions of other components about an entity; unknown ones stay empty."""

from collections.abc import Iterator
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

from spacy_btl.omop import assertions
from spacy_btl.omop.assertions import CONTEXT, Assertions, Terms, to_terms

TEXT = "No fever and chest pain"
NOTHING = Terms(None, None, None)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, NOTHING),
        ({"negated": False}, Terms("Y", None, "Negation=false")),
        ({"negated": True}, Terms("N", None, "Negation=true")),
        ({"historical": True}, Terms(None, "past", "History=true")),
        ({"historical": False}, Terms(None, "present", "History=false")),
        ({"hypothetical": True}, Terms("N", None, "Conditional=true")),
        ({"family": True}, Terms("N", None, "Subject=family")),
        ({"family": False}, Terms(None, None, "Subject=patient")),  # it may be negated
        ({"uncertain": True}, Terms(None, None, "Uncertain=true")),
        ({"negated": False, "uncertain": True}, Terms("Y", None, "Negation=false; Uncertain=true")),
        ({"negated": False, "family": True}, Terms("N", None, "Negation=false; Subject=family")),
        (
            dict.fromkeys(CONTEXT, False),
            Terms(
                "Y",
                "present",
                "Negation=false; Subject=patient; Conditional=false; Uncertain=false; "
                "History=false",
            ),
        ),
    ],
)
def test_columns(said: dict[str, bool], expected: Terms) -> None:
    assert to_terms(said) == expected


class Marks:
    """A component that marks what a test asks for, as ConText and negspaCy do by their rules."""

    def __init__(self) -> None:
        self.marks: dict[str, tuple[str, bool]] = {}

    def __call__(self, doc: Doc) -> Doc:
        for ent in doc.ents:
            if mark := self.marks.get(ent.text):
                ent._.set(*mark)
        return doc


@Language.factory("btl_test_context")
def make_context(
    nlp: Language,
    name: str,
    span_attrs: str | None = "default",
    input_span_type: str = "ents",
    span_group_name: str = "medspacy_spans",
    allowed_types: list[str] | None = None,
    excluded_types: list[str] | None = None,
) -> Marks:
    """Return a component with the settings of medspaCy's ConText."""
    return Marks()


@Language.factory("btl_test_negex")
def make_negex(
    nlp: Language,
    name: str,
    ent_types: list[str] | None = None,
    extension_name: str = "negex",
    span_keys: list[str] | None = None,
) -> Marks:
    """Return a component with the settings of negspaCy."""
    return Marks()


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assertions, "CONTEXT_FACTORY", "btl_test_context")
    monkeypatch.setattr(assertions, "NEGEX_FACTORY", "btl_test_negex")


@pytest.fixture
def attributes() -> Iterator[None]:
    """Yield the attributes, registered as importing the libraries does."""
    names = [name for name in (*CONTEXT.values(), "negex") if not Span.has_extension(name)]
    for name in names:
        Span.set_extension(name, default=False)
    yield
    for name in names:
        Span.remove_extension(name)


def pipeline(*more: tuple[str, dict[str, Any]], first: bool = False) -> Language:
    nlp = spacy.blank("en")
    patterns = [{"label": "Finding", "pattern": word} for word in ("fever", "chest pain")]
    for factory, config in more if first else ():
        nlp.add_pipe(factory, config=config)
    nlp.add_pipe("entity_ruler").add_patterns(patterns)
    for factory, config in () if first else more:
        nlp.add_pipe(factory, config=config)
    return nlp


def said(nlp: Language, key: str | None = None, **given: str) -> list[dict[str, bool]]:
    doc = nlp(TEXT)
    doc.spans["found"] = list(doc.ents)
    spans = doc.spans[key] if key else doc.ents
    reader = Assertions(nlp, key, given)
    return [reader.said(span) for span in spans]


ALL = dict.fromkeys(CONTEXT, False)
NEGATED = {"negated": False}


@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize(
    ("more", "key", "expected"),
    [
        ((), None, {}),  # registered, and set by nobody
        ((("btl_test_context", {}),), None, ALL),
        ((("btl_test_negex", {}),), None, NEGATED),
        ((("btl_test_negex", {}), ("btl_test_context", {})), None, ALL),
        ((("btl_test_context", {"span_attrs": None}),), None, {}),
        ((("btl_test_context", {"allowed_types": ["Other"]}),), None, {}),
        ((("btl_test_context", {"allowed_types": ["Finding"]}),), None, ALL),
        ((("btl_test_context", {"excluded_types": ["Finding"]}),), None, {}),
        ((("btl_test_negex", {"ent_types": ["Other"]}),), None, {}),
        ((("btl_test_context", {"input_span_type": "group"}),), None, {}),
        ((("btl_test_context", {}),), "found", {}),
        (
            (("btl_test_context", {"input_span_type": "group", "span_group_name": "found"}),),
            "found",
            ALL,
        ),
        ((("btl_test_negex", {}),), "found", {}),
        ((("btl_test_negex", {"span_keys": ["found"]}),), "found", NEGATED),
    ],
)
def test_a_default_counts_where_a_component_has_looked(
    more: tuple[tuple[str, dict[str, Any]], ...], key: str | None, expected: dict[str, bool]
) -> None:
    assert said(pipeline(*more), key) == [expected] * 2


@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize("name", ["is_negated", "negex"])
def test_a_value_that_was_set_counts(name: str) -> None:
    nlp = pipeline()

    @Language.component("btl_test_marks")
    def mark(doc: Doc) -> Doc:
        doc.ents[0]._.set(name, True)
        return doc

    nlp.add_pipe("btl_test_marks")
    assert said(nlp) == [{"negated": True}, {}]


@pytest.mark.usefixtures("attributes")
def test_what_context_has_marked() -> None:
    nlp = pipeline(("btl_test_context", {}))
    component: Any = nlp.get_pipe("btl_test_context")
    component.marks = {"fever": ("is_negated", True), "chest pain": ("is_historical", True)}
    assert said(nlp) == [ALL | {"negated": True}, ALL | {"historical": True}]


@pytest.mark.usefixtures("attributes")
def test_a_component_that_runs_before_there_are_entities(caplog: Any) -> None:
    with caplog.at_level("WARNING", logger="spacy_btl"):
        assert said(pipeline(("btl_test_context", {}), first=True)) == [{}, {}]
    assert "btl_test_context runs before entity_ruler sets entities" in caplog.text


class TestGiven:
    @pytest.fixture
    def own(self) -> Iterator[str]:
        Span.set_extension("btl_test_denied", default=None)
        yield "btl_test_denied"
        Span.remove_extension("btl_test_denied")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(True, {"negated": True}), (False, NEGATED), (None, {})],
    )
    def test_an_attribute_of_another_component(
        self, own: str, value: bool | None, expected: dict[str, bool]
    ) -> None:
        Span.set_extension(own, default=value, force=True)
        assert said(pipeline(), negated=own) == [expected] * 2

    @pytest.mark.usefixtures("attributes")
    def test_it_takes_the_place_of_the_known_one(self, own: str) -> None:
        nlp = pipeline(("btl_test_context", {}))
        assert said(nlp, negated=own) == [{k: v for k, v in ALL.items() if k != "negated"}] * 2

    def test_a_value_that_is_something_else(self, own: str) -> None:
        Span.set_extension(own, default="NEG", force=True)
        with pytest.raises(ValueError, match='attribute "btl_test_denied" is neither true nor'):
            said(pipeline(), negated=own)

    def test_an_attribute_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match='has registered the attribute "no_such"'):
            said(pipeline(), negated="no_such")
