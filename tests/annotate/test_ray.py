"""A local Ray cluster writes what one process writes."""

from pathlib import Path
from typing import Any

import pytest

from spacy_btl.annotate.run import annotate
from tests.helpers.annotating import by_pipeline, found, train, tree, write


def test_a_local_ray_cluster_gives_what_one_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    pytest.importorskip("ray.data", reason="needs the extra ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    model, source = train(tmp_path / "model"), write(tmp_path / "in.jsonl")
    annotate(model, source, tmp_path / "one", shard_size=4)
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
    )
    try:
        options: dict[str, Any] = {"shard_size": 4, "n_process": 2, "engine": "ray"}
        annotate(model, source, tmp_path / "ray", **options)
    finally:
        ray.shutdown()
    assert tree(tmp_path / "ray") == tree(tmp_path / "one")
    assert found(tmp_path / "ray", "jsonl") == by_pipeline(model)
