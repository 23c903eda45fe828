"""A training that begins with a trained pipeline: what is taken over, and what is made anew."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import Config

from spacy_btl.joint.start import StartFrom
from spacy_btl.labels.bio import n_columns
from spacy_btl.pipeline.component import BtlKnnNer, component_of
from spacy_btl.training.crf import CrfLoss
from tests.helpers.sentences import LABELS, entities, make_examples

NAME = "btl_knn_ner"
CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 16,
    "depth": 1,
    "embed_size": 100,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
LATER = [("He had a mass of 3 mg", [(9, 13, "Mass"), (17, 21, "Dosage")])]
"""Documents with one type that is known and one that is new."""


def made(encoder: dict[str, Any] = CNN, **settings: Any) -> Language:
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe(NAME, config={"model": model, **settings})
    return nlp


def trained(nlp: Language, folder: Path, updates: int = 3) -> Path:
    """Train a pipeline on all sentences and save it."""
    fix_random_seed(1)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(updates):
        nlp.update(examples, sgd=optimizer)
    component_of(nlp).fit_neighbors(examples)
    folder.mkdir(parents=True)
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(made(), tmp_path_factory.mktemp("start") / "model")


def later(nlp: Language) -> list[Example]:
    return [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in LATER]


def begin(nlp: Language, path: Path | str, **settings: Any) -> BtlKnnNer:
    """Initialize a pipeline as ``spacy train`` does, with the start in its configuration."""
    block = {"@misc": "spacy-btl.StartFrom.v1", "path": str(path), **settings}
    nlp.config["initialize"]["components"][NAME] = {"start_from": block}
    fix_random_seed(2)
    nlp.initialize(lambda: later(nlp))
    return component_of(nlp)


def fresh(nlp: Language, labels: list[str]) -> BtlKnnNer:
    nlp.config["initialize"]["components"][NAME] = {"labels": labels}
    fix_random_seed(2)
    nlp.initialize(lambda: later(nlp))
    return component_of(nlp)


def head(pipe: BtlKnnNer) -> dict[str, Any]:
    """Return weights and bias of O and of each type."""
    output = pipe.model.get_ref("output_layer")
    rows = np.column_stack([output.get_param("W"), output.get_param("b")])
    parts = {"O": rows[:1]}
    for i, label in enumerate(pipe.label_data):
        parts[label] = rows[n_columns(i) : n_columns(i + 1)]
    return parts


def encoder_weights(pipe: BtlKnnNer) -> list[Any]:
    layer = pipe.model.get_ref("tok2vec")
    return [n.get_param(p) for n in layer.walk() for p in n.param_names if n.has_param(p)]


@pytest.mark.parametrize(
    ("unseen", "labels"),
    [("keep", (*LABELS, "Mass")), ("drop", ("Dosage", "Mass"))],
)
def test_the_head_row_by_row(folder: Path, unseen: str, labels: tuple[str, ...]) -> None:
    start, pipe = component_of(spacy.load(folder)), begin(made(), folder, unseen=unseen)
    assert pipe.labels == labels
    theirs, ours, new = head(start), head(pipe), head(fresh(made(), list(labels)))
    for label in ("O", *labels):
        np.testing.assert_array_equal(ours[label], (theirs if label in theirs else new)[label])
    for own, its in zip(encoder_weights(pipe), encoder_weights(start), strict=True):
        np.testing.assert_array_equal(own, its)


def test_everything_else_is_made_anew(folder: Path) -> None:
    start, pipe = component_of(spacy.load(folder)), begin(made(), folder)
    assert start.has_neighbors
    assert not pipe.has_neighbors
    assert pipe.calibration is None
    assert (start.state.updates, pipe.state.updates) == (3, 0)
    n_tokens = len(LATER[0][0].split())
    counts = {"O": n_tokens - 3, "B-Dosage": 1, "I-Dosage": 1, "B-Mass": 1}
    names = ["O", *(f"{p}-{label}" for label in pipe.labels for p in "BI")]
    expected = [1 - counts.get(name, 0) / n_tokens for name in names]
    np.testing.assert_allclose(pipe.loss.class_weights, expected, rtol=1e-6)


@pytest.mark.parametrize("scheme", ["complement", "inverse_frequency", "effective_number", "none"])
def test_weights_and_prior_of_a_type_without_an_example_are_finite(
    folder: Path, scheme: str
) -> None:
    weights = {"@misc": "spacy-btl.class_weights.v1", "scheme": scheme}
    loss = {"@losses": "spacy-btl.BinaryTokenLabels.v1", "tau": 0.5}
    nlp = made(class_weights=weights, loss=loss)
    pipe = begin(nlp, folder)
    assert pipe.loss.class_weights is not None and pipe.loss.log_prior is not None
    assert np.isfinite(pipe.loss.class_weights).all() and (pipe.loss.class_weights > 0).all()
    assert np.isfinite(pipe.loss.log_prior).all()
    examples = later(nlp)
    _, gradient = pipe.get_loss(examples, pipe.model.predict([eg.predicted for eg in examples]))
    i = pipe.labels.index("Medication")
    assert not gradient[0][:, n_columns(i) : n_columns(i + 1)].any()
    assert gradient[0].any()


LOSSES: dict[str, dict[str, Any]] = {
    "BinaryTokenLabels": {},
    "PaperBinaryTokenLabels": {"absent_classes": "keep", "softmax": "pair"},
    "AllTokenLabels": {},
    "LogitAdjustment": {},
    "CrfLoss": {},
    "TypeCrfLoss": {},
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_no_loss_unlearns_the_types_that_are_kept(folder: Path, name: str) -> None:
    """A token outside of all entities says nothing against a type that no document has."""
    loss = {"@losses": f"spacy-btl.{name}.v1", **LOSSES[name]}
    nlp = made(loss=loss, class_weights=None)
    pipe = begin(nlp, folder, unseen="keep")

    def gradient(example: Example, label: str) -> Any:
        """Return a figure of the tokens outside of all entities."""
        _, (found,) = pipe.get_loss([example], pipe.model.predict([example.predicted]))
        outside = [token.i for token in example.reference if not token.ent_type_]
        first = n_columns(pipe.labels.index(label))
        return found[outside, first : first + 2]

    (example,) = later(nlp)  # with Mass and Dosage
    assert (gradient(example, "Mass") > 0).any()
    for label in ("Medication", "Sign_symptom"):
        # On the whole: a CRF sees the neighbors too, such as an entity that goes on.
        assert gradient(example, label).sum() <= 1e-7
        if "Binary" in name:
            assert not gradient(example, label).any()
    example = make_examples(nlp)[3]  # with a Medication, and all of its type
    assert (gradient(example, "Medication") > 0).any()
    assert gradient(example, "Sign_symptom").sum() <= 1e-7


def test_predicts_as_the_start_before_the_first_update(tmp_path: Path) -> None:
    path = trained(made(neighbor_weight=0.0), tmp_path / "model", updates=60)
    nlp, start = made(), spacy.load(path)
    begin(nlp, path, unseen="keep")
    pipe = component_of(nlp)
    for text in ("She took warfarin", "No fever"):
        doc = nlp.make_doc(text)
        ours = pipe.model.predict([doc])[0][:, : n_columns(len(LABELS))]
        theirs = component_of(start).model.predict([start.make_doc(text)])[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert entities(start("No fever")) == [("fever", "Sign_symptom")]


def test_given_labels_are_those_of_the_head(folder: Path) -> None:
    nlp = made()
    pipe = component_of(nlp)
    labels = ["Mass", "Dosage"]
    pipe.initialize(lambda: later(nlp), nlp=nlp, labels=labels, start_from=StartFrom(str(folder)))
    assert pipe.labels == ("Mass", "Dosage")
    np.testing.assert_array_equal(
        head(pipe)["Dosage"], head(component_of(spacy.load(folder)))["Dosage"]
    )


@pytest.mark.parametrize(
    ("corpus", "unseen", "known", "own", "labels", "columns"),
    [
        (None, "keep", ["a:X", "Y"], ["X"], ["a:X", "Y", "X"], [0, 1, 2, 3, 4, -1, -1]),
        ("a", "keep", ["a:X", "b:X", "Y"], ["X"], ["X", "b:X", "Y"], [0, 1, 2, 3, 4, 5, 6]),
        ("a", "drop", ["b:X", "a:X", "Y"], ["X", "Z"], ["X", "Z"], [0, 3, 4, -1, -1]),
        ("a", "drop", ["X", "a:X"], ["X"], ["X"], [0, 3, 4]),
        ("b", "drop", ["X", "a:X"], ["X"], ["X"], [0, 1, 2]),
    ],
)
def test_rows_of_a_corpus(
    folder: Path,
    corpus: str | None,
    unseen: Any,
    known: list[str],
    own: list[str],
    labels: list[str],
    columns: list[int],
) -> None:
    start = StartFrom(str(folder), corpus=corpus, unseen=unseen)
    assert start.labels(known, own) == labels
    assert start.columns(known, labels).tolist() == columns


def test_transitions_of_a_crf(tmp_path: Path) -> None:
    loss = {"@losses": "spacy-btl.CrfLoss.v1"}
    path = trained(made(loss=loss, class_weights=None), tmp_path / "model")
    pipe = begin(made(loss=loss, class_weights=None), path, unseen="drop")
    theirs, ours = component_of(spacy.load(path)).loss, pipe.loss
    assert isinstance(theirs, CrfLoss) and isinstance(ours, CrfLoss)
    assert theirs.transitions is not None and ours.transitions is not None
    assert pipe.labels == ("Dosage", "Mass")  # Dosage is the first type there as well
    np.testing.assert_array_equal(ours.transitions[:3, :3], theirs.transitions[:3, :3])
    assert theirs.transitions[:3, :3].any()
    assert not ours.transitions[3:].any() and not ours.transitions[:, 3:].any()
    from_nothing = begin(made(loss=loss, class_weights=None), trained(made(), tmp_path / "btl"))
    assert isinstance(from_nothing.loss, CrfLoss)
    assert from_nothing.loss.transitions is None


class TestRefused:
    @pytest.mark.parametrize("path", ["", None])
    def test_no_path(self, path: str | None) -> None:
        with pytest.raises(ValueError, match="names no trained pipeline: give the path"):
            StartFrom(path)

    def test_a_path_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"neither the folder .* Train it first"):
            StartFrom(str(tmp_path / "none"))
        with pytest.raises(ValueError, match="Train it first"):
            begin(made(), tmp_path / "none")

    def test_a_setting_out_of_its_range(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="unseen"):
            StartFrom(str(folder), unseen="forget")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("change", "difference"),
        [
            ({"width": 32}, r"is \(100, 16\) there, and \(100, 32\) here"),
            ({"embed_size": 50}, r"hashembed: E is \(100, 16\) there, and \(50, 16\) here"),
            ({"depth": 2}, "parts"),
        ],
    )
    def test_an_encoder_of_another_shape(
        self, folder: Path, change: dict[str, int], difference: str
    ) -> None:
        with pytest.raises(ValueError, match=difference) as raised:
            begin(made({**CNN, **change}), folder)
        assert "a different shape" in str(raised.value)

    def test_a_file_that_has_changed(self, folder: Path, tmp_path: Path) -> None:
        from spacy_btl.packaging.saving import save_pipeline

        save_pipeline(spacy.load(folder), tmp_path / "model")
        with (tmp_path / "model" / NAME / "model").open("ab") as file:
            file.write(b"x")
        with pytest.raises(ValueError, match="was sealed with"):
            begin(made(), tmp_path / "model")


CONFIG = """
[paths]
start = "{path}"
train = null

