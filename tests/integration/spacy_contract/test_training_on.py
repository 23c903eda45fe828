"""Trained pipelines are trained on: from Python, with each of our configs, and with new labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed, load_config
from thinc.api import Optimizer

from spacy_btl.labels.calibration import ScoreCalibration
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.workflow import make_add_labels
from tests.helpers.sentences import LABELS, SENTENCES, entities, make_examples

ROOT = Path(__file__).parents[3]
NAME = "btl_knn_ner"
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]
NEW_TEXT = "He had a mass"


def new_example(nlp: Language) -> Example:
    return Example.from_dict(nlp.make_doc(NEW_TEXT), {"entities": [(9, 13, "Mass")]})


@pytest.fixture
def nlp(trained: bytes) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"neighbors": {"n_neighbors": 1}})
    return nlp.from_bytes(trained)


@pytest.fixture(scope="module", params=["btl", "atl", "paper"])
def saved(
    request: pytest.FixtureRequest, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a pipeline of one of our configs, as ``spacy train`` makes and saves it."""
    folder = tmp_path_factory.mktemp(request.param)
    docs = [example.reference for example in make_examples(spacy.blank("xx"))]
    DocBin(docs=docs).to_disk(folder / "train.spacy")
    config = load_config(
        ROOT / "configs" / f"{request.param}.cfg",
        overrides={
            "paths.train": str(folder / "train.spacy"),
            "paths.dev": str(folder / "train.spacy"),
            "components.btl_knn_ner.model.tok2vec.name": str(tiny_bert),
            "training.max_steps": 150,
        },
    )
    init_nlp(config).to_disk(folder / "model")
    # As pipelines were saved before references were filled in.
    config.to_disk(folder / "model" / "config.cfg")
    return folder / "model"


def resume(nlp: Language) -> Optimizer:
    return nlp.resume_training()


def rehearse(nlp: Language) -> None:
    nlp.rehearse(make_examples(nlp))


def resume_and_rehearse(nlp: Language) -> None:
    nlp.resume_training()
    assert list(nlp.rehearse(make_examples(nlp))) == [NAME]


WAYS: list[Callable[[Language], object]] = [
    resume,
    Language.create_optimizer,
    lambda nlp: nlp.update(make_examples(nlp)),
    lambda nlp: nlp.initialize(lambda: make_examples(nlp)),
    rehearse,
    resume_and_rehearse,
]


class TestOurConfigs:
    @pytest.mark.parametrize("way", WAYS)
    def test_each_way_to_an_optimizer(self, saved: Path, way: Callable[[Language], object]) -> None:
        way(spacy.load(saved))

    def test_from_bytes_and_saved_again(self, saved: Path, tmp_path: Path) -> None:
        nlp = spacy.load(saved)
        again = spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())
        assert again.create_optimizer().learn_rate == nlp.create_optimizer().learn_rate
        nlp.to_disk(tmp_path)
        assert spacy.load(tmp_path).create_optimizer() is not None

    def test_initialize_from_a_config(self, saved: Path) -> None:
        """Without a saved pipeline."""
        nlp = spacy.util.load_model_from_config(load_config(saved / "config.cfg"), auto_fill=True)
        assert nlp.initialize(lambda: make_examples(nlp)) is not None

    def test_predictions_are_those_of_before_after_an_update_of_rate_0(self, saved: Path) -> None:
        nlp = spacy.load(saved)
        optimizer = nlp.resume_training()
        optimizer.learn_rate = 0.0
        docs = [nlp.make_doc(text) for text in TEXTS]
        before = component_of(nlp).token_vectors(docs)[0]
        nlp.update(make_examples(nlp), sgd=optimizer)
        np.testing.assert_array_equal(component_of(nlp).token_vectors(docs)[0], before)

    def test_a_loop_without_an_optimizer_learns(self, saved: Path) -> None:
        """The rate of the schedule moves, though nobody calls step_schedules."""
        nlp = spacy.load(saved)
        losses = [nlp.update(make_examples(nlp))[NAME] for _ in range(60)]
        if "paper" in str(saved):
            assert losses[-1] < losses[0]
        else:
            assert losses[-1] < 0.8 * losses[0]

    def test_in_another_pipeline(self, saved: Path) -> None:
        """``add_pipe(source=...)``; the optimizer is the other pipeline's to give."""
        source = spacy.load(saved)
        nlp = spacy.blank("xx")
        nlp.add_pipe("sentencizer")
        nlp.add_pipe(NAME, source=source)
        nlp.resume_training(sgd=source.create_optimizer())
        losses = [nlp.update(make_examples(nlp))[NAME] for _ in range(30)]
        assert losses[-1] < losses[0]
        assert nlp.create_optimizer() is not None


