"""The environments: escaping is the default, and a missing name is an error."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError
from markupsafe import Markup

from spacy_btl.util.templates import Markdown, html_templates, markdown_templates
from tests.helpers.html_pages import Page

PACKAGE = Path(__file__).parents[2] / "spacy_btl"
HTML = html_templates("spacy_btl.evaluation")
MARKDOWN = markdown_templates("spacy_btl.evaluation")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("a\x00\x1b\u202eb\ud800", "a\ufffd\ufffd\ufffdb\ufffd"),
        ("two\r\nlines", "two  lines"),
        (3, "3"),
        (0.5, "0.5"),
        (Markup("<b>&amp;</b>"), "<b>&amp;</b>"),
    ],
)
def test_html_expressions(value: object, shown: str) -> None:
    assert HTML.from_string('<i title="{{ value }}">{{ value }}</i>').render(value=value) == (
        f'<i title="{shown}">{shown}</i>'
    )


def test_html_lines_keep_their_breaks() -> None:
    template = HTML.from_string("{{ text|lines }}")
    assert template.render(text="a\n<b>\r\n\x00") == "a\n&lt;b&gt; \n\ufffd"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<b>|[x](y)`", r"&lt;b>\|\[x](y)\`"),
        ("a\x00\u202eb\n# c", "a\ufffd\ufffdb # c"),
        (3, "3"),
        ("Sign_symptom", "Sign_symptom"),
        (Markdown("**[x](y)**"), "**[x](y)**"),
    ],
)
def test_markdown_expressions(value: object, shown: str) -> None:
    assert MARKDOWN.from_string("{{ value }}").render(value=value) == shown
    assert (
        MARKDOWN.from_string("{{ values|join(', ') }}")
        .render(values=[value, "|"])
        .endswith(r", \|")
    )


def test_markdown_tables_are_escaped_once() -> None:
    template = MARKDOWN.from_string("{{ table(['a'], [[word]]) }}")
    assert template.render(word="|").splitlines()[-1] == r"| \| |"


@pytest.mark.parametrize("environment", [HTML, MARKDOWN])
def test_a_missing_name_is_an_error(environment: Environment) -> None:
    with pytest.raises(UndefinedError):
        environment.from_string("{{ missing }}").render()
    with pytest.raises(UndefinedError):
        environment.from_string("{% if missing %}{% endif %}").render()
    assert environment.from_string("{{ n|thousands }}").render(n=12345) == "12,345"


def test_tables_of_a_page() -> None:
    source = '{% from "table.html.j2" import table %}{{ table("T|<", ["<a>", "b"], rows) }}'
    page = Page(HTML.from_string(source).render(rows=[["<x>", "1"], ["y", 2]]))
    assert page.values("aria-label") == ["T|<"]
    assert page.text("thead") == "<a>b"
    assert page.text("th", scope="row") == "<x>y"
    assert page.text("td") == "12"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/templates/*")), ids=lambda path: path.name)
def test_no_template_goes_around_the_escaping(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    expressions = " ".join(re.findall(r"{[{%].*?[%}]}", text, re.DOTALL))
    assert not re.search(r"\| *safe\b|autoescape|xmlattr|urlize|~", expressions)
    if path.name.endswith(".md.j2"):  # their output would be escaped twice
        assert not re.search(r"{%-? *(macro|call|filter)\b|{%-? *set [^=]*%}", text)
    if path.suffix == ".css":
        assert "{{" not in text
        assert "{%" not in text
    # An attribute that is not quoted would end at a space.
    assert not re.search(r"=\{\{", text)


def test_only_these_modules_make_markup() -> None:
    """Nothing that comes from outside may be called markup."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bMarkup\(|\bMarkdown\(", path.read_text(encoding="utf8"))
    }
    assert found == {"util/templates.py", "evaluation/report.py"}
