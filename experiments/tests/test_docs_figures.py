"""Figures that the pages repeat are those of the files that their commands write."""

import json
import re
from pathlib import Path

import pytest

from experiments.plan import Plan, read_plan
from experiments.rows import title_of

ROOT = Path(__file__).parents[2]

TABLES = ROOT / "experiments" / "results"
README = (ROOT / "README.md").read_text(encoding="utf8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf8")
PLAN = read_plan(ROOT / "experiments" / "plan.yml")
RUN = ROOT / "docs" / "results" / "maccrobat"
EXPERIMENTS = (ROOT / "experiments" / "README.md").read_text(encoding="utf8")
TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf8")
CURATION = (ROOT / "docs" / "curation.md").read_text(encoding="utf8")
METRICS = json.loads((RUN / "metrics.json").read_text(encoding="utf8"))

EXPECTED = {
    "strict span F1, micro": "ents_f",
    "strict span F1, macro": "ents_macro_f",
    "token unweighted accuracy, without O": "token_macro_r",
}
PAGES = {
    "MACCROBAT": "maccrobat-minilm",
    "CHIA": "chia-minilm",
    "BioNLP13CG": "bionlp13cg-minilm",
}
OTHERS = {
    "cross-entropy, best well-formed sequence": ("atl", "model"),
    "cross-entropy with our learning rates and neighbors": ("atl-layers", "chosen"),
    "spaCy's `ner` on a transformer": ("spacy-ner", "model"),
    "Hugging Face token classification": ("huggingface", "model"),
    "EDS-NLP's `ner_crf`": ("edsnlp", "model"),
}


def rows_of(text: str) -> dict[str, list[str]]:
    """Return the cells behind the first one of each row of all tables."""
    rows = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in text.splitlines() if "|" in line]
    return {row[0]: row[1:] for row in rows}


def gains(
    page: str, other: tuple[str, str], first: tuple[str, str] = PLAN.default, plan: Plan = PLAN
) -> list[str]:
    """Return seeds and differences of the default, or another reading, minus one, from a page."""
    start = [title_of(plan, first), title_of(plan, other)]
    text = (TABLES / f"{page}.md").read_text(encoding="utf8").split("## Gains")[1]
    lines = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in text.splitlines()]
    row = next(line for line in lines if line[:2] == start)
    # micro F1, macro F1 and accuracy have a p behind them; an interval ends with the first bracket
    return [row[2], *(cell.partition(")")[0] + ")" for cell in row[3:8:2])]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_published_run(name: str) -> None:
    key = EXPECTED[name]
    low, high = METRICS["intervals"][key]
    figure = f"{METRICS['scores'][key]:.3f} ({low:.3f} to {high:.3f})"
    assert rows_of(RESULTS)[name][0] == figure
    assert f"{METRICS['gold_entities']:,} entities" in RESULTS


@pytest.mark.parametrize("corpus", PAGES)
def test_gains_over_standard_fine_tuning(corpus: str) -> None:
    assert rows_of(RESULTS)[corpus] == gains(PAGES[corpus], PLAN.against[0])


@pytest.mark.parametrize("other", OTHERS)
def test_gains_over_other_training(other: str) -> None:
    assert rows_of(RESULTS)[other] == gains(PAGES["MACCROBAT"], OTHERS[other])


def test_the_table_of_the_front_page_is_that_of_the_results() -> None:
    rows, results = rows_of(README), rows_of(RESULTS)
    names = [name for name in rows if name in OTHERS]
    assert len(names) == 3
    assert [rows[name] for name in names] == [results[name] for name in names]
    assert rows["standard fine-tuning"] == results["MACCROBAT"]
    text = README.replace("\n", " ")
    for step, said in (
        ("the most probable well-formed sequence instead of argmax", "decoding ({} micro F1)"),
        ("a learning rate for each layer", "learning rates by layer ({})"),
    ):
        assert said.format(rows_of(EXPERIMENTS)[step][0]) in text
    other = OTHERS["cross-entropy with our learning rates and neighbors"]
    first, second = (
        gains(PAGES[corpus], other)[3].split()[0].lstrip("+") for corpus in ("CHIA", "BioNLP13CG")
    )
    assert f"those gain {first} and {second} unweighted accuracy" in text


def test_the_ensemble_of_the_front_page() -> None:
    plan = read_plan(ROOT / "experiments" / "quality.yml")
    first = ("type-crf-tenth-ensemble", "chosen")
    found = gains("quality/maccrobat-minilm-800", ("btl", "chosen"), first, plan)
    micro, macro, accuracy = (figure.split()[0] for figure in found[1:])
    said = f"gain {micro} micro F1, {macro} macro F1, and {accuracy} unweighted accuracy over"
    assert said in " ".join(README.split())
    for figure in (micro, macro, accuracy):
        assert figure.lstrip("+") in TRAINING


