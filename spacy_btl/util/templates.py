"""Jinja2 environments in which every expression is made safe, for HTML pages and for Markdown.

Texts, labels and names come from outside. In a template they need no filter: the value of an
expression is escaped, and its control characters are replaced, unless a template made it. HTML
pages carry a content security policy besides, which forbids scripts and requests.

The templates of a room are the files in its folder ``templates``; those of this room hold what all
pages share: their layout (`page.html.j2`), their look (`page.css`) and their tables.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .text import cell, markdown_table, printable


class Markdown(str):
    """Text that is Markdown already, which is not escaped again."""


@cache
def html_templates(room: str) -> Environment:
    """Return the HTML templates of a room.

    The filter ``lines`` keeps the line breaks of a text, which else become spaces; ``thousands``
    separates the digits of a number by commas.

    Args:
        room: The package with the folder ``templates``, such as ``spacy_btl.explain``.
    """
    environment = _environment(room, _printable_value, autoescape=True)
    environment.filters["lines"] = _lines
    return environment


@cache
def markdown_templates(room: str) -> Environment:
    """Return the Markdown templates of a room.

    The function ``table(header, rows)`` returns a table, and ``thousands`` is a filter as in
    `html_templates`. Macros and ``set`` blocks must not be used: their output would be escaped once
    more.

    Args:
        room: As in `html_templates`.
    """
    environment = _environment(room, _markdown_value, autoescape=False)
    environment.globals["table"] = _table
    return environment


def _environment(room: str, finalize: Callable[[object], str], *, autoescape: bool) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(room), PackageLoader(__package__)]),
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["thousands"] = _thousands
    return environment


def _printable_value(value: object) -> str:
    """Return a value for a page without control characters; Jinja2 escapes it after this."""
    return value if isinstance(value, Markup) else printable(str(value))


def _markdown_value(value: object) -> str:
    return value if isinstance(value, Markdown) else cell(value)


def _lines(text: str) -> Markup:
    return Markup("\n").join(map(printable, text.split("\n")))


def _thousands(number: int) -> str:
    return f"{number:,}"


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> Markdown:
    return Markdown("\n".join(markdown_table(header, rows)))
