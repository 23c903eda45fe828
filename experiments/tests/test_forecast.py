"""Forecasts are compared with the runs of the same arm, encoder and seed, on made-up counts."""

from functools import partial
from pathlib import Path

import pytest

from experiments import forecast
from experiments.forecast import checks_of, checks_of_orders, render
from experiments.plan import Plan, Run
from experiments.store import Store
from spacy_btl.scoring.counts import document_counts

TOKENS = [(2 * i, 2 * i + 1) for i in range(20)]
GOLD = [("A", (at,)) for at in TOKENS]
SIZES = {"c10": 10, "c20": 20, "c40": 40, "c": 80}
FOUND = {"c10": 8, "c20": 10, "c40": 12, "c": 13}
"""Of 20 entities of each document, by corpus."""


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw a fifth of what makes good intervals: a curve is fitted to each draw."""
    monkeypatch.setattr(forecast, "forecast_of", partial(forecast.forecast_of, samples=60))


@pytest.fixture
def plan() -> Plan:
    corpora = {name: {"folder": "c", "train_documents": n} for name, n in SIZES.items()}
    del corpora["c"]["train_documents"]
    runs = [Run(corpus, "e", "btl", seed) for corpus in corpora for seed in (0, 1)]
    return Plan(corpora, {"e": {"title": "E"}}, {}, {"btl": {"title": "BTL"}}, runs,
                ("btl", "model"), [], [], [])  # fmt: skip


@pytest.fixture
def store(plan: Plan, tmp_path: Path) -> Store:
    store = Store(tmp_path)
    for run in plan.runs:
        if (run.corpus, run.seed) in (("c20", 1), ("c10", 1)):
            continue  # one size is not enough to fit to
        n = FOUND[run.corpus]
        counts = {f"d{i}": document_counts(GOLD, GOLD[:n], TOKENS) for i in range(6)}
        summary = {"training": {"documents": SIZES[run.corpus]}}
        store.add(run, summary, {"test": {"model": counts}})
    return store


@pytest.mark.parametrize(("upto", "sizes"), [(40, (10, 20, 40)), (20, (10, 20))])
def test_a_forecast_for_each_figure(
    plan: Plan, store: Store, upto: int, sizes: tuple[int, ...]
) -> None:
    checks = [check for check in checks_of(plan, store, upto) if check.target == 80]
    assert {check.figure for check in checks} == {"micro", "macro", "frequent"}
    for check in checks:
        assert (check.key, check.sizes) == ("c/e/btl/0", sizes)
        assert check.measured == pytest.approx(2 * 13 / 33)
        assert check.low <= check.forecast <= check.high
        assert check.error == pytest.approx(check.forecast - check.measured)


def test_the_page_counts_what_is_inside(plan: Plan, store: Store) -> None:
    checks = checks_of(plan, store, 40)
    page = render([checks[0]._replace(low=0, high=0.1), *checks[1:]], 40)
    assert "0 of 1" in page
    assert "c/e/btl/0" in page


def test_without_two_sizes_there_is_none(plan: Plan, store: Store) -> None:
    assert checks_of(plan, store, 15) == []


def test_random_orders_are_curves_too() -> None:
    def row(reports: int, found: int) -> dict[str, object]:
        counts = document_counts(GOLD, GOLD[:found], TOKENS)
        return {"reports": reports, "spans": {f"d{i}": counts["spans"] for i in range(6)}}

    orders = {"suggest": [row(10, 20)], "random": [row(10, 8), row(20, 10), row(40, 12)]}
    found = {"settings": {"folder": "c"}, "seeds": {"1": orders}}
    checks = [check for check in checks_of_orders(found, 20) if check.figure == "micro"]
    assert [(check.key, check.sizes, check.target) for check in checks] == [
        ("c/suggest/random/1", (10, 20), 40)
    ]
    assert checks[0].measured == pytest.approx(2 * 12 / 32)
    assert checks_of_orders(found, 40) == []
    assert checks_of_orders({**found, "seeds": {"1": {"suggest": [row(10, 20)]}}}, 20) == []