[nlp]
lang = "en"
pipeline = [{pipeline}]

[components]

[components.btl_knn_ner]
factory = "btl_knn_ner"

[components.btl_knn_ner.model]
@architectures = "spacy-btl.TokenClassifier.v1"

[components.btl_knn_ner.model.tok2vec]
{encoder}

[initialize]

[initialize.components]

[initialize.components.btl_knn_ner]

[initialize.components.btl_knn_ner.start_from]
@misc = "spacy-btl.StartFrom.v1"
path = ${{paths.start}}
"""

TRANSFORMER = """@architectures = "spacy-btl.TransformerModel.v1"
name = "{name}"
window = 32
overlap = 4
precision = "float32"
"""


def from_config(text: str) -> Language:
    nlp = load_model_from_config(Config().from_str(text, interpolate=False), auto_fill=True)
    assert isinstance(nlp, Language)
    return nlp


def transformer(name: str | Path) -> dict[str, Any]:
    return {
        "@architectures": "spacy-btl.TransformerModel.v1",
        "name": str(name),
        "window": 32,
        "overlap": 4,
        "precision": "float32",
    }


def test_a_saved_pipeline_neither_needs_nor_names_its_start(
    tiny_bert: Path, tmp_path: Path
) -> None:
    path = trained(made(transformer(tiny_bert)), tmp_path / "secret-place" / "model", updates=1)
    text = CONFIG.format(
        path=path, pipeline='"btl_knn_ner"', encoder=TRANSFORMER.format(name=tiny_bert)
    )
    nlp = from_config(text)
    optimizer = nlp.initialize(lambda: later(nlp))
    nlp.update(later(nlp), sgd=optimizer)
    assert nlp.config["paths"] == {**nlp.config["paths"], "start": None, "train": None}
    assert nlp.config["initialize"]["components"] == {}
    nlp.to_disk(tmp_path / "model")
    shutil.rmtree(path.parent)
    for file in (tmp_path / "model").rglob("*"):
        assert file.is_dir() or b"secret-place" not in file.read_bytes(), file
    other = spacy.load(tmp_path / "model")
    np.testing.assert_array_equal(
        *(component_of(n).predict([n.make_doc("He had a mass")])[0] for n in (nlp, other))
    )
    nlp.initialize(lambda: later(nlp))  # from nothing, as the configuration now says


def test_the_same_config_trains_without_it() -> None:
    encoder = '@architectures = "spacy.HashEmbedCNN.v2"\nwidth = 16\ndepth = 1\nembed_size = 100\n'
    encoder += "window_size = 1\nmaxout_pieces = 2\nsubword_features = true\n"
    encoder += "pretrained_vectors = null"
    text = CONFIG.format(path="", pipeline='"btl_knn_ner"', encoder=encoder)
    nlp = from_config(text[: text.index("[initialize.components.btl_knn_ner]")])
    nlp.update(later(nlp), sgd=nlp.initialize(lambda: later(nlp)))
    assert component_of(nlp).labels == ("Dosage", "Mass")


class TestTransformer:
    def test_one_of_the_same_name_is_not_looked_up(self, tiny_bert: Path, tmp_path: Path) -> None:
        encoder = tmp_path / "encoder"
        shutil.copytree(tiny_bert, encoder)
        path = trained(made(transformer(encoder)), tmp_path / "model", updates=1)
        shutil.rmtree(encoder)
        nlp = made(transformer(encoder))
        pipe, start = begin(nlp, path), spacy.load(path)
        doc = nlp.make_doc("She took warfarin")
        n = n_columns(len(LABELS))
        np.testing.assert_allclose(
            pipe.model.predict([doc])[0][:, :n],
            component_of(start).model.predict([doc])[0],
            atol=1e-6,
        )

    def test_one_of_another_name_is_compared(self, tiny_bert: Path, tmp_path: Path) -> None:
        from transformers import BertConfig, BertModel

        path = trained(made(transformer(tiny_bert)), tmp_path / "model", updates=1)
        same, other = tmp_path / "same", tmp_path / "other"
        for copy in (same, other):
            shutil.copytree(tiny_bert, copy)
        begin(made(transformer(same)), path)
        config = BertConfig.from_pretrained(tiny_bert)
        config.num_hidden_layers, config.intermediate_size = 1, 48
        BertModel(config).save_pretrained(other)
        with pytest.raises(ValueError, match=r"\(64, 32\) there, and \(48, 32\) here.* more\."):
            begin(made(transformer(other)), path)


class TestSharedEncoder:
    """The encoder is another component's, to which a listener listens."""

    def shared(self, encoder: dict[str, Any] = CNN) -> Language:
        nlp = spacy.blank("xx")
        nlp.add_pipe("tok2vec", config={"model": encoder})
        listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16}
        model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": listener}
        nlp.add_pipe(NAME, config={"model": model})
        return nlp

    def saved(self, folder: Path) -> Path:
        nlp = self.shared()
        fix_random_seed(1)
        examples = make_examples(nlp)
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(3):
            nlp.update(examples, sgd=optimizer)
        nlp.to_disk(folder)
        return folder

    def test_it_is_taken_with_the_head(self, tmp_path: Path) -> None:
        path, nlp = self.saved(tmp_path / "model"), self.shared()
        begin(nlp, path)
        start = spacy.load(path)
        assert (
            nlp.get_pipe("tok2vec").model.to_bytes() == start.get_pipe("tok2vec").model.to_bytes()
        )
        np.testing.assert_array_equal(
            head(component_of(nlp))["Dosage"], head(component_of(start))["Dosage"]
        )
        for doc in (nlp.make_doc("She took warfarin"), nlp.make_doc("")):
            nlp.get_pipe("tok2vec")(doc)
            component_of(nlp).predict([doc])

    def test_from_an_encoder_of_its_own_and_back(self, folder: Path, tmp_path: Path) -> None:
        nlp = self.shared()
        begin(nlp, folder)
        for own, its in zip(
            nlp.get_pipe("tok2vec").model.walk(),
            component_of(spacy.load(folder)).model.get_ref("tok2vec").walk(),
            strict=True,
        ):
            for name in own.param_names:
                if own.has_param(name):
                    np.testing.assert_array_equal(own.get_param(name), its.get_param(name))
        begin(made(), self.saved(tmp_path / "model"))

    @pytest.mark.parametrize("same", [True, False])
    def test_one_that_is_not_trained_must_be_that_of_the_start(
        self, tmp_path: Path, same: bool
    ) -> None:
        path, nlp = self.saved(tmp_path / "model"), self.shared()
        nlp.initialize(lambda: later(nlp))
        if same:
            nlp.get_pipe("tok2vec").from_disk(path / "tok2vec", exclude=["vocab"])
        with nlp.select_pipes(disable=["tok2vec"]):
            if same:
                begin(nlp, path)
            else:
                with pytest.raises(ValueError, match='"tok2vec", whose token vectors it takes'):
                    begin(nlp, path)


