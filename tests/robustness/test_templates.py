"""Every template of the package, rendered with harmful labels, names and texts."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spacy_btl.audit.audit import Audit, AuditSettings
from spacy_btl.audit.consistency import AnnotatedTokens, TypeUse, make_lexicon
from spacy_btl.audit.findings import KINDS, Finding, Findings
from spacy_btl.audit.page import render_page as render_audit
from spacy_btl.audit.page import render_text as render_audit_text
from spacy_btl.brat import Entity
from spacy_btl.curation.agreement import Agreement, agreement_of
from spacy_btl.curation.agreement_page import render_page as render_agreement
from spacy_btl.curation.agreement_page import render_text as render_agreement_text
from spacy_btl.curation.annotators import Annotations, Pair, Version
from spacy_btl.evaluation.compare import compare_evaluations
from spacy_btl.evaluation.corpus_stats import pipeline_stats_to_markdown, stats_to_markdown
from spacy_btl.evaluation.report import render_choice, render_html, render_report
from spacy_btl.explain.evidence import EntityEvidence, Neighbor, TokenEvidence
from spacy_btl.explain.page import render_page
from spacy_btl.explain.passages import CorpusDocument
from spacy_btl.packaging.card import render_card
from spacy_btl.pipeline.tuning import DevChoice, ScoredEntities, Setting, Trial
from spacy_btl.transfer import page as transfer
from spacy_btl.transfer.matrix import Matrix, Schedule
from spacy_btl.util.templates import html_templates, markdown_templates
from tests.helpers.evaluated import evaluated
from tests.helpers.html_pages import Page
from tests.packaging.test_card import INPUT, facts

PACKAGE = Path(__file__).parents[2] / "spacy_btl"
WORDS = (
    "<script>alert(1)</script>|[x](y)",
    "\x00\x07\x1b[31m\x9b\u202e\u2066\ud800",
    "\"' onload='x' style='x",
    "two\nlines\r\n\n# heading\n- item",
    "`code` ![x](http://example.org/x.png) {{ 1 + 1 }} {% if %}",
    "--></style></title><img src=x>",
)


def replaced(value: Any, old: str, new: str) -> Any:
    """Return a value in which all texts, also those of keys, have one word in place of another."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {replaced(k, old, new): replaced(v, old, new) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make([replaced(inner, old, new) for inner in value])
    if isinstance(value, list | tuple):
        return type(value)([replaced(inner, old, new) for inner in value])
    return value


def report(word: str) -> dict[str, Any]:
    """Return all arguments of a report in which every word from outside is this one."""
    n, old = len(word), "Q" * len(word)  # spaCy itself would not take lone surrogates
    texts = [(f"{old} mg {old}", [(old, (0, n)), ("B", (n + 1, n + 3))])]
    evaluation, documents = replaced(evaluated({"mg": old}, texts, heading=old), old, word)
    evaluation["by_document"][0]["name"] = word
    evaluation["train_counts"] = {word: 5}
    evaluation["reliability"] = {
        word: {
            **dict.fromkeys(("error", "chance", "brier"), 0.1),
            "entities": 1,
            "bins": [
                dict.fromkeys(("low", "high", "mean_score", "fraction_correct"), 0.5)
                | {"interval": [0.0, 1.0], "n_entities": 1}
            ],
            "histogram": [0] * 20,
        }
    }
    rows = evaluation["by_document"]
    comparison = compare_evaluations(rows, rows, (word, word), samples=10)
    return {
        "evaluation": evaluation,
        "title": word,
        "documents": [documents[0]._replace(name=word)],
        "comparison": comparison,
    }


def report_page(word: str) -> str:
    return render_html(**report(word))


def report_text(word: str) -> str:
    arguments = report(word)
    return render_report(arguments["evaluation"], arguments["comparison"])


def evidence_page(word: str) -> str:
    text = f"{word} 5 mg {word}"
    votes = (Neighbor(f"B-{word}", 0.1, word, 0, 0.5), Neighbor(word, 0.2, f"x{word}", 3, 0.5))
    tokens = (TokenEvidence(0, len(word), word, votes),)
    entities = [EntityEvidence(word, 0, end, 0.5, True, tokens) for end in (len(word), len(text))]
    corpus = {word: CorpusDocument(text, [(0, len(word))], [(0, len(text), word)])}
    return render_page(text, entities, corpus, title=word, heading=word, labels=[word])


