"""The model card: its facts, its text, and the page that a push to a hub makes of it."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly

from spacy_btl.packaging.card import card_meta, make_card, not_stated, render_card
from spacy_btl.packaging.card_facts import CardFacts, card_facts
from tests.helpers.files import tree

SCORES = {
    "ents_p": 0.6,
    "ents_r": 0.5,
    "ents_f": 0.5454,
    "ents_macro_f": 0.4,
    "ents_per_type": {
        "Drug": {"p": 0.75, "r": 0.5, "f": 0.6, "support": 12, "predicted": 8},
        "Age": {"p": 0.0, "r": 0.0, "f": 0.0, "support": 3, "predicted": 1},
    },
}
METRICS = {
    "heading": "",
    "scores": SCORES,
    "intervals": {"ents_f": [0.41, 0.63], "ents_macro_f": [0.3, 0.5]},
    "documents": 16,
    "tokens": 8782,
    "gold_entities": 15,
    "predicted_entities": 9,
    "reliability": {
        "calibrated": {
            "entities": 9,
            "error": 0.0512,
            "chance": 0.043,
            "brier": 0.2,
            "bins": [],
            "histogram": [9],
        }
    },
    "updates": {"btl_knn_ner": 2201},
    "train_counts": {"Drug": 100, "Age": 4, "Mass": 1},
    "machine": {"cpus": 2},
    "versions": {"spacy-btl": "0.1.0"},
}
INPUT: dict[str, Any] = {
    "meta": {
        "lang": "en",
        "name": "test_btl",
        "version": "1.2.3",
        "author": "A hospital",
        "license": "MIT",
        "description": "",
    },
    "metrics": METRICS,
    "source": {
        "title": "MACCROBAT2020",
        "license": "CC BY 4.0",
        "citation": "Caufield et al. 2018",
        "doi": "10.1/x",
    },
    "account": {
        "settings": {"overlap": "rarest", "documents": 160},
        "totals": {"input": 20216, "kept": 20000, "moved": 100, "flattened": 116, "dropped": 0},
    },
    "split": {"seed": 7, "parts": {"train": ["a"] * 128, "dev": ["b"] * 16, "test": ["c"] * 16}},
    "trials": [
        {"n_neighbors": 17, "neighbor_weight": 0.0, "micro_f": 0.575, "macro_f": 0.455},
        {"n_neighbors": 5, "neighbor_weight": 0.5, "micro_f": 0.585, "macro_f": 0.465},
    ],
    "labels": ["Age", "Drug", "Mass"],
    "pipeline": {
        "settings": {
            "loss": "spacy-btl.BinaryTokenLabels.v1",
            "model.tok2vec.name": "some-encoder",
        },
        "training": {"optimizer.learn_rate.initial_rate": "0.00035"},
        "vote": {"n_neighbors": 5, "neighbor_weight": 0.5},
        "decision": "neighbor_weight 0.5, n_neighbors 5",
        "calibrated": True,
        "thresholds": {},
        "seed": 3,
        "neighbors": 69798,
        "neighbor_documents": 128,
        "other_strings": 0,
    },
    "size": {"encoder": 1000, "rest": 24},
    "encoder_license": "Apache-2.0",
}


def facts(**changes: Any) -> CardFacts:
    return card_facts(**{**copy.deepcopy(INPUT), **changes})


def card(**changes: Any) -> str:
    return " ".join(render_card(facts(**changes)).split())


@pytest.mark.parametrize(
    "stated",
    [
        'spacy.load("en_test_btl")',
        "not a medical device",
        "Data: MACCROBAT2020 (Caufield et al. 2018, doi:10.1/x)",
        "License of the data: CC BY 4.0",
        "License of this pipeline: MIT",
        "Author: A hospital",
        "Encoder: some-encoder, whose weights are part of this pipeline; their license: Apache-2.0",
        "| calibrated | 9 | 0.051 | 0.043 | 0.200 |",
        "Split by document: 128 train, 16 dev, 16 test (seed 7)",
        "20,216. After conversion: 20,000 kept, 100 moved, 116 flattened, 0 dropped.",
        "Rules of the conversion: overlap rarest",
        "16 documents, 8,782 tokens; entities: 15 gold, 9 predicted",
        "Span scores are strict: label and all bounds",
        "| strict span F1, micro | 0.545 | 0.410 to 0.630 |",
        "The interval of a macro mean over few documents is too short",
        "| Drug | 100 | 12 | 0.750 | 0.500 | 0.600 |",
        "| Mass | 1 | 0 | - | - | - |",
        "their scores mean little: Age.",
        "their quality is unknown: Mass.",
        "No entity of these types was predicted correctly in the test part: Age.",
        "spacy-btl.BinaryTokenLabels.v1",
        "some-encoder",
        "Decoding: neighbor_weight 0.5, n_neighbors 5",
        "2 ways of decoding were compared",
        "has 0.585 and 0.465, the model alone 0.575 and 0.455",
        "calibrated on dev (16 documents)",
        "calibrated probability that an annotator",
        "| optimizer.learn_rate.initial_rate | 0.00035 |",
        "Updates of the weights of btl_knn_ner: 2,201",
        "Seed of the training: 3",
        "stores no text of the training documents",
        "69,798 vectors of training tokens",
        "| all | 1,024 |",
        "| spacy-btl | 0.1.0 |",
    ],
)
def test_known_facts_are_stated(stated: str) -> None:
    assert stated in card()


@pytest.mark.parametrize(
    ("changes", "stated"),
    [
        ({"source": {}}, "Data: not stated"),
        (
            {"meta": {**INPUT["meta"], "trained_on": [{"phee": 1200, "mine": 1}, {"mine": 1}]}},
            "Corpora of training stage 1: phee (1,200 documents), mine (1 document) - Corpora of "
            "training stage 2: mine (1 document) - Annotated",
        ),
        ({"source": {}}, "License of the data: not stated"),
        ({"meta": {**INPUT["meta"], "license": ""}}, "License of this pipeline: not stated"),
        ({"meta": {**INPUT["meta"], "author": ""}}, "Author: not stated"),
        ({"encoder_license": ""}, "part of this pipeline; their license: not stated"),
        ({"split": {}}, "Split: not stated"),
        ({"metrics": {**METRICS, "train_counts": {}}}, "| Drug | - | 12 |"),
        ({"metrics": {**METRICS, "train_counts": {"Age": 4}}}, "| Drug | 0 | 12 |"),
        ({"pipeline": {**INPUT["pipeline"], "neighbors": 0}}, "no vectors of training tokens"),
        (
            {"pipeline": {**INPUT["pipeline"], "other_strings": 1234}},
            "The vocabulary contains 1,234",
        ),
        ({"pipeline": {**INPUT["pipeline"], "calibrated": False}}, "raw, not calibrated"),
        ({"pipeline": {**INPUT["pipeline"], "calibrated": False}}, "which is not calibrated"),
        ({"metrics": {**METRICS, "heading": "bundled sample"}}, "# en_test_btl 1.2.3 **bundled"),
        (
            {"metrics": {**METRICS, "label_sets": {"documents": 3, "passed_over": 4}}},
            "3 of 16 documents have a label set",
        ),
        ({"source": {**INPUT["source"], "title": "<b>[x](y)"}}, "&lt;b>\\[x](y)"),
    ],
)
def test_unknown_facts_are_not_made_up(changes: dict[str, Any], stated: str) -> None:
    assert stated in card(**changes)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, []),
        ({"metrics": {**METRICS, "train_counts": {}}}, ["evaluate --train"]),
        ({"source": {}}, ["--data-title or --source"]),
        ({"account": {}}, ["--account"]),
        ({"meta": {**INPUT["meta"], "license": ""}}, ["--license"]),
        ({"meta": {**INPUT["meta"], "author": ""}}, ["--author"]),
        ({"encoder_license": ""}, ["--encoder-license"]),
        ({"encoder_license": "", "pipeline": {**INPUT["pipeline"], "settings": {}}}, []),
    ],
)
def test_options_that_would_give_unknown_facts(changes: dict[str, Any], missing: list[str]) -> None:
    assert [re.findall(r"\((.*)\)", each)[0] for each in not_stated(facts(**changes))] == missing


@pytest.mark.parametrize(
    ("weight", "n_neighbors", "trials", "stated"),
    [
        (0.5, 5, "same", (0.585, 0.575)),
        (0.0, 65, "same", (0.575, 0.575)),  # the model alone, whatever the votes would be
        (1.0, 5, "same", None),  # not among those tried
        (0.5, 5, [], None),
    ],
)
def test_the_scores_on_dev_are_those_of_the_settings(
    weight: float, n_neighbors: int, trials: Any, stated: tuple[float, float] | None
) -> None:
    vote = {"neighbor_weight": weight, "n_neighbors": n_neighbors}
    changes: dict[str, Any] = {"pipeline": {**INPUT["pipeline"], "vote": vote}}
    if trials != "same":
        changes["trials"] = trials
    dev = facts(**changes)["dev"]
    assert (dev and (dev["micro_f"], dev["alone_micro_f"])) == (stated or {})


def test_meta_has_the_facts_where_spacy_and_the_hub_look_for_them() -> None:
    meta = card_meta(INPUT["meta"], facts())
    assert meta["performance"] == SCORES
    assert meta["license"] == "MIT"
    assert meta["sources"] == [
        {
            "name": "MACCROBAT2020",
            "author": "Caufield et al. 2018",
            "url": "https://doi.org/10.1/x",
            "license": "CC BY 4.0",
        }
    ]
    assert "3 types of entities" in meta["description"]
    assert json.loads(srsly.json_dumps(meta))["model_card"] == facts()
    assert render_card(meta["model_card"]) == render_card(facts())
    assert card_meta({**INPUT["meta"], "description": "mine"}, facts())["description"] == "mine"


def test_the_readme_leaves_the_front_matter_to_the_push() -> None:
    assert render_card(facts()).startswith("# en_test_btl 1.2.3\n")


def test_a_push_makes_a_page_of_it(tmp_path: Path) -> None:
    """With spacy-huggingface-hub's own function, where that is installed."""
    push = pytest.importorskip("spacy_huggingface_hub.push")
    meta = {**card_meta(INPUT["meta"], facts()), "components": ["btl_knn_ner"]}
    srsly.write_json(tmp_path / "meta.json", meta)
    (tmp_path / "README.md").write_text(render_card(facts()), encoding="utf8")
    push._create_model_card("en_test_btl", tmp_path)
    page = (tmp_path / "README.md").read_text(encoding="utf8")
    front, body = re.fullmatch(r"---\n(.*?)---\n(.*)", page, flags=re.DOTALL).groups()
    values = srsly.yaml_loads(front)
    assert body == render_card(facts())
    assert (values["tags"], values["language"], values["license"]) == (["spacy"], ["en"], "mit")
    (result,) = values["model-index"][0]["results"]
    assert result["task"] == {"name": "NER", "type": "token-classification"}
    assert [metric["value"] for metric in result["metrics"]] == [0.6, 0.5, 0.5454]


