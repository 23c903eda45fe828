"""An installed package: fast import, types, registered names."""

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import spacy
from spacy.util import registry

ROOT = Path(__file__).parents[2]
# Groups are named for a registry: "spacy_architectures", "thinc_losses".
NAMES = sorted(
    (point.group.split("_", 1)[1], point.name)
    for point in metadata.distribution("spacy-btl").entry_points
    if point.name.startswith("spacy-btl.")
)


def test_import_brings_nothing_heavy() -> None:
    code = "import sys, spacy_btl; print(sorted({'spacy', 'torch', 'numpy'} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


def test_the_component_alone_brings_no_transformers() -> None:
    """spaCy loads the factory in every process; the encoders come when a pipeline asks for one."""
    code = (
        "import sys, spacy_btl.pipeline.component; "
        "heavy = ('spacy_btl.ml.transformer', 'transformers', 'sklearn'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_registered_names_resolve(kind: str, name: str) -> None:
    assert callable(registry.get(kind, name))


def test_factory_is_there_without_an_import() -> None:
    assert spacy.blank("en").add_pipe("btl_knn_ner").name == "btl_knn_ner"


def test_every_registered_name_is_documented() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf8")
    for path in (ROOT / "docs").glob("*.md"):
        table += path.read_text(encoding="utf8")
    missing = [name for _, name in NAMES if f"`{name}`" not in table]
    assert missing == []


def test_the_wheel_contains_all_files_of_the_package(tmp_path: Path) -> None:
    """Other files are included, too: templates, styles and the marker of types."""
    pytest.importorskip("setuptools", minversion="77")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "spacy_btl", tmp_path / "spacy_btl", ignore=ignored)
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    files = {
        path.relative_to(tmp_path).as_posix()
        for path in (tmp_path / "spacy_btl").rglob("*")
        if path.is_file()
    }
    assert sum(name.endswith(".j2") for name in files) > 5
    with zipfile.ZipFile(wheel) as content:
        assert files <= set(content.namelist())
