"""Nothing that is saved or logged holds training text, in whatever form.

The texts consist of words that nobody else writes. Every byte that the commands leave behind is
searched for them, compressed and encoded forms included.
"""

import base64
import gzip
import html
import io
import json
import logging
import shutil
import struct
import subprocess
import sys
import tarfile
import urllib.parse
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.cli._util import app as spacy_app
from spacy.cli.package import package
from spacy.cli.train import train
from spacy.strings import hash_string
from typer.testing import CliRunner

import spacy_btl.cli  # noqa: F401  # adds the commands
from spacy_btl.packaging.card_facts import pipeline_facts
from spacy_btl.packaging.saving import without_training_texts

ROOT = Path(__file__).parents[2]

FRAGMENTS = ("zyquorvex", "wexlquith", "ñandórvik", "blorptanz", "47183926", "plimzhosp")
"""One of them stands in every word below."""

WORDS = (
    "Zyquorvexa",  # a name
    "O'Wexlquithy",
    "Ñandórvikson",
    "blorptanzimab",  # a drug
    "MRN-47183926/B",  # a number with signs that tokenizers cut at
    "dr.plimzhosp@plimzhospital.example",
)
TOKENS = (*WORDS, "Wexlquithy", "blorptanzimab-mg", "47183926", "MRN-47183926", "47183926/B")

CASES = [
    "{0} {1} took 5 mg of {3} for chest pain, file {4}, says {5}.",
    "Dr. {2} gave {3}-mg to {0}; {1} had no fever ({5}).",
    "{4}: fever and chest pain of {0}, called {1}. {3} daily for {2}",
    "He had chest pain.\n{3}, 5 mg, {4}, {5}, {0}-{1}, {2}",
]


def forms(text: str) -> set[bytes]:
    """Return the forms of a text in files: encoded, escaped, in lower case."""
    spelled = {text, text.lower(), text.upper(), text.capitalize()}
    found = set()
    for each in spelled:
        escaped = {each, json.dumps(each)[1:-1], html.escape(each), urllib.parse.quote(each)}
        found |= {form.encode("utf8") for form in escaped}
        found |= {each.encode("utf-16-le"), each.encode("utf-16-be"), each.encode("latin-1")}
        found |= {each.encode("utf8").hex().encode(), each.encode("utf8")[::-1]}
        for start in range(3):  # base64 knows three ways to cut bytes in threes; inner digits agree
            digits = base64.b64encode(b"\0" * start + each.encode("utf8")).rstrip(b"=")
            found.add(digits[(0, 2, 3)[start] : -1])
    return found


SOUGHT = set().union(*map(forms, FRAGMENTS)) | {
    # spaCy's key of a string: whoever guesses the word finds it by that.
    struct.pack("<Q", hash_string(text))
    for token in TOKENS
    for text in (token, token.lower())
}


def unpacked(data: bytes) -> Iterator[bytes]:
    """Yield the bytes, and those of every member where they are an archive or compressed."""
    yield data
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode("utf8")
                yield from unpacked(archive.read(name))
    elif data.startswith(b"\x1f\x8b"):
        inner = gzip.decompress(data)
        try:
            with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
                for member in tar.getmembers():
                    yield member.name.encode("utf8")
                    file = tar.extractfile(member)
                    yield from unpacked(file.read()) if file else ()
        except tarfile.ReadError:
            yield from unpacked(inner)
    elif data.startswith(b"x"):
        try:
            yield from unpacked(zlib.decompress(data))
        except zlib.error:
            return


def leaks(data: bytes) -> list[bytes]:
    """Return the parts of the texts that are in the data."""
    every = [part for piece in unpacked(data) for part in (piece, piece.lower())]
    return sorted(form for form in SOUGHT if any(form in part for part in every))


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.gz", gzip.compress(data))
    return file.getvalue()


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "put",
    [
        lambda word: f"...{word}...".encode(),
        lambda word: word.encode("utf-16"),
        lambda word: json.dumps({"a": word}).encode(),
        lambda word: html.escape(word).encode(),
        lambda word: base64.b64encode(f"a{word}b".encode()),
        lambda word: base64.b64encode(f"ab{word}".encode()),
        lambda word: base64.b64encode(word.encode()),
        lambda word: word.encode().hex().encode(),
        lambda word: zipped(f" {word} ".encode()),
        lambda word: zlib.compress(word.lower().encode()),
        lambda word: srsly.msgpack_dumps({"a": [word]}),
        lambda word: b"\0\1" + struct.pack("<Q", hash_string(word)),
    ],
)
def test_the_search_finds_it(put: Callable[[str], bytes], word: str) -> None:
    assert leaks(put(word))


