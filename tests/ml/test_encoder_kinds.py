"""Each kind of encoder trains, is saved, loaded and packaged, alone and shared with others."""

import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.cli.package import package
from spacy.language import Language
from spacy.util import fix_random_seed

from spacy_btl.ml.shared_encoder import encoder_of
from spacy_btl.ml.transformer import build_transformer_model
from spacy_btl.packaging.saving import load_pipeline, save_pipeline
from spacy_btl.pipeline.component import component_of
from tests.helpers.encoder_kinds import save_encoder
from tests.helpers.sentences import SENTENCES, entities, make_examples

KINDS = ("bert", "roberta", "electra", "mpnet", "deberta", "albert", "xlnet", "modernbert")
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]


def made(folder: Path, *, shared: bool) -> Language:
    """Return a pipeline with its own encoder, or with that of another component."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(folder)}
    encoder |= {"window": 32, "overlap": 4, "precision": "float32"}
    if shared:
        nlp.add_pipe("tok2vec", config={"model": encoder})
        encoder = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": model, "neighbor_weight": 0.0})
    return nlp


def trained(folder: Path, *, shared: bool) -> Language:
    nlp = made(folder, shared=shared)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    return nlp


def probabilities(nlp: Language) -> list[Any]:
    """Make examples on the tokens that the other components have read."""
    with nlp.select_pipes(disable=["btl_knn_ner"]):
        docs = list(nlp.pipe([*TEXTS, "", "She took 7 mg of warfarin \n for pain"]))
    return component_of(nlp).predict(docs)


def assert_same(ours: Language, theirs: Language) -> None:
    for one, other in zip(probabilities(ours), probabilities(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the package in this folder, as an installed one would be imported."""
    (source,) = folder.glob("*/*/__init__.py")
    shutil.copy(source.parents[1] / "meta.json", source.parent)  # as its setup.py does
    spec = importlib.util.spec_from_file_location(
        source.parent.name, source, submodule_search_locations=[str(source.parent)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, source.parent.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("kind", KINDS)
def test_trains_saves_loads_and_packages(
    kind: str, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = save_encoder(kind, tmp_path)
    nlp = trained(encoder, shared=shared)
    assert [entities(nlp(text)) for text in TEXTS] == GOLD
    encoder.rename(tmp_path / "gone")  # nothing is looked up from here on
    save_pipeline(nlp, tmp_path / "model")
    loaded = load_pipeline(tmp_path / "model")
    assert_same(nlp, loaded)
    (tmp_path / "packages").mkdir()
    package(
        tmp_path / "model",
        tmp_path / "packages",
        name="kind",
        version="0.0.1",
        create_sdist=False,
        create_wheel=False,
        silent=True,
    )
    assert_same(nlp, imported(tmp_path / "packages", monkeypatch).load())


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_takes_it_over(kind: str, tmp_path: Path) -> None:
    """From one that is the component's own to one that is shared, and from there back."""
    encoder = save_encoder(kind, tmp_path)
    before = made(encoder, shared=False)
    before.initialize(lambda: make_examples(before))
    pipe = component_of(before)
    pipe.model.get_ref("output_layer").get_param("b")[:] = 1.0
    before.to_disk(tmp_path / "start")
    start: dict[str, Any] = {"@misc": "spacy-btl.StartFrom.v1", "path": str(tmp_path / "start")}
    for shared in (True, False):
        nlp = made(encoder, shared=shared)
        nlp.config["initialize"]["components"]["btl_knn_ner"] = {"start_from": start}
        nlp.initialize(lambda nlp=nlp: make_examples(nlp))  # type: ignore[misc]
        assert_same(before, nlp)
        layers = [encoder_of(n, component_of(n).model, "x")[0] for n in (before, nlp)]
        weights = [layer.shims[0]._model.state_dict() for layer in layers]
        assert weights[0].keys() == weights[1].keys()
        nlp.to_disk(tmp_path / f"shared-{shared}")
        start["path"] = str(tmp_path / f"shared-{shared}")


def test_albert_has_one_layer_of_weights(tmp_path: Path) -> None:
    """Its layers share their weights, in memory and on disk."""
    n_weights = {}
    for kind in ("albert", "bert"):
        model = build_transformer_model(str(save_encoder(kind, tmp_path)), overlap=4)
        model.initialize()
        modules = model.shims[0]._model
        n_weights[kind] = sum(p.numel() for n, p in modules.named_parameters() if "layer" in n)
        (tmp_path / kind / "model").write_bytes(model.to_bytes())
        with zipfile.ZipFile(tmp_path / f"{kind}.zip", "w") as file:
            file.write(tmp_path / kind / "model")
    assert n_weights["albert"] < 0.6 * n_weights["bert"]
    sizes = [(tmp_path / f"{kind}.zip").stat().st_size for kind in ("albert", "bert")]
    assert sizes[0] < sizes[1]
