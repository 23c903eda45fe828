"""Simulation of annotators who take the reports that ``suggest`` names, or others.

python -m experiments.suggest --corpora path/to/corpora

Begins with some training reports of a corpus, drawn at random, and adds others step by step,
chosen in one of the `STRATEGIES` from the rest. After each step a pipeline is trained from nothing
on all reports so far, and scored on the test part by the model alone. Half the dev part calibrates
scores and chooses checkpoints, for all strategies alike, and is not counted; its other half joins
the pool. A seed is also the fold, as in ``plan.yml``, and draws the first reports.

The figures are in `results/suggest/<corpus>.json.gz`, from which a killed run goes on, with the
names of the chosen reports and the counts of each test document; `results/suggest/<corpus>.md` is
rendered from them.
"""

import argparse
import gzip
import random
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt
import srsly
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config

from experiments import corpora
from experiments.documents import name_of, read_docs
from spacy_btl.data.duplicates import text_words
from spacy_btl.evaluation.evaluate import evaluate
from spacy_btl.packaging.saving import load_pipeline
from spacy_btl.pipeline.component import component_of
from spacy_btl.pipeline.fitting import read_before
from spacy_btl.pipeline.workflow import fit_knn
from spacy_btl.planning.pool import BATCH, measure
from spacy_btl.planning.suggestion import value_of
from spacy_btl.scoring.counts import NO_COUNTS
from spacy_btl.scoring.scores import span_figures
from spacy_btl.transfer.training import Corpus, Training, perform, read_config
from spacy_btl.util.files import write_file
from spacy_btl.util.text import markdown_table

HERE = Path(__file__).parent

STRATEGIES = {
    "random": "in any order",
    "longest": "the longest first",
    "suggest": "the most doubt for each word first",
}
FIGURES = {"micro": "strict micro F1", "macro": "strict macro F1"}
SCORES = {"micro": "ents_f", "macro": "ents_macro_f"}
SETTINGS = ("folder", "updates", "layers", "start", "step", "upto")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--folder", default="maccrobat", help="the corpus in it")
    parser.add_argument("--config", type=Path, default=HERE.parent / "configs" / "btl.cfg")
    parser.add_argument("--work", type=Path, default=Path("training/experiments/suggest"))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "suggest")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--updates", type=int, default=400, help="of each training")
    parser.add_argument("--layers", type=int, help="of the encoder, the lowest ones; default: all")
    parser.add_argument("--start", type=int, default=20, help="reports to begin with")
    parser.add_argument("--step", type=int, default=10, help="reports that are added at a time")
    parser.add_argument("--upto", type=int, default=120, help="reports to end with")
    options = parser.parse_args(arguments)
    settings = {name: getattr(options, name) for name in SETTINGS}
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"{options.folder}.json.gz"
    found = srsly.read_gzip_json(path) if path.is_file() else {"settings": settings, "seeds": {}}
    if found["settings"] != settings:
        print(f"{path} has other settings: {found['settings']}; remove it", file=sys.stderr)
        return 1
    config = read_config(options.config)
    if options.layers:
        encoder = config["components"]["btl_knn_ner"]["model"]["tok2vec"]
        encoder["transformer_config"] = {"num_hidden_layers": options.layers}
    for seed in options.seeds:
        data = prepare(options.corpora, options.folder, options.work / "corpus", seed)
        for strategy in options.strategies:
            rows = found["seeds"].setdefault(str(seed), {}).setdefault(strategy, [])
            while (names := next_names(rows, data, options, seed)) is not None:
                twin = same_reports(found["seeds"][str(seed)], names)
                print(f"seed {seed}, {strategy}: {len(names)} reports", flush=True)
                rows.append(one_round(strategy, names, data, config, options, seed, twin))
                write_file(path, gzip.compress(srsly.json_dumps(found).encode(), mtime=0))
    write_file(options.results / f"{options.folder}.md", render(found))
    return 0


def prepare(source: Path, folder: str, work: Path, seed: int) -> dict[str, list[Doc]]:
    """Return the pool, and the documents to calibrate and to test on."""
    made = corpora.prepare({"folder": folder}, source, work, seed)
    train, dev, test = (read_docs(made / f"{part}.spacy") for part in ("train", "dev", "test"))
    half = len(dev) // 2
    return {"pool": [*train, *dev[half:]], "dev": dev[:half], "test": test}


def next_names(
    rows: Sequence[Mapping[str, Any]],
    data: Mapping[str, Sequence[Doc]],
    options: argparse.Namespace,
    seed: int,
) -> list[str] | None:
    """Return the names of the reports of the next training, None after the last one."""
    if not rows:
        names = sorted(name_of(doc) for doc in data["pool"])
        return random.Random(seed).sample(names, options.start)
    last = rows[-1]
    return [*last["names"], *last["next"]] if last["next"] else None