class Console:
    """Runs commands and keeps what they show: output, errors, warnings, log records."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def __call__(self, call: Callable[[], Any]) -> Any:
        handler = logging.StreamHandler(self.text)
        loggers = [logging.getLogger(name) for name in (None, "spacy")]
        for logger in loggers:
            logger.addHandler(handler)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                with redirect_stdout(self.text), redirect_stderr(self.text):
                    return call()
            finally:
                self.text.write("\n".join(str(warning.message) for warning in told))
                for logger in loggers:
                    logger.removeHandler(handler)

    def btl(self, *arguments: Any, fails: bool = False) -> None:
        result = self(lambda: CliRunner().invoke(spacy_app, ["btl", *map(str, arguments)]))
        self.text.write(result.output)
        assert (result.exit_code == 1) is fails, result.output
        assert isinstance(result.exception, SystemExit | None), result.exception


def annotation(text: str) -> str:
    """Return records of the words in a text, and some that are wrong."""
    lines = []
    for word, label in zip(WORDS, ("Name", "Name", "Name", "Drug", "File", "Mail"), strict=True):
        if (start := text.find(word)) >= 0:
            end = start + len(word)
            lines.append(f"T{len(lines)}\t{label} {start} {end}\t{word}")
            lines.append(f"#{len(lines)}\tAnnotatorNotes T{len(lines) - 1}\tsee {word}")
    start = text.find(WORDS[3])
    lines += [
        f"T90\tDrug {start + 2} {start + 6}\t{text[start + 2 : start + 6]}",  # cuts a token
        f"T91\tName {start} {start + 4}\t{WORDS[0]}",  # another text than there
        f"T92\tName 100000 100009\t{WORDS[0]}",  # outside
        f"T93\tName{WORDS[1]} from {WORDS[2]}",  # no record
        f"E94\t{WORDS[0]}:T99",
        f"R95\tBefore Arg1:{WORDS[3]} Arg2:T0",
        f"A96\tNegated{WORDS[0]} T98",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """Return a folder with the outputs of all commands; only ``data`` may hold such texts."""
    folder = tmp_path_factory.mktemp("made")
    brat, data, console = folder / "data" / "brat", folder / "data", Console()
    brat.mkdir(parents=True)
    for i in range(8):
        text = CASES[i % len(CASES)].format(*WORDS)
        (brat / f"case-{i}.txt").write_text(text, encoding="utf8")
        (brat / f"case-{i}.ann").write_text(annotation(text), encoding="utf8")
    console.btl("convert", brat, data, "--split", "0.5,0.25,0.25")
    console.btl("convert", brat, data / "strict", "--strict", fails=True)
    console.btl("stats", data / "train.spacy")
    (folder / "account").mkdir()
    for name in ("account.json", "account.md"):
        (data / name).rename(folder / "account" / name)
    console(lambda: train_tiny(folder, data, tiny_bert))
    console.btl("stats", folder / "training" / "model-best")

    best, fitted = folder / "training" / "model-best", folder / "fitted"
    dev = ("--dev", data / "dev.spacy")
    console.btl("fit-knn", best, data / "train.spacy", fitted, *dev, "--report", folder / "report")
    hidden = ("--keys", "hidden", "--dropout", 0.1, "--passes", 2)
    console.btl("fit-knn", best, data / "train.spacy", folder / "hidden", *dev, *hidden)
    console.btl("round-weights", fitted, folder / "rounded", "--data", data / "dev.spacy")
    console.btl("remove-documents", fitted, folder / "removed", first_document(data))
    console.btl("add-examples", folder / "removed", data / "dev.spacy", folder / "added")
    console.btl("documents", fitted)

    options = ("--output", folder / "metrics", "--train", data / "train.spacy")
    console.btl("evaluate", fitted, data / "test.spacy", *options)
    (data / "neutral.txt").write_text("She had chest pain, fever and 5 mg of it.", encoding="utf8")
    (folder / "explained").mkdir()
    page = ("--html", folder / "explained" / "page.html")
    console.btl("explain", fitted, "--file", data / "neutral.txt")
    console.btl("explain", fitted, "--file", data / "neutral.txt", "--json", *page)
    annotate(console, folder, data, fitted)
    curate(console, folder, data, fitted)
    fail(console, data, fitted)

    files = ("--account", folder / "account" / "account.json", "--dev", folder / "report/dev.json")
    scores = ("--metrics", folder / "metrics" / "metrics.json")
    console.btl("card", fitted, folder / "card", *scores, *files, "--name", "secret")
    build(folder)
    (folder / "console").mkdir()
    shown = console.text.getvalue()
    (folder / "console" / "text").write_text(shown, encoding="utf8")
    (folder / "console" / "text without line breaks").write_text("".join(shown.split()), "utf8")
    return folder


def train_tiny(folder: Path, data: Path, encoder: Path) -> None:
    overrides = {
        "paths.train": str(data / "train.spacy"),
        "paths.dev": str(data / "dev.spacy"),
        "paths.log": str(folder / "training" / "log.jsonl"),
        "training.max_steps": 8,
        "training.eval_frequency": 4,
        "training.optimizer.learn_rate.initial_rate": 0.003,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "components.btl_knn_ner.model.tok2vec.name": str(encoder),
    }
    train(ROOT / "configs" / "btl.cfg", folder / "training", overrides=overrides)


def first_document(data: Path) -> str:
    name: str = srsly.read_json(data / "split.json")["parts"]["train"][0]
    return name


def annotate(console: Console, folder: Path, data: Path, model: Path) -> None:
    """Make reports with the words, some of them broken, and the outputs without text."""
    text = CASES[0].format(*WORDS)
    lines = [
        json.dumps({"id": "good", "text": text}),
        json.dumps({"id": "none", "note": text}),
        json.dumps({"id": "number", "text": [text]}),
        f'{{"id": "broken", "text": "{text}',
        json.dumps({"id": "good", "text": text}),
        json.dumps({"id": "long", "text": text * 20_000}),
    ]
    (data / "reports.jsonl").write_text("\n".join(lines), encoding="utf8")
    output = folder / "annotated"
    console.btl("annotate", model, data / "reports.jsonl", output, "--no-text")
    assert len(list(srsly.read_jsonl(output / "errors.jsonl"))) >= 3


def curate(console: Console, folder: Path, data: Path, model: Path) -> None:
    """Compare annotators, choose reports and audit; pages with text go to ``data``."""
    shutil.copytree(data / "brat", data / "other")
    (data / "other" / "case-0.ann").write_text("T1\tDrug 0 4\tZyqu\n", encoding="utf8")
    pages = ("--page", data / "differences.html", "--adjudicate", data / "decided")
    figures = ("--json", folder / "agreement" / "figures.json")
    console.btl("agreement", data / "brat", data / "other", *pages, *figures)
    listed = ("--json", folder / "suggested" / "next.json", "--csv", folder / "suggested/next.csv")
    known = ("--known", data / "train.spacy")
    console.btl("suggest", model, data / "reports.jsonl", "-n", 2, *known, *listed)
    best = folder / "training" / "model-best"
    console.btl(
        "audit", data / "test.spacy", "--model", best, "--least", 0, "--output", data / "audit"
    )
    (folder / "audit").mkdir()
    for name in ("audit.json", "findings.jsonl"):
        (data / "audit" / name).rename(folder / "audit" / name)


def fail(console: Console, data: Path, model: Path) -> None:
    """Run commands that fail on files full of the words."""
    text = CASES[0].format(*WORDS)
    for name in ("bad.spacy", "bad.json", "bad.jsonl"):
        (data / name).write_text(f"{{{text}", encoding="utf8")
    (data / "odd").mkdir()
    (data / "odd" / "a.txt").write_text(text, encoding="utf8")
    (data / "odd" / "a.ann").write_text(f"T1\tName 0 9999\t{text}\n", encoding="utf8")
    console.btl("convert", data / "odd", data / "out", "--strict", fails=True)
    for command in ("fit-knn", "add-examples"):
        console.btl(command, model, data / "bad.spacy", data / "out", fails=True)
    console.btl("evaluate", model, data / "bad.spacy", "--output", data / "out", fails=True)
    console.btl("card", model, data / "out", "--metrics", data / "bad.json", fails=True)
    console.btl("show", data / "bad.json", data, fails=True)
    console.btl("add-examples", model, data / "train.spacy", data / "out", fails=True)


def build(folder: Path) -> None:
    """Build wheel and source distribution of the pipeline with its card, without a network."""
    (folder / "packages").mkdir()
    package(folder / "card", folder / "packages", create_sdist=False, create_wheel=False)
    (source,) = (folder / "packages").iterdir()
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    sdist = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir"]
    for command in ([*pip, "-w", "../../wheel", "."], [*sdist, "../../sdist"]):
        done = subprocess.run(command, cwd=source, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("account", ["account.json", "account.md"]),
        ("training", ["log.jsonl", "model-best/vocab/strings.json", "model-last/meta.json"]),
        ("fitted", ["btl_knn_ner/neighbors", "btl_knn_ner/model", "vocab/strings.json"]),
        ("hidden", ["btl_knn_ner/neighbors", "config.cfg"]),
        ("rounded", ["btl_knn_ner/model"]),
        ("removed", ["btl_knn_ner/neighbors"]),
        ("added", ["btl_knn_ner/neighbors", "vocab/strings.json"]),
        ("report", ["dev.json", "dev.md"]),
        ("metrics", ["metrics.json", "report.md"]),
        ("explained", ["page.html"]),
        ("annotated", ["errors.jsonl"]),
        ("agreement", ["figures.json"]),
        ("suggested", ["next.csv", "next.json"]),
        ("audit", ["audit.json", "findings.jsonl"]),
        ("card", ["README.md", "meta.json"]),
        ("wheel", ["en_secret-0.0.0-py3-none-any.whl"]),
        ("sdist", ["en_secret-0.0.0.tar.gz"]),
        ("console", ["text"]),
    ],
)
def test_no_training_text(made: Path, kind: str, files: list[str]) -> None:
    paths = [path for path in (made / kind).rglob("*") if path.is_file()]
    names = {path.relative_to(made / kind).as_posix() for path in paths}
    assert {name for name in files if (made / kind / name).stat().st_size} == set(files)
    for path in paths:
        assert leaks(path.read_bytes()) == [], path
    assert not any(leaks(name.encode("utf8")) for name in names)


def test_the_corpus_holds_it(made: Path) -> None:
    """So that the test above would see it."""
    for part in ("train", "dev", "test"):
        assert len(leaks((made / "data" / f"{part}.spacy").read_bytes())) >= len(FRAGMENTS)


def test_the_pipeline_has_learned_from_it(made: Path) -> None:
    assert {"Drug", "File", "Mail", "Name"} == set(
        srsly.read_json(made / "fitted" / "meta.json")["labels"]["btl_knn_ner"]
    )
    assert (made / "fitted" / "btl_knn_ner" / "neighbors").stat().st_size > 3_000
    console = " ".join((made / "console" / "text").read_text(encoding="utf8").split())
    for told in ("case-0.ann:12 error T91", "LOSS", "Strict span F1 on dev", "not a DocBin"):
        assert told in console


def test_a_pipeline_saved_as_spacy_does_it_would_hold_it(made: Path, tmp_path: Path) -> None:
    nlp = spacy.load(made / "fitted")
    nlp((made / "data" / "brat" / "case-0.txt").read_text(encoding="utf8"))
    nlp.to_disk(tmp_path)
    assert leaks((tmp_path / "vocab" / "strings.json").read_bytes())
    assert pipeline_facts(spacy.load(tmp_path))["other_strings"] > 10  # and its card says so
    without_training_texts(nlp).to_disk(tmp_path)
    assert pipeline_facts(spacy.load(tmp_path))["other_strings"] == 0
    assert not leaks((tmp_path / "vocab" / "strings.json").read_bytes())


def test_lookups_stay() -> None:
    """A model may read the norms that a table gives."""
    nlp = spacy.blank("en")
    nlp.vocab.lookups.add_table("lexeme_norm", {"tumour": "tumor"})
    nlp = spacy.blank("en").from_bytes(nlp.to_bytes())  # as loaded
    assert nlp("tumour")[0].norm_ == "tumor"
    assert without_training_texts(nlp)("tumour")[0].norm_ == "tumor"