class TestCorpora:
    """The meta of a pipeline names the corpora of each stage of its training."""

    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            ([], [], None),
            (["a", "b", "b"], [], [{"a": 1, "b": 2}]),
            ([], ["c"], [{"c": 1}]),
            (["a", "b"], ["a"], [{"a": 1, "b": 1}, {"a": 1}]),
        ],
    )
    def test_of_both_stages(
        self, tmp_path: Path, first: list[str], second: list[str], expected: Any
    ) -> None:
        start = made()
        start.initialize(lambda: of_corpora(start, first))
        start.to_disk(tmp_path / "start")
        nlp = made()
        setting = StartFrom(str(tmp_path / "start"))
        component_of(nlp).initialize(lambda: of_corpora(nlp, second), nlp=nlp, start_from=setting)
        nlp.to_disk(tmp_path / "end")
        assert spacy.load(tmp_path / "end").meta.get("trained_on") == expected

    def test_a_document_that_is_read_twice_counts_once(self) -> None:
        nlp = made()
        examples = of_corpora(nlp, ["a", "b"])
        again = [Example(eg.predicted.copy(), eg.reference) for eg in examples]
        nlp.initialize(lambda: [*examples, *again])
        assert nlp.meta["trained_on"] == [{"a": 1, "b": 1}]


def of_corpora(nlp: Language, names: list[str]) -> list[Example]:
    """Return examples of corpora, the first of all sentences; the others name none."""
    examples = make_examples(nlp)
    for example, name in zip(examples, names, strict=False):
        example.reference.user_data["corpus"] = name
    return examples