def card(word: str) -> str:
    scores = {"p": 0.5, "r": 0.5, "f": 0.0, "support": 3, "predicted": 1}
    metrics = {
        **INPUT["metrics"],
        "heading": word,
        "scores": {"ents_f": 0.5, "ents_per_type": {word: scores}},
        "train_counts": {word: 2},
        "updates": {word: 3},
        "versions": {word: word},
    }
    pipeline = {
        **INPUT["pipeline"],
        "settings": {word: word},
        "training": {word: word},
        "decision": word,
        "thresholds": {word: 0.5},
        "seed": word,
    }
    account = {
        "settings": dict.fromkeys(("overlap", "discontinuous", "alignment"), word),
        "totals": {"input": 2, word: 2},
    }
    return render_card(
        facts(
            meta=dict.fromkeys(("lang", "name", "version", "author", "license"), word),
            encoder_license=word,
            metrics=metrics,
            source=dict.fromkeys(("title", "license", "citation", "doi"), word),
            account=account,
            split={"seed": word, "parts": {word: ["a"]}},
            labels=[word, f"other {word}"],
            pipeline=pipeline,
            size={word: 3},
        )
    )


def corpus_stats(word: str) -> str:
    stats: Any = {
        "heading": word,
        "overlaps": {word: 1},
        word: 1,
        "by_type": {word: {"entities": 1, "documents": 1}},
        "duplicates": [{"documents": [word], "likeness": word, "words": 1, "annotation": word}],
    }
    return stats_to_markdown(stats)


def pipeline_stats(word: str) -> str:
    weights = {word: 1.0}
    return pipeline_stats_to_markdown(
        {
            word: {"labels": [word], "updates": 1, "neighbors": 1, "weights": weights},
            f"other {word}": {"labels": [], "updates": 1, "neighbors": 1, "weights": None},
        }
    )


def choice(word: str) -> str:
    n = 40
    correct = np.arange(n) % 3 > 0
    entities = ScoredEntities(
        np.full(n, 1.0),
        [word] * n,
        np.ones(n),
        correct,
        np.arange(n) % 2,
        np.zeros((n, 3)),
        {word: n},
    )
    trial = Trial(Setting(5, "softmax", 0.3, 0.5), 0.5, 0.25)
    calibrated = render_choice(DevChoice([trial], trial, trial, entities, np.full(n, 0.5)))
    return calibrated + render_choice(DevChoice([trial], trial, trial, entities, None))


def transfer_matrix(word: str) -> Matrix:
    scores = [{"micro": 0.5, "macro": 0.25, "types": {word: 0.5}}]
    pairs = [(word, f"other {word}"), ("a", f"other {word}")]
    return Matrix(
        [word, "a"],
        [f"other {word}"],
        {f"other {word}": scores},
        dict.fromkeys(pairs, scores),
        {word: dict.fromkeys(pairs, 0.5)},
        {pair: {word: 0.5} for pair in pairs},
    )


def transfer_page(word: str) -> str:
    return transfer.render_html(transfer_matrix(word), Schedule(), word)


def transfer_text(word: str) -> str:
    return transfer.render_report(transfer_matrix(word), Schedule(), word)


def agreement(word: str) -> Agreement:
    """Return all kinds of pairs, of a text and labels from outside, with all warnings."""
    places = [(i, i + 1) for i in range(0, 14, 2)]
    text = f"abcdefghijklmnop {word}"
    at = (17, len(text))
    a = [Entity("T1", word, (at,), ""), Entity("T2", word, (places[0],), "")]
    a += [Entity("T3", word, ((4, 7),), ""), Entity("T4", word, (places[6],), "")]
    b = [Entity("T1", "B", (at,), ""), Entity("T2", word, (places[0],), "")]
    b += [Entity("T3", word, ((5, 8),), ""), Entity("T4", f"other {word}", (places[5],), "")]
    read = Annotations(
        (word, f"other {word}"), [], ([word], [word]), {word: word}, ([word], [word]), word
    )
    plain = text.replace(word, "x" * len(word))  # spaCy would not take lone surrogates
    pairs = [Pair(word, plain, Version(tuple(a)), Version(tuple(b)), True)]
    found = agreement_of(replace(read, pairs=pairs))
    pairs = [pairs[0]._replace(text=text)]
    return replace(found, annotations=replace(read, pairs=pairs))


