"""Two processes write what one writes."""

from pathlib import Path

from spacy_btl.annotate.run import annotate
from tests.helpers.annotating import train, tree, write


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    model, source = train(tmp_path / "model"), write(tmp_path / "in.jsonl")
    annotate(model, source, tmp_path / "one", shard_size=4)
    annotate(model, source, tmp_path / "two", shard_size=4, n_process=2)
    assert tree(tmp_path / "two") == tree(tmp_path / "one")
