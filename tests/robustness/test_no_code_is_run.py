"""Nothing that the package reads is run as code: not a file, not an encoder that brings some."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import spacy_btl
from spacy_btl.ml.pretrained import load_encoder

PACKAGE = Path(spacy_btl.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_all_modules_are_looked_at() -> None:
    assert len(MODULES) > 60


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_runs_what_it_reads(path: Path) -> None:
    modules = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
    calls = {"eval", "exec", "compile", "__import__"}
    unpickling = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("pd", "read_pickle")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            assert not modules & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in modules
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in calls
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            assert (owner, node.attr) not in unpickling
            assert "pickle" not in node.attr
        elif isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "trust_remote_code":
                    assert isinstance(value, ast.Constant)
                    assert value.value is False


@pytest.mark.parametrize("which", [0, 1])
def test_code_of_an_encoder_is_refused(tiny_bert: Path, which: int) -> None:
    configs: list[dict[str, Any]] = [{}, {}]
    configs[which] = {"trust_remote_code": True}
    with pytest.raises(ValueError, match="no code that comes with an encoder is run"):
        load_encoder(str(tiny_bert), *configs)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_an_encoder_that_names_code_is_not_asked_about(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """transformers would ask on the terminal; here its own class is taken, and no code is run."""
    ran = tmp_path / "ran"
    for path in tiny_bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    settings = json.loads((tmp_path / file).read_text())
    names = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
    settings["auto_map"] = {**names, "AutoTokenizer": [None, "evil.Evil"]}
    (tmp_path / file).write_text(json.dumps(settings))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    assert load_encoder(str(tmp_path), {}, {}).tokenizer.is_fast
    assert not ran.exists()
