"""spaCy's tests of its own trainable components: first steps, updates, saving, spacy train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_loop
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import SGD, Adam, Config

from spacy_btl.pipeline.component import component_of
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]


def blank() -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    return nlp


@pytest.fixture
def nlp(trained: bytes) -> Language:
    return blank().from_bytes(trained)


def logits(nlp: Language) -> Any:
    return component_of(nlp).token_vectors([nlp.make_doc(text) for text in TEXTS])[0]


def scored(doc: Doc) -> list[tuple[str, str, float]]:
    return [(ent.text, ent.label_, pytest.approx(ent._.btl_score, abs=1e-4)) for ent in doc.ents]


class TestInitialization:
    @pytest.mark.parametrize(
        "get_examples",
        [
            lambda nlp: lambda: None,
            lambda nlp: lambda: [],
            lambda nlp: lambda: make_examples(nlp)[0],
            lambda nlp: lambda: ["text"],
            lambda nlp: make_examples(nlp),
        ],
        ids=["nothing", "no example", "one example", "texts", "no function"],
    )
    def test_examples_of_a_wrong_kind(self, get_examples: Callable[[Language], Any]) -> None:
        nlp = blank()
        with pytest.raises(TypeError, match=r"\[E9\d\d\]"):
            nlp.initialize(get_examples(nlp))

    def test_neither_examples_nor_labels(self) -> None:
        with pytest.raises(ValueError, match='"btl_knn_ner" has no labels'):
            blank().initialize()

    def test_again(self, nlp: Language) -> None:
        """The same labels, weights that start anew, no neighbors of those before."""
        component_of(nlp).fit_neighbors(make_examples(nlp))
        before = logits(nlp)
        nlp.initialize(lambda: make_examples(nlp))
        assert component_of(nlp).labels == LABELS
        assert not component_of(nlp).has_neighbors
        assert np.abs(logits(nlp) - before).max() > 1

    def test_called_before(self) -> None:
        with pytest.raises(ValueError, match=r"\[E109\] Component 'btl_knn_ner'"):
            blank()(TEXTS[0])

    def test_updated_before(self) -> None:
        nlp = blank()
        with pytest.raises(
            ValueError, match=r'"btl_knn_ner" is not initialized: call nlp.initialize'
        ):
            nlp.update(make_examples(nlp))

    def test_the_first_examples_are_empty(self) -> None:
        nlp = blank()
        empty = Example.from_dict(nlp.make_doc(""), {"entities": []})
        examples = [*[empty] * 12, *make_examples(nlp)]
        optimizer = nlp.initialize(lambda: examples)
        assert nlp.update(examples, sgd=optimizer)[NAME] > 0

    def test_nothing_learned_finds_nothing_undecided(self) -> None:
        """Every token has an answer: O, not missing."""
        nlp = blank()
        component_of(nlp).add_label("Age")
        nlp.initialize()
        component_of(nlp).model.get_ref("output_layer").set_param("b", np.array([99, 0, 0], "f"))
        assert [token.ent_iob_ for token in nlp("No fever at all")] == ["O"] * 4


@pytest.mark.parametrize("fitted", [False, True])
def test_pipe_gives_the_scores_of_calling(nlp: Language, fitted: bool) -> None:
    """The result does not depend on batches, nor on texts or documents as input."""
    texts = ["", *TEXTS, "  ", TEXTS[1] + " . " + TEXTS[0], *TEXTS]
    if fitted:
        component_of(nlp).fit_neighbors(make_examples(nlp))
    expected = [scored(nlp(text)) for text in texts]
    for size in (1, 2, 100):
        piped = nlp.pipe(texts, component_cfg={NAME: {"batch_size": size}})
        assert [scored(doc) for doc in piped] == expected
    pairs = list(nlp.pipe([(nlp.make_doc(t), i) for i, t in enumerate(texts)], as_tuples=True))
    assert [(scored(doc), i) for doc, i in pairs] == [(e, i) for i, e in enumerate(expected)]
    assert list(nlp.pipe([])) == []


class TestUpdate:
    def test_losses_add_up(self, nlp: Language) -> None:
        losses: dict[str, float] = {"other": 1.0}
        first = nlp.update(make_examples(nlp), sgd=False, losses=losses)[NAME]
        assert component_of(nlp).update(make_examples(nlp), losses=losses) is losses
        assert losses["other"] == 1
        assert losses[NAME] > first > 0

    def test_of_nothing(self, nlp: Language) -> None:
        before = logits(nlp)
        assert nlp.update([], sgd=nlp.create_optimizer()) == {}
        np.testing.assert_array_equal(logits(nlp), before)

    def test_gradients_add_up(self, trained: bytes) -> None:
        """``accumulate_gradient``: two parts of a batch, and then a single step."""
        changes = []
        for batch in ([0], [1], [0, 1]):
            nlp = blank().from_bytes(trained)
            pipe, before = component_of(nlp), weights_of(nlp)
            for i in batch:
                fix_random_seed(0)  # the encoder drops out
                nlp.update([make_examples(nlp)[i]], sgd=False)
            for ours, theirs in zip(weights_of(nlp), before, strict=True):
                np.testing.assert_array_equal(ours, theirs)
            pipe.finish_update(SGD(1.0, grad_clip=0.0, L2=0.0))
            assert pipe.state.updates == 61
            changes.append([a - b for a, b in zip(weights_of(nlp), before, strict=True)])
        for first, second, both in zip(*changes, strict=True):
            assert np.abs(both).max() > 1e-5
            np.testing.assert_allclose(both, first + second, atol=1e-6)

    def test_averaged_weights(self, nlp: Language) -> None:
        """``use_averages``: seen and saved while they are in use, and not after."""
        optimizer, doc = Adam(0.001, use_averages=True), nlp.make_doc("He took warfarin daily")
        other = Example.from_dict(doc, {"entities": [(8, 16, "Sign_symptom")]})
        for _ in range(5):
            nlp.update([other], sgd=optimizer)
        last = logits(nlp)
        with nlp.use_params(optimizer.averages):
            averaged, saved = logits(nlp), nlp.to_bytes()
        np.testing.assert_array_equal(logits(nlp), last)
        assert np.abs(averaged - last).max() > 1e-3
        np.testing.assert_array_equal(logits(blank().from_bytes(saved)), averaged)

    def test_learns_from_partial_annotation(self) -> None:
        """Only the entities of each sentence, and one word outside, are annotated."""
        nlp = blank()
        examples = make_examples(nlp)
        for example in examples:
            reference = example.reference
            at = [token.i for token in reference if token.i % 3 == 0 and not token.ent_type]
            outside = [reference[i : i + 1] for i in at]
            reference.set_ents(list(reference.ents), outside=outside, default="missing")
        assert sum(token.ent_iob == 0 for eg in examples for token in eg.reference) == 5
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(60):
            nlp.update(examples, sgd=optimizer)
        scores = nlp.evaluate(examples)
        assert (scores["ents_p"], scores["token_micro_f"]) == (1.0, 1.0)


def weights_of(nlp: Language) -> list[Any]:
    """Return some weights of the head, and some of the encoder."""
    model = component_of(nlp).model
    encoder = next(layer for layer in model.get_ref("tok2vec").walk() if layer.name == "maxout")
    return [model.get_ref("output_layer").get_param("W").copy(), encoder.get_param("W").copy()]


class TestSaved:
    @pytest.mark.parametrize("way", ["disk", "bytes"])
    def test_before_initialization(self, tmp_path: Path, way: str) -> None:
        """A loaded pipeline can be initialized and trained."""
        nlp = blank()
        component_of(nlp).add_label("Age")
        again = blank() if way == "bytes" else saved_and_loaded(nlp, tmp_path)
        if way == "bytes":
            again.from_bytes(nlp.to_bytes())
        assert component_of(again).labels == ("Age",)
        labels = ["Age", *LABELS]
        component_of(again).initialize(lambda: make_examples(again), nlp=again, labels=labels)
        assert component_of(again).labels == tuple(labels)
        assert again.update(make_examples(again))[NAME] > 0

    def test_bytes_of_what_was_loaded(self, nlp: Language, tmp_path: Path) -> None:
        component_of(nlp).fit_neighbors(make_examples(nlp))
        data, again = component_of(nlp).to_bytes(), component_of(blank())
        assert again.from_bytes(data).to_bytes() == data
        component_of(nlp).to_disk(tmp_path / "pipe")
        assert component_of(blank()).from_disk(tmp_path / "pipe").to_bytes() == data

    @pytest.mark.parametrize(
        ("exclude", "labels", "updates", "fitted"),
        [
            ([], LABELS, 60, True),
            (["vocab"], LABELS, 60, True),
            (["neighbors"], LABELS, 60, False),
            (["cfg", "model", "neighbors"], (), 0, False),
        ],
    )
    @pytest.mark.parametrize("when", ["saved", "loaded", "both"])
    def test_exclude(
        self,
        nlp: Language,
        tmp_path: Path,
        exclude: list[str],
        labels: tuple[str, ...],
        updates: int,
        fitted: bool,
        when: str,
    ) -> None:
        """From a folder a part that was not saved must be left out when loading too."""
        pipe = component_of(nlp)
        pipe.fit_neighbors(make_examples(nlp))
        first, then = (exclude if when in (w, "both") else [] for w in ("saved", "loaded"))
        loaded = [component_of(blank()).from_bytes(pipe.to_bytes(exclude=first), exclude=then)]
        pipe.to_disk(tmp_path / "pipe", exclude=first)
        if when != "saved":
            loaded.append(component_of(blank()).from_disk(tmp_path / "pipe", exclude=then))
        for each in loaded:
            assert (each.labels, each.state.updates) == (labels, updates)
            assert each.has_neighbors == fitted

    @pytest.mark.parametrize("exclude", [["vocab"], ["strings"], ["tokenizer"], ["meta.json"]])
    def test_without_a_part_of_the_pipeline(
        self, nlp: Language, tmp_path: Path, exclude: list[str]
    ) -> None:
        """Labels are stored in the component, so that none is lost with the strings."""
        component_of(nlp).fit_neighbors(make_examples(nlp))
        nlp.to_disk(tmp_path)
        again = spacy.load(tmp_path, exclude=exclude)
        assert [entities(doc) for doc in again.pipe(TEXTS)] == GOLD

    def test_disabled_and_excluded(self, nlp: Language, tmp_path: Path) -> None:
        nlp.disable_pipe(NAME)
        again = saved_and_loaded(nlp, tmp_path)
        assert (again.pipe_names, again.disabled) == ([], [NAME])
        assert entities(again(TEXTS[0])) == []
        again.enable_pipe(NAME)
        assert entities(again(TEXTS[0])) == GOLD[0]
        assert spacy.load(tmp_path, exclude=[NAME]).component_names == []

    def test_under_another_name(self, nlp: Language, tmp_path: Path) -> None:
        nlp.rename_pipe(NAME, "clinical")
        again = saved_and_loaded(nlp, tmp_path)
        assert component_of(again, "clinical").name == "clinical"
        assert [entities(doc) for doc in again.pipe(TEXTS)] == GOLD
        assert again.update(make_examples(again)).keys() == {"clinical"}


def saved_and_loaded(nlp: Language, folder: Path) -> Language:
    nlp.to_disk(folder)
    return spacy.load(folder)


class TestSpacyTrain:
    """The component in a configuration of others, through spaCy's own training loop."""

    @pytest.fixture
    def config(self, nlp: Language, tmp_path: Path) -> Config:
        """Return a tagger is trained behind a component that is sourced, with neighbors."""
        component_of(nlp).fit_neighbors(make_examples(nlp))
        nlp.to_disk(tmp_path / "model")
        docs = [example.reference for example in make_examples(nlp)]
        for doc in docs:
            for token in doc:
                token.tag_ = "UPPER" if token.is_title else "LOWER"
        DocBin(docs=docs).to_disk(tmp_path / "docs.spacy")
        pipeline = spacy.blank("en")
        pipeline.add_pipe(NAME, source=spacy.load(tmp_path / "model"))
        pipeline.add_pipe("tagger")
        config = Config(pipeline.config)
        config["components"][NAME] = {"source": str(tmp_path / "model")}
        reader = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "docs.spacy")}
        config["corpora"] = {"train": reader, "dev": reader}
        config["training"].update(max_steps=10, eval_frequency=5, patience=0)
        return config

    def train(self, config: Config, output: Path) -> Language:
        output.mkdir()
        train_loop(init_nlp(config), output)
        return spacy.load(output / "model-best")

    @pytest.mark.parametrize("annotating", [[], [NAME]])
    def test_frozen(
        self, nlp: Language, config: Config, tmp_path: Path, annotating: list[str]
    ) -> None:
        """Weights, neighbors and entities stay, and count in the scores."""
        config["training"].update(frozen_components=[NAME], annotating_components=annotating)
        best = self.train(config, tmp_path / "out")
        pipe = component_of(best)
        np.testing.assert_array_equal(logits(best), logits(nlp))
        assert pipe.to_bytes(exclude=["vocab"]) == component_of(nlp).to_bytes(exclude=["vocab"])
        assert pipe.has_neighbors
        assert [entities(doc) for doc in best.pipe(TEXTS)] == GOLD
        performance = best.meta["performance"]
        assert (performance["ents_f"], performance["tag_acc"]) == (1.0, 1.0)

    def test_trained_along(self, nlp: Language, config: Config, tmp_path: Path) -> None:
        """It goes on from its weights, without the neighbors of those before."""
        with pytest.warns(UserWarning, match="run fit-knn again"):
            best = self.train(config, tmp_path / "out")
        pipe = component_of(best)
        assert not pipe.has_neighbors
        assert pipe.state.updates > 60
        assert [entities(doc) for doc in best.pipe(TEXTS)] == GOLD

    def test_frozen_under_another_name(self, config: Config, tmp_path: Path) -> None:
        """``component`` in the configuration names it in the pipeline that it comes from."""
        source = config["components"].pop(NAME)["source"]
        config["components"]["ours"] = {"source": source, "component": NAME}
        config["nlp"]["pipeline"] = ["ours", "tagger"]
        config["training"].update(frozen_components=["ours"])
        best = self.train(config, tmp_path / "out")
        assert component_of(best).name == "ours"
        assert component_of(best).has_neighbors
        assert [entities(doc) for doc in best.pipe(TEXTS)] == GOLD


