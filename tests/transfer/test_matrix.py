import json

import pytest

from spacy_btl.transfer.matrix import Matrix, Schedule, transfer_matrix
from spacy_btl.transfer.training import Corpus


def scores(micro, macro, **types):
    return {"micro": micro, "macro": macro, "types": types}


@pytest.fixture
def matrix():
    """Return made-up figures of two seeds: two targets, and three sources including a target."""
    found = Matrix(["a", "b", "x"], ["x", "y"])
    found.alone = {
        "x": [scores(0.5, 0.3, Age=0.5, Sex=0.2), scores(0.6, 0.4, Age=0.7, Sex=0.2)],
        "y": [scores(0.2, 0.1, Age=0.1), scores(0.4, 0.1, Age=0.1)],
    }
    for i, pair in enumerate([("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"), ("x", "y")]):
        gain = 0.01 * i
        found.cells[pair] = [
            {
                "micro": own["micro"] + gain,
                "macro": own["macro"] - gain,
                "types": {label: f + gain for label, f in own["types"].items()},
            }
            for own in found.alone[pair[1]]
        ]
        found.by_type[pair] = dict.fromkeys(found.alone[pair[1]][0]["types"], 0.1 * i)
        found.predictors.setdefault("rising", {})[pair] = float(i)
        found.predictors.setdefault("falling", {})[pair] = -float(i)
    return found


def test_gains_are_those_over_the_target_alone_of_the_same_seed(matrix):
    assert matrix.gains("b", "x", "micro") == pytest.approx([0.01, 0.01])
    assert matrix.gains("x", "y", "macro") == pytest.approx([-0.04, -0.04])
    assert matrix.type_gains("b", "x") == pytest.approx({"Age": 0.01, "Sex": 0.01})


def test_correlations(matrix):
    assert {name: c.rho for name, c in matrix.correlations("micro").items()} == pytest.approx(
        {"rising": 1, "falling": -1}
    )
    assert matrix.correlations("macro")["rising"].rho == pytest.approx(-1)
    assert matrix.type_correlation().rho == pytest.approx(1)
    matrix.slopes = {"x": 0.1, "y": 0.5}
    assert matrix.correlations("micro")["slope of the learning curve, by target"].n == 2


def test_all_figures_are_json(matrix):
    values = json.loads(json.dumps(matrix.to_json()))
    assert values["cells"]["x -> y"][0]["micro"] == pytest.approx(0.24)
    assert values["correlations"]["micro"]["rising"]["n"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [({"first": 0}, "first"), ({"second": -1}, "second"), ({"seeds": ()}, "one seed")],
)
def test_a_wrong_schedule_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**change)


@pytest.mark.parametrize("joint", [False, True])
def test_a_matrix_of_small_corpora(small_config, corpora, tmp_path, joint):
    a, b, c = corpora
    schedule = Schedule(2, 1, joint=joint, curve=not joint)
    lines: list[str] = []

    def make():
        return transfer_matrix(
            small_config, [a, b], [b, c], tmp_path, schedule, report=lines.append
        )

    matrix = make()
    assert set(matrix.cells) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert set(matrix.alone) == {"b", "c"}
    assert set(matrix.slopes) == (set() if joint else {"b", "c"})
    assert set(matrix.predictors) == {"vocabulary", "topics", "encoder vectors", "known mentions"}
    # "b" is "a" without its first sentence, and "c" is "b" without its first one.
    assert matrix.by_type["a", "b"] == {"Sign_symptom": 1, "Medication": 1}
    assert matrix.predictors["known mentions"]["b", "c"] == 1
    # dev is all four sentences, twice.
    assert matrix.shared == {("a", "b"): 8, ("a", "c"): 8, ("b", "c"): 6}
    how = "from-both-" if joint else "from-"
    cells = [line.partition(":")[0] for line in lines if "/from-" in line]
    assert cells == [f"0/{target}/{how}{source}" for source, target in matrix.cells]
    assert len([line for line in lines if line.endswith(": 3 updates")]) == 2
    n_lines = len(lines)
    assert make().to_json() == matrix.to_json()
    assert len(lines) == n_lines  # nothing is trained again


def test_pairs_that_cannot_be_are_refused(small_config, corpora, tmp_path):
    a, b, _ = corpora
    for sources, targets, message in (
        ([a], [a], "a different corpus as a source"),
        ([a], [Corpus("a", b.folder)], 'two corpora have the name "a"'),
    ):
        with pytest.raises(ValueError, match=message):
            transfer_matrix(small_config, sources, targets, tmp_path, Schedule(1, 1))


def test_the_encoder_of_the_predictors_is_on_the_gpu_too(
    small_config, corpora, tmp_path, monkeypatch
):
    """The predictors come before the first training, which would choose the GPU."""
    done = []

    def init_nlp(config, use_gpu):
        done.append(f"init {use_gpu}")
        raise KeyboardInterrupt

    monkeypatch.setattr("spacy.require_gpu", lambda gpu: done.append(f"require {gpu}"))
    monkeypatch.setattr("spacy.training.initialize.init_nlp", init_nlp)
    a, b, _ = corpora
    with pytest.raises(KeyboardInterrupt):
        transfer_matrix(small_config, [a], [b], tmp_path, Schedule(1, 1), use_gpu=3)
    assert done == ["require 3", "init 3"]
