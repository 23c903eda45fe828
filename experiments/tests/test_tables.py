"""The figures in the tables of the experiments, on made-up counts, and what a record holds."""

import json
from pathlib import Path

import pytest

from experiments import bands, choice, record, tables
from experiments import rows as counted
from experiments.plan import Plan, Run, read_plan
from experiments.record import PARTS
from experiments.store import Store
from spacy_btl.scoring.counts import document_counts
from spacy_btl.scoring.statistics import holm

ROOT = Path(__file__).parents[2]

TOKENS = [(2 * i, 2 * i + 1) for i in range(4)]
GOLD = [("A", (at,)) for at in TOKENS]


def counts_of(*found: int) -> dict:
    """Return documents, each with so many of four entities found, and nothing else."""
    return {f"d{i}": document_counts(GOLD, GOLD[:n], TOKENS) for i, n in enumerate(found)}


def f1(*found: int) -> float:
    return 2 * sum(found) / (sum(found) + 4 * len(found))


ARMS = {
    # by seed: what is found in the documents
    "atl": {0: (1, 1, 2, 1, 0, 1), 1: (2, 2, 1, 2, 2, 2)},
    "btl": {0: (3, 3, 3, 3, 4, 3), 1: (3, 3, 4, 3, 3, 3), 2: (0, 0, 0, 0, 0, 0)},
    "more": {0: (3, 3, 3, 3, 3, 3), 2: (1, 0, 0, 0, 0, 0)},  # compared with btl
    "peer": {0: (1, 2, 1, 1, 1, 1)},
}


@pytest.fixture
def page(tmp_path: Path) -> list[list[str]]:
    """Return the cells of each line of the tables."""
    runs = [Run("c", "e", arm, seed) for arm, seeds in ARMS.items() for seed in seeds]
    for run in runs:
        ways = {"model": counts_of(*ARMS[run.arm][run.seed])}
        on_dev = {"model": {name: each for name, each in ways["model"].items() if name == "d5"}}
        if run.seed:  # of other documents than those of any test part
            on_dev["model"] = {"e0": ways["model"]["d0"]}
        summary = {"on_dev_while_training": [], "seconds": 60.0}
        Store(tmp_path).add(run, summary, {"dev": on_dev, "test": ways})
    arms = {arm: {"title": arm.upper()} for arm in ARMS}
    arms["peer"]["kind"] = "script"
    arms["more"]["reference"] = "btl"
    plan = Plan(
        {"c": {"folder": "c"}},
        {"e": {"title": "E"}},
        {},
        arms,
        runs,
        ("btl", "model"),
        [("atl", "model")],
        [("atl", "model"), ("btl", "model")],
        [(("more", "model"), ("atl", "model")), (("none", "model"), ("atl", "model"))],
    )
    lines = tables.render(plan, runs, Store(tmp_path), "c").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def test_differences_are_on_the_seeds_that_both_have(page: list[list[str]]) -> None:
    rows = {row[0]: row for row in page[: len(ARMS) + 2]}  # the first table: micro F1
    assert rows["ATL"][1] == "2"
    assert rows["ATL"][5:] == [""] * 6
    assert rows["BTL"][1] == "3"
    mean = sum(f1(*found) for found in ARMS["btl"].values()) / 3
    assert rows["BTL"][3].startswith(f"{mean:.3f} (0.")
    both = {arm: (*ARMS[arm][0], *ARMS[arm][1]) for arm in ("atl", "btl")}
    all_of_btl = (*both["btl"], *ARMS["btl"][2])
    assert rows["BTL"][4:7] == [f"{f1(*all_of_btl):.3f}", "ATL", f"{f1(*both['atl']):.3f}"]
    assert rows["BTL"][7] == f"{f1(*both['btl']) - f1(*both['atl']):+.3f} (2 of 2)"
    assert rows["PEER"][3] == f"{f1(*ARMS['peer'][0]):.3f} (one seed)"
    assert rows["PEER"][5:7] == ["ATL", f"{f1(*ARMS['atl'][0]):.3f}"]
    assert rows["PEER"][7] == f"{f1(*ARMS['peer'][0]) - f1(*ARMS['atl'][0]):+.3f}"


def test_an_arm_is_compared_with_its_reference(page: list[list[str]]) -> None:
    rows = {row[0]: row for row in page[: len(ARMS) + 2]}
    more, btl = ((*ARMS[arm][0], *ARMS[arm][2]) for arm in ("more", "btl"))
    assert rows["MORE"][5:7] == ["BTL", f"{f1(*btl):.3f}"]
    assert rows["MORE"][7] == f"{f1(*more) - f1(*btl):+.3f} (1 of 2)"


