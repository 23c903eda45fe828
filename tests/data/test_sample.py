"""The bundled corpus: up to date with its sources, and rich in what real annotations contain."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "assets" / "sample"
# A type is rare where fewer than this share of all entities bear it.
RARE = 0.01
ODD_SPACES = "\u200a\u2005\u2009\u200b"


def load_script() -> ModuleType:
    path = ROOT / "assets" / "sample-source" / "sample_to_brat.py"
    spec = importlib.util.spec_from_file_location("sample_to_brat", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


script = load_script()


class Mention(NamedTuple):
    label: str
    spans: tuple[tuple[int, int], ...]
    surface: str

    @property
    def start(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[-1][1]


class Document(NamedTuple):
    name: str
    text: str
    mentions: list[Mention]
    records: list[str]  # every line of the .ann file


def read(path: Path) -> Document:
    """Read one pair on its own terms, without the script that wrote it."""
    text = path.read_bytes().decode("utf-8")
    records = path.with_suffix(".ann").read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    mentions = []
    for record in records:
        if record.startswith("T"):
            _, head, surface = record.split("\t")
            label, offsets = head.split(" ", 1)
            pieces = [piece.split(" ") for piece in offsets.split(";")]
            spans = tuple((int(start), int(end)) for start, end in pieces)
            mentions.append(Mention(label, spans, surface))
    return Document(path.stem, text, mentions, records)


DOCUMENTS = [read(path) for path in sorted(SAMPLE.glob("*.txt"))]
ADVERSE = ROOT / "assets" / "sample-adverse"
ADVERSE_DOCUMENTS = [read(path) for path in sorted(ADVERSE.glob("*.txt"))]
PAIRS = [(doc, a, b) for doc in DOCUMENTS for a, b in combinations(doc.mentions, 2)]


def crosses_newline(doc: Document, mention: Mention) -> bool:
    return any(doc.text[a[1] : b[0]] == "\n" for a, b in pairwise(mention.spans))


def is_nested(a: Mention, b: Mention) -> bool:
    inner, outer = sorted((a, b), key=lambda mention: mention.end - mention.start)
    whole = len(inner.spans) == len(outer.spans) == 1
    return whole and outer.start <= inner.start < inner.end <= outer.end and a.spans != b.spans


def cuts_a_word(doc: Document, mention: Mention) -> bool:
    """Return whether an edge is inside a word, or between a unit and the period after it."""
    before = doc.text[max(mention.start - 1, 0) : mention.start + 1]
    after = doc.text[mention.end - 1 : mention.end + 1]
    unit_and_period = re.search(r"[a-z][A-Z]\.$", doc.text[: mention.end + 1])
    return any(len(x) == 2 and x.isalnum() for x in (before, after)) or bool(unit_and_period)


def is_adjacent_same_type(doc: Document, a: Mention, b: Mention) -> bool:
    first, second = sorted((a, b), key=lambda mention: mention.start)
    between = doc.text[first.end : second.start]
    return a.label == b.label and first.end < second.start and between.isspace()


def count_records(pattern: str) -> int:
    return sum(bool(re.match(pattern, record)) for doc in DOCUMENTS for record in doc.records)


# Required contents: their least number, and how to count them.
PHENOMENA: dict[str, tuple[int, Callable[[], int]]] = {
    "nested": (8, lambda: sum(is_nested(a, b) for _, a, b in PAIRS)),
    "History on the span of a Disease_disorder": (
        6,
        lambda: sum(
            a.spans == b.spans and {a.label, b.label} == {"Disease_disorder", "History"}
            for _, a, b in PAIRS
        ),
    ),
    "discontinuous": (
        5,
        lambda: sum(
            len(m.spans) > 1 and not crosses_newline(d, m) for d in DOCUMENTS for m in d.mentions
        ),
    ),
    "crosses a newline": (
        3,
        lambda: sum(crosses_newline(d, m) for d in DOCUMENTS for m in d.mentions),
    ),
    "adjacent, same type": (8, lambda: sum(is_adjacent_same_type(*pair) for pair in PAIRS)),
    "cuts a word": (8, lambda: sum(cuts_a_word(d, m) for d in DOCUMENTS for m in d.mentions)),
    "U+200A": (3, lambda: sum(d.text.count("\u200a") for d in DOCUMENTS)),
    "U+2005": (3, lambda: sum(d.text.count("\u2005") for d in DOCUMENTS)),
    "U+2009": (3, lambda: sum(d.text.count("\u2009") for d in DOCUMENTS)),
    "U+200B": (3, lambda: sum(d.text.count("\u200b") for d in DOCUMENTS)),
    "event": (1000, lambda: count_records(r"E\d+\t\w+:T\d+ $")),
    "event of a Lab_value": (10, lambda: count_records(r"E\d+\tLab_value:")),
    "relation": (150, lambda: count_records(r"R\d+\t[A-Z_-]+ Arg1:[TE]\d+ Arg2:[TE]\d+\t$")),
    "relation from a T record": (50, lambda: count_records(r"R\d+\t\S+ Arg1:T")),
    "negation": (30, lambda: count_records(r"A\d+\tPOLARITY E\d+ NEG$")),
    "trend": (10, lambda: count_records(r"A\d+\tTREND E\d+ (INC|DEC|STAY)$")),
    "overlap": (15, lambda: count_records(r"\*\tOVERLAP E\d+( E\d+)+$")),
    "note on an event": (10, lambda: count_records(r"#\d+\tAnnotatorNotes E\d+\t.")),
    "note on a T record": (3, lambda: count_records(r"#\d+\tAnnotatorNotes T\d+\t.")),
}


@pytest.mark.parametrize("name", PHENOMENA)
def test_phenomenon_is_present(name: str) -> None:
    least, count = PHENOMENA[name]
    assert count() >= least


def test_up_to_date_with_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err


def test_the_second_sample_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--source", f"{ADVERSE}-source", "--target", str(ADVERSE)]
    assert script.main([*folders, "--check"]) == 0, capsys.readouterr().err


def test_the_second_sample_shares_some_types_and_has_its_own() -> None:
    assert len(ADVERSE_DOCUMENTS) >= 12
    every, own = (
        Counter(mention.label for doc in docs for mention in doc.mentions)
        for docs in (DOCUMENTS, ADVERSE_DOCUMENTS)
    )
    assert len(own.keys() & every.keys()) >= 5
    assert len(own.keys() - every.keys()) >= 5
    for label in own:  # so that each is in train, dev and test
        assert sum(label in {m.label for m in doc.mentions} for doc in ADVERSE_DOCUMENTS) >= 3


@pytest.mark.parametrize("doc", [*DOCUMENTS, *ADVERSE_DOCUMENTS], ids=lambda doc: doc.name)
def test_surfaces_match_their_offsets(doc: Document) -> None:
    assert doc.mentions
    for mention in doc.mentions:
        pieces = [doc.text[start:end] for start, end in mention.spans]
        assert " ".join(pieces) == mention.surface
        assert all(piece and piece == piece.strip() for piece in pieces)
        assert "\n" not in mention.surface


@pytest.mark.parametrize("doc", [*DOCUMENTS, *ADVERSE_DOCUMENTS], ids=lambda doc: doc.name)
def test_records_point_at_records(doc: Document) -> None:
    ids = [record.split("\t")[0] for record in doc.records if not record.startswith("*")]
    assert len(ids) == len(set(ids))
    for record in doc.records:
        head = "" if record.startswith("T") else record.split("\t")[1]
        assert set(re.findall(r"\b[TE]\d+\b", head)) <= set(ids)


def test_length_of_the_reports() -> None:
    assert len(DOCUMENTS) >= 40
    for doc in DOCUMENTS:
        assert 100 <= len(doc.text.split()) <= 210, doc.name
        assert doc.text.endswith("\n") and "\n\n" not in doc.text, doc.name


def test_imbalance_of_the_types() -> None:
    counts = Counter(mention.label for doc in DOCUMENTS for mention in doc.mentions)
    rare = [label for label, count in counts.items() if count < RARE * counts.total()]
    assert len(counts) >= 28
    assert len(rare) >= len(counts) / 2
    assert min(counts.values()) <= 5
    assert max(counts.values()) >= 50 * min(counts.values())


def test_every_type_is_in_three_documents_or_more() -> None:
    where: defaultdict[str, set[str]] = defaultdict(set)
    for doc in DOCUMENTS:
        for mention in doc.mentions:
            where[mention.label].add(doc.name)
    assert {label for label, names in where.items() if len(names) < 3} == set()


def test_density_is_near_that_of_real_reports() -> None:
    total = inside = 0
    for doc in DOCUMENTS:
        covered = {i for m in doc.mentions for start, end in m.spans for i in range(start, end)}
        words = list(re.finditer(r"\w+|[^\w\s]", doc.text))
        total += len(words)
        inside += sum(word.start() in covered for word in words)
    assert 0.40 <= inside / total <= 0.60  # MACCROBAT: 0.46


def test_conversion_of_every_construct() -> None:
    report = script.parse(
        "[[Asthma|Disease_disorder]|History], a[febrile|Sign_symptom#f] \\[\\|\\]\\\\.\n"
        "[Left|Biological_structure#l+] and right [upper\nlobe|Biological_structure#l+] "
        "[5\\u200amm|Lab_value#v], [7|Lab_value].\n"
        "---\n"
        "MODIFY v f\n"
        "\n"
        "POLARITY f NEG\n"
        "TREND v INC\n"
        "OVERLAP f v\n"
        "NOTE l two  words\n"
    )
    assert report.text == ("Asthma, afebrile [|]\\.\nLeft and right upper\nlobe 5\u200amm, 7.\n")
    assert script.to_brat(report).split("\n") == [
        "T1\tDisease_disorder 0 6\tAsthma",
        "E1\tDisease_disorder:T1 ",
        "T2\tHistory 0 6\tAsthma",
        "T3\tSign_symptom 9 16\tfebrile",
        "E2\tSign_symptom:T3 ",
        "T4\tBiological_structure 23 27;38 43;44 48\tLeft upper lobe",
        "T5\tLab_value 49 53\t5\u200amm",
        "E3\tLab_value:T5 ",
        "T6\tLab_value 55 56\t7",
        "R1\tMODIFY Arg1:E3 Arg2:E2\t",
        "A1\tPOLARITY E2 NEG",
        "A2\tTREND E3 INC",
        "*\tOVERLAP E2 E3",
        "#1\tAnnotatorNotes T4\ttwo words",
        "",
    ]


TWO = "[a|Severity#a] [b|Sign_symptom#b]\n---\n"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("", "line 1: no text"),
        ("---\nMODIFY a b\n", "line 1: no text"),
        ("one\n\n---\nMODIFY a b\n", "line 4: unknown id 'a'"),
        ("one\n[two|Sign_symptom\n", "line 2: '|' is not followed by a type and ']'"),
        ("one\n[two\n", "line 2: '[' is never closed"),
        ("one]", "line 1: ']' without '['"),
        ("one|Sign_symptom]", "line 1: '|Sign_symptom]' closes a bracket that is not open"),
        ("[two]", "line 1: missing type: ']' without '|Type' before it"),
        ("[two|]", "line 1: '' is not Type, Type#id or Type#id+"),
        ("[two|Sign_symptom#]", "line 1: 'Sign_symptom#' is not Type, Type#id or Type#id+"),
        ("[two|Symptom]", "line 1: unknown type 'Symptom'"),
        ("a | b", "line 1: '|' is not followed by a type and ']'"),
        ("a\\b", "line 1: unknown escape"),
        ("a\\u12g4", "line 1: unknown escape"),
        ("[|Sign_symptom]", "line 1: empty, or white space at an edge: ''"),
        ("[two |Sign_symptom]", "line 1: empty, or white space at an edge: 'two '"),
        ("[\\u2009two|Sign_symptom]", "line 1: empty, or white space at an edge"),
        ("[a|Sex#x] [b|Sex#x]", "line 1: id 'x' is used twice"),
        ("[a|Sex#x+] [b|Sex#x]", "line 1: id 'x' is used twice"),
        ("[a|Sex#x]\n[b|Sex#x+]", "line 2: id 'x' is used twice"),
        ("one\n[a|Sex#x+]\ntwo", "line 2: 'x' has one part only"),
        ("[a|Sex#x+] [b|Age#x+]", "line 1: parts of 'x' differ in type: Sex, Age"),
        ("[[a|Sex#x+] b|Sex#x+]", "line 1: parts of 'x' overlap"),
        (TWO + "MODIFY a c\n", "line 3: unknown id 'c'"),
        (TWO + "MODIFY a b\nMODIFIES a b\n", "line 4: unknown directive 'MODIFIES'"),
        (TWO + "MODIFY a\n", "line 3: MODIFY with the wrong words: 'MODIFY a'"),
        (TWO + "MODIFY a b b\n", "line 3: MODIFY with the wrong words"),
        (TWO + "\nPOLARITY b NO\n", "line 4: POLARITY with the wrong words"),
        (TWO + "TREND b NEG\n", "line 3: TREND with the wrong words"),
        (TWO + "POLARITY a NEG\n", "line 3: POLARITY: 'a' is no event (Severity)"),
        (TWO + "OVERLAP b a\n", "line 3: OVERLAP: 'a' is no event (Severity)"),
        (TWO + "OVERLAP b\n", "line 3: OVERLAP with the wrong words"),
        (TWO + "NOTE b\n", "line 3: NOTE with the wrong words"),
    ],
)
def test_fault_in_the_mark_up(source: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "case.txt"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(SystemExit, match=re.escape(f"{path}: {fault}")):
        script.build(tmp_path)


def test_folder_without_reports(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no reports"):
        script.build(tmp_path)


def test_check_and_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a.txt").write_text("[Pain|Sign_symptom].\n", encoding="utf-8")
    folders = ["--source", str(source), "--target", str(target)]
    assert script.main([*folders, "--check"]) == 1
    assert "a.ann: out of date" in capsys.readouterr().err
    assert not target.exists()
    assert script.main(folders) == 0
    assert script.main([*folders, "--check"]) == 0
    (target / "left-over.ann").write_text("", encoding="utf-8")
    (target / "a.txt").write_text("Pains.\n", encoding="utf-8")
    (target / "README.md").write_text("", encoding="utf-8")
    assert script.main([*folders, "--check"]) == 1
    assert script.main(folders) == 0
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "a.ann", "a.txt"]
    assert (target / "a.txt").read_bytes() == b"Pain.\n"


def test_example_of_the_guide() -> None:
    guide = (ROOT / "assets" / "sample-source" / "README.md").read_text(encoding="utf-8")
    example = guide.split("```text\n")[1].split("```")[0]
    records = script.to_brat(script.parse(example)).splitlines()
    assert len([record for record in records if record.startswith("T")]) == 10
    assert records[-3:] == [
        "*\tOVERLAP E3 E4",
        "A1\tPOLARITY E4 NEG",
        "#1\tAnnotatorNotes E3\tWorse on breathing in.",
    ]


def test_no_invisible_characters_in_the_sources() -> None:
    for path in (ROOT / "assets").glob("*-source/*.txt"):
        assert not set(path.read_text(encoding="utf-8")) & set(ODD_SPACES), path.name