def test_replace_listeners_from_a_config(tmp_path: Path) -> None:
    """``source`` with ``replace_listeners``: a copy of the encoder comes along."""
    nlp = spacy.blank("en")
    cnn = {"width": 16, "depth": 1, "embed_size": 100, "window_size": 1, "maxout_pieces": 2}
    cnn |= {"subword_features": True, "pretrained_vectors": None}
    nlp.add_pipe("tok2vec", config={"model": {"@architectures": "spacy.HashEmbedCNN.v2", **cnn}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": listener}
    nlp.add_pipe(NAME, config={"model": model, "neighbors": {"n_neighbors": 1}})
    fix_random_seed(0)
    nlp.initialize(lambda: make_examples(nlp))
    pipe = component_of(nlp)
    pipe.fit_neighbors([Example(nlp(eg.text), eg.reference) for eg in make_examples(nlp)])
    nlp.to_disk(tmp_path / "model")
    source = {"source": str(tmp_path / "model"), "component": NAME}
    alone = load_model_from_config(
        {
            "nlp": {"lang": "en", "pipeline": ["ours"]},
            "components": {"ours": {**source, "replace_listeners": ["model.tok2vec"]}},
        },
        auto_fill=True,
    )
    own = alone.config["components"]["ours"]["model"]["tok2vec"]
    assert own["@architectures"] == "spacy.HashEmbedCNN.v2"
    for each in (alone, saved_and_loaded(alone, tmp_path / "alone")):
        assert each.pipe_names == ["ours"]
        assert component_of(each).has_neighbors
        for text in TEXTS:
            assert entities(each(text)) == entities(nlp(text))


class TestErrorHandlerOfOthers:
    @pytest.fixture
    def failing(self, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> Language:
        predict = component_of(nlp).predict

        def refuse(docs: list[Doc]) -> Any:
            if any("bad" in doc.text for doc in docs):
                raise RuntimeError("cannot read bad")
            return predict(docs)

        monkeypatch.setattr(component_of(nlp), "predict", refuse)
        return nlp

    def test_each_text_keeps_its_context(self, failing: Language) -> None:
        """Documents that are left out take no other's place."""
        failing.set_error_handler(lambda *_: None)
        texts = ["bad", TEXTS[0], "bad", TEXTS[1], TEXTS[2], "bad"]
        pairs = list(failing.pipe([(t, i) for i, t in enumerate(texts)], as_tuples=True))
        assert [(entities(doc), i) for doc, i in pairs] == [
            (GOLD[0], 1),
            (GOLD[1], 3),
            (GOLD[2], 4),
        ]

    def test_of_the_component_alone(self, failing: Language) -> None:
        told: list[str] = []
        component_of(failing).set_error_handler(
            lambda name, proc, docs, error: told.extend(doc.text for doc in docs)
        )
        docs = list(failing.pipe([TEXTS[0], "bad", TEXTS[1]]))
        assert [entities(doc) for doc in docs] == GOLD[:2]
        assert told == ["bad"]