def test_what_the_default_gains(page: list[list[str]]) -> None:
    table = page[page.index(next(row for row in page if row[0] == "first")) + 2 :]
    gain = f1(*ARMS["btl"][0]) - f1(*ARMS["peer"][0])
    assert table[1][:3] == ["BTL, model alone", "PEER", "1"]
    assert table[1][3].startswith(f"{gain:+.3f} (")
    assert table[0][:3] == ["BTL, model alone", "ATL, model alone", "2"]
    assert table[0][3].endswith("(2 of 2)")
    assert table[2][0] == "first"  # the steps
    assert table[4][:4] == table[0][:4]
    assert table[5][0] == "first"  # others; without those of arms that were not run
    assert table[7][:3] == ["MORE, model alone", "ATL, model alone", "1"]
    assert table[8][0] == "first"  # on documents that are in no dev part
    unseen = {arm: (*ARMS[arm][0][:5], *ARMS[arm][1][:5]) for arm in ("atl", "btl")}
    assert table[10][3].startswith(f"{f1(*unseen['btl']) - f1(*unseen['atl']):+.3f} (")
    assert table[11][:3] == ["BTL, model alone", "PEER", "1"]


def test_what_the_default_is_chosen_by(tmp_path: Path) -> None:
    """On the seeds that all arms have; an arm that one corpus lacks is left out."""
    by_corpus = {
        "c": {"atl": {0: (1, 1), 1: (4, 4)}, "btl": {0: (2, 2)}, "peer": {0: (4, 4)}},
        "d": {"atl": {0: (3, 3), 1: (1, 1)}, "btl": {0: (4, 4), 1: (2, 2)}},
    }
    runs = []
    for corpus, arms in by_corpus.items():
        for arm, seeds in arms.items():
            for seed, found in seeds.items():
                runs.append(Run(corpus, "e", arm, seed))
                ways = {"model": counts_of(*found)}
                Store(tmp_path).add(runs[-1], {}, {"dev": ways, "test": {}})
    titles = {arm: {"title": arm.upper()} for arm in ("peer", "atl", "btl")}
    plan = Plan({}, {}, {}, titles, runs, ("btl", "model"), [], [])
    page = choice.render_choice(plan, runs, Store(tmp_path)).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page if "|" in line]
    assert cells[0][2:4] == ["c, seeds 0", "d, seeds 0, 1"]
    assert [row[0] for row in cells[2:]] == ["BTL", "ATL"]
    best = [f1(2, 2), (f1(4, 4) + f1(2, 2)) / 2]
    assert [cell.split(" / ")[0] for cell in cells[2][2:5]] == [
        f"{x:.3f}" for x in (*best, sum(best) / 2)
    ]


def test_no_default_is_chosen_without_an_arm_on_all_corpora(tmp_path: Path) -> None:
    runs = [Run("c", "e", "atl", 0), Run("d", "e", "btl", 0)]
    titles = {arm: {"title": arm.upper()} for arm in ("atl", "btl")}
    plan = Plan({}, {}, {}, titles, runs, ("btl", "model"), [], [])
    assert choice.render_choice(plan, runs, Store(tmp_path)) == ""


def test_differences_over_seeds() -> None:
    """Mean and t-interval of three seeds, by the formula in a book."""
    own = {seed: counts_of(found) for seed, found in enumerate((1, 2, 4))}
    other = {seed: counts_of(1) for seed in range(3)}
    gains = [f1(found) - f1(1) for found in (1, 2, 4)]
    mean = sum(gains) / 3
    half = 4.302653 * (sum((gain - mean) ** 2 for gain in gains) / 2 / 3) ** 0.5
    expected = f"; {mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"
    assert tables._over_seeds(own, other, 0) == expected
    assert tables._seeds_better(own, other, 0) == " (2 of 3)"
    assert tables._over_seeds({0: own[0], 1: own[1]}, other, 0) == ""


