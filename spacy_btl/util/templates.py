"""What our HTML pages share: their look, and that foreign words in them stay words.

Texts, labels and names are untrusted: `html_text` stands between them and the page, and a content
security policy forbids scripts and requests besides. No page loads anything.
"""

from collections.abc import Iterable, Sequence
from html import escape

from .text import printable

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f23; --faint: #57606a;
  --line: #d5dbe1; --card: #f6f8fa; --link: #0550ae; --light: 86%; --full: 78%; --grey: #d0d7de; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --ink: #e8ecf0; --faint: #a3adb8; --line: #363e48; --card: #1c2128;
    --link: #7cb8ff; --light: 27%; --full: 45%; --grey: #4a535e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 58rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial,
  sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1.05rem; line-height: 1.9; margin: 0; }
p { margin: .5rem 0; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 2px; }
.faint { color: var(--faint); font-size: .875rem; }
.text { white-space: pre-wrap; unicode-bidi: plaintext; line-height: 2.25; }
.entity, mark { color: inherit; background: var(--plain, hsl(var(--hue) var(--full) var(--light)));
  text-decoration: none; border-radius: .35em; padding: .22em .45em; unicode-bidi: isolate;
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.label { font-size: .75em; font-weight: 700; margin-inline-start: .2em; unicode-bidi: isolate; }
.scroll { overflow-x: auto; }
summary { cursor: pointer; color: var(--link); font-size: .875rem; padding: .25rem 0; }
table { border-collapse: collapse; font-size: .8125rem; width: 100%; overflow-wrap: normal; }
th, td { text-align: start; vertical-align: top; padding: .15rem .6rem .15rem 0;
  border-bottom: 1px solid var(--line); }
.n { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h3 { break-after: avoid; } .text, h3 { line-height: 1.9; }
  .entity, mark { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html_text(text: object) -> str:
    """Words for a page, in an element or a quoted attribute, without controls."""
    return escape(printable(str(text)))


def html_page(title: str, style: str, parts: Iterable[str]) -> str:
    """A complete page, to be written as UTF-8.

    style: rules after those of `STYLE`. parts: HTML below the title, safe as it is.
    """
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html_text(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>",
            f"<main>\n<h1>{html_text(title)}</h1>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )


def html_table(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself: the first column names its row, the others are figures.

    name: for those who do not see it. header: words. rows: HTML, safe as it is.
    """
    head = "".join(
        f'<th scope="col" class="{"n" if i else "name"}">{html_text(word)}</th>'
        for i, word in enumerate(header)
    )
    lines = [
        f'<tr><th scope="row">{first}</th>'
        + "".join(f'<td class="n">{cell}</td>' for cell in others)
        + "</tr>"
        for first, *others in rows
    ]
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html_text(name)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody></table></div>"
    )