def test_spacy_takes_meta_with_a_card() -> None:
    from spacy.schemas import ModelMetaSchema, validate

    assert validate(ModelMetaSchema, card_meta(INPUT["meta"], facts())) == []


# -- written with a copy of the pipeline -----------------------------------------------------------


@pytest.fixture(scope="module")
def model(trained: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("btl_knn_ner")
    nlp.from_bytes(trained)
    folder: Path = tmp_path_factory.mktemp("card") / "model"
    nlp.to_disk(folder)
    return folder


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    srsly.write_json(tmp_path / "metrics.json", METRICS)
    return tmp_path / "metrics.json"


def test_the_copy_has_the_card(model: Path, metrics: Path, tmp_path: Path) -> None:
    before = tree(model)
    (tmp_path / "corpus").mkdir()
    srsly.write_json(tmp_path / "corpus" / "account.json", INPUT["account"])
    srsly.write_json(tmp_path / "corpus" / "split.json", INPUT["split"])
    made = make_card(
        model,
        tmp_path / "out",
        metrics=metrics,
        account=tmp_path / "corpus" / "account.json",
        data_title="My data",
        data_license="CC0",
        license="MIT",
        encoder_license="Apache-2.0",
        author="Me",
        name="mine",
        version="2.0",
    )
    assert (made["name"], made["version"], made["license"]) == ("xx_mine", "2.0", "MIT")
    assert (made["data"]["title"], made["data"]["license"]) == ("My data", "CC0")
    assert made["data"]["documents"] == {"train": 128, "dev": 16, "test": 16}
    assert made["size"]["head"] > 1000
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf8")
    assert text == render_card(made)
    meta = json.loads((tmp_path / "out" / "meta.json").read_bytes())
    assert (meta["model_card"], meta["name"]) == (made, "mine")
    assert spacy.load(tmp_path / "out").pipe_names == ["btl_knn_ner"]
    assert tree(model) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "another form"),
        ('"x"', "another form"),
        ("{}", "none of the files has 'scores'"),
        ("{", "metrics.json is not a JSON file"),
    ],
)
def test_a_file_of_another_form(model: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        make_card(model, tmp_path / "out", metrics=tmp_path / "metrics.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("account", [{"totals": {"kept": 1}}, {"totals": [1]}, {"settings": 3}])
def test_an_account_of_another_form(
    model: Path, metrics: Path, tmp_path: Path, account: dict[str, Any]
) -> None:
    srsly.write_json(tmp_path / "account.json", account)
    with pytest.raises(ValueError, match=r"none of the files has 'input'|another form"):
        make_card(model, tmp_path / "out", metrics=metrics, account=tmp_path / "account.json")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("model", "model is an input too"),
        ("model/vocab", "is in the input"),
        (".", "is in .*, and would be lost"),
    ],
)
def test_the_pipeline_itself_is_no_target(
    model: Path, metrics: Path, where: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_card(model, model.parent / where, metrics=metrics)
    spacy.load(model)


def test_a_folder_of_something_else_stays(model: Path, metrics: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "meta.json").write_text("{}")
    with pytest.raises(ValueError, match="has files, but no pipeline"):
        make_card(model, tmp_path / "out", metrics=metrics)
    assert (tmp_path / "out" / "meta.json").read_text() == "{}"


@pytest.mark.parametrize("change", [{}, {"pipelines": []}, {"figures": None}, {"pipelines": 3}])
def test_a_comparison_of_another_form(
    model: Path, metrics: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    first = srsly.read_json(metrics)["scores"]["ents_f"]
    srsly.write_json(tmp_path / "comparison.json", {**compared(first), **change} if change else {})
    with pytest.raises(ValueError, match=r"none of the files has 'figures'|another form"):
        make_card(model, tmp_path / "out", metrics=metrics, comparison=tmp_path / "comparison.json")
    assert not (tmp_path / "out").exists()


def compared(first: float) -> dict[str, Any]:
    """Return a comparison with a previous version, whose micro F1 is 0.5."""
    row = {"first": first, "second": 0.5, "difference": first - 0.5, "interval": [0.01, 0.08]}
    row |= {"effect": 1.0, "p": 0.01}
    types = {"Drug": (0.2, 0.01), "Age": (-0.1, 0.04), "Dose": (0.3, 0.2), "Time": (None, None)}
    return {
        "systems": ["/home/somebody/new", "/home/somebody/old"],
        "pipelines": [{"name": "en_test_btl", "version": ""}, {"name": "en_old", "version": "1.1"}],
        "figures": {"ents_f": row, "ents_macro_f": row},
        "ents_per_type": {
            label: row | {"difference": difference, "p_holm": p}
            for label, (difference, p) in types.items()
        },
    }


def test_the_version_before_is_recorded() -> None:
    meta = INPUT["meta"] | {"began_with": {"name": "en_old", "version": "1.1"}}
    facts = card_facts(**INPUT | {"meta": meta}, comparison=compared(SCORES["ents_f"]))
    assert facts["previous"]["name"] == facts["began_with"]["name"] == "en_old"
    assert (facts["previous"]["better"], facts["previous"]["worse"]) == (["Drug"], ["Age"])
    text = render_card(facts)
    assert "## Compared with en_old 1.1" in text
    assert re.search(r"\| +0\.545 +\| +0\.500 +\| +\+0\.045 +\| \+0\.010 to \+0\.080", text)
    assert "Better types: Drug." in text and "Worse types: Age." in text
    assert "The training began with the weights of en_old 1.1" in text
    assert "somebody" not in text


def test_a_comparison_of_another_evaluation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the comparison is not of the pipeline in metrics\.json"):
        card_facts(**INPUT, comparison=compared(0.7))


def test_without_a_comparison_nothing_is_said_of_a_version_before() -> None:
    facts = card_facts(**INPUT)
    assert "previous" not in facts
    assert "Compared with" not in render_card(facts)
