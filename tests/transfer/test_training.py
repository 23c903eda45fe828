import json

import pytest
from spacy.util import load_config
from thinc.util import gpu_is_available

from spacy_btl.transfer.training import DONE, Corpus, Training, component_name, perform, read_config


@pytest.fixture
def training(small_config, corpora):
    return Training(small_config, (corpora[0],), corpora[0], updates=2, seed=0)


@pytest.mark.parametrize(("score", "keep"), [(True, False), (False, True)])
def test_a_training_leaves_what_it_is_asked_for(training, tmp_path, score, keep):
    known = perform(training, tmp_path / "run", score=score, keep=keep)
    assert ("scores" in known) == score
    assert (tmp_path / "run" / "model-best").is_dir() == keep
    assert not (tmp_path / "run" / "model-last").exists()
    assert json.loads((tmp_path / "run" / DONE).read_text()) == known
    if score:
        assert known["scores"].keys() == {"micro", "macro", "types"}
        assert known["scores"]["types"].keys() == {"Dosage", "Medication", "Sign_symptom"}


def test_what_is_done_is_not_trained_again(training, tmp_path, monkeypatch):
    known = perform(training, tmp_path, score=True, keep=False)
    monkeypatch.setattr("spacy_btl.transfer.training._train", None)
    assert perform(training, tmp_path, score=True, keep=False) == known
    with pytest.raises(TypeError):  # a pipeline that is not there would have to be trained
        perform(training, tmp_path, score=True, keep=True)


def test_files_of_something_else_stay(training, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="mine contains other files"):
        perform(training, tmp_path / "mine", score=False, keep=False)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


@pytest.mark.skipif(gpu_is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(training, tmp_path):
    with pytest.raises(ValueError, match="Cannot use GPU"):
        perform(training, tmp_path / "out", score=False, keep=False, use_gpu=0)


def test_the_key_depends_on_all_that_is_trained_with(training, corpora, small_config, tmp_path):
    other = small_config.copy()
    other["training"]["dropout"] = 0.5
    for name in ("start-1", "start-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / DONE).write_text(json.dumps({"key": name}))
    trainings = [
        training,
        Training(other, training.train, training.dev, 2, 0),
        Training(small_config, (corpora[1],), training.dev, 2, 0),
        Training(small_config, tuple(corpora[:2]), training.dev, 2, 0),
        Training(small_config, training.train, training.dev, 3, 0),
        Training(small_config, training.train, training.dev, 2, 1),
        Training(small_config, training.train, training.dev, 2, 0, tmp_path / "start-1"),
        Training(small_config, training.train, training.dev, 2, 0, tmp_path / "start-2"),
        Training(small_config, training.train, training.dev, 2, 0, share=0.5),
    ]
    assert len({each.key() for each in trainings}) == len(trainings)
    assert training.key() == Training(small_config, training.train, training.dev, 2, 0).key()


def test_a_start_is_in_the_configuration(training, small_config, tmp_path):
    begun = Training(small_config, training.train, training.dev, 2, 0, tmp_path)
    block = begun.full_config(tmp_path / "log.jsonl")["initialize"]["components"]["btl_knn_ner"]
    assert block["start_from"]["path"] == str(tmp_path / "model-best")
    assert "btl_knn_ner" not in small_config["initialize"]["components"]


def test_the_readers_of_a_training(corpora, small_config, tmp_path):
    a, b, _ = corpora

    def readers(*train, share=1.0):
        training = Training(small_config, train, a, 2, 0, share=share)
        return training.full_config(tmp_path / "log.jsonl")["corpora"]

    alone, half, both = readers(a), readers(a, share=0.5), readers(a, b)
    assert [alone[part]["path"] for part in ("train", "dev")] == [str(a.train), str(a.dev)]
    assert [each["train"]["limit"] for each in (alone, half)] == [0, 4]
    assert both["train"]["paths"] == {"a": str(a.train), "b": str(b.train)}
    # dev has a label set, so that types of "b" do not count against a checkpoint.
    assert both["dev"] == {**both["train"], "paths": {"a": str(a.dev)}}


@pytest.mark.parametrize("part", ["train", "dev"])
def test_a_missing_part_is_named(corpora, tmp_path, part):
    for name in {"train", "dev"} - {part}:
        (tmp_path / f"{name}.spacy").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=rf"{part}\.spacy is missing: .* convert"):
        Corpus("x", tmp_path).check()


def test_a_configuration_needs_one_component_of_ours(small_config, tmp_path):
    assert component_name(small_config) == "btl_knn_ner"
    with pytest.raises(FileNotFoundError, match=r"the configuration .* does not exist"):
        read_config(tmp_path / "none.cfg")
    other = small_config.copy()
    other["components"]["second"] = other["components"]["btl_knn_ner"]
    other.to_disk(tmp_path / "two.cfg")
    with pytest.raises(ValueError, match="2 components btl_knn_ner"):
        read_config(tmp_path / "two.cfg")
    other = small_config.copy()
    other["corpora"]["dev"] = {"@readers": "spacy-btl.JointCorpus.v1", "paths": {}}
    other.to_disk(tmp_path / "joint.cfg")
    with pytest.raises(ValueError, match=r"corpora\.dev has no path"):
        read_config(tmp_path / "joint.cfg")
    for text, missing in [("", "components"), ("[components]", "corpora")]:
        (tmp_path / "part.cfg").write_text(text)
        with pytest.raises(ValueError, match=rf"not a training configuration: .* \[{missing}\]"):
            read_config(tmp_path / "part.cfg")
    small_config.to_disk(tmp_path / "one.cfg")
    assert read_config(tmp_path / "one.cfg") == load_config(tmp_path / "one.cfg", interpolate=False)


@pytest.mark.parametrize("content", [b"hello", b"\x9c\xff"])
def test_a_file_that_is_no_configuration_is_named(tmp_path, content):
    (tmp_path / "other.cfg").write_bytes(content)
    with pytest.raises(ValueError, match=r"other.cfg is not a training configuration"):
        read_config(tmp_path / "other.cfg")
