"""The experiments: plan, splits, runs that resume, tables, curves, and the peers."""

import argparse
import copy
import json
import random
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import spacy
import srsly
import torch
from filelock import FileLock, Timeout
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy import util
from spacy.tokens import Doc, DocBin
from transformers import AutoModel, AutoTokenizer

import experiments.run
from experiments import corpora, curves, peers, systems, tables, take_encoder
from experiments.huggingface_ner import first_pieces, to_entities
from experiments.plan import Plan, Run, chosen, read_plan
from experiments.store import Store
from experiments.subtypes import endings, make_types
from spacy_btl.packaging.saving import save_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.scoring.scorer import gold_entities
from tests.helpers.sentences import entities, make_examples

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "experiments"

HASH = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 96,
    "depth": 4,
    "embed_size": 2000,
    "window_size": 1,
    "maxout_pieces": 3,
    "subword_features": True,
    "pretrained_vectors": None,
}

PLAN = {
    "corpora": {"sample": {"folder": "sample"}},
    "encoders": {
        "hash": {"title": "hash embeddings", "with": {"encoder": HASH, "updates": 4, "every": 2}}
    },
    "kinds": {
        "ours": {
            "names": {
                "encoder": "components.btl_knn_ner.model.tok2vec",
                "updates": "training.max_steps",
                "every": "training.eval_frequency",
            }
        }
    },
    "arms": {
        "atl": {"title": "ATL", "config": "configs/atl.cfg"},
        "btl": {"title": "BTL", "config": "configs/btl.cfg"},
    },
    "runs": [
        {"corpora": ["sample"], "encoders": ["hash"], "seeds": [0, 1], "arms": ["atl", "btl"]}
    ],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of corpora: twenty documents of the bundled sample."""
    source = tmp_path_factory.mktemp("corpora")
    (source / "sample").mkdir()
    for path in (ROOT / "assets" / "sample").glob("case-[01]?.*"):
        shutil.copy(path, source / "sample")
    for suffix in ("ann", "txt"):
        shutil.copy(ROOT / f"assets/sample/case-20.{suffix}", source / "sample")
    return source


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """Return a plan of four short trainings, one of them done, in a process of its own."""
    folder = tmp_path_factory.mktemp("experiments")
    prepare(folder, source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        assert experiments.run.main([*options(folder), "--only", "btl/0"]) == 0
    return folder


def prepare(folder: Path, source: Path, **changes: Any) -> None:
    """Write a plan, and put the corpora beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    srsly.write_yaml(folder / "plan.yml", {**PLAN, **changes})
    (folder / "corpora").symlink_to(source)


def options(folder: Path) -> list[str]:
    return [
        *("--plan", str(folder / "plan.yml"), "--corpora", str(folder / "corpora")),
        *("--results", str(folder / "runs"), "--work", str(folder / "work")),
    ]


def summary_of(folder: Path, run: Run) -> dict:
    summary = Store(folder / "runs").summary(run)
    assert summary is not None
    return summary


@pytest.mark.parametrize("name", ["plan.yml", "joint.yml", "quality.yml"])
def test_the_plans_of_the_project_can_be_read(name: str) -> None:
    plan = read_plan(SCRIPTS / name)
    assert len({run.key for run in plan.runs}) == len(plan.runs) > 0
    for arm in plan.arms.values():
        if "members" in arm:
            continue
        place = SCRIPTS / arm["script"] if "script" in arm else ROOT / arm["config"]
        assert place.is_file()


def test_a_run_of_an_unknown_arm_is_refused(tmp_path: Path) -> None:
    wrong = {**PLAN, "runs": [{**PLAN["runs"][0], "arms": ["atl", "crf"]}]}
    srsly.write_yaml(tmp_path / "plan.yml", wrong)
    with pytest.raises(ValueError, match="names crf, which is not among the arms"):
        read_plan(tmp_path / "plan.yml")


def test_an_arm_with_unknown_sources_is_refused(tmp_path: Path) -> None:
    arms = {"both": {**PLAN["arms"]["btl"], "sources": ["phee"]}}
    wrong = {**PLAN, "arms": arms, "runs": [{**PLAN["runs"][0], "arms": ["both"]}]}
    srsly.write_yaml(tmp_path / "plan.yml", wrong)
    with pytest.raises(ValueError, match=r"arm both names sources that are not there: .*phee"):
        read_plan(tmp_path / "plan.yml")


@pytest.mark.parametrize(
    ("arm", "updates", "corpora"),
    [
        ({}, [10], [None]),
        ({"sources": ["a"]}, [10], ["target a"]),
        ({"sources": ["a"], "first_updates": 6}, [6, 4], ["target a", None]),
        ({"sources": ["a"], "first_updates": 6, "with_target": False}, [6, 4], ["a", None]),
    ],
)
def test_the_stages_of_an_arm_have_all_its_updates_together(
    tmp_path: Path, arm: dict[str, Any], updates: list[int], corpora: list[str | None]
) -> None:
    settings = {"training.max_steps": 10, "training.eval_frequency": 5}
    arm = {"config": "configs/btl.cfg", **arm}
    sources = {name: tmp_path / name for name in arm.get("sources", [])}
    found = systems.stages(arm, settings, tmp_path / "corpus", 0, tmp_path / "work", sources)
    assert [config["training"]["max_steps"] for config, _ in found] == updates
    paths = [config["corpora"]["train"].get("paths") for config, _ in found]
    assert [each and " ".join(each) for each in paths] == corpora
    assert found[-1][1] == tmp_path / "work"
    starts = [config["initialize"]["components"] for config, _ in found]
    assert starts[0] == {}
    for begun, (_, folder) in zip(starts[1:], found[:-1], strict=True):
        start = begun["btl_knn_ner"]["start_from"]
        assert start["path"] == str(folder / "model-last")


def test_an_arm_with_dev_trains_on_both_parts(tmp_path: Path, source: Path) -> None:
    corpus = corpora.prepare(PLAN["corpora"]["sample"], source, tmp_path, 0)
    arm = {"config": "configs/btl.cfg", "with_dev": True}
    settings = {"training.max_steps": 10, "training.eval_frequency": 5}
    ((config, folder),) = systems.stages(arm, settings, corpus, 0, tmp_path / "work", {})
    assert folder == tmp_path / "work"
    assert config["training"]["eval_frequency"] == 10  # no earlier checkpoint can be chosen
    seen = [corpora.name_of(doc) for doc in load(Path(config["paths"]["train"]))]
    parts = [corpora.name_of(doc) for n in ("train", "dev") for doc in load(corpus / f"{n}.spacy")]
    assert seen == parts
    assert len(seen) == 16


SHARED = {
    "config": "configs/btl.cfg",
    "sources": ["a"],
    "with_target": False,
    "shared_first": True,
    "first_updates": 6,
}


@pytest.mark.parametrize(
    ("log", "first_updates", "is_trained"),
    [
        (None, 6, False),
        ([], 6, False),
        ([1], 6, False),  # spaCy saves a pipeline before the first update as well
        ([1, 7], 6, True),
        ([1, 7], 8, False),  # another plan
    ],
)
def test_a_first_stage_of_all_seeds_is_trained_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: list[int] | None,
    first_updates: int,
    is_trained: bool,
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command[4]))
    settings = {"training.max_steps": 10, "training.eval_frequency": 5}

    def train(seed: int, arm: dict[str, Any]) -> Path:
        work = tmp_path / "corpus" / "encoder" / "arm" / str(seed)
        work.mkdir(parents=True)
        corpus = tmp_path / f"corpus-{seed}"
        systems.train(arm, settings, corpus, seed, work, "python", {"a": tmp_path / "a"})
        return work / "config.cfg"

    second = train(0, SHARED)
    first = tmp_path / "first" / "arm" / "config.cfg"
    assert ran == [str(first), str(second)]
    assert util.load_config(first)["system"]["seed"] == 0
    assert util.load_config(second)["training"]["max_steps"] == 10
    if log is not None:
        srsly.write_jsonl(first.with_name("log.jsonl"), [{"updates": n} for n in log])
    second = train(1, {**SHARED, "first_updates": first_updates})
    assert ran[2:] == ([] if is_trained else [str(first)]) + [str(second)]


