"""The kind of a file by its bytes: text in some encoding, or only in the guise of a note.

A page of HTML or an RTF file is text as well, and would be annotated with its markup as if a
physician had written it. Only the start of a file is looked at, and for XML its end. Messages quote
nothing of a file. Knows nothing of spaCy.
"""

import codecs
import re

UTF8 = "utf-8"

START = 4096
"""Bytes at the start of a file, by which its kind is recognized."""

BINARY = (
    ("a PDF", "take its text out first, as pdftotext does", (b"%PDF-",)),
    ("RTF", "convert it to text first, as soffice --convert-to txt does", (b"{\\rtf",)),
    (
        "a .docx, a workbook or another ZIP archive",
        "save it as text, or unpack it",
        (b"PK\x03\x04",),
    ),
    (
        "a .doc or another old Office file",
        "save it as text",
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
    ),
    (
        "a compressed file",
        "unpack it",
        (b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"),
    ),
    (
        "an image",
        "only OCR can read a scan",
        (b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*"),
    ),
)
"""Kinds of files that are not plain text: name, advice, and how they begin."""

HTML = "HTML, where plain text is read: take the text out first, as BeautifulSoup's get_text does"
XML = "XML, where plain text is read: take the text out first, as ElementTree's itertext does"

_WIDE = ("utf-16", "utf-32")  # a mark gives the order of their bytes

_BOMS_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")

_BEFORE = b" \t\r\n" + codecs.BOM_UTF8

_MARKUP = re.compile(r"[\s\ufeff]*[<{%P]")

_TAG = re.compile(r"<([A-Za-z_][\w.:-]*)((?:\s[^<>]*)?)/?>")

_HTML_NAMES = frozenset(
    (
        *(
            "html",
            "head",
            "body",
            "meta",
            "style",
            "script",
            "div",
            "span",
            "table",
            "tbody",
            "thead",
        ),
        *("tr", "td", "th", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl"),
        *("dt", "dd", "strong", "font", "pre", "img"),
    )
)

_AMBIGUOUS = frozenset(
    (
        *("a", "b", "i", "p", "s", "u", "em", "title", "link", "center", "article", "section"),
        *("header", "footer", "main", "form"),
    )
)
"""Tags of HTML that could be a placeholder or a heading of a plain text, if there is only one."""

_HTML_TAG = re.compile(rf"</?({'|'.join(sorted(_HTML_NAMES | _AMBIGUOUS))})(\s[^<>]*)?/?>", re.I)


def check_encoding(name: str, kind: str = "txt") -> None:
    """Raise ValueError for an encoding that is unknown, or cannot be that of a kind of files."""
    try:
        b"".decode(name)
        line_end = "\n".encode(codecs.lookup(name).name)
    except (LookupError, UnicodeError, ValueError, TypeError) as error:
        raise ValueError(
            f"encoding is {name!r}, but must be one that Python knows, such as utf-8, "
            "windows-1252, iso-8859-15, utf-16"
        ) from error
    if is_utf8(name) or kind == "txt":
        return
    if kind == "parquet":
        raise ValueError(
            f"the texts of a Parquet file are UTF-8; there is no encoding {name!r} to set"
        )
    if line_end != b"\n":
        raise ValueError(
            f".{kind} is read line by line, which {name} does not allow: convert it to UTF-8 "
            f"first, as iconv -f {name} -t utf-8 does"
        )


def is_utf8(name: str) -> bool:
    """Return whether an encoding is UTF-8, with or without a byte order mark."""
    return codecs.lookup(name).name in (UTF8, "utf-8-sig")


def shown(encoding: str) -> str:
    """Return what messages call an encoding."""
    return "UTF-8" if is_utf8(encoding) else encoding


def decoded(data: bytes, encoding: str = UTF8) -> tuple[str, str]:
    """Return the text of a file without byte order mark, or "" and why there is none."""
    if why := file_error(data[:START], encoding):
        return "", why
    name = codecs.lookup(encoding).name
    if name in _WIDE and data and not data.startswith((*_BOMS_UTF16, codecs.BOM_UTF32_BE)):
        return "", f"no byte order mark of {name}: say {name}-le or {name}-be"
    if is_utf8(name):
        data = data.removeprefix(codecs.BOM_UTF8)
    elif not data.isascii() and _is_utf8(data):
        return "", f"UTF-8, where {encoding} is read: annotate it on its own, without --encoding"
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        return (
            "",
            f"not {shown(encoding)}, the first time at byte {error.start}{_advice(data, name)}",
        )
    return (text if is_utf8(name) else text.removeprefix("\ufeff")), ""


def not_decoded(what: str, data: bytes, encoding: str) -> str:
    """Return the error of a part of a file, such as "the text is", that is in no encoding."""
    return f"{what}not {shown(encoding)}{_advice(data, encoding)}"


def file_error(start: bytes, encoding: str = UTF8) -> str:
    """Return why a file that begins so cannot be read as text, "" if it may be."""
    bare = start.lstrip(_BEFORE)
    for kind, advice, marks in BINARY:
        if start.startswith(marks) or bare.startswith(marks):
            return f"{kind}, where plain text is read: {advice}"
    if _BZIP2.match(start):
        return "a compressed file, where plain text is read: unpack it"
    if start.startswith(_BOMS_UTF16) and not codecs.lookup(encoding).name.startswith(_WIDE):
        return f"UTF-16, where {shown(encoding)} is read; see --encoding"
    if start.startswith(codecs.BOM_UTF8) and not is_utf8(encoding):
        return f"UTF-8 with a byte order mark, where {encoding} is read; see --encoding"
    return ""


def markup_error(text: str) -> str:
    """Return why a text is not plain text, or "" if it is.

    A plain text may begin with a less-than sign ("<5 mg/dl") or with a placeholder ("<NAME>").
    """
    if not (found := _MARKUP.match(text)):
        return ""
    at = found.end() - 1
    start = text[at : at + START]
    for kind, advice, marks in BINARY:
        if start.startswith(tuple(mark.decode("latin-1") for mark in marks)):
            return f"{kind}, where plain text is read: {advice}"
    low = start.lower()
    if low.startswith(("<!doctype html", "<html")) or (
        low.startswith(("<!--", "<?xml", "<!doctype")) and "<html" in low
    ):
        return HTML
    if low.startswith(("<?xml", "<!doctype")):
        return XML
    if low.startswith("<!--"):
        return HTML
    if not (tag := _TAG.match(start)):
        return ""
    name = tag[1].lower()
    if name in _HTML_NAMES or (name in _AMBIGUOUS and _HTML_TAG.search(start, tag.end())):
        return HTML
    end = f"</{tag[1]}>"
    # Tags around names, as de-identified notes may have them, end more than once.
    is_root = text[-START:].rstrip().endswith(end) and text.count(end) == 1
    return XML if is_root or "xmlns" in tag[2] else ""


def _advice(data: bytes, encoding: str) -> str:
    """Return what may help with bytes that are not in an encoding."""
    if not is_utf8(encoding) or not data:
        return ""
    if b"\0" in data:
        return "; it has zero bytes, as binary files have"
    if data.decode(UTF8, "ignore").isascii():  # else it is UTF-8, except for a few bytes
        try:
            data.decode("windows-1252")
        except UnicodeDecodeError:
            return "; see --encoding"
        return "; if it is Windows-1252, --encoding windows-1252 reads it"
    return ", though most of it is"


def _is_utf8(data: bytes) -> bool:
    """Return whether bytes are UTF-8."""
    try:
        data.decode(UTF8)
    except UnicodeDecodeError:
        return False
    return True
