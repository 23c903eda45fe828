"""A saved pipeline is replaced by a whole one or stays, whatever fails or is killed."""

import errno
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli.package import package
from spacy.language import Language
from spacy.util import get_minor_version_range

from spacy_btl.packaging.saving import (
    check_target,
    load_pipeline,
    run_code,
    save_pipeline,
    with_spacy_range,
)
from spacy_btl.util.files import replacing_folder, restore_folder
from spacy_btl.util.seal import SEAL, check_seal
from tests.util.test_files import failing_rename, names


def pipeline(word: str) -> Language:
    """Return a pipeline that adds a label to what it is given."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": word, "pattern": "fever"}])  # type: ignore[attr-defined]
    return nlp


def word_of(folder: Path) -> str:
    """Return the label of a saved pipeline, which must be whole."""
    assert check_seal(folder)
    return json.loads((folder / "entity_ruler" / "patterns.jsonl").read_bytes())["label"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_pipeline(pipeline("OLD"), tmp_path / "model")
    return tmp_path / "model"


def test_a_pipeline_is_replaced_as_a_whole(saved: Path) -> None:
    (saved / "component_of_before").mkdir()
    save_pipeline(pipeline("NEW"), saved)
    assert word_of(saved) == "NEW"
    assert not (saved / "component_of_before").exists()
    assert names(saved.parent) == {"model"}


@pytest.mark.parametrize(
    ("fails", "where"), [((1,), "model"), ((2,), "model"), ((2, 3), ".model.old")]
)
def test_a_rename_that_fails(
    saved: Path, monkeypatch: pytest.MonkeyPatch, fails: tuple[int, ...], where: str
) -> None:
    failing_rename(monkeypatch, *fails)
    with pytest.raises(OSError, match="The new one is complete in") as caught:
        save_pipeline(pipeline("NEW"), saved)
    monkeypatch.undo()
    (new,) = saved.parent.glob(".model.new-*")
    assert str(new) in str(caught.value)
    assert word_of(new) == "NEW"
    assert word_of(saved.parent / where) == "OLD"
    assert load_pipeline(saved)("fever").ents[0].label_ == "OLD"  # wherever it was left
    save_pipeline(pipeline("THIRD"), saved)
    assert word_of(saved) == "THIRD"


def test_a_full_disk(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write(self: Path, data: bytes, original: Callable[..., int] = Path.write_bytes) -> int:
        written.append(self)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, data)

    nlp = pipeline("NEW")
    nlp.add_pipe("btl_knn_ner").add_label("X")  # type: ignore[attr-defined]
    nlp.initialize()
    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        save_pipeline(nlp, saved)
    assert len(written) == 2
    assert word_of(saved) == "OLD"
    assert names(saved.parent) == {"model"}


def kill_at(step: int) -> None:
    """Kill this process before its call of this number that changes folders."""
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event in ("os.mkdir", "os.rename", "os.rmdir", "shutil.rmtree"):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_a_kill_at_every_step(saved: Path) -> None:
    new, found = pipeline("NEW"), []
    for step in range(1, 100):
        folder = saved.parent / str(step) / "model"
        shutil.copytree(saved, folder)
        child = os.fork()
        if not child:
            try:
                kill_at(step)
                save_pipeline(new, folder)
                os._exit(0)
            except BaseException:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        restore_folder(folder)
        found.append(word_of(folder))
        if not status:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        with replacing_folder(folder) as again:  # remains are not an obstacle
            shutil.copytree(saved, again, dirs_exist_ok=True)
        assert word_of(folder) == "OLD"
    assert found == sorted(found, reverse=True)  # OLD up to some step, then NEW
    assert {*found} == {"OLD", "NEW"}
    assert len(found) > 5


TARGETS = [
    # what is at the target                        what the error says
    ({}, ""),
    ({"config.cfg": "", "whatever": ""}, ""),
    ({"notes.md": "mine"}, "has files, but no pipeline"),
]


@pytest.mark.parametrize(("held", "error"), TARGETS)
def test_what_may_be_replaced(tmp_path: Path, held: dict[str, str], error: str) -> None:
    folder = tmp_path / "model"
    check_target(folder)
    folder.mkdir()
    for name, text in held.items():
        (folder / name).write_text(text)
    if error:
        for refused in (check_target, lambda folder: save_pipeline(pipeline("NEW"), folder)):
            with pytest.raises(ValueError, match=error):
                refused(folder)
        assert names(folder) == set(held)
    else:
        check_target(folder)
        save_pipeline(pipeline("NEW"), folder)
        assert word_of(folder) == "NEW"


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        save_pipeline(pipeline("NEW"), tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_a_changed_file_is_named(saved: Path) -> None:
    (saved / "config.cfg").write_text("")
    with pytest.raises(ValueError, match=r"config\.cfg has 0 bytes, but was sealed"):
        load_pipeline(saved)
    (saved / SEAL).unlink()


BUILDING = get_minor_version_range(metadata.version("spacy"))
TESTED = ">=3.7.5,<3.9"  # of pyproject.toml


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, TESTED),
        ({"spacy_version": BUILDING}, TESTED),
        ({"spacy_version": ">=3.8.2,<3.8.7"}, ">=3.8.2,<3.8.7"),  # somebody's choice
    ],
)
def test_versions_of_spacy_are_those_tested(meta: dict[str, str], expected: str) -> None:
    assert with_spacy_range({"name": "x", **meta}) == {"name": "x", "spacy_version": expected}


def test_a_saved_pipeline_and_its_package_admit_the_tested_versions(
    tmp_path: Path,
) -> None:
    save_pipeline(pipeline("NEW"), tmp_path / "model")
    assert srsly.read_json(tmp_path / "model" / "meta.json")["spacy_version"] == TESTED
    (tmp_path / "out").mkdir()
    options = {"name": "x", "version": "1.0", "create_sdist": False, "require_parent": True}
    package(tmp_path / "model", tmp_path / "out", **options)
    folder = tmp_path / "out" / "en_x-1.0"
    assert srsly.read_json(folder / "meta.json")["requirements"] == [f"spacy{TESTED}"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spacy.load(folder / "en_x" / "en_x-1.0")


class TestCode:
    """A Python file that registers components, run before a pipeline is loaded."""

    def test_a_component_is_registered_by_it(self, tmp_path: Path) -> None:
        name = "btl_test_of_saving"
        code = tmp_path / "code.py"
        code.write_text(
            "from spacy.language import Language\n"
            f"@Language.component('{name}')\n"
            "def component(doc):\n"
            "    return doc\n"
        )
        spacy.blank("en").to_disk(tmp_path / "model")
        config = (tmp_path / "model" / "config.cfg").read_text("utf8")
        config = config.replace("pipeline = []", f'pipeline = ["{name}"]')
        config += f'\n[components.{name}]\nfactory = "{name}"\n'
        (tmp_path / "model" / "config.cfg").write_text(config, "utf8")
        with pytest.raises(ValueError, match=rf"model: .*'{name}'\. Write a Python file.*--code"):
            load_pipeline(tmp_path / "model")
        run_code(code)
        assert load_pipeline(tmp_path / "model").pipe_names == [name]

    @pytest.mark.parametrize(
        ("name", "content", "error"),
        [
            ("README.md", "words", r"README\.md is not a Python file: its name must end in \.py"),
            ("code.py", "import btl_none", r"code\.py fails: ModuleNotFoundError: No module named"),
            ("code.py", "open('btl/none')", r"code\.py fails: FileNotFoundError"),
            ("code.py", "def", r"code\.py fails: SyntaxError"),
        ],
    )
    def test_what_is_wrong_with_it(
        self, tmp_path: Path, name: str, content: str, error: str
    ) -> None:
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=error):
            run_code(tmp_path / name)

    def test_it_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no Python file .*code\.py"):
            run_code(tmp_path / "code.py")