def test_an_ensemble_is_of_the_members_with_its_seed(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    dev = tmp_path / "dev.spacy"
    DocBin(docs=[each.reference for each in examples], store_user_data=True).to_disk(dev)
    nlp.config["paths"]["dev"] = str(dev)
    for member in ("one", "two"):
        save_pipeline(nlp, tmp_path / member / "3" / "model-best")
        rows = [{"updates": 1, "seconds": 0.5}, {"updates": 21, "seconds": 2.0}]
        srsly.write_jsonl(tmp_path / member / "3" / "log.jsonl", rows)
    work = tmp_path / "both" / "3"
    work.mkdir(parents=True)
    systems.train({"members": ["one", "two"]}, {}, tmp_path, 3, work)
    (row,) = srsly.read_jsonl(work / "log.jsonl")
    assert (row["updates"], row["seconds"]) == (42, 4.0)
    both = systems.load(work)
    texts = [each.text for each in examples]
    assert [entities(both(text)) for text in texts] == [entities(nlp(text)) for text in texts]
    assert util.load_config(work / "config.cfg")["nlp"]["pipeline"] == ["btl_knn_ner"]
    with pytest.raises(ValueError, match=r"three.* has no trained pipeline"):
        systems.train({"members": ["one", "three"]}, {}, tmp_path, 3, work)


def test_a_shared_first_stage_that_reads_the_target_is_refused(tmp_path: Path) -> None:
    arms = {"both": {**PLAN["arms"]["btl"], "shared_first": True}}
    wrong = {**PLAN, "arms": arms, "runs": [{**PLAN["runs"][0], "arms": ["both"]}]}
    srsly.write_yaml(tmp_path / "plan.yml", wrong)
    with pytest.raises(ValueError, match="a shared first stage cannot read the target"):
        read_plan(tmp_path / "plan.yml")


@pytest.mark.parametrize(
    ("arm", "commands"),
    [
        (
            {"script": "peer.py"},
            [["-m", "experiments.peer", "corpus", "WORK", "--seed=3", "--a-b=1"]],
        ),
        ({"config": "configs/btl.cfg"}, [["-m", "spacy", "train", "WORK/config.cfg"]]),
        (
            {"config": "configs/btl.cfg", "first_updates": 1},
            [["-m", "spacy", "train", f"WORK{part}/config.cfg"] for part in ("/first", "")],
        ),
    ],
)
def test_each_kind_of_arm_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arm: dict[str, Any], commands: list[list[str]]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    settings = {"a_b": 1} if "script" in arm else {"training.max_steps": 4}
    sources = {"a": tmp_path / "a"} if "first_updates" in arm else None
    systems.train(arm, settings, Path("corpus"), 3, tmp_path, "python", sources)
    expected = [[each.replace("WORK", str(tmp_path)) for each in command] for command in commands]
    assert [command[0] for command in ran] == ["python"] * len(expected)
    assert [command[1 : 1 + len(e)] for command, e in zip(ran, expected, strict=True)] == expected


def test_runs_are_chosen_by_their_key(tmp_path: Path) -> None:
    srsly.write_yaml(tmp_path / "plan.yml", PLAN)
    runs = read_plan(tmp_path / "plan.yml").runs
    assert [run.key for run in chosen(runs, "btl/")] == ["sample/hash/btl/0", "sample/hash/btl/1"]


def test_five_seeds_test_on_every_document_once(tmp_path: Path, source: Path) -> None:
    seen: list[str] = []
    for seed in range(5):
        parts = {
            part: {doc.user_data["brat"]["name"] for doc in read(source, tmp_path, seed, part)}
            for part in ("train", "dev", "test")
        }
        assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 20
        seen += parts["test"]
    assert len(seen) == len(set(seen)) == 20


def test_documents_that_belong_together_stay_in_one_part(tmp_path: Path, source: Path) -> None:
    settings = {"folder": "sample", "group": "case-[01]"}
    split = corpora.prepare(settings, source, tmp_path, 0)
    heads = [
        {doc.user_data["brat"]["name"][:6] for doc in load(split / f"{part}.spacy")}
        for part in ("train", "dev", "test")
    ]
    assert sum(map(len, heads)) == len(set.union(*heads)) == 3  # case-0, case-1, case-20


@pytest.mark.parametrize("settings", [{}, {"group": "^.[0-9]"}, {"duplicates": "anywhere"}])
def test_copies_of_a_text_stay_in_one_part(tmp_path: Path, settings: dict[str, str]) -> None:
    for i in range(20):
        for who in "ab":
            path = tmp_path / "brat" / f"{who}{i:02}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(" ".join(f"w{i}x{j}" for j in range(12)))
            path.with_suffix(".ann").write_text("")
    split = corpora.prepare({"folder": "brat", **settings}, tmp_path, tmp_path / "work", 0)
    texts = [
        {doc.text for doc in load(split / f"{part}.spacy")} for part in ("train", "dev", "test")
    ]
    apart = sum(map(len, texts)) > len(set.union(*texts)) == 20
    assert apart == ("duplicates" in settings)


def read(source: Path, work: Path, seed: int, part: str) -> list:
    return load(corpora.prepare(PLAN["corpora"]["sample"], source, work, seed) / f"{part}.spacy")


def load(path: Path) -> list:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_few_training_documents_are_among_more_and_the_rest_stays(
    tmp_path: Path, source: Path
) -> None:
    names = {}
    for n in (2, 5, None):
        settings = {"folder": "sample", **({"train_documents": n} if n else {})}
        split = corpora.prepare(settings, source, tmp_path / str(n), 0)
        for part in ("train", "dev", "test"):
            names[n, part] = {corpora.name_of(doc) for doc in load(split / f"{part}.spacy")}
    assert names[2, "train"] < names[5, "train"] < names[None, "train"]
    assert [len(names[n, "train"]) for n in (2, 5, None)] == [2, 5, 14]
    for part in ("dev", "test"):
        assert names[2, part] == names[5, part] == names[None, part]


def test_more_training_documents_than_there_are_is_an_error(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ValueError, match="train_documents: 15 are asked for, and 14 are there"):
        corpora.prepare({"folder": "sample", "train_documents": 15}, source, tmp_path, 0)


@pytest.mark.parametrize("n_types", [3, 40])
def test_a_corpus_gets_as_many_types_as_asked_for(
    tmp_path: Path, source: Path, n_types: int
) -> None:
    plain = corpora.prepare(PLAN["corpora"]["sample"], source, tmp_path / "plain", 0)
    settings = {"folder": "sample", "n_types": n_types}
    varied = corpora.prepare(settings, source, tmp_path / "varied", 0)
    found: dict[str, set[tuple[str, str]]] = {}
    for part in ("train", "dev", "test"):
        for old, new in zip(
            load(plain / f"{part}.spacy"), load(varied / f"{part}.spacy"), strict=True
        ):
            assert new.text == old.text
            assert [bounds for _, bounds in gold_entities(new)] == [
                bounds for _, bounds in gold_entities(old)
            ]
            ids = {span.id_: span.label_ for span in new.spans["brat"]}
            before, after = endings(old), endings(new)
            assert ids == {record: after[record][0] for record in ids}
            assert [(e.start, e.end, ids[e.id_]) for e in old.ents] == [
                (e.start, e.end, e.label_) for e in new.ents
            ]
            for record, (label, _) in after.items():
                found.setdefault(label, set()).add(before[record])
    assert len(found) == n_types
    assert sum(map(len, found.values())) == len(set.union(*found.values()))  # by ending alone


A, B, C = ("A", "x"), ("B", "x"), ("C", "x")


@pytest.mark.parametrize(
    ("counts", "n_types", "expected"),
    [
        ({A: 5, B: 3, C: 1}, 3, {A: "A", B: "B", C: "C"}),
        ({A: 5, B: 3, C: 1}, 2, {A: "A", B: "B+", C: "B+"}),
        ({A: 5, B: 3, C: 3}, 1, {A: "C+", B: "C+", C: "C+"}),
        ({A: 1, ("A", "y"): 1}, 2, {A: "A.1", ("A", "y"): "A.0"}),
        ({A: 9, B: 1, ("B", "y"): 1}, 3, {A: "A", B: "B.1", ("B", "y"): "B.0"}),  # A has one ending
    ],
)
def test_types_are_merged_and_cut(
    counts: dict[tuple[str, str], int], n_types: int, expected: dict[tuple[str, str], str]
) -> None:
    found = make_types(counts, n_types)
    assert len(set(found.values())) == n_types
    assert set(found) == set(expected)
    # Which half is which is up to the hash.
    assert {name.rstrip("01") for name in found.values()} == {
        name.rstrip("01") for name in expected.values()
    }
    for first in counts:
        for second in counts:
            assert (found[first] == found[second]) == (expected[first] == expected[second])


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("ABCD"), st.sampled_from("stuvwxyz")),
        st.integers(1, 50),
        min_size=1,
    ),
    st.data(),
)
def test_fewer_types_are_unions_of_more(
    counts: dict[tuple[str, str], int], data: st.DataObject
) -> None:
    many = data.draw(st.integers(1, len(counts)))
    few = data.draw(st.integers(1, many))
    fine, coarse = make_types(counts, many), make_types(counts, few)
    assert (len(set(fine.values())), len(set(coarse.values()))) == (many, few)
    assert len({(fine[ending], coarse[ending]) for ending in counts}) == many


