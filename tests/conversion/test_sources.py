"""Several corpora, each converted to a folder of its own."""

from pathlib import Path

import pytest
from spacy.cli._util import app as spacy_app
from typer.testing import CliRunner

from spacy_btl.conversion.convert import convert_folder
from spacy_btl.conversion.reading import LEFT_OUT
from spacy_btl.conversion.sources import convert_sources, parse_sources


def corpus(folder: Path, *texts: str) -> Path:
    """Return a BRAT folder in which every text begins with an entity of type X."""
    folder.mkdir(parents=True)
    for i, text in enumerate(texts):
        (folder / f"{i}.txt").write_text(text, encoding="utf8")
        word = text.split()[0]
        (folder / f"{i}.ann").write_text(f"T1\tX 0 {len(word)}\t{word}\n", encoding="utf8")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    texts = ("Fever today", "Rash of the arm", "Cough at night")
    return [corpus(tmp_path / "data" / name, *texts) for name in ("one", "two")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{0}", {"one": 0}),
        ("{0},{1}", {"one": 0, "two": 1}),
        (" {1} , a=b,", None),
        (" {1} , a = {0},", {"two": 1, "a": 0}),
        ("one={0},two={0}", {"one": 0, "two": 0}),
        ("{0}/0.txt", {"0": None}),
    ],
)
def test_a_list_of_sources(
    folders: list[Path], text: str, expected: dict[str, int | None] | None
) -> None:
    text = text.format(*folders)
    if expected is None:
        with pytest.raises(ValueError, match="the folder or file b of the corpus a does not exist"):
            parse_sources(text)
        return
    places = {
        name: folders[0] / "0.txt" if i is None else folders[i] for name, i in expected.items()
    }
    assert parse_sources(text) == places
    assert list(parse_sources(text)) == list(places)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no corpus is named"),
        (" , ", "no corpus is named"),
        ("{0},one={1}", "two corpora have the name one"),
        ("../x={0}", "cannot name a corpus"),
        ("a:b={0}", "cannot name a corpus"),
        ("={0}", "cannot name a corpus"),
        (
            "nowhere",
            "the folder or file nowhere of the corpus nowhere does not exist; correct "
            "the path, or leave it",
        ),
    ],
)
def test_a_list_that_is_none(folders: list[Path], text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_sources(text.format(*folders))


def test_each_is_converted_to_its_folder(folders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = dict(convert_sources({"a": folders[0], "b": folders[1]}, out))
    assert {name: list(each.parts) for name, each in done.items()} == {"a": ["all"], "b": ["all"]}
    assert (out / "a" / "all.spacy").is_file()
    dict(convert_sources({"b": folders[1]}, out, shares=(0.4, 0.3, 0.3)))
    assert [path.name for path in out.iterdir()] == ["b"]
    assert (out / "b" / "train.spacy").is_file()


def test_a_folder_with_other_files_stays(folders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "mine").mkdir(parents=True)
    with pytest.raises(ValueError, match="files other than converted corpora"):
        list(convert_sources({"a": folders[0]}, out))
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_failure_changes_nothing(folders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    dict(convert_sources({"a": folders[0]}, out))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError):
        list(convert_sources({"b": folders[1], "c": tmp_path / "empty"}, out))
    assert [path.name for path in out.iterdir()] == ["a"]


def test_the_command(folders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = f"{folders[0]},second={folders[1]}"
    done = CliRunner().invoke(spacy_app, ["btl", "convert-sources", text, str(out)])
    assert done.exit_code == 0, done.output
    assert "second: all 3 documents" in done.output
    assert sorted(path.name for path in out.iterdir()) == ["one", "second"]
    done = CliRunner().invoke(spacy_app, ["btl", "convert-sources", "nowhere", str(out)])
    assert done.exit_code != 0
    assert "nowhere of the corpus nowhere does not exist" in " ".join(done.output.split())


def test_documents_of_the_target_are_left_out(folders: list[Path], tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(30)]
    long = corpus(tmp_path / "data" / "long", " ".join(words), " ".join(words[::-1]))
    target = corpus(tmp_path / "target", "FEVER  today", " ".join([*words[:-1], "other"]), "None")
    convert_folder(target, tmp_path / "target-docs", shares=None)
    sources = {"one": folders[0], "long": long}
    apart_from = [tmp_path / "target-docs" / "all.spacy"]
    done = dict(convert_sources(sources, tmp_path / "out", apart_from=apart_from))
    assert done["one"].parts == {"all": ["1", "2"]}  # without "Fever today"
    assert done["long"].parts == {"all": ["1"]}  # without what is nearly the target's
    assert [each.account.settings[LEFT_OUT] for each in done.values()] == [1, 1]
    assert [len(each.account.rows) for each in done.values()] == [2, 1]


@pytest.mark.parametrize("command", ["convert", "convert-sources"])
def test_the_commands_say_how_many_are_left_out(
    folders: list[Path], tmp_path: Path, command: str
) -> None:
    target = corpus(tmp_path / "target", "FEVER  today")
    convert_folder(target, tmp_path / "target-docs", shares=None)
    apart = ["--apart-from", str(tmp_path / "target-docs" / "all.spacy")]
    split = ["--no-split"] if command == "convert" else []
    for source, number in ((folders[0], 1), (corpus(tmp_path / "other", "Nausea"), 0)):
        arguments = ["btl", command, str(source), str(tmp_path / "out" / command), *split, *apart]
        done = CliRunner().invoke(spacy_app, arguments)
        assert done.exit_code == 0, done.output
        said = " ".join(done.output.split())
        assert (f"{LEFT_OUT}: {number}" in said.replace("⚠ ", "")) == bool(number)
