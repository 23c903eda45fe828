"""Contents of a seal, and changes that it finds and refuses."""

import json
from pathlib import Path

import pytest

from spacy_btl.util.seal import (
    LEFT_OUT,
    MAX_SEAL,
    SEAL,
    check_seal,
    remove_seal,
    write_seal,
)
from tests.helpers.commands import invoke

FILES = {"config.cfg": "a", "tokenizer": "b", "vocab/strings.json": "c", "ner/cfg": "d"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of files."""
    for name, text in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "model"


def listed(folder: Path) -> list[str]:
    return sorted(json.loads((folder / SEAL).read_bytes())["files"])


def test_all_files_are_listed(folder: Path) -> None:
    assert not check_seal(folder)
    assert write_seal(folder) == 4
    assert listed(folder) == sorted(FILES)
    assert check_seal(folder)


def test_a_seal_inside_is_not_listed(folder: Path) -> None:
    """Earlier versions sealed the folders of components as well."""
    write_seal(folder / "ner")
    assert write_seal(folder) == 4
    (folder / "ner" / SEAL).write_text("?")
    assert check_seal(folder)


def test_sealing_again_gives_the_same(folder: Path) -> None:
    write_seal(folder)
    before = (folder / SEAL).read_bytes()
    write_seal(folder)
    assert (folder / SEAL).read_bytes() == before


@pytest.mark.parametrize("name", [*LEFT_OUT, ".gitattributes", ".cache/x", "new", "vocab/new"])
def test_what_may_come_and_change(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if name in LEFT_OUT or name.startswith("."):  # there from the start, and changed
        path.write_text("before")
        write_seal(folder)
        assert name not in listed(folder)
    else:  # added later
        write_seal(folder)
    path.write_text("after")
    assert check_seal(folder)


@pytest.mark.parametrize("name", ["config.cfg", "vocab/strings.json", "ner/cfg"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "has changed since"),
        (lambda path: path.write_bytes(path.read_bytes() + b"?"), "but was sealed with"),
        (lambda path: path.write_bytes(b""), "has 0 bytes, but was sealed with"),
        (lambda path: path.unlink(), "is missing, though btl_seal.json lists it"),
    ],
)
def test_changes_are_named(folder: Path, name: str, change, message: str) -> None:
    write_seal(folder)
    change(folder / name)
    with pytest.raises(ValueError, match=message) as error:
        check_seal(folder)
    assert str(folder / name) in str(error.value)
    assert f"python -m spacy btl seal {folder}" in str(error.value)
    write_seal(folder)  # as it is now
    assert check_seal(folder)


def test_removed(folder: Path) -> None:
    write_seal(folder)
    remove_seal(folder)
    remove_seal(folder)
    assert not check_seal(folder)


def test_links(folder: Path, tmp_path: Path) -> None:
    """Files behind links are followed, as in the cache of a hub; folders behind links are not."""
    (tmp_path / "blob").write_text("blob")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    (folder / "weights").symlink_to(tmp_path / "blob")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "away").symlink_to(tmp_path / "outside", target_is_directory=True)
    (folder / "gone").symlink_to(tmp_path / "nothing")
    write_seal(folder)
    assert "weights" in listed(folder)
    assert not {"loop", "away", "gone"} & {name.split("/")[0] for name in listed(folder)}
    (tmp_path / "blob").write_text("glob")
    with pytest.raises(ValueError, match="weights has changed"):
        check_seal(folder)


def entry(name: str) -> dict[str, object]:
    return {name: {"size": 1, "sha256": "0" * 64}}


def seal_of(files: object, **other: object) -> str:
    return json.dumps({"kind": "spacy-btl seal", "version": 1, "files": files, **other})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a readable list of files"),
        ("[]", "is not a readable list of files"),
        ("null", "is not a readable list of files"),
        ("[" * 10**5, "RecursionError"),
        ('{"kind": "' + "x" * MAX_SEAL + '"}', "it has more than 4,194,304 bytes"),
        (seal_of({}, kind="x"), "it is not of version 1"),
        (seal_of({}, version=2), "it is not of version 1"),
        (seal_of([]), "AttributeError"),
        (seal_of({"a": 1}), "TypeError"),
        (seal_of({"a": {"size": 1}}), "KeyError"),
        (seal_of({"a": {"size": "1", "sha256": ""}}), "lacks its size or its SHA-256"),
        (seal_of({"a": {"size": 1, "sha256": 1}}), "lacks its size or its SHA-256"),
        *(
            (seal_of(entry(name)), "is outside the folder")
            for name in (
                "../x",
                "a/../../x",
                "/etc/passwd",
                "C:x",
                "C:\\x",
                "\\x",
                "..\\x",
                "",
                ".",
            )
        ),
        (seal_of(entry("a\0b")), "is outside the folder"),
        (seal_of(entry("vocab")), "vocab is missing"),
        (seal_of({"config.cfg": {"size": 10**30, "sha256": ""}}), "has 1 bytes, but was sealed"),
    ],
)
def test_hostile_seals(folder: Path, text: str, message: str) -> None:
    (folder / SEAL).write_text(text)
    with pytest.raises(ValueError, match=message):
        check_seal(folder)


def test_command(folder: Path, tmp_path: Path) -> None:
    assert invoke("seal", tmp_path)[0] == 1
    status, output = invoke("seal", folder, "--check")
    assert status == 1
    assert "is not sealed; python -m spacy btl seal" in output
    assert invoke("seal", folder)[0] == 0
    status, output = invoke("seal", folder, "--check")
    assert status == 0
    assert "all sealed files are as they were (meta.json," in output
    (folder / "ner" / "cfg").write_text("?")
    status, output = invoke("seal", folder, "--check")
    assert status == 1
    assert "has changed since it was sealed" in output
    assert invoke("seal", folder)[0] == invoke("seal", folder, "--check")[0] == 0