def test_more_types_than_endings_are_an_error() -> None:
    with pytest.raises(ValueError, match="endings for 2 types, not for 3"):
        make_types({A: 7, ("A", "y"): 1}, 3)


def test_a_record_says_all_of_its_run(folder: Path) -> None:
    run = Run("sample", "hash", "btl", 0)
    record = summary_of(folder, run)
    assert record["run"]["title"] == "BTL"
    assert record["updates"] == 5  # spaCy stops after the evaluation at the last step
    assert [row["updates"] for row in record["on_dev_while_training"]] == [1, 3, 5]
    assert "seed = 0" in record["config"]
    assert record["read"]["neighbors"]["n_neighbors"] == 17
    train = load(folder / "work/corpora/sample/0/train.spacy")
    assert record["training"]["documents"] == len(train) == 14
    assert record["training"]["types"] == len({ent.label_ for doc in train for ent in doc.ents})
    assert 0 < record["training"]["known_endings"] < 1
    assert 100 < record["peak_mib"] < 10_000
    assert set(record["seconds_per_1000_words"]) == {"model", "neighbors"}
    assert min(record["seconds_per_1000_words"].values()) > 0
    assert set(record["scores"]["test"]) == {"argmax", "model", "neighbors", "mixed"}
    counts = Store(folder / "runs").counts(run, "test")
    assert len(counts["model"]) == record["documents"]["test"] == 4


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the keys of the runs that a command begins; none of them is performed."""
    keys: list[str] = []

    def spawn(run: Run, _: argparse.Namespace) -> bool:
        keys.append(run.key)
        return run.arm != "odd"

    monkeypatch.setattr(experiments.run, "spawn", spawn)
    return keys


def test_only_what_is_missing_is_run(
    tmp_path: Path, source: Path, spawned: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path, source)
    plan = read_plan(tmp_path / "plan.yml")
    for run in chosen(plan.runs, "atl|btl/0"):
        Store(tmp_path / "runs").add(run, {"settings": plan.settings(run)}, {})
    assert experiments.run.main([*options(tmp_path), "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "done",
        "done",
        "done",
        "missing",
    ]
    assert experiments.run.main(options(tmp_path)) == 0
    assert spawned == ["sample/hash/btl/1"]
    assert experiments.run.main([*options(tmp_path), "--again", "--only", "atl"]) == 0
    assert spawned[1:] == ["sample/hash/atl/0", "sample/hash/atl/1"]


def test_a_run_whose_settings_changed_is_run_again(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "all")
    plan = copy.deepcopy(PLAN)
    plan["arms"]["btl"]["with"] = {"updates": 2}
    srsly.write_yaml(tmp_path / "all" / "plan.yml", plan)
    assert experiments.run.main([*options(tmp_path / "all"), "--one", "--only", "btl/0"]) == 0
    record = summary_of(tmp_path / "all", Run("sample", "hash", "btl", 0))
    assert [row["updates"] for row in record["on_dev_while_training"]] == [1, 3]


def test_a_run_that_fails_is_told(
    tmp_path: Path, source: Path, spawned: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {**PLAN["arms"], "odd": {"title": "odd", "config": "configs/none.cfg"}}
    runs = [{**PLAN["runs"][0], "arms": ["odd", "btl"], "seeds": [0]}]
    prepare(tmp_path, source, arms=arms, runs=runs)
    assert experiments.run.main(options(tmp_path)) == 1
    assert spawned == ["sample/hash/odd/0", "sample/hash/btl/0"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("failed: sample/hash/odd/0; its output is in ")


def test_a_run_that_fails_is_not_kept(tmp_path: Path, source: Path) -> None:
    odd = {"title": "odd", "config": "configs/atl.cfg", "set": {"training.dropout": "x"}}
    runs = [{**PLAN["runs"][0], "arms": ["odd"], "seeds": [0]}]
    prepare(tmp_path, source, arms={"odd": odd}, runs=runs)
    with pytest.raises(subprocess.CalledProcessError):
        experiments.run.main([*options(tmp_path), "--one"])
    assert "dropout" in next(tmp_path.rglob("output.txt")).read_text(encoding="utf8")
    assert not list((tmp_path / "runs").glob("*.xz"))


def test_a_run_is_not_performed_twice_at_a_time(tmp_path: Path, source: Path) -> None:
    prepare(tmp_path, source)
    lock = tmp_path / "work/sample/hash/atl/0.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(Timeout, match="could not be acquired"):
        experiments.run.main([*options(tmp_path), "--one"])
    assert not list((tmp_path / "runs").glob("*.xz"))


@pytest.fixture
def with_atl(folder: Path, tmp_path: Path) -> Path:
    """Run both arms with one seed, and check that the runs are the same."""
    shutil.copytree(folder / "runs", tmp_path / "runs")
    shutil.copy(folder / "plan.yml", tmp_path)
    store, plan = Store(tmp_path / "runs"), read_plan(tmp_path / "plan.yml")
    btl, atl = (Run("sample", "hash", arm, 0) for arm in ("btl", "atl"))
    summary = {**summary_of(folder, btl), "settings": plan.settings(atl)}
    store.add(atl, summary, {part: store.counts(btl, part) for part in ("dev", "test")})
    return tmp_path


def test_the_tables_compare_with_the_first_arm(with_atl: Path) -> None:
    places = ["--plan", str(with_atl / "plan.yml"), "--results", str(with_atl / "runs")]
    assert tables.main([*places, "--output", str(with_atl)]) == 0
    page = (with_atl / "sample-hash.md").read_text(encoding="utf8")
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
    assert sum(row[1:2] == ["BTL"] and row[6:7] == ["ATL"] for row in rows) == 3  # a table a figure
    assert "Token unweighted accuracy" in page


def test_the_curves_of_a_corpus(with_atl: Path) -> None:
    pytest.importorskip("matplotlib")
    small = {"folder": "sample", "train_documents": 4}
    plan = {**PLAN, "corpora": {**PLAN["corpora"], "small": small}}
    plan["runs"] = [{**PLAN["runs"][0], "corpora": ["sample", "small"]}]
    srsly.write_yaml(with_atl / "plan.yml", plan)
    record = summary_of(with_atl, Run("sample", "hash", "btl", 0))
    record["training"]["documents"] = 4
    record["scores"]["test"]["mixed"]["ents_f"] = 0.125
    Store(with_atl / "runs").add(Run("small", "hash", "btl", 0), record, {})
    places = ["--plan", str(with_atl / "plan.yml"), "--results", str(with_atl / "runs")]
    assert curves.main([*places, "--output", str(with_atl / "out")]) == 0
    assert {path.name for path in (with_atl / "out").iterdir()} == {
        "sample-hash-documents.md",
        "sample-hash-documents.png",
    }
    page = (with_atl / "out/sample-hash-documents.md").read_text(encoding="utf8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    rows = [row for row in rows if row and row[0].isdigit()]
    # The arm ATL has one point, no curve.
    assert [(row[0], row[2]) for row in rows] == [("4", "BTL")] * 4 + [("14", "BTL")] * 4
    assert [row[5] for row in rows if row[:1] + row[3:4] == ["4", "mixed on dev"]] == ["0.125"]
    assert [row[3] for row in rows[:4] if row[-1]] == ["model alone", "17 neighbors"]


def made_up_record(f: float, types: int) -> dict:
    keys = ("ents_f", "ents_macro_f", "token_macro_r")
    return {
        "training": {"documents": 9, "types": types, "known_endings": 0.5},
        "scores": {"test": {"model": dict.fromkeys(keys, f)}},
        "on_dev_while_training": [],
    }


def test_a_curve_takes_the_seeds_that_all_of_its_points_have() -> None:
    corpora_of = {"c": {"folder": "c"}, "c-2": {"folder": "c", "n_types": 2}}
    plan = Plan(corpora_of, {}, {}, {}, [], ("a", "model"), [], [])
    records = {
        Run("c", "e", "a", 0): made_up_record(0.5, 7),
        Run("c", "e", "a", 1): made_up_record(0.9, 7),
        Run("c-2", "e", "a", 0): made_up_record(0.25, 2),
    }
    ((curve, lines),) = curves.curves(plan, records).items()
    assert curve == ("c", "e", "n_types")
    assert [(p["x"], p["ents_f"], p["seeds"]) for p in lines["a", "model"]] == [
        (2, 0.25, 1),
        (7, 0.5, 1),
    ]


@pytest.mark.parametrize(
    ("name", "varied", "expected"),
    [
        ("c", "n_types", "c"),
        ("c-2", "n_types", "c"),
        ("c-2", "train_documents", "c-2"),
        ("alone", "n_types", None),
    ],
)
def test_what_a_corpus_is_a_variation_of(name: str, varied: str, expected: str | None) -> None:
    named = {
        "c": {"folder": "c"},
        "c-2": {"folder": "c", "n_types": 2},
        "alone": {"folder": "d", "n_types": 2},
    }
    assert curves.base_of(named, name, varied) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([], None), ([5.0], None), ([5.0, 25.0], 2.0), ([5.0, 25.0, 35.0, 95.0], 2.0)],
)
def test_an_update_takes_the_median_between_evaluations(
    seconds: list[float], expected: float | None
) -> None:
    rows = [{"updates": 10 * (i + 1), "seconds": each} for i, each in enumerate(seconds)]
    assert curves.seconds_per_update({"on_dev_while_training": rows}) == expected


def test_what_a_script_requires_stands_beside_what_is_installed(tmp_path: Path) -> None:
    assert systems.environment([], tmp_path / "none") == sys.executable
    wheel = tmp_path / "lodger-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("lodger.py", "HERE = True\n")
        info = "lodger-1.0.dist-info"
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lodger\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    python = systems.environment([str(wheel)], tmp_path / "made")
    code = "import lodger, numpy, spacy_btl; print(numpy.__file__)"
    printed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == numpy.__file__
    assert find_spec("lodger") is None
    assert systems.environment([str(wheel)], tmp_path / "made") == python
    assert {path.name for path in tmp_path.iterdir()} == {wheel.name, "made"}


def test_batches_hold_each_document_once_in_a_round() -> None:
    random.seed(0)
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["a"] * n + ["\n"]) for n in (2, 3, 4, 9, 1, 5)]
    seen: list[Doc] = []
    batches = peers.shuffled_batches(docs, 4)
    while len(seen) < 2 * len(docs):
        batch = next(batches)
        assert len(batch) == 1 or sum(len(doc) - 1 for doc in batch) <= 6
        seen += batch
    assert Counter(map(id, seen)) == {id(doc): 2 for doc in docs}
    assert {id(doc) for doc in islice(seen, len(docs))} == set(map(id, docs))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("O O", []),
        ("B-A I-A", [("A", 0, 2)]),
        ("B-A B-A", [("A", 0, 1), ("A", 1, 2)]),
        ("I-A I-A", [("A", 0, 2)]),
        ("B-A I-B", [("A", 0, 1), ("B", 1, 2)]),
        ("B-A O I-A", [("A", 0, 1), ("A", 2, 3)]),
    ],
)
def test_bio_is_read_leniently(labels: str, expected: list[tuple[str, int, int]]) -> None:
    names = labels.split()
    found = to_entities(names, [(i, i + 1) for i in range(len(names))])
    assert found == [(kind, ((start, end),)) for kind, start, end in expected]


def test_first_pieces_of_words_that_begin_in_a_window() -> None:
    """A word cut by the window before has its first piece there."""
    words, starts = [None, 0, 1, 1, 2, None], [0, 7, 0, 2, 0, 0]
    window = SimpleNamespace(word_ids=words, offsets=[(start, start + 2) for start in starts])
    assert list(first_pieces(window)) == [(2, 1), (4, 2)]


@pytest.mark.parametrize(
    ("script", "peer"),
    [
        ("huggingface_ner", "HuggingFace"),
        pytest.param(
            "edsnlp_ner",
            "EdsNlp",
            marks=pytest.mark.skipif(find_spec("edsnlp") is None, reason="needs edsnlp[ml]"),
        ),
    ],
)
def test_a_peer_trains_and_predicts(
    tmp_path: Path,
    tiny_bert: Path,
    source: Path,
    script: str,
    peer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = corpora.prepare(PLAN["corpora"]["sample"], source, tmp_path / "corpus", 0)
    work = tmp_path / "work"
    work.mkdir()
    settings = [f"--encoder={tiny_bert}", "--updates=3", "--evaluate-every=2", "--window=32"]
    monkeypatch.setattr(sys, "argv", [script, str(corpus), str(work), *settings])
    make = getattr(import_module(f"experiments.{script}"), peer)
    peers.main(make, "A peer.")
    log = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    assert [row["updates"] for row in log] == [2, 3]
    found = srsly.read_json(work / "predictions.json")
    assert len(found["test"]["model"]) == 4


def test_an_encoder_is_taken_from_a_trained_pipeline(tmp_path: Path, tiny_bert: Path) -> None:
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy-btl.TransformerModel.v1", "name": str(tiny_bert)}
    head = {"@architectures": "spacy-btl.TokenClassifier.v1", "tok2vec": encoder}
    nlp.add_pipe("btl_knn_ner", config={"model": head})
    optimizer = nlp.initialize(lambda: make_examples(nlp))
    nlp.update(make_examples(nlp), sgd=optimizer)
    nlp.to_disk(tmp_path / "model")
    take_encoder.main([str(tmp_path / "model"), str(tmp_path / "encoder")])
    taken, first = (
        AutoModel.from_pretrained(folder).get_input_embeddings().weight
        for folder in (tmp_path / "encoder", tiny_bert)
    )
    (trained,) = [
        layer.shims[0]._model.get_input_embeddings().weight
        for layer in component_of(nlp).model.walk()
        if layer.name == "btl_transformer"
    ]
    assert torch.equal(taken, trained)
    assert not torch.equal(taken, first)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "encoder")
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(tiny_bert).get_vocab()


def test_spacys_own_recognizer_trains_and_predicts(
    tmp_path: Path, tiny_bert: Path, source: Path
) -> None:
    names = {
        "encoder": "components.transformer.model.name",
        "updates": "training.max_steps",
        "every": "training.eval_frequency",
    }
    arm = {"title": "ner", "kind": "spacy", "config": "experiments/spacy_ner.cfg"}
    budget = {"encoder": str(tiny_bert), "updates": 2, "every": 2}
    plan = {
        "corpora": PLAN["corpora"],
        "encoders": {"tiny": {"title": "tiny", "with": budget}},
        "kinds": {"spacy": {"names": names}},
        "arms": {"spacy-ner": arm},
        "runs": [
            {"corpora": ["sample"], "encoders": ["tiny"], "seeds": [0], "arms": ["spacy-ner"]}
        ],
    }
    prepare(tmp_path, source, **plan)
    assert experiments.run.main([*options(tmp_path), "--one"]) == 0
    run = Run("sample", "tiny", "spacy-ner", 0)
    record = summary_of(tmp_path, run)
    assert record["updates"] == 3
    assert list(record["scores"]["test"]) == ["model"]
    assert len(Store(tmp_path / "runs").counts(run, "test")["model"]) == 4