def agreement_page(word: str) -> str:
    return render_agreement(agreement(word))


def agreement_text(word: str) -> str:
    return render_agreement_text(agreement(word))


def audit(word: str) -> Audit:
    """Return findings of all kinds, with texts and labels from outside."""
    text = f"{word} 5 mg"
    n = len(word)
    tokens = AnnotatedTokens(["word", "5", "mg"], [(0, 1, 0), (2, 3, 1)])
    span, other = (0, 1, 0), (0, 2, 1)
    found = [
        Finding(
            kind,
            0.9,
            0,
            None if kind == "missed" else span,
            None if kind == "surplus" else other,
            0.1,
            0.8,
            {0: 1, 1: 3, -1: 2},
            {0: 0.2, 1: 0.5, -1: 0.3},
        )
        for kind in KINDS
    ]
    use = [TypeUse(9, 9, 0.1, 0.6, 0.3, rival) for rival in (1, 0)]
    return Audit(
        settings=AuditSettings(),
        how=word,
        names=[word, f"other {word}"],
        texts=[text, text],
        bounds=[[(0, n), (n + 1, n + 2), (n + 3, n + 5)]] * 2,
        types=[word, f"other {word}"],
        findings=Findings(found, use, make_lexicon([tokens, tokens]), [1.0, 2.0]),
        shown=found,
        examples=[(1, 0, 1)] * len(found),
        heading=word,
        warnings=[word],
    )


def audit_page(word: str) -> str:
    return render_audit(audit(word))


def audit_text(word: str) -> str:
    return render_audit_text(audit(word))


HTML: list[Callable[[str], str]] = [
    report_page,
    evidence_page,
    transfer_page,
    agreement_page,
    audit_page,
]
MARKDOWN: list[Callable[[str], str]] = [
    report_text,
    card,
    choice,
    corpus_stats,
    pipeline_stats,
    transfer_text,
    agreement_text,
    audit_text,
]
CONTROLS = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize("word", WORDS, ids=range(len(WORDS)))
@pytest.mark.parametrize("render", HTML)
def test_nothing_becomes_markup_of_a_page(render: Callable[[str], str], word: str) -> None:
    """The page has the tags and attributes that it has with a harmless word."""
    page, plain = Page(render(word)), Page(render("x" * len(word)))
    assert {*page.tags} == {*plain.tags}
    names, harmless = ({(tag, name) for tag, name, _ in p.attributes} for p in (page, plain))
    assert names == harmless
    for _, name, value in page.attributes:
        if name in ("href", "id", "class", "style"):
            assert re.fullmatch(r"[#\w\s:;().%-]*", value)
    assert not CONTROLS.search(render(word))
    render(word).encode("utf8")


@pytest.mark.parametrize("word", WORDS, ids=range(len(WORDS)))
@pytest.mark.parametrize("render", MARKDOWN)
def test_nothing_becomes_markup_of_markdown(render: Callable[[str], str], word: str) -> None:
    """The text has the lines that it has with a harmless word, and no sign does harm in them."""
    text, plain = render(word), render("x" * len(word))
    assert not CONTROLS.search(text)
    lines, harmless = text.splitlines(), plain.splitlines()
    assert len(lines) == len(harmless)
    for line, other in zip(lines, harmless, strict=True):
        bare, expected = (re.sub(r"\\.", "", each) for each in (line, other))
        for sign in "|`[<":
            assert bare.count(sign) == expected.count(sign)
    text.encode("utf8")


@pytest.mark.parametrize("room", ["audit", "curation", "evaluation", "explain", "packaging"])
def test_no_template_is_left_out(room: str) -> None:
    """Those above have loaded all templates of the room."""
    for render in (*HTML, *MARKDOWN):
        render("x")
    loaded = set()
    for environment in (html_templates, markdown_templates):
        templates = environment(f"spacy_btl.{room}")
        assert templates.cache is not None
        loaded |= {name for _, name in templates.cache}
    files = {path.name for path in (PACKAGE / room / "templates").iterdir()}
    assert files
    assert files <= loaded


def test_every_room_with_templates_is_tested() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/templates")}
    assert rooms == {"audit", "curation", "evaluation", "explain", "packaging", "transfer", "util"}