STEPS = {
    "the most probable well-formed sequence instead of argmax": (
        ("atl", "model"),
        ("atl", "argmax"),
    ),
    "a learning rate for each layer": (("atl-layers", "model"), ("atl", "model")),
    "Binary Token Labels": (("btl-layers", "model"), ("atl-layers", "model")),
    "neighbors mixed in, where dev chooses them": (
        ("btl-layers", "chosen"),
        ("btl-layers", "model"),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_steps_to_the_default(step: str) -> None:
    first, second = STEPS[step]
    figures = [figure.split()[0] for figure in gains("maccrobat-minilm", second, first)[1:]]
    assert rows_of(EXPERIMENTS)[step] == figures


@pytest.mark.parametrize("sizes", ["10, 40", "20, 40, 60, 80"])
def test_errors_of_forecasts(sizes: str) -> None:
    page = (TABLES / "forecast.md").read_text(encoding="utf8")
    rows = rows_of(page.split(f"## Fitted to {sizes} documents")[1].split("\n## ")[0])
    said = " and ".join(f"{rows[figure][2]} {figure}" for figure in ("micro F1", "macro F1"))
    assert said in CURATION.replace("\n", " ")


ORDERS = {
    "random": "in any order",
    "longest": "the longest first",
    "suggest": "`btl suggest`",
}


@pytest.mark.parametrize(
    ("corpus", "said"),
    [
        ("MACCROBAT", "and {} and {} with 120 reports of MACCROBAT"),
        ("BioNLP13CG", "gains {} micro and {} macro F1 over a random one with 450 abstracts of"),
    ],
)
def test_words_that_suggested_reports_save(corpus: str, said: str) -> None:
    page = (TABLES / "suggest" / f"{corpus.lower()}.md").read_text(encoding="utf8")
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in page.splitlines() if "|" in line]
    needed = {row[0].partition(":")[0]: row for row in rows if ":" in row[0] and len(row) == 6}
    gains = {row[0]: row for row in rows if len(row) == 4}
    text = " ".join(CURATION.split())
    assert said.format(*(cell.split()[0].lstrip("+") for cell in gains["suggest"][2:])) in text
    for strategy, title in ORDERS.items():
        cells = [corpus, title, *needed[strategy][1:4]]
        assert f"| {' | '.join(cells + gains.get(strategy, [])[2:])} |" in EXPERIMENTS


AUDIT = {
    "`btl audit`": "audit",
    "cleanlab, normalized margin": "cleanlab, normalized margin",
    "cleanlab, self-confidence": "cleanlab, self-confidence",
    "loss of annotated entities": "loss, annotated only",
    "loss of annotated and predicted entities": "loss",
}


def test_rankings_of_label_errors() -> None:
    runs = json.loads((TABLES / "audit" / "audit.json").read_text(encoding="utf8"))["runs"]
    section = EXPERIMENTS.split("## Label errors")[1].split("\n## ")[0].split("**BC5CDR.**")
    for corpus, part in zip(("maccrobat", "bc5cdr"), section, strict=True):
        shown = rows_of(part)
        shares = [share for share in ("0.02", "0.05", "0.1") if f"{corpus}/{share}/0" in runs]
        for title, ranking in AUDIT.items():
            cells = []
            for share in shares:
                figures = runs[f"{corpus}/{share}/0"]["rankings"][ranking]
                keys = ("p50", "p100", "p200", "ap")
                values = [f"{figures[key]:.3f}".lstrip("0") for key in keys]
                cells.append(f"{' / '.join(values[:3])}, AP {values[3]}")
            assert shown[title] == cells
    first = runs["bc5cdr/0.05/0"]["reliability"][:3]
    mean = ", ".join(f"{row['probability']:.2f}" for row in first)
    errors = ", ".join(f"{row['errors']:.2f}" for row in first)
    text = " ".join(section[1].split()).replace(", and ", ", ")
    assert f"their means are {mean}" in text
    assert f"{errors} of these places" in text
    run = runs["maccrobat/0.05/0"]
    recall = {
        kind: f"{100 * share:.0f}%" for kind, share in run["rankings"]["audit"]["recall"].items()
    }
    text = " ".join(EXPERIMENTS.split())
    assert (
        f"`btl audit` finds {recall['missed']} of those among its first "
        f"{sum(run['errors'].values())} places, "
        f"and {recall['surplus']} of the surplus ones, {recall['wrong type']} of wrong types, "
        f"{recall['inconsistent']} of inconsistent ones, but only {recall['wrong bounds']} of wrong"
    ) in text
    best = run["rankings"]["cleanlab, normalized margin"]
    own = run["rankings"]["audit"]
    assert (
        f"{100 * own['p50']:.0f}% of the first 50 findings and {100 * own['p100']:.0f}% of the "
        f"first 100 were such errors, against {100 * best['p50']:.0f}% and "
        f"{100 * best['p100']:.0f}% for cleanlab's best ranking"
    ) in " ".join(CURATION.split())


def test_verdicts_on_real_findings() -> None:
    lines = (TABLES / "audit" / "maccrobat-read.jsonl").read_text(encoding="utf8").splitlines()
    read = [json.loads(line) for line in lines]
    verdicts = [each["verdict"] for each in read]
    errors = verdicts.count("error")
    missed = sum(each["verdict"] == "error" and each["kind"] == "missed" for each in read)
    text = " ".join(EXPERIMENTS.split())
    assert f"{errors} are errors, {missed} of them missed entities" in text
    assert f"{verdicts.count('unclear')} are unclear, mostly" in text
    assert f"and {verdicts.count('right')} are right as annotated" in text
    assert (
        f"first {len(read)} findings in 160 reports of MACCROBAT: {errors} were errors"
        in " ".join(CURATION.split())
    )
    places = [each[key] for each in read for key in ("annotated", "suggested") if each[key]]
    assert all(set(place) == {"label", "start", "end"} for place in places)  # no text


QUALITY = {
    "ensemble of the three": "BTL, an ensemble of three trainings",
    "a CRF for each type": "a CRF for each type",
    "a CRF for each type, logits adjusted by a tenth": (
        "a CRF for each type, logits adjusted by a tenth"
    ),
    "ensemble of three of them": (
        "CRFs for each type, logits adjusted by a tenth, an ensemble of three trainings"
    ),
    "trained on train and dev": "BTL, trained on train and dev",
    "features beside the encoder": "BTL, features beside the encoder",
}
FORTY, ALL = "joint/maccrobat-documents-40-minilm-1200", "joint/maccrobat-minilm-800"
FIVE = "five other corpora (2,400 updates, once for all seeds), then the target"
JOINT = {
    "2,400 updates on PHEE, CHIA, BC5CDR, BioNLP13CG and BioRED first": (FORTY, FIVE),
    "together with PHEE and CHIA for 800 of the updates": (
        FORTY,
        "all corpora together, types that a corpus does not annotate masked, then the target",
    ),
    "the five corpora first, then all reports": (ALL, FIVE),
}


def gains_over_reference(page: str, arm: str) -> list[str]:
    """Return seeds and the gains of an arm over its reference, decoded by the model."""
    text = (TABLES / f"{page}.md").read_text(encoding="utf8").split("\n## ")[1]
    rows = [rows_of(part)[arm] for part in text.split("### ")[1:]]
    # Behind the seeds: dev, mean, together, reference, there, difference, interval.
    return [rows[0][0], *(f"{row[6].partition(' ')[0]} ({row[7]})" for row in rows)]


@pytest.mark.parametrize("title", QUALITY)
def test_gains_of_ensembles_and_features(title: str) -> None:
    shown = rows_of(EXPERIMENTS.split("## Ensembles and features")[1].split("\n## ")[0])
    assert shown[title] == gains_over_reference("quality/maccrobat-minilm-800", QUALITY[title])


CHOSEN = {"maccrobat": ("0", "0.1"), "chia": ("0.1",), "bionlp13cg": ("0.1",)}
"""Values of tau whose gains are shown, in the order of the page, by corpus."""


@pytest.mark.parametrize("corpus", CHOSEN)
def test_gains_of_a_crf_for_each_type_as_dev_chooses(corpus: str) -> None:
    page = (TABLES / "quality" / f"{corpus}-minilm-800.md").read_text(encoding="utf8")
    ours = [line for line in page.split("\nThe default:\n")[1].split("\n\n")[0].splitlines()
            if "a CRF for each type" in line]  # fmt: skip
    for tau, line in zip(CHOSEN[corpus], ours, strict=True):
        cells = re.split(r"\s*\|\s*", line.strip("| "))
        gains = [f"{-float(cell.split()[0]):+.3f}" for cell in cells[3::2]]
        starred = [f"{gain}*" if float(p.lstrip("< ")) < 0.05 else gain
                   for gain, p in zip(gains, cells[4::2], strict=True)]  # fmt: skip
        name = {"maccrobat": "MACCROBAT", "chia": "CHIA", "bionlp13cg": "BioNLP13CG"}[corpus]
        assert f"| {tau} | {name} | {cells[2]} | {' | '.join(starred)} |" in EXPERIMENTS


def test_the_page_of_trainings_has_the_gains_of_an_ensemble() -> None:
    row = gains_over_reference("quality/maccrobat-minilm-800", QUALITY["ensemble of the three"])
    gain = [cell.partition(" ")[0].lstrip("+") for cell in row[1:]]
    text = " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf8").split())
    assert f"adds {gain[0]} micro F1 and {gain[1]} macro F1 to one of them" in text


@pytest.mark.parametrize("title", JOINT)
def test_gains_of_several_corpora(title: str) -> None:
    shown = rows_of(EXPERIMENTS.split("## Several corpora")[1].split("\n## ")[0])
    row = gains_over_reference(*JOINT[title])
    assert shown[title] == row
    micro, macro = (cell.partition(" ")[0] for cell in row[1:3])
    page = " ".join((ROOT / "docs" / "corpora.md").read_text(encoding="utf8").split())
    added = f"added {micro[1:]} micro F1 and {macro[1:]} macro F1"
    cost = f"cost {micro[1:]} and {macro[1:]}"
    either = f"added {micro[1:]} and cost {macro[1:]}"
    assert {"+": {"+": added, "-": either}, "-": {"-": cost}}[micro[0]][macro[0]] in page
