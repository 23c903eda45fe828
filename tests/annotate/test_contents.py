"""Plain text, and files that only look like it."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from spacy_btl.annotate.contents import check_encoding, decoded, file_error, markup_error
from spacy_btl.annotate.inputs import Fields, InputReader
from tests.helpers.annotating import write_table

RTF = "{\\rtf1\\ansi\\deff0 {\\fonttbl {\\f0 Courier;}}\\f0 No fever.\\par}"
CDA = '<ClinicalDocument xmlns="urn:hl7-org:v3"><text>No fever.</text></ClinicalDocument>'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "No fever.",
        "<5 mg/dl of glucose",
        "<3 cm> in the left lobe",
        "< 1 week of cough",
        "<NAME> is a 45-year-old man",
        "<NAME>Smith</NAME> was seen by <NAME>Jones</NAME>",
        "[**Name**] <DATE>: no fever </DATE>",
        "<P> 0.05 was taken as significant",
        "<HEADER>\nNo fever",
        "<<<fever>>>",
        "<-- see above",
        "Results: <b>none</b>",  # markup that a physician's system has left inside
        "No fever <br> no cough",
        "{fever}",
        "%PDFs are attached",
        "PK levels were normal",
        "PAR1 receptor",
        "<",
        "{",
    ],
)
def test_plain_texts(text: str) -> None:
    assert markup_error(text) == ""
    assert file_error(text.encode()) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (RTF, "RTF"),
        (f"\ufeff \r\n{RTF}", "RTF"),
        ("%PDF-1.7\nobj", "a PDF"),
        ("<html><body>No fever</body></html>", "HTML"),
        ("\n<!DOCTYPE html>\n<p>No fever", "HTML"),
        ("<!doctype HTML PUBLIC>", "HTML"),
        ('<?xml version="1.0"?><html><p>No fever</p></html>', "HTML"),
        ("<!-- made by a tool --><div>No fever", "HTML"),
        ("<div class='note'>No fever", "HTML"),
        ("<BR/>No fever", "HTML"),
        ("<p>No fever</p>", "HTML"),
        ("<P>No fever<P>No cough", "HTML"),
        ("<b>Fever:</b> none", "HTML"),
        ('<?xml version="1.0"?>\n<note>No fever</note>', "XML"),
        ("<!DOCTYPE note>\n<note>No fever", "XML"),
        (CDA, "XML"),
        (CDA[:60], "XML"),  # known by its namespace
        ("<note><text>No fever</text></note>\n", "XML"),
        ("<NAME>Ms. Smith</NAME>", "XML"),
    ],
)
def test_texts_with_markup(text: str, kind: str) -> None:
    why = markup_error(text)
    assert why.startswith(f"{kind}, where plain text is read: ")
    assert "fever" not in why and "Smith" not in why


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (RTF.encode() + b"\xe9", "RTF"),
        (b"\xef\xbb\xbf%PDF-1.4\n\xe2\xe3", "a PDF"),
        (
            b"PK\x03\x04\x14\0\x06\0[Content_Types].xml",
            "a .docx, a workbook or another ZIP archive",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "a .doc or another old Office file"),
        (gzip.compress(b"No fever", mtime=0), "a compressed file"),
        (bz2.compress(b"No fever"), "a compressed file"),
        (lzma.compress(b"No fever"), "a compressed file"),
        (b"\x89PNG\r\n\x1a\n\0", "an image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "an image"),
        (b"II*\0\x08\0\0\0", "an image"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "utf-16"])
def test_other_kinds_of_files(data: bytes, kind: str, encoding: str) -> None:
    text, why = decoded(data, encoding)
    assert text == ""
    assert why.startswith(f"{kind}, where plain text is read: ")


CP1252 = "if it is Windows-1252, --encoding windows-1252 reads it"


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        ("naïve\r\n".encode(), "utf-8", "naïve\r\n"),
        ("naïve".encode("utf-8-sig"), "utf-8", "naïve"),
        ("naïve".encode("utf-8-sig"), "utf-8-sig", "naïve"),
        ("naïve".encode(), "utf-8-sig", "naïve"),
        ("naïve – “fever”".encode("cp1252"), "windows-1252", "naïve – “fever”"),
        ("naïve".encode("latin-1"), "iso-8859-1", "naïve"),
        ("発熱".encode("shift_jis"), "shift_jis", "発熱"),
        ("naïve".encode("utf-16"), "utf-16", "naïve"),
        ("naïve".encode("utf-16-be"), "utf-16-be", "naïve"),
        (b"\xff\xfe" + "naïve".encode("utf-16-le"), "utf-16-le", "naïve"),
        ("naïve".encode("utf-32"), "UTF-32", "naïve"),
        (b"no fever", "windows-1252", "no fever"),
        (b"", "utf-16", ""),
    ],
)
def test_text_in_an_encoding(data: bytes, encoding: str, expected: str) -> None:
    assert decoded(data, encoding) == (expected, "")


@pytest.mark.parametrize(
    ("data", "encoding", "why"),
    [
        (b"na\xefve", "utf-8", f"not UTF-8, the first time at byte 2; {CP1252}"),
        ("“fever”".encode("cp1252"), "utf-8", f"not UTF-8, the first time at byte 0; {CP1252}"),
        (b"na\x81ve", "utf-8", "not UTF-8, the first time at byte 2; see --encoding"),
        (
            "naïve \x7f".encode() + b"\xff",
            "utf-8",
            "not UTF-8, the first time at byte 8, though most of it is",
        ),
        (
            b"a\0\xff\xfe",
            "utf-8",
            "not UTF-8, the first time at byte 2; it has zero bytes, as binary files have",
        ),
        (b"na\x81ve", "windows-1252", "not windows-1252, the first time at byte 2"),
        (b"ab", "utf-16", "no byte order mark of utf-16: say utf-16-le or utf-16-be"),
        ("x".encode("utf-16"), "utf-8", "UTF-16, where UTF-8 is read; see --encoding"),
        ("x".encode("utf-16"), "cp1252", "UTF-16, where cp1252 is read; see --encoding"),
        (
            "x".encode("utf-8-sig"),
            "cp1252",
            "UTF-8 with a byte order mark, where cp1252 is read; see --encoding",
        ),
        (
            "naïve".encode(),
            "cp1252",
            "UTF-8, where cp1252 is read: annotate it on its own, without --encoding",
        ),
    ],
)
def test_bytes_in_no_encoding(data: bytes, encoding: str, why: str) -> None:
    assert decoded(data, encoding) == ("", why)


@pytest.mark.parametrize("name", ["utf-8", "windows-1252", "CP1252", "latin1", "utf-16", "gb18030"])
def test_names_of_encodings(name: str) -> None:
    check_encoding(name)


@pytest.mark.parametrize("name", ["", "utf8000", "base64", "rot13", "undefined", "a b\0"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"encoding is .* but must be one that Python knows"):
        check_encoding(name)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("windows-1252", "parquet", "the texts of a Parquet file are UTF-8"),
        ("utf-16", "csv", r"\.csv is read line by line, which utf-16 does not allow"),
        ("utf-16-le", "jsonl", r"\.jsonl is read line by line, which utf-16-le does not"),
        ("cp037", "csv", r"\.csv is read line by line"),
    ],
)
def test_encodings_that_a_kind_cannot_have(name: str, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_encoding(name, kind)


@pytest.mark.parametrize("name", ["windows-1252", "shift_jis", "utf-8-sig"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_encodings_that_a_kind_can_have(name: str, kind: str) -> None:
    check_encoding(name, kind)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", "id,text\n1,naïve\n2,“fever”\n"),
        ("a.jsonl", '{"id": 1, "text": "naïve"}\n{"id": 2, "text": "“fever”"}\n'),
    ],
)
def test_tables_in_windows_1252(tmp_path: Path, name: str, data: str) -> None:
    (tmp_path / name).write_bytes(data.encode("cp1252"))
    kind = name.partition(".")[2]
    reader = InputReader(tmp_path, kind, Fields(), "windows-1252")
    first, second = reader.records(name)
    assert [(first.id, first.text), (second.id, second.text)] == [("1", "naïve"), ("2", "“fever”")]
    assert next(iter(reader.records(name, second.at, second.number))) == second
    (bad, _) = InputReader(tmp_path, kind, Fields()).records(name)
    assert bad.error.endswith(f"not UTF-8; {CP1252}")
    (tmp_path / name).write_bytes(data.encode("cp1252").replace(b"\xef", b"\x81"))
    bad, good = reader.records(name)
    assert bad.error.endswith("not windows-1252") and good == second


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_record_with_markup_leaves_the_others_alone(tmp_path: Path, suffix: str) -> None:
    records = [("1", RTF), ("2", "<5 mg/dl"), ("3", "<p>No fever</p>"), ("4", CDA)]
    path = write_table(tmp_path / f"a{suffix}", records)
    found = list(InputReader(path, suffix[1:], Fields()).records(""))
    assert [record.error.partition(",")[0] for record in found] == ["RTF", "", "HTML", "XML"]
    assert [record.text for record in found] == ["", "<5 mg/dl", "", ""]
    assert [record.id for record in found] == ["1", "2", "3", "4"]