class TestNewLabel:
    def learn(self, nlp: Language, optimizer: Optimizer) -> None:
        for _ in range(40):
            nlp.update([*make_examples(nlp), new_example(nlp)], sgd=optimizer)

    def check(self, nlp: Language) -> None:
        assert [entities(nlp(text)) for text in TEXTS] == GOLD
        assert entities(nlp(NEW_TEXT)) == [("mass", "Mass")]

    def test_changes_no_prediction(self, nlp: Language) -> None:
        pipe = component_of(nlp)
        docs = [nlp.make_doc(text) for text in [*TEXTS, NEW_TEXT]]
        before = pipe.token_vectors(docs)[0]
        assert (pipe.add_label("Mass"), pipe.add_label("Mass")) == (1, 0)
        assert pipe.labels == (*LABELS, "Mass")
        after = pipe.token_vectors(docs)[0]
        np.testing.assert_array_equal(after[:, : before.shape[1]], before)
        assert after.shape[1] == before.shape[1] + 2
        assert [entities(nlp(text)) for text in TEXTS] == GOLD

    def test_is_learned_and_saved(self, nlp: Language, tmp_path: Path) -> None:
        component_of(nlp).add_label("Mass")
        self.learn(nlp, nlp.resume_training())
        self.check(nlp)
        nlp.to_disk(tmp_path)
        self.check(spacy.load(tmp_path))

    def test_with_the_optimizer_of_before(self, nlp: Language) -> None:
        optimizer = nlp.resume_training()
        nlp.update(make_examples(nlp), sgd=optimizer)
        component_of(nlp).add_label("Mass")
        self.learn(nlp, optimizer)
        self.check(nlp)

    def test_drops_neighbors_and_takes_a_label_that_only_they_knew(self, nlp: Language) -> None:
        pipe = component_of(nlp)
        pipe.fit_neighbors(make_examples(nlp))
        pipe.add_examples([new_example(nlp)])
        assert entities(nlp(NEW_TEXT)) == [("mass", "Mass")]
        with pytest.warns(UserWarning, match="run fit-knn again"):
            assert pipe.add_label("Mass") == 1
        assert (pipe.labels, pipe.label_data) == ((*LABELS, "Mass"), [*LABELS, "Mass"])
        self.learn(nlp, nlp.resume_training())
        self.check(nlp)
        pipe.fit_neighbors([*make_examples(nlp), new_example(nlp)])
        self.check(nlp)

    def test_is_not_rehearsed_away(self, nlp: Language) -> None:
        """The copy that is rehearsed has no opinion on it."""
        optimizer = nlp.resume_training()
        component_of(nlp).add_label("Mass")
        self.learn(nlp, optimizer)
        for _ in range(10):
            nlp.rehearse(make_examples(nlp), sgd=optimizer)
        self.check(nlp)

    @pytest.mark.parametrize(
        "config",
        [
            {"loss": {"@losses": "spacy-btl.AllTokenLabels.v1"}, "class_weights": None},
            {"loss": {"@losses": "spacy-btl.LogitAdjustment.v1"}, "class_weights": None},
            {"loss": {"@losses": "spacy-btl.CrfLoss.v1"}, "class_weights": None},
            {"loss": {"@losses": "spacy-btl.PaperBinaryTokenLabels.v1"}},
            {"loss": {"@losses": "spacy-btl.PaperBinaryTokenLabels.v1", "softmax": "pair"}},
            {"loss": {"@losses": "spacy-btl.BinaryTokenLabels.v1", "tau": 0.5}},
            {"class_weights": {"@misc": "spacy-btl.class_weights.v1", "counted_on": "batch"}},
            {"spans_key": "sc"},
        ],
    )
    def test_with_each_loss_and_reading(self, config: dict[str, Any]) -> None:
        fix_random_seed(0)
        nlp = spacy.blank("xx")
        nlp.add_pipe(NAME, config=config)

        def examples(new: bool) -> list[Example]:
            made = [*make_examples(nlp), *([new_example(nlp)] if new else [])]
            for example in made:
                example.reference.spans["sc"] = list(example.reference.ents)
            return made

        optimizer = nlp.initialize(lambda: examples(False))
        for _ in range(100):  # the literal copies need more than 60 on some processors
            nlp.update(examples(False), sgd=optimizer)
        assert [entities(nlp(text)) for text in TEXTS] == GOLD
        component_of(nlp).add_label("Mass")
        assert [entities(nlp(text)) for text in TEXTS] == GOLD
        for _ in range(60):
            nlp.update(examples(True), sgd=optimizer)
        self.check(nlp)

    def test_by_spacy_train(self, nlp: Language, tmp_path: Path) -> None:
        """``source`` in the config, and the labels by a callback."""
        nlp.to_disk(tmp_path / "model")
        docs = [eg.reference for eg in [*make_examples(nlp), new_example(nlp)]]
        DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
        config = nlp.config.copy()
        config["components"] = {NAME: {"source": str(tmp_path / "model")}}
        config["initialize"]["after_init"] = {
            "@callbacks": "spacy-btl.add_labels.v1",
            "labels": ["Mass", "Dosage"],
        }
        reader = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "train.spacy")}
        config["corpora"] = {"train": reader, "dev": reader}
        config["training"] |= {"max_steps": 60, "eval_frequency": 30}
        config.to_disk(tmp_path / "config.cfg")
        train(tmp_path / "config.cfg", tmp_path / "out")
        self.check(spacy.load(tmp_path / "out" / "model-last"))

    def test_by_a_callback_for_another_component(self, nlp: Language) -> None:
        nlp.add_pipe("sentencizer")
        for name in ("sentencizer", "ner"):
            with pytest.raises(ValueError, match=f'cannot be added to "{name}".* which has'):
                make_add_labels(["Mass"], name)(nlp)
        assert component_of(make_add_labels(["Mass"])(nlp)).labels == (*LABELS, "Mass")


def test_an_update_drops_calibrated_scores(nlp: Language) -> None:
    pipe = component_of(nlp)
    pipe.calibration = ScoreCalibration(0.0, 1.0, 7, 3)
    with pytest.warns(UserWarning, match="calibrated scores .* weights before this update"):
        nlp.update(make_examples(nlp), sgd=nlp.create_optimizer())
    assert pipe.calibration is None
