"""Commands on what is shipped: what they pass on, print, write and refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import spacy

from spacy_btl.packaging import card
from spacy_btl.pipeline.component import component_of
from tests.cli.conftest import Run
from tests.helpers.files import tree


class TestCard:
    @pytest.mark.parametrize("strings", [0, 1234])
    def test_options_are_passed_on(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, strings: int
    ) -> None:
        passed: dict[str, Any] = {}

        def make_card(model: Path, out_dir: Path, **options: Any) -> dict[str, Any]:
            passed.update(options, model=model, out_dir=out_dir)
            return {"pipeline": {"other_strings": strings}}

        monkeypatch.setattr(card, "make_card", make_card)
        monkeypatch.setattr(card, "not_stated", lambda facts: ["license (--license)"])
        files = {"metrics": "m.json", "account": "a.json", "source": "s.json", "dev": "d.json"}
        files["comparison"] = "c.json"
        texts = {"data-title": "Notes", "data-license": "CC BY", "license": "MIT"}
        texts |= {"encoder-license": "Apache-2.0", "author": "A hospital"}
        texts |= {"name": "notes", "version": "1.0"}
        options = [f"--{name}={value}" for name, value in (files | texts).items()]
        output = run("card", "model", "out", *options)
        paths = {name: Path(value) for name, value in files.items()}
        expected = paths | {name.replace("-", "_"): value for name, value in texts.items()}
        assert passed == {"model": Path("model"), "out_dir": Path("out"), **expected}
        assert ("1,234 strings" in output) == (strings > 0)
        assert "Not stated in the card: license (--license)" in output
        assert "README.md and meta.json in out" in output

    def test_refused(self, run: Run) -> None:
        assert "no-such.json" in run("card", "model", "out", "--metrics", "no-such.json", expect=1)


class TestEnsemble:
    def test_one_pipeline_of_several(self, run: Run, tmp_path: Path) -> None:
        output = run("ensemble", "model", "fitted", "--output", tmp_path / "out")
        assert "an ensemble of 2 pipelines" in output
        assert re.search(r"pipelines, [\d,]+ bytes, .*out", output)
        assert "no neighbors, and scores are not calibrated" in output
        assert len(spacy.load(tmp_path / "out")("She took warfarin").ents) == 1

    def test_nothing_is_replaced_unasked(self, run: Run, stage: Path, tmp_path: Path) -> None:
        run("remove-documents", "fitted", tmp_path / "out", "case-1")
        before = tree(tmp_path)
        command = ("ensemble", "model", "fitted", "--output", tmp_path / "out")
        assert "out is a pipeline already" in run(*command, expect=1)
        assert tree(tmp_path) == before
        run(*command, "--force")
        assert tree(tmp_path) != before

    def test_refused(self, run: Run, tmp_path: Path) -> None:
        output = run("ensemble", "model", "--output", tmp_path / "out", expect=1)
        assert "two pipelines or more, not of 1" in output
        assert not (tmp_path / "out").exists()


class TestDropNeighbors:
    @pytest.mark.parametrize(
        ("options", "warning"),
        [
            ([], "The scores are not calibrated; --dev"),
            (
                ["--dev", "gold.spacy"],
                "The scores stay raw: 6 predicted entities of dev are correct",
            ),
            (["--dev", "dev.spacy"], "on only 1 wrong of 7 predicted entities"),
        ],
    )
    def test_the_model_alone(
        self, run: Run, tmp_path: Path, options: list[str], warning: str
    ) -> None:
        output = run("drop-neighbors", "fitted", tmp_path / "out", *options)
        assert ("1 of 1 settings" in output) == bool(options)
        assert warning in output
        assert "no neighbors" in output
        pipe = component_of(spacy.load(tmp_path / "out"))
        assert (pipe.has_neighbors, pipe.neighbor_weight) == (False, 0.0)
        assert (pipe.calibration is not None) == ("dev.spacy" in options)

    def test_refused(self, run: Run, stage: Path) -> None:
        output = run("drop-neighbors", "fitted", "out", "--dev", "empty.spacy", expect=1)
        assert "no dev documents" in output
        assert not (stage / "out").exists()


class TestRoundWeights:
    def test_refused_without_an_encoder_of_its_own(self, run: Run, stage: Path) -> None:
        output = run("round-weights", "fitted", "out", expect=1)
        assert "no encoder of its own" in output
        assert not (stage / "out").exists()

    def test_number_formats(self, run: Run) -> None:
        assert "float8" in run("round-weights", "fitted", "out", "--to", "float8", expect=2)


class TestSeal:
    def test_sealed_and_checked(self, run: Run, stage: Path, tmp_path: Path) -> None:
        spacy.load(stage / "model").to_disk(tmp_path / "model")
        assert "is not sealed" in run("seal", tmp_path / "model", "--check", expect=1)
        output = run("seal", tmp_path / "model")
        listed = json.loads((tmp_path / "model" / "btl_seal.json").read_text(encoding="utf8"))
        assert f": {len(listed['files'])} files" in output
        assert "all sealed files are as they were" in run("seal", tmp_path / "model", "--check")
        with (tmp_path / "model" / "config.cfg").open("a", encoding="utf8") as file:
            file.write("\n")
        assert "config.cfg" in run("seal", tmp_path / "model", "--check", expect=1)

    def test_no_pipeline(self, run: Run, tmp_path: Path) -> None:
        assert "is not the folder of a pipeline" in run("seal", tmp_path, expect=1)