def test_bands_hold_the_types_with_so_many_mentions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Type by type what the difference is; a type is in one band, its figures are its own."""
    monkeypatch.setattr(bands, "LEAST", (3, 2, 1))
    gold = [("often", (at,)) for at in TOKENS[:3]] + [("rare", (TOKENS[3],))]
    both, often, neither = (document_counts(gold, gold[:n], TOKENS) for n in (4, 3, 0))
    test = {("a", "model"): {0: {"d": both}}, ("b", "model"): {0: {"d": often}, 1: {"d": neither}}}
    arms = {"a": {"title": "A"}, "b": {"title": "B"}, "c": {"title": "C"}}
    plan = Plan({}, {}, {}, arms, [], ("a", "model"), [], [])
    pairs = [(("a", "model"), ("b", "model")), (("c", "model"), ("b", "model"))]
    _, _, *lines = bands.render_bands(plan, test, pairs)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[:4] for row in cells] == [
        ["3 or more (1 types)", "A, model alone", "B, model alone", "1"],
        ["1 to 1 (1 types)", "A, model alone", "B, model alone", "1"],
    ]
    equal, all_of_it = "1.000 - 1.000 = +0.000", "1.000 - 0.000 = +1.000"
    assert [row[i].partition(" (")[0] for row in cells for i in (4, 5, 6)] == [
        *[equal] * 3,
        *[all_of_it] * 3,
    ]
    assert bands.render_bands(plan, test, pairs[1:]) == []


def test_an_arm_that_has_seen_dev_has_no_score_there(tmp_path: Path) -> None:
    runs = [Run("c", "e", arm, 0) for arm in ("btl", "final")]
    for run, n, parts in zip(runs, (2, 3), (("dev", "test"), ("test",)), strict=True):
        counts = {part: {"model": counts_of(n)} if part in parts else {} for part in PARTS}
        curve = [{"updates": 1, "ents_f": 0.5, "ents_macro_f": 0.5}] if "dev" in parts else []
        Store(tmp_path).add(run, {"on_dev_while_training": curve, "seconds": 60.0}, counts)
    arms = {"btl": {"title": "BTL"}, "final": {"title": "FINAL"}}
    plan = Plan({"c": {}}, {"e": {"title": "E"}}, {}, arms, runs, ("btl", "model"), [], [])
    text = tables.render(plan, runs, Store(tmp_path), "title")
    assert "**BTL, model alone**" in text
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| FINAL")]
    assert [row[3].strip() for row in rows] == [""] * 3  # one for each figure, none in the curves


def test_p_is_corrected_over_the_rows(page: list[list[str]]) -> None:
    rows = {row[0]: row for row in page[: len(ARMS) + 2]}
    own = {arm: {s: counts_of(*found) for s, found in seeds.items()} for arm, seeds in ARMS.items()}
    references = {"btl": "atl", "more": "btl", "peer": "atl"}
    plain = [counted.difference(own[arm], own[other]).p[0] for arm, other in references.items()]
    assert plain[0] < 0.01 < plain[2]
    assert [rows[name.upper()][10] for name in references] == [tables._p(p) for p in holm(plain)]


def test_a_record_names_the_encoder_of_its_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the folder of this machine, where its weights lie."""
    monkeypatch.setattr(record, "find_encoder", lambda name: f"/weights/of/{name}/on/disk")
    corpus = tmp_path / "corpus"
    text = f'train = "{corpus}/train.spacy"\nname = "/weights/of/other/on/disk"\n'
    work = tmp_path / "c" / "e" / "a" / "0"
    work.mkdir(parents=True)
    (work / "config.cfg").write_text(text, encoding="utf8")
    arms = {"a": {"title": "A", "config": "a.cfg", "with": {"encoder": "other"}}}
    plan = Plan({}, {"e": {"with": {"encoder": "first"}}}, {}, arms, [], ("a", "model"), [], [])
    lines = record._config(plan, Run("c", "e", "a", 0), corpus, work)
    assert lines == ['train = "corpus/train.spacy"', 'name = "other"']


def test_no_record_holds_a_path_of_a_machine() -> None:
    store = Store(ROOT / "experiments" / "results" / "runs")
    runs = read_plan(ROOT / "experiments" / "plan.yml").runs
    texts = [json.dumps(summary) for run in runs if (summary := store.summary(run))]
    words = [word for text in texts for word in text.replace('\\"', '"').split('"')]
    assert len(words) > 1000
    assert [word for word in words if word.startswith(("/", "~"))] == []


def test_dev_chooses_the_way_of_each_seed() -> None:
    few, many = counts_of(1, 1), counts_of(3, 3)
    dev = {("a", way): {0: few, 1: many} for way in ("model", "neighbors")}
    dev["a", "mixed"], dev["b", "model"] = {0: many, 1: few}, {0: few}
    test = {row: {seed: (row, seed) for seed in seeds} for row, seeds in dev.items()}
    counted.add_chosen(dev, test)
    assert test["a", "chosen"] == {0: (("a", "mixed"), 0), 1: (("a", "model"), 1)}
    assert dev["a", "chosen"] == {0: many, 1: many}
    assert ("b", "chosen") not in test
