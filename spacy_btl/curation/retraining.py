"""Retraining: corrected documents join those of before, and a training begins with the old weights.

``evaluate --compare`` says whether the new pipeline is better, on documents that neither was
trained on. The card of the new one records both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..data.docbin import read_docbin
from ..data.duplicates import find_duplicates, text_words
from ..data.gold import document_name
from ..data.label_sets import label_set_of
from ..evaluation.evaluate import pipeline_name
from ..joint.start import SETTING
from ..ml.shared_encoder import encoder_of
from ..packaging.card_facts import BEGAN_WITH
from ..packaging.saving import load_pipeline
from ..pipeline.component import component_of
from ..scoring.scorer import gold_entities
from ..training.optimizer import set_max_steps
from ..transfer.training import component_name, read_config
from ..util.checks import whole_number
from ..util.files import check_apart
from ..util.messages import warn
from ..util.process import compute_on
from ..util.text import counted

SHOWN = 5
"""Types or documents that a warning lists."""


@dataclass(frozen=True, slots=True)
class MergedDocuments:
    """Documents of several sources, each once.

    Attributes:
        docs: The documents.
        taken: Number of documents that are there of each source.
        replaced: Documents that a later source has too: its name there, and in the later one.
        left_out: Names of documents that have the text, or nearly, of a document to keep apart.
        types: Number of entities of each type, by source.
    """

    docs: list[Doc]
    taken: dict[str, int]
    replaced: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    types: dict[str, dict[str, int]] = field(default_factory=dict)

    def replaced_names(self) -> list[str]:
        """Return the first names of replaced documents."""
        return [before for before, _ in self.replaced[:SHOWN]]

    def warnings(self) -> list[str]:
        """Return what may make a training on these documents worse."""
        every = set().union(*self.types.values())
        found = []
        for source, own in self.types.items():
            if self.taken[source] and (missing := sorted(every - set(own))):
                found.append(
                    f"{source} has no entity of {_listed(missing)}. If nobody looked for them "
                    "there, convert it again with --labels: without, they count as absent"
                )
        for source, n in self.taken.items():
            if not n:
                found.append(f"no document of {source} is left")
        return found


def merge_documents(
    sources: Mapping[str, Sequence[Doc]], apart_from: Sequence[Doc] = ()
) -> MergedDocuments:
    """Return the documents of all sources, of each text the one of the last source.

    Args:
        sources: Annotated documents by the name of their source, the latest last. A document with
            the words of one in an earlier source replaces it.
        apart_from: Documents of dev and test: documents of the same text as one of theirs, or
            nearly the same, are left out.

    Raises:
        ValueError: If two documents of one name have different texts, or none is left.
    """
    rows = [(source, doc) for source, docs in sources.items() for doc in docs]
    texts = [*(doc.text for _, doc in rows), *(doc.text for doc in apart_from)]
    groups = find_duplicates(texts)
    apart = {i for g in groups if g.members[-1] >= len(rows) for i in g.members}
    last: dict[object, int] = {}
    for i, (_, doc) in enumerate(rows):
        last[tuple(text_words(doc.text)) or i] = i
    left_out = [_name(doc) for i, (_, doc) in enumerate(rows) if i in apart]
    replaced, docs = [], []
    taken = dict.fromkeys(sources, 0)
    types: dict[str, dict[str, int]] = {source: {} for source in sources}
    names: dict[str, str] = {}
    for i, (source, doc) in enumerate(rows):
        if i in apart:
            continue
        kept = last[tuple(text_words(doc.text)) or i]
        if kept != i:
            replaced.append((f"{source}: {_name(doc)}", f"{rows[kept][0]}: {_name(rows[kept][1])}"))
            continue
        name = document_name(doc)
        if name and name in names:
            raise ValueError(
                f'two documents are called "{name}", in {names[name]} and in {source}, and have '
                "different texts: rename one, as neighbors are known by the names of documents"
            )
        names[name] = source
        docs.append(doc)
        taken[source] += 1
        annotated = label_set_of(doc) or ()
        for label in [*annotated, *(label for label, _ in gold_entities(doc))]:
            types[source][label] = types[source].get(label, 0) + 1
    if not docs:
        if not rows:
            raise ValueError(f"no document in {_listed(list(sources))}")
        raise ValueError("no document is left: all have the text of a document to keep apart")
    return MergedDocuments(docs, taken, replaced, left_out, types)


def to_docbin(docs: Sequence[Doc]) -> bytes:
    """Return documents as the bytes of a DocBin, with all that a conversion has kept of them."""
    return bytes(DocBin(docs=docs, store_user_data=True).to_bytes())


def retrain(
    model: Path,
    train: Path,
    dev: Path,
    output: Path,
    *,
    updates: int = 0,
    seed: int | None = None,
    use_gpu: int = -1,
) -> Path:
    """Train a pipeline again with its own configuration, beginning with its own weights.

    Types that it knows stay, also where no training document has them, and new ones are added. Its
    neighbors, calibration and thresholds belong to the old weights: fit them again.

    Args:
        model: The trained pipeline.
        train: DocBin of all training documents, corrected ones and those of before: a training on
            new ones alone forgets what these do not show.
        dev: DocBin of the documents that choose the checkpoint.
        output: Folder for ``model-best`` and ``model-last``.
        updates: Updates of the weights; 0 for as many as the configuration has.
        seed: Seed of the training; None for that of the configuration.
        use_gpu: GPU to use, -1 for the CPU.

    Returns:
        The folder of the new pipeline.

    Raises:
        ValueError: If a DocBin has no entity, the pipeline has components that a training would
            make anew, its configuration names no single DocBin, the folder is in the pipeline, or a
            setting is out of its range.
        OSError: If a file is missing, or there is a pipeline in the folder already.
    """
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train as spacy_train

    whole_number("updates", updates, 0)
    compute_on(use_gpu)
    for path in (train, dev):
        if not any(gold_entities(doc) for doc in read_docbin(path, Vocab())):
            raise ValueError(
                f"{path} has no entity in doc.ents: take a DocBin that convert or merge has written"
            )
    check_apart(output, (model, train, dev), names=())
    if (output / "model-best").exists():
        raise FileExistsError(f"{output / 'model-best'} already exists; name another folder")
    nlp = load_pipeline(model)
    pipe = component_of(nlp)
    _, shared = encoder_of(nlp, pipe.model, pipe.name)
    if others := sorted(set(nlp.component_names) - {pipe.name, shared}):
        raise ValueError(
            f"{model} also has {_listed(others)}, which a training would make anew: write the "
            "block start_from into a configuration of your own (docs/config.md)"
        )
    if pipe.thresholds:
        warn(f"the thresholds of {model} belong to its scores: set new ones after fit-knn --dev")
    config = read_config(model / "config.cfg")
    name = component_name(config)
    config["components"][name]["thresholds"] = {}
    config["corpora"]["train"]["path"], config["corpora"]["dev"]["path"] = str(train), str(dev)
    block = config["initialize"].setdefault("components", {}).setdefault(name, {})
    block[SETTING] = {"@misc": "spacy-btl.StartFrom.v1", "path": str(model)}
    if updates:
        set_max_steps(config, updates)
        training = config["training"]
        training["eval_frequency"] = max(1, min(training["eval_frequency"], updates // 4))
    if seed is not None:
        config["training"]["seed"] = seed
    made = init_nlp(config, use_gpu=use_gpu)
    made.meta["name"] = nlp.meta["name"]
    made.meta[BEGAN_WITH] = pipeline_name(nlp.meta)
    output.mkdir(parents=True, exist_ok=True)
    spacy_train(made, output, use_gpu=use_gpu)
    return output / "model-best"


def _name(doc: Doc) -> str:
    return document_name(doc) or "a document without a name"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {counted(more, 'other')}" if more > 0 else "")
