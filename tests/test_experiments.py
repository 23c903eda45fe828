"""The experiments: plan, splits, runs that resume, tables, and Hugging Face's baseline."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "benchmarks" / "experiments"
sys.path.insert(0, str(SCRIPTS))

import corpora  # noqa: E402
from huggingface_ner import to_entities  # noqa: E402
from plan import chosen, read_plan  # noqa: E402
from record import read_counts  # noqa: E402

HASH = {"@architectures": "spacy-btl.HashEmbedTransformer.v1"}

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


def call(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of corpora: twenty documents of the bundled sample."""
    source = tmp_path_factory.mktemp("corpora")
    (source / "sample").mkdir()
    for path in (ROOT / "assets" / "sample").glob("case-[01]?.*"):
        shutil.copy(path, source / "sample")
    for suffix in ("ann", "txt"):
        shutil.copy(ROOT / f"assets/sample/case-20.{suffix}", source / "sample")
    return source


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """A plan of three short trainings, two of them done."""
    folder = tmp_path_factory.mktemp("experiments")
    srsly.write_yaml(folder / "plan.yml", PLAN)
    (folder / "corpora").symlink_to(source)
    done = call("run.py", *options(folder), "--only", "atl|btl/0")
    assert done.returncode == 0, done.stderr
    return folder


def options(folder: Path) -> list[str]:
    return [
        *("--plan", str(folder / "plan.yml"), "--corpora", str(folder / "corpora")),
        *("--results", str(folder / "runs"), "--work", str(folder / "work")),
    ]


def test_the_plan_of_the_project_can_be_read() -> None:
    plan = read_plan(SCRIPTS / "plan.yml")
    assert len({run.key for run in plan.runs}) == len(plan.runs) > 0
    for arm in plan.arms.values():
        place = SCRIPTS / arm["script"] if "script" in arm else ROOT / arm["config"]
        assert place.is_file()


def test_a_run_of_an_unknown_arm_is_refused(tmp_path: Path) -> None:
    wrong = {**PLAN, "runs": [{**PLAN["runs"][0], "arms": ["atl", "crf"]}]}
    srsly.write_yaml(tmp_path / "plan.yml", wrong)
    with pytest.raises(ValueError, match="names crf, which is not among the arms"):
        read_plan(tmp_path / "plan.yml")


def test_runs_are_chosen_by_their_key(folder: Path) -> None:
    runs = read_plan(folder / "plan.yml").runs
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


def read(source: Path, work: Path, seed: int, part: str) -> list:
    return load(corpora.prepare(PLAN["corpora"]["sample"], source, work, seed) / f"{part}.spacy")


def load(path: Path) -> list:
    import spacy
    from spacy.tokens import DocBin

    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_a_record_says_all_of_its_run(folder: Path) -> None:
    record = srsly.read_json(folder / "runs/sample/hash/btl/0.json")
    assert record["run"]["title"] == "BTL"
    assert record["updates"] == 5  # spaCy stops after the evaluation at the last step
    assert [row["updates"] for row in record["on_dev_while_training"]] == [1, 3, 5]
    assert "seed = 0" in record["config"]
    assert record["read"]["neighbors"]["n_neighbors"] == 17
    assert set(record["scores"]["test"]) == {"model", "neighbors", "mixed"}
    counts = read_counts(folder / "runs/sample/hash/btl/0.json", "test")
    assert len(counts["model"]) == record["documents"]["test"] == 4


def test_only_what_is_missing_is_run(folder: Path) -> None:
    before = (folder / "runs/sample/hash/atl/0.json").stat().st_mtime_ns
    listed = call("run.py", *options(folder), "--list").stdout.splitlines()
    assert [line.split() for line in listed if line.startswith("missing")] == [
        ["missing", "sample/hash/btl/1"]
    ]
    assert call("run.py", *options(folder)).returncode == 0
    assert (folder / "runs/sample/hash/btl/1.json").is_file()
    assert (folder / "runs/sample/hash/atl/0.json").stat().st_mtime_ns == before


def test_a_run_that_fails_is_told(folder: Path, tmp_path: Path) -> None:
    arms = {"odd": {"title": "odd", "config": "configs/atl.cfg", "set": {"training.dropout": "x"}}}
    runs = [{**PLAN["runs"][0], "arms": ["odd"], "seeds": [0]}]
    srsly.write_yaml(tmp_path / "plan.yml", {**PLAN, "arms": arms, "runs": runs})
    (tmp_path / "corpora").symlink_to(folder / "corpora")
    result = call("run.py", *options(tmp_path))
    assert result.returncode == 1
    assert "failed: sample/hash/odd/0" in result.stderr
    assert not list((tmp_path / "runs").rglob("*.json"))


def test_the_tables_compare_with_the_first_arm(folder: Path) -> None:
    result = call(
        "tables.py",
        *options(folder)[:2],
        "--results",
        str(folder / "runs"),
        "--output",
        str(folder),
    )
    assert result.returncode == 0, result.stderr
    page = (folder / "sample-hash.md").read_text(encoding="utf8")
    rows = [line for line in page.splitlines() if line.startswith(("| ATL", "| BTL", "| **"))]
    assert sum("reference" in row for row in rows) == 3
    assert "Token unweighted accuracy" in page


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


def test_hugging_face_trains_and_predicts(tmp_path: Path, tiny_bert: Path, source: Path) -> None:
    corpus = corpora.prepare(PLAN["corpora"]["sample"], source, tmp_path / "corpus", 0)
    work = tmp_path / "work"
    work.mkdir()
    result = call(
        "huggingface_ner.py",
        str(corpus),
        str(work),
        f"--encoder={tiny_bert}",
        "--updates=3",
        "--evaluate-every=2",
        "--window=32",
    )
    assert result.returncode == 0, result.stderr
    log = [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]
    assert [row["updates"] for row in log] == [2, 3]
    found = srsly.read_json(work / "predictions.json")
    assert len(found["test"]["model"]) == 4