def same_reports(by_strategy: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """Return a training on the same reports by another strategy: the first and the last are."""
    for rows in by_strategy.values():
        for row in rows:
            if set(row["names"]) == set(names):
                return dict(row)
    return None


def one_round(
    strategy: str,
    names: Sequence[str],
    data: Mapping[str, Sequence[Doc]],
    config: Config,
    options: argparse.Namespace,
    seed: int,
    twin: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Train on reports, score, and choose those that come next."""
    known = [doc for doc in data["pool"] if name_of(doc) in set(names)]
    rest = [doc for doc in data["pool"] if name_of(doc) not in set(names)]
    n = min(options.step, options.upto - len(names), len(rest))
    row = {"reports": len(names), "words": sum(len(text_words(doc.text)) for doc in known)}
    needs_model = n > 0 and strategy == "suggest"
    folder = options.work / str(seed) / strategy / str(len(names))
    if twin is None or needs_model:
        nlp = trained(known, data["dev"], folder, config, options.updates, seed)
        made = evaluate(nlp, examples_of(nlp, data["test"]), progress=False)
        scores = made["scores"]
        row |= {figure: scores[key] for figure, key in SCORES.items()}
        row["spans"] = {each["name"]: each["counts"]["spans"] for each in made["by_document"]}
        order = chosen(strategy, nlp, known, rest, data["dev"], n, seed) if n else []
        shutil.rmtree(folder)
    else:
        row |= {name: twin[name] for name in (*FIGURES, "spans")}
        order = chosen(strategy, None, known, rest, data["dev"], n, seed) if n else []
    return {**row, "names": list(names), "next": order}


def trained(
    docs: Sequence[Doc], dev: Sequence[Doc], folder: Path, config: Config, updates: int, seed: int
) -> Any:
    """Return a pipeline that is trained on documents, from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    corpus = Corpus("part", folder / "corpus")
    corpus.folder.mkdir()
    for part, path in ((docs, corpus.train), (dev, corpus.dev)):
        DocBin(docs=part, store_user_data=True).to_disk(path)
    training = Training(config, (corpus,), corpus, updates, seed)
    perform(training, folder / "trained", score=False, keep=True)
    nlp = load_pipeline(folder / "trained" / "model-best")
    component_of(nlp).neighbor_weight = 0.0
    return nlp


def chosen(
    strategy: str,
    nlp: Any,
    known: Sequence[Doc],
    rest: Sequence[Doc],
    dev: Sequence[Doc],
    n: int,
    seed: int,
) -> list[str]:
    """Return the names of the reports that a strategy takes next."""
    names = sorted(name_of(doc) for doc in rest)
    words = {name_of(doc): len(text_words(doc.text)) for doc in rest}
    if strategy == "random":
        return random.Random(f"{seed}-{len(known)}").sample(names, n)
    if strategy == "longest":
        return sorted(names, key=lambda name: (-words[name], name))[:n]
    pipe = component_of(nlp)
    fit_knn(nlp, examples_of(nlp, known), examples_of(nlp, dev), fixed=True, progress=False)
    value: dict[str, float] = {}
    for begin in range(0, len(rest), BATCH):
        part = rest[begin : begin + BATCH]
        docs = read_before(nlp, pipe, [nlp.make_doc(doc.text) for doc in part])
        measured = measure(pipe, docs, [text_words(doc.text) for doc in part])
        value |= {name_of(doc): value_of(each) for doc, each in zip(part, measured, strict=True)}
    return sorted(names, key=lambda name: (-value[name], name))[:n]


def examples_of(nlp: Any, docs: Sequence[Doc]) -> list[Example]:
    """Return annotated documents with unannotated ones on the tokens of a pipeline."""
    return [Example(nlp.tokenizer(doc.text), doc) for doc in docs]


def words_needed(rows: Sequence[Mapping[str, Any]], figure: str, goal: float) -> float | None:
    """Return the words after which a figure is there for the first time, None if never.

    Between two trainings, the figure is taken to rise in a straight line.
    """
    before = None
    for row in rows:
        if row[figure] >= goal:
            if before is None:
                return float(row["words"])
            share = (goal - before[figure]) / (row[figure] - before[figure])
            return float(before["words"] + share * (row["words"] - before["words"]))
        before = row
    return None


def shares_needed(seeds: Iterable[Mapping[str, Any]], strategy: str, figure: str) -> str:
    """Return the share of the random order's words after which its last score is reached.

    It is the mean over seeds, with the values of each. Where an order never reaches that score, all
    of its words count, and a sign says that they were too few.
    """
    shares = []
    for orders in seeds:
        if not is_done(orders, strategy, "random"):
            continue
        last = orders["random"][-1]
        needed = words_needed(orders[strategy], figure, last[figure])
        words = orders[strategy][-1]["words"] if needed is None else needed
        shares.append((words / last["words"], needed is None))
    if not shares:
        return ""
    texts = [f"{'>' * never}{share:.2f}" for share, never in shares]
    sign = ">" * any(never for _, never in shares)
    return f"{sign}{mean(share for share, _ in shares):.2f} ({', '.join(texts)})"


def gain_over_random(
    seeds: Sequence[Mapping[str, Any]], strategy: str, figure: str, samples: int = 1000
) -> tuple[float, float, float]:
    """Return the gain over a random order in the mean F1 over the words, with its 95% interval.

    F1 between two trainings is taken to lie on a straight line; the mean is over the words that
    both orders reach. Seeds count alike. The interval is by bootstrap over the test documents of
    each seed, the same ones for both orders.
    """
    rng = np.random.default_rng(0)
    draws = []
    for orders in seeds:
        pair = [orders[strategy], orders["random"]]
        counts = [counts_of(rows) for rows in pair]
        n = counts[0].shape[1]
        weights = np.vstack([np.ones(n), rng.multinomial(n, [1 / n] * n, size=samples)])
        words = [[row["words"] for row in rows] for rows in pair]
        grid = np.linspace(max(w[0] for w in words), min(w[-1] for w in words), 50)
        means = []
        for each, at in zip(counts, words, strict=True):
            sums = np.einsum("sd,rdkt->srkt", weights, each)
            scores = span_figures(sums)[SCORES[figure]]
            means.append(np.array([np.interp(grid, at, row).mean() for row in scores]))
        draws.append(means[0] - means[1])
    gain = np.mean(draws, axis=0)
    low, high = np.quantile(gain[1:], [0.025, 0.975])
    return float(gain[0]), float(low), float(high)


def is_done(orders: Mapping[str, Any], *strategies: str) -> bool:
    """Return whether the orders of a seed have all steps of these strategies."""
    return all(orders.get(each) and not orders[each][-1]["next"] for each in strategies)


def counts_of(rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.int64]:
    """Return the gold, predicted and correct entities (n_rows, n_documents, 3, n_types)."""
    names = sorted(rows[0]["spans"])
    every = [row["spans"][name] for row in rows for name in names]
    labels = sorted({label for spans in every for label in spans})
    counts = [[spans.get(label, NO_COUNTS) for label in labels] for spans in every]
    return np.array(counts).reshape(len(rows), len(names), len(labels), 3).swapaxes(2, 3)


def render(found: Mapping[str, Any]) -> str:
    """Return the page: what each strategy needs to reach the scores of all, and all scores."""
    seeds, settings = found["seeds"], found["settings"]
    layers = f"the lowest {n} layers" if (n := settings["layers"]) else "all layers"
    command = f"python -m experiments.suggest --folder {settings['folder']}"
    command += f" --step {settings['step']}" + (f" --layers {n}" if n else "")
    needs, cells = [], []
    for strategy, title in STRATEGIES.items():
        runs = [rows for each in seeds.values() if (rows := each.get(strategy))]
        done = [rows for rows in runs if not rows[-1]["next"]]
        if not done:
            continue
        row = [f"{strategy}: {title}", str(len(done))]
        for figure in FIGURES:
            row.append(shares_needed(seeds.values(), strategy, figure))
        row += [f"{mean(mean(r[figure] for r in rows) for rows in done):.3f}" for figure in FIGURES]
        needs.append(row)
        for same in zip(*done, strict=False):
            cells.append(
                [
                    strategy,
                    str(same[0]["reports"]),
                    f"{mean(each['words'] for each in same):,.0f}",
                    *(f"{mean(each[figure] for each in same):.3f}" for figure in FIGURES),
                ]
            )
    gains = []
    for strategy in STRATEGIES:
        both = [each for each in seeds.values() if is_done(each, strategy, "random")]
        if both and strategy != "random":
            found_gains = [gain_over_random(both, strategy, figure) for figure in FIGURES]
            texts = [f"{gain:+.3f} ({low:+.3f} to {high:+.3f})" for gain, low, high in found_gains]
            gains.append([strategy, str(len(both)), *texts])
    share = [
        f"share of words for the {name} of {settings['upto']} at random"
        for name in FIGURES.values()
    ]
    average = [f"{name}, mean over the steps" for name in FIGURES.values()]
    return "\n".join(
        [
            f"# Reports to annotate next, {settings['folder']}",
            "",
            f"`{command}`: {settings['updates']} updates in each training of "
            f"{layers} of the encoder, and from {settings['start']} to {settings['upto']} reports "
            f"in steps of {settings['step']}. Means over seeds, with the values of each. Scores of "
            "single trainings vary by .01 to .02, so that the share of one seed says little.",
            "",
            *markdown_table(["reports", "seeds", *share, *average], needs),
            "",
            "Gain over the random order in the mean F1 over the words, with 95% intervals over the "
            "test documents, which do not cover the chance of the order and of the training:",
            "",
            *markdown_table(["reports", "seeds", *FIGURES.values()], gains),
            "",
            *markdown_table(["reports", "number", "words", *FIGURES.values()], cells),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
