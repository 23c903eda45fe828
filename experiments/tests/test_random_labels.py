"""The study of random labels: what is labeled, what is read, and that it goes on where it was."""

import argparse
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from experiments import random_labels

ROOT = Path(__file__).parents[2]

TEXT = "she took 5 mg of aspirin daily\nand had no fever and no pain\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three documents."""
    nlp = spacy.blank("en")
    path = tmp_path_factory.mktemp("random") / "texts.spacy"
    DocBin(docs=[nlp.make_doc(TEXT * n) for n in (2, 3, 4)]).to_disk(path)
    return path


def halves(data: Path, rate: float, documents: int = 3) -> dict[str, list[spacy.tokens.Doc]]:
    options = argparse.Namespace(data=data, documents=documents, seed=0)
    return random_labels.labeled_halves(spacy.blank("en"), ["M0", "M1"], rate, options)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_words_are_labeled_one_by_one_at_the_rate(data: Path, rate: float) -> None:
    parts = halves(data, rate)
    assert {part: len(docs) for part, docs in parts.items()} == {"trained": 3, "unseen": 3}
    docs = [doc for part in parts.values() for doc in part]
    words = [token for doc in docs for token in doc if not token.is_space]
    labeled = [ent for doc in docs for ent in doc.ents]
    assert all(len(ent) == 1 and not ent.text.isspace() for ent in labeled)
    assert len(labeled) / len(words) == pytest.approx(rate, abs=0.12)
    assert {ent.label_ for ent in labeled} == ({"M0", "M1"} if rate else set())


def test_every_arm_gets_the_same_labels(data: Path) -> None:
    one, other = (halves(data, 0.3)["unseen"] for _ in range(2))
    assert [[(e.start, e.label_) for e in doc.ents] for doc in one] == [
        [(e.start, e.label_) for e in doc.ents] for doc in other
    ]


def test_fewer_documents_than_asked_for(data: Path) -> None:
    with pytest.raises(ValueError, match="holds 3 documents; ask for so many: --documents 3"):
        halves(data, 0.3, documents=4)


def test_a_study_goes_on_where_it_was(
    data: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    trained: list[tuple[str, float]] = []
    plain = random_labels.study

    def study(arm: str, rate: float, options: argparse.Namespace) -> list:
        trained.append((arm, rate))
        return plain(arm, rate, options)

    def run(*options: str) -> list:
        call = [str(data), "--output", str(tmp_path), "--documents", "2", "--epochs", "2"]
        call += ["--encoder", str(tiny_bert), "--types", "2", "--arms", "ATL", "BTL pair"]
        monkeypatch.setattr(sys, "argv", ["random_labels.py", *call, *options])
        random_labels.main()
        return random_labels.read_rates(tmp_path / "rates.json")[1]

    monkeypatch.setattr(random_labels, "study", study)
    rows = run("--rates", "0.5")
    assert [(row["arm"], row["epoch"]) for row in rows] == [
        (arm, epoch) for arm in ("ATL", "BTL pair") for epoch in (1, 2)
    ]
    for row in rows:
        assert row["unseen_true"] == pytest.approx(0.5, abs=0.25)
        for name in ("probability", "argmax", "votes", "majority"):
            assert 0 <= row[f"unseen_{name}"] <= 1
    assert run("--rates", "0.5", "0.1")[:4] == rows
    assert trained == [("ATL", 0.5), ("BTL pair", 0.5), ("ATL", 0.1), ("BTL pair", 0.1)]
    assert {path.name for path in tmp_path.iterdir()} == {"rates.json", "rates.md", "rates.png"}
    lines = (tmp_path / "rates.md").read_text(encoding="utf8").splitlines()
    assert len(lines) == 2 + 2 * 2 * 2
    with pytest.raises(SystemExit):
        run("--seed", "1")
