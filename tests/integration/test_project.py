"""project.yml and the Makefile: their commands, and what a variable may contain."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import srsly
import typer
from weasel.util import load_project_config, split_command

import spacy_btl.cli

ROOT = Path(__file__).parents[2]
VALUES = ("my data", "it's", "a & b; c", "(x)", "`x`", "für", "x=y", "*", "~", "#1", "50%", "{a}")
# Values that have to be written in another way, and how.
ESCAPED = {'a "b"': r"a \\\"b\\\"", r"a\b": r"a\\\\b", "end\\": r"end\\\\"}


OTHER_WORKFLOWS = ("convert-sources", "train-joint", "train-target", "train-final", "train-demo")
OTHER_WORKFLOWS += ("train-members", "make-ensemble")


def test_project_names_commands_that_exist() -> None:
    project = srsly.read_yaml(ROOT / "project.yml")
    commands = {command["name"]: command for command in project["commands"]}
    assert set(commands) == {name for each in project["workflows"].values() for name in each}
    assert project["workflows"]["all"] == [each for each in commands if each not in OTHER_WORKFLOWS]
    scripts = " ".join(line for command in commands.values() for line in command["script"])
    ours = {command.name for command in spacy_btl.cli.app.registered_commands}
    assert set(re.findall(r"spacy btl ([a-z-]+)", scripts)) <= ours
    assert set(re.findall(r"\$\{vars\.(\w+)\}", scripts)) == set(project["vars"])
    assert all(command["outputs"] for command in commands.values())


@pytest.mark.parametrize("value", [*VALUES, *ESCAPED])
@pytest.mark.parametrize(
    "name",
    [
        "corpus",
        "group",
        "encoder",
        "config",
        "license",
        "data_title",
        "data_license",
        "package_name",
        "sources",
    ],
)
def test_a_variable_is_one_argument_whatever_is_in_it(name: str, value: str) -> None:
    project = load_project_config(ROOT, overrides={f"vars.{name}": ESCAPED.get(value, value)})
    scripts = (line for command in project["commands"] for line in command["script"])
    arguments = [argument for line in scripts for argument in split_command(line)]
    there = srsly.read_yaml(ROOT / "project.yml")["commands"]
    uses = sum(line.count(f"${{vars.{name}}}") for each in there for line in each["script"])
    assert arguments.count(value) == uses > 0


def test_the_language_is_that_of_conversion_training_and_package() -> None:
    project = load_project_config(ROOT, overrides={"vars.lang": "es"})
    commands = {command["name"]: command for command in project["commands"]}
    options = {"convert": "--lang", "convert-sources": "--lang"}
    options |= dict.fromkeys(
        ("train", "train-members", "train-joint", "train-target"), "--nlp.lang"
    )
    for name, option in options.items():
        arguments = split_command(commands[name]["script"][-1])
        assert arguments[arguments.index(option) + 1] == "es"
    assert commands["package"]["outputs"] == ["packages/es_clinical_btl-0.1.0/dist"]


def test_members_of_the_ensemble_are_trained_alike() -> None:
    """They differ from ``train`` in their seed and folder only, and all of them are averaged."""
    project = load_project_config(ROOT, overrides={"vars.seed": "7"})
    commands = {command["name"]: command for command in project["commands"]}
    train = options_of(commands["train"]["script"][-1])
    del train["--paths.log"]
    members = [options_of(line) for line in commands["train-members"]["script"]]
    folders = [f"{member['--output']}/model-best" for member in members]
    assert [member["--system.seed"] for member in members] == ["17", "27", "37"]
    assert folders == commands["train-members"]["outputs"]
    for member in members:
        assert member | {"--output": "training", "--system.seed": "7"} == train
    line = split_command(commands["make-ensemble"]["script"][0])
    assert line[-6:] == [*folders, "--output", "training/model-best", "--force"]


def test_our_commands_take_the_arguments_of_the_project() -> None:
    """Each option exists, and none that is required is missing."""
    group: Any = typer.main.get_command(spacy_btl.cli.app)
    project = load_project_config(ROOT)
    lines = [split_command(line) for each in project["commands"] for line in each["script"]]
    ours = [line[4:] for line in lines if line[1:4] == ["-m", "spacy", "btl"]]
    assert ours
    for name, *arguments in ours:
        command = group.commands[name]
        with command.context_class(command) as context:
            given, rest, _ = command.make_parser(context).parse_args(arguments)
        needed = {each.name for each in command.params if each.required}
        assert (needed - {key for key, value in given.items() if value}, rest) == (set(), []), name


def options_of(line: str) -> dict[str, str]:
    """Return the options of ``python -m spacy train CONFIG``, each with its value."""
    words = split_command(line)[5:]
    return dict(zip(words[::2], words[1::2], strict=True))


def make_all(folder: Path, corpus: str) -> subprocess.CompletedProcess[str]:
    """Run ``make all`` in a folder with a space, with a Python that only notes its arguments."""
    folder = folder / "a project"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, folder / name)
    python = folder / ".venv" / "bin" / "python"
    script = f'#!{shutil.which("sh")}\nprintf "%s\\n" "$@"\n'
    python.write_text(script, encoding="utf8")
    python.chmod(0o755)
    (folder / ".venv" / ".installed").touch()
    command = ["make", "-s", "all", f"CORPUS={corpus}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf8")


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@needs_make
@pytest.mark.parametrize("value", [*VALUES, *ESCAPED])
def test_make_passes_the_corpus_on_unchanged(value: str, tmp_path: Path) -> None:
    arguments = make_all(tmp_path, value).stdout.splitlines()
    assert arguments[arguments.index("--vars.corpus") + 1] == ESCAPED.get(value, value)


@needs_make
@pytest.mark.parametrize("value", ["$HOME", "a$(b)", "${x}", "$$"])
def test_make_refuses_what_a_variable_cannot_hold(value: str, tmp_path: Path) -> None:
    done = make_all(tmp_path, value)
    assert done.returncode != 0
    assert "CORPUS contains a $" in done.stderr
    assert done.stdout == ""


def test_packages_are_built_beside_those_of_before(tmp_path: Path) -> None:
    """In an empty folder, whatever a build that was cut short has left."""
    before, left = tmp_path / "packages" / "before", tmp_path / ".packages" / "en_x" / "neighbors"
    for path in (before, left):
        path.parent.mkdir(parents=True)
        path.write_text("x", encoding="utf8")
    commands = {each["name"]: each for each in srsly.read_yaml(ROOT / "project.yml")["commands"]}
    script = [shlex.split(line) for line in commands["package"]["script"]]
    assert script[1][5] == script[2][7] == ".packages"

    def run(command: list[str]) -> None:
        subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True)

    for _ in range(2):  # and where there is no such folder
        run(script[0])
        assert list((tmp_path / ".packages").iterdir()) == []
        assert before.is_file()
        (tmp_path / ".packages" / "built").write_text("x", encoding="utf8")
        run(script[-1])
        assert [path.name for path in tmp_path.iterdir()] == ["packages"]
        assert [path.name for path in (tmp_path / "packages").iterdir()] == ["built"]
        before = tmp_path / "packages" / "built"
